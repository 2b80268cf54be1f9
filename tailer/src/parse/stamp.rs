//! The forms in which programs write the time.
//!
//! Each form is tried at one place of a line and says what moment it found and where it ended. Which form to try
//! where is for `find`; what to do without one is for the caller.

use super::digits::{date, four, fraction, moment, month, number, seconds, time_of_day, two, zone};
use proto::time::{Timestamp, civil_from_days};

/// What is known about stamps that do not say everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Seconds east of UTC for stamps without a zone; `None` reads them as UTC and says it is a guess.
    pub zone_seconds: Option<i32>,
    /// A stamp without a year means the year that brings it nearest to this: when the file was last written.
    pub nearest_to: Timestamp,
}

/// A stamp found at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub time: Timestamp,
    /// How many bytes it took.
    pub length: usize,
    /// The year or the zone was not written.
    pub guessed: bool,
}

/// The families of stamps, by what they begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `2026-11-21T10:04:22.123+01:00` and its kin: `/` for `-`, a space for `T`, `,` for `.`, no zone.
    Dashed,
    /// `20261121T100422.123Z`
    Basic,
    /// `261121 10:04:22` and `261121 100422`
    Short,
    /// `Nov 21 10:04:22`, with a year before the time or behind it where one stands.
    MonthFirst,
    /// `21/Nov/2026:10:04:22 +0000`
    Common,
    /// `Sat Nov 21 10:04:22.123456 2026`
    Weekday,
    /// `1795255462`, its milliseconds, microseconds or nanoseconds, or seconds with a fraction.
    Epoch,
    /// `I1121 10:04:22.123456`
    Letter,
}

impl Form {
    /// The stamp of this form at the front of `bytes`.
    #[inline]
    pub fn read(self, bytes: &[u8], rules: &Rules) -> Option<Stamp> {
        match self {
            Self::Dashed => dashed(bytes, rules),
            Self::Basic => basic(bytes, rules),
            Self::Short => short(bytes, rules),
            Self::MonthFirst => month_first(bytes, rules),
            Self::Common => common(bytes),
            Self::Weekday => weekday(bytes, rules),
            Self::Epoch => epoch(bytes),
            Self::Letter => letter(bytes, rules),
        }
    }
}

/// Whatever form stands at the front of `bytes`.
pub fn any(bytes: &[u8], rules: &Rules) -> Option<(Form, Stamp)> {
    let forms: &[Form] = match bytes.first()? {
        b'0'..=b'9' => match (bytes.get(4), bytes.get(2), bytes.get(6), bytes.get(8)) {
            (Some(b'-' | b'/'), ..) => &[Form::Dashed],
            (_, Some(b'/'), ..) => &[Form::Common],
            (.., Some(b'T')) => &[Form::Basic],
            (_, _, Some(b' '), _) => &[Form::Short],
            _ => &[Form::Epoch],
        },
        b'A'..=b'Z' if bytes.get(1).is_some_and(u8::is_ascii_digit) => &[Form::Letter],
        b'A'..=b'Z' => &[Form::MonthFirst, Form::Weekday],
        _ => &[],
    };
    forms.iter().find_map(|form| Some((*form, form.read(bytes, rules)?)))
}

/// A zone where one stands, the rule's otherwise: seconds, bytes passed, guessed.
#[inline]
fn zone_or(bytes: &[u8], rules: &Rules) -> (i64, usize, bool) {
    match (zone(bytes), rules.zone_seconds) {
        (Some((east, length)), _) => (east, length, false),
        (None, Some(east)) => (i64::from(east), 0, false),
        (None, None) => (0, 0, true),
    }
}

/// What stands behind a date: seconds of the day that were read, and a fraction and zone that may follow.
#[inline]
fn with_rest(days: i64, of_day: i64, bytes: &[u8], at: usize, rules: &Rules) -> Stamp {
    let (nanos, fraction_bytes) = fraction(bytes.get(at..).unwrap_or_default());
    let at = at + fraction_bytes;
    let (east, zone_bytes, guessed) = zone_or(bytes.get(at..).unwrap_or_default(), rules);
    Stamp { time: moment(days, of_day, nanos, east), length: at + zone_bytes, guessed }
}

#[inline]
fn dashed(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    let between = bytes.get(4)?;
    let fits = matches!(between, b'-' | b'/') && bytes.get(7)? == between && matches!(bytes.get(10)?, b'T' | b' ');
    fits.then_some(())?;
    let days = date(four(bytes, 0)?, two(bytes, 5)?, two(bytes, 8)?)?;
    Some(with_rest(days, time_of_day(bytes.get(11..)?)?, bytes, 19, rules))
}

fn basic(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    (bytes.get(8)? == &b'T').then_some(())?;
    let days = date(four(bytes, 0)?, two(bytes, 4)?, two(bytes, 6)?)?;
    let of_day = seconds(two(bytes, 9)?, two(bytes, 11)?, two(bytes, 13)?)?;
    Some(with_rest(days, of_day, bytes, 15, rules))
}

