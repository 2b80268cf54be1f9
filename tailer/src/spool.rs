//! What lies in the tailer's own bucket files, and what has become of each record there.
//!
//! The files are the tailer's write-ahead log; this is only an index of them, made again from them at each start.
//! It promises to know of every record that has not arrived at enough bucks, where to read it again, and which
//! bucket files nobody needs any more. What to delete when there is too much is decided in `prune`.

use crate::flight::RecordNumber;
use crate::ranges::Ranges;
use proto::bucket::BUCKET_HEAD_BYTES;
use proto::closed::RunCount;
use proto::ids::{Environment, NodeId, RunId};
use proto::limits::CLOSED_RUNS_MAX;
use proto::message::{Receipt, SeqRange};
use proto::time::{BucketId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Names a bucket file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub environment: Environment,
    pub bucket: BucketId,
}

/// Which record of a bucket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Packet { run: RunId, seq: u32 },
    Closing,
}

/// A record that has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unarrived {
    pub place: Place,
    pub item: Item,
    /// Where in its file.
    pub at: u64,
    pub length: u32,
    /// When its first line was filed.
    pub filed: Timestamp,
    /// The bucks that have it.
    pub kept: Vec<NodeId>,
}

/// What is known of one run's packets in one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    packets: u32,
    arrived: Ranges,
    receipted: Ranges,
}

/// One bucket file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolBucket {
    pub bytes: u64,
    runs: BTreeMap<RunId, Run>,
    /// Its closing is written, and has arrived.
    closed: Option<bool>,
}

impl SpoolBucket {
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    #[must_use]
    pub fn has_packets(&self) -> bool {
        self.runs.values().any(|run| run.packets > 0)
    }

    /// Every record is on enough bucks.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.closed == Some(true) && self.runs.values().all(|run| run.arrived.holds_all_below(u64::from(run.packets)))
    }

    /// Every packet is on a shelf.
    #[must_use]
    pub fn is_receipted(&self) -> bool {
        self.closed == Some(true) && self.runs.values().all(|run| run.receipted.holds_all_below(u64::from(run.packets)))
    }
}

/// The packets of one run in one bucket that arrived, as the memory keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedRun {
    pub place: Place,
    pub run: RunId,
    pub arrived: Vec<(u32, u32)>,
}

#[derive(Debug, Default)]
pub struct Spool {
    buckets: BTreeMap<Place, SpoolBucket>,
    unarrived: BTreeMap<RecordNumber, Unarrived>,
    number_of: BTreeMap<(Place, Item), RecordNumber>,
    /// Those of `unarrived` that are not in flight.
    waiting: BTreeSet<RecordNumber>,
    waiting_bytes: u64,
    bytes: u64,
    next: u64,
    /// Runs whose arrivals changed since they were last asked for.
    changed: BTreeSet<(Place, RunId)>,
}

impl Spool {
    /// A record was found in a file, or written to one. It waits until it is taken.
    pub fn add(&mut self, place: &Place, item: Item, at: u64, length: u32, filed: Timestamp) -> RecordNumber {
        let bucket = self.buckets.entry(place.clone()).or_default();
        let end = at.saturating_add(u64::from(length)).max(BUCKET_HEAD_BYTES as u64);
        self.bytes = self.bytes.saturating_add(end.saturating_sub(bucket.bytes));
        bucket.bytes = bucket.bytes.max(end);
        match item {
            Item::Packet { run, seq } => {
                let run = bucket.runs.entry(run).or_default();
                run.packets = run.packets.max(seq.saturating_add(1));
            }
            Item::Closing => bucket.closed = Some(false),
        }
        let number = self.number();
        let again = self.number_of.insert((place.clone(), item), number);
        again.into_iter().for_each(|old| drop(self.forget(old)));
        let record = Unarrived { place: place.clone(), item, at, length, filed, kept: Vec::new() };
        self.unarrived.insert(number, record);
        self.number_of.insert((place.clone(), item), number);
        self.wait(number);
        number
    }

    /// A number no record has: for one that is not in the spool.
    pub fn number(&mut self) -> RecordNumber {
        self.next += 1;
        RecordNumber(self.next)
    }

    fn wait(&mut self, number: RecordNumber) {
        if let Some(record) = self.unarrived.get(&number)
            && self.waiting.insert(number)
        {
            self.waiting_bytes += u64::from(record.length);
        }
    }

    fn unwait(&mut self, number: RecordNumber) {
        if let Some(record) = self.unarrived.get(&number)
            && self.waiting.remove(&number)
        {
            self.waiting_bytes -= u64::from(record.length);
        }
    }

