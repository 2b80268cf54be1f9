//! What holds of every query: it is read or refused with a place in its text, it means what a naive reading of
//! its tree means, and what is said about it is so.

use super::*;
use crate::event::{Flags, Level};
use crate::ids::{NodeId, StreamId};
use crate::time::Timestamp;
use proptest::prelude::*;

pub(super) fn source() -> Source {
    Source {
        tailer: NodeId(0xa1),
        environment: "prod".parse().expect("a name"),
        stream: StreamId([0xab; 16]),
        host: "web3".to_owned(),
        app: "nginx".to_owned(),
        path: "/var/log/nginx/error.log".to_owned(),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
    }
}

pub(super) fn event<'a>(source: &'a Source, line: &'a [u8], level: Level) -> Event<'a> {
    let file_length = u32::try_from(line.len()).expect("a short line");
    Event { source, offset: 7, time: Timestamp(0), level, flags: Flags::NONE, file_length, line }
}

/// What a query means, said the longest way. Parsed fields are left to their own tests.
fn naive(expr: &Expr, event: &Event<'_>) -> bool {
    match expr {
        Expr::Everything => true,
        Expr::And(all) => all.iter().filter(|expr| !naive(expr, event)).count() == 0,
        Expr::Or(any) => any.iter().filter(|expr| naive(expr, event)).count() > 0,
        Expr::Not(inner) => !naive(inner, event),
        Expr::Text(text) => {
            let line = if text.exact { event.line.to_vec() } else { event.line.to_ascii_lowercase() };
            (0..=line.len()).any(|at| line[at..].starts_with(&text.bytes))
        }
        Expr::Pattern(pattern) => pattern.is_match(event.line),
        Expr::Field(field, test) => {
            let value = match field {
                Field::Env => event.source.environment.to_string(),
                Field::Host => event.source.host.clone(),
                Field::App => event.source.app.clone(),
                Field::File => {
                    let path = event.source.path.clone();
                    let name = path.rsplit('/').next().expect("the last part");
                    let is_name = matches!(test, Test::Glob(text) | Test::Exact(text) if !text.contains(['/', '\\']));
                    return naive_test(test, path.as_bytes()) || is_name && naive_test(test, name.as_bytes());
                }
                Field::Stream => event.source.stream.to_string(),
                Field::Id => event.id().to_string(),
                Field::Level => return naive_level(test, event.level),
                Field::Parsed(path) => return line_field::any_value(event.line, path, &mut |v| naive_test(test, v)),
            };
            naive_test(test, value.as_bytes())
        }
    }
}

fn naive_level(test: &Test, level: Level) -> bool {
    match test {
        Test::Compare(order, bound) => {
            bound.parse::<Level>().is_ok_and(|bound| order.allows((level as u8).cmp(&(bound as u8))))
        }
        other => naive_test(other, level.as_str().as_bytes()),
    }
}

fn naive_test(test: &Test, value: &[u8]) -> bool {
    match test {
        Test::Glob(glob) => naive_glob(glob.to_ascii_lowercase().as_bytes(), &value.to_ascii_lowercase()),
        Test::Exact(text) => text.as_bytes() == value,
        Test::Pattern(pattern) => pattern.is_match(value),
        Test::Compare(order, bound) => {
            let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|n| n.is_finite());
            let as_numbers = number(value).zip(number(bound.as_bytes())).and_then(|(a, b)| a.partial_cmp(&b));
            let length = |text: &[u8]| naive_millis(std::str::from_utf8(text).ok()?);
            let as_lengths = || Some(length(value)?.cmp(&length(bound.as_bytes())?));
            order.allows(as_numbers.or_else(as_lengths).unwrap_or_else(|| value.cmp(bound.as_bytes())))
        }
    }
}

/// Of the few durations that are drawn here.
fn naive_millis(text: &str) -> Option<u64> {
    let of = |text: &str, unit: &str| text.strip_suffix(unit)?.parse::<u64>().ok();
    of(text, "ms").or_else(|| Some(of(text, "s")? * 1000))
}

fn naive_glob(glob: &[u8], value: &[u8]) -> bool {
    match glob.split_first() {
        None => value.is_empty(),
        Some((b'*', rest)) => (0..=value.len()).any(|at| naive_glob(rest, &value[at..])),
        Some((b'?', rest)) => !value.is_empty() && naive_glob(rest, &value[1..]),
        Some((byte, rest)) => value.first() == Some(byte) && naive_glob(rest, &value[1..]),
    }
}

