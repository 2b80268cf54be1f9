//! Which block that stands has what of which stream, and which events stand in two blocks.
//!
//! Each porter ports one bucket at a time and holds it against all that it knows to stand. Two porters at work on
//! two buckets at once do not know of each other, and when a tailer had lost its memory and filed the same events in
//! both, both stand with them. Nothing can forbid that without a lock; so whoever learns of both blocks finds it
//! out here, and one of them is written again without what the other has.
//!
//! The rule is the same for everyone: what stands in the earlier bucket stays, then the lower shard, then the lower
//! name. An event leaves a bucket only because a lower one stood with it, and leaves that one only for one lower
//! still. So the lowest keeps it, however many porters do this at once and however old their knowledge is.

use crate::dedup::{Cover, Earlier};
use crate::machine::StreamRange;
use crate::names::BlockAt;
use proto::event::TimeOrder;
use proto::ids::{Environment, EventId};
use std::collections::{BTreeMap, BTreeSet};

/// Pure memory, the same for whoever keeps a catalogue of a shelf.
#[derive(Debug, Default)]
pub struct Places {
    blocks: BTreeSet<BlockAt>,
    cover: BTreeMap<Environment, Cover<BlockAt>>,
    /// Blocks that have something of the same places, and were not compared yet.
    doubts: BTreeSet<Pair>,
    /// Compared, and some events stand in both.
    doubles: BTreeMap<Pair, Vec<EventId>>,
}

/// Two blocks with something of the same places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The lower one, whose events stay.
    pub stays: BlockAt,
    pub yields: BlockAt,
}

/// A block with events that stand in lower ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Double {
    pub block: BlockAt,
    pub stands: Earlier,
    /// The blocks that have them.
    pub by: BTreeSet<BlockAt>,
}

impl Places {
    #[must_use]
    pub fn holds(&self, block: &BlockAt) -> bool {
        self.blocks.contains(block)
    }

    /// A block that stands, and where its events lie.
    pub fn add(&mut self, block: &BlockAt, ranges: &[StreamRange]) {
        if !self.blocks.insert(block.clone()) {
            return;
        }
        let cover = self.cover.entry(block.at.environment.clone()).or_default();
        for other in cover.overlapping(ranges).into_keys() {
            let (stays, yields) = if other < *block { (other, block.clone()) } else { (block.clone(), other) };
            self.doubts.insert(Pair { stays, yields });
        }
        ranges.iter().for_each(|range| cover.add(*range, block));
    }

    /// A block that stands no more.
    pub fn remove(&mut self, block: &BlockAt) {
        if !self.blocks.remove(block) {
            return;
        }
        if let Some(cover) = self.cover.get_mut(&block.at.environment) {
            cover.remove(block);
        }
        let of_it = |pair: &Pair| pair.stays == *block || pair.yields == *block;
        self.doubts.retain(|pair| !of_it(pair));
        self.doubles.retain(|pair, _| !of_it(pair));
    }

    /// The blocks that hold something of these ranges, and what of them.
    #[must_use]
    pub fn overlapping(
        &self,
        environment: &Environment,
        ranges: &[StreamRange],
    ) -> BTreeMap<BlockAt, Vec<StreamRange>> {
        self.cover.get(environment).map(|cover| cover.overlapping(ranges)).unwrap_or_default()
    }

    /// In the order of files, the first place of each of these blocks behind another, none when it has none. Of a block
    /// whose places are not known nothing is said.
    #[must_use]
    pub fn first_behind(
        &self,
        blocks: &BTreeSet<BlockAt>,
        after: Option<&TimeOrder>,
    ) -> BTreeMap<BlockAt, Option<TimeOrder>> {
        let mut first: BTreeMap<BlockAt, Option<TimeOrder>> =
            blocks.intersection(&self.blocks).map(|block| (block.clone(), None)).collect();
        let mut unfound = first.len();
        for cover in self.cover.values() {
            for (place, block) in cover.behind(after) {
                if unfound == 0 {
                    return first;
                }
                if let Some(none @ None) = first.get_mut(block) {
                    *none = Some(place);
                    unfound -= 1;
                }
            }
        }
        first
    }

    /// Two blocks to be compared: [`Self::compared`] takes the names of events that stand in both.
    #[must_use]
    pub fn doubt(&self) -> Option<&Pair> {
        self.doubts.first()
    }

    pub fn compared(&mut self, pair: &Pair, both: Vec<EventId>) {
        if self.doubts.remove(pair) && !both.is_empty() {
            self.doubles.insert(pair.clone(), both);
        }
    }

    /// Every block that is to be written again, once.
    #[must_use]
    pub fn doubles(&self) -> Vec<Double> {
        gathered(self.doubles.iter())
    }

