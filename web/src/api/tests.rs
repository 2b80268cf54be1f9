use super::*;

const NOW: i64 = 1_795_255_200;

fn params(pairs: &[(&str, &str)]) -> Result<Params, Complaint> {
    Params::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn environments() -> Vec<Environment> {
    vec![Environment::default(), "prod".parse().expect("a name")]
}

fn search(pairs: &[(&str, &str)]) -> Result<SearchQuestion, Complaint> {
    let environments = environments();
    let reader = Reader { now: Timestamp::from_seconds(NOW), environments: &environments };
    SearchQuestion::read(&params(pairs)?, &reader)
}

#[test]
fn nothing_said_is_the_newest_thousand_of_the_last_hour() {
    let question = search(&[]).expect("all defaults");
    assert_eq!(question.range.from, Timestamp::from_seconds(NOW - 3600));
    assert_eq!(question.range.to, Timestamp::from_seconds(NOW));
    assert_eq!((question.limit, question.order), (1000, SearchOrder::Newest));
    assert_eq!(question.environments, environments());
}

#[test]
fn times_are_read_in_each_of_their_ways() {
    let nanos = NOW.to_string() + "000000005";
    for (text, wanted) in [
        ("now-15m", Timestamp::from_seconds(NOW - 900)),
        ("2026-11-21T09:00:00Z", Timestamp::from_seconds(NOW - 3600)),
        (nanos.as_str(), Timestamp(NOW * 1_000_000_000 + 5)),
    ] {
        let question = search(&[("from", text), ("to", "now+1d")]);
        assert_eq!(question.map(|question| question.range.from), Ok(wanted), "{text}");
    }
}

#[test]
fn complaints_name_what_is_wrong() {
    for (pairs, status, code, said) in [
        (&[("form", "now")][..], 400, "bad_parameter", "form: not known here; q, from, to"),
        (&[("q", "a"), ("q", "b")], 400, "bad_parameter", "q: given twice"),
        (&[("limit", "0")], 400, "bad_parameter", "limit: \"0\" is not a number of 1 or more"),
        (&[("limit", "many")], 400, "bad_parameter", "limit:"),
        (&[("from", "yesterday-ish")], 400, "bad_time", "from: "),
        (&[("from", "now"), ("to", "now-1h")], 400, "bad_time", "the range ends before it begins"),
        (&[("dir", "sideways")], 400, "bad_parameter", "dir: \"sideways\" is no order"),
        (&[("dir", "back"), ("order", "oldest")], 400, "bad_parameter", "dir: order and dir contradict"),
        (&[("env", "secret")], 403, "not_allowed", "env: secret may not be read here"),
        (&[("env", "../x")], 400, "bad_parameter", "env: "),
        (&[("cursor", "zzz")], 400, "bad_cursor", "the cursor is damaged"),
        (&[("src", "hist:1")], 400, "bad_parameter", "src: \"hist:1\" can't be searched"),
    ] {
        let complaint = search(pairs).expect_err(said);
        assert_eq!((complaint.status, complaint.code), (status, code), "{}", complaint.msg);
        assert!(complaint.msg.starts_with(said), "{}", complaint.msg);
    }
}

#[test]
fn a_query_that_cannot_be_read_says_where() {
    let complaint = search(&[("q", "ok \"open")]).expect_err("an unclosed quote");
    assert_eq!((complaint.code, complaint.at), ("bad_query", Some(3)));
    let json: serde_json::Value = serde_json::from_slice(&complaint.to_json()).expect("JSON");
    assert_eq!(json["error"]["code"], "bad_query");
    assert_eq!(json["error"]["at"], 3);
}

#[test]
fn a_cursor_brings_its_own_range() {
    let first = search(&[("q", "x"), ("from", "now-1d")]).expect("a question");
    let cursor = Cursor {
        query: first.hash(),
        order: first.order,
        range: first.range,
        after: proto::event::TimeOrder {
            time: first.range.from,
            tailer: proto::ids::NodeId(1),
            stream: proto::ids::StreamId([1; 16]),
            offset: 3,
        },
        snapshot: Vec::new(),
    };
    let text = cursor.to_text();
    let next = search(&[("q", "x"), ("from", "now-1m"), ("cursor", &text)]).expect("goes on");
    assert_eq!((next.range, next.cursor), (first.range, Some(cursor)));
    let other = search(&[("q", "y"), ("cursor", &text)]).expect_err("another query");
    assert_eq!(other.code, "bad_cursor");
}

#[test]
fn an_export_has_no_end_and_a_page_is_thinned() {
    let environments = environments();
    let reader = Reader { now: Timestamp::from_seconds(NOW), environments: &environments };
    let export = ExportQuestion::read(&params(&[("fmt", "ndjson")]).expect("one"), &reader).expect("a question");
    assert_eq!((export.search.limit, export.format), (u64::MAX, ExportFormat::Ndjson));
    let none = params(&[]).expect("none");
    assert_eq!(LiveQuestion::read(&none, &reader, true).expect("one").rows_per_second, Some(500));
    assert_eq!(LiveQuestion::read(&none, &reader, false).expect("one").rows_per_second, None);
    assert_eq!(ContextQuestion::read(&none, &reader).expect_err("no id").code, "bad_parameter");
}