    fn forget(&mut self, number: RecordNumber) -> Option<Unarrived> {
        self.unwait(number);
        let record = self.unarrived.remove(&number)?;
        self.number_of.remove(&(record.place.clone(), record.item));
        Some(record)
    }

    /// What a waiting record is, taken to be sent.
    pub fn take(&mut self, number: RecordNumber) -> Option<Unarrived> {
        self.unwait(number);
        self.unarrived.get(&number).cloned()
    }

    /// The oldest that waits and that some buck other than its keepers could take.
    #[must_use]
    pub fn next_waiting(&self, after: Option<RecordNumber>) -> Option<RecordNumber> {
        let from = after.map_or(RecordNumber(0), |number| RecordNumber(number.0 + 1));
        self.waiting.range(from..).next().copied()
    }

    #[must_use]
    pub fn get(&self, number: RecordNumber) -> Option<&Unarrived> {
        self.unarrived.get(&number)
    }

    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Enough bucks have it.
    pub fn arrived(&mut self, number: RecordNumber) {
        let Some(record) = self.forget(number) else { return };
        let Some(bucket) = self.buckets.get_mut(&record.place) else { return };
        match record.item {
            Item::Packet { run, seq } => {
                let seq = u64::from(seq);
                bucket.runs.entry(run).or_default().arrived.add(seq, seq + 1);
                self.changed.insert((record.place, run));
            }
            Item::Closing => bucket.closed = Some(true),
        }
    }

    /// No further buck could be found: it waits again.
    pub fn stranded(&mut self, number: RecordNumber, kept: Vec<NodeId>) {
        if let Some(record) = self.unarrived.get_mut(&number) {
            record.kept = kept;
        }
        self.wait(number);
    }

    /// It can't be read again, or nobody will take it: it is given up.
    pub fn lost(&mut self, number: RecordNumber) -> Option<Unarrived> {
        let record = self.unarrived.get(&number).cloned();
        self.arrived(number);
        record
    }

    /// What the memory knew to have arrived.
    pub fn recall(&mut self, known: &ArrivedRun) {
        for seq in known.arrived.iter().flat_map(|(first, last)| *first..=*last) {
            let item = Item::Packet { run: known.run, seq };
            if let Some(number) = self.number_of.get(&(known.place.clone(), item)).copied() {
                self.arrived(number);
            }
        }
    }

    /// Packets that are on a shelf need no buck any more.
    pub fn receipted(&mut self, me: NodeId, receipt: &Receipt) {
        let place = Place { environment: receipt.environment.clone(), bucket: receipt.bucket };
        for range in receipt.ranges.iter().filter(|range| range.tailer == me) {
            self.receipted_range(&place, range);
        }
    }

    fn receipted_range(&mut self, place: &Place, range: &SeqRange) {
        let Some(run) = self.buckets.get_mut(place).and_then(|bucket| bucket.runs.get_mut(&range.run)) else { return };
        run.receipted.add(u64::from(range.first), u64::from(range.last) + 1);
        let keys = (place.clone(), Item::Packet { run: range.run, seq: range.first })
            ..=(place.clone(), Item::Packet { run: range.run, seq: range.last });
        let numbers: Vec<RecordNumber> = self.number_of.range(keys).map(|(_, number)| *number).collect();
        numbers.into_iter().for_each(|number| self.arrived(number));
    }

    /// The runs that put packets into a bucket, for its closing.
    #[must_use]
    pub fn runs(&self, place: &Place) -> Vec<RunCount> {
        let runs = self.buckets.get(place).map(|bucket| &bucket.runs).into_iter().flatten();
        runs.map(|(run, state)| RunCount { run: *run, packets: state.packets }).take(CLOSED_RUNS_MAX).collect()
    }

    pub fn buckets(&self) -> impl Iterator<Item = (&Place, &SpoolBucket)> {
        self.buckets.iter()
    }

    /// A bucket file is deleted.
    pub fn remove(&mut self, place: &Place) {
        let Some(bucket) = self.buckets.remove(place) else { return };
        self.bytes -= bucket.bytes;
        let keys = self.unarrived.iter().filter(|(_, record)| record.place == *place).map(|(number, _)| *number);
        let numbers: Vec<RecordNumber> = keys.collect();
        numbers.into_iter().for_each(|number| drop(self.forget(number)));
        self.changed.retain(|(of, _)| of != place);
    }

    /// Everything of this environment filed before it has arrived; `None` when all has.
    #[must_use]
    pub fn arrived_to(&self, environment: &Environment) -> Option<Timestamp> {
        let packets = self.unarrived.values().filter(|record| record.item != Item::Closing);
        packets.filter(|record| record.place.environment == *environment).map(|record| record.filed).min()
    }

    #[must_use]
    pub fn all_arrived(&self) -> bool {
        self.unarrived.is_empty()
    }

