//! The buck: told what arrives, what the disks did and what time it is; says what is to be done.
//!
//! Call an input, then take actions with [`Machine::poll_action`] until there are none. It knows no clock, disk or
//! socket. An action that names a disk is answered by the input named beside it in [`Action`].
//!
//! What it promises:
//!
//! - `Kept` is answered only after the sync that followed the append, of a disk that has not failed
//!   (with `Ack::Written`: after the append).
//! - A record that comes again is answered, not stored again.
//! - A packet or closing is taken only from the tailer that is named in it, over a connection that proved its key,
//!   for its environments and hosts. The signature inside is for porters and readers, who did not see that connection.
//! - Nothing is deleted before all of its bucket has a receipt of a shelf with two copies.
//! - Every queue has a cap; what is over it is refused with `Busy`, which makes the tailer try another buck.
//!
//! At the start: [`Machine::on_recovered`] for every record the disks hold, [`Machine::on_remembered`] for what the
//! ledger has, then [`Machine::start`].

mod ask;
mod counters;
mod disk;
mod put;
mod receipts;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::action::Action;
use crate::config::Rules;
use crate::disks::Disks;
use crate::filter::Filter;
use crate::index::Index;
use crate::keep::deletable;
use crate::pending::{Coming, Pending};
use crate::place::{DiskId, ExchangeId};
use crate::rate::Rates;
use counters::Counters;
use proto::ids::{Environment, NodeId, PacketId};
use proto::message::{Answer, Ask, PutOutcome, Receipt};
use proto::roster::Roster;
use proto::time::{BucketId, Now, Timestamp};
use receipts::Asking;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Searches, fetches and contexts at once, and of one peer, so that a busy web leaves some to porters. A search
/// holds at most 64 MiB; more of them would only be slower together.
pub const JOBS_MAX: usize = 24;
pub const PEER_JOBS_MAX: usize = 16;

/// Tailers and environments somebody was heard of. A tailer that may write any environment could name a great many.
const HEARD_MAX: usize = 100_000;

/// Live tails at once.
pub const TAILS_MAX: usize = 256;

/// Between two looks at what may be deleted.
const KEEP_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    roster: Arc<Roster>,
    disks: Disks,
    index: Index,
    pending: Pending,
    rates: Rates,
    /// Disks whose old files have not been synced since the start.
    recovering: BTreeSet<DiskId>,
    heard: BTreeMap<(NodeId, Environment), HeardAt>,
    jobs: BTreeMap<ExchangeId, NodeId>,
    /// Who follows what.
    tails: BTreeMap<ExchangeId, (NodeId, Ask)>,
    asking: Asking,
    next_keep: Duration,
    counters: Counters,
    started: Option<Duration>,
    actions: VecDeque<Action>,
}

/// When a tailer was last heard of an environment, and up to where all it filed is kept twice.
#[derive(Clone, Copy, Debug)]
struct HeardAt {
    at: Timestamp,
    filed: Timestamp,
}

impl Machine {
    /// `disks` is how many there are; `seed` decides where packets go.
    #[must_use]
    pub fn new(rules: Rules, roster: Arc<Roster>, disks: u16, seed: u64) -> Self {
        Self {
            rules,
            roster,
            disks: Disks::new(disks, seed),
            index: Index::default(),
            pending: Pending::default(),
            rates: Rates::default(),
            recovering: (0..disks).map(DiskId).collect(),
            heard: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tails: BTreeMap::new(),
            asking: Asking::default(),
            next_keep: Duration::ZERO,
            counters: Counters::default(),
            started: None,
            actions: VecDeque::new(),
        }
    }

