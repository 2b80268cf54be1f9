//! Bucks and a porter of plain memory: they keep every record they take, and can be down.

use proto::closed::Closed;

use proto::ids::{Environment, EventId, NodeId, PacketId, StreamId};
use proto::message::{Known, KnownStream, Receipt, SeqRange};
use proto::packet::{Events, Packet, TailMark};
use proto::record::{Kind, Record};
use proto::squeeze::Stretcher;
use proto::time::BucketId;
use std::collections::{BTreeMap, BTreeSet};
use tailer::ranges::Ranges;

#[derive(Debug, Default)]
pub struct Bucks {
    /// What each of them has.
    pub kept: BTreeMap<NodeId, BTreeMap<PacketId, Vec<u8>>>,
    pub closed: BTreeMap<(Environment, BucketId), Closed>,
    /// Packets of which it was said that they are on a shelf.
    pub shelved: BTreeSet<PacketId>,
    pub puts: BTreeMap<PacketId, Vec<NodeId>>,
}

/// An event as it was found on a buck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: String,
    pub generation: u32,
    pub line: Vec<u8>,
    pub flags: proto::event::Flags,
    pub predecessor: Option<StreamId>,
}

impl Bucks {
    pub fn put(&mut self, buck: NodeId, bytes: &[u8]) {
        let record = Record::parse(bytes).expect("a tailer sends whole records");
        match record.kind {
            Kind::Packet => {
                let id = Packet::parse(bytes).expect("a whole packet").head.id;
                self.puts.entry(id.clone()).or_default().push(buck);
                self.kept.entry(buck).or_default().insert(id, bytes.to_vec());
            }
            Kind::Closed => {
                let (closed, _) = Closed::parse(bytes).expect("a whole closing");
                self.closed.insert((closed.environment.clone(), closed.bucket), closed);
            }
        }
    }

    pub fn all(&self) -> BTreeMap<&PacketId, &Vec<u8>> {
        self.kept.values().flatten().collect()
    }

    /// How many bucks keep the least kept packet that is on no shelf.
    pub fn fewest_copies(&self) -> usize {
        let copies = |id: &PacketId| self.kept.values().filter(|kept| kept.contains_key(id)).count();
        self.all().keys().filter(|id| !self.shelved.contains(**id)).map(|id| copies(id)).min().unwrap_or(2)
    }

    /// Every event that any buck has, once.
    pub fn events(&self) -> BTreeMap<EventId, Found> {
        let mut found = BTreeMap::new();
        let mut body = Vec::new();
        for bytes in self.all().values() {
            let packet = Packet::parse(bytes).expect("whole");
            let sources = packet.sources();
            packet.stretch_into(&mut Stretcher::default(), &mut body).expect("whole");
            for event in Events::new(&packet.head, &sources, &body) {
                let event = event.expect("whole");
                let source = event.source;
                let (path, generation, predecessor) = (source.path.clone(), source.generation, source.predecessor);
                let line = event.line.to_vec();
                found.insert(event.id(), Found { path, generation, line, flags: event.flags, predecessor });
            }
        }
        found
    }

    pub fn known(&self, buck: Option<NodeId>) -> Known {
        let mut streams: BTreeMap<StreamId, (u32, String, Ranges, (u64, TailMark))> = BTreeMap::new();
        for (at, kept) in &self.kept {
            for bytes in kept.values().filter(|_| buck.is_none_or(|buck| buck == *at)) {
                for stream in Packet::parse(bytes).expect("whole").head.streams {
                    let (.., passed, end) = streams.entry(stream.id).or_insert_with(|| {
                        (stream.generation, stream.path.clone(), Ranges::default(), (0, stream.tail))
                    });
                    stream.extents.iter().for_each(|extent| passed.add(extent.from, extent.to));
                    let to = stream.extents.last().map_or(0, |extent| extent.to);
                    if to >= end.0 {
                        *end = (to, stream.tail);
                    }
                }
            }
        }
        let known = |(stream, (generation, path, passed, (_, tail))): (_, (u32, String, Ranges, (u64, TailMark)))| {
            KnownStream { stream, generation, path, extents: passed.iter().collect(), tail }
        };
        Known { streams: streams.into_iter().map(known).collect(), closed: Vec::new(), more: false }
    }

    /// As if a porter had put everything on a shelf that is in a closed bucket.
    pub fn receipts(&mut self, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        let asked: Vec<_> = buckets.iter().filter(|place| self.closed.contains_key(place)).collect();
        let mut receipts = Vec::new();
        for (environment, bucket) in asked {
            let of_bucket = |id: &&PacketId| id.bucket == *bucket && id.environment == *environment;
            let ids: Vec<PacketId> = self.all().into_keys().filter(of_bucket).cloned().collect();
            let range = |id: &PacketId| SeqRange { tailer: id.tailer, run: id.run, first: id.seq, last: id.seq };
            let ranges = ids.iter().map(range).collect();
            self.shelved.extend(ids);
            receipts.push(Receipt {
                environment: environment.clone(),
                bucket: *bucket,
                shard: 0,
                version: 1,
                ranges,
                copies: 2,
            });
        }
        receipts
    }
}