    /// What arrived since this was last asked.
    pub fn take_changed(&mut self) -> Vec<ArrivedRun> {
        let changed = std::mem::take(&mut self.changed);
        let ranges = |run: &Run| {
            let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            run.arrived.iter().map(|(from, to)| (small(from), small(to - 1))).collect()
        };
        let described = |(place, run): (Place, RunId)| {
            let arrived = ranges(self.buckets.get(&place)?.runs.get(&run)?);
            Some(ArrivedRun { place, run, arrived })
        };
        changed.into_iter().filter_map(described).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(9);
    const ME: NodeId = NodeId(1);

    fn place(bucket: u64) -> Place {
        Place { environment: Environment::default(), bucket: BucketId(bucket) }
    }

    fn packet(seq: u32) -> Item {
        Item::Packet { run: RUN, seq }
    }

    fn receipt(bucket: u64, first: u32, last: u32) -> Receipt {
        let ranges = vec![SeqRange { tailer: ME, run: RUN, first, last }];
        let Place { environment, bucket } = place(bucket);
        Receipt { environment, bucket, shard: 0, version: 1, ranges, copies: 2 }
    }

    fn of(spool: &Spool, bucket: u64) -> SpoolBucket {
        spool.buckets[&place(bucket)].clone()
    }

    #[test]
    fn a_bucket_is_done_with_when_all_of_it_is_on_a_shelf() {
        let mut spool = Spool::default();
        let one = spool.add(&place(1), packet(0), 53, 100, Timestamp(5));
        let two = spool.add(&place(1), packet(1), 153, 100, Timestamp(6));
        assert_eq!(spool.bytes(), 253);
        spool.arrived(one);
        assert_eq!(spool.arrived_to(&Environment::default()), Some(Timestamp(6)));
        let closing = spool.add(&place(1), Item::Closing, 253, 10, Timestamp(7));
        assert_eq!(spool.runs(&place(1)), [RunCount { run: RUN, packets: 2 }]);
        spool.arrived(closing);
        assert!(!of(&spool, 1).has_arrived());
        spool.receipted(ME, &receipt(1, 0, 0));
        assert!(!of(&spool, 1).is_receipted());
        spool.receipted(ME, &receipt(1, 1, 1));
        assert!(of(&spool, 1).is_receipted());
        assert_eq!(spool.take(two), None, "what is on a shelf is not sent");
        assert!(spool.all_arrived());
        spool.remove(&place(1));
        assert_eq!((spool.bytes(), spool.waiting_bytes()), (0, 0));
    }

    #[test]
    fn another_tailers_receipt_is_none_of_ours() {
        let mut spool = Spool::default();
        spool.add(&place(1), packet(0), 53, 100, Timestamp(5));
        spool.receipted(NodeId(2), &receipt(1, 0, 0));
        assert!(!spool.all_arrived());
    }

    #[test]
    fn what_waits_comes_back_in_order_until_it_arrives() {
        let mut spool = Spool::default();
        let numbers: Vec<_> = (0..3).map(|seq| spool.add(&place(1), packet(seq), 0, 100, Timestamp(5))).collect();
        assert_eq!(spool.next_waiting(None), Some(numbers[0]));
        assert!(spool.take(numbers[0]).is_some());
        assert_eq!(spool.next_waiting(None), Some(numbers[1]));
        assert_eq!(spool.next_waiting(Some(numbers[1])), Some(numbers[2]));
        assert_eq!(spool.waiting_bytes(), 200);
        spool.stranded(numbers[0], vec![NodeId(4)]);
        assert_eq!(spool.next_waiting(None), Some(numbers[0]));
        assert_eq!(spool.get(numbers[0]).map(|record| record.kept.clone()), Some(vec![NodeId(4)]));
        numbers.iter().for_each(|number| spool.arrived(*number));
        let arrived = vec![ArrivedRun { place: place(1), run: RUN, arrived: vec![(0, 2)] }];
        assert_eq!(spool.take_changed(), arrived);
        assert_eq!(spool.take_changed(), []);
        let mut again = Spool::default();
        for seq in 0..4 {
            again.add(&place(1), packet(seq), 0, 100, Timestamp(5));
        }
        again.recall(&arrived[0]);
        assert_eq!(again.unarrived.len(), 1);
    }

    #[test]
    fn a_record_written_twice_is_one() {
        let mut spool = Spool::default();
        spool.add(&place(1), packet(0), 53, 100, Timestamp(5));
        let again = spool.add(&place(1), packet(0), 153, 100, Timestamp(5));
        assert_eq!(spool.unarrived.len(), 1);
        spool.arrived(again);
        assert!(spool.all_arrived());
    }
}
