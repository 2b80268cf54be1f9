//! A small filter over a packet's lines: says which packets need not be opened for a query.
//!
//! A line's windows are hashed into one table of bits, ASCII folded to lower case: three bytes where none is a
//! digit, four where one is. (Numbers are made of so few different bytes that three of them are in every packet;
//! four are not.) A needle can be in the packet only if all its windows are. A filter never denies a packet that
//! holds a match; it may let through one that holds none.
//!
//! Lines cut in pieces make a filter that lets everything through: their needles may lie across packets.

use proto::event::{Event, Flags};
use proto::query::Need;

/// Bits while building: 16 KiB, which stays in the nearest cache.
const BUILD_BITS: usize = 1 << 17;

/// A table is halved as long as it stays emptier than one bit in this many. An absent needle of nine letters then
/// passes one time in 16^7.
const EMPTINESS: usize = 16;

/// The smallest table, 256 bytes.
const LEAST_BITS: usize = 1 << 11;

#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    /// A power of two of words, or none: lets everything through.
    words: Box<[u64]>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({} bytes)", self.bytes())
    }
}

impl Filter {
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    fn holds(&self, window: Window) -> bool {
        let Some(mask) = (self.words.len() * 64).checked_sub(1) else { return true };
        let bit = window.0 as usize & mask;
        self.words.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 1)
    }
}

/// A window's hash; the lowest 17 bits are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window(u32);

impl Window {
    /// Of three bytes, the highest byte 0, or of four.
    fn of(bytes: u32, length: u32) -> Self {
        Self((bytes ^ length << 30).wrapping_mul(0x9e37_79b1) >> 15)
    }
}

/// Calls `each` with every window of some bytes.
fn windows(line: &[u8], mut each: impl FnMut(Window)) {
    // Four bytes back, and a bit for each that was a digit.
    let (mut bytes, mut digits) = (0u32, 0u32);
    for (index, byte) in line.iter().enumerate() {
        bytes = bytes << 8 | u32::from(byte.to_ascii_lowercase());
        digits = digits << 1 | u32::from(byte.is_ascii_digit());
        if digits & 0b111 == 0 && index >= 2 {
            each(Window::of(bytes & 0x00ff_ffff, 3));
        }
        if digits & 0b1111 != 0 && index >= 3 {
            each(Window::of(bytes, 4));
        }
    }
}

/// Gathers one packet's lines.
#[derive(Debug)]
pub struct FilterBuilder {
    words: Vec<u64>,
    cut: bool,
}

impl Default for FilterBuilder {
    fn default() -> Self {
        Self { words: vec![0; BUILD_BITS / 64], cut: false }
    }
}

impl FilterBuilder {
    pub fn add(&mut self, event: &Event<'_>) {
        self.cut |= event.flags.has(Flags::CONTINUES);
        let words = &mut self.words;
        windows(event.line, |window| {
            let bit = window.0 as usize % BUILD_BITS;
            if let Some(word) = words.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        });
    }

    /// The filter of what was added; the builder is empty again.
    #[must_use]
    pub fn finish(&mut self) -> Filter {
        let cut = std::mem::take(&mut self.cut);
        let words = if cut { Vec::new() } else { halved(self.words.clone()) };
        self.words.fill(0);
        Filter { words: words.into_boxed_slice() }
    }
}

fn halved(mut words: Vec<u64>) -> Vec<u64> {
    let set = |words: &[u64]| words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
    while words.len() * 64 > LEAST_BITS && set(&words) * EMPTINESS < words.len() * 32 {
        let high = words.split_off(words.len() / 2);
        words.iter_mut().zip(high).for_each(|(low, high)| *low |= high);
    }
    words
}

/// What of a query a filter can decide.
#[derive(Clone, Debug)]
pub enum Sieve {
    /// Nothing; any packet may hold a match.
    Open,
    All(Vec<Sieve>),
    Any(Vec<Sieve>),
    /// Every window of a needle.
    Windows(Vec<SieveWindow>),
}

/// One window of a needle.
#[derive(Clone, Copy, Debug)]
pub struct SieveWindow(Window);

impl Sieve {
    #[must_use]
    pub fn of(need: &Need) -> Self {
        match need {
            Need::Anything => Self::Open,
            Need::All(needs) => Self::All(needs.iter().map(Self::of).collect()),
            Need::Any(needs) => Self::Any(needs.iter().map(Self::of).collect()),
            Need::Bytes(bytes) => Self::of_bytes(bytes),
        }
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut found = Vec::new();
        windows(bytes, |window| found.push(SieveWindow(window)));
        if found.is_empty() { Self::Open } else { Self::Windows(found) }
    }

    /// False only when the packet holds no match.
    #[must_use]
    pub fn lets_through(&self, filter: &Filter) -> bool {
        match self {
            Self::Open => true,
            Self::All(parts) => parts.iter().all(|part| part.lets_through(filter)),
            Self::Any(parts) => parts.iter().any(|part| part.lets_through(filter)),
            Self::Windows(windows) => windows.iter().all(|window| filter.holds(window.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{PacketMaker, event_of};
    use crate::opened::Opener;
    use proptest::prelude::*;
    use proto::query::{Query, parse};

    fn filter_of(maker: &PacketMaker) -> Filter {
        let bytes = maker.finish();
        let mut opener = Opener::default();
        let opened = opener.open(&bytes).expect("a whole packet");
        let mut builder = FilterBuilder::default();
        for event in opened.pieces() {
            builder.add(&event.expect("a whole event"));
        }
        builder.finish()
    }

    fn query(text: &str) -> Query {
        parse(text).expect("a query")
    }

    #[test]
    fn what_is_absent_is_denied_and_what_is_there_is_not() {
        let mut maker = PacketMaker::new(1, 0);
        maker.line("a", b"Connection RESET by peer 10.0.31.7 after 1234567 ms");
        let filter = filter_of(&maker);
        let check = |text: &str, expected: bool| {
            assert_eq!(Sieve::of(&query(text).need()).lets_through(&filter), expected, "{text}");
        };
        check("reset", true);
        check("'RESET'", true);
        check("\"reset by\"", true);
        check("rested", false);
        check("1234567", true);
        check("7654321", false);
        check("10.0.31.7", true);
        check("10.0.31.8", false);
        check("reset rested", false);
        check("reset OR rested", true);
        check("-rested", true);
        check("zz", true);
        check("r3t", true);
        check("host:nobody", true);
        check("/reset by .*ms/", true);
        check("/rested by .*ms/", false);
        check("@took>5", false);
    }

    #[test]
    fn a_line_in_pieces_lets_everything_through() {
        let mut maker = PacketMaker::new(1, 0);
        maker.push("a", event_of(&[b'x'; 65_535], Flags::CONTINUES));
        assert!(Sieve::of(&query("absent").need()).lets_through(&filter_of(&maker)));
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_denied(
            lines in prop::collection::vec("[ab1 ]{0,12}", 1..8),
            needle in "[ab1]{1,6}",
        ) {
            let mut maker = PacketMaker::new(1, 0);
            for line in &lines {
                maker.line("a", line.as_bytes());
            }
            let there = lines.iter().any(|line| line.contains(&needle));
            let sieve = Sieve::of(&query(&needle).need());
            prop_assert!(!there || sieve.lets_through(&filter_of(&maker)));
        }
    }
}
