//! The frame around everything a tailer signs: packets and closings, on the wire, on spool and on disk alike.
//!
//! ```text
//!  0  4  kind: "TBP1" a packet, "TBC1" a closing; the digit is the version
//!  4  4  length of the whole record
//!  8  4  length of the header
//! 12  4  length of the body as it lies here
//! 16  4  length of the body stretched
//! 20  4  crc32c of bytes 0..20, so that a length can be believed before it is used
//! 24  .  header, then body
//!  .  64 Ed25519 signature over everything before it (see `seal`)
//!  .  4  crc32c of bytes 24 to here
//! ```
//!
//! Records lie one after another, readable from any point: [`next_piece`] finds the next whole one and says how
//! much it had to skip. A torn tail is something to skip and count, not an error. What is promised of a parsed
//! [`Record`] is that its bytes are those that were written; what they mean is for `packet` and `closed`.

use crate::field::{Fields, put_u32};
use crate::limits::{PACKET_BODY_BYTES_MAX, PACKET_BYTES_MAX, PACKET_HEADER_BYTES_MAX};

/// The fixed part before the header.
pub const LEAD_BYTES: usize = 24;
/// What follows the body.
pub const TRAIL_BYTES: usize = SIGNATURE_BYTES + 4;
const SIGNATURE_BYTES: usize = 64;

/// A signature as it stands in a record. Made and checked by `seal`.
pub type Signature = [u8; SIGNATURE_BYTES];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Packet,
    Closed,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Packet, Self::Closed];

    fn magic(self) -> [u8; 4] {
        match self {
            Self::Packet => *b"TBP1",
            Self::Closed => *b"TBC1",
        }
    }

    fn of(magic: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.magic() == magic)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("not a record, or one of a version this program does not know")]
    Foreign,
    #[error("a record is damaged: {0}")]
    Damaged(&'static str),
}

/// One whole, undamaged record, borrowed from where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    pub header: &'a [u8],
    pub body: &'a [u8],
    /// What the body becomes; already known to be within [`PACKET_BODY_BYTES_MAX`].
    pub stretched_bytes: usize,
    /// Everything the signature is over.
    pub content: &'a [u8],
    pub signature: &'a Signature,
    pub bytes: &'a [u8],
}

/// What a record's first bytes say, once their own checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lead {
    kind: Kind,
    length: usize,
    header: usize,
    body: usize,
    stretched: usize,
}

impl Lead {
    fn parse(bytes: &[u8; LEAD_BYTES]) -> Result<Self, RecordError> {
        let mut fields = Fields::new(bytes);
        let short = |_| RecordError::Damaged("lead");
        let kind = Kind::of(fields.array().map_err(short)?).ok_or(RecordError::Foreign)?;
        let mut size = || fields.u32().map_err(short).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let lead = Self { kind, length: size()?, header: size()?, body: size()?, stretched: size()? };
        if fields.u32().map_err(short)? != crc32c::crc32c(&bytes[..LEAD_BYTES - 4]) {
            return Err(RecordError::Damaged("checksum of the lead"));
        }
        lead.within_limits()
    }

    fn within_limits(self) -> Result<Self, RecordError> {
        let fits = self.length <= PACKET_BYTES_MAX
            && self.header <= PACKET_HEADER_BYTES_MAX
            && self.body <= PACKET_BYTES_MAX
            && self.stretched <= PACKET_BODY_BYTES_MAX
            && self.length == LEAD_BYTES + self.header + self.body + TRAIL_BYTES;
        if fits { Ok(self) } else { Err(RecordError::Damaged("lengths")) }
    }
}

impl<'a> Record<'a> {
    /// Exactly one record and nothing behind it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let lead = bytes.first_chunk().ok_or(RecordError::Damaged("shorter than a lead")).and_then(Lead::parse)?;
        if bytes.len() != lead.length {
            return Err(RecordError::Damaged("length"));
        }
        let (content, trail) = bytes.split_at(lead.length - TRAIL_BYTES);
        let (checked, crc) = bytes.split_at(lead.length - 4);
        if crc != crc32c::crc32c(&checked[LEAD_BYTES..]).to_le_bytes() {
            return Err(RecordError::Damaged("checksum"));
        }
        let (header, body) = content[LEAD_BYTES..].split_at(lead.header);
        let signature = trail.first_chunk().ok_or(RecordError::Damaged("signature"))?;
        Ok(Self { kind: lead.kind, header, body, stretched_bytes: lead.stretched, content, signature, bytes })
    }
}

/// Puts a record together. `sign` is given everything the signature is over.
///
/// The caller keeps within the limits; what is over them would be refused by every reader.
#[must_use]
pub fn write(
    kind: Kind,
    header: &[u8],
    body: &[u8],
    stretched_bytes: usize,
    sign: impl FnOnce(&[u8]) -> Signature,
) -> Vec<u8> {
    let length = LEAD_BYTES + header.len() + body.len() + TRAIL_BYTES;
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&kind.magic());
    for size in [length, header.len(), body.len(), stretched_bytes] {
        put_u32(&mut out, u32::try_from(size).expect("limits keep a record far below 4 GiB"));
    }
    let crc = crc32c::crc32c(&out);
    put_u32(&mut out, crc);
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    let signature = sign(&out);
    out.extend_from_slice(&signature);
    let crc = crc32c::crc32c(&out[LEAD_BYTES..]);
    put_u32(&mut out, crc);
    out
}

