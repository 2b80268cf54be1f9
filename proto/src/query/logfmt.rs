//! `key=value key="quoted \" value"`, wherever it stands in a line.
//!
//! Nothing is an error: what is no pair is stepped over. Values may be quoted with `"` or `'`; a bare one ends at
//! white space and loses the punctuation that was around the pair, as in `(status=500, dur=3ms)`.

use std::borrow::Cow;

/// Whether some value of `key` fits.
pub(super) fn any_value(line: &[u8], key: &str, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut rest = line;
    while let Some((pair, after)) = next_pair(rest) {
        if pair.key == key.as_bytes() && fits(&pair.value()) {
            return true;
        }
        rest = after;
    }
    false
}

struct Pair<'a> {
    key: &'a [u8],
    /// Without its quotes, escapes still in it if it had quotes.
    written: &'a [u8],
    was_quoted: bool,
}

impl<'a> Pair<'a> {
    fn value(&self) -> Cow<'a, [u8]> {
        if !self.was_quoted || !self.written.contains(&b'\\') {
            return Cow::Borrowed(self.written);
        }
        Cow::Owned(super::json::unescaped(self.written))
    }
}

/// The next pair, and what stands after it.
fn next_pair(mut rest: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    loop {
        rest = rest.get(rest.iter().position(|byte| !is_between(*byte))?..)?;
        let key_len = rest.iter().position(|byte| *byte == b'=' || is_between(*byte)).unwrap_or(rest.len());
        let (key, after) = rest.split_at_checked(key_len)?;
        match after.strip_prefix(b"=") {
            Some(value) if !key.is_empty() => return Some(pair(key, value)),
            Some(after_sign) => rest = after_sign,
            None => rest = after,
        }
    }
}

/// What stands between pairs, and so can be in no key.
fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;()[]{}<>|&?\"'".contains(&byte)
}

fn pair<'a>(key: &'a [u8], value: &'a [u8]) -> (Pair<'a>, &'a [u8]) {
    if let Some(len) = quoted_len(value) {
        let written = value.get(1..len - 1).unwrap_or_default();
        return (Pair { key, written, was_quoted: true }, value.get(len..).unwrap_or_default());
    }
    let len = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (bare, after) = value.split_at_checked(len).unwrap_or((value, b""));
    (Pair { key, written: without_punctuation(bare), was_quoted: false }, after)
}

/// With both quotes; `None` when it has none, or only the first.
fn quoted_len(value: &[u8]) -> Option<usize> {
    let quote = value.first().copied().filter(|byte| *byte == b'"' || *byte == b'\'')?;
    let mut escaped = false;
    let inside = value.get(1..)?.iter().position(|&byte| {
        let closes = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some(inside + 2)
}

/// Takes off what belongs to the sentence around: `500,` and `500)` are 500, `f(x)` stays.
fn without_punctuation(mut value: &[u8]) -> &[u8] {
    while let Some((last, before)) = value.split_last() {
        let opener = match last {
            b',' | b';' => None,
            b')' => Some(b'('),
            b']' => Some(b'['),
            b'}' => Some(b'{'),
            _ => break,
        };
        if opener.is_some_and(|opener| before.contains(&opener)) {
            break;
        }
        value = before;
    }
    value
}
