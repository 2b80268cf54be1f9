//! Who closed a bucket, and what follows for how complete it is.
//!
//! A tailer closes its buckets in order, idle ones too. A bucket of which its closing was found is known exactly:
//! so many packets of such runs. Where a closing was lost, or the tailer was not running, a later closing still
//! tells: it names the last bucket before it that had packets. If that one lies before the bucket in question,
//! the bucket was empty; if after, the closing of that one must be asked for, and so on back. A proof of
//! emptiness never stands against a packet that was seen.
//!
//! What a buck says of others' closings without showing them is a hint where to look, no more.

use crate::manifest::Census;
use crate::names::BucketAt;
use crate::ranges::Ranges;
use proto::ids::{Environment, NodeId};
use proto::message::Completeness;
use proto::time::BucketId;
use std::collections::{BTreeMap, BTreeSet};

/// Closings remembered of one tailer: a day of five-minute buckets. Older ones are asked for again.
const REMEMBERED_MAX: usize = 288;

/// Every closing seen lately, of whatever bucket.
#[derive(Clone, Debug, Default)]
pub struct Closings {
    tailers: BTreeMap<(Environment, NodeId), Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Each closed bucket, and the last one before it that was not empty.
    closed: BTreeMap<BucketId, Option<BucketId>>,
    /// The newest bucket someone says was closed.
    hint: Option<BucketId>,
}

/// What is known of a tailer's bucket when its closing was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A later closing proves that there was nothing.
    Empty,
    /// The closing of this bucket would tell more.
    Ask(BucketId),
    Unknown,
}

impl Closings {
    pub fn learn(&mut self, environment: &Environment, tailer: NodeId, bucket: BucketId, previous: Option<BucketId>) {
        let seen = self.tailers.entry((environment.clone(), tailer)).or_default();
        seen.closed.insert(bucket, previous);
        seen.hint = seen.hint.max(Some(bucket));
        if seen.closed.len() > REMEMBERED_MAX {
            seen.closed.pop_first();
        }
    }

    pub fn hint(&mut self, environment: &Environment, tailer: NodeId, bucket: BucketId) {
        let seen = self.tailers.entry((environment.clone(), tailer)).or_default();
        seen.hint = seen.hint.max(Some(bucket));
    }

    /// The newest bucket this tailer is said to have closed.
    #[must_use]
    pub fn newest(&self, environment: &Environment, tailer: NodeId) -> Option<BucketId> {
        self.tailers.get(&(environment.clone(), tailer))?.hint
    }

    #[must_use]
    pub fn silence(&self, at: &BucketAt, tailer: NodeId) -> Silence {
        let Some(seen) = self.tailers.get(&(at.environment.clone(), tailer)) else { return Silence::Unknown };
        match seen.closed.range(at.bucket.next()..).next() {
            Some((_, None)) => Silence::Empty,
            Some((_, Some(previous))) if *previous < at.bucket => Silence::Empty,
            Some((_, Some(previous))) if *previous > at.bucket => Silence::Ask(*previous),
            Some(_) => Silence::Unknown,
            None => seen.hint.filter(|hint| *hint > at.bucket).map_or(Silence::Unknown, Silence::Ask),
        }
    }
}

/// All that decides whether a shard of a bucket is complete.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub at: &'a BucketAt,
    /// Tailers that should have closed the bucket.
    pub expected: &'a BTreeSet<NodeId>,
    /// Tailers of which some packet of the bucket was seen.
    pub seen: &'a BTreeSet<NodeId>,
    pub census: &'a Census,
    /// What is in blocks.
    pub packets: &'a Ranges,
    pub bucks: &'a BTreeSet<NodeId>,
    pub closings: &'a Closings,
}

