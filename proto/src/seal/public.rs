//! A node's public key, and the one way to write it.
//!
//! ```text
//! tb1 + 112 letters of base32 (a-z, 2-7), which are
//!  0 32  Ed25519 public key: who signs, and who stands at the other end of a connection
//! 32 32  X25519 public key: whom boxes are for
//! 64  6  first bytes of the hash of bytes 0..64, so that a mistyped or cut key is not another's
//! ```
//!
//! 70 bytes are exactly 112 letters: nothing is padded, so a key has one spelling.

use super::hash::{Domain, hash256};
use super::is_strong;
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "tb1";
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const KEY_BYTES: usize = 64;
const CHECK_BYTES: usize = 6;
const TEXT_LETTERS: usize = (KEY_BYTES + CHECK_BYTES) * 8 / 5;

/// Both public halves of a node's keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    pub ed25519: [u8; 32],
    pub x25519: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("a public key is \"tb1\" and {TEXT_LETTERS} of the characters a-z and 2-7")]
    Shape,
    #[error("a public key was cut or mistyped: its last characters do not agree with the rest")]
    Check,
    #[error("a public key that would verify anything")]
    Weak,
}

impl PublicKey {
    fn bytes(&self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&self.ed25519);
        second.copy_from_slice(&self.x25519);
        bytes
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        *hash256(Domain::KEY_TEXT, &self.bytes()).first_chunk().expect("32 bytes begin with 6")
    }

    /// Four invented words to say over the telephone: 64 bits of the key's hash, each 16 of them a word of
    /// consonant, vowel, consonant, vowel, consonant. Good against mistakes; compare whole keys against malice.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = hash256(Domain::FINGERPRINT, &self.bytes());
        let words = hash.as_chunks().0.iter().take(4).map(|pair| word(u16::from_be_bytes(*pair)));
        words.collect::<Vec<_>>().join("-")
    }

    /// Enough of the key to tell it from its neighbours in a log.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(PREFIX.len() + 8).collect()
    }
}

fn word(bits: u16) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aiou";
    let consonant = |shift: u16| char::from(CONSONANTS[usize::from(bits >> shift & 15)]);
    let vowel = |shift: u16| char::from(VOWELS[usize::from(bits >> shift & 3)]);
    [consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)].iter().collect()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(PREFIX.len() + TEXT_LETTERS);
        text.push_str(PREFIX);
        let (mut bits, mut held) = (0u32, 0);
        for byte in self.bytes().into_iter().chain(self.check()) {
            bits = bits << 8 | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text.push(char::from(LETTERS[usize::try_from(bits >> held & 31).expect("below 32")]));
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let letters = text.strip_prefix(PREFIX).ok_or(NotAKey::Shape)?.as_bytes();
        if letters.len() != TEXT_LETTERS {
            return Err(NotAKey::Shape);
        }
        let bytes = from_letters(letters).ok_or(NotAKey::Shape)?;
        let half = |from: usize| bytes.get(from..).and_then(<[u8]>::first_chunk).copied().ok_or(NotAKey::Shape);
        let key = Self { ed25519: half(0)?, x25519: half(32)? };
        if bytes.get(KEY_BYTES..) != Some(&key.check()[..]) {
            return Err(NotAKey::Check);
        }
        if is_strong(&key.ed25519) { Ok(key) } else { Err(NotAKey::Weak) }
    }
}

fn from_letters(letters: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(KEY_BYTES + CHECK_BYTES);
    let (mut bits, mut held) = (0u32, 0);
    for letter in letters {
        let value = match letter {
            b'a'..=b'z' => letter - b'a',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(bits.checked_shr(held)?.to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{Keys, Seed};
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> PublicKey {
        Keys::from_seed(&Seed::from_bytes([byte; 32])).public()
    }

    #[test]
    fn a_key_has_one_spelling() {
        let text = key(1).to_string();
        assert_eq!(
            text,
            "tb1rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5og24kbwsguhmuw2ike2bqdin67phao25uz56o6x6arc2an5is2ertkwcvx2uqd"
        );
        assert_eq!(text.parse(), Ok(key(1)));
        assert_eq!(key(1).short(), text[..11]);
        assert_eq!(key(1).fingerprint(), "lijin-tigus-buzis-zazij");
    }

    #[test]
    fn other_text_is_no_key() {
        let text = key(1).to_string();
        let shapes = ["", "tb1", "tb2", &text[1..], &text[..114], &text.to_uppercase(), &format!("{text}a")];
        for bad in shapes {
            assert_eq!(bad.parse::<PublicKey>(), Err(NotAKey::Shape), "{bad:?}");
        }
        assert_eq!(text.replace('a', "é").parse::<PublicKey>(), Err(NotAKey::Shape));
        let weak = PublicKey { ed25519: [0; 32], x25519: key(1).x25519 };
        assert_eq!(weak.to_string().parse::<PublicKey>(), Err(NotAKey::Weak));
    }

    #[test]
    fn every_wrong_letter_is_found() {
        let text = key(2).to_string();
        for at in PREFIX.len()..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[at] = if letters[at] == b'q' { b'r' } else { b'q' };
            let bad = String::from_utf8(letters).expect("ASCII");
            assert_eq!(bad.parse::<PublicKey>(), Err(NotAKey::Check), "letter {at}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_refused(text in ".{0,130}") {
            let _ = text.parse::<PublicKey>();
        }

        #[test]
        fn any_key_goes_there_and_back(seed: [u8; 32]) {
            let key = Keys::from_seed(&Seed::from_bytes(seed)).public();
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
