//! How many, when, how grave: many nodes' counts become one, each packet once.
//!
//! A porter counts what its snapshot holds, shard by shard; bucks count packets. A packet on two bucks is counted
//! once. A packet that a buck does not yet know to be on the shelf would be counted by the porter too: receipts of
//! its bucket tell, and until they are here it waits. Whatever can't be told apart makes the number approximate,
//! and the number says so; nothing is guessed.

use proto::event::Level;
use proto::ids::{Environment, PacketId};
use proto::message::{CountCell, Counts, Receipt, ShardVersion};
use proto::time::BucketId;
use std::collections::{BTreeMap, BTreeSet};

/// Packets one answer may name: a hundred thousand hosts, each with a few. Beyond it counting goes on, marked.
const PACKETS_MAX: usize = 1 << 20;

/// Cells of one answer, all levels together.
const CELLS_MAX: usize = 1 << 20;

/// Matches by step and level.
pub type Cells = BTreeMap<(i64, Level), u64>;

/// What is known of whether a bucket's packets are in the snapshot.
#[derive(Debug)]
enum Receipts {
    Unasked,
    Asked,
    Known(Vec<Receipt>),
    /// Not of every shard of the snapshot: what these do not name may still be on the shelf.
    Partly(Vec<Receipt>),
    /// Nobody could say.
    Unknown,
}

#[derive(Debug, Default)]
pub struct Tally {
    snapshot: BTreeSet<ShardVersion>,
    /// The porter's, already summed: one porter answers, from one snapshot, so nothing in it repeats.
    shelf: Cells,
    packets: BTreeMap<PacketId, Vec<CountCell>>,
    receipts: BTreeMap<(Environment, BucketId), Receipts>,
    approximate: bool,
}

impl Tally {
    #[must_use]
    pub fn new(snapshot: &[ShardVersion]) -> Self {
        let mut receipts = BTreeMap::new();
        for shard in snapshot {
            receipts.entry((shard.environment.clone(), shard.bucket)).or_insert(Receipts::Unasked);
        }
        Self { snapshot: snapshot.iter().cloned().collect(), receipts, ..Self::default() }
    }

    /// Counts of the porter that answers from the snapshot.
    pub fn on_shelf(&mut self, counts: Vec<Counts>) {
        for count in counts {
            self.approximate |= count.packet.is_some();
            self.approximate |= !add(&mut self.shelf, &count.cells);
        }
    }

    /// Counts of one buck.
    pub fn on_buck(&mut self, counts: Vec<Counts>) {
        for count in counts {
            match count.packet {
                Some(packet) => self.take_packet(packet, count.cells),
                None => self.take_nameless(&count.cells),
            }
        }
    }

    /// Several bucks may have counted the same under no name.
    fn take_nameless(&mut self, cells: &[CountCell]) {
        self.approximate |= !cells.is_empty();
        add(&mut self.shelf, cells);
    }

    fn take_packet(&mut self, packet: PacketId, mut cells: Vec<CountCell>) {
        cells.sort_unstable();
        if let Some(known) = self.packets.get_mut(&packet) {
            // Two holders disagree: one of them could not read all of it. The larger count has seen more.
            if *known != cells {
                self.approximate = true;
                if sum(&cells) > sum(known) {
                    *known = cells;
                }
            }
        } else if self.packets.len() < PACKETS_MAX {
            self.packets.insert(packet, cells);
        } else {
            self.approximate = true;
        }
    }

    /// Some node did not tell all it had.
    pub fn is_short(&mut self) {
        self.approximate = true;
    }

    /// Buckets that are both on the shelf and still counted by bucks: their receipts are to be asked for.
    pub fn wanted_receipts(&mut self) -> Vec<(Environment, BucketId)> {
        let counted: BTreeSet<_> =
            self.packets.keys().map(|packet| (packet.environment.clone(), packet.bucket)).collect();
        let mut wanted = Vec::new();
        for bucket in counted {
            if let Some(state @ Receipts::Unasked) = self.receipts.get_mut(&bucket) {
                *state = Receipts::Asked;
                wanted.push(bucket);
            }
        }
        wanted
    }

