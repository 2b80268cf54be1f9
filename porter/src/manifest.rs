//! A manifest: what a shard of a bucket holds, and how much of the bucket is known to be there.
//!
//! Version n is the object `m-<n>`, put if absent; the highest version rules, and that is all the
//! compare-and-swap there is. A manifest stands for everything before it: it lists every block of the shard and
//! every packet whose events are in them. It is never deleted while the bucket stands, so that a porter which
//! slept through any number of versions finds its own number taken.
//!
//! All numbers little-endian or varints; "list" is a varint count, then the items.
//!
//! ```text
//!  0  4  "TBM1"
//!  4  4  length of the whole object
//!  8  .  environment (counted), bucket, shard, shards of this bucket, version
//!     .  by u64          the porter that wrote it
//!     .  written i64     when, by its clock
//!     .  copies u8       how many copies of an object this shelf keeps
//!     .  blocks: list of
//!            name 32 bytes, bytes, events, line bytes, spans of event time: list of first i64, last - first
//!     .  replaced: list of name 32 bytes, since i64      blocks no longer used, deleted a while later
//!     .  packets: list of ranges
//!     .  heard: list of u64                              the bucks that said what they hold
//!     .  closings: list of
//!            tailer u64, previous: u8 0 or 1, then the bucket
//!            runs: list of run u64, packets
//!            losses: list of stream 16 bytes, list of from, to - from
//!     .  away: list of u64, missing: list of ranges, unheard: list of u64
//!     4  crc32c of everything before
//!
//! range: tailer u64, run u64, first, last - first
//! ```
//!
//! Lists are in order and ranges merged, so that equal manifests are equal bytes.

mod format;

use crate::names::{BlockName, ShardAt};
use crate::ranges::Ranges;
use proto::closed::{Closed, RunCount};
use proto::ids::{NodeId, StreamId};
use proto::message::{Completeness, Receipt, ShardVersion};
use proto::packet::TimeSpan;
use proto::time::{BucketId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub use format::{MERGED_LOSSES_MAX, MERGED_RUNS_MAX, ManifestError, manifest_bytes_max};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub at: ShardAt,
    /// How many shards this bucket has. Its first manifest fixes it.
    pub shards: u16,
    pub version: u64,
    pub by: NodeId,
    pub written: Timestamp,
    pub copies: u8,
    pub blocks: Vec<Block>,
    pub replaced: Vec<Replaced>,
    /// Packets whose events are in these blocks, or in blocks of other buckets that had them first.
    pub packets: Ranges,
    pub census: Census,
    pub completeness: Completeness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub name: BlockName,
    /// Of the object.
    pub bytes: u64,
    pub events: u64,
    pub line_bytes: u64,
    /// Where its events' times lie: few, in order, apart from each other.
    pub times: Vec<TimeSpan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub name: BlockName,
    pub since: Timestamp,
}

/// Who was heard when this bucket was collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Bucks that told what they hold, at this version or an earlier one.
    pub heard: BTreeSet<NodeId>,
    /// Each tailer's own word on this bucket, as far as it was found.
    pub closings: BTreeMap<NodeId, Closing>,
}

/// What a closing says that is still of use when the bucket is ported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    pub previous: Option<BucketId>,
    pub runs: Vec<RunCount>,
    /// Byte ranges, the end not included.
    pub losses: Vec<(StreamId, Vec<(u64, u64)>)>,
}

impl From<&Closed> for Closing {
    fn from(closed: &Closed) -> Self {
        let losses = closed.losses.iter().map(|(stream, extents)| {
            (*stream, extents.iter().map(|extent| (extent.from, extent.to)).collect::<Vec<_>>())
        });
        Self { previous: closed.previous, runs: closed.runs.clone(), losses: losses.collect() }
    }
}

impl Manifest {
    /// The first moment and the last of all its events; empty when it has none.
    #[must_use]
    pub fn times(&self) -> TimeSpan {
        let mut all = TimeSpan::EMPTY;
        for span in self.blocks.iter().flat_map(|block| &block.times) {
            all.take_in(span.first);
            all.take_in(span.last);
        }
        all
    }

    #[must_use]
    pub fn shard_version(&self) -> ShardVersion {
        ShardVersion {
            environment: self.at.environment.clone(),
            bucket: self.at.bucket,
            shard: self.at.shard,
            version: self.version,
        }
    }

    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt {
            environment: self.at.environment.clone(),
            bucket: self.at.bucket,
            shard: self.at.shard,
            version: self.version,
            ranges: self.packets.to_vec(),
            copies: self.copies,
        }
    }
}

impl Block {
    /// Whether an event of this block could lie in `from..to`.
    #[must_use]
    pub fn touches(&self, from: Timestamp, to: Timestamp) -> bool {
        self.times.iter().any(|span| span.first < to && span.last >= from)
    }
}

#[cfg(test)]
mod tests;
