//! What is asked of one value: globs, exact bytes, patterns, comparisons.

use super::duration;
use super::expr::{Order, Test};
use super::pattern::Pattern;
use std::cmp::Ordering;

/// A test on a value, ready to be made.
#[derive(Clone, Debug)]
pub(super) enum ValueTest {
    Glob(Glob),
    Exact(Vec<u8>),
    Pattern(Pattern),
    Compare(Order, Bound),
}

impl ValueTest {
    pub(super) fn new(test: &Test) -> Self {
        match test {
            Test::Glob(glob) => Self::Glob(Glob::new(glob)),
            Test::Exact(text) => Self::Exact(text.clone().into_bytes()),
            Test::Pattern(pattern) => Self::Pattern(pattern.clone()),
            Test::Compare(order, bound) => Self::Compare(*order, Bound::new(bound)),
        }
    }

    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Glob(glob) => glob.is_match(value),
            Self::Exact(text) => text == value,
            Self::Pattern(pattern) => pattern.is_match(value),
            Self::Compare(order, bound) => order.allows(bound.order_of(value)),
        }
    }
}

impl Order {
    /// Whether a value that stands so to the bound is what was asked for.
    pub(super) fn allows(self, value_to_bound: Ordering) -> bool {
        match self {
            Self::AtLeast => value_to_bound != Ordering::Less,
            Self::AtMost => value_to_bound != Ordering::Greater,
            Self::More => value_to_bound == Ordering::Greater,
            Self::Less => value_to_bound == Ordering::Less,
        }
    }
}

/// `*` any bytes, `?` one byte, all else itself in either case; the whole value.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    folded: Vec<u8>,
    has_wildcards: bool,
}

impl Glob {
    pub(super) fn new(glob: &str) -> Self {
        let folded = glob.to_ascii_lowercase().into_bytes();
        let has_wildcards = folded.iter().any(|&byte| byte == b'*' || byte == b'?');
        Self { folded, has_wildcards }
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        if self.has_wildcards { fits(&self.folded, value) } else { self.folded.eq_ignore_ascii_case(value) }
    }
}

/// Goes back to the last star only: an earlier one never has to give up what it took.
fn fits(glob: &[u8], value: &[u8]) -> bool {
    let (mut in_glob, mut in_value) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(byte) = value.get(in_value) {
        match glob.get(in_glob) {
            Some(b'*') => {
                last_star = Some((in_glob, in_value));
                in_glob += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == byte.to_ascii_lowercase() => {
                in_glob += 1;
                in_value += 1;
            }
            _ => {
                let Some((star, taken_to)) = last_star else { return false };
                last_star = Some((star, taken_to + 1));
                (in_glob, in_value) = (star + 1, taken_to + 1);
            }
        }
    }
    glob.get(in_glob..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    text: Vec<u8>,
    number: Option<Number>,
    duration: Option<i128>,
}

impl Bound {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self { text: bytes.to_vec(), number: Number::read(bytes), duration: duration::read(bytes) }
    }

    /// How `value` stands to this: as numbers where both are, as durations where both are, else byte by byte.
    fn order_of(&self, value: &[u8]) -> Ordering {
        let as_numbers = |number| Number::read(value)?.order_of(number);
        let as_durations = |bound| Some(duration::read(value)?.cmp(&bound));
        let meant = self.number.and_then(as_numbers).or_else(|| self.duration.and_then(as_durations));
        meant.unwrap_or_else(|| value.cmp(&self.text))
    }
}

/// A decimal number. Whole ones are compared exactly: ids of 64 bits are more than a float can hold.
#[derive(Clone, Copy, Debug)]
struct Number {
    whole: Option<i128>,
    float: f64,
}

/// Longer texts are no numbers anyone compares.
const NUMBER_BYTES_MAX: usize = 64;

impl Number {
    fn read(text: &[u8]) -> Option<Self> {
        if text.len() > NUMBER_BYTES_MAX || !text.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let float: f64 = text.parse().ok()?;
        float.is_finite().then(|| Self { whole: text.parse().ok(), float })
    }

    fn order_of(self, other: Self) -> Option<Ordering> {
        match (self.whole, other.whole) {
            (Some(own), Some(other)) => Some(own.cmp(&other)),
            _ => self.float.partial_cmp(&other.float),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_of_the_whole_value() {
        let check = |glob: &str, value: &str, expected| {
            assert_eq!(Glob::new(glob).is_match(value.as_bytes()), expected, "{glob} on {value}");
        };
        for (glob, value) in [
            ("web*", "web3"),
            ("WEB*", "web"),
            ("*", ""),
            ("*.log", "/var/A.LOG"),
            ("a*b*c", "aXbbbc"),
            ("a?c", "abc"),
            ("**a**", "bab"),
            ("*ab", "aab"),
            ("a*a", "aa"),
        ] {
            check(glob, value, true);
        }
        for (glob, value) in [("web", "web3"), ("a?c", "ac"), ("", "a"), ("a*a", "a"), ("*?", ""), ("a*b*c", "acb")] {
            check(glob, value, false);
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let check = |value: &str, bound: &str, expected| {
            assert_eq!(Bound::new(bound).order_of(value.as_bytes()), expected, "{value} to {bound}");
        };
        check("500", "60", Ordering::Greater);
        check("5e2", "500", Ordering::Equal);
        check("-1", "0.5", Ordering::Less);
        check("9007199254740993", "9007199254740992", Ordering::Greater);
        check("abc", "60", Ordering::Greater);
        check("nan", "inf", Ordering::Greater);
        check("1e999", "5", Ordering::Less);
    }

    #[test]
    fn durations_are_compared_as_durations_and_with_nothing_else() {
        let check = |value: &str, bound: &str, expected| {
            assert_eq!(Bound::new(bound).order_of(value.as_bytes()), expected, "{value} to {bound}");
        };
        check("31ms", "100ms", Ordering::Less);
        check("1.5s", "1500ms", Ordering::Equal);
        check("1h", "61m", Ordering::Less);
        check("250", "100ms", Ordering::Greater);
        check("31ms", "30", Ordering::Greater);
        check("9 lives", "10s", Ordering::Greater);
    }
}
