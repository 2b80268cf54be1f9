//! Time as people type it, and the stretch of time a question is about.
//!
//! Whoever asks says what time it is; nothing here reads a clock. A time without a zone is UTC, as everything
//! that is shown is unless somebody chose otherwise.

use crate::time::{Timestamp, days_from_civil};

/// From a moment up to and without another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl TimeRange {
    /// All of time but its last nanosecond.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// Reads both ends; refuses a range in which nothing can be.
    pub fn read(from: &str, to: &str, now: Timestamp) -> Result<Self, BadTime> {
        let range = Self { from: read_time(from, now)?, to: read_time(to, now)? };
        if range.is_empty() { Err(BadTime::Backwards(range)) } else { Ok(range) }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    #[must_use]
    pub fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    /// Whether something that reaches from `first` to `last`, both included, has a moment in this.
    #[must_use]
    pub fn touches(self, first: Timestamp, last: Timestamp) -> bool {
        !self.is_empty() && first < self.to && self.from <= last
    }

    /// What is in both; empty when nothing is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }
}

/// Why a time can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    #[error("{0:?} is not a time; write now, now-15m, -2h30m, 2026-11-21, 2026-11-21T10:04:05Z or unix seconds")]
    NoTime(String),
    #[error("{0:?} is not a length of time; write 90s, 15m, 2h30m, 7d or 2w")]
    NoLength(String),
    #[error("{text:?} has no such {part}")]
    NoSuch { text: String, part: &'static str },
    #[error("{0:?} looks like a date without its hyphens; write 2026-11-21")]
    NoHyphens(String),
    #[error("{0:?} is before 1677 or after 2262")]
    OutOfReach(String),
    #[error("nothing is from {} up to {}", .0.from, .0.to)]
    Backwards(TimeRange),
}

const NANOS: i128 = 1_000_000_000;

/// Reads a time: `now`, `now-15m`, `-2h30m`, `2026-11-21`, `2026-11-21 10:04:05.5+01:00`, or unix time in
/// seconds (with any fraction), milli-, micro- or nanoseconds, told apart by how many digits it has.
pub fn read_time(text: &str, now: Timestamp) -> Result<Timestamp, BadTime> {
    let text = text.trim();
    let nanos = if let Some(after_now) = text.strip_prefix("now") {
        i128::from(now.0) + offset_from_now(text, after_now.trim_start())?
    } else if text.starts_with(['-', '+']) {
        i128::from(now.0) + offset_from_now(text, text)?
    } else if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        unix_nanos(text)?
    } else {
        calendar_nanos(text)?
    };
    i64::try_from(nanos).map(Timestamp).map_err(|_| BadTime::OutOfReach(cut(text)))
}

/// What a complaint repeats of a text.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// `-15m`, `+1h`, or nothing.
fn offset_from_now(text: &str, offset: &str) -> Result<i128, BadTime> {
    match (offset.strip_prefix('-'), offset.strip_prefix('+')) {
        (Some(length), _) => length_nanos(length.trim_start()).map(|nanos| -nanos),
        (_, Some(length)) => length_nanos(length.trim_start()),
        _ if offset.is_empty() => Ok(0),
        _ => Err(BadTime::NoTime(cut(text))),
    }
}

/// Longer before shorter.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1000),
    ("ms", 1_000_000),
    ("s", NANOS),
    ("m", 60 * NANOS),
    ("h", 3600 * NANOS),
    ("d", 86_400 * NANOS),
    ("w", 7 * 86_400 * NANOS),
];

/// `2h30m`: whole numbers, each with its unit.
fn length_nanos(text: &str) -> Result<i128, BadTime> {
    let refuse = || BadTime::NoLength(cut(text));
    let (mut nanos, mut rest) = (0_i128, text);
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        // Eighteen digits of weeks fit the sum a thousand million times over.
        let count: i128 = digits.parse::<u64>().ok().filter(|_| digits.len() <= 18).ok_or_else(refuse)?.into();
        let (unit, unit_nanos) = UNITS.into_iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(refuse)?;
        nanos = nanos.checked_add(count * unit_nanos).ok_or_else(refuse)?;
        rest = after.get(unit.len()..).unwrap_or("");
    }
    if text.is_empty() { Err(refuse()) } else { Ok(nanos) }
}

fn split_digits(text: &str) -> (&str, &str) {
    let len = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(len).unwrap_or((text, ""))
}

