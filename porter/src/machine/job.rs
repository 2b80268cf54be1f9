//! One look at one bucket: read what stands, ask the bucks, port each shard that has something new.
//!
//! Every look starts from the shelf, so it can end anywhere and be done again by anyone. In order: list the
//! bucket's objects, read the newest manifests, take the lease when there are other porters, survey the bucks,
//! then shard by shard what `port` does.

use super::desk::{Asked, Desk, JobAsk};
use super::port::{Port, Ported};
use super::said::{Action, PutOutcome, Reply};
use super::survey::Survey;
use crate::census::Question;
use crate::lease::{Decision, Lease, decide};
use crate::manifest::{Census, Manifest};
use crate::names::{BucketAt, Object, ShardAt, parse_path, shard_of};
use crate::ranges::Ranges;
use crate::rules::CLOSING_ROUNDS_MAX;
use proto::ids::NodeId;
use proto::message::Completeness;
use proto::time::{Now, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Job {
    pub at: BucketAt,
    pub began: Duration,
    shards: u16,
    /// The highest version of each shard's manifests that was listed.
    listed: BTreeMap<u16, u64>,
    lease: Option<u64>,
    our_lease: Option<u64>,
    pub survey: Survey,
    phase: Phase,
    /// Tailers that were not heard, over all shards.
    pub unheard: BTreeSet<NodeId>,
    pub complete: bool,
}

#[derive(Debug)]
enum Phase {
    Listing,
    /// So many manifests are still to come.
    Reading(usize),
    Leasing,
    Surveying,
    Porting(Box<Port>),
}

/// How a job stands after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Going,
    Done,
    /// Another porter is at work until then.
    Leased(Timestamp),
    Failed(String),
}

impl Job {
    pub fn start(now: Now, at: BucketAt, desk: &mut Desk) -> Self {
        desk.counters.looks += 1;
        let prefix = at.folder();
        desk.ask_shelf(now, Asked::Job(JobAsk::List), |ask| Action::List { ask, prefix });
        Self {
            at,
            began: now.mono,
            shards: desk.rules.shards,
            listed: BTreeMap::new(),
            lease: None,
            our_lease: None,
            survey: Survey::default(),
            phase: Phase::Listing,
            unheard: BTreeSet::new(),
            complete: true,
        }
    }

    pub fn on_reply(&mut self, now: Now, asked: JobAsk, reply: Reply, desk: &mut Desk) -> Step {
        match (asked, reply) {
            (JobAsk::List, Reply::Listed(paths)) => self.on_listed(now, &paths, desk),
            (JobAsk::Manifest { shard, version }, Reply::Got(bytes)) => {
                self.on_manifest(now, shard, version, bytes.as_deref(), desk)
            }
            (JobAsk::Lease { epoch }, Reply::Got(bytes)) => {
                let lease = bytes.as_deref().and_then(Lease::parse);
                self.lease_decided(now, Some((epoch, lease)), desk)
            }
            (JobAsk::PutLease { epoch }, Reply::Put(outcome)) => self.on_lease_put(now, epoch, outcome, desk),
            (JobAsk::Inventory(buck), Reply::Inventory(page)) => {
                self.survey.on_inventory(now, &self.at, buck, &page, desk);
                self.surveyed(now, desk)
            }
            (JobAsk::Inventory(buck), _) => {
                self.survey.on_silence(buck);
                self.surveyed(now, desk)
            }
            (JobAsk::Closings(_), reply) => {
                let page = if let Reply::Inventory(page) = &reply { Some(page) } else { None };
                self.survey.on_closings(&self.at, page, desk);
                self.surveyed(now, desk)
            }
            // A lease only saves work: without an answer the work goes on.
            (JobAsk::Lease { .. } | JobAsk::PutLease { .. }, _) => self.start_survey(now, desk),
            (JobAsk::List | JobAsk::Manifest { .. }, Reply::Failed(why)) => Step::Failed(why),
            (asked, reply) => self.port_reply(now, asked, reply, desk),
        }
    }

