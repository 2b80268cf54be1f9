//! The porter's machine: told what bucks and the shelf say, it asks for what is to be done next.
//!
//! It looks at one bucket at a time, so what one look ported is known to the next; how a look goes is in `job`
//! and `port`, when there is one in `looks`. Nothing it remembers is needed: a machine that starts anew reads the
//! shelf and goes on, from wherever the one before it ended.
//!
//! ```text
//! bucks' holdings -> which bucket is due -> look: list, read manifests, lease
//!   -> survey: what do bucks hold, who closed it
//!   -> port, shard by shard: fetch -> what is there already -> build -> put -> read back -> manifest
//!   -> merge: many parts into one, and a part that has what another bucket has is written without it
//! ```
//!
//! Receipts are what [`Machine::receipts`] says, after a manifest could be read back and not before.

mod bucks;
mod collect;
mod desk;
mod job;
mod looks;
mod merge;
mod port;
mod prune;
mod put;
mod said;
mod survey;

pub use desk::Counters;
pub use said::{
    Action, AskId, BadCopy, Build, BuildOf, Built, BuiltBlock, CheckedInventory, CheckedPacket, Peers, PutOutcome,
    Reply, StreamRange,
};

use crate::manifest::Manifest;
use crate::names::BucketAt;
use crate::rules::Rules;
use crate::standing::Standing;
use bucks::Bucks;
use desk::{Asked, Desk, JobAsk};
use job::{Job, Step};
use looks::{Look, Looks, Unheard};
use proto::ids::{Environment, NodeId};
use proto::message::Receipt;
use proto::time::{BucketId, BucketWidth, Now};
use prune::Prune;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Machine {
    desk: Desk,
    bucks: Bucks,
    looks: Looks,
    job: Option<(Job, BTreeMap<NodeId, bucks::Held>)>,
    /// A bucket whose manifest was put with no word of how that went, and when to look at it again.
    unsettled: Option<(BucketAt, Duration)>,
    probed: Duration,
    prune: Prune,
    /// When it is next asked what stands twice, unless that is being asked.
    doubles_due: Option<Duration>,
    /// Nothing is due before, unless an answer comes.
    idle_until: Option<Duration>,
}

impl Machine {
    #[must_use]
    pub fn new(me: NodeId, rules: Rules, width: BucketWidth) -> Self {
        Self {
            desk: Desk::new(me, rules, width),
            bucks: Bucks::default(),
            looks: Looks::default(),
            job: None,
            unsettled: None,
            probed: Duration::ZERO,
            prune: Prune::default(),
            doubles_due: Some(Duration::ZERO),
            idle_until: None,
        }
    }

    /// The roster, at the start and whenever it changes.
    pub fn on_peers(&mut self, now: Now, peers: Peers) {
        self.bucks.set(&peers.bucks);
        self.desk.peers = peers;
        self.go_on(now);
    }

    /// A manifest was found on the shelf: at the start, and when another porter wrote it.
    pub fn on_manifest(&mut self, now: Now, manifest: &Arc<Manifest>) {
        self.learn(manifest);
        self.go_on(now);
    }