/// Digits, perhaps with a fraction, which only seconds have.
fn unix_nanos(text: &str) -> Result<i128, BadTime> {
    let (whole, after) = split_digits(text);
    let number: i128 = whole.parse().map_err(|_| BadTime::NoTime(cut(text)))?;
    if let Some(fraction) = after.strip_prefix('.') {
        let fraction = fraction_nanos(text, fraction)?;
        let nanos = number.checked_mul(NANOS).and_then(|nanos| nanos.checked_add(fraction));
        return nanos.ok_or_else(|| BadTime::OutOfReach(cut(text)));
    }
    Ok(match whole.len() {
        // As seconds these are moments of 1970; nobody means them.
        4 | 8 if !whole.starts_with('0') => return Err(BadTime::NoHyphens(cut(text))),
        1..=11 => number * NANOS,
        12..=14 => number * 1_000_000,
        15..=17 => number * 1000,
        _ => number,
    })
}

/// Of any length; what is finer than a nanosecond is left out.
fn fraction_nanos(text: &str, fraction: &str) -> Result<i128, BadTime> {
    let digits: String = fraction.chars().take(9).collect();
    if digits.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadTime::NoTime(cut(text)));
    }
    format!("{digits:0<9}").parse().map_err(|_| BadTime::NoTime(cut(text)))
}