    /// What the porter says of the buckets that were asked for; `None` when it said nothing. An answer has as many
    /// receipts as fit it, in the order of buckets: what it was too short for is wanted again.
    pub fn on_receipts(&mut self, asked: &[(Environment, BucketId)], receipts: Option<&[Receipt]>) {
        let last = receipts.unwrap_or_default().iter().map(|receipt| (&receipt.environment, receipt.bucket)).max();
        for (index, bucket) in asked.iter().enumerate() {
            let of_bucket = |receipt: &&Receipt| receipt.environment == bucket.0 && receipt.bucket == bucket.1;
            let told: Option<Vec<Receipt>> = receipts.map(|all| all.iter().filter(of_bucket).cloned().collect());
            let place = Some((&bucket.0, bucket.1));
            let state = match told {
                None => Receipts::Unknown,
                Some(told) if self.are_all(bucket, &told) => Receipts::Known(told),
                Some(_) if last.is_some() && (place > last || place == last && index > 0) => Receipts::Unasked,
                Some(told) => Receipts::Partly(told),
            };
            self.receipts.insert(bucket.clone(), state);
        }
    }

    /// Whether these tell of every shard that the snapshot has of this bucket.
    fn are_all(&self, bucket: &(Environment, BucketId), told: &[Receipt]) -> bool {
        let at = |shard| ShardVersion { environment: bucket.0.clone(), bucket: bucket.1, shard, version: 0 };
        let last = ShardVersion { version: u64::MAX, ..at(u16::MAX) };
        self.snapshot.range(at(0)..=last).all(|ours| told.iter().any(|receipt| receipt.shard == ours.shard))
    }

    /// The sum of what is certain so far, and whether it is exact.
    #[must_use]
    pub fn total(&self) -> (Cells, bool) {
        let mut cells = self.shelf.clone();
        let mut exact = !self.approximate;
        for (packet, of_packet) in &self.packets {
            match self.is_on_shelf(packet) {
                Some(true) => {}
                Some(false) => exact &= add(&mut cells, of_packet),
                None => exact = false,
            }
        }
        (cells, exact)
    }

    /// Whether the snapshot holds this packet; `None` while or where nobody can say.
    fn is_on_shelf(&self, packet: &PacketId) -> Option<bool> {
        let bucket = (packet.environment.clone(), packet.bucket);
        match self.receipts.get(&bucket) {
            None => Some(false),
            Some(Receipts::Known(receipts)) => self.covered(packet, receipts),
            Some(Receipts::Partly(receipts)) => self.covered(packet, receipts).filter(|covered| *covered),
            Some(_) => None,
        }
    }

    /// A receipt of a later version than the snapshot's may name packets that the snapshot lacks.
    fn covered(&self, packet: &PacketId, receipts: &[Receipt]) -> Option<bool> {
        let Some(receipt) = receipts.iter().find(|receipt| receipt.covers(packet)) else { return Some(false) };
        let ours = |at: &&ShardVersion| {
            at.environment == receipt.environment && at.bucket == receipt.bucket && at.shard == receipt.shard
        };
        match self.snapshot.iter().find(ours) {
            None => Some(false),
            Some(at) if at.version >= receipt.version => Some(true),
            Some(_) => None,
        }
    }
}

/// False when not all of it could be kept.
fn add(cells: &mut Cells, more: &[CountCell]) -> bool {
    for cell in more {
        let key = (cell.step, cell.level);
        if cells.len() >= CELLS_MAX && !cells.contains_key(&key) {
            return false;
        }
        let count = cells.entry(key).or_default();
        *count = count.saturating_add(cell.count);
    }
    true
}