    fn port_reply(&mut self, now: Now, asked: JobAsk, reply: Reply, desk: &mut Desk) -> Step {
        let Phase::Porting(port) = &mut self.phase else {
            return Step::Failed("an answer of another kind than was asked for".to_owned());
        };
        if let (JobAsk::Fetch { buck, .. }, Reply::Failed(_)) = (asked, &reply) {
            self.survey.on_silence(buck);
        }
        match port.on_reply(now, asked, reply, &self.survey, desk) {
            Ported::Going => Step::Going,
            Ported::Done(completeness) => self.shard_done(now, &completeness, desk),
            Ported::Failed(why) => Step::Failed(why),
        }
    }

    fn on_listed(&mut self, now: Now, paths: &[String], desk: &mut Desk) -> Step {
        for (at, object) in paths.iter().filter_map(|path| parse_path(path)) {
            if at.bucket_at() != self.at {
                continue;
            }
            match object {
                Object::Manifest(version) => {
                    let highest = self.listed.entry(at.shard).or_default();
                    *highest = (*highest).max(version);
                }
                Object::Lease(epoch) => self.lease = self.lease.max(Some(epoch)),
                Object::Block(_) => {}
            }
        }
        let known = |shard: &u16| desk.standing.get(&self.at.shard(*shard)).map_or(0, |manifest| manifest.version);
        let unknown: Vec<_> =
            self.listed.iter().filter(|(shard, version)| known(shard) < **version).map(|(s, v)| (*s, *v)).collect();
        self.phase = Phase::Reading(unknown.len());
        for (shard, version) in unknown {
            self.read_manifest(now, shard, version, desk);
        }
        self.manifests_read(now, desk)
    }

    fn read_manifest(&self, now: Now, shard: u16, version: u64, desk: &mut Desk) {
        let path = self.at.shard(shard).object(Object::Manifest(version));
        desk.ask_shelf(now, Asked::Job(JobAsk::Manifest { shard, version }), |ask| Action::Get { ask, path });
    }

    /// A damaged manifest is passed over for the one before it. Its number stays taken, and what only it named is
    /// ported again as far as bucks have it.
    fn on_manifest(&mut self, now: Now, shard: u16, version: u64, bytes: Option<&[u8]>, desk: &mut Desk) -> Step {
        let at = self.at.shard(shard);
        match bytes.map(Manifest::parse) {
            Some(Ok(manifest)) if manifest.at == at && manifest.version == version => {
                desk.stands(&Arc::new(manifest));
            }
            Some(damage) => {
                let why = damage.map_or_else(|error| error.to_string(), |_| "a manifest of another place".to_owned());
                desk.trouble(&self.at, &format!("{}: {why}", at.object(Object::Manifest(version))));
                let known = desk.standing.get(&at).map_or(0, |manifest| manifest.version);
                if version > known + 1 {
                    self.read_manifest(now, shard, version - 1, desk);
                    return Step::Going;
                }
            }
            None => {}
        }
        if let Phase::Reading(left) = &mut self.phase {
            *left = left.saturating_sub(1);
        }
        self.manifests_read(now, desk)
    }

    fn manifests_read(&mut self, now: Now, desk: &mut Desk) -> Step {
        if !matches!(self.phase, Phase::Reading(0)) {
            return Step::Going;
        }
        self.shards = desk.standing.shards_of(&self.at).unwrap_or(desk.rules.shards).max(1);
        if desk.peers.porters < 2 {
            return self.start_survey(now, desk);
        }
        self.phase = Phase::Leasing;
        let Some(epoch) = self.lease else { return self.lease_decided(now, None, desk) };
        let path = self.at.shard(0).object(Object::Lease(epoch));
        desk.ask_shelf(now, Asked::Job(JobAsk::Lease { epoch }), |ask| Action::Get { ask, path });
        Step::Going
    }

    fn lease_decided(&mut self, now: Now, highest: Option<(u64, Option<Lease>)>, desk: &mut Desk) -> Step {
        match decide(highest, desk.me, now.wall, desk.rules.lease) {
            Decision::Hold => self.start_survey(now, desk),
            Decision::Lost { until } => Step::Leased(until),
            Decision::TakeOver { epoch } => {
                let lease = Lease { holder: desk.me, epoch, until: now.wall.after(desk.rules.lease) };
                let (path, bytes) = (self.at.shard(0).object(Object::Lease(epoch)), Arc::from(lease.write()));
                let asked = Asked::Job(JobAsk::PutLease { epoch });
                desk.ask_shelf(now, asked, |ask| Action::PutIfAbsent { ask, path, bytes });
                Step::Going
            }
        }
    }

