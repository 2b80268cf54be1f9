//! Receipts: which packets are on a shelf, since which version of its manifest.
//!
//! Kept also of buckets that are not held here, because tailers ask any buck. A receipt only ever adds: of two
//! versions of one shard the higher rules, and what a version held the later ones hold too.

use super::{BucketKey, Held, Index};
use proto::ids::{Environment, PacketId};
use proto::message::Receipt;
use proto::time::{BucketId, Timestamp};
use std::collections::BTreeMap;

/// Copies a shelf must keep before a buck lets go of its own.
pub const COPIES_ENOUGH: u8 = 2;

/// Buckets of which receipts are remembered: a year of five-minute buckets.
const RECEIVED_MAX: usize = 105_000;

#[derive(Debug, Default)]
pub struct Received {
    shards: BTreeMap<u16, Receipt>,
    /// Since when everything held of the bucket is on shelves that keep copies enough.
    pub safe_since: Option<Timestamp>,
}

impl Received {
    /// The shard and version that hold this packet.
    pub fn covering(&self, id: &PacketId) -> Option<(u16, u64)> {
        let receipt = self.shards.values().find(|receipt| receipt.covers(id))?;
        Some((receipt.shard, receipt.version))
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.shards.values().cloned().collect()
    }

    fn has_copies_enough(&self) -> bool {
        self.shards.values().all(|receipt| receipt.copies >= COPIES_ENOUGH)
    }
}

impl Index {
    /// Takes in what a porter said of one shard. True when it was news.
    pub fn receive(&mut self, now: Timestamp, receipt: Receipt) -> bool {
        let key = (receipt.environment.clone(), receipt.bucket);
        let received = self.received.entry(key.clone()).or_default();
        if received.shards.get(&receipt.shard).is_some_and(|known| known.version >= receipt.version) {
            return false;
        }
        if let Some(held) = self.buckets.get_mut(&key) {
            held.cover(&receipt);
        }
        received.shards.insert(receipt.shard, receipt);
        self.update_safe(now, &key);
        while self.received.len() > RECEIVED_MAX {
            self.received.pop_first();
        }
        true
    }

    /// After anything changed in a bucket: is all of it safe elsewhere, and since when?
    pub fn update_safe(&mut self, now: Timestamp, key: &BucketKey) {
        let held = self.buckets.get(key);
        let covered = held.is_some_and(|held| held.unreceipted() == 0 && !held.is_without_packets());
        if let Some(received) = self.received.get_mut(key) {
            let safe = covered && received.has_copies_enough();
            received.safe_since = if safe { Some(received.safe_since.unwrap_or(now)) } else { None };
        }
    }

    /// What was remembered over a restart; never later than it was.
    pub fn remembered(&mut self, now: Timestamp, key: &BucketKey, receipts: Vec<Receipt>, since: Option<Timestamp>) {
        for receipt in receipts.into_iter().filter(|receipt| (&receipt.environment, receipt.bucket) == (&key.0, key.1))
        {
            self.receive(now, receipt);
        }
        if let (Some(received), Some(since)) = (self.received.get_mut(key), since) {
            received.safe_since = received.safe_since.map(|known| known.min(since));
        }
    }

    /// Buckets a porter has something to do about: packets have no receipt, or a closing speaks of packets and nobody
    /// has ported anything. Those may have gone with the bucks that kept them, and somebody has to write that down.
    pub fn waiting(&self) -> impl Iterator<Item = (&BucketKey, &Held)> {
        self.buckets.iter().filter(|(key, held)| self.waits(key, held))
    }

    pub(super) fn waits(&self, key: &BucketKey, held: &Held) -> bool {
        held.unreceipted > 0 || held.named && !self.received.contains_key(key)
    }

    pub fn received(&self, key: &BucketKey) -> Option<&Received> {
        self.received.get(key)
    }

    pub fn receipts_of(&self, environment: &Environment, bucket: BucketId) -> Vec<Receipt> {
        self.received.get(&(environment.clone(), bucket)).map(Received::receipts).unwrap_or_default()
    }
}

impl Held {
    fn cover(&mut self, receipt: &Receipt) {
        for range in &receipt.ranges {
            let names = (range.tailer, range.run, range.first)..=(range.tailer, range.run, range.last.max(range.first));
            for (_, entry) in self.packets.range_mut(names).filter(|(_, entry)| entry.covered.is_none()) {
                entry.covered = Some((receipt.shard, receipt.version));
                self.unreceipted = self.unreceipted.saturating_sub(1);
                self.unreceipted_bytes = self.unreceipted_bytes.saturating_sub(u64::from(entry.length));
            }
        }
    }
}
