//! What is known of a tailer's streams and closings, from the headers of its packets.
//!
//! It is what a tailer asks for that lost its memory: how far each stream was passed, and a checksum of the bytes
//! before that, to know the file again by. A buck has only some of a tailer's packets, so what it says has holes;
//! the tailer puts the answers of several together.

use proto::closed::Closed;
use proto::ids::{Environment, StreamId};
use proto::limits::STREAM_EXTENTS_MAX;
use proto::message::{ClosedTo, Known, KnownStream};
use proto::packet::{PacketHead, PacketStream, TailMark};
use proto::time::BucketId;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Bytes of one page of an answer; a frame holds four times as many.
const PAGE_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct Tailer {
    streams: BTreeMap<StreamId, Stream>,
    /// The newest bucket closed, and the one before it that had packets.
    closed: BTreeMap<Environment, (BucketId, Option<BucketId>)>,
}

#[derive(Debug)]
struct Stream {
    environment: Environment,
    generation: u32,
    path: String,
    extents: Vec<(u64, u64)>,
    tail: TailMark,
    /// The newest bucket it has packets in.
    bucket: BucketId,
}

impl Tailer {
    pub fn take_in(&mut self, head: &PacketHead) {
        for part in &head.streams {
            let stream = self.streams.entry(part.id).or_insert_with(|| Stream {
                environment: head.id.environment.clone(),
                generation: part.generation,
                path: part.path.clone(),
                extents: Vec::new(),
                tail: TailMark::default(),
                bucket: head.id.bucket,
            });
            stream.bucket = stream.bucket.max(head.id.bucket);
            stream.take_in(part);
        }
    }

    pub fn close(&mut self, closed: &Closed) {
        let newest = self.closed.entry(closed.environment.clone()).or_insert((closed.bucket, closed.previous));
        if closed.bucket >= newest.0 {
            *newest = (closed.bucket, closed.previous);
        }
    }

    /// The streams whose newest packets went with this bucket.
    pub fn forget(&mut self, environment: &Environment, bucket: BucketId) {
        self.streams.retain(|_, stream| stream.environment != *environment || stream.bucket != bucket);
    }

    /// The streams after this one, as many as fit a page.
    pub fn page(&self, after: Option<StreamId>) -> Known {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Known { closed: self.newest_closed(), ..Known::default() };
        let mut bytes = 0;
        for (id, stream) in self.streams.range((from, Bound::Unbounded)) {
            bytes += stream.path.len() + 20 * stream.extents.len() + 64;
            if bytes > PAGE_BYTES && !page.streams.is_empty() {
                page.more = true;
                break;
            }
            page.streams.push(stream.known(*id));
        }
        page
    }

    fn newest_closed(&self) -> Vec<(Environment, BucketId)> {
        self.closed.iter().map(|(environment, (bucket, _))| (environment.clone(), *bucket)).collect()
    }

    pub fn closed_to(&self, tailer: proto::ids::NodeId, environment: &Environment) -> Option<ClosedTo> {
        let (bucket, previous) = *self.closed.get(environment)?;
        Some(ClosedTo { tailer, environment: environment.clone(), bucket, previous })
    }
}

impl Stream {
    fn take_in(&mut self, part: &PacketStream) {
        if let Some(last) = part.extents.last() {
            let end = self.extents.last().map_or(0, |(_, to)| *to);
            if last.to >= end {
                self.tail = part.tail;
            }
        }
        for extent in &part.extents {
            merge(&mut self.extents, (extent.from, extent.to));
        }
    }

    fn known(&self, id: StreamId) -> KnownStream {
        KnownStream {
            stream: id,
            generation: self.generation,
            path: self.path.clone(),
            extents: self.extents.clone(),
            tail: self.tail,
        }
    }
}

/// Adds a range to ranges that are in order and do not touch. Too many: the oldest is forgotten, which makes a
/// tailer read again what it could have left out, and nothing worse.
fn merge(extents: &mut Vec<(u64, u64)>, (from, to): (u64, u64)) {
    if from >= to {
        return;
    }
    let first = extents.partition_point(|(_, end)| *end < from);
    let after = extents.partition_point(|(start, _)| *start <= to);
    let touched = extents.get(first..after).unwrap_or_default();
    let from = touched.first().map_or(from, |(start, _)| from.min(*start));
    let to = touched.last().map_or(to, |(_, end)| to.max(*end));
    extents.splice(first..after.max(first), [(from, to)]);
    if extents.len() > STREAM_EXTENTS_MAX {
        extents.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_ranges_hold_what_was_put_in(ranges in prop::collection::vec((0u64..40, 0u64..6), 0..30)) {
            let (mut merged, mut all) = (Vec::new(), [false; 64]);
            for (from, length) in ranges {
                merge(&mut merged, (from, from + length));
                (from..from + length).for_each(|at| all[at as usize] = true);
            }
            let held = |at: u64| merged.iter().any(|(from, to)| (*from..*to).contains(&at));
            for at in 0..64u64 {
                prop_assert_eq!(held(at), all[at as usize]);
            }
            prop_assert!(merged.windows(2).all(|two| two[0].1 < two[1].0));
        }
    }
}