    /// Every manifest there is, at the start: as [`Self::on_manifest`], many at once.
    pub fn on_manifests<'a>(&mut self, now: Now, manifests: impl IntoIterator<Item = &'a Arc<Manifest>>) {
        manifests.into_iter().for_each(|manifest| self.learn(manifest));
        self.go_on(now);
    }

    fn learn(&mut self, manifest: &Arc<Manifest>) {
        self.desk.stands(manifest);
        let at = manifest.at.bucket_at();
        self.looks.stands(&at, self.desk.standing.is_complete(&at));
    }

    pub fn on_reply(&mut self, now: Now, ask: AskId, reply: Reply) {
        if let Some(asked) = self.desk.answered(ask) {
            self.on_answer(now, asked, reply);
            self.go_on(now);
        }
    }

    pub fn on_timeout(&mut self, now: Now) {
        while let Some(asked) = self.desk.take_overdue(now) {
            self.on_answer(now, asked, Reply::Failed("no answer in time".to_owned()));
        }
        self.go_on(now);
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let doubles = self.doubles_due.filter(|_| self.desk.more_stands);
        [self.desk.next_deadline(), self.bucks.next_look(), self.idle_until, doubles].into_iter().flatten().min()
    }

    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.desk.poll_action()
    }

    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.desk.standing
    }

    #[must_use]
    pub fn receipts(&self, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        self.desk.standing.receipts(buckets)
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.desk.counters
    }

    /// What went wrong lately, the newest last.
    pub fn trouble(&self) -> impl Iterator<Item = &str> {
        self.desk.trouble.iter().map(String::as_str)
    }

    /// The bucket being looked at.
    #[must_use]
    pub fn working_on(&self) -> Option<&BucketAt> {
        self.job.as_ref().map(|(job, _)| &job.at)
    }

    fn on_answer(&mut self, now: Now, asked: Asked, reply: Reply) {
        match (asked, reply) {
            (Asked::Holdings(buck), Reply::Holdings { holdings, more }) => {
                self.bucks.on_holdings(now, buck, holdings, more, &mut self.desk);
            }
            (Asked::Holdings(buck), _) => self.bucks.on_silence(now, buck, &self.desk),
            (Asked::Probe, Reply::Inventory(page)) => survey::learn_hints(&page.closed, &mut self.desk),
            (Asked::Doubles, reply) => self.on_doubles(now, reply),
            (Asked::Prune(number), reply) => self.prune.on_reply(now, number, &reply, &mut self.desk),
            (Asked::Probe | Asked::Loose, _) => {}
            (Asked::Job(asked), reply) => self.on_job_answer(now, asked, reply),
        }
    }

    fn on_job_answer(&mut self, now: Now, asked: JobAsk, reply: Reply) {
        if let (JobAsk::Inventory(buck) | JobAsk::Fetch { buck, .. }, Reply::Failed(_)) = (asked, &reply) {
            self.bucks.on_silence(now, buck, &self.desk);
        }
        let Some((job, _)) = &mut self.job else { return };
        let step = job.on_reply(now, asked, reply, &mut self.desk);
        if step != Step::Going {
            self.end_job(now, step);
        }
    }

    fn end_job(&mut self, now: Now, step: Step) {
        let Some((job, held)) = self.job.take() else { return };
        self.unsettled = self.still_unsettled(now, &job, &step);
        job.release(now, &mut self.desk);
        self.desk.forget_job();
        let stands = self.desk.standing.of_bucket(&job.at).next().is_some();
        let complete = if stands { self.desk.standing.is_complete(&job.at) } else { job.survey.away.is_empty() };
        let tries = self.looks.get(&job.at).map_or(0, |look| look.tries);
        let away = job.survey.away.clone();
        let mut look = Look { began: job.began, at: now.mono, tries, held, away, ..Look::default() };
        match step {
            Step::Going => return,
            Step::Done => look.complete = complete,
            Step::Leased(until) => {
                look.failed = true;
                look.not_before = Some(until);
            }
            Step::Failed(why) => {
                look.failed = true;
                self.desk.trouble(&job.at, &why);
            }
        }
        look.tries = if look.complete && !self.desk.is_doubled(&job.at) { 0 } else { tries.saturating_add(1) };
        if stands {
            look.unheard = job.unheard.iter().map(|tailer| (*tailer, self.unheard(&job.at, *tailer))).collect();
            self.looks.stands(&job.at, complete);
        }
        self.looks.done(&job.at, look);
    }

    /// A manifest may stand that nobody here has read. What it names must be known before events of any other
    /// bucket are held against what stands, or they could be ported twice.
    fn still_unsettled(&self, now: Now, job: &Job, step: &Step) -> Option<(BucketAt, Duration)> {
        let unread = self.unsettled.is_some() && !job.has_read_the_shelf();
        let unsettled = matches!(step, Step::Failed(_)) && (job.is_committing() || unread);
        unsettled.then(|| (job.at.clone(), now.mono + self.desk.rules.retry_first))
    }

    fn unheard(&self, at: &BucketAt, tailer: NodeId) -> Unheard {
        let newest = self.desk.closings.newest(&at.environment, tailer);
        Unheard { newest, expected: self.desk.is_expected(at, tailer) }
    }

    /// Asks bucks, and begins the next look when nothing is being done.
    fn go_on(&mut self, now: Now) {
        self.bucks.look(now, &mut self.desk);
        self.probe(now);
        self.prune.go_on(now, &mut self.desk);
        self.find_doubles(now);
        self.idle_until = None;
        if self.job.is_some() || self.desk.peers.bucks.is_empty() {
            return;
        }
        if let Some((at, due)) = self.unsettled.clone() {
            if due > now.mono {
                self.idle_until = Some(due);
            } else {
                self.begin_job(now, at);
            }
            return;
        }
        self.looks.tidy(&self.bucks);
        match self.looks.next(now, &self.bucks, &self.desk) {
            Some(at) => self.begin_job(now, at),
            None => self.idle_until = self.looks.next_due(now, &self.bucks, &self.desk),
        }
    }

    fn begin_job(&mut self, now: Now, at: BucketAt) {
        let held = self.bucks.of(&at);
        self.job = Some((Job::start(now, at, &mut self.desk), held));
    }

    /// Whenever something stands that did not, it is asked whether any of it stands twice.
    fn find_doubles(&mut self, now: Now) {
        if self.desk.more_stands && self.doubles_due.is_some_and(|due| due <= now.mono) {
            self.desk.more_stands = false;
            self.doubles_due = None;
            self.desk.ask_own(Asked::Doubles, |ask| Action::Doubles { ask });
        }
    }

    fn on_doubles(&mut self, now: Now, reply: Reply) {
        self.doubles_due = Some(now.mono);
        if let Reply::Doubles(doubles) = reply {
            self.desk.doubles = doubles;
        } else {
            self.desk.more_stands = true;
            self.doubles_due = Some(now.mono + self.desk.rules.retry_first);
        }
    }

    /// While a bucket waits for a tailer, bucks are asked now and then whether it has closed anything since.
    fn probe(&mut self, now: Now) {
        if now.mono < self.probed + self.desk.rules.probe_every {
            return;
        }
        let environments: BTreeSet<_> = self.looks.wait_for_tailers().map(|at| at.environment.clone()).collect();
        self.probed = now.mono;
        let bucket = self.desk.width.bucket_of(now.wall);
        for environment in environments {
            for buck in self.desk.peers.bucks.clone() {
                let environment = environment.clone();
                self.desk.ask_buck(now, Asked::Probe, |ask| Action::AskInventory {
                    ask,
                    buck,
                    environment,
                    bucket,
                    after: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