    /// Of these blocks alone: pairs to be compared first.
    #[must_use]
    pub fn doubts_among(&self, blocks: &BTreeSet<BlockAt>) -> Vec<Pair> {
        self.doubts.iter().filter(|pair| pair.is_among(blocks)).cloned().collect()
    }

    /// Of these blocks alone: which have what another has.
    #[must_use]
    pub fn doubles_among(&self, blocks: &BTreeSet<BlockAt>) -> Vec<Double> {
        gathered(self.doubles.iter().filter(|(pair, _)| pair.is_among(blocks)))
    }

    /// Nothing may stand twice.
    #[must_use]
    pub fn are_clear(&self) -> bool {
        self.doubts.is_empty() && self.doubles.is_empty()
    }
}

impl Pair {
    fn is_among(&self, blocks: &BTreeSet<BlockAt>) -> bool {
        blocks.contains(&self.stays) && blocks.contains(&self.yields)
    }
}

fn gathered<'a>(pairs: impl Iterator<Item = (&'a Pair, &'a Vec<EventId>)>) -> Vec<Double> {
    let mut blocks: BTreeMap<&BlockAt, (Vec<EventId>, BTreeSet<BlockAt>)> = BTreeMap::new();
    for (pair, both) in pairs {
        let (events, by) = blocks.entry(&pair.yields).or_default();
        events.extend(both);
        by.insert(pair.stays.clone());
    }
    let double = |(block, (events, by)): (&BlockAt, (Vec<EventId>, _))| Double {
        block: block.clone(),
        stands: Earlier::of(events),
        by,
    };
    blocks.into_iter().map(double).collect()
}

/// The names that are in both lists.
#[must_use]
pub fn in_both(one: Vec<EventId>, other: Vec<EventId>) -> Vec<EventId> {
    let one: BTreeSet<EventId> = one.into_iter().collect();
    let other: BTreeSet<EventId> = other.into_iter().collect();
    one.intersection(&other).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{BlockName, ShardAt};
    use proto::ids::{NodeId, StreamId};
    use proto::time::BucketId;

    fn block(bucket: u64, name: u8) -> BlockAt {
        let at = ShardAt { environment: Environment::default(), bucket: BucketId(bucket), shard: 0 };
        BlockAt { at, name: BlockName([name; 32]) }
    }

    fn range(from: u64, to: u64) -> StreamRange {
        StreamRange { tailer: NodeId(1), stream: StreamId([1; 16]), from, to }
    }

    fn id(offset: u64) -> EventId {
        EventId { tailer: NodeId(1), stream: StreamId([1; 16]), offset, length: 3, crc: 7 }
    }

    #[test]
    fn blocks_that_overlap_are_compared_once_and_the_later_bucket_yields() {
        let mut places = Places::default();
        let (early, late, apart) = (block(5, 9), block(6, 1), block(7, 1));
        places.add(&late, &[range(0, 100)]);
        places.add(&apart, &[range(100, 200)]);
        assert_eq!(places.doubt(), None);
        places.add(&early, &[range(50, 60)]);
        let pair = Pair { stays: early.clone(), yields: late.clone() };
        assert_eq!(places.doubt(), Some(&pair));
        let among = |blocks: [&BlockAt; 2]| blocks.into_iter().cloned().collect();
        assert_eq!(places.doubts_among(&among([&late, &early])), std::slice::from_ref(&pair));
        assert!(places.doubts_among(&among([&late, &apart])).is_empty() && !places.are_clear());
        places.compared(&pair, vec![id(50)]);
        assert_eq!(places.doubt(), None);
        let expected = Double { block: late.clone(), stands: Earlier::of([id(50)]), by: [early.clone()].into() };
        assert_eq!(places.doubles(), std::slice::from_ref(&expected));
        assert_eq!(places.doubles_among(&among([&late, &early])), [expected]);
        assert!(places.doubles_among(&among([&early, &apart])).is_empty());
        places.add(&early, &[range(50, 60)]);
        assert_eq!(places.doubt(), None, "what stands already is no news");
        places.remove(&late);
        assert!(places.are_clear() && !places.holds(&late));
    }

    #[test]
    fn rewritten_bytes_at_an_old_offset_are_no_double() {
        let mut places = Places::default();
        let (one, other) = (block(5, 1), block(5, 2));
        places.add(&one, &[range(0, 10)]);
        places.add(&other, &[range(5, 15)]);
        let pair = places.doubt().cloned().unwrap();
        assert_eq!((&pair.stays, &pair.yields), (&one, &other));
        let both = in_both(vec![id(0), id(4)], vec![EventId { crc: 8, ..id(4) }, id(9)]);
        places.compared(&pair, both);
        assert!(places.are_clear());
    }
}
