//! Where in a line its stamp stands.
//!
//! A file's lines are alike, so each stream remembers the form and place of its last stamp and tries that first.
//! Only when it fails are the other places tried, and there are few of them: a line without a stamp is cheap too.

use super::stamp::{Form, Rules, Stamp, any};
use super::{keys, syslog};
use memchr::memchr;

/// How far into a line a bracketed stamp is looked for: behind an address, a user and a virtual host.
const BRACKET_WINDOW_BYTES: usize = 160;

/// How many words from the front may come before a stamp.
const WORDS_MAX: usize = 4;

/// What kind of line a stamp was found in; decides what else stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    /// Text behind a stamp after the old syslog standard: host, then the program's name.
    Syslog,
    /// The new standard's fields.
    SyslogFields,
    Json,
    Logfmt,
}

/// A stamp, its form and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shape: Shape,
    pub form: Form,
    pub at: usize,
}

impl Place {
    /// The same form at the same place of another line.
    #[inline]
    pub fn again(&self, line: &[u8], rules: &Rules) -> Option<Stamp> {
        self.form.read(line.get(self.at..)?, rules)
    }
}

/// Looks in every place a stamp may stand.
pub fn search(line: &[u8], rules: &Rules) -> Option<(Place, Stamp)> {
    let at = |at: usize, shape: Shape| {
        let (form, stamp) = any(line.get(at..)?, rules)?;
        let shape = if shape == Shape::Plain && form == Form::MonthFirst { Shape::Syslog } else { shape };
        Some((Place { shape, form, at }, stamp))
    };
    match line.first()? {
        b'<' => {
            let (_, length) = syslog::priority(line)?;
            let versioned = line.get(length..).is_some_and(|rest| rest.starts_with(b"1 "));
            if versioned { at(length + 2, Shape::SyslogFields) } else { at(length, Shape::Syslog) }
        }
        b'{' => named(line, keys::json(line).time?, Shape::Json, rules),
        b'#' if line.starts_with(b"# Time: ") => at(8, Shape::Plain),
        _ => at(0, Shape::Plain).or_else(|| behind_words(line, rules)).or_else(|| {
            memchr(b'=', line)?;
            named(line, keys::logfmt(line).time?, Shape::Logfmt, rules)
        }),
    }
}

/// A stamp that is the value of a key, somewhere in the line.
fn named(line: &[u8], value: &[u8], shape: Shape, rules: &Rules) -> Option<(Place, Stamp)> {
    let (form, stamp) = any(value, rules)?;
    let at = (value.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    Some((Place { shape, form, at }, stamp))
}

/// Behind the first bracket, or at the front of one of the first words.
fn behind_words(line: &[u8], rules: &Rules) -> Option<(Place, Stamp)> {
    let try_at = |at: usize| {
        let (form, stamp) = any(line.get(at..)?, rules)?;
        Some((Place { shape: Shape::Plain, form, at }, stamp))
    };
    let window = line.get(..BRACKET_WINDOW_BYTES).unwrap_or(line);
    let bracket = memchr(b'[', window).map(|at| at + 1);
    if let Some(found) = bracket.and_then(try_at) {
        return Some(found);
    }
    // A time of day is written with colons; most lines without a stamp have none, and are done with here.
    memchr(b':', window)?;
    let mut at = 0;
    for _ in 0..WORDS_MAX {
        at += memchr(b' ', window.get(at..)?)? + 1;
        // A bare number in the middle of a line is more often an amount than a time.
        if let Some(found) = try_at(at).filter(|(place, _)| place.form != Form::Epoch) {
            return Some(found);
        }
    }
    None
}