/// What stands at the front of some bytes of a bucket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole, undamaged record of this many bytes.
    Record(Kind, usize),
    /// This many bytes belong to no record that can be read.
    Skip(usize),
    /// This many bytes are needed, from the same place, to say more.
    NeedMore(usize),
    End,
}

/// Looks at the front of `bytes`; `last` when the file holds none behind them.
///
/// Always moves on: unless it says [`Piece::End`] or [`Piece::NeedMore`], the caller drops what was named and
/// asks again. What is skipped ends where something looks like a record again, or at the end.
#[must_use]
pub fn next_piece(bytes: &[u8], last: bool) -> Piece {
    if bytes.is_empty() {
        return if last { Piece::End } else { Piece::NeedMore(LEAD_BYTES) };
    }
    match whole_record(bytes) {
        Ok(piece) => piece,
        Err(wanted) if !last && bytes.len() < wanted => Piece::NeedMore(wanted),
        Err(_) => Piece::Skip(to_next_lead(bytes, last)),
    }
}

/// The record at the front, or how many bytes would be needed to find one there.
fn whole_record(bytes: &[u8]) -> Result<Piece, usize> {
    let lead = bytes.first_chunk().ok_or(LEAD_BYTES)?;
    let lead = Lead::parse(lead).map_err(|_| 0usize)?;
    let record = bytes.get(..lead.length).ok_or(lead.length)?;
    Record::parse(record).map(|record| Piece::Record(record.kind, record.bytes.len())).map_err(|_| 0)
}

/// How far to the next place that could be a record's start; never 0.
fn to_next_lead(bytes: &[u8], last: bool) -> usize {
    let could_start = |at: &usize| match bytes[*at..].first_chunk() {
        Some(lead) => Lead::parse(lead).is_ok(),
        None => !last,
    };
    memchr::memchr_iter(b'T', bytes).filter(|at| *at > 0).find(could_start).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(header: &[u8], body: &[u8]) -> Vec<u8> {
        write(Kind::Packet, header, body, 7, |content| [crc32c::crc32c(content) as u8; 64])
    }

    /// Reads a whole file the way a hand does, and says what it found.
    fn read(mut bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let (mut records, mut skipped) = (Vec::new(), 0);
        loop {
            let step = match next_piece(bytes, true) {
                Piece::Record(_, length) => {
                    records.push(bytes[..length].to_vec());
                    length
                }
                Piece::Skip(length) => {
                    skipped += length;
                    length
                }
                Piece::NeedMore(_) => panic!("asked for more than there is"),
                Piece::End => return (records, skipped),
            };
            assert!(step > 0);
            bytes = &bytes[step..];
        }
    }

    #[test]
    fn golden_record() {
        let expected = [
            b"TBP1\x60\0\0\0\x02\0\0\0\x02\0\0\0\x07\0\0\0".as_slice(),
            &crc32c::crc32c(b"TBP1\x60\0\0\0\x02\0\0\0\x02\0\0\0\x07\0\0\0").to_le_bytes(),
            b"hhbb",
            &[9; 64],
        ]
        .concat();
        let written = write(Kind::Packet, b"hh", b"bb", 7, |_| [9; 64]);
        assert_eq!(written[..expected.len()], expected);
        assert_eq!(written.len(), 96);
        assert_eq!(written[92..], crc32c::crc32c(&written[24..92]).to_le_bytes());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let record = sample(b"header", b"body");
        assert!(Record::parse(&record).is_ok());
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut bad = record.clone();
                bad[at] ^= 1 << bit;
                assert!(Record::parse(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn damage_costs_only_the_record_it_hits() {
        let (a, b, c) = (sample(b"a", b"one"), sample(b"b", b"twoTBP1"), sample(b"c", b""));
        let mut file = [a.clone(), b.clone(), c.clone()].concat();
        assert_eq!(read(&file), (vec![a.clone(), b.clone(), c.clone()], 0));
        file[a.len() + 30] ^= 1;
        assert_eq!(read(&file), (vec![a.clone(), c.clone()], b.len()));
        let torn = &file[..file.len() - 1];
        assert_eq!(read(torn), (vec![a], b.len() + c.len() - 1));
    }

    #[test]
    fn more_is_asked_for_only_while_there_may_be_more() {
        let record = sample(b"header", b"body");
        for cut in 0..record.len() {
            let asked = next_piece(&record[..cut], false);
            assert!(
                matches!(asked, Piece::NeedMore(wanted) if wanted > cut && wanted <= record.len()),
                "{cut}: {asked:?}"
            );
        }
        assert_eq!(next_piece(&record, false), Piece::Record(Kind::Packet, record.len()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(prop_oneof![Just(b'T'), Just(b'B'), Just(b'P'), Just(b'1'), any::<u8>()], 0..400)) {
            let (records, skipped) = read(&bytes);
            prop_assert!(records.is_empty());
            prop_assert_eq!(skipped, bytes.len());
        }
    }
}
