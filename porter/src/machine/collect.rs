//! Gets each packet of a shard once, from one of its holders, and hands them out in batches for one block each.
//!
//! A batch is a run of packets in order of their names, cut where it would hold more than a block should. So the
//! same packets make the same batches, whoever answered first; what holds no good copy is passed over.

use super::said::{BadCopy, CheckedPacket, StreamRange};
use crate::block::limits::{SECTION_BYTES_MAX, SOURCES_MAX};
use crate::dedup::merge;
use crate::rules::{FETCH_BYTES_MAX, FETCH_PACKETS_MAX, FETCHES_PER_BUCK};
use proto::ids::{NodeId, PacketId};
use proto::limits::PACKET_SOURCES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One buck's copy, as its inventory has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    pub buck: NodeId,
    pub bytes: u32,
    pub crc: u32,
}

#[derive(Debug)]
pub(super) struct Collect {
    packets: Vec<(PacketId, Place)>,
    by_name: BTreeMap<PacketId, usize>,
    /// Everything before was handed out.
    taken: usize,
    /// Everything before is ready or given up; the batch that grows is `taken..grown`.
    grown: usize,
    cost: usize,
    /// Sources of the batch that grows, each packet's counted anew, and the bytes of what they say.
    sources: usize,
    source_bytes: usize,
    /// Nothing before needs to be asked for.
    asked_to: usize,
    /// Of packets that were asked for, until they are part of the batch that grows.
    waiting_bytes: u64,
    /// Questions under way by number, and which packets they ask of whom.
    open: BTreeMap<u64, (NodeId, Vec<usize>)>,
    asks: u64,
    away: BTreeSet<NodeId>,
    block_bytes: usize,
    window_bytes: u64,
    /// Copies that were no good, for the status page.
    pub bad: Vec<(PacketId, NodeId, BadCopy)>,
}

#[derive(Debug)]
enum Place {
    /// Copies nobody has tried yet, the next one last.
    Wanted(Vec<Copy>),
    Asked(Vec<Copy>, Copy),
    Ready(CheckedPacket, u32),
    Taken,
    GivenUp,
}

/// Packets for one block.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub packets: Vec<(PacketId, Arc<[u8]>)>,
    pub streams: Vec<StreamRange>,
}

impl Collect {
    pub fn new(packets: BTreeMap<PacketId, Vec<Copy>>, block_bytes: usize, window_bytes: u64) -> Self {
        let by_name = packets.keys().cloned().enumerate().map(|(at, id)| (id, at)).collect();
        let packets = packets.into_iter().map(|(id, copies)| {
            let copies = in_order(&id, copies);
            (id, Place::Wanted(copies))
        });
        Self {
            packets: packets.collect(),
            by_name,
            taken: 0,
            grown: 0,
            cost: 0,
            sources: 0,
            source_bytes: 0,
            asked_to: 0,
            waiting_bytes: 0,
            open: BTreeMap::new(),
            asks: 0,
            away: BTreeSet::new(),
            block_bytes,
            window_bytes,
            bad: Vec::new(),
        }
    }

    /// The next question, its number first, while there is room for what it would bring.
    pub fn next_ask(&mut self) -> Option<(u64, NodeId, Vec<PacketId>)> {
        self.grow();
        while matches!(self.packets.get(self.asked_to), Some((_, place)) if !matches!(place, Place::Wanted(_))) {
            self.asked_to += 1;
        }
        let mut at = self.asked_to;
        let (mut to, mut chosen, mut bytes) = (None, Vec::new(), 0);
        while at < self.packets.len() && chosen.len() < FETCH_PACKETS_MAX && bytes < FETCH_BYTES_MAX {
            // The one packet a batch waits for is asked for whatever the window says.
            if self.waiting_bytes >= self.window_bytes && at > self.grown {
                break;
            }
            if let Some(copy) = self.choose(at, to) {
                to = Some(copy.buck);
                bytes += u64::from(copy.bytes);
                self.waiting_bytes += u64::from(copy.bytes);
                chosen.push(at);
            }
            at += 1;
            // Far ahead of the first packet that is wanted, other bucks' packets are not looked through.
            if at > self.asked_to + 4 * FETCH_PACKETS_MAX {
                break;
            }
        }
        let buck = to?;
        let names = chosen.iter().map(|at| self.packets[*at].0.clone()).collect();
        self.asks += 1;
        self.open.insert(self.asks, (buck, chosen));
        Some((self.asks, buck, names))
    }

