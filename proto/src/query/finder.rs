//! Finding bytes in a line, in either case of ASCII letters or in one, without copying the line.
//!
//! Where case doesn't matter, the needle's rarest letter is looked for in both cases, and what stands around
//! it is compared. A line made to defeat that (`aaaa…` for `aaab`) is folded into a copy and searched in linear
//! time instead. Beside `sweep` the only file that names the crate memchr.

use memchr::memmem;

/// A needle, ready to be looked for.
#[derive(Clone, Debug)]
pub struct Finder(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Case matters, or the needle has no letters.
    Exact(memmem::Finder<'static>),
    Folded(Folded),
}

/// A needle with letters, in lower case.
#[derive(Clone, Debug)]
struct Folded {
    needle: Vec<u8>,
    /// Where its rarest byte stands, and its next rarest.
    rare: usize,
    next_rare: usize,
    linear: memmem::Finder<'static>,
}

/// Bytes compared in vain, per byte of the line, before the line is copied. Ordinary text stays below one.
const VAIN_BYTES_PER_BYTE: usize = 4;

impl Finder {
    /// `needle` is folded to lower case here unless it is `exact`.
    #[must_use]
    pub fn new(needle: &[u8], exact: bool) -> Self {
        if exact || !needle.iter().any(u8::is_ascii_alphabetic) {
            return Self(Kind::Exact(memmem::Finder::new(needle).into_owned()));
        }
        Self(Kind::Folded(Folded::new(needle.to_ascii_lowercase())))
    }

    /// Where the needle first stands.
    #[must_use]
    pub fn find(&self, line: &[u8]) -> Option<usize> {
        match &self.0 {
            Kind::Exact(finder) => finder.find(line),
            Kind::Folded(folded) => folded.find(line),
        }
    }

    #[must_use]
    pub fn is_in(&self, line: &[u8]) -> bool {
        self.find(line).is_some()
    }

    pub(super) fn needle_len(&self) -> usize {
        match &self.0 {
            Kind::Exact(finder) => finder.needle().len(),
            Kind::Folded(folded) => folded.needle.len(),
        }
    }
}

impl Folded {
    fn new(needle: Vec<u8>) -> Self {
        let mut places: Vec<usize> = (0..needle.len()).collect();
        places.sort_by_key(|&place| needle.get(place).map(|&byte| commonness(byte)));
        let rare = places.first().copied().unwrap_or(0);
        let next_rare = places.get(1).copied().unwrap_or(rare);
        let linear = memmem::Finder::new(&needle).into_owned();
        Self { needle, rare, next_rare, linear }
    }

    fn find(&self, line: &[u8]) -> Option<usize> {
        let last_start = line.len().checked_sub(self.needle.len())?;
        let window = line.get(self.rare..=self.rare + last_start)?;
        let rare = *self.needle.get(self.rare)?;
        if rare.is_ascii_alphabetic() {
            self.first_that_fits(line, memchr::memchr2_iter(rare, rare.to_ascii_uppercase(), window))
        } else {
            self.first_that_fits(line, memchr::memchr_iter(rare, window))
        }
    }

    fn first_that_fits(&self, line: &[u8], starts: impl Iterator<Item = usize>) -> Option<usize> {
        let mut vain_bytes_left = line.len().saturating_mul(VAIN_BYTES_PER_BYTE);
        for start in starts {
            let here = line.get(start..start + self.needle.len())?;
            let Some(equal_bytes) = self.equal_bytes_before_difference(here) else { return Some(start) };
            match vain_bytes_left.checked_sub(equal_bytes) {
                Some(left) => vain_bytes_left = left,
                None => return self.find_in_copy(line, start),
            }
        }
        None
    }

    /// `None` when there is no difference.
    fn equal_bytes_before_difference(&self, here: &[u8]) -> Option<usize> {
        let folded = here.get(self.next_rare).map(u8::to_ascii_lowercase);
        if folded != self.needle.get(self.next_rare).copied() {
            return Some(0);
        }
        here.iter().zip(&self.needle).position(|(byte, wanted)| byte.to_ascii_lowercase() != *wanted)
    }

    #[cold]
    fn find_in_copy(&self, line: &[u8], from: usize) -> Option<usize> {
        let copy = line.get(from..)?.to_ascii_lowercase();
        self.linear.find(&copy).map(|at| from + at)
    }
}

/// What logs are made of, most common first, counted over a corpus of syslog, access logs, JSON and Java.
/// Only the order matters, and only for speed.
const COMMON: &[u8] = b" e0tain1o2rs-:.3lcd4/5m6p78u9hgf=b\"_,yw[]k()vxjqz{}#@;'";

/// Bytes so rare that many lines lack them; the rarest of some bytes, if it is.
pub(super) fn rare(bytes: impl Iterator<Item = u8>) -> Option<u8> {
    const RARE: usize = 24;
    bytes.min_by_key(|&byte| commonness(byte)).filter(|&byte| commonness(byte) < RARE)
}

/// The more common, the greater.
fn commonness(byte: u8) -> usize {
    COMMON.iter().position(|&common| common == byte).map_or(0, |at| COMMON.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(needle: &[u8], exact: bool, line: &[u8]) -> Option<usize> {
        let fold = |bytes: &[u8]| if exact { bytes.to_vec() } else { bytes.to_ascii_lowercase() };
        let (needle, line) = (fold(needle), fold(line));
        (0..=line.len().checked_sub(needle.len())?).find(|&at| line[at..].starts_with(&needle))
    }

    #[test]
    fn cases_fold_only_where_they_may() {
        let check = |needle: &[u8], exact, line: &[u8], expected| {
            assert_eq!(Finder::new(needle, exact).find(line), expected, "{needle:?} in {line:?}");
        };
        check(b"Error", false, b"an eRRoR", Some(3));
        check(b"Error", true, b"an error", None);
        check(b"[]", false, b"a{}[]", Some(3));
        check(b"@`", false, b"`@", None);
        check(b"k", false, "\u{212a}".as_bytes(), None);
        check("\u{c9}t".as_bytes(), false, "\u{c9}T".as_bytes(), Some(0));
        check("\u{c9}t".as_bytes(), false, "\u{e9}t".as_bytes(), None);
        check(b"abc", false, b"ab", None);
    }

    #[test]
    fn a_line_made_to_be_slow_is_not() {
        let line = vec![b'a'; 60_000];
        let needle = [vec![b'a'; 30_000], b"b".to_vec(), vec![b'a'; 10]].concat();
        let finder = Finder::new(&[vec![b'a'; 10_000], vec![b'A'; 10_000]].concat(), false);
        assert_eq!(finder.find(&line), Some(0));
        assert_eq!(Finder::new(&needle, false).find(&line), None);
        let mixed: Vec<u8> = b"ab".iter().cycle().take(60_000).copied().collect();
        let needle: Vec<u8> = [b"ba".repeat(15_000), b"aa".to_vec()].concat();
        assert_eq!(Finder::new(&needle, false).find(&mixed), None);
        let line = [mixed, needle.clone()].concat();
        assert_eq!(Finder::new(&needle, false).find(&line), Some(60_000));
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            needle in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'B'), Just(b' '), Just(b'b'), any::<u8>()], 1..5),
            line in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'A'), Just(b'b'), Just(b' '), any::<u8>()], 0..80),
            exact: bool,
        ) {
            prop_assert_eq!(Finder::new(&needle, exact).find(&line), naive(&needle, exact, &line));
        }
    }
}
