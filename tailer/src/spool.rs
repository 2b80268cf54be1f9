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
use std::time::Duration;

/// How long a record that no buck allows is left alone at first, and at most: what is wrong is a roster or a key, and
/// those are changed by people.
pub const PARKED_FIRST: Duration = Duration::from_secs(10);
const PARKED_MAX: Duration = Duration::from_secs(600);

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
    /// How long it was last left alone because no buck allowed it.
    pause: Duration,
    /// It is left alone until then.
    parked_until: Option<Duration>,
}

/// What is known of one run's packets in one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    packets: u32,
    arrived: Ranges,
    receipted: Ranges,
    /// Given up: nothing more will become of them.
    lost: Ranges,
}

impl Run {
    /// Each of its packets is one of these, or was given up.
    fn is_settled(&self, settled: &Ranges) -> bool {
        let both: Ranges = settled.iter().chain(self.lost.iter()).collect();
        both.holds_all_below(u64::from(self.packets))
    }
}

/// One bucket file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolBucket {
    pub bytes: u64,
    runs: BTreeMap<RunId, Run>,
    /// Its closing is written, and has arrived.
    closed: Option<bool>,
    /// When the first of what was given up was filed.
    lost_from: Option<Timestamp>,
}

impl SpoolBucket {
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Every record is on enough bucks, but for what was given up.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.closed == Some(true) && self.runs.values().all(|run| run.is_settled(&run.arrived))
    }

    /// Every packet is on a shelf, but for what was given up.
    #[must_use]
    pub fn is_receipted(&self) -> bool {
        self.closed == Some(true) && self.runs.values().all(|run| run.is_settled(&run.receipted))
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
    /// Those that no buck allows now, and until when they are left alone.
    parked: BTreeSet<(Duration, RecordNumber)>,
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
        let (kept, pause) = (Vec::new(), Duration::ZERO);
        let record = Unarrived { place: place.clone(), item, at, length, filed, kept, pause, parked_until: None };
        self.unarrived.insert(number, record);
        self.number_of.insert((place.clone(), item), number);
        self.waiting.insert(number);
        number
    }

    /// A number no record has: for one that is not in the spool.
    pub fn number(&mut self) -> RecordNumber {
        self.next += 1;
        RecordNumber(self.next)
    }

    fn forget(&mut self, number: RecordNumber) -> Option<Unarrived> {
        self.waiting.remove(&number);
        let record = self.unarrived.remove(&number)?;
        if let Some(until) = record.parked_until {
            self.parked.remove(&(until, number));
        }
        self.number_of.remove(&(record.place.clone(), record.item));
        Some(record)
    }

    /// What a waiting record is, taken to be sent.
    pub fn take(&mut self, number: RecordNumber) -> Option<Unarrived> {
        self.waiting.remove(&number);
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
            self.waiting.insert(number);
        }
    }

    /// No buck allows it now: it is left alone, each time for longer.
    pub fn park(&mut self, now: Duration, number: RecordNumber, kept: Vec<NodeId>) {
        let Some(record) = self.unarrived.get_mut(&number) else { return };
        record.kept = kept;
        record.pause = (record.pause * 2).clamp(PARKED_FIRST, PARKED_MAX);
        let until = now.saturating_add(record.pause);
        record.parked_until = Some(until);
        self.parked.insert((until, number));
    }

    /// Those that were left alone for long enough wait again, so many at most.
    pub fn unpark_due(&mut self, now: Duration, most: usize) {
        let due: Vec<_> = self.parked.iter().take_while(|(until, _)| *until <= now).take(most).copied().collect();
        due.into_iter().for_each(|parked| self.unpark(parked));
    }

    /// What bucks allow may have changed: all are tried again, and soon once more.
    pub fn unpark_all(&mut self) {
        for parked in std::mem::take(&mut self.parked) {
            self.unpark(parked);
            self.unarrived.entry(parked.1).and_modify(|record| record.pause = Duration::ZERO);
        }
    }

    fn unpark(&mut self, parked: (Duration, RecordNumber)) {
        self.parked.remove(&parked);
        if let Some(record) = self.unarrived.get_mut(&parked.1) {
            record.parked_until = None;
            self.waiting.insert(parked.1);
        }
    }

    #[must_use]
    pub fn next_unparked(&self) -> Option<Duration> {
        self.parked.first().map(|(until, _)| *until)
    }

    /// It can't be read again, or nobody will ever take it: it is given up, and has not arrived.
    pub fn lost(&mut self, number: RecordNumber) -> Option<Unarrived> {
        let record = self.forget(number)?;
        let bucket = self.buckets.get_mut(&record.place)?;
        match record.item {
            Item::Packet { run, seq } => {
                let seq = u64::from(seq);
                bucket.runs.entry(run).or_default().lost.add(seq, seq + 1);
                bucket.lost_from = Some(bucket.lost_from.map_or(record.filed, |from| from.min(record.filed)));
            }
            // Its file is not to stay for ever; that a closing is missing is seen from those after it.
            Item::Closing => bucket.closed = Some(true),
        }
        Some(record)
    }

    /// What the memory knew to have arrived.
    pub fn recall(&mut self, known: &ArrivedRun) {
        for (first, last) in &known.arrived {
            self.all_arrived_of(&known.place, known.run, *first, *last);
        }
    }

    /// As many as there are of these; the numbers come from a disk or from others, and may be anything.
    fn all_arrived_of(&mut self, place: &Place, run: RunId, first: u32, last: u32) {
        if first > last {
            return;
        }
        let key = |seq| (place.clone(), Item::Packet { run, seq });
        let numbers: Vec<RecordNumber> =
            self.number_of.range(key(first)..=key(last)).map(|(_, number)| *number).collect();
        numbers.into_iter().for_each(|number| self.arrived(number));
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
        self.all_arrived_of(place, range.run, range.first, range.last);
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
        let packets = packets.filter(|record| record.place.environment == *environment).map(|record| record.filed);
        // What was given up is missing without a word until the closing that counts it has arrived.
        let open = self
            .buckets
            .iter()
            .filter(|(place, bucket)| place.environment == *environment && bucket.closed != Some(true));
        packets.chain(open.filter_map(|(_, bucket)| bucket.lost_from)).min()
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
        assert_eq!(spool.bytes(), 0);
    }

    #[test]
    fn numbers_that_make_no_sense_are_passed_over() {
        let mut spool = Spool::default();
        spool.add(&place(1), packet(3), 53, 100, Timestamp(5));
        spool.receipted(ME, &receipt(1, 7, 2));
        spool.recall(&ArrivedRun { place: place(1), run: RUN, arrived: vec![(7, 2), (4, u32::MAX)] });
        assert!(!spool.all_arrived());
        spool.recall(&ArrivedRun { place: place(1), run: RUN, arrived: vec![(0, u32::MAX)] });
        assert!(spool.all_arrived());
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
    fn what_no_buck_allows_is_left_alone_for_longer_and_longer() {
        let mut spool = Spool::default();
        let number = spool.add(&place(1), packet(0), 53, 100, Timestamp(5));
        let mut now = Duration::ZERO;
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert!(spool.take(number).is_some());
            spool.park(now, number, vec![NodeId(4)]);
            now += Duration::from_secs(seconds);
            assert_eq!((spool.next_unparked(), spool.next_waiting(None)), (Some(now), None));
            spool.unpark_due(now - Duration::from_millis(1), 9);
            assert_eq!(spool.next_waiting(None), None);
            spool.unpark_due(now, 9);
            assert_eq!((spool.next_unparked(), spool.next_waiting(None)), (None, Some(number)));
        }
        assert_eq!(spool.arrived_to(&Environment::default()), Some(Timestamp(5)));
        spool.park(now, number, vec![NodeId(4)]);
        spool.unpark_all();
        spool.park(now, number, vec![NodeId(4)]);
        assert_eq!(spool.next_unparked(), Some(now + PARKED_FIRST), "a new roster is a new beginning");
        spool.receipted(ME, &receipt(1, 0, 0));
        assert_eq!((spool.next_unparked(), spool.all_arrived()), (None, true));
    }

    #[test]
    fn what_was_given_up_has_not_arrived_and_does_not_keep_its_file_for_ever() {
        let mut spool = Spool::default();
        let gone = spool.add(&place(1), packet(0), 53, 100, Timestamp(5));
        let there = spool.add(&place(1), packet(1), 153, 100, Timestamp(6));
        assert!(spool.lost(gone).is_some());
        spool.arrived(there);
        assert_eq!(spool.take_changed(), [ArrivedRun { place: place(1), run: RUN, arrived: vec![(1, 1)] }]);
        assert_eq!(spool.arrived_to(&Environment::default()), Some(Timestamp(5)));
        let closing = spool.add(&place(1), Item::Closing, 253, 10, Timestamp(7));
        spool.arrived(closing);
        assert_eq!(spool.arrived_to(&Environment::default()), None, "the closing counts it");
        assert!(of(&spool, 1).has_arrived() && !of(&spool, 1).is_receipted());
        spool.receipted(ME, &receipt(1, 1, 1));
        assert!(of(&spool, 1).is_receipted());
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
