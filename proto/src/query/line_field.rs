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
