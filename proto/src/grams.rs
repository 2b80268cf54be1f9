//! Grams: the short runs of bytes by which pages and packets are known to hold, or not to hold, some text.
//!
//! A line is indexed as itself and the newline that ended it, ASCII letters folded to lower case. Each window of
//! three bytes without a digit is a gram, and each window of four bytes with one: numbers share so few triples
//! that plain 3-grams can't find one among many, and four bytes can. A gram's key is 25 bits:
//!
//! ```text
//! 0 bbbbbbbb bbbbbbbb bbbbbbbb        three folded bytes, none of them a digit
//! 1 cccccc cccccc cccccc cccccc       the classes of four folded bytes, at least one of them a digit
//! ```
//!
//! A class is a digit, a letter, a usual mark, or one of a few heaps for what is rare beside numbers. Classes
//! only ever let too much through; whoever finds a page by its grams still reads the lines.
//!
//! What grams promise: text of three bytes or more that stands in a line has all its grams among the line's
//! ([`needed`]). Three bytes with a digit make no gram of their own; they stand at the front of one, because a
//! line has its newline, so they are a range of keys.

/// Keys lie below this.
pub const GRAM_KEYS: u32 = 1 << 25;

const FOUR: u32 = 1 << 24;
const MASK: u32 = FOUR - 1;
const DIGIT: u32 = 1 << 16;

/// One gram's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gram(pub u32);

impl Gram {
    /// A window of four bytes, because one of them is a digit.
    #[must_use]
    pub fn has_digit(self) -> bool {
        self.0 >= FOUR
    }
}

/// What a byte contributes: the folded byte, its class above that, and whether it is a digit.
const BYTES: [u32; 256] = bytes();

/// Marks that have a class to themselves, in the order of their classes; those in one string share one.
const MARKS: [&[u8]; 26] = [
    b" ",
    b".",
    b",",
    b":",
    b";",
    b"-",
    b"_",
    b"/",
    b"=",
    b"(",
    b")",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"@",
    b"#",
    b"%",
    b"&",
    b"+",
    b"|",
    b"{}",
    b"<>",
    b"?",
    b"!^`~$\\*",
    b"\n",
];

const fn bytes() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0u32;
    while byte < 256 {
        let folded = if byte >= 65 && byte <= 90 { byte + 32 } else { byte };
        let digit = if folded >= 48 && folded <= 57 { DIGIT } else { 0 };
        table[byte as usize] = folded | class_of(folded) << 8 | digit;
        byte += 1;
    }
    table
}

const fn class_of(folded: u32) -> u32 {
    if folded >= 48 && folded <= 57 {
        return folded - 48;
    }
    if folded >= 97 && folded <= 122 {
        return folded - 97 + 10;
    }
    let mut class = 0;
    while class < 26 {
        let marks = MARKS[class as usize];
        let mut at = 0;
        while at < marks.len() {
            if marks[at] as u32 == folded {
                return 36 + class;
            }
            at += 1;
        }
        class += 1;
    }
    if folded >= 128 { 63 } else { 62 }
}

/// Reads a line, in pieces if need be, and names its grams; the same gram as often as it comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roller {
    three: u32,
    four: u32,
    /// One bit a byte: was it a digit. A bit higher up counts the bytes read, to three.
    digits: u32,
    read: u32,
}

impl Roller {
    #[inline]
    pub fn push(&mut self, bytes: &[u8], mut visit: impl FnMut(Gram)) {
        let mut rest = bytes;
        while self.read < 3 {
            let Some((&byte, tail)) = rest.split_first() else { return };
            self.step(byte);
            self.read += 1;
            if self.read == 3 && self.digits & 7 == 0 {
                visit(Gram(self.three));
            }
            rest = tail;
        }
        for &byte in rest {
            self.step(byte);
            if self.digits & 7 == 0 {
                visit(Gram(self.three));
            }
            if self.digits & 15 != 0 {
                visit(Gram(FOUR | self.four));
            }
        }
    }

    /// The line is over: its newline follows, and another line may begin.
    #[inline]
    pub fn end_line(&mut self, visit: impl FnMut(Gram)) {
        self.push(b"\n", visit);
        *self = Self::default();
    }

    #[inline]
    fn step(&mut self, byte: u8) {
        let known = BYTES[usize::from(byte)];
        self.three = (self.three << 8 | known & 0xff) & MASK;
        self.four = (self.four << 6 | known >> 8 & 0x3f) & MASK;
        self.digits = self.digits << 1 | known >> 16;
    }
}

/// The grams of one whole line.
pub fn grams_of(line: &[u8], mut visit: impl FnMut(Gram)) {
    let mut roller = Roller::default();
    roller.push(line, &mut visit);
    roller.end_line(visit);
}

/// Which grams a line must have to hold some text, whatever the case of its letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Too short for grams: only reading tells.
    Nothing,
    /// Every one of these; never empty, in order, each once.
    All(Vec<Gram>),
    /// At least one from the first to the last.
    OneFrom(Gram, Gram),
}

#[must_use]
pub fn needed(text: &[u8]) -> Needed {
    let mut roller = Roller::default();
    let mut grams = Vec::new();
    roller.push(text, |gram| grams.push(gram));
    grams.sort_unstable();
    grams.dedup();
    if !grams.is_empty() {
        return Needed::All(grams);
    }
    if text.len() < 3 {
        return Needed::Nothing;
    }
    let first = FOUR | (roller.four << 6 & MASK);
    Needed::OneFrom(Gram(first), Gram(first | 0x3f))
}

