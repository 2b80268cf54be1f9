//! What is searched for: a part of some line that was written, or something nobody wrote.

use rand::RngExt;
use rand::rngs::StdRng;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    bytes: Vec<u8>,
}

/// Needles are up to so long.
const LENGTH_MAX: usize = 16;

impl Needle {
    /// Three in ten are absent, most likely.
    pub fn draw(rng: &mut StdRng, line: &[u8]) -> Self {
        let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\');
        let start = rng.random_range(0..=line.len().saturating_sub(1));
        let length = rng.random_range(1..=LENGTH_MAX);
        let mut bytes: Vec<u8> = line.iter().skip(start).take(length).take_while(|byte| plain(byte)).copied().collect();
        if bytes.iter().all(|byte| *byte == b' ') || rng.random_bool(0.3) {
            bytes = format!("{}q{}", rng.random_range(0..99), rng.random_range(0..99_999)).into_bytes();
        }
        if rng.random_bool(0.2) {
            bytes.make_ascii_uppercase();
        }
        Self { bytes }
    }

    #[must_use]
    pub fn query(&self) -> String {
        format!("\"{}\"", String::from_utf8_lossy(&self.bytes))
    }

    /// As `grep -F -i` would have it.
    #[must_use]
    pub fn is_in(&self, line: &[u8]) -> bool {
        let first = self.bytes.first().map(u8::to_ascii_lowercase);
        let begins = |window: &&[u8]| window.first().map(u8::to_ascii_lowercase) == first;
        line.windows(self.bytes.len().max(1)).filter(begins).any(|window| window.eq_ignore_ascii_case(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_needle_is_of_its_line_or_absent() {
        let mut rng = StdRng::seed_from_u64(1);
        let line = b"Request 7 \"done\" in 9 ms";
        let needles: Vec<Needle> = (0..200).map(|_| Needle::draw(&mut rng, line)).collect();
        let found = needles.iter().filter(|needle| needle.is_in(line)).count();
        assert!((100..180).contains(&found), "{found}");
        assert!(needles.iter().all(|needle| proto::query::parse(&needle.query()).is_ok()));
    }
}
