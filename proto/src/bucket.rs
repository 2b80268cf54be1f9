//! A bucket file: how a tailer's spool and a buck's disk keep one bucket's records.
//!
//! ```text
//!  0  4  "TBB1"
//!  4  4  width of a bucket in seconds
//!  8  8  bucket
//! 16  1  length of the environment's name
//! 17  32 the name, then zeros
//! 49  4  crc32c of bytes 0..49
//! 53  .  records, one after another (see `record`)
//! ```
//!
//! Records are only ever appended. The file can be read from any point: what no record can be made of, a torn
//! tail above all, is skipped and counted. A file whose own header is damaged still gives up its records, each
//! of which says where it belongs; only the file's name is then not confirmed.

use crate::field::{Fields, put_u32, put_u64};
use crate::ids::Environment;
use crate::limits::ENVIRONMENT_BYTES_MAX;
use crate::record::{Kind, Piece, next_piece};
use crate::time::{BucketId, BucketWidth};

pub const BUCKET_HEAD_BYTES: usize = 53;
const MAGIC: [u8; 4] = *b"TBB1";

/// What a bucket file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketHead {
    pub environment: Environment,
    pub width: BucketWidth,
    pub bucket: BucketId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    #[error("not a bucket file, or one of a version this program does not know")]
    Foreign,
    #[error("a bucket file's head is damaged")]
    Damaged,
}

impl BucketHead {
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BUCKET_HEAD_BYTES);
        let name = self.environment.as_str().as_bytes();
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, self.width.seconds());
        put_u64(&mut out, self.bucket.0);
        out.push(u8::try_from(name.len()).expect("an environment's name has at most 32 bytes"));
        out.extend_from_slice(name);
        out.resize(17 + ENVIRONMENT_BYTES_MAX, 0);
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        out
    }

    /// From the first [`BUCKET_HEAD_BYTES`] of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BucketError> {
        let head: &[u8; BUCKET_HEAD_BYTES] = bytes.first_chunk().ok_or(BucketError::Damaged)?;
        if !head.starts_with(&MAGIC) {
            return Err(BucketError::Foreign);
        }
        Self::parse_fields(head).ok_or(BucketError::Damaged)
    }

    fn parse_fields(head: &[u8; BUCKET_HEAD_BYTES]) -> Option<Self> {
        let (checked, crc) = head.split_last_chunk::<4>()?;
        if *crc != crc32c::crc32c(checked).to_le_bytes() {
            return None;
        }
        let mut fields = Fields::new(checked.get(4..)?);
        let width = BucketWidth::from_seconds(fields.u32().ok()?)?;
        let bucket = BucketId(fields.u64().ok()?);
        let length = usize::from(fields.u8().ok()?);
        let name = fields.rest().get(..length)?;
        Some(Self { environment: std::str::from_utf8(name).ok()?.parse().ok()?, width, bucket })
    }
}

/// The records of a whole bucket file in memory, and what had to be skipped. Files too large for that are read
/// in pieces with [`next_piece`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    at: usize,
    /// Bytes that belong to no record.
    pub skipped: usize,
}

impl<'a> Records<'a> {
    #[must_use]
    pub fn new(file: &'a [u8]) -> Self {
        let mut records = Self { rest: file, at: 0, skipped: 0 };
        let head = if BucketHead::parse(file).is_ok() { BUCKET_HEAD_BYTES } else { 0 };
        records.advance(head);
        records
    }

    fn advance(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        self.at += bytes.len();
        bytes
    }
}

/// Where a record begins in the file, its kind and its bytes.
impl<'a> Iterator for Records<'a> {
    type Item = (usize, Kind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.at;
            match next_piece(self.rest, true) {
                Piece::Record(kind, length) => return Some((at, kind, self.advance(length))),
                Piece::Skip(length) => self.skipped += self.advance(length).len(),
                Piece::NeedMore(_) | Piece::End => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::write;
    use proptest::prelude::*;

    const GOLDEN: &[u8] = include_bytes!("testdata/bucket-1.tbb");

    fn head() -> BucketHead {
        BucketHead {
            environment: "prod".parse().expect("a name"),
            width: BucketWidth::default(),
            bucket: BucketId(5_984_184),
        }
    }

    fn records() -> [Vec<u8>; 3] {
        [b"first".as_slice(), b"second", b"third"].map(|header| write(Kind::Packet, header, b"body", 4, |_| [1; 64]))
    }

    fn file() -> Vec<u8> {
        [head().write(), records().concat()].concat()
    }

    #[test]
    fn golden_bucket_file() {
        if std::env::var_os("TAILBUCK_WRITE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testdata/bucket-1.tbb");
            std::fs::write(path, file()).expect("a writable checkout");
        }
        assert_eq!(file(), GOLDEN);
        assert_eq!(BucketHead::parse(GOLDEN), Ok(head()));
        let found: Vec<_> = Records::new(GOLDEN).map(|(_, _, bytes)| bytes.to_vec()).collect();
        assert_eq!(found, records());
    }

    #[test]
    fn a_file_torn_anywhere_keeps_what_is_whole() {
        let ends: Vec<usize> = Records::new(GOLDEN).map(|(at, _, bytes)| at + bytes.len()).collect();
        for cut in BUCKET_HEAD_BYTES..=GOLDEN.len() {
            let mut found = Records::new(&GOLDEN[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(found.by_ref().count(), whole, "cut at {cut}");
            let good = if whole == 0 { BUCKET_HEAD_BYTES } else { ends[whole - 1] };
            assert_eq!(found.skipped, cut - good, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_byte_costs_at_most_one_record() {
        for at in 0..GOLDEN.len() {
            let mut bad = GOLDEN.to_vec();
            bad[at] ^= 0x40;
            assert!(BucketHead::parse(&bad).is_err() || at >= BUCKET_HEAD_BYTES, "byte {at}");
            let found = Records::new(&bad).count();
            assert_eq!(found, if at < BUCKET_HEAD_BYTES { 3 } else { 2 }, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = BucketHead::parse(&bytes);
            prop_assert_eq!(Records::new(&bytes).count(), 0);
        }
    }
}
