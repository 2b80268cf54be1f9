//! Which events are new: not in any block already, whatever bucket that block is of.
//!
//! Two events are the same when tailer, stream, offset, length and checksum of the bytes agree. A packet that was
//! sent twice is known by its name and never gets here. What gets here is a tailer that lost its memory and read
//! a file again: other runs, other buckets, the same events. For that the extents of new packets are held against
//! those of blocks that stand ([`Cover`]), and where they overlap the blocks' own events are looked up and
//! compared one by one ([`Earlier`]). So bytes that were rewritten at an old offset are new events, and kept.

use crate::machine::StreamRange;
use proto::ids::{EventId, NodeId, StreamId};
use std::collections::BTreeMap;

/// Events of blocks that stand, as far as they lie where new ones do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    streams: BTreeMap<(NodeId, StreamId), Vec<Mark>>,
}

/// An event within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    offset: u64,
    length: u32,
    crc: u32,
}

impl Earlier {
    /// Sorted when all are there, so that asking is a search in halves.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = EventId>) -> Self {
        let mut earlier = Self::default();
        for id in events {
            let mark = Mark { offset: id.offset, length: id.length, crc: id.crc };
            earlier.streams.entry((id.tailer, id.stream)).or_default().push(mark);
        }
        for marks in earlier.streams.values_mut() {
            marks.sort_unstable();
            marks.dedup();
        }
        earlier
    }

    #[must_use]
    pub fn holds(&self, id: &EventId) -> bool {
        let Some(marks) = self.streams.get(&(id.tailer, id.stream)) else { return false };
        marks.binary_search(&Mark { offset: id.offset, length: id.length, crc: id.crc }).is_ok()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// Which parts of which streams some blocks hold. `B` says which block.
#[derive(Clone, Debug)]
pub struct Cover<B> {
    streams: BTreeMap<(NodeId, StreamId), Vec<Part<B>>>,
}

/// From, to, and the block that holds it.
type Part<B> = (u64, u64, B);

impl<B> Default for Cover<B> {
    fn default() -> Self {
        Self { streams: BTreeMap::new() }
    }
}

impl<B: Clone + Ord> Cover<B> {
    /// Says that a block holds events of this range. Neighbours in one block become one.
    pub fn add(&mut self, range: StreamRange, block: &B) {
        let held = self.streams.entry((range.tailer, range.stream)).or_default();
        match held.last_mut() {
            Some((_, to, last)) if *to == range.from && last == block => *to = range.to,
            _ => held.push((range.from, range.to, block.clone())),
        }
    }

    /// The blocks that hold something of these ranges, and what of them: each block once, ranges in order.
    #[must_use]
    pub fn overlapping(&self, ranges: &[StreamRange]) -> BTreeMap<B, Vec<StreamRange>> {
        let mut found: BTreeMap<B, Vec<StreamRange>> = BTreeMap::new();
        for range in ranges {
            let held = self.streams.get(&(range.tailer, range.stream)).map_or(&[][..], Vec::as_slice);
            for (from, to, block) in held.iter().filter(|(from, to, _)| *from < range.to && range.from < *to) {
                let part = StreamRange { from: range.from.max(*from), to: range.to.min(*to), ..*range };
                found.entry(block.clone()).or_default().push(part);
            }
        }
        for parts in found.values_mut() {
            *parts = merge(std::mem::take(parts));
        }
        found
    }

    /// Forgets a block that stands no more.
    pub fn remove(&mut self, block: &B) {
        for held in self.streams.values_mut() {
            held.retain(|(_, _, other)| other != block);
        }
        self.streams.retain(|_, held| !held.is_empty());
    }
}

/// The same ranges in order, those that touch made one.
#[must_use]
pub fn merge(mut ranges: Vec<StreamRange>) -> Vec<StreamRange> {
    ranges.retain(|range| range.from < range.to);
    ranges.sort_unstable();
    let mut merged: Vec<StreamRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.tailer == range.tailer && last.stream == range.stream && range.from <= last.to => {
                last.to = last.to.max(range.to);
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(stream: u8, from: u64, to: u64) -> StreamRange {
        StreamRange { tailer: NodeId(1), stream: StreamId([stream; 16]), from, to }
    }

    fn id(offset: u64, length: u32, crc: u32) -> EventId {
        EventId { tailer: NodeId(1), stream: StreamId([1; 16]), offset, length, crc }
    }

    #[test]
    fn only_an_event_that_agrees_in_everything_is_there_already() {
        let earlier = Earlier::of([id(10, 5, 77), id(0, 9, 1), id(10, 5, 78), id(10, 5, 77)]);
        for (event, expected) in [
            (id(10, 5, 77), true),
            (id(10, 5, 78), true),
            (id(0, 9, 1), true),
            (id(10, 5, 79), false),
            (id(10, 6, 77), false),
            (id(11, 5, 77), false),
            (EventId { tailer: NodeId(2), ..id(10, 5, 77) }, false),
            (EventId { stream: StreamId([2; 16]), ..id(10, 5, 77) }, false),
        ] {
            assert_eq!(earlier.holds(&event), expected, "{event:?}");
        }
        assert!(Earlier::default().is_empty() && !earlier.is_empty());
    }

    #[test]
    fn a_cover_finds_the_blocks_that_overlap() {
        let mut cover = Cover::default();
        cover.add(range(1, 0, 100), &'a');
        cover.add(range(1, 100, 150), &'a');
        cover.add(range(1, 150, 200), &'b');
        cover.add(range(2, 0, 50), &'b');
        let check = |ranges: &[StreamRange], expected: &[(char, Vec<StreamRange>)]| {
            assert_eq!(cover.overlapping(ranges), expected.iter().cloned().collect(), "{ranges:?}");
        };
        check(&[range(1, 200, 300)], &[]);
        check(&[range(3, 0, 300)], &[]);
        check(&[range(1, 90, 160)], &[('a', vec![range(1, 90, 150)]), ('b', vec![range(1, 150, 160)])]);
        check(
            &[range(1, 5, 6), range(1, 6, 9), range(2, 0, 1)],
            &[('a', vec![range(1, 5, 9)]), ('b', vec![range(2, 0, 1)])],
        );
        cover.remove(&'b');
        assert_eq!(cover.overlapping(&[range(1, 150, 160), range(2, 0, 1)]), BTreeMap::new());
    }

    proptest! {
        #[test]
        fn merged_ranges_hold_the_same_bytes(ranges in prop::collection::vec((0u8..2, 0u64..30, 0u64..6), 0..20)) {
            let ranges: Vec<_> = ranges.into_iter().map(|(stream, from, more)| range(stream, from, from + more)).collect();
            let merged = merge(ranges.clone());
            let holds = |list: &[StreamRange], stream: u8, at: u64| {
                list.iter().any(|r| r.stream == StreamId([stream; 16]) && (r.from..r.to).contains(&at))
            };
            for stream in 0..2 {
                for at in 0..40 {
                    prop_assert_eq!(holds(&ranges, stream, at), holds(&merged, stream, at));
                }
            }
            prop_assert!(merged.windows(2).all(|two| two[0].stream != two[1].stream || two[0].to < two[1].from));
        }
    }
}
