//! Durations as programs write them into lines: `31ms`, `1.5s`, `1h30m`, `250 us`.
//!
//! A number and a unit, or several of them one after another, as Go prints them; a space may stand before a unit. A
//! bare number is none: what it counts is not known.

/// Longer texts are no durations anyone compares.
const DURATION_BYTES_MAX: usize = 64;

/// More digits than these, on one side of the point, are past any clock.
const DIGITS_MAX: usize = 18;

const SECOND: i128 = 1_000_000_000;

/// In nanoseconds; longer before shorter.
const UNITS: [(&str, i128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 86_400 * SECOND),
];

/// In nanoseconds; what is finer is left out. `None` for what is no duration.
pub(super) fn read(text: &[u8]) -> Option<i128> {
    if text.len() > DURATION_BYTES_MAX || !text.last()?.is_ascii_lowercase() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut nanos = 0_i128;
    while !rest.is_empty() {
        let (piece, after) = read_one(rest)?;
        nanos = nanos.checked_add(piece)?;
        rest = after;
    }
    Some(if negative { -nanos } else { nanos })
}

/// One number with its unit, and what stands after it.
fn read_one(text: &str) -> Option<(i128, &str)> {
    let (whole, rest) = digits(text)?;
    let (fraction, rest) = rest.strip_prefix('.').map_or(Some(("", rest)), digits)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (unit, after) = UNITS.iter().find_map(|(name, unit)| Some((*unit, rest.strip_prefix(name)?)))?;
    let scale = fraction.bytes().try_fold(1_i128, |scale, _| scale.checked_mul(10))?;
    let parts = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()?.checked_mul(unit)? / scale };
    Some((whole.parse::<i128>().ok()?.checked_mul(unit)?.checked_add(parts)?, after))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let len = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    if (1..=DIGITS_MAX).contains(&len) { text.split_at_checked(len) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_each_of_their_spellings() {
        let check = |text: &str, nanos: i128| assert_eq!(read(text.as_bytes()), Some(nanos), "{text}");
        check("31ms", 31_000_000);
        check("1.5s", 1_500_000_000);
        check("1h30m", 5_400 * SECOND);
        check("1m2.25s", 62_250_000_000);
        check("250 us", 250_000);
        check("250\u{b5}s", 250_000);
        check("3\u{3bc}s", 3_000);
        check("0.1s", 100_000_000);
        check("12.3456ns", 12);
        check("-2d", -172_800 * SECOND);
        check("0s", 0);
        check("999999999999999999d", 999_999_999_999_999_999 * 86_400 * SECOND);
    }

    #[test]
    fn all_else_is_no_duration() {
        for text in ["", "5", "ms", "1.s", ".5s", "5 ", "5  s", "1e3s", "5S", "5sec", "1h 30", "--1s", "1-s", "5\u{b5}"]
        {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"5s\xff"), None);
        assert_eq!(read(format!("{}s", "9".repeat(19)).as_bytes()), None);
        assert_eq!(read("1s".repeat(40).as_bytes()), None);
    }
}