    /// After everything was recovered and remembered.
    pub fn start(&mut self, now: Now) {
        self.started = Some(now.mono);
        self.next_keep = now.mono + KEEP_EVERY;
        self.asking.start(now.mono);
        self.on_timeout(now);
    }

    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::on_timeout`] wants to be called, on the monotonic clock.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.started?;
        let own = self.next_keep.min(self.asking.next());
        Some(self.disks.next_sync(&self.rules).map_or(own, |sync| sync.min(own)))
    }

    pub fn on_timeout(&mut self, now: Now) {
        self.ask_for_syncs(now);
        if self.next_keep <= now.mono {
            self.next_keep = now.mono + KEEP_EVERY;
            self.delete_old(now);
        }
        self.ask_for_receipts(now);
    }

    /// A new roster. Who is no longer in it is refused from now on, and nobody goes on following what it may not see.
    pub fn on_roster(&mut self, roster: Arc<Roster>) {
        self.roster = roster;
        let roster = &self.roster;
        let may = |peer: NodeId, ask: &Ask| roster.by_id(peer).is_some_and(|peer| peer.may_ask(ask).is_ok());
        let ended: Vec<ExchangeId> =
            self.tails.iter().filter(|(_, (peer, ask))| !may(*peer, ask)).map(|(exchange, _)| *exchange).collect();
        for exchange in ended {
            self.tails.remove(&exchange);
            self.actions.push_back(Action::Unsubscribe { exchange });
        }
    }

    /// A job's last part was sent, or its asker went away. With the filters it made on the way.
    pub fn on_job_done(&mut self, exchange: ExchangeId, filters: Vec<(PacketId, Filter)>) {
        self.jobs.remove(&exchange);
        for (id, filter) in filters {
            self.on_filter(&id, filter);
        }
    }

    /// The filter of a published packet.
    pub fn on_filter(&mut self, id: &PacketId, filter: Filter) {
        self.index.set_filter(id, filter);
    }

    /// The other end of an exchange is gone. A job of it must be stopped by whoever runs it.
    pub fn on_gone(&mut self, exchange: ExchangeId) {
        if self.tails.remove(&exchange).is_some() {
            self.actions.push_back(Action::Unsubscribe { exchange });
        }
    }

    /// What the ledger kept over a restart. Before [`Self::start`], after all records were recovered.
    pub fn on_remembered(
        &mut self,
        now: Now,
        environment: &Environment,
        bucket: BucketId,
        receipts: Vec<Receipt>,
        since: Option<Timestamp>,
    ) {
        self.index.remembered(now.wall, &(environment.clone(), bucket), receipts, since);
    }

    /// How many records wait for a sync; for a stop that waits until none do.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.pending.len()
    }

    fn answer(&mut self, exchange: ExchangeId, answer: Answer) {
        self.actions.push_back(Action::Answer { exchange, answer });
    }

    /// Deletes wait while anything is on its way to the same file: the append would go down with it.
    fn delete_old(&mut self, now: Now) {
        for key in deletable(&self.index, now.wall, &self.rules) {
            if self.pending.has_bucket(&key.0, key.1) {
                continue;
            }
            for disk in self.index.remove_bucket(&key).into_iter().filter(|disk| self.disks.is_writable(*disk)) {
                self.counters.files_deleted += 1;
                self.actions.push_back(Action::Delete { disk, environment: key.0.clone(), bucket: key.1 });
            }
            let (environment, bucket) = key;
            self.actions.push_back(Action::Remember { environment, bucket, receipts: Vec::new(), since: None });
        }
    }

    fn answer_all(&mut self, now: Now, coming: Coming, outcome: &PutOutcome) {
        for exchange in coming.waiting {
            self.answer_put(now, exchange, outcome.clone());
        }
    }

    fn ask_for_syncs(&mut self, now: Now) {
        for disk in self.disks.ids() {
            self.ask_for_sync(now, disk);
        }
    }

    fn ask_for_sync(&mut self, now: Now, disk: DiskId) {
        if let Some(ticket) = self.disks.due_sync(now.mono, &self.rules, disk) {
            self.actions.push_back(Action::Sync { disk, ticket });
        }
    }
}
