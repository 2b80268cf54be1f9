//! The fields hand-written formats are made of: little-endian numbers, varints, counted bytes.
//!
//! Writing appends to a `Vec<u8>`. Reading goes through [`Fields`], which can't run past its end, never
//! allocates more than it was told to, and says at which byte it stopped.

use std::fmt;

/// Why bytes could not be read as what they should be, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadField {
    /// From the start of the bytes given to [`Fields::new`].
    pub at: usize,
    pub why: &'static str,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.at)
    }
}

impl std::error::Error for BadField {}

pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Seven bits a byte, lowest first, the top bit set on all but the last.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// A length, as a varint.
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, count as u64);
}

/// A signed number, small either side of zero: zigzag, then varint.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// A varint length, then the bytes.
pub fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads fields from the front of some bytes.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// An error at the present place, for a value that was read and makes no sense.
    #[must_use]
    pub fn bad(&self, why: &'static str) -> BadField {
        BadField { at: self.at, why }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], BadField> {
        let end = self.at.checked_add(count).ok_or(self.bad("a length too large"))?;
        let bytes = self.all.get(self.at..end).ok_or(self.bad("ends too early"))?;
        self.at = end;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BadField> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    pub fn u8(&mut self) -> Result<u8, BadField> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, BadField> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, BadField> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, BadField> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn varint(&mut self) -> Result<u64, BadField> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.bad("a number too large"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.bad("a number too long"))
    }

    pub fn signed(&mut self) -> Result<i64, BadField> {
        Ok(unzigzag(self.varint()?))
    }

    pub fn varint_u32(&mut self) -> Result<u32, BadField> {
        u32::try_from(self.varint()?).map_err(|_| self.bad("a number too large"))
    }

    /// A length, refused above `max`.
    pub fn count(&mut self, max: usize) -> Result<usize, BadField> {
        match usize::try_from(self.varint()?) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(self.bad("a count over its limit")),
        }
    }

    /// Bytes behind their varint length, refused above `max`.
    pub fn counted(&mut self, max: usize) -> Result<&'a [u8], BadField> {
        let count = self.count(max)?;
        self.take(count)
    }

    /// Counted bytes that must be UTF-8.
    pub fn text(&mut self, max: usize) -> Result<&'a str, BadField> {
        std::str::from_utf8(self.counted(max)?).map_err(|_| self.bad("text that is not UTF-8"))
    }

    /// Fails unless everything was read.
    pub fn end(&self) -> Result<(), BadField> {
        if self.is_empty() { Ok(()) } else { Err(self.bad("more bytes than there should be")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_go_there_and_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_signed(&mut out, signed);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(fields.varint(), Ok(value));
            prop_assert_eq!(fields.signed(), Ok(signed));
            prop_assert_eq!(fields.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut fields = Fields::new(&bytes);
            while fields.varint().is_ok() {}
            let _ = Fields::new(&bytes).text(16);
            let _ = Fields::new(&bytes).counted(usize::MAX);
        }
    }

    #[test]
    fn what_is_short_or_long_is_named() {
        assert_eq!(Fields::new(&[1, 2]).u32(), Err(BadField { at: 0, why: "ends too early" }));
        assert_eq!(Fields::new(&[0xff; 11]).varint().map_err(|e| e.why), Err("a number too large"));
        assert_eq!(Fields::new(&[5, 1]).counted(4).map_err(|e| e.why), Err("a count over its limit"));
    }
}
