//! A closing: a tailer's word that a bucket of its own is at its end, and what it put there.
//!
//! Put on two bucks like a packet, for idle buckets too. A tailer closes its buckets in order, so a closing also
//! says that every earlier bucket is closed; `previous` names the last one before it that was not empty, so that
//! a lost closing can't pass for an empty bucket: whoever finds a closing can walk back along `previous`.
//!
//! A [`record`](crate::record) of kind "TBC1" without a body. Its header:
//!
//! ```text
//! tailer u64, environment (counted), bucket
//! previous: u8 0 or 1, then the bucket
//! runs: count, then each: run u64, packets
//! losses: count, then each: stream 16 bytes, extents as in a packet
//! ```

use crate::field::{BadField, Fields, put_count, put_counted, put_u64, put_varint};
use crate::ids::{Environment, NodeId, RunId, StreamId};
use crate::limits::{CLOSED_LOSSES_MAX, CLOSED_RUNS_MAX, ENVIRONMENT_BYTES_MAX};
use crate::packet::{Extent, parse_extents, put_extents};
use crate::record::{Kind, Record, RecordError, Signature, write};
use crate::time::BucketId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub tailer: NodeId,
    pub environment: Environment,
    pub bucket: BucketId,
    /// The last bucket before this one that had packets.
    pub previous: Option<BucketId>,
    /// Every run that put packets into this bucket. Empty when the tailer had nothing to say.
    pub runs: Vec<RunCount>,
    /// What is known to be gone, by stream.
    pub losses: Vec<(StreamId, Vec<Extent>)>,
}

/// Packets of one run in one bucket: `seq` 0 to `packets` - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunCount {
    pub run: RunId,
    pub packets: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("a record is no closing")]
    OtherKind,
    #[error("a closing is damaged: {0}")]
    Header(BadField),
}

impl Closed {
    /// The closing and the record it stood in, for its signature.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Record<'_>), ClosedError> {
        let record = Record::parse(bytes)?;
        if record.kind != Kind::Closed || !record.body.is_empty() {
            return Err(ClosedError::OtherKind);
        }
        Ok((Self::parse_header(record.header).map_err(ClosedError::Header)?, record))
    }

    fn parse_header(bytes: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let tailer = NodeId(fields.u64()?);
        let environment = fields.text(ENVIRONMENT_BYTES_MAX)?.parse();
        let environment = environment.map_err(|_| fields.bad("an environment's name"))?;
        let bucket = BucketId(fields.varint()?);
        let previous = match fields.u8()? {
            0 => None,
            1 => Some(BucketId(fields.varint()?)),
            _ => return Err(fields.bad("a flag that is neither 0 nor 1")),
        };
        let count = fields.count(CLOSED_RUNS_MAX)?;
        let run = |fields: &mut Fields<'_>| Ok(RunCount { run: RunId(fields.u64()?), packets: fields.varint_u32()? });
        let runs = (0..count).map(|_| run(&mut fields)).collect::<Result<_, BadField>>()?;
        let count = fields.count(CLOSED_LOSSES_MAX)?;
        let loss = |fields: &mut Fields<'_>| Ok((StreamId(fields.array()?), parse_extents(fields)?));
        let losses = (0..count).map(|_| loss(&mut fields)).collect::<Result<_, BadField>>()?;
        fields.end()?;
        Ok(Self { tailer, environment, bucket, previous, runs, losses })
    }

    /// The record. `sign` is given everything the signature is over.
    #[must_use]
    pub fn write(&self, sign: impl FnOnce(&[u8]) -> Signature) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_u64(&mut out, self.tailer.0);
        put_counted(&mut out, self.environment.as_str().as_bytes());
        put_varint(&mut out, self.bucket.0);
        out.push(u8::from(self.previous.is_some()));
        if let Some(previous) = self.previous {
            put_varint(&mut out, previous.0);
        }
        put_count(&mut out, self.runs.len());
        for run in &self.runs {
            put_u64(&mut out, run.run.0);
            put_varint(&mut out, u64::from(run.packets));
        }
        put_count(&mut out, self.losses.len());
        for (stream, extents) in &self.losses {
            out.extend_from_slice(&stream.0);
            put_extents(&mut out, extents);
        }
        write(Kind::Closed, &out, &[], 0, sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Fate;
    use proptest::prelude::*;

    const GOLDEN: &[u8] = include_bytes!("testdata/closed-1.tbc");

    fn sample() -> Closed {
        Closed {
            tailer: NodeId(7),
            environment: "prod".parse().expect("a name"),
            bucket: BucketId(5_984_184),
            previous: Some(BucketId(5_984_180)),
            runs: vec![RunCount { run: RunId(1), packets: 300 }, RunCount { run: RunId(2), packets: 0 }],
            losses: vec![(StreamId([3; 16]), vec![Extent { from: 10, to: 500, fate: Fate::Lost }])],
        }
    }

    #[test]
    fn golden_closing() {
        if std::env::var_os("TAILBUCK_WRITE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testdata/closed-1.tbc");
            std::fs::write(path, sample().write(|_| [5; 64])).expect("a writable checkout");
        }
        assert_eq!(sample().write(|_| [5; 64]), GOLDEN);
        assert_eq!(Closed::parse(GOLDEN).map(|(closed, _)| closed), Ok(sample()));
    }

    #[test]
    fn every_flipped_byte_is_found() {
        for at in 0..GOLDEN.len() {
            let mut bad = GOLDEN.to_vec();
            bad[at] ^= 1;
            assert!(Closed::parse(&bad).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Closed::parse_header(&bytes);
        }
    }
}
