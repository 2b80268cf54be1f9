//! Asking porters what is on a shelf: each minute for everything that waits, and every few seconds for a bucket
//! that has just ended, because that is when a porter takes it.

use super::Machine;
use crate::action::Action;
use crate::index::{BucketKey, Held};
use proto::message::Receipt;
use proto::time::{Now, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ASK_EVERY: Duration = Duration::from_secs(60);

/// A porter begins 5 s after a bucket's end and is mostly done a second later.
const ASK_SOON_EVERY: Duration = Duration::from_secs(3);

/// How long after its end a bucket is asked for often.
const JUST_ENDED: Duration = Duration::from_secs(45);

/// Buckets in one question.
const BUCKETS_MAX: usize = 512;

/// Questions in one go; what is left over comes in the next.
const QUESTIONS_MAX: usize = 16;

/// Buckets in one go that have receipts, of a shelf that keeps too few copies: it may keep more some day.
const UNSAFE_AT_ONCE: usize = 64;

/// Buckets tailers asked about that this buck knows nothing of.
const WANTED_MAX: usize = 4096;

#[derive(Debug, Default)]
pub struct Asking {
    next_all: Duration,
    next_soon: Duration,
    /// Where the last round over everything ended.
    round: Option<BucketKey>,
    /// The same over those with receipts that are not good enough to delete by.
    unsafe_round: Option<BucketKey>,
    wanted: BTreeSet<BucketKey>,
}

impl Asking {
    pub fn start(&mut self, now: Duration) {
        self.next_all = now;
        self.next_soon = now + ASK_SOON_EVERY;
    }

    pub fn next(&self) -> Duration {
        self.next_all.min(self.next_soon)
    }

    pub fn want(&mut self, key: BucketKey) {
        if self.wanted.len() < WANTED_MAX {
            self.wanted.insert(key);
        }
    }
}

impl Machine {
    /// What a porter said of shards of buckets.
    pub fn on_receipts(&mut self, now: Now, receipts: Vec<Receipt>) {
        let mut changed: BTreeMap<BucketKey, ()> = BTreeMap::new();
        for receipt in receipts {
            let key = (receipt.environment.clone(), receipt.bucket);
            if self.index.receive(now.wall, receipt) && self.index.holds_bucket(&key) {
                changed.insert(key, ());
            }
        }
        for (environment, bucket) in changed.into_keys() {
            let key = (environment, bucket);
            let since = self.index.received(&key).and_then(|received| received.safe_since);
            let receipts = self.index.receipts_of(&key.0, key.1);
            self.actions.push_back(Action::Remember { environment: key.0, bucket, receipts, since });
        }
    }

    pub(super) fn ask_for_receipts(&mut self, now: Now) {
        if self.asking.next_all <= now.mono {
            self.asking.next_all = now.mono + ASK_EVERY;
            self.ask_for_all(now.wall);
        }
        if self.asking.next_soon <= now.mono {
            self.asking.next_soon = now.mono + ASK_SOON_EVERY;
            self.ask_for_new(now.wall);
        }
    }

    fn ask_for_all(&mut self, now: Timestamp) {
        let waiting = self.waiting_buckets(now).collect();
        let waiting = next_round(waiting, &mut self.asking.round, BUCKETS_MAX * QUESTIONS_MAX);
        let not_safe = self.unsafe_buckets().collect();
        let not_safe = next_round(not_safe, &mut self.asking.unsafe_round, UNSAFE_AT_ONCE);
        self.ask(&waiting);
        self.ask(&not_safe);
    }

    fn ask_for_new(&mut self, now: Timestamp) {
        let width = self.rules.width;
        let new = |key: &BucketKey| width.end_of(key.1).after(JUST_ENDED) >= now;
        let mut buckets: Vec<BucketKey> = self.waiting_buckets(now).filter(new).collect();
        buckets.extend(std::mem::take(&mut self.asking.wanted));
        self.ask(&buckets);
    }

    /// With a receipt for every packet, and none good enough to delete by.
    fn unsafe_buckets(&self) -> impl Iterator<Item = BucketKey> {
        let covered = |held: &Held| held.unreceipted() == 0 && !held.is_without_packets();
        let is_safe = |key: &BucketKey| self.index.received(key).is_some_and(|received| received.safe_since.is_some());
        let waiting = self.index.buckets().filter(move |(key, held)| covered(held) && !is_safe(key));
        waiting.map(|(key, _)| key.clone())
    }

    /// Ended, and not ported as far as is known.
    fn waiting_buckets(&self, now: Timestamp) -> impl Iterator<Item = BucketKey> {
        let width = self.rules.width;
        let ended = move |key: &BucketKey| width.end_of(key.1) <= now;
        self.index.waiting().map(|(key, _)| key.clone()).filter(move |key| ended(key))
    }

    fn ask(&mut self, buckets: &[BucketKey]) {
        for buckets in buckets.chunks(BUCKETS_MAX) {
            self.actions.push_back(Action::AskReceipts { buckets: buckets.to_vec() });
        }
    }
}

/// So many buckets, those after where the last round ended first.
fn next_round(mut buckets: Vec<BucketKey>, round: &mut Option<BucketKey>, most: usize) -> Vec<BucketKey> {
    let middle = buckets.iter().position(|key| round.as_ref().is_none_or(|round| key > round)).unwrap_or(0);
    buckets.rotate_left(middle);
    buckets.truncate(most);
    *round = buckets.last().cloned();
    buckets
}
