//! The vectors that this reader and the page's tokeniser share, in `testdata/query.json` and
//! `testdata/query_match.json`. Each file is one array with an object a line.
//!
//! `query.json`, what a text means and what stands where in it:
//!
//! ```text
//! {"q": "error -host:web1",
//!  "ast": "and(text(\"error\"), not(host:glob(\"web1\")))",      as Query's Display writes it
//!  "spans": [[0,5,"word"],[6,1,"operator"],[7,4,"field"],[11,1,"operator"],[12,4,"value"]],
//!  "warn": [[at,len]]}                                            left out where there are none
//! {"q": "a (b", "err": {"at":2,"len":1,"why":"group"}}
//! ```
//!
//! `at` and `len` count bytes of UTF-8. Spans are in order, don't overlap and leave out nothing but white space.
//! Kinds: word, phrase, exact, regex, field, value, operator, paren, hint (a word that only looks like something
//! else). `why` is quote, group, limit, or pattern, which only who compiles the pattern can know.
//!
//! `query_match.json`, whether an event fits:
//!
//! ```text
//! {"q": "timed host:web*", "line": "it timed out", "host": "web3", "fits": true, "marks": [[3,5]]}
//! ```
//!
//! `hex` stands in place of `line` where that is no UTF-8. Left out, `host` is web3, `app` nginx, `env` prod, `file`
//! /var/log/nginx/error.log, `level` info; the stream is always abab…, of 32 digits. `marks`, where they stand, are
//! what is highlighted, as `[at,len]`.

use super::tests::{event, source};
use super::{ParseError, Parsed, parse, parse_with_spans};
use crate::event::Source;
use serde_json::{Value, json};

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("an array")
}

fn text<'a>(vector: &'a Value, name: &str) -> Option<&'a str> {
    vector.get(name).and_then(Value::as_str)
}

fn why(error: &ParseError) -> &'static str {
    match error.message.as_str() {
        "no closing )" => "group",
        "no closing \"" | "no closing '" => "quote",
        _ if error.hint == "ask in two queries" => "limit",
        _ => "pattern",
    }
}

/// What was read, in the shape of a vector.
fn as_vector(query: &str, read: Result<Parsed, ParseError>) -> Value {
    let parsed = match read {
        Err(error) => return json!({"q": query, "err": {"at": error.at, "len": error.len, "why": why(&error)}}),
        Ok(parsed) => parsed,
    };
    let spans: Vec<Value> = parsed.spans.iter().map(|span| json!([span.at, span.len, span.kind.as_str()])).collect();
    let warnings: Vec<Value> = parsed.warnings.iter().map(|warning| json!([warning.at, warning.len])).collect();
    let mut vector = json!({"q": query, "ast": parsed.query.to_string(), "spans": spans});
    if !warnings.is_empty() {
        vector["warn"] = Value::Array(warnings);
    }
    vector
}

#[test]
fn queries_are_read_as_the_page_reads_them() {
    let vectors = vectors(include_str!("../testdata/query.json"));
    assert!(vectors.len() > 200);
    for vector in vectors {
        let query = text(&vector, "q").expect("a query");
        assert_eq!(as_vector(query, parse_with_spans(query)), vector, "{query}");
    }
}

fn source_of(vector: &Value) -> Source {
    let mut source = source();
    let or = |name, usual: &str| text(vector, name).unwrap_or(usual).to_owned();
    source.host = or("host", &source.host);
    source.app = or("app", &source.app);
    source.path = or("file", &source.path);
    source.environment = or("env", source.environment.as_str()).parse().expect("a name");
    source
}

fn line_of(vector: &Value) -> Vec<u8> {
    match text(vector, "hex") {
        None => text(vector, "line").expect("a line").as_bytes().to_vec(),
        Some(hex) => {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
            (0..hex.len()).step_by(2).map(byte).collect()
        }
    }
}

#[test]
fn events_fit_as_the_vectors_say() {
    let vectors = vectors(include_str!("../testdata/query_match.json"));
    assert!(vectors.len() > 100);
    for vector in vectors {
        let (source, line) = (source_of(&vector), line_of(&vector));
        let level = text(&vector, "level").unwrap_or("info").parse().expect("a level");
        let query = parse(text(&vector, "q").expect("a query")).expect("a good query");
        assert_eq!(json!(query.matches(&event(&source, &line, level))), vector["fits"], "{vector}");
        if let Some(marks) = vector.get("marks") {
            let found: Vec<Value> =
                query.highlight(&line).into_iter().map(|mark| json!([mark.start, mark.len()])).collect();
            assert_eq!(&json!(found), marks, "{vector}");
        }
    }
}
