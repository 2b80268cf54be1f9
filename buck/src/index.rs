//! What lies where: packets and closings by environment and bucket, and which of them have a receipt.
//!
//! Rebuilt at every start by reading the disks; nothing of it is kept elsewhere. What is known of a tailer's
//! streams is in `known`, what has come of receipts in `receipts`, answers to porters in `pages`.

mod known;
mod pages;
mod receipts;

pub use known::Tailer;
pub use receipts::Received;

use crate::filter::Filter;
use crate::place::{DiskId, Place};
use crate::plan::{Planned, Segment};
use bytes::Bytes;
use proto::closed::Closed;
use proto::ids::{Environment, NodeId, PacketId, RunId};
use proto::message::ShardVersion;
use proto::packet::{PacketHead, TimeSpan};
use proto::time::{BucketId, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Where a bucket is looked up.
pub type BucketKey = (Environment, BucketId);

/// A packet's name within its bucket, in the order of whole names.
pub type Name = (NodeId, RunId, u32);

/// Closings of one tailer for one bucket: it closes again after each restart that found more to send.
const CLOSINGS_MAX: usize = 64;

/// Closings of one tailer, all buckets together: a month of buckets of half a minute.
const ALL_CLOSINGS_MAX: usize = 100_000;

/// Filters of all packets together. A full bucket of a gibibyte of lines takes about half of it; the oldest go
/// first, and cost an opening each.
const FILTER_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
pub struct Index {
    buckets: BTreeMap<BucketKey, Held>,
    tailers: BTreeMap<NodeId, Tailer>,
    received: BTreeMap<BucketKey, Received>,
    /// How many closings of each tailer are held.
    closings: BTreeMap<NodeId, usize>,
    /// Packets with filters, oldest first.
    filtered: VecDeque<PacketId>,
    filter_bytes: usize,
}

/// What is held of one bucket.
#[derive(Debug)]
pub struct Held {
    /// Of all its packets' events; spares a search a look at each of them.
    times: TimeSpan,
    packets: BTreeMap<Name, Entry>,
    closings: BTreeMap<(NodeId, u32), Closing>,
    /// Where it has a file.
    disks: BTreeSet<DiskId>,
    /// Packets without a receipt, and their bytes.
    unreceipted: u32,
    unreceipted_bytes: u64,
    /// Some closing says that there were packets.
    named: bool,
}

#[derive(Debug)]
pub struct Entry {
    disk: DiskId,
    at: u64,
    length: u32,
    pub crc: u32,
    pub durable: bool,
    backlog: bool,
    times: TimeSpan,
    segments: Arc<[Segment]>,
    filter: Option<Arc<Filter>>,
    /// The lowest version of a manifest that is known to hold it, and its shard.
    covered: Option<(u16, u64)>,
}

#[derive(Debug)]
struct Closing {
    disk: DiskId,
    durable: bool,
    bytes: Bytes,
}

pub fn name_of(id: &PacketId) -> Name {
    (id.tailer, id.run, id.seq)
}

fn key_of(id: &PacketId) -> BucketKey {
    (id.environment.clone(), id.bucket)
}

impl Index {
    pub fn packet(&self, id: &PacketId) -> Option<&Entry> {
        self.buckets.get(&key_of(id))?.packets.get(&name_of(id))
    }

    pub fn place(&self, id: &PacketId) -> Option<Place> {
        self.packet(id).map(|entry| entry.place(&key_of(id)))
    }

    pub fn tailer(&self, tailer: NodeId) -> Option<&Tailer> {
        self.tailers.get(&tailer)
    }

    pub fn buckets(&self) -> impl Iterator<Item = (&BucketKey, &Held)> {
        self.buckets.iter()
    }

    /// A packet that was written. One that is known already stays where it is.
    pub fn add_packet(&mut self, head: &PacketHead, place: &Place, durable: bool) {
        let key = key_of(&head.id);
        let covered = self.received.get(&key).and_then(|received| received.covering(&head.id));
        let held = self.buckets.entry(key).or_default();
        held.disks.insert(place.disk);
        if held.packets.contains_key(&name_of(&head.id)) {
            return;
        }
        if covered.is_none() {
            held.unreceipted += 1;
            held.unreceipted_bytes += u64::from(place.length);
        }
        if !head.times.is_empty() {
            held.times.take_in(head.times.first);
            held.times.take_in(head.times.last);
        }
        held.packets.insert(name_of(&head.id), Entry::new(head, place, durable, covered));
        if durable {
            self.learn(head);
        }
    }

    /// What a tailer may believe to be kept: it does not file again what it hears of here.
    pub fn learn(&mut self, head: &PacketHead) {
        self.tailers.entry(head.id.tailer).or_default().take_in(head);
    }

    /// A packet whose disk failed before it was synced.
    pub fn remove_packet(&mut self, now: Timestamp, id: &PacketId) {
        let key = key_of(id);
        let Some(held) = self.buckets.get_mut(&key) else { return };
        let Some(entry) = held.packets.remove(&name_of(id)) else { return };
        if entry.covered.is_none() {
            held.unreceipted = held.unreceipted.saturating_sub(1);
            held.unreceipted_bytes = held.unreceipted_bytes.saturating_sub(u64::from(entry.length));
        }
        self.update_safe(now, &key);
    }

    pub fn set_durable(&mut self, head: &PacketHead) {
        let id = &head.id;
        let entry = self.buckets.get_mut(&key_of(id)).and_then(|held| held.packets.get_mut(&name_of(id)));
        if let Some(entry) = entry {
            entry.durable = true;
            self.learn(head);
        }
    }

    /// Everything found on this disk at the start has now been synced.
    pub fn set_disk_durable(&mut self, disk: DiskId) {
        for held in self.buckets.values_mut() {
            held.packets.values_mut().filter(|entry| entry.disk == disk).for_each(|entry| entry.durable = true);
            held.closings.values_mut().filter(|closing| closing.disk == disk).for_each(|c| c.durable = true);
        }
    }

    /// Whether this very closing is held, and if so on which disk and whether it is durable.
    pub fn closing(&self, tailer: NodeId, key: &BucketKey, crc: u32) -> Option<(DiskId, bool)> {
        self.buckets.get(key)?.closings.get(&(tailer, crc)).map(|closing| (closing.disk, closing.durable))
    }

    pub fn has_room_for_closing(&self, closed: &Closed) -> bool {
        let held = self.buckets.get(&(closed.environment.clone(), closed.bucket));
        let of_tailer = |held: &Held| held.closings.range((closed.tailer, 0)..=(closed.tailer, u32::MAX)).count();
        let of_all = self.closings.get(&closed.tailer).copied().unwrap_or_default();
        of_all < ALL_CLOSINGS_MAX && held.is_none_or(|held| of_tailer(held) < CLOSINGS_MAX)
    }

    pub fn add_closing(&mut self, closed: &Closed, disk: DiskId, crc: u32, bytes: Bytes, durable: bool) {
        let held = self.buckets.entry((closed.environment.clone(), closed.bucket)).or_default();
        held.disks.insert(disk);
        held.named |= closed.runs.iter().any(|run| run.packets > 0);
        if let std::collections::btree_map::Entry::Vacant(vacant) = held.closings.entry((closed.tailer, crc)) {
            vacant.insert(Closing { disk, durable, bytes });
            *self.closings.entry(closed.tailer).or_default() += 1;
        }
        self.tailers.entry(closed.tailer).or_default().close(closed);
    }

    pub fn set_closing_durable(&mut self, tailer: NodeId, key: &BucketKey, crc: u32) {
        let closing = self.buckets.get_mut(key).and_then(|held| held.closings.get_mut(&(tailer, crc)));
        if let Some(closing) = closing {
            closing.durable = true;
        }
    }

    pub fn remove_closing(&mut self, tailer: NodeId, key: &BucketKey, crc: u32) {
        let removed = self.buckets.get_mut(key).and_then(|held| held.closings.remove(&(tailer, crc)));
        if removed.is_some() {
            self.uncount_closing(tailer);
        }
    }

    fn uncount_closing(&mut self, tailer: NodeId) {
        if let Some(count) = self.closings.get_mut(&tailer) {
            *count = count.saturating_sub(1);
        }
    }

    /// Everything of a bucket, from every disk that has a file of it.
    pub fn remove_bucket(&mut self, key: &BucketKey) -> Vec<DiskId> {
        let Some(held) = self.buckets.remove(key) else { return Vec::new() };
        self.received.remove(key);
        held.closings.keys().for_each(|(tailer, _)| self.uncount_closing(*tailer));
        let tailers: BTreeSet<NodeId> = held.packets.keys().map(|(tailer, ..)| *tailer).collect();
        for tailer in tailers {
            if let Some(tailer) = self.tailers.get_mut(&tailer) {
                tailer.forget(&key.0, key.1);
            }
        }
        held.disks.into_iter().collect()
    }

    pub fn set_filter(&mut self, id: &PacketId, filter: Filter) {
        let entry = self.buckets.get_mut(&key_of(id)).and_then(|held| held.packets.get_mut(&name_of(id)));
        let Some(entry) = entry.filter(|entry| entry.filter.is_none()) else { return };
        self.filter_bytes += filter.bytes();
        entry.filter = Some(Arc::new(filter));
        self.filtered.push_back(id.clone());
        while self.filter_bytes > FILTER_BYTES_MAX {
            let Some(oldest) = self.filtered.pop_front() else { break };
            self.drop_filter(&oldest);
        }
    }

    fn drop_filter(&mut self, id: &PacketId) {
        let entry = self.buckets.get_mut(&key_of(id)).and_then(|held| held.packets.get_mut(&name_of(id)));
        let bytes = entry.and_then(|entry| entry.filter.take()).map_or(0, |filter| filter.bytes());
        self.filter_bytes = self.filter_bytes.saturating_sub(bytes);
    }

    /// Whether this tailer has a packet in this bucket.
    pub fn holds_of(&self, tailer: NodeId, key: &BucketKey) -> bool {
        self.buckets.get(key).is_some_and(|held| held.packets_of(tailer).next().is_some())
    }

    /// Buckets of an environment in which this tailer has packets without a receipt.
    pub fn open_buckets(&self, tailer: NodeId, environment: &Environment) -> usize {
        let first = (environment.clone(), BucketId(0));
        let of_environment = self.buckets.range(first..).take_while(|((name, _), _)| name == environment);
        let has = |held: &Held| held.unreceipted > 0 && held.packets_of(tailer).next().is_some();
        of_environment.filter(|(_, held)| has(held)).count()
    }

    pub fn holds_bucket(&self, key: &BucketKey) -> bool {
        self.buckets.contains_key(key)
    }

    /// Packets that may hold events of this span, leaving out what the asker's snapshot holds.
    pub fn plan(&self, environments: &[Environment], times: TimeSpan, snapshot: &[ShardVersion]) -> Vec<Planned> {
        let versions = versions_of(snapshot);
        let mut planned = Vec::new();
        let in_time = |of: &TimeSpan| of.last >= times.first && of.first <= times.last;
        let buckets = self.buckets.iter().filter(|(key, held)| environments.contains(&key.0) && in_time(&held.times));
        for (key, held) in buckets {
            for (name, entry) in &held.packets {
                if in_time(&entry.times) && !entry.is_in(key, &versions) {
                    planned.push(entry.planned(key, *name));
                }
            }
        }
        planned
    }

    /// Packets with a part of this stream.
    pub fn plan_stream(&self, environment: &Environment, id: &proto::ids::EventId) -> Vec<Planned> {
        let mut planned = Vec::new();
        for (key, held) in self.buckets.iter().filter(|(key, _)| key.0 == *environment) {
            let of_stream = |entry: &Entry| entry.segments.iter().any(|segment| segment.stream == id.stream);
            let entries = held.packets_of(id.tailer).filter(|(_, entry)| of_stream(entry));
            planned.extend(entries.map(|(name, entry)| entry.planned(key, *name)));
        }
        planned
    }
}

fn versions_of(snapshot: &[ShardVersion]) -> BTreeMap<(BucketKey, u16), u64> {
    let key = |at: &ShardVersion| ((at.environment.clone(), at.bucket), at.shard);
    snapshot.iter().map(|at| (key(at), at.version)).collect()
}

impl Default for Held {
    fn default() -> Self {
        Self {
            times: TimeSpan::EMPTY,
            packets: BTreeMap::new(),
            closings: BTreeMap::new(),
            disks: BTreeSet::new(),
            unreceipted: 0,
            unreceipted_bytes: 0,
            named: false,
        }
    }
}

impl Held {
    pub fn is_without_packets(&self) -> bool {
        self.packets.is_empty()
    }

    pub fn unreceipted(&self) -> u32 {
        self.unreceipted
    }

    fn packets_of(&self, tailer: NodeId) -> impl Iterator<Item = (&Name, &Entry)> {
        self.packets.range((tailer, RunId(0), 0)..=(tailer, RunId(u64::MAX), u32::MAX))
    }
}

impl Entry {
    fn new(head: &PacketHead, place: &Place, durable: bool, covered: Option<(u16, u64)>) -> Self {
        let segment = |stream: &proto::packet::PacketStream| {
            let (first, last) = (stream.extents.first()?, stream.extents.last()?);
            Some(Segment { stream: stream.id, from: first.from, to: last.to })
        };
        Self {
            disk: place.disk,
            at: place.at,
            length: place.length,
            crc: place.crc,
            durable,
            backlog: head.backlog,
            times: head.times,
            segments: head.streams.iter().filter_map(segment).collect(),
            filter: None,
            covered,
        }
    }

    pub fn disk(&self) -> DiskId {
        self.disk
    }

    fn place(&self, key: &BucketKey) -> Place {
        Place {
            disk: self.disk,
            environment: key.0.clone(),
            bucket: key.1,
            at: self.at,
            length: self.length,
            crc: self.crc,
        }
    }

    fn planned(&self, key: &BucketKey, name: Name) -> Planned {
        let (tailer, run, seq) = name;
        Planned {
            id: PacketId { tailer, environment: key.0.clone(), bucket: key.1, run, seq },
            place: self.place(key),
            times: self.times,
            segments: Arc::clone(&self.segments),
            filter: self.filter.clone(),
        }
    }

    /// Whether the asker's snapshot holds it.
    fn is_in(&self, key: &BucketKey, versions: &BTreeMap<(BucketKey, u16), u64>) -> bool {
        let Some((shard, version)) = self.covered else { return false };
        versions.get(&(key.clone(), shard)).is_some_and(|asked| version <= *asked)
    }
}