/// A date, a date and a time, and perhaps a zone.
fn calendar_nanos(text: &str) -> Result<i128, BadTime> {
    let refuse = || BadTime::NoTime(cut(text));
    let mut reader = Reader { whole: text, rest: text };
    let days = reader.date()?;
    if reader.rest.is_empty() {
        return Ok(i128::from(days) * 86_400 * NANOS);
    }
    reader.rest = reader.rest.strip_prefix(['T', 't', ' ']).ok_or_else(refuse)?;
    let of_day = reader.time_of_day()?;
    let east_of_utc = reader.zone()?;
    if !reader.rest.is_empty() {
        return Err(refuse());
    }
    Ok(i128::from(days) * 86_400 * NANOS + of_day - east_of_utc)
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn refuse(&self) -> BadTime {
        BadTime::NoTime(cut(self.whole))
    }

    fn sign(&mut self, sign: char) -> Result<(), BadTime> {
        self.rest = self.rest.strip_prefix(sign).ok_or_else(|| self.refuse())?;
        Ok(())
    }

    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Result<u32, BadTime> {
        let (number, rest) = self.rest.split_at_checked(digits).ok_or_else(|| self.refuse())?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.refuse());
        }
        self.rest = rest;
        number.parse().map_err(|_| self.refuse())
    }

    fn up_to(&mut self, max: u32, part: &'static str) -> Result<u32, BadTime> {
        let number = self.number(2)?;
        if number <= max { Ok(number) } else { Err(BadTime::NoSuch { text: cut(self.whole), part }) }
    }

    fn date(&mut self) -> Result<i64, BadTime> {
        let year = i64::from(self.number(4)?);
        self.sign('-')?;
        let month = self.up_to(12, "month")?;
        self.sign('-')?;
        let day = self.up_to(31, "day")?;
        let no_such = |part| BadTime::NoSuch { text: cut(self.whole), part };
        if month == 0 {
            return Err(no_such("month"));
        }
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = days_from_civil(year, month, 1);
        let days_in_month = days_from_civil(next_year, next_month, 1) - first;
        let before = i64::from(day) - 1;
        if (0..days_in_month).contains(&before) { Ok(first + before) } else { Err(no_such("day")) }
    }

    /// `10:04`, `10:04:05`, `10:04:05.123`. A leap second is the first of the next minute.
    fn time_of_day(&mut self) -> Result<i128, BadTime> {
        let hour = self.up_to(23, "hour")?;
        self.sign(':')?;
        let minute = self.up_to(59, "minute")?;
        let mut nanos = i128::from(hour * 60 + minute) * 60 * NANOS;
        if self.rest.starts_with(':') {
            self.sign(':')?;
            nanos += i128::from(self.up_to(60, "second")?) * NANOS;
            if let Some(fraction) = self.rest.strip_prefix(['.', ',']) {
                let (fraction, rest) = split_digits(fraction);
                nanos += fraction_nanos(self.whole, fraction)?;
                self.rest = rest;
            }
        }
        Ok(nanos)
    }

    /// How far east of UTC: `Z`, `+01:00`, `+0100`, `+01`, or nothing, which is UTC.
    fn zone(&mut self) -> Result<i128, BadTime> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix(['Z', 'z']) {
            self.rest = rest;
            return Ok(0);
        }
        let sign = match self.rest.chars().next() {
            None => return Ok(0),
            Some('+') => 1,
            Some('-') => -1,
            Some(_) => return Err(self.refuse()),
        };
        self.rest = self.rest.get(1..).unwrap_or("");
        let hours = self.up_to(23, "zone")?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        let minutes = if self.rest.is_empty() { 0 } else { self.up_to(59, "zone")? };
        Ok(sign * i128::from(hours * 60 + minutes) * 60 * NANOS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_255_445_123_456_789); // 2026-11-21T10:04:05.123456789Z

    #[test]
    fn times_are_read_as_people_type_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read_time(text, NOW).map(|time| time.to_string()), Ok(expected.to_owned()), "{text}");
        };
        check("now", "2026-11-21T10:04:05.123456789Z");
        check(" now - 15m ", "2026-11-21T09:49:05.123456789Z");
        check("now-15m", "2026-11-21T09:49:05.123456789Z");
        check("now+1h", "2026-11-21T11:04:05.123456789Z");
        check("-2h30m", "2026-11-21T07:34:05.123456789Z");
        check("-1w1d", "2026-11-13T10:04:05.123456789Z");
        check("-123456789ns", "2026-11-21T10:04:05.000000000Z");
        check("2026-11-21", "2026-11-21T00:00:00.000000000Z");
        check("2026-11-21 10:04", "2026-11-21T10:04:00.000000000Z");
        check("2026-11-21T10:04:05Z", "2026-11-21T10:04:05.000000000Z");
        check("2026-11-21t10:04:05.5z", "2026-11-21T10:04:05.500000000Z");
        check("2026-11-21 10:04:05,123 +01:00", "2026-11-21T09:04:05.123000000Z");
        check("2026-11-21T10:04:05.1234567891234-0130", "2026-11-21T11:34:05.123456789Z");
        check("2026-11-21T10:04:05+01", "2026-11-21T09:04:05.000000000Z");
        check("2028-02-29", "2028-02-29T00:00:00.000000000Z");
        check("2026-12-31T23:59:60Z", "2027-01-01T00:00:00.000000000Z");
        check("1795255445", "2026-11-21T10:04:05.000000000Z");
        check("1795255445.5", "2026-11-21T10:04:05.500000000Z");
        check("1795255445123", "2026-11-21T10:04:05.123000000Z");
        check("1795255445123456", "2026-11-21T10:04:05.123456000Z");
        check("1795255445123456789", "2026-11-21T10:04:05.123456789Z");
        check("4000000000", "2096-10-02T07:06:40.000000000Z");
        check("0", "1970-01-01T00:00:00.000000000Z");
        check("1677-09-22", "1677-09-22T00:00:00.000000000Z");
    }

    #[test]
    fn what_is_no_time_is_told_why() {
        let check = |text: &str, expected: &str| {
            let complaint = read_time(text, NOW).expect_err(text).to_string();
            assert!(complaint.contains(expected), "{text}: {complaint}");
        };
        for text in
            ["", "yesterday", "nowish", "2026-11-21x", "2026-11-21T10", "10:04", "1.2.3", ".", "1795255445.", "15m"]
        {
            check(text, "is not a time");
        }
        for text in ["-15", "now-", "-15x", "-m", "-1h 5m", "-\u{e9}", "-9999999999999999999999h"] {
            check(text, "is not a length of time");
        }
        check("2026-13-01", "no such month");
        check("2026-00-01", "no such month");
        check("2026-02-29", "no such day");
        check("2026-02-00", "no such day");
        check("2026-11-21T24:00", "no such hour");
        check("2026-11-21T10:60", "no such minute");
        check("2026-11-21T10:04:61", "no such second");
        check("2026-11-21T10:04:05+24:00", "no such zone");
        check("20261121", "without its hyphens");
        check("2026", "without its hyphens");
        check("9999-01-01", "after 2262");
        check("-99999w", "before 1677");
        check("99999999999999999999999999999999999999", "after 2262");
        check("99999999999999999999999999999999999999.5", "after 2262");
        check("170141183460469231731687303715.999999999", "after 2262");
    }

    #[test]
    fn a_range_holds_its_first_moment_and_not_its_end() {
        let range = TimeRange::read("-1h", "now", NOW).expect("an hour");
        assert!(range.contains(range.from) && !range.contains(range.to));
        assert!(range.touches(range.to.before(std::time::Duration::from_nanos(1)), Timestamp::MAX));
        assert!(!range.touches(range.to, Timestamp::MAX));
        assert!(range.touches(Timestamp::MIN, range.from));
        assert_eq!(TimeRange::ALL.and(range), range);
        assert!(matches!(TimeRange::read("now", "now", NOW), Err(BadTime::Backwards(_))));
        assert!(matches!(TimeRange::read("now", "-1h", NOW), Err(BadTime::Backwards(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(nanos: i64) {
            prop_assert_eq!(read_time(&Timestamp(nanos).to_string(), NOW), Ok(Timestamp(nanos)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", near in "[-+0-9T:.Z nowhm]{0,24}", now: i64) {
            let _ = read_time(&text, Timestamp(now)).map_err(|bad| bad.to_string());
            let _ = read_time(&near, Timestamp(now)).map_err(|bad| bad.to_string());
        }
    }
}