    fn on_lease_put(&mut self, now: Now, epoch: u64, outcome: PutOutcome, desk: &mut Desk) -> Step {
        match outcome {
            PutOutcome::Done => {
                self.our_lease = Some(epoch);
                self.start_survey(now, desk)
            }
            PutOutcome::Exists => Step::Leased(now.wall.after(desk.rules.retry_first)),
        }
    }

    fn start_survey(&mut self, now: Now, desk: &mut Desk) -> Step {
        self.phase = Phase::Surveying;
        self.survey.start(now, &self.at, desk);
        self.surveyed(now, desk)
    }

    fn surveyed(&mut self, now: Now, desk: &mut Desk) -> Step {
        if !matches!(self.phase, Phase::Surveying) || !self.survey.is_done() {
            return Step::Going;
        }
        if self.survey.heard.is_empty() {
            return Step::Failed("no buck answers".to_owned());
        }
        let asked = &self.survey.asked_closings;
        let worth: BTreeSet<_> = self.worth_asking(desk).difference(asked).copied().collect();
        if !worth.is_empty() && self.survey.rounds < CLOSING_ROUNDS_MAX {
            self.survey.ask_closings(now, &self.at, worth, desk);
            return Step::Going;
        }
        self.port_shard(now, 0, desk)
    }

    /// Buckets whose closings could tell of tailers that are silent about this one.
    fn worth_asking(&self, desk: &Desk) -> BTreeSet<proto::time::BucketId> {
        let none = BTreeSet::new();
        let mut census = Census { heard: self.survey.heard.clone(), closings: self.survey.closings.clone() };
        let mut packets = Ranges::default();
        let mut seen = self.survey.seen();
        for manifest in desk.standing.of_bucket(&self.at) {
            census.closings.extend(manifest.census.closings.clone());
            manifest.packets.iter().for_each(|range| packets.insert_range(range));
            seen.extend(manifest.packets.iter().map(|range| range.tailer));
        }
        let question = Question {
            at: &self.at,
            expected: desk.peers.tailers.get(&self.at.environment).unwrap_or(&none),
            seen: &seen,
            census: &census,
            packets: &packets,
            bucks: &desk.peers.bucks,
            closings: &desk.closings,
        };
        question.worth_asking()
    }

    fn port_shard(&mut self, now: Now, shard: u16, desk: &mut Desk) -> Step {
        let at: ShardAt = self.at.shard(shard);
        let listed = self.listed.get(&shard).copied().unwrap_or(0);
        let mut port = Box::new(Port::new(at, self.shards, listed));
        let ported = port.start(now, &self.survey, desk);
        self.phase = Phase::Porting(port);
        match ported {
            Ported::Going => Step::Going,
            Ported::Done(completeness) => self.shard_done(now, &completeness, desk),
            Ported::Failed(why) => Step::Failed(why),
        }
    }

    fn shard_done(&mut self, now: Now, completeness: &Completeness, desk: &mut Desk) -> Step {
        let Phase::Porting(port) = &self.phase else { return Step::Going };
        self.complete &= completeness.is_complete();
        self.unheard.extend(&completeness.unheard);
        match port.at.shard + 1 {
            next if next < self.shards => self.port_shard(now, next, desk),
            _ => Step::Done,
        }
    }

    /// A manifest was put, and whether it stands is not known.
    pub fn is_committing(&self) -> bool {
        matches!(&self.phase, Phase::Porting(port) if port.is_committing())
    }

    /// Whatever stood of this bucket when the look began is known.
    pub fn has_read_the_shelf(&self) -> bool {
        !matches!(self.phase, Phase::Listing | Phase::Reading(_))
    }

    /// The lease is of no more use to anyone.
    pub fn release(&self, now: Now, desk: &mut Desk) {
        if let Some(epoch) = self.our_lease {
            let path = self.at.shard(0).object(Object::Lease(epoch));
            desk.ask_shelf(now, Asked::Loose, |ask| Action::Delete { ask, path });
        }
    }
}

/// Whether a tailer's packets belong to this shard.
pub(super) fn belongs(tailer: NodeId, shard: u16, shards: u16) -> bool {
    shard_of(tailer, shards) == shard
}
