//! Answers to porters, a page at a time: what is held of which bucket.

use super::{BucketKey, Index, name_of};
use proto::ids::{Environment, PacketId};
use proto::message::{ClosedTo, Holding, Inventory, InventoryItem};
use proto::time::BucketId;
use std::ops::Bound;

/// Entries of a page; each takes less than a hundred bytes.
const PAGE: usize = 8192;

/// Bytes of closings on an inventory's first page; a frame holds more than twice as many.
const CLOSING_BYTES_MAX: usize = 2 << 20;

impl Index {
    /// Buckets that wait for a porter, after this one.
    pub fn holdings(&self, after: Option<&BucketKey>) -> (Vec<Holding>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let waiting = self.buckets.range((from, Bound::Unbounded)).filter(|(key, held)| self.waits(key, held));
        let mut holdings: Vec<Holding> = waiting
            .take(PAGE + 1)
            .map(|(key, held)| Holding {
                environment: key.0.clone(),
                bucket: key.1,
                packets: held.unreceipted,
                bytes: held.unreceipted_bytes,
            })
            .collect();
        let more = holdings.len() > PAGE;
        holdings.truncate(PAGE);
        (holdings, more)
    }

    pub fn inventory(&self, environment: &Environment, bucket: BucketId, after: Option<&PacketId>) -> Inventory {
        let key = (environment.clone(), bucket);
        let mut inventory = Inventory::default();
        if let Some(held) = self.buckets.get(&key) {
            let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(name_of(id)));
            let packets = held.packets.range((from, Bound::Unbounded));
            inventory.items = packets
                .take(PAGE + 1)
                .map(|((tailer, run, seq), entry)| InventoryItem {
                    packet: PacketId {
                        tailer: *tailer,
                        environment: environment.clone(),
                        bucket,
                        run: *run,
                        seq: *seq,
                    },
                    bytes: entry.length,
                    crc: entry.crc,
                    backlog: entry.backlog,
                })
                .collect();
        }
        inventory.more = inventory.items.len() > PAGE;
        inventory.items.truncate(PAGE);
        if after.is_none() {
            inventory.closings = self.closings(&key);
            inventory.closed = self.closed_to(environment);
        }
        inventory
    }

    fn closings(&self, key: &BucketKey) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let closings = self.buckets.get(key).into_iter().flat_map(|held| held.closings.values());
        let fits = |closing: &&super::Closing| {
            bytes += closing.bytes.len();
            bytes <= CLOSING_BYTES_MAX
        };
        closings.take_while(fits).map(|closing| closing.bytes.to_vec()).collect()
    }

    fn closed_to(&self, environment: &Environment) -> Vec<ClosedTo> {
        self.tailers.iter().filter_map(|(id, tailer)| tailer.closed_to(*id, environment)).collect()
    }
}
