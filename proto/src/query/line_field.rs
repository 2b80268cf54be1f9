//! Fields read out of a line when the query runs: JSON, or `key=value` as logfmt has it.
//!
//! A line that begins with `{` is JSON. In any other the first `{"` is tried as JSON too, and the whole line
//! is read as `key=value`. Keys are compared as they stand in the line, so that a line without a key's bytes
//! never has the field; values are compared without their quotes and escapes. Any one value that fits will do.

use super::{json, logfmt};

/// Whether some value of the field at `path` fits.
pub(super) fn any_value(line: &[u8], path: &[String], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let Some(line) = line.get(start..) else { return false };
    if line.starts_with(b"{") {
        return json::any_value(line, path, fits);
    }
    let embedded = line.windows(2).position(|pair| pair == b"{\"").and_then(|at| line.get(at..));
    embedded.is_some_and(|object| json::any_value(object, path, fits)) || logfmt::any_value(line, &path.join("."), fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(line: &[u8], path: &str) -> Vec<String> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let mut values = Vec::new();
        any_value(line, &path, &mut |value| {
            values.push(String::from_utf8_lossy(value).into_owned());
            false
        });
        values
    }

    fn check(line: &str, path: &str, expected: &[&str]) {
        assert_eq!(values(line.as_bytes(), path), expected, "{path} of {line}");
    }

    #[test]
    fn json_is_read_without_a_tree() {
        check(r#"{"status":500}"#, "status", &["500"]);
        check(r#"  { "a" : "x" , "status" : 500 }"#, "status", &["500"]);
        check(r#"{"a":{"b":{"c":true}},"b":1}"#, "a.b.c", &["true"]);
        check(r#"{"a":{"b":1},"a.b":2,"a":{"b":3}}"#, "a.b", &["1", "2", "3"]);
        check(r#"{"a.b":{"c":1}}"#, "a.b.c", &["1"]);
        check(r#"{"x":{"status":500}}"#, "status", &[]);
        check(r#"{"m":"\"status\":500, {\"status\":1}","status":2}"#, "status", &["2"]);
        check(r#"{"a":[1,"two",[3],{"b":4}]}"#, "a", &["1", "two", "3", r#"{"b":4}"#]);
        check(r#"{"a":[{"b":1},{"c":2},{"b":[3]}]}"#, "a.b", &["1", "3"]);
        check(r#"{"a":null,"b":"","c":{},"d":[]}"#, "a", &["null"]);
        check(r#"{"a":null,"b":"","c":{},"d":[]}"#, "b", &[""]);
        check(r#"{"a":null,"b":"","c":{},"d":[]}"#, "c", &["{}"]);
        check(r#"{"a":null,"b":"","c":{},"d":[]}"#, "d", &[]);
        check(r#"{"a":"q\"\\\/\n\té😀\ud83dx\x"}"#, "a", &["q\"\\/\n\t\u{e9}\u{1f600}\u{fffd}x\\x"]);
        check("{\"a\":\"\\u00e9\\ud83d\\ude00\\ude00\\u12\"}", "a", &["\u{e9}\u{1f600}\u{fffd}\\u12"]);
        check(r#"{"@timestamp":"t","user-id":7,"$x":8}"#, "@timestamp", &["t"]);
        check(r#"{"@timestamp":"t","user-id":7,"$x":8}"#, "user-id", &["7"]);
    }

    #[test]
    fn broken_json_gives_what_stood_before_the_break() {
        check(r#"{"a":1,"b":2"#, "b", &["2"]);
        check(r#"{"a":1,"b":"cut o"#, "b", &["cut o"]);
        check(r#"{"a":1,"b":"cut\"#, "b", &["cut\\"]);
        check(r#"{"a":1 "b":2}"#, "b", &["2"]);
        check(r#"{"a":,"b":2}"#, "b", &[]);
        check(r#"{"a" 1,"b":2}"#, "b", &[]);
        check(r#"{"a":{"b":[1,{"#, "a.b", &["1", "{"]);
        check(r#"{"a":1}} {"b":2}"#, "b", &[]);
        check("{", "a", &[]);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(60_000), "]".repeat(60_000));
        assert_eq!(values(deep.as_bytes(), "a").len(), 0, "deeper than is read");
    }

    #[test]
    fn logfmt_is_read_wherever_it_stands() {
        let line = r#"Nov 21 web3 app[7]: level=info msg="a \"b\" status=1" status=500, dur=3ms) ok path=/x?status=9"#;
        check(line, "level", &["info"]);
        check(line, "msg", &["a \"b\" status=1"]);
        check(line, "status", &["500"]);
        check(line, "dur", &["3ms"]);
        check(line, "path", &["/x?status=9"]);
        check(line, "ok", &[]);
        check("a.b=1 a=2", "a.b", &["1"]);
        check("a= b=2 c=''", "a", &[""]);
        check("a= b=2 c=''", "c", &[""]);
        check("user='tis b=2", "b", &["2"]);
        check("x=\"open b=2", "b", &["2"]);
        check("a=f(x) b=[1]", "a", &["f(x)"]);
        check("(status=500)", "status", &["500"]);
        check("status==500", "status", &["=500"]);
        check("a=1 a=2", "a", &["1", "2"]);
        check("=1 ==", "", &[]);
    }

    #[test]
    fn json_after_a_prefix_is_read_too() {
        check(r#"INFO request {"status":500,"a":{"b":1}} took=3ms"#, "status", &["500"]);
        check(r#"INFO request {"status":500,"a":{"b":1}} took=3ms"#, "a.b", &["1"]);
        check(r#"INFO request {"status":500} took=3ms"#, "took", &["3ms"]);
        check("{status=500}", "status", &[]);
        check("x {status=500}", "status", &["500"]);
    }

    proptest! {
        #[test]
        fn what_serde_wrote_is_read(key in "[a-z]{1,3}", value: String, other: String, number: i64) {
            let line = serde_json::json!({"before": other, "a": {key.clone(): [value, number]}}).to_string();
            prop_assert_eq!(values(line.as_bytes(), &format!("a.{key}")), vec![value, number.to_string()]);
        }

        #[test]
        fn any_bytes_are_read(
            bytes in proptest::collection::vec(
                proptest::sample::select(b"{}[]\":,=\\ua1\xff '.".to_vec()), 0..60),
        ) {
            values(&bytes, "a");
            values(&bytes, "a.a");
            values(&[b"{\"a\":", bytes.as_slice()].concat(), "a");
        }
    }
}
