//! What each buck holds that no manifest covers yet, as it last said, and which bucks are away.

use super::desk::{Asked, Desk};
use super::said::Action;
use crate::names::BucketAt;
use crate::rules::WAITING_MAX;
use proto::ids::NodeId;
use proto::message::Holding;
use proto::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Packets and bytes without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub packets: u32,
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Bucks {
    bucks: BTreeMap<NodeId, Buck>,
}

#[derive(Debug, Default)]
struct Buck {
    holds: BTreeMap<BucketAt, Held>,
    /// Pages of an answer that is not complete yet.
    page: BTreeMap<BucketAt, Held>,
    asked: bool,
    next_look: Duration,
    /// Since when it answers again; nothing while it does not.
    here_since: Option<Duration>,
}

impl Bucks {
    pub fn set(&mut self, bucks: &BTreeSet<NodeId>) {
        self.bucks.retain(|buck, _| bucks.contains(buck));
        for buck in bucks {
            self.bucks.entry(*buck).or_default();
        }
    }

    /// Asks every buck that it is time to ask.
    pub fn look(&mut self, now: Now, desk: &mut Desk) {
        for (id, buck) in &mut self.bucks {
            if !buck.asked && buck.next_look <= now.mono {
                buck.asked = true;
                buck.page.clear();
                desk.ask_buck(now, Asked::Holdings(*id), |ask| Action::AskHoldings { ask, buck: *id, after: None });
            }
        }
    }

    pub fn next_look(&self) -> Option<Duration> {
        self.bucks.values().filter(|buck| !buck.asked).map(|buck| buck.next_look).min()
    }

    pub fn on_holdings(&mut self, now: Now, id: NodeId, holdings: Vec<Holding>, more: bool, desk: &mut Desk) {
        let Some(buck) = self.bucks.get_mut(&id) else { return };
        let before = buck.page.len();
        for holding in holdings {
            let at = BucketAt { environment: holding.environment, bucket: holding.bucket };
            buck.page.insert(at, Held { packets: holding.packets, bytes: holding.bytes });
        }
        let last = buck.page.keys().next_back().map(|at| (at.environment.clone(), at.bucket));
        // A buck that says "more" and then brings nothing new is not asked for ever.
        if more && buck.page.len() > before && buck.page.len() < WAITING_MAX {
            desk.ask_buck(now, Asked::Holdings(id), |ask| Action::AskHoldings { ask, buck: id, after: last });
            return;
        }
        buck.holds = std::mem::take(&mut buck.page);
        buck.asked = false;
        buck.next_look = now.mono + desk.rules.look_every;
        buck.here_since.get_or_insert(now.mono);
    }

    pub fn on_silence(&mut self, now: Now, id: NodeId, desk: &Desk) {
        let Some(buck) = self.bucks.get_mut(&id) else { return };
        buck.asked = false;
        buck.next_look = now.mono + desk.rules.look_every;
        buck.here_since = None;
    }

    /// Since when this buck answers, if it does.
    pub fn here_since(&self, id: NodeId) -> Option<Duration> {
        self.bucks.get(&id)?.here_since
    }

    /// Every bucket in which some buck holds something.
    pub fn held(&self) -> BTreeSet<&BucketAt> {
        self.bucks.values().flat_map(|buck| buck.holds.keys()).collect()
    }

    /// What each buck holds of a bucket.
    pub fn of(&self, at: &BucketAt) -> BTreeMap<NodeId, Held> {
        self.bucks.iter().filter_map(|(id, buck)| Some((*id, *buck.holds.get(at)?))).collect()
    }

    pub fn is_held(&self, at: &BucketAt) -> bool {
        self.bucks.values().any(|buck| buck.holds.contains_key(at))
    }
}
