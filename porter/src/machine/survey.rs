//! Asks every buck what it holds of a bucket, and finds out who closed it.

use super::collect::Copy;
use super::desk::{Asked, Desk, JobAsk};
use super::said::{Action, CheckedInventory};
use crate::manifest::{Closing, MERGED_LOSSES_MAX, MERGED_RUNS_MAX};
use crate::names::BucketAt;
use crate::rules::BUCKET_PACKETS_MAX;
use proto::ids::{NodeId, PacketId};
use proto::message::ClosedTo;
use proto::time::{BucketId, Now};
use std::collections::{BTreeMap, BTreeSet};

/// What the bucks said.
#[derive(Debug, Default)]
pub(super) struct Survey {
    asked: BTreeSet<NodeId>,
    /// Where each buck's next page begins.
    pages: BTreeMap<NodeId, PacketId>,
    pub packets: BTreeMap<PacketId, Vec<Copy>>,
    pub closings: BTreeMap<NodeId, Closing>,
    pub heard: BTreeSet<NodeId>,
    pub away: BTreeSet<NodeId>,
    /// Buckets asked for their closings at this look.
    pub asked_closings: BTreeSet<BucketId>,
    pub rounds: u32,
    open_closings: usize,
}

impl Survey {
    pub fn start(&mut self, now: Now, at: &BucketAt, desk: &mut Desk) {
        self.asked = desk.peers.bucks.clone();
        for buck in self.asked.clone() {
            self.ask(now, at, buck, None, desk);
        }
    }

    fn ask(&self, now: Now, at: &BucketAt, buck: NodeId, after: Option<PacketId>, desk: &mut Desk) {
        let (environment, bucket) = (at.environment.clone(), at.bucket);
        desk.ask_buck(now, Asked::Job(JobAsk::Inventory(buck)), |ask| Action::AskInventory {
            ask,
            buck,
            environment,
            bucket,
            after,
        });
    }

    pub fn is_done(&self) -> bool {
        self.asked.is_empty() && self.open_closings == 0
    }

    pub fn on_inventory(&mut self, now: Now, at: &BucketAt, buck: NodeId, page: &CheckedInventory, desk: &mut Desk) {
        let last = page.items.iter().map(|item| &item.packet).max().cloned();
        for item in &page.items {
            let of_bucket = item.packet.environment == at.environment && item.packet.bucket == at.bucket;
            if of_bucket && (self.packets.len() < BUCKET_PACKETS_MAX || self.packets.contains_key(&item.packet)) {
                let copy = Copy { buck, bytes: item.bytes, crc: item.crc };
                self.packets.entry(item.packet.clone()).or_default().push(copy);
            }
        }
        learn(at, page, &mut self.closings, desk);
        let moved_on = last > self.pages.get(&buck).cloned();
        match last {
            Some(last) if page.more && moved_on => {
                self.pages.insert(buck, last.clone());
                self.ask(now, at, buck, Some(last), desk);
            }
            _ => {
                self.asked.remove(&buck);
                self.heard.insert(buck);
            }
        }
    }

    pub fn on_silence(&mut self, buck: NodeId) {
        self.asked.remove(&buck);
        self.heard.remove(&buck);
        self.away.insert(buck);
    }

    /// Asks all bucks that answered for the closings of other buckets.
    pub fn ask_closings(&mut self, now: Now, at: &BucketAt, buckets: BTreeSet<BucketId>, desk: &mut Desk) {
        self.rounds += 1;
        for bucket in buckets {
            self.asked_closings.insert(bucket);
            for buck in self.heard.clone() {
                self.open_closings += 1;
                let environment = at.environment.clone();
                desk.ask_buck(now, Asked::Job(JobAsk::Closings(buck)), |ask| Action::AskInventory {
                    ask,
                    buck,
                    environment,
                    bucket,
                    after: None,
                });
            }
        }
    }

    /// `None` when the buck did not answer.
    pub fn on_closings(&mut self, at: &BucketAt, page: Option<&CheckedInventory>, desk: &mut Desk) {
        self.open_closings = self.open_closings.saturating_sub(1);
        if let Some(page) = page {
            learn(at, page, &mut self.closings, desk);
        }
    }

    /// Tailers of which some packet was seen.
    pub fn seen(&self) -> BTreeSet<NodeId> {
        self.packets.keys().map(|packet| packet.tailer).collect()
    }
}

/// Takes in what a page says of closings: of this bucket in full, of others what came before them.
fn learn(at: &BucketAt, page: &CheckedInventory, closings: &mut BTreeMap<NodeId, Closing>, desk: &mut Desk) {
    desk.counters.bad_closings += page.bad_closings;
    for closed in page.closings.iter().filter(|closed| closed.environment == at.environment) {
        desk.closings.learn(&closed.environment, closed.tailer, closed.bucket, closed.previous);
        if closed.bucket == at.bucket {
            merge_closing(closings.entry(closed.tailer).or_default(), Closing::from(closed));
        }
    }
    learn_hints(&page.closed, desk);
}

pub(super) fn learn_hints(closed: &[ClosedTo], desk: &mut Desk) {
    for hint in closed {
        if desk.peers.tailers.get(&hint.environment).is_some_and(|tailers| tailers.contains(&hint.tailer)) {
            desk.closings.hint(&hint.environment, hint.tailer, hint.bucket);
        }
    }
}

/// A tailer that started again may close a bucket twice: what either names is named.
pub(super) fn merge_closing(into: &mut Closing, other: Closing) {
    into.previous = into.previous.max(other.previous);
    for run in other.runs {
        match into.runs.iter_mut().find(|known| known.run == run.run) {
            Some(known) => known.packets = known.packets.max(run.packets),
            None => into.runs.push(run),
        }
    }
    into.runs.sort_unstable();
    into.runs.truncate(MERGED_RUNS_MAX);
    for loss in other.losses {
        if !into.losses.contains(&loss) {
            into.losses.push(loss);
        }
    }
    into.losses.sort_unstable();
    into.losses.truncate(MERGED_LOSSES_MAX);
}
