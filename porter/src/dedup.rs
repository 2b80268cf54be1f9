//! Which events are new: not in any block already, whatever bucket that block is of.
//!
//! Two events are the same when tailer, stream, offset, length and checksum of the bytes agree. A packet that was
//! sent twice is known by its name and never gets here. What gets here is a tailer that lost its memory and read
//! a file again: other runs, other buckets, the same events. For that the extents of new packets are held against
//! those of blocks that stand ([`Cover`]), and where they overlap the blocks' own events are looked up and
//! compared one by one ([`Earlier`]). So bytes that were rewritten at an old offset are new events, and kept.

use crate::machine::StreamRange;
use proto::event::TimeOrder;
use proto::ids::{EventId, NodeId, StreamId};
use proto::time::Timestamp;
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
    streams: BTreeMap<(NodeId, StreamId), Held<B>>,
}

/// What is held of one stream. Parts seldom overlap, so those that reach into a range begin not far before it: as
/// far as the longest part is long.
#[derive(Clone, Debug)]
struct Held<B> {
    /// By where they begin: their ends, and the block that holds them.
    parts: BTreeMap<u64, Vec<(u64, B)>>,
    longest: u64,
}

impl<B> Default for Held<B> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), longest: 0 }
    }
}

impl<B> Default for Cover<B> {
    fn default() -> Self {
        Self { streams: BTreeMap::new() }
    }
}

impl<B: Clone + Ord> Held<B> {
    fn add(&mut self, from: u64, to: u64, block: &B) {
        let before = self.parts.range_mut(..from).next_back();
        let neighbour = before.and_then(|(first, parts)| {
            let part = parts.iter_mut().find(|(end, of)| *end == from && of == block)?;
            part.0 = to;
            Some(*first)
        });
        if neighbour.is_none() {
            self.parts.entry(from).or_default().push((to, block.clone()));
        }
        self.longest = self.longest.max(to.saturating_sub(neighbour.unwrap_or(from)));
    }

    fn overlapping(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64, &B)> {
        let near = if from < to { from.saturating_sub(self.longest)..to } else { 0..0 };
        let parts = self.parts.range(near).flat_map(|(first, parts)| parts.iter().map(|(end, of)| (*first, *end, of)));
        parts.filter(move |(_, end, _)| from < *end)
    }

    fn remove(&mut self, block: &B) {
        self.parts.values_mut().for_each(|parts| parts.retain(|(_, of)| of != block));
        self.parts.retain(|_, parts| !parts.is_empty());
    }
}

impl<B: Clone + Ord> Cover<B> {
    /// Says that a block holds events of this range. Neighbours in one block become one.
    pub fn add(&mut self, range: StreamRange, block: &B) {
        self.streams.entry((range.tailer, range.stream)).or_default().add(range.from, range.to, block);
    }

    /// What is held behind a place in the order of files, in that order.
    pub fn behind(&self, after: Option<&TimeOrder>) -> impl Iterator<Item = (TimeOrder, &B)> {
        let from = after.map_or((NodeId(0), StreamId([0; 16])), |after| (after.tailer, after.stream));
        self.streams.range(from..).flat_map(move |(&(tailer, stream), held)| {
            let passed = after.filter(|after| (after.tailer, after.stream) == (tailer, stream));
            let passed = passed.map_or(0, |after| after.offset.saturating_add(1));
            held.overlapping(passed, u64::MAX).map(move |(offset, _, block)| {
                (TimeOrder { time: Timestamp::MIN, tailer, stream, offset: offset.max(passed) }, block)
            })
        })
    }

    /// The blocks that hold something of these ranges, and what of them: each block once, ranges in order.
    #[must_use]
    pub fn overlapping(&self, ranges: &[StreamRange]) -> BTreeMap<B, Vec<StreamRange>> {
        let mut found: BTreeMap<B, Vec<StreamRange>> = BTreeMap::new();
        for range in ranges {
            let Some(held) = self.streams.get(&(range.tailer, range.stream)) else { continue };
            for (from, to, block) in held.overlapping(range.from, range.to) {
                let part = StreamRange { from: range.from.max(from), to: range.to.min(to), ..*range };
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
        self.streams.values_mut().for_each(|held| held.remove(block));
        self.streams.retain(|_, held| !held.parts.is_empty());
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
        fn a_cover_finds_what_looking_at_every_part_finds(
            held in prop::collection::vec((0u64..60, 1u64..20, 0u8..4), 0..20),
            from in 0u64..70, more in 0u64..20, gone in 0u8..5,
        ) {
            let mut cover = Cover::default();
            held.iter().for_each(|(first, length, block)| cover.add(range(1, *first, first + length), block));
            cover.remove(&gone);
            let to = from + more;
            let mut expected: BTreeMap<u8, Vec<StreamRange>> = BTreeMap::new();
            for (first, length, block) in held.iter().filter(|(_, _, block)| *block != gone) {
                let part = range(1, from.max(*first), to.min(first + length));
                if part.from < part.to {
                    expected.entry(*block).or_default().push(part);
                }
            }
            expected.values_mut().for_each(|parts| *parts = merge(std::mem::take(parts)));
            prop_assert_eq!(cover.overlapping(&[range(1, from, to)]), expected);
        }

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