    /// Takes a copy of the packet for asking, from `buck` if that is decided already.
    fn choose(&mut self, at: usize, buck: Option<NodeId>) -> Option<Copy> {
        let Place::Wanted(copies) = &mut self.packets[at].1 else { return None };
        while copies.last().is_some_and(|copy| self.away.contains(&copy.buck)) {
            copies.pop();
        }
        let Some(copy) = copies.last().copied() else {
            self.packets[at].1 = Place::GivenUp;
            return None;
        };
        let busy = self.open.values().filter(|(buck, _)| *buck == copy.buck).count() >= FETCHES_PER_BUCK;
        if busy || buck.is_some_and(|buck| buck != copy.buck) {
            return None;
        }
        copies.pop();
        let rest = std::mem::take(copies);
        self.packets[at].1 = Place::Asked(rest, copy);
        Some(copy)
    }

    /// An answer; what was asked for and is not in it is asked of the next holder.
    pub fn got(&mut self, number: u64, packets: Vec<(PacketId, Result<CheckedPacket, BadCopy>)>) {
        let Some((buck, asked)) = self.open.remove(&number) else { return };
        for (id, packet) in packets {
            let Some(at) = self.by_name.get(&id).copied().filter(|at| asked.contains(at)) else { continue };
            match packet {
                Ok(packet) => self.ready(at, buck, packet),
                Err(bad) => self.bad.push((id, buck, bad)),
            }
        }
        asked.into_iter().for_each(|at| self.ask_again(at, buck));
    }

    fn ready(&mut self, at: usize, buck: NodeId, packet: CheckedPacket) {
        if let Place::Asked(_, copy) = &self.packets[at].1
            && copy.buck == buck
        {
            self.packets[at].1 = Place::Ready(packet, copy.bytes);
        }
    }

    fn ask_again(&mut self, at: usize, buck: NodeId) {
        if let Place::Asked(rest, copy) = &mut self.packets[at].1
            && copy.buck == buck
        {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(u64::from(copy.bytes));
            self.packets[at].1 = Place::Wanted(std::mem::take(rest));
            self.asked_to = self.asked_to.min(at);
        }
    }

    /// Nothing more is asked of this buck.
    pub fn went_away(&mut self, buck: NodeId) {
        self.away.insert(buck);
        let theirs: Vec<u64> = self.open.iter().filter(|(_, (of, _))| *of == buck).map(|(number, _)| *number).collect();
        for number in theirs {
            let (_, asked) = self.open.remove(&number).unwrap_or((buck, Vec::new()));
            asked.into_iter().for_each(|at| self.ask_again(at, buck));
        }
    }

