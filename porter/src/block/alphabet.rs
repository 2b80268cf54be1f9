//! Which kinds of bytes stand in a cell, a bit for each kind.
//!
//! ```text
//! 1 digits   2 a to f   4 other letters, both in either case   8 .   16 -   32 other marks of ASCII   64 space
//! 128 all else
//! ```
//!
//! Enough to know that no pattern finds a stamp where only names are.

use proto::query::ByteSet;

/// Kinds of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet(pub u8);

const KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [128; 256];
    let mut byte = b' ';
    while byte < 127 {
        table[byte as usize] = match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'f' | b'A'..=b'F' => 2,
            b'g'..=b'z' | b'G'..=b'Z' => 4,
            b'.' => 8,
            b'-' => 16,
            b' ' => 64,
            _ => 32,
        };
        byte += 1;
    }
    table
}

/// The bytes of each kind.
const BYTES: [ByteSet; 8] = bytes();

const fn bytes() -> [ByteSet; 8] {
    let mut words = [[0u64; 4]; 8];
    let mut byte = 0;
    while byte < 256 {
        words[KINDS[byte].trailing_zeros() as usize][byte / 64] |= 1 << (byte % 64);
        byte += 1;
    }
    let mut sets = [ByteSet::from_words([0; 4]); 8];
    let mut kind = 0;
    while kind < 8 {
        sets[kind] = ByteSet::from_words(words[kind]);
        kind += 1;
    }
    sets
}

impl Alphabet {
    pub fn take_in(&mut self, cell: &[u8]) {
        self.0 = cell.iter().fold(self.0, |kinds, &byte| kinds | KINDS[usize::from(byte)]);
    }

    /// Every byte of these kinds.
    #[must_use]
    pub fn bytes(self) -> ByteSet {
        let kinds = BYTES.iter().enumerate().filter(|(kind, _)| self.0 >> kind & 1 == 1);
        kinds.fold(ByteSet::default(), |all, (_, bytes)| all.with(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cells_bytes_are_in_its_alphabet() {
        for byte in 0..=255u8 {
            let mut alphabet = Alphabet::default();
            alphabet.take_in(&[byte]);
            assert!(alphabet.0.is_power_of_two() && alphabet.bytes().contains(byte), "{byte}");
        }
        assert_eq!(Alphabet(1).bytes(), ByteSet::of(b'0'..=b'9'));
        assert_eq!(Alphabet(0).bytes(), ByteSet::default());
    }
}
