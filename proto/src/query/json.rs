//! One field out of a line of JSON, without making a tree of it.
//!
//! The reader goes through an object's keys, steps over what it doesn't need, and into what the path names;
//! arrays are gone through element by element as if they were not there. A key may hold dots itself: `@a.b`
//! is both `{"a":{"b":1}}` and `{"a.b":1}`. What is cut off or broken ends the reading and is no error. Time is
//! linear in the line for a path of given length, and depth is bounded.

use crate::limits::QUERY_DEPTH_MAX;

/// Whether some value at `path` fits; `object` begins with `{`.
pub(super) fn any_value(object: &[u8], path: &[String], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    in_value(object, path, QUERY_DEPTH_MAX, fits)
}

fn in_value(value: &[u8], path: &[String], depth_left: usize, fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    match (value.first(), depth_left.checked_sub(1)) {
        (Some(b'['), Some(depth_left)) => Elements::of(value).any(|element| in_value(element, path, depth_left, fits)),
        (Some(b'{'), Some(depth_left)) if !path.is_empty() => Members::of(value)
            .any(|(key, member)| path_after(path, key).is_some_and(|path| in_value(member, path, depth_left, fits))),
        (Some(b'['), None) => false,
        (Some(b'"'), _) if path.is_empty() => fits_string(value, fits),
        _ => path.is_empty() && fits(value),
    }
}

/// What is left of the path after a key that is its first part, or several joined by dots.
fn path_after<'a>(path: &'a [String], key: &[u8]) -> Option<&'a [String]> {
    let mut key = key;
    for (at, part) in path.iter().enumerate() {
        key = key.strip_prefix(part.as_bytes())?;
        if key.is_empty() {
            return path.get(at + 1..);
        }
        key = key.strip_prefix(b".")?;
    }
    None
}

fn fits_string(value: &[u8], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let inside = inside_quotes(value);
    if inside.contains(&b'\\') { fits(&unescaped(inside)) } else { fits(inside) }
}

/// A string cut off has no closing quote.
fn inside_quotes(string: &[u8]) -> &[u8] {
    let inside = string.strip_prefix(b"\"").unwrap_or(string);
    let closed = string_len(string).is_some_and(|len| len == string.len());
    if closed { inside.strip_suffix(b"\"").unwrap_or(inside) } else { inside }
}

/// The members of an object: keys as written, values as written.
struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    fn of(object: &'a [u8]) -> Self {
        Self(object.get(1..).unwrap_or_default())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = skip_between(self.0);
        let (key, rest) = rest.split_at_checked(string_len(rest)?)?;
        let value = skip_space(skip_space(rest).strip_prefix(b":")?);
        let (value, rest) = value.split_at_checked(value_len(value))?;
        self.0 = rest;
        (!value.is_empty()).then(|| (inside_quotes(key), value))
    }
}

/// The elements of an array, as written.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn of(array: &'a [u8]) -> Self {
        Self(array.get(1..).unwrap_or_default())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = skip_between(self.0);
        let (value, rest) = rest.split_at_checked(value_len(rest))?;
        self.0 = rest;
        (!value.is_empty()).then_some(value)
    }
}

fn skip_space(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

fn skip_between(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b',').unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// How long the value here is; zero where none is. What is cut off goes to the end.
fn value_len(text: &[u8]) -> usize {
    match text.first() {
        Some(b'"') => string_len(text).unwrap_or(text.len()),
        Some(b'{' | b'[') => nested_len(text),
        _ => text.iter().position(|byte| byte.is_ascii_whitespace() || b",]}".contains(byte)).unwrap_or(text.len()),
    }
}

/// Counts brackets outside of strings, of either kind: whoever mixes them up gets some end.
fn nested_len(text: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += text.get(at..).and_then(string_len).unwrap_or(text.len() - at) - 1,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if open == 0 {
            return at;
        }
    }
    text.len()
}

/// With both quotes; `None` when no string begins here, or it is cut off.
fn string_len(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    let len = inside.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some(len + 2)
}

/// What a string with escapes stands for. An escape no one knows is left as it is.
pub(super) fn unescaped(written: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        rest = unescape(rest, &mut value);
    }
    value
}

/// `rest` stands after a backslash; what stands after the escape is given back.
fn unescape<'a>(rest: &'a [u8], value: &mut Vec<u8>) -> &'a [u8] {
    let Some((&byte, after)) = rest.split_first() else {
        value.push(b'\\');
        return rest;
    };
    if byte == b'u'
        && let Some((letter, after)) = unicode_letter(after)
    {
        value.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        return after;
    }
    let plain = match byte {
        b'"' | b'\\' | b'/' | b'\'' => byte,
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        _ => {
            value.push(b'\\');
            return rest;
        }
    };
    value.push(plain);
    after
}

/// Four hex digits, or eight in two escapes; half a pair is U+FFFD.
fn unicode_letter(text: &[u8]) -> Option<(char, &[u8])> {
    let (first, after) = hex4(text)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some((second, after)) = after.strip_prefix(b"\\u").and_then(hex4)
        && (0xdc00..0xe000).contains(&second)
    {
        let letter = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER), after));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), after))
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}