fn short(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    (bytes.get(6)? == &b' ').then_some(())?;
    let days = date(2000 + two(bytes, 0)?, two(bytes, 2)?, two(bytes, 4)?)?;
    // An hour of one digit is written with a space before it.
    let spaced = usize::from(bytes.get(7) == Some(&b' '));
    let clock = bytes.get(7 + spaced..)?;
    if spaced == 1 {
        let of_day = seconds(two(&[b'0', *clock.first()?], 0)?, two(clock, 2)?, two(clock, 5)?)?;
        return (clock.get(1) == Some(&b':')).then(|| with_rest(days, of_day, bytes, 15, rules));
    }
    if let Some(of_day) = time_of_day(clock) {
        return Some(with_rest(days, of_day, bytes, 15, rules));
    }
    let of_day = seconds(two(clock, 0)?, two(clock, 2)?, two(clock, 4)?)?;
    Some(with_rest(days, of_day, bytes, 13, rules))
}

#[inline]
fn month_first(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    let month = month(bytes)?;
    (bytes.get(3)? == &b' ').then_some(())?;
    let (day, mut at) = match *bytes.get(4)? {
        b' ' => (u32::from(bytes.get(5)?.wrapping_sub(b'0')), 6),
        _ if bytes.get(5)? == &b' ' => (u32::from(bytes.get(4)?.wrapping_sub(b'0')), 5),
        _ => (two(bytes, 4)?, 6),
    };
    (bytes.get(at)? == &b' ' && day <= 31).then_some(())?;
    at += 1;
    let mut year = None;
    if bytes.get(at + 2) != Some(&b':') && bytes.get(at + 4) == Some(&b' ') {
        year = Some(four(bytes, at)?);
        at += 5;
    }
    let of_day = time_of_day(bytes.get(at..)?)?;
    at += 8;
    if let Some(year) = year {
        return Some(with_rest(date(year, month, day)?, of_day, bytes, at, rules));
    }
    yearless(month, day, of_day, bytes, at, rules)
}

/// The year that puts a day and time nearest to the moment the rules name.
#[inline]
fn yearless(month: u32, day: u32, of_day: i64, bytes: &[u8], at: usize, rules: &Rules) -> Option<Stamp> {
    let reference = rules.nearest_to.seconds();
    let (year, ..) = civil_from_days(reference.div_euclid(86_400));
    let year = u32::try_from(year).ok()?;
    let distance = |days: &i64| (days * 86_400 + of_day - reference).abs();
    let this = date(year, month, day).filter(|days| distance(days) < 180 * 86_400);
    let nearest = || (year.saturating_sub(1)..=year + 1).filter_map(|y| date(y, month, day)).min_by_key(distance);
    let stamp = with_rest(this.or_else(nearest)?, of_day, bytes, at, rules);
    Some(Stamp { guessed: true, ..stamp })
}

fn common(bytes: &[u8]) -> Option<Stamp> {
    let fits = bytes.get(2)? == &b'/' && bytes.get(6)? == &b'/' && bytes.get(11)? == &b':';
    fits.then_some(())?;
    let days = date(four(bytes, 7)?, month(bytes.get(3..)?)?, two(bytes, 0)?)?;
    let of_day = time_of_day(bytes.get(12..)?)?;
    let (east, length) = zone(bytes.get(20..)?)?;
    Some(Stamp { time: moment(days, of_day, 0, east), length: 20 + length, guessed: false })
}

fn weekday(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    let day = bytes.get(..4)?;
    matches!(day, b"Mon " | b"Tue " | b"Wed " | b"Thu " | b"Fri " | b"Sat " | b"Sun ").then_some(())?;
    let date_and_clock = bytes.get(4..)?;
    let found = month_first(date_and_clock, rules)?;
    // The year may follow, as `ctime` writes it, with the name of a zone before it.
    let behind = date_and_clock.get(found.length..)?;
    let skip = if behind.first() == Some(&b' ') { 1 } else { 0 };
    let Some(year) = four(behind, skip) else { return Some(Stamp { length: found.length + 4, ..found }) };
    let month = month(date_and_clock)?;
    let day = number(date_and_clock.get(4..)?.trim_ascii_start()).and_then(|(day, _)| u32::try_from(day).ok())?;
    let shift = (date(year, month, day)? - found.time.seconds().div_euclid(86_400)).saturating_mul(86_400);
    let time = Timestamp(found.time.0.saturating_add(Timestamp::from_seconds(shift).0));
    Some(Stamp { time, length: 4 + found.length + skip + 4, guessed: rules.zone_seconds.is_none() })
}

/// Seconds have ten digits from 2001 to 2286, and each unit below has three digits more.
fn epoch(bytes: &[u8]) -> Option<Stamp> {
    let (value, length) = number(bytes)?;
    let rest = bytes.get(length..).unwrap_or_default();
    if rest.first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    let unit = match length {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    let (nanos, fraction_bytes) = if length == 10 { fraction(rest) } else { (0, 0) };
    let time = Timestamp(value.saturating_mul(unit).saturating_add(nanos));
    Some(Stamp { time, length: length + fraction_bytes, guessed: false })
}

fn letter(bytes: &[u8], rules: &Rules) -> Option<Stamp> {
    (matches!(bytes.first()?, b'I' | b'W' | b'E' | b'F') && bytes.get(5)? == &b' ').then_some(())?;
    let (month, day) = (two(bytes, 1)?, two(bytes, 3)?);
    yearless(month, day, time_of_day(bytes.get(6..)?)?, bytes, 14, rules)
}
