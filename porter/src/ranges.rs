//! Sets of packets, as ranges of their numbers.
//!
//! A tailer numbers a run's packets from 0, so what a bucket holds is a few ranges however many packets it is.
//! Kept merged and in order, so that equal sets are equal lists.

use proto::ids::{NodeId, PacketId, RunId};
use proto::message::SeqRange;
use std::collections::BTreeMap;

/// Packets of one bucket, by tailer and run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    runs: BTreeMap<(NodeId, RunId), BTreeMap<u32, u32>>,
}

impl Ranges {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    #[must_use]
    pub fn holds(&self, packet: &PacketId) -> bool {
        let Some(run) = self.runs.get(&(packet.tailer, packet.run)) else { return false };
        run.range(..=packet.seq).next_back().is_some_and(|(_, last)| packet.seq <= *last)
    }

    /// Whether anything of this tailer is here.
    #[must_use]
    pub fn has_tailer(&self, tailer: NodeId) -> bool {
        self.runs.range((tailer, RunId(0))..=(tailer, RunId(u64::MAX))).next().is_some()
    }

    pub fn insert(&mut self, packet: &PacketId) {
        self.insert_range(SeqRange { tailer: packet.tailer, run: packet.run, first: packet.seq, last: packet.seq });
    }

    /// A range that ends before it begins holds nothing.
    pub fn insert_range(&mut self, range: SeqRange) {
        if range.first > range.last {
            return;
        }
        let run = self.runs.entry((range.tailer, range.run)).or_default();
        let (mut first, mut last) = (range.first, range.last);
        while let Some((from, to)) = touching(run, first, last) {
            first = first.min(from);
            last = last.max(to);
            run.remove(&from);
        }
        run.insert(first, last);
    }

    /// In order, merged.
    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.runs.iter().flat_map(|((tailer, run), ranges)| {
            ranges.iter().map(|(first, last)| SeqRange { tailer: *tailer, run: *run, first: *first, last: *last })
        })
    }

    #[must_use]
    pub fn to_vec(&self) -> Vec<SeqRange> {
        self.iter().collect()
    }

    /// How many packets these are.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.iter().map(|range| u64::from(range.last - range.first) + 1).sum()
    }

    /// Of the first `packets` of a run, those that are not here.
    #[must_use]
    pub fn missing(&self, tailer: NodeId, run: RunId, packets: u32) -> Vec<SeqRange> {
        let none = BTreeMap::new();
        let mut gaps = Vec::new();
        let mut next = 0;
        for (first, last) in self.runs.get(&(tailer, run)).unwrap_or(&none) {
            if *first >= packets {
                break;
            }
            if *first > next {
                gaps.push(SeqRange { tailer, run, first: next, last: first - 1 });
            }
            next = last.saturating_add(1);
        }
        if next < packets {
            gaps.push(SeqRange { tailer, run, first: next, last: packets - 1 });
        }
        gaps
    }
}

/// A range of `run` that overlaps `first..=last` or stands right beside it.
fn touching(run: &BTreeMap<u32, u32>, first: u32, last: u32) -> Option<(u32, u32)> {
    let (from, to) = run.range(..=last.saturating_add(1)).next_back()?;
    (to.saturating_add(1) >= first).then_some((*from, *to))
}

impl FromIterator<SeqRange> for Ranges {
    fn from_iter<I: IntoIterator<Item = SeqRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert_range(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::ids::Environment;
    use proto::time::BucketId;
    use std::collections::BTreeSet;

    fn packet(seq: u32) -> PacketId {
        PacketId { tailer: NodeId(1), environment: Environment::default(), bucket: BucketId(5), run: RunId(2), seq }
    }

    fn range(first: u32, last: u32) -> SeqRange {
        SeqRange { tailer: NodeId(1), run: RunId(2), first, last }
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(seqs in prop::collection::vec((0u32..40, 0u32..5), 0..30), packets in 0u32..50) {
            let mut model = BTreeSet::new();
            let mut ranges = Ranges::default();
            for (first, more) in seqs {
                model.extend(first..=first + more);
                ranges.insert_range(range(first, first + more));
            }
            for seq in 0..60 {
                prop_assert_eq!(ranges.holds(&packet(seq)), model.contains(&seq));
            }
            prop_assert_eq!(ranges.packets(), model.len() as u64);
            let gaps: Ranges = ranges.missing(NodeId(1), RunId(2), packets).into_iter().collect();
            for seq in 0..60 {
                prop_assert_eq!(gaps.holds(&packet(seq)), seq < packets && !model.contains(&seq));
            }
            let list = ranges.to_vec();
            prop_assert!(list.windows(2).all(|two| two[0].last + 1 < two[1].first), "merged and in order: {:?}", list);
        }
    }

    #[test]
    fn the_last_number_is_a_number() {
        let ranges: Ranges = [range(u32::MAX, u32::MAX), range(0, 3), range(9, 8)].into_iter().collect();
        assert!(ranges.holds(&packet(u32::MAX)) && ranges.holds(&packet(3)) && !ranges.holds(&packet(9)));
        assert_eq!(ranges.missing(NodeId(1), RunId(2), u32::MAX), vec![range(4, u32::MAX - 1)]);
        assert_eq!(ranges.missing(NodeId(9), RunId(2), 2).len(), 1);
        assert!(ranges.has_tailer(NodeId(1)) && !ranges.has_tailer(NodeId(2)));
    }
}