impl Question<'_> {
    /// Bucks that are away are named only while something may still be with them.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        let unheard: Vec<NodeId> = self.silent().filter(|tailer| !self.is_proved_empty(*tailer)).collect();
        let named = self.census.closings.iter().flat_map(|(tailer, closing)| {
            closing.runs.iter().flat_map(|run| self.packets.missing(*tailer, run.run, run.packets))
        });
        let missing: Vec<_> = named.collect::<Ranges>().to_vec();
        let settled = unheard.is_empty() && missing.is_empty();
        let away = self.bucks.difference(&self.census.heard).copied();
        let bucks_away = if settled { Vec::new() } else { away.collect() };
        Completeness { bucks_away, missing, unheard }
    }

    /// Buckets whose closings would tell whether a silent tailer's bucket was empty.
    #[must_use]
    pub fn worth_asking(&self) -> BTreeSet<BucketId> {
        let unseen = self.silent().filter(|tailer| !self.seen.contains(tailer));
        let ask = unseen.filter_map(|tailer| match self.closings.silence(self.at, tailer) {
            Silence::Ask(bucket) => Some(bucket),
            Silence::Empty | Silence::Unknown => None,
        });
        ask.collect()
    }

    fn silent(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.expected.union(self.seen).copied().filter(|tailer| !self.census.closings.contains_key(tailer))
    }

    fn is_proved_empty(&self, tailer: NodeId) -> bool {
        !self.seen.contains(&tailer) && self.closings.silence(self.at, tailer) == Silence::Empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Closing;
    use proto::closed::RunCount;
    use proto::ids::RunId;
    use proto::message::SeqRange;

    const BUCKET: BucketId = BucketId(100);

    fn at() -> BucketAt {
        BucketAt { environment: Environment::default(), bucket: BUCKET }
    }

    fn closings(list: &[(u64, Option<u64>)]) -> Closings {
        let mut closings = Closings::default();
        for (bucket, previous) in list {
            closings.learn(&Environment::default(), NodeId(1), BucketId(*bucket), previous.map(BucketId));
        }
        closings
    }

    #[test]
    fn a_later_closing_tells_of_a_silent_bucket() {
        let check = |list: &[(u64, Option<u64>)], expected| {
            assert_eq!(closings(list).silence(&at(), NodeId(1)), expected, "{list:?}");
        };
        check(&[], Silence::Unknown);
        check(&[(99, None)], Silence::Unknown);
        check(&[(101, None)], Silence::Empty);
        check(&[(101, Some(99))], Silence::Empty);
        check(&[(101, Some(100))], Silence::Unknown);
        check(&[(110, Some(105))], Silence::Ask(BucketId(105)));
        check(&[(110, Some(105)), (105, Some(103))], Silence::Ask(BucketId(103)));
        check(&[(110, Some(105)), (105, Some(98))], Silence::Empty);
        let mut hinted = Closings::default();
        hinted.hint(&Environment::default(), NodeId(1), BucketId(130));
        hinted.hint(&Environment::default(), NodeId(1), BucketId(120));
        assert_eq!(hinted.silence(&at(), NodeId(1)), Silence::Ask(BucketId(130)));
        assert_eq!(hinted.newest(&Environment::default(), NodeId(1)), Some(BucketId(130)));
    }

    #[test]
    fn memory_of_closings_is_bounded() {
        let list: Vec<_> = (0..1000).map(|bucket| (bucket, None)).collect();
        assert_eq!(closings(&list).tailers.values().next().map(|seen| seen.closed.len()), Some(REMEMBERED_MAX));
    }

    /// Tailer 1 closed with four packets, tailer 2 is expected; bucks 10 and 11.
    fn question(packets: &[u32], seen: &[u64], heard: &[u64], closings: &Closings) -> Completeness {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let run = RunCount { run: RunId(5), packets: 4 };
        let closing = Closing { runs: vec![run], ..Closing::default() };
        let census = Census { heard: nodes(heard), closings: [(NodeId(9), closing)].into() };
        let range = |seq: &u32| SeqRange { tailer: NodeId(9), run: RunId(5), first: *seq, last: *seq };
        let question = Question {
            at: &at(),
            expected: &nodes(&[9, 1]),
            seen: &nodes(seen),
            census: &census,
            packets: &packets.iter().map(range).collect(),
            bucks: &nodes(&[10, 11]),
            closings,
        };
        question.completeness()
    }

    #[test]
    fn complete_means_all_closed_and_every_number_there() {
        let empty = closings(&[(101, None)]);
        assert!(question(&[0, 1, 2, 3], &[9], &[10, 11], &empty).is_complete());
        let all_there = question(&[0, 1, 2, 3], &[9], &[10], &empty);
        assert!(all_there.is_complete(), "a buck that is away can add nothing: {all_there:?}");
        let missing = question(&[0, 3], &[9], &[10], &empty);
        assert_eq!(missing.missing, vec![SeqRange { tailer: NodeId(9), run: RunId(5), first: 1, last: 2 }]);
        assert_eq!(missing.bucks_away, vec![NodeId(11)]);
        let unheard = question(&[0, 1, 2, 3], &[9], &[10, 11], &Closings::default());
        assert_eq!(unheard.unheard, vec![NodeId(1)]);
        let seen = question(&[0, 1, 2, 3], &[9, 1], &[10, 11], &empty);
        assert_eq!(seen.unheard, vec![NodeId(1)], "packets of it were seen, so it was not empty");
        let stranger = question(&[0, 1, 2, 3], &[9, 4], &[10, 11], &empty);
        assert_eq!(stranger.unheard, vec![NodeId(4)], "a tailer nobody expected must close as well");
    }
}
