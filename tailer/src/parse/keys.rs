//! Lines that name their fields: JSON objects and `key=value` text. Only the time and the level are taken.
//!
//! This is no JSON parser: it walks the top level of what looks like one object, and what it does not understand
//! it passes over.

use memchr::{memchr, memchr2};

/// How many keys are looked at before giving up.
const KEYS_MAX: usize = 32;

/// The values of the first keys that name a time and a level, without their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named<'a> {
    pub time: Option<&'a [u8]>,
    pub level: Option<&'a [u8]>,
}

impl<'a> Named<'a> {
    fn take(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            b"time" | b"ts" | b"timestamp" | b"@timestamp" | b"t" | b"datetime" | b"date" => {
                self.time.get_or_insert(value);
            }
            b"level" | b"lvl" | b"severity" | b"loglevel" | b"log.level" | b"@level" => {
                self.level.get_or_insert(value);
            }
            _ => {}
        }
    }

    fn full(&self) -> bool {
        self.time.is_some() && self.level.is_some()
    }
}

/// The top level of a JSON object.
pub fn json(line: &[u8]) -> Named<'_> {
    let mut named = Named::default();
    let mut rest = line.strip_prefix(b"{").unwrap_or_default();
    for _ in 0..KEYS_MAX {
        let Some((key, value, behind)) = json_pair(rest) else { break };
        named.take(key, value);
        if named.full() {
            break;
        }
        rest = behind;
    }
    named
}

/// `"key": value`, and what stands behind the comma.
fn json_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = quoted(bytes.trim_ascii_start())?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let (value, rest) = match rest.first()? {
        b'"' => quoted(rest)?,
        b'{' | b'[' => nested(rest)?,
        _ => rest.split_at(memchr2(b',', b'}', rest)?),
    };
    Some((key, value.trim_ascii(), rest.trim_ascii_start().strip_prefix(b",").unwrap_or_default()))
}

/// A string without its quotes, as written, and what stands behind it.
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = bytes.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', inner.get(at..)?)?;
        if inner.get(at)? == &b'"' {
            return Some((inner.get(..at)?, inner.get(at + 1..)?));
        }
        at += 2;
    }
}

/// An object or array, passed over whole.
fn nested(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match bytes.get(at)? {
            b'"' => {
                let (_, behind) = quoted(bytes.get(at..)?)?;
                at = bytes.len() - behind.len();
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(bytes.split_at(at));
        }
    }
}

/// `key=value key="value"` from the front of a line.
pub fn logfmt(line: &[u8]) -> Named<'_> {
    let mut named = Named::default();
    let mut rest = line;
    for _ in 0..KEYS_MAX {
        let Some((key, value, behind)) = logfmt_pair(rest) else { break };
        named.take(key, value);
        if named.full() {
            break;
        }
        rest = behind;
    }
    named
}

fn logfmt_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = bytes.iter().take(64).position(|b| !b.is_ascii_alphanumeric() && !b"_-.@".contains(b))?;
    if equals == 0 || bytes.get(equals) != Some(&b'=') {
        return None;
    }
    let (key, value) = (bytes.get(..equals)?, bytes.get(equals + 1..)?);
    let (value, behind) = match value.first() {
        Some(b'"') => quoted(value)?,
        _ => value.split_at(memchr(b' ', value).unwrap_or(value.len())),
    };
    Some((key, value, behind.strip_prefix(b" ").unwrap_or_default()))
}