fn sum(cells: &[CountCell]) -> u64 {
    cells.iter().fold(0, |sum, cell| sum.saturating_add(cell.count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::ids::{NodeId, RunId};
    use proto::message::SeqRange;

    fn packet(bucket: u64, seq: u32) -> PacketId {
        PacketId {
            tailer: NodeId(1),
            environment: Environment::default(),
            bucket: BucketId(bucket),
            run: RunId(2),
            seq,
        }
    }

    fn cell(step: i64, count: u64) -> CountCell {
        CountCell { step, level: Level::Error, count }
    }

    fn counts(packet: Option<PacketId>, cells: &[CountCell]) -> Vec<Counts> {
        vec![Counts { packet, cells: cells.to_vec() }]
    }

    fn at(bucket: u64, version: u64) -> ShardVersion {
        ShardVersion { environment: Environment::default(), bucket: BucketId(bucket), shard: 0, version }
    }

    fn receipt(bucket: u64, version: u64, last: u32) -> Receipt {
        let range = SeqRange { tailer: NodeId(1), run: RunId(2), first: 0, last };
        let at = at(bucket, version);
        Receipt { environment: at.environment, bucket: at.bucket, shard: 0, version, ranges: vec![range], copies: 1 }
    }

    fn sum_of(tally: &Tally) -> (u64, bool) {
        let (cells, exact) = tally.total();
        (cells.values().sum(), exact)
    }

    #[test]
    fn a_packet_on_two_bucks_counts_once() {
        let mut tally = Tally::new(&[]);
        tally.on_buck(counts(Some(packet(5, 0)), &[cell(1, 3), cell(2, 1)]));
        tally.on_buck(counts(Some(packet(5, 0)), &[cell(2, 1), cell(1, 3)]));
        tally.on_buck(counts(Some(packet(5, 1)), &[cell(2, 10)]));
        assert_eq!(sum_of(&tally), (14, true));
        assert!(tally.wanted_receipts().is_empty());
        tally.on_buck(counts(Some(packet(5, 0)), &[cell(1, 2)]));
        assert_eq!(sum_of(&tally), (14, false), "holders that disagree");
    }

    #[test]
    fn what_the_snapshot_covers_is_counted_by_the_porter_alone() {
        let mut tally = Tally::new(&[at(5, 2)]);
        tally.on_shelf(counts(None, &[cell(1, 100)]));
        tally.on_buck(counts(Some(packet(5, 0)), &[cell(1, 7)]));
        tally.on_buck(counts(Some(packet(5, 9)), &[cell(1, 2)]));
        tally.on_buck(counts(Some(packet(6, 0)), &[cell(1, 1)]));
        assert_eq!(sum_of(&tally), (101, false), "until receipts tell");
        let asked = tally.wanted_receipts();
        assert_eq!(asked, [(Environment::default(), BucketId(5))]);
        assert!(tally.wanted_receipts().is_empty());
        tally.on_receipts(&asked, Some(&[receipt(5, 2, 3)]));
        assert_eq!(sum_of(&tally), (103, true));
    }

    #[test]
    fn receipts_that_were_too_many_for_an_answer_are_asked_for_again() {
        let two_shards = [at(5, 2), ShardVersion { shard: 1, ..at(5, 2) }, at(6, 2), at(7, 2)];
        let mut tally = Tally::new(&two_shards);
        for bucket in [5, 6, 7] {
            tally.on_buck(counts(Some(packet(bucket, 0)), &[cell(1, 1)]));
        }
        let asked = tally.wanted_receipts();
        assert_eq!(asked.len(), 3);
        tally.on_receipts(&asked, Some(&[receipt(5, 2, 3)]));
        assert_eq!(sum_of(&tally), (0, false), "a shard of the first is not told of, nor are the others");
        let rest = tally.wanted_receipts();
        assert_eq!(rest, asked[1..], "the first was cut within itself: it is not asked for for ever");
        tally.on_receipts(&rest, Some(&[receipt(6, 2, 3)]));
        let rest = tally.wanted_receipts();
        assert_eq!(rest, asked[2..]);
        tally.on_receipts(&rest, Some(&[]));
        assert!(tally.wanted_receipts().is_empty(), "nothing is told of it at all");
        assert_eq!(sum_of(&tally), (0, false), "what may be on the shelf is not counted twice");
    }

    #[test]
    fn what_cannot_be_told_apart_is_approximate() {
        let asked = [(Environment::default(), BucketId(5))];
        for receipts in [None, Some([receipt(5, 3, 3)])] {
            let mut tally = Tally::new(&[at(5, 2)]);
            tally.on_buck(counts(Some(packet(5, 0)), &[cell(1, 7)]));
            tally.on_receipts(&asked, receipts.as_ref().map(<[Receipt; 1]>::as_slice));
            assert_eq!(sum_of(&tally), (0, false));
        }
        let mut tally = Tally::new(&[]);
        tally.on_buck(counts(None, &[cell(1, 7)]));
        assert_eq!(sum_of(&tally), (7, false));
    }

    proptest! {
        /// Each packet has one true count; however bucks repeat, split and order their reports, the sum is the truth.
        #[test]
        fn any_reports_of_the_same_packets_give_one_sum(
            truth in prop::collection::vec(0..50u64, 1..30),
            reports in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut tally = Tally::new(&[]);
            let all = (0..truth.len()).chain(reports.iter().map(|index| index.index(truth.len())));
            for seq in all {
                tally.on_buck(counts(Some(packet(1, seq as u32)), &[cell(0, truth[seq])]));
            }
            prop_assert_eq!(sum_of(&tally), (truth.iter().sum(), true));
        }
    }
}
