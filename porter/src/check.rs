//! Whether what a buck sent is what its tailer wrote: whole, the packet that was asked for, and signed.
//!
//! The signature travelled with the packet from its tailer's hands, so a buck that changed a byte, or made a
//! packet up, is found out here and another buck's copy is used.

use crate::machine::{BadCopy, CheckedInventory, CheckedPacket, StreamRange};
use crate::rules::EVENT_COST_BYTES;
use proto::closed::Closed;
use proto::ids::{NodeId, PacketId};
use proto::message::Inventory;
use proto::packet::{Fate, Packet, PacketHead};
use proto::record::Record;
use proto::roster::Roster;
use proto::seal::{Domain, verify};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a record is signed by a key its tailer has in the roster.
#[must_use]
pub fn is_signed(roster: &Roster, tailer: NodeId, record: &Record<'_>) -> bool {
    let by = |peer: &proto::roster::Peer| verify(&peer.key, Domain::RECORD, record.content, record.signature).is_ok();
    roster.lines_of(tailer).any(by)
}

/// What came for a question, each record under the name it was asked for by. One that can't be read or was not
/// asked for has no name, and is as good as not there.
#[must_use]
pub fn packets(
    asked: &[PacketId],
    records: Vec<Vec<u8>>,
    roster: &Roster,
) -> Vec<(PacketId, Result<CheckedPacket, BadCopy>)> {
    packets_by(asked, records, |tailer, record| is_signed(roster, tailer, record))
}

/// [`packets`], for who has another way to tell whose a signature is.
#[must_use]
pub fn packets_by(
    asked: &[PacketId],
    records: Vec<Vec<u8>>,
    is_signed: impl Fn(NodeId, &Record<'_>) -> bool,
) -> Vec<(PacketId, Result<CheckedPacket, BadCopy>)> {
    let wanted: BTreeSet<&PacketId> = asked.iter().collect();
    let mut came = BTreeSet::new();
    let mut checked = Vec::with_capacity(asked.len());
    let mut bad = Vec::new();
    for bytes in records {
        match packet(&bytes, &is_signed) {
            Ok((id, packet)) if wanted.contains(&id) && came.insert(id.clone()) => checked.push((id, Ok(packet))),
            Ok(_) => bad.push(BadCopy::Another),
            Err((Some(id), why)) if wanted.contains(&id) && came.insert(id.clone()) => checked.push((id, Err(why))),
            Err((_, why)) => bad.push(why),
        }
    }
    // Records without a usable name stand for packets that did not come.
    let missing = asked.iter().filter(|id| !came.contains(*id)).cloned();
    checked.extend(missing.zip(bad).map(|(id, why)| (id, Err(why))));
    checked
}

fn packet(
    bytes: &[u8],
    is_signed: impl Fn(NodeId, &Record<'_>) -> bool,
) -> Result<(PacketId, CheckedPacket), (Option<PacketId>, BadCopy)> {
    let packet = Packet::parse(bytes).map_err(|why| (None, BadCopy::Damaged(why.to_string())))?;
    let id = packet.head.id.clone();
    if !is_signed(id.tailer, &packet.record) {
        return Err((Some(id), BadCopy::Signature));
    }
    let events = usize::try_from(packet.head.events).unwrap_or(usize::MAX);
    let cost = packet.record.stretched_bytes.saturating_add(events.saturating_mul(EVENT_COST_BYTES));
    let (sources, source_bytes) = (packet.head.sources.len(), packet.head.source_bytes());
    let streams = kept_ranges(&packet.head);
    Ok((id, CheckedPacket { bytes: Arc::from(bytes), cost, sources, source_bytes, streams }))
}

/// Where a packet's events lie.
fn kept_ranges(head: &PacketHead) -> Vec<StreamRange> {
    let tailer = head.id.tailer;
    let of_stream = |stream: &proto::packet::PacketStream| {
        let id = stream.id;
        let kept = stream.extents.iter().filter(|extent| extent.fate == Fate::Kept);
        kept.map(|extent| StreamRange { tailer, stream: id, from: extent.from, to: extent.to }).collect::<Vec<_>>()
    };
    head.streams.iter().flat_map(of_stream).collect()
}

/// A page of an inventory, without the closings nobody signed.
#[must_use]
pub fn inventory(page: Inventory, roster: &Roster) -> CheckedInventory {
    inventory_by(page, |tailer, record| is_signed(roster, tailer, record))
}

/// [`inventory`], for who has another way to tell whose a signature is.
#[must_use]
pub fn inventory_by(page: Inventory, is_signed: impl Fn(NodeId, &Record<'_>) -> bool) -> CheckedInventory {
    let mut checked =
        CheckedInventory { items: page.items, closed: page.closed, more: page.more, ..CheckedInventory::default() };
    for bytes in page.closings {
        match Closed::parse(&bytes) {
            Ok((closed, record)) if is_signed(closed.tailer, &record) => checked.closings.push(closed),
            _ => checked.bad_closings += 1,
        }
    }
    checked
}