    /// A batch that is full or the last; an empty one says that all was handed out.
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.grow();
        let full = self.is_full() || self.grown == self.packets.len();
        full.then(|| self.hand_out())
    }

    /// Takes what is ready into the batch, up to its first gap or its end.
    fn grow(&mut self) {
        while !self.is_full()
            && let Some((_, place)) = self.packets.get_mut(self.grown)
        {
            match place {
                Place::Ready(packet, bytes) => {
                    self.cost += packet.cost;
                    self.sources += packet.sources;
                    self.source_bytes += packet.source_bytes;
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(u64::from(*bytes));
                }
                Place::Wanted(copies) if copies.iter().all(|copy| self.away.contains(&copy.buck)) => {
                    *place = Place::GivenUp;
                }
                Place::GivenUp | Place::Taken => {}
                Place::Wanted(_) | Place::Asked(..) => break,
            }
            self.grown += 1;
        }
    }

    /// One more packet might not fit.
    fn is_full(&self) -> bool {
        self.cost >= self.block_bytes
            || self.sources > SOURCES_MAX - PACKET_SOURCES_MAX
            || self.source_bytes > SECTION_BYTES_MAX / 2
    }

    fn hand_out(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut streams = Vec::new();
        for (id, place) in &mut self.packets[self.taken..self.grown] {
            if let Place::Ready(packet, _) = std::mem::replace(place, Place::Taken) {
                batch.packets.push((id.clone(), packet.bytes));
                streams.extend(packet.streams);
            }
        }
        batch.streams = merge(streams);
        self.taken = self.grown;
        (self.cost, self.sources, self.source_bytes) = (0, 0, 0);
        batch
    }
}

