//! How grave a line says it is: a word near its front, a syslog priority, a letter of glog's.
//!
//! A word counts when it is written as a level is: in capitals, or set off by a bracket, a colon, an equals sign
//! or as the first word behind the stamp. `no error was found` is no error.

use proto::event::Level;

/// How far behind the stamp a level is looked for.
const WINDOW_BYTES: usize = 64;

/// A level and where its word began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub level: Level,
    pub at: usize,
}

/// Looks behind the stamp, first where the line before had its level.
#[inline]
pub fn find(line: &[u8], from: usize, habit: usize) -> Option<Found> {
    if habit >= from
        && (habit == from || line.get(habit - 1).is_some_and(|b| !b.is_ascii_alphanumeric()))
        && let Some(found) = word_at(line, habit, from)
    {
        return Some(found);
    }
    let end = line.len().min(from + WINDOW_BYTES);
    let mut at = from;
    while at < end {
        let byte = *line.get(at)?;
        if !byte.is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        if begins_a_level(byte)
            && let Some(found) = word_at(line, at, from)
        {
            return Some(found);
        }
        at += word_length(line.get(at..)?);
    }
    None
}

#[inline]
fn begins_a_level(byte: u8) -> bool {
    matches!(byte | 0x20, b't' | b'd' | b'i' | b'n' | b'w' | b'e' | b's' | b'c' | b'f' | b'a' | b'p')
}

#[inline]
fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(bytes.len())
}

/// The level that a word at this very place names.
#[inline]
fn word_at(line: &[u8], at: usize, from: usize) -> Option<Found> {
    let rest = line.get(at..)?;
    let window = rest.get(..14).unwrap_or(rest);
    let length = word_length(window);
    let word = rest.get(..length)?;
    let level = of_word(word)?;
    let capitals = word.iter().all(u8::is_ascii_uppercase);
    let set_off = || {
        let before = at.checked_sub(1).and_then(|i| line.get(i));
        let after = rest.get(length);
        let first = line.get(from..at).is_some_and(|gap| gap.iter().all(|b| b" \t-|".contains(b)));
        matches!(before, Some(b'[' | b'=' | b'<' | b'(' | b'"')) || matches!(after, Some(b':' | b']' | b'>')) || first
    };
    (capitals || set_off()).then_some(Found { level, at })
}

/// The level a whole word names, in any case.
#[inline]
pub fn of_word(word: &[u8]) -> Option<Level> {
    if !(3..=13).contains(&word.len()) || !begins_a_level(*word.first()?) {
        return None;
    }
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let names: &[(&str, Level)] = match word.first()? | 0x20 {
        b'i' => {
            &[("info", Level::Info), ("inf", Level::Info), ("information", Level::Info), ("informational", Level::Info)]
        }
        b'e' => &[
            ("error", Level::Error),
            ("err", Level::Error),
            ("emerg", Level::Critical),
            ("emergency", Level::Critical),
        ],
        b'w' => &[("warn", Level::Warn), ("warning", Level::Warn), ("wrn", Level::Warn)],
        b'd' => &[("debug", Level::Debug), ("dbg", Level::Debug)],
        b't' => &[("trace", Level::Trace), ("trc", Level::Trace)],
        b'n' => &[("notice", Level::Notice)],
        b's' => &[("severe", Level::Error)],
        b'c' => &[("critical", Level::Critical), ("crit", Level::Critical)],
        b'f' => {
            &[("fatal", Level::Critical), ("fine", Level::Debug), ("finer", Level::Trace), ("finest", Level::Trace)]
        }
        b'a' => &[("alert", Level::Critical)],
        b'p' => &[("panic", Level::Critical)],
        _ => &[],
    };
    names.iter().find(|(name, _)| is(name)).map(|(_, level)| *level)
}

/// The severity in a syslog priority.
#[must_use]
pub fn of_priority(priority: i64) -> Level {
    match priority & 7 {
        0..=2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warn,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}

/// The letter glog and klog begin a line with.
#[must_use]
pub fn of_letter(letter: u8) -> Level {
    match letter {
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' => Level::Critical,
        _ => Level::Unknown,
    }
}

/// A number some JSON loggers write: 10 is trace, 60 is fatal.
#[must_use]
pub fn of_number(number: i64) -> Level {
    match number {
        10 => Level::Trace,
        20 => Level::Debug,
        30 => Level::Info,
        40 => Level::Warn,
        50 => Level::Error,
        60 => Level::Critical,
        _ => Level::Unknown,
    }
}
