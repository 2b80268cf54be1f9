//! API.md names every route, parameter, refusal, limit, and every key of real answers.

use super::*;
use crate::config::Limits;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../API.md");

/// What stands between backticks, word by word.
fn named() -> BTreeSet<&'static str> {
    let quoted = DOCUMENT.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    quoted.flat_map(|text| text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')).collect()
}

/// Every key, but those that are somebody's names: of nodes that are away, of labels.
fn keys(value: &Value, keys_found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys(item, keys_found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                keys_found.insert(key.clone());
                if !(value.is_object() && matches!(key.as_str(), "nodes" | "f")) {
                    keys(value, keys_found);
                }
            }
        }
        _ => {}
    }
}

/// Events of which some are no UTF-8, some flagged, some labelled.
fn odd_events() -> Vec<OwnedEvent> {
    let mut events = lately(30);
    for event in &mut events {
        let mut source = proto::event::Source::clone(&event.source);
        source.labels = vec![("team".into(), "shop".into())];
        event.source = Arc::new(source);
        event.line = b"\xff odd".to_vec();
        event.flags = proto::event::Flags::TIME_FILED;
    }
    events
}

#[tokio::test]
async fn every_key_of_a_real_answer_stands_in_the_document() {
    let events = odd_events();
    let server = server([holds(&events), Behaviour::Gone]).await;
    let two_away = self::server([Behaviour::Gone, Behaviour::Silent]).await;
    let id = events[9].borrow().id();
    let mut found = BTreeSet::new();
    for target in [
        "/api/v1/search?q=odd&limit=5",
        "/api/v1/hits?q=odd",
        "/api/v1/export?fmt=ndjson",
        "/api/v1/parse?q=level%3Dx+level:loud",
        "/api/v1/cluster",
        "/api/v1/buildinfo",
        "/api/v1/search?q=%22open",
        "/api/v1/search?form=now",
        &format!("/api/v1/context?id={id}"),
        &format!("/api/v1/event/{id}"),
    ] {
        let got = server.get(target, "").await;
        got.body.lines().for_each(|line| keys(&serde_json::from_str(line).expect("JSON"), &mut found));
    }
    two_away.frames("/api/v1/search?q=").await.iter().for_each(|frame| keys(frame, &mut found));
    let (lines, _open) = server.lines_until("/api/v1/live?q=odd&since=-1h", "", "\"k\":\"rate\"").await;
    let frames = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object);
    frames.for_each(|frame| keys(&frame, &mut found));
    assert!(found.len() > 50, "{found:?}");
    let named = named();
    let unnamed: Vec<_> = found.iter().filter(|key| !named.contains(key.as_str())).collect();
    assert!(unnamed.is_empty(), "not in API.md: {unnamed:?}");
}

#[test]
fn every_route_stands_in_the_document_with_its_parameters() {
    for path in PATHS {
        let path = path.replace("/x/", "/{qid}/");
        assert!(DOCUMENT.contains(&format!("{path}`")) || DOCUMENT.contains(&format!("{path}{{id}}`")), "{path}");
    }
    for (path, params) in [
        ("search", SearchQuestion::PARAMS),
        ("hits", HitsQuestion::PARAMS),
        ("live", LiveQuestion::PARAMS),
        ("context", ContextQuestion::PARAMS),
        ("export", ExportQuestion::PARAMS),
    ] {
        let begin = format!("| `/api/v1/{path}` |");
        let row = DOCUMENT.lines().find(|line| line.starts_with(&begin)).expect("a row");
        let listed = row.split('|').nth(2).expect("parameters");
        let listed: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, params.iter().copied().collect(), "{path}");
        for param in params {
            let explained = |line: &str| {
                line.starts_with("| `")
                    && line.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{param}`")))
            };
            assert!(DOCUMENT.lines().any(explained), "{param}");
        }
    }
}

#[test]
fn refusals_and_limits_are_those_of_the_document() {
    let named = named();
    for code in ["bad_parameter", "bad_time", "bad_query", "bad_cursor", "not_allowed", "foreign_page", "not_found"]
        .into_iter()
        .chain(["wrong_method", "too_large", "too_long", "wrong_host", "busy"])
    {
        assert!(named.contains(code), "{code}");
    }
    let limits = Limits::default();
    let text = DOCUMENT.replace('\n', " ");
    for said in [
        format!("{} searches", limits.searches_max),
        format!("{} live tails", limits.tails_max),
        format!("nothing for {} seconds ends", limits.deadline.as_secs()),
        format!("nothing for {} seconds is gone", limits.patience.as_secs()),
        format!("at most {} bytes", proto::limits::QUERY_BYTES_MAX),
        format!("{} terms", proto::limits::QUERY_TERMS_MAX),
        format!("{} patterns", proto::limits::QUERY_PATTERNS_MAX),
        format!("an address {TARGET_BYTES_MAX} bytes"),
        format!("{} connections", limits.connections_max),
        format!("within {} seconds", limits.head.as_secs()),
        format!("nothing for {} seconds is let go", limits.stall.as_secs()),
        format!("for {} minutes is cut", limits.untaken.as_secs() / 60),
    ] {
        assert!(text.contains(&said), "{said}");
    }
}