/// The copy to try first last. Which of them that is depends on the packet, so that bucks share the work.
fn in_order(id: &PacketId, mut copies: Vec<Copy>) -> Vec<Copy> {
    copies.sort_unstable();
    copies.dedup_by_key(|copy| copy.buck);
    let turn = usize::try_from(id.seq).unwrap_or(0) / FETCH_PACKETS_MAX;
    let by = turn % copies.len().max(1);
    copies.rotate_left(by);
    copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::ids::{Environment, RunId};
    use proto::time::BucketId;

    fn packet(seq: u32) -> PacketId {
        let environment = Environment::default();
        PacketId { tailer: NodeId(1), environment, bucket: BucketId(5), run: RunId(2), seq }
    }

    fn good(seq: u32) -> CheckedPacket {
        CheckedPacket {
            bytes: Arc::from(seq.to_le_bytes()),
            cost: 10,
            sources: 1,
            source_bytes: 1,
            streams: Vec::new(),
        }
    }

    /// Packet n is on the bucks given.
    fn collect(holders: &[&[u64]], block_bytes: usize, window_bytes: u64) -> Collect {
        let copies =
            |bucks: &&[u64]| bucks.iter().map(|buck| Copy { buck: NodeId(*buck), bytes: 100, crc: 0 }).collect();
        let packets = holders.iter().zip(0..).map(|(bucks, seq)| (packet(seq), copies(bucks))).collect();
        Collect::new(packets, block_bytes, window_bytes)
    }

    fn seqs(batch: &Batch) -> Vec<u32> {
        batch.packets.iter().map(|(id, _)| id.seq).collect()
    }

    #[test]
    fn a_batch_ends_before_a_block_could_hold_no_more_sources() {
        let many = |seq, sources, source_bytes| CheckedPacket { sources, source_bytes, ..good(seq) };
        let batches = |packets: Vec<CheckedPacket>| {
            let holders = vec![&[1][..]; packets.len()];
            let mut collect = collect(&holders, usize::MAX, u64::MAX);
            let (number, _, asked) = collect.next_ask().expect("all are asked of one");
            collect.got(number, asked.into_iter().zip(packets.into_iter().map(Ok)).collect());
            let batches = std::iter::from_fn(|| collect.take_batch().map(|batch| seqs(&batch)));
            batches.take_while(|batch| !batch.is_empty()).collect::<Vec<_>>()
        };
        let most = PACKET_SOURCES_MAX;
        let by_count = batches((0..20).map(|seq| many(seq, most, 1)).collect());
        assert_eq!(by_count.iter().map(Vec::len).collect::<Vec<_>>(), [16, 4]);
        let by_bytes = batches((0..5).map(|seq| many(seq, 1, 20 << 20)).collect());
        assert_eq!(by_bytes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn a_packet_without_a_good_copy_is_passed_over() {
        let mut collect = collect(&[&[1, 2], &[1], &[2]], 1000, 1000);
        assert_eq!(collect.next_ask(), Some((1, NodeId(2), vec![packet(0), packet(2)])));
        assert_eq!(collect.next_ask(), Some((2, NodeId(1), vec![packet(1)])));
        assert_eq!(collect.next_ask(), None);
        collect.got(1, vec![(packet(2), Ok(good(2))), (packet(0), Err(BadCopy::Signature))]);
        collect.got(2, vec![(packet(1), Err(BadCopy::Signature))]);
        assert!(collect.take_batch().is_none(), "packet 0 has another copy");
        assert_eq!(collect.next_ask(), Some((3, NodeId(1), vec![packet(0)])));
        collect.got(3, vec![(packet(0), Ok(good(0)))]);
        assert_eq!(collect.next_ask(), None);
        assert_eq!(seqs(&collect.take_batch().unwrap()), [0, 2]);
        assert_eq!(seqs(&collect.take_batch().unwrap()), [0; 0]);
        assert_eq!(collect.bad.len(), 2);
    }

    #[test]
    fn a_buck_that_went_away_is_not_asked_again() {
        let mut collect = collect(&[&[1, 2], &[2]], 1000, 1000);
        assert_eq!(collect.next_ask(), Some((1, NodeId(2), vec![packet(0), packet(1)])));
        collect.went_away(NodeId(2));
        assert_eq!(collect.next_ask(), Some((2, NodeId(1), vec![packet(0)])));
        collect.got(1, vec![(packet(1), Ok(good(1)))]);
        collect.got(2, vec![(packet(0), Ok(good(0))), (packet(7), Ok(good(7)))]);
        assert_eq!(seqs(&collect.take_batch().unwrap()), [0]);
    }

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let holders: Vec<&[u64]> = vec![&[1]; 1000];
        let mut collect = collect(&holders, usize::MAX, 500);
        assert_eq!(collect.next_ask().map(|(_, _, names)| names.len()), Some(5));
        assert_eq!(collect.next_ask(), None);
        collect.got(1, (0..5).map(|seq| (packet(seq), Ok(good(seq)))).collect());
        assert_eq!(collect.next_ask().map(|(_, _, names)| names.len()), Some(5));
    }

    proptest! {
        /// Whoever answers first, and whatever goes wrong on the way while one good copy is left.
        #[test]
        fn batches_do_not_depend_on_the_order_of_answers(order in prop::collection::vec((any::<u8>(), 0u8..4), 1..200)) {
            let holders: Vec<&[u64]> = (0..40u32).map(|seq| match seq % 3 {
                0 => &[1u64, 2][..],
                1 => &[2, 3],
                _ => &[1, 3],
            }).collect();
            let mut collect = collect(&holders, 70, 600);
            let mut open = Vec::new();
            let mut batches = Vec::new();
            let mut steps = order.into_iter().cycle();
            let mut spoiled = BTreeSet::new();
            loop {
                open.extend(std::iter::from_fn(|| collect.next_ask()));
                match collect.take_batch() {
                    Some(batch) if batch.packets.is_empty() => break,
                    Some(batch) => batches.push(seqs(&batch)),
                    None => {
                        prop_assert!(!open.is_empty(), "stuck after {:?}", batches);
                        let (pick, fault) = steps.next().unwrap();
                        let (number, _, names) = open.swap_remove(usize::from(pick) % open.len());
                        let answer = names.into_iter().map(|id| match fault {
                            0 if spoiled.insert(id.seq) => (id, Err(BadCopy::Signature)),
                            _ => (id.clone(), Ok(good(id.seq))),
                        });
                        let mut answer: Vec<_> = answer.collect();
                        if fault == 1 && spoiled.insert(answer[0].0.seq) {
                            drop(answer.remove(0));
                        }
                        if fault > 1 {
                            answer.reverse();
                        }
                        collect.got(number, answer);
                    }
                }
            }
            let expected: Vec<Vec<u32>> = (0..40u32).collect::<Vec<_>>().chunks(7).map(<[u32]>::to_vec).collect();
            prop_assert_eq!(batches, expected);
        }
    }
}
