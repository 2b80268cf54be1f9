//! What planted bugs need beside a hand that lies.

use crate::faults::Bug;
use crate::ghost::Ghost;
use crate::nodes::TAILERS;
use porter::machine::{BadCopy, CheckedInventory, CheckedPacket, StreamRange};
use proto::closed::Closed;
use proto::event::Event;
use proto::ids::{Environment, EventId, NodeId, PacketId};
use proto::message::{Answer, Part, Receipt, SeqRange};
use proto::packet::{Events, Packet};
use proto::squeeze::{Squeezer, Stretcher};
use proto::time::BucketId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads a packet's events, each with the place of its line in the body.
fn each_event(bytes: &[u8], mut each: impl FnMut(usize, &Event<'_>)) -> Option<Vec<u8>> {
    let packet = Packet::parse(bytes).ok()?;
    let mut body = Vec::new();
    packet.stretch_into(&mut Stretcher::default(), &mut body).ok()?;
    let sources = packet.sources();
    for event in Events::new(&packet.head, &sources, &body).filter_map(Result::ok) {
        each(event.line.as_ptr() as usize - body.as_ptr() as usize, &event);
    }
    Some(body)
}

/// What stands on a disk with a wrong byte in a line, for a reader that compares no checksum.
#[must_use]
pub fn with_a_wrong_byte(bytes: &[u8]) -> Vec<u8> {
    let mut places = Vec::new();
    let body = each_event(bytes, |at, event| places.extend((!event.line.is_empty()).then_some(at)));
    let (Some(mut body), Ok(packet)) = (body, Packet::parse(bytes)) else { return bytes.to_vec() };
    if let Some(byte) = places.first().and_then(|at| body.get_mut(*at)) {
        *byte ^= 1;
    }
    let (record, signature) = (&packet.record, *packet.record.signature);
    let squeezed = Squeezer::new(1).squeeze(&body);
    proto::record::write(record.kind, record.header, &squeezed, body.len(), |_| signature)
}

/// A porter's hand that verifies nothing.
#[must_use]
pub fn unchecked(asked: &[PacketId], records: Vec<Vec<u8>>) -> Vec<(PacketId, Result<CheckedPacket, BadCopy>)> {
    let mut all = Vec::new();
    for bytes in records {
        let Ok(packet) = Packet::parse(&bytes) else { continue };
        let id = packet.head.id.clone();
        let tailer = id.tailer;
        let streams = packet.head.streams.iter().flat_map(|stream| {
            let range = |extent: &proto::packet::Extent| (stream.id, extent.from, extent.to);
            stream.extents.iter().map(range).collect::<Vec<_>>()
        });
        let streams = streams.map(|(stream, from, to)| StreamRange { tailer, stream, from, to }).collect();
        let cost = packet.record.stretched_bytes + 4096;
        let (sources, source_bytes) = (packet.head.sources.len(), packet.head.source_bytes());
        if asked.contains(&id) {
            all.push((id, Ok(CheckedPacket { bytes: Arc::from(bytes), cost, sources, source_bytes, streams })));
        }
    }
    all
}

/// Events of these packets whose tailer has written the same bytes before.
#[must_use]
pub fn with_equal_content(packets: &[(PacketId, Arc<[u8]>)]) -> Vec<EventId> {
    repeated(packets, |event| (event.source.tailer, event.line.to_vec()))
}

/// Events of these packets whose tailer has read something at that offset of that path before.
#[must_use]
pub fn with_equal_place(packets: &[(PacketId, Arc<[u8]>)]) -> Vec<EventId> {
    repeated(packets, |event| (event.source.tailer, event.source.path.clone(), event.offset))
}

fn repeated<K: Ord>(packets: &[(PacketId, Arc<[u8]>)], key: impl Fn(&Event<'_>) -> K) -> Vec<EventId> {
    let (mut seen, mut repeated) = (BTreeSet::new(), Vec::new());
    for (_, bytes) in packets {
        each_event(bytes, |_, event| {
            if !seen.insert(key(event)) {
                repeated.push(event.id());
            }
        });
    }
    repeated
}

/// What of a record a lying disk writes.
#[must_use]
pub fn written(bug: Option<Bug>, bytes: &[u8]) -> &[u8] {
    match bug {
        Some(Bug::AckBeforeWrite) => &[],
        Some(Bug::ShortWrite) => bytes.split_at(bytes.len() / 2).0,
        _ => bytes,
    }
}

/// A porter's answers, as a bug gives them.
pub fn spoil_shelf(bug: Option<Bug>, answers: &mut [Answer]) {
    for answer in answers {
        match (bug, answer) {
            (Some(Bug::ShelfRowsForgotten), Answer::Part(Part::Rows(rows))) => drop(rows.pop()),
            (Some(Bug::CountsRepeated), Answer::Part(Part::Counts(counts))) => counts.extend_from_within(..),
            _ => {}
        }
    }
}

/// Receipts for all that was ever filed in these buckets.
#[must_use]
pub fn forged(ghost: &Ghost, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
    let forge = |(environment, bucket): &(Environment, BucketId)| {
        let of_bucket = ghost.filed.iter().map(|filed| &filed.id).filter(|id| id.bucket == *bucket);
        receipt(environment, *bucket, of_bucket)
    };
    buckets.iter().map(forge).collect()
}

/// Receipts for what some buck has acked to this tailer.
#[must_use]
pub fn of_acked(ghost: &Ghost, tailer: NodeId) -> Vec<Receipt> {
    let mine = ghost.acked.keys().filter(|id| id.tailer == tailer);
    mine.map(|id| receipt(&id.environment, id.bucket, [id].into_iter())).collect()
}

fn receipt<'a>(environment: &Environment, bucket: BucketId, ids: impl Iterator<Item = &'a PacketId>) -> Receipt {
    let range = |id: &PacketId| SeqRange { tailer: id.tailer, run: id.run, first: id.seq, last: id.seq };
    let (environment, ranges) = (environment.clone(), ids.map(range).collect());
    Receipt { environment, bucket, shard: 0, version: 1, ranges, copies: 2 }
}

/// Every tailer says, on a page of this bucket's, that it sent nothing in it.
pub fn forge_closings(page: &mut CheckedInventory, bucket: BucketId, hosts: u64) {
    for tailer in (1..=hosts).map(|n| NodeId(TAILERS + n)) {
        if !page.closings.iter().any(|closed| closed.tailer == tailer && closed.bucket == bucket) {
            let previous = Some(BucketId(bucket.0.saturating_sub(1)));
            let environment = Environment::default();
            page.closings.push(Closed { tailer, environment, bucket, previous, runs: Vec::new(), losses: Vec::new() });
        }
    }
}