/// Which grams something holds, roughly: one bit for each of a few thousand heaps of grams. Says yes too often
/// and never no wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GramFilter {
    bits: Vec<u8>,
}

impl GramFilter {
    /// Room for about `grams` different grams with every other bit unset, in at most `bytes_max` bytes.
    #[must_use]
    pub fn for_grams(grams: usize, bytes_max: usize) -> Self {
        let bytes = (grams / 4).next_power_of_two().clamp(8, bytes_max.max(8));
        Self { bits: vec![0; if bytes.is_power_of_two() { bytes } else { bytes.next_power_of_two() / 2 }] }
    }

    /// `None` unless there is a power of two of bytes.
    #[must_use]
    pub fn from_bytes(bits: &[u8]) -> Option<Self> {
        bits.len().is_power_of_two().then(|| Self { bits: bits.to_vec() })
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    pub fn insert(&mut self, gram: Gram) {
        let (byte, bit) = self.place(gram);
        self.bits[byte] |= bit;
    }

    #[must_use]
    pub fn may_hold(&self, gram: Gram) -> bool {
        let (byte, bit) = self.place(gram);
        self.bits[byte] & bit != 0
    }

    /// Whether a line with this text may be among what was inserted.
    #[must_use]
    pub fn may_hold_all(&self, needed: &Needed) -> bool {
        match needed {
            Needed::Nothing => true,
            Needed::All(grams) => grams.iter().all(|&gram| self.may_hold(gram)),
            Needed::OneFrom(first, last) => (first.0..=last.0).any(|key| self.may_hold(Gram(key))),
        }
    }

    /// Multiplying by an odd number and keeping the upper bits spreads neighbours over the whole filter.
    fn place(&self, gram: Gram) -> (usize, u8) {
        let spread = u64::from(gram.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let bits = self.bits.len() as u64 * 8;
        let place = (spread * bits) >> 32;
        (usize::try_from(place >> 3).unwrap_or(0), 1 << (place & 7))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all_grams(line: &[u8]) -> BTreeSet<Gram> {
        let mut grams = BTreeSet::new();
        grams_of(line, |gram| {
            grams.insert(gram);
        });
        grams
    }

    fn is_needed_found(line: &[u8], text: &[u8]) -> bool {
        let grams = all_grams(line);
        match needed(text) {
            Needed::Nothing => true,
            Needed::All(all) => all.iter().all(|gram| grams.contains(gram)),
            Needed::OneFrom(first, last) => grams.range(first..=last).next().is_some(),
        }
    }

    #[test]
    fn windows_with_a_digit_are_four_wide() {
        assert_eq!(needed(b"ab"), Needed::Nothing);
        assert_eq!(needed(b"ABC"), Needed::All(vec![Gram(0x61_62_63)]));
        assert_eq!(needed(b"12"), Needed::Nothing);
        assert!(matches!(needed(b"a12"), Needed::OneFrom(first, last) if last.0 - first.0 == 63));
        assert!(matches!(needed(b"a123"), Needed::All(grams) if grams.len() == 1 && grams[0].0 >= FOUR));
        assert!(matches!(needed(b"abc1"), Needed::All(grams) if grams.len() == 2));
        assert!(is_needed_found(b"port 443", b"443"));
        assert!(is_needed_found(b"443", b"443"));
        assert!(!is_needed_found(b"port 444", b"443"));
    }

    #[test]
    fn every_class_is_below_sixty_four_and_marks_are_apart() {
        assert!(BYTES.iter().all(|known| known >> 8 & 0xff < 64));
        assert_ne!(BYTES[usize::from(b':')] >> 8, BYTES[usize::from(b'.')] >> 8);
        assert_eq!(BYTES[usize::from(b'A')], BYTES[usize::from(b'a')]);
    }

    proptest! {
        #[test]
        fn text_in_a_line_has_its_grams_there(
            before in "[ -~\\x00\n]{0,9}", text in "[a-c0-2 :.é]{0,9}", after in "[ -~é]{0,9}", cut in 0usize..20,
        ) {
            let line = [before.as_bytes(), text.as_bytes(), after.as_bytes()].concat();
            prop_assert!(is_needed_found(&line, text.to_uppercase().to_ascii_lowercase().as_bytes())
                || !text.is_ascii());
            prop_assert!(is_needed_found(&line, text.as_bytes()));
            let mut pieces = BTreeSet::new();
            let mut roller = Roller::default();
            let (head, tail) = line.split_at(cut.min(line.len()));
            for piece in [head, tail] {
                roller.push(piece, |gram| { pieces.insert(gram); });
            }
            roller.end_line(|gram| { pieces.insert(gram); });
            prop_assert_eq!(pieces, all_grams(&line));
        }

        #[test]
        fn a_filter_never_denies_what_it_holds(line: Vec<u8>, other: Vec<u8>) {
            let mut filter = GramFilter::for_grams(line.len() + other.len(), 1 << 12);
            for text in [&line, &other] {
                grams_of(text, |gram| filter.insert(gram));
            }
            let back = GramFilter::from_bytes(filter.as_bytes()).unwrap();
            prop_assert!(back.may_hold_all(&needed(&line)));
            prop_assert!(line.len() < 5 || back.may_hold_all(&needed(&line[1..])));
        }
    }
}
