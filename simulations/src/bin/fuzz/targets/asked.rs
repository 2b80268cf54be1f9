//! What comes over HTTP: the parameters of an address, as every route of a web reads them.

use super::Target;
use proto::ids::Environment;
use proto::time::Timestamp;
use std::hint::black_box;
use web::api::{
    Complaint, ContextQuestion, ExportQuestion, HitsQuestion, LiveQuestion, Params, Reader, SearchQuestion,
};
use web::cursor::Cursor;

const NOW: i64 = 1_795_255_200;

pub fn all() -> Vec<Target> {
    let seeds = seeds();
    assert!(seeds.iter().all(|seed| accepted(seed) > 0), "a seed that every route refuses tries nothing");
    vec![Target { name: "asked", seeds, run: asked }]
}

fn asked(bytes: &[u8]) {
    black_box(accepted(bytes));
}

fn seeds() -> Vec<Vec<u8>> {
    let id = "00000000000000a1cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd000000000000000700000005352441c2";
    let first = "q=error&order=newest";
    let question = SearchQuestion::read(&params(first.as_bytes()).expect("two"), &reader(&environments()));
    let question = question.expect("a question");
    let after = proto::event::TimeOrder {
        time: question.range.from,
        tailer: proto::ids::NodeId(1),
        stream: proto::ids::StreamId([1; 16]),
        offset: 3,
    };
    let (query, order, range) = (question.hash(), question.order, question.range);
    let cursor = Cursor { query, order, range, after, snapshot: Vec::new() }.to_text();
    [
        format!("{first}&cursor={cursor}"),
        "q=host:web* /5\\d\\d/ @took>100ms&from=now-15m&to=now&env=main,prod&limit=100&dir=back&src=recent".into(),
        "from=2026-11-21T09:00:00Z&to=1795255200000000005&buckets=300&by=level".into(),
        "q=level:error,warn&since=-30s&max=500&env=".into(),
        format!("id={id}&before=50&after=1000&scope=file&env=prod"),
        "q=&fmt=ndjson&limit=18446744073709551615&order=file&from=-1d".into(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn environments() -> Vec<Environment> {
    vec![Environment::default(), "prod".parse().expect("a name")]
}

fn reader(environments: &[Environment]) -> Reader<'_> {
    Reader { now: Timestamp::from_seconds(NOW), environments }
}

fn params(bytes: &[u8]) -> Result<Params, Complaint> {
    let text = String::from_utf8_lossy(bytes);
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Params::new(text.split('&').filter_map(pair).collect())
}

/// How many routes would take these; what is refused is refused in JSON with a status that says so.
fn accepted(bytes: &[u8]) -> usize {
    let params = match params(bytes) {
        Ok(params) => params,
        Err(complaint) => return refused(&complaint),
    };
    let environments = environments();
    let reader = reader(&environments);
    let search = SearchQuestion::read(&params, &reader).map(|question| check(&question));
    let routes = [
        search,
        HitsQuestion::read(&params, &reader).map(|question| assert!(!question.range.is_empty())),
        LiveQuestion::read(&params, &reader, true).map(|question| assert!(question.rows_per_second != Some(0))),
        ContextQuestion::read(&params, &reader).map(|question| assert!(question.before.max(question.after) <= 1000)),
        ExportQuestion::read(&params, &reader).map(|question| check(&question.search)),
    ];
    routes.into_iter().map(|route| route.map_or_else(|complaint| refused(&complaint), |()| 1)).sum()
}

/// Nobody gets at an environment he may not see, and a cursor says again what it said.
fn check(question: &SearchQuestion) {
    assert!(question.limit > 0 && question.environments.iter().all(|name| environments().contains(name)));
    if let Some(cursor) = &question.cursor {
        assert_eq!(Cursor::read(&cursor.to_text(), question.hash()).as_ref(), Ok(cursor));
    }
}

fn refused(complaint: &Complaint) -> usize {
    let json = complaint.to_json();
    assert!((400..500).contains(&complaint.status) && json.starts_with(b"{\"error\":{\"code\":\""), "{complaint:?}");
    0
}
