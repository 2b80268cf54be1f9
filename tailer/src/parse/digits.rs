//! Reading digits and moments out of bytes: the small steps every form of time stamp is made of.
//!
//! Promises: never panics, never reads past the bytes it was given, refuses what is no date or time of day.

use proto::time::{Timestamp, days_from_civil};

/// The value of two digits.
#[inline]
pub fn two(bytes: &[u8], at: usize) -> Option<u32> {
    let pair: &[u8; 2] = bytes.get(at..)?.first_chunk()?;
    let (tens, ones) = (pair[0].wrapping_sub(b'0'), pair[1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// The value of four digits.
#[inline]
pub fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(two(bytes, at)? * 100 + two(bytes, at + 2)?)
}

/// How many digits stand at the front, and their value. More than 19 are no number we know.
#[inline]
pub fn number(bytes: &[u8]) -> Option<(i64, usize)> {
    let (mut value, mut length) = (0_i64, 0);
    while let Some(digit) = bytes.get(length).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
        length += 1;
    }
    (length > 0).then_some((value, length))
}

/// A fraction of a second that stands behind a `.` or `,`: nanoseconds and bytes passed. Digits beyond the
/// ninth are passed over; no fraction is zero nanoseconds and no bytes.
#[inline]
pub fn fraction(bytes: &[u8]) -> (i64, usize) {
    if !matches!(bytes.first(), Some(b'.' | b',')) {
        return (0, 0);
    }
    let (mut nanos, mut unit, mut length) = (0, 100_000_000, 1);
    while let Some(digit) = bytes.get(length).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        nanos += i64::from(digit) * unit;
        unit /= 10;
        length += 1;
    }
    if length == 1 { (0, 0) } else { (nanos, length) }
}

/// A day of the calendar that exists.
#[inline]
pub fn date(year: u32, month: u32, day: u32) -> Option<i64> {
    (1..=12).contains(&month).then_some(())?;
    (day >= 1 && day <= days_of(year, month)).then(|| days_from_civil(i64::from(year), month, day))
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `hh:mm:ss` as seconds of the day; a leap second is the next minute's first.
#[inline]
pub fn time_of_day(bytes: &[u8]) -> Option<i64> {
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    seconds(two(bytes, 0)?, two(bytes, 3)?, two(bytes, 6)?)
}

/// Hours, minutes and seconds as seconds of the day.
#[inline]
pub fn seconds(hour: u32, minute: u32, second: u32) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then(|| i64::from(hour * 3600 + minute * 60 + second))
}

/// A day, seconds of it, nanoseconds and an offset to UTC make a moment.
#[inline]
pub fn moment(days: i64, of_day: i64, nanos: i64, zone_seconds: i64) -> Timestamp {
    Timestamp(Timestamp::from_seconds(days * 86_400 + of_day - zone_seconds).0.saturating_add(nanos))
}

/// A zone written behind a time: seconds east of UTC and bytes passed. `Z`, `+hh:mm`, `-hhmm`, ` UTC`, ` GMT`.
#[inline]
pub fn zone(bytes: &[u8]) -> Option<(i64, usize)> {
    let spaced = usize::from(bytes.first() == Some(&b' '));
    let rest = bytes.get(spaced..)?;
    match rest.first()? {
        b'Z' => Some((0, spaced + 1)),
        b'U' | b'G' if rest.starts_with(b"UTC") || rest.starts_with(b"GMT") => Some((0, spaced + 3)),
        sign @ (b'+' | b'-') => {
            let colon = usize::from(rest.get(3) == Some(&b':'));
            let (hours, minutes) = (two(rest, 1)?, two(rest, 3 + colon)?);
            let ends = rest.get(5 + colon).is_none_or(|b| !b.is_ascii_alphanumeric());
            let east = i64::from(hours * 3600 + minutes * 60);
            (hours <= 14 && minutes < 60 && ends)
                .then_some((if *sign == b'-' { -east } else { east }, spaced + 5 + colon))
        }
        _ => None,
    }
}

/// A month by its first three letters.
#[inline]
pub fn month(bytes: &[u8]) -> Option<u32> {
    Some(match bytes.get(..3)? {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}