/// Pieces that make queries: most of them something, some of them nearly something.
fn query_text() -> impl Strategy<Value = String> {
    let pieces = [
        "error",
        "Err",
        "a",
        "b",
        "ab*",
        "a?b",
        "*",
        "(",
        ")",
        "(",
        ")",
        " ",
        " ",
        " ",
        " OR ",
        " AND ",
        "NOT ",
        "-",
        "\"",
        "\"a b\"",
        "'Ab'",
        "/a.b/",
        "/a[/",
        "/i",
        "/",
        "host:",
        "host:web*",
        "level>=",
        "level:warn",
        "app:(",
        "@a.b:",
        "@x>",
        "@x=",
        "@x!=",
        "5",
        "60ms",
        "2s",
        ",",
        "file:error.log",
        "\\",
        "--",
        "env:prod",
        "id:",
        ":",
        "=",
        "\u{e9}",
        "\u{a0}",
        "file:/var/*",
        "stream:abab*",
        "@",
        ".",
        "<",
    ];
    let piece = prop_oneof![8 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 14] = [
        b"a",
        b"A",
        b"b",
        b" ",
        b"ERROR",
        b"err",
        b"\xff",
        b"5",
        b"{\"a\":{\"b\":5}}",
        b"x=7",
        b" x=600ms",
        b" x=5s ",
        "\u{e9}".as_bytes(),
        b"\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat())
}

fn is_normal(expr: &Expr) -> bool {
    match expr {
        Expr::And(all) => {
            all.len() > 1 && all.iter().all(|e| is_normal(e) && !matches!(e, Expr::And(_) | Expr::Everything))
        }
        Expr::Or(any) => {
            any.len() > 1 && any.iter().all(|e| is_normal(e) && !matches!(e, Expr::Or(_) | Expr::Everything))
        }
        Expr::Not(inner) => is_normal(inner) && !matches!(**inner, Expr::Not(_)),
        Expr::Text(text) => !text.bytes.is_empty(),
        Expr::Everything | Expr::Pattern(_) | Expr::Field(..) => true,
    }
}

fn check_reading(text: &str) -> Result<(), TestCaseError> {
    match parse_with_spans(text) {
        Err(error) => {
            prop_assert!(error.at + error.len <= text.len() && error.len > 0, "{error:?}");
            prop_assert!(text.get(error.at..error.at + error.len).is_some(), "{error:?}");
        }
        Ok(parsed) => {
            prop_assert!(is_normal(&parsed.query.expr), "{}", parsed.query);
            prop_assert_eq!(parsed.query.to_string(), parse(text).expect("read once").to_string());
            let mut end = 0;
            for span in &parsed.spans {
                prop_assert!(span.at >= end && span.len > 0 && text.get(span.at..span.at + span.len).is_some());
                prop_assert!(text[end..span.at].chars().all(scan::is_space), "every letter is part of something");
                end = span.at + span.len;
            }
            prop_assert!(text[end..].chars().all(scan::is_space));
            for warning in &parsed.warnings {
                prop_assert!(text.get(warning.at..warning.at + warning.len).is_some());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in ".{0,60}") {
        check_reading(&text)?;
    }

    #[test]
    fn what_looks_like_a_query_is_read_or_refused_at_a_place_in_it(text in query_text()) {
        check_reading(&text)?;
    }

    #[test]
    fn a_query_means_what_its_tree_says(text in query_text(), line in line(), level in 0_u8..8) {
        let Ok(query) = parse(&text) else { return Ok(()) };
        let source = source();
        let event = event(&source, &line, Level::from_u8(level).expect("a level"));
        prop_assert_eq!(query.matches(&event), naive(&query.expr, &event), "{}", query);
        if let Some(decided) = query.of_source(&source) {
            prop_assert_eq!(query.matches(&event), decided, "{}", query);
        }
        prop_assert!(!query.matches(&event) || query.need().is_met_by(&line.to_ascii_lowercase()), "{}", query);
        for mark in query.highlight(&line) {
            prop_assert!(mark.start < mark.end && line.get(mark).is_some());
        }
    }

    #[test]
    fn a_word_is_found_where_a_plain_search_finds_it(line in line(), from in 0_usize..40, len in 1_usize..8) {
        let Some(needle) = line.get(from..from + len).and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return Ok(()) };
        let quoted = needle.replace('\\', "\\\\").replace('"', "\\\"");
        let query = parse(&format!("\"{quoted}\"")).expect("a phrase");
        let source = source();
        prop_assert!(query.matches(&event(&source, &line, Level::Info)));
        let upper = parse(&format!("\"{}\"", quoted.to_ascii_uppercase())).expect("a phrase");
        prop_assert!(upper.matches(&event(&source, &line, Level::Info)));
    }

    #[test]
    fn globs_mean_what_the_naive_one_does(glob in "[ab*?]{0,8}", value in "[abAB]{0,10}") {
        let expected = naive_glob(glob.as_bytes(), value.to_ascii_lowercase().as_bytes());
        prop_assert_eq!(value::Glob::new(&glob).is_match(value.as_bytes()), expected);
    }
}

#[test]
fn limits_hold_and_say_so() {
    let refuse = |text: &str| parse(text).expect_err("refused");
    assert_eq!(refuse(&"a ".repeat(300)).message, "more than 256 terms");
    assert_eq!(refuse(&"a ".repeat(9000)).message, "query has 18000 bytes, at most 16384 are read");
    assert_eq!(refuse(&"(".repeat(33)).message, "groups nest deeper than 32");
    assert_eq!(refuse(&"a*b ".repeat(33)).message, "more than 32 patterns");
    assert_eq!(refuse(&format!("/{}/", "a".repeat(1025))).message, "pattern has 1025 bytes, at most 1024 are read");
    assert_eq!(refuse(&format!("host:{}*", "a".repeat(1024))).message, "pattern has 1025 bytes, at most 1024 are read");
    let deep = format!("{}a{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(parse(&deep).expect("as deep as may be").to_string(), "text(\"a\")");
    let negations = "NOT ".repeat(4001);
    assert_eq!(parse(&format!("{negations}a")).expect("no depth in it").to_string(), "not(text(\"a\"))");
}

#[test]
fn a_source_that_cannot_match_is_known_without_its_lines() {
    let check = |text: &str, expected: Option<bool>| {
        assert_eq!(parse(text).expect("a query").of_source(&source()), expected, "{text}");
    };
    check("", Some(true));
    check("error", None);
    check("host:web3", Some(true));
    check("host:web4", Some(false));
    check("host:web4 error", Some(false));
    check("host:web3 error", None);
    check("host:web4 OR error", None);
    check("host:web3 OR error", Some(true));
    check("-host:web3", Some(false));
    check("-error", None);
    check("env:prod app:/^ng/ file:*.log stream:abababababababababababababababab", Some(true));
    check("level:loud", Some(false));
    check("stream:cd*", Some(false));
    let other_stream = "id:00000000000000a1cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd000000000000000700000005352441c2";
    check(other_stream, Some(false));
}

#[test]
fn an_event_is_found_by_its_id() {
    let source = source();
    let event = event(&source, b"hello", Level::Info);
    let finds = |text: String| parse(&text).expect("a query").matches(&event);
    assert!(finds(format!("id:{}", event.id())));
    assert!(finds(format!("id:{}", event.id().to_string().to_uppercase())));
    assert!(finds(format!("id:*{:08x}", event.id().crc)));
    assert!(!finds(format!("id:{}0", &event.id().to_string()[..79])));
}

#[test]
fn what_was_found_is_marked() {
    let check = |text: &str, line: &str, expected: &[(usize, usize)]| {
        let marks = parse(text).expect("a query").highlight(line.as_bytes());
        assert_eq!(marks, expected.iter().map(|(from, to)| *from..*to).collect::<Vec<_>>(), "{text} in {line}");
    };
    check("err", "Error err", &[(0, 3), (6, 9)]);
    check("aa", "aaaaa", &[(0, 4)]);
    check("ab bc", "abc", &[(0, 3)]);
    check("-ab x", "ab x", &[(3, 4)]);
    check("/b*/", "abba", &[(1, 3)]);
    check("a OR 'B'", "bB a", &[(1, 2), (3, 4)]);
    check("host:web3", "web3", &[]);
    assert_eq!(parse("a").expect("a word").highlight(&b"ab".repeat(5000)).len(), MARKS_MAX);
    let nothing_often = parse("/(a.*b)?/").expect("a regex");
    assert_eq!(
        nothing_often.highlight(&b"a".repeat(60_000)).len(),
        0,
        "and soon, not after four thousand million bytes"
    );
}
