//! Bits one after another, lowest first in each byte.

/// Writes bits.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    held_bits: u32,
}

impl BitWriter {
    /// The lowest `bits` bits of `value`, at most 32 of them.
    pub fn put(&mut self, value: u32, bits: u32) {
        debug_assert!(bits <= 32 && (bits == 32 || value >> bits == 0));
        self.held |= u64::from(value) << self.held_bits;
        self.held_bits += bits;
        while self.held_bits >= 8 {
            self.bytes.push((self.held & 0xff) as u8);
            self.held >>= 8;
            self.held_bits -= 8;
        }
    }

    /// The next bits begin in a new byte.
    pub fn align(&mut self) {
        if self.held_bits > 0 {
            self.bytes.push((self.held & 0xff) as u8);
            self.held = 0;
            self.held_bits = 0;
        }
    }

    /// Whole bytes written so far.
    #[must_use]
    pub fn bytes_written(&self) -> usize {
        self.bytes.len()
    }

    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }
}

/// Reads bits; beyond the end there are none.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    held: u64,
    held_bits: u32,
}

impl<'a> BitReader<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, held: 0, held_bits: 0 }
    }

    /// `None` when fewer are left.
    pub fn take(&mut self, bits: u32) -> Option<u32> {
        while self.held_bits < bits {
            let (&byte, rest) = self.bytes.split_first()?;
            self.held |= u64::from(byte) << self.held_bits;
            self.held_bits += 8;
            self.bytes = rest;
        }
        let value = self.held & ((1 << bits) - 1);
        self.held >>= bits;
        self.held_bits -= bits;
        u32::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_there_and_back() {
        let mut writer = BitWriter::default();
        let values = [(1, 1), (0, 0), (5, 3), (u32::MAX, 32), (0, 7), (1000, 10), (1, 31)];
        for (value, bits) in values {
            writer.put(value, bits);
        }
        let bytes = writer.into_bytes();
        let mut reader = BitReader::new(&bytes);
        for (value, bits) in values {
            assert_eq!(reader.take(bits), Some(value));
        }
        assert_eq!(reader.take(32), None);
    }
}
