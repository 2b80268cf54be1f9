//! Ports one shard: what no manifest covers is fetched, built into blocks, put, read back, and named by the next
//! manifest.
//!
//! The manifest's number is what decides. Who finds it taken reads the winner's, drops what it has built itself,
//! and ports what the winner does not cover. A block that no manifest names does no harm.

use super::collect::{Batch, Collect, Copy};
use super::desk::{Asked, Desk, JobAsk};
use super::job::belongs;
use super::merge::Merge;
use super::put::{PutBlock, Stood};
use super::said::{Action, Build, BuildOf, Built, PutOutcome, Reply};
use super::survey::{Survey, merge_closing};
use crate::census::Question;
use crate::dedup::Earlier;
use crate::manifest::{Block, Census, Manifest};
use crate::names::{Object, ShardAt};
use crate::ranges::Ranges;
use crate::rules::{PUT_TRIES_MAX, RACES_MAX};
use proto::ids::{NodeId, PacketId};
use proto::message::Completeness;
use proto::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Port {
    pub at: ShardAt,
    shards: u16,
    base: Option<Arc<Manifest>>,
    /// The manifest to put.
    version: u64,
    collect: Collect,
    blocks: Vec<Block>,
    covered: Ranges,
    state: State,
    races: u32,
}

#[derive(Debug)]
enum State {
    Fetching,
    /// What do earlier blocks have of this batch?
    Looking(Batch),
    Building(Vec<PacketId>),
    /// The block, and the packets whose events are in it or stand elsewhere.
    Putting(Box<PutBlock>, Vec<PacketId>),
    Committing(Box<Committing>),
    /// Parts of what was committed are read, built and put as one.
    Merging(Box<Merging>),
}

#[derive(Debug)]
struct Merging {
    manifest: Arc<Manifest>,
    merge: Merge,
    put: Option<PutBlock>,
}

#[derive(Debug)]
struct Committing {
    manifest: Arc<Manifest>,
    bytes: Arc<[u8]>,
    tries: u32,
}

/// How the work on a shard stands.
#[derive(Debug)]
pub(super) enum Ported {
    Going,
    Done(Completeness),
    Failed(String),
}

impl Port {
    /// `listed` is the highest version that was seen on the shelf, readable or not.
    pub fn new(at: ShardAt, shards: u16, listed: u64) -> Self {
        Self {
            at,
            shards,
            base: None,
            version: listed + 1,
            collect: Collect::new(BTreeMap::new(), 1, 1),
            blocks: Vec::new(),
            covered: Ranges::default(),
            state: State::Fetching,
            races: 0,
        }
    }

    pub fn start(&mut self, now: Now, survey: &Survey, desk: &mut Desk) -> Ported {
        self.base = desk.standing.get(&self.at).cloned();
        let base = self.base.as_ref().map_or(0, |base| base.version);
        self.version = self.version.max(base + 1);
        self.collect = Collect::new(self.wanted(survey), desk.rules.block_bytes, desk.rules.window_bytes);
        for buck in &survey.away {
            self.collect.went_away(*buck);
        }
        self.blocks.clear();
        self.covered = Ranges::default();
        self.state = State::Fetching;
        self.fetch(now, survey, desk)
    }

    pub fn is_committing(&self) -> bool {
        matches!(self.state, State::Committing(_))
    }

    fn wanted(&self, survey: &Survey) -> BTreeMap<PacketId, Vec<Copy>> {
        let stands = |packet: &PacketId| self.base.as_ref().is_some_and(|base| base.packets.holds(packet));
        let ours = survey.packets.iter().filter(|(packet, _)| belongs(packet.tailer, self.at.shard, self.shards));
        ours.filter(|(packet, _)| !stands(packet)).map(|(packet, copies)| (packet.clone(), copies.clone())).collect()
    }

    pub fn on_reply(&mut self, now: Now, asked: JobAsk, reply: Reply, survey: &Survey, desk: &mut Desk) -> Ported {
        match (asked, reply) {
            (JobAsk::Fetch { buck, number }, reply) => {
                match reply {
                    Reply::Fetched(packets) => self.collect.got(number, packets),
                    _ => self.collect.went_away(buck),
                }
                self.fetched(now, survey, desk)
            }
            (JobAsk::Earlier, Reply::Earlier(earlier)) => self.build(earlier, desk),
            (JobAsk::Build, Reply::Built(built)) => self.on_built(now, built, survey, desk),
            (asked @ (JobAsk::PutBlock | JobAsk::DropBlock | JobAsk::ReadBlock | JobAsk::Doubt), reply) => {
                self.on_put(now, asked, reply, survey, desk)
            }
            (JobAsk::ReadPart, Reply::Got(Some(bytes))) => self.on_part(now, bytes, desk),
            (JobAsk::PutManifest, Reply::Put(PutOutcome::Done | PutOutcome::Exists) | Reply::Failed(_)) => {
                self.read_manifest(now, desk)
            }
            (JobAsk::ReadManifest, Reply::Got(bytes)) => self.on_manifest_read(now, bytes.as_deref(), survey, desk),
            // What was ported stands; merging is tried again when there is another part.
            _ if matches!(self.state, State::Merging(_)) => self.merged(),
            (JobAsk::Build, Reply::Failed(why)) if matches!(self.state, State::Merging(_)) => {
                // The parts stand as they are.
                desk.trouble(&self.at.bucket_at(), &why);
                self.merged()
            }
            (_, Reply::Failed(why)) => Ported::Failed(why),
            (asked, _) => Ported::Failed(format!("an answer of another kind than {asked:?} asks for")),
        }
    }

    fn fetched(&mut self, now: Now, survey: &Survey, desk: &mut Desk) -> Ported {
        for (packet, buck, why) in std::mem::take(&mut self.collect.bad) {
            desk.counters.bad_copies += 1;
            desk.trouble(&self.at.bucket_at(), &format!("buck {buck} has a bad copy of packet {packet}: {why}"));
        }
        if matches!(self.state, State::Fetching) { self.fetch(now, survey, desk) } else { Ported::Going }
    }

    fn fetch(&mut self, now: Now, survey: &Survey, desk: &mut Desk) -> Ported {
        while let Some((number, buck, packets)) = self.collect.next_ask() {
            let asked = Asked::Job(JobAsk::Fetch { buck, number });
            desk.ask_buck(now, asked, |ask| Action::Fetch { ask, buck, packets });
        }
        match self.collect.take_batch() {
            None => Ported::Going,
            Some(batch) if batch.packets.is_empty() => self.commit(now, survey, desk),
            Some(batch) => self.look(now, batch, desk),
        }
    }

    /// Packets without events have nothing that could be there already.
    fn look(&mut self, _now: Now, batch: Batch, desk: &mut Desk) -> Ported {
        desk.counters.packets += batch.packets.len() as u64;
        desk.counters.packet_bytes += batch.packets.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        let streams = batch.streams.clone();
        let none = streams.is_empty();
        self.state = State::Looking(batch);
        if none {
            return self.build(Earlier::default(), desk);
        }
        let environment = self.at.environment.clone();
        let also = self.blocks.iter().map(|block| self.at.block(block.name)).collect();
        let asked = Asked::Job(JobAsk::Earlier);
        desk.ask_own(asked, |ask| Action::Earlier { ask, environment, streams, also });
        Ported::Going
    }

    fn build(&mut self, earlier: Earlier, desk: &mut Desk) -> Ported {
        let State::Looking(batch) = std::mem::replace(&mut self.state, State::Fetching) else {
            return Ported::Failed("an answer nobody asked for".to_owned());
        };
        self.state = State::Building(batch.packets.iter().map(|(packet, _)| packet.clone()).collect());
        let of = BuildOf { at: self.at.clone(), shards: self.shards, packets: batch.packets, blocks: Vec::new() };
        let earlier = Arc::new(earlier);
        desk.ask_own(Asked::Job(JobAsk::Build), |ask| Action::Build(Box::new(Build { ask, of, earlier })));
        Ported::Going
    }

    fn on_built(&mut self, now: Now, built: Built, survey: &Survey, desk: &mut Desk) -> Ported {
        if matches!(self.state, State::Merging(_)) {
            return self.on_merge_built(now, built, desk);
        }
        let State::Building(mut covers) = std::mem::replace(&mut self.state, State::Fetching) else {
            return Ported::Failed("an answer nobody asked for".to_owned());
        };
        for (packet, why) in &built.bad {
            desk.trouble(&self.at.bucket_at(), &format!("packet {packet} can't be used: {why}"));
        }
        let bad: BTreeSet<&PacketId> = built.bad.iter().map(|(packet, _)| packet).collect();
        covers.retain(|packet| !bad.contains(packet));
        let Some(built) = built.block else {
            covers.iter().for_each(|packet| self.covered.insert(packet));
            return self.fetch(now, survey, desk);
        };
        let put = PutBlock::start(now, self.at.clone(), self.shards, built, desk);
        self.state = State::Putting(Box::new(put), covers);
        Ported::Going
    }

    fn on_put(&mut self, now: Now, asked: JobAsk, reply: Reply, survey: &Survey, desk: &mut Desk) -> Ported {
        let stood = match &mut self.state {
            State::Putting(put, _) => put.on_reply(now, asked, reply, desk),
            State::Merging(merging) => match &mut merging.put {
                Some(put) => put.on_reply(now, asked, reply, desk),
                None => return Ported::Going,
            },
            State::Fetching | State::Looking(_) | State::Building(_) | State::Committing(_) => return Ported::Going,
        };
        match (stood, std::mem::replace(&mut self.state, State::Fetching)) {
            (Stood::Going, state) => {
                self.state = state;
                Ported::Going
            }
            (Stood::Failed(why), State::Merging(merging)) => {
                desk.trouble(&self.at.bucket_at(), &why);
                Ported::Done(merging.manifest.completeness.clone())
            }
            (Stood::Failed(why), _) => Ported::Failed(why),
            (Stood::Done(block), State::Merging(merging)) => self.commit_merged(now, Some(block), &merging, desk),
            (Stood::Done(block), State::Putting(_, covers)) => {
                desk.counters.blocks += 1;
                desk.counters.block_bytes += block.bytes;
                covers.iter().for_each(|packet| self.covered.insert(packet));
                self.blocks.push(block);
                self.fetch(now, survey, desk)
            }
            (Stood::Done(_), _) => Ported::Going,
        }
    }

    fn on_part(&mut self, now: Now, bytes: Arc<[u8]>, desk: &mut Desk) -> Ported {
        if let State::Merging(merging) = &mut self.state {
            merging.merge.take(bytes);
            merging.merge.go_on(now, &merging.manifest, desk);
        }
        Ported::Going
    }

    fn on_merge_built(&mut self, now: Now, built: Built, desk: &mut Desk) -> Ported {
        let State::Merging(merging) = &mut self.state else { return Ported::Going };
        match built.block {
            Some(built) if merging.merge.is_nothing_new(&built.block) => self.merged(),
            Some(built) => {
                merging.put = Some(PutBlock::start(now, self.at.clone(), self.shards, built, desk));
                Ported::Going
            }
            None => match std::mem::replace(&mut self.state, State::Fetching) {
                State::Merging(merging) => self.commit_merged(now, None, &merging, desk),
                _ => Ported::Going,
            },
        }
    }

    /// Ends a merge that came to nothing.
    fn merged(&mut self) -> Ported {
        match std::mem::replace(&mut self.state, State::Fetching) {
            State::Merging(merging) => Ported::Done(merging.manifest.completeness.clone()),
            _ => Ported::Going,
        }
    }

    fn commit_merged(&mut self, now: Now, block: Option<Block>, merging: &Merging, desk: &mut Desk) -> Ported {
        let manifest = merging.merge.result(now, &merging.manifest, block, desk);
        self.version = manifest.version;
        self.begin_commit(now, manifest, desk)
    }

    /// All is fetched that can be. A version that would say nothing new is not written.
    fn commit(&mut self, now: Now, survey: &Survey, desk: &mut Desk) -> Ported {
        let manifest = self.next_manifest(now, survey, desk);
        let news = match &self.base {
            Some(base) => !self.covered.is_empty() || base.completeness != manifest.completeness,
            // A loss that is known is written down, also when nothing else of the bucket could be had.
            None => !self.covered.is_empty() || !manifest.completeness.missing.is_empty(),
        };
        match self.base.clone() {
            _ if news => self.begin_commit(now, manifest, desk),
            Some(base) => {
                let mend = Merge::of_double(&base, desk);
                self.merge(now, base, mend, desk)
            }
            None => Ported::Done(manifest.completeness),
        }
    }

    fn begin_commit(&mut self, now: Now, manifest: Manifest, desk: &mut Desk) -> Ported {
        let bytes: Arc<[u8]> = Arc::from(manifest.write());
        // What no porter could read again must not stand for what bucks then let go of.
        if Manifest::parse(&bytes).ok().as_ref() != Some(&manifest) {
            return Ported::Failed(format!("manifest {} would be larger than one may be", manifest.version));
        }
        self.state = State::Committing(Box::new(Committing { manifest: Arc::new(manifest), bytes, tries: 0 }));
        self.put_manifest(now, desk)
    }

    fn next_manifest(&self, now: Now, survey: &Survey, desk: &Desk) -> Manifest {
        let base = self.base.as_deref();
        let mut packets = base.map(|base| base.packets.clone()).unwrap_or_default();
        self.covered.iter().for_each(|range| packets.insert_range(range));
        let mut blocks = base.map(|base| base.blocks.clone()).unwrap_or_default();
        for block in &self.blocks {
            if !blocks.iter().any(|known| known.name == block.name) {
                blocks.push(block.clone());
            }
        }
        let census = self.census(survey);
        let completeness = self.completeness(&packets, &census, survey, desk);
        Manifest {
            at: self.at.clone(),
            shards: self.shards,
            version: self.version,
            by: desk.me,
            written: now.wall,
            copies: desk.rules.copies,
            blocks,
            replaced: base.map(|base| base.replaced.clone()).unwrap_or_default(),
            packets,
            census,
            completeness,
        }
    }

    fn census(&self, survey: &Survey) -> Census {
        let mut census = self.base.as_ref().map(|base| base.census.clone()).unwrap_or_default();
        census.heard.extend(&survey.heard);
        let ours = survey.closings.iter().filter(|(tailer, _)| belongs(**tailer, self.at.shard, self.shards));
        for (tailer, closing) in ours {
            merge_closing(census.closings.entry(*tailer).or_default(), closing.clone());
        }
        census
    }

    fn completeness(&self, packets: &Ranges, census: &Census, survey: &Survey, desk: &Desk) -> Completeness {
        let ours = |tailer: &NodeId| belongs(*tailer, self.at.shard, self.shards);
        let tailers = desk.peers.tailers.get(&self.at.environment);
        let expected = tailers.into_iter().flatten().copied().filter(ours).collect();
        let mut seen = survey.seen();
        seen.extend(packets.iter().map(|range| range.tailer));
        seen.retain(ours);
        let question = Question {
            at: &self.at.bucket_at(),
            expected: &expected,
            seen: &seen,
            census,
            packets,
            bucks: &desk.peers.bucks,
            closings: &desk.closings,
        };
        question.completeness()
    }

    fn put_manifest(&mut self, now: Now, desk: &mut Desk) -> Ported {
        let State::Committing(committing) = &mut self.state else { return Ported::Going };
        if committing.tries >= PUT_TRIES_MAX {
            return Ported::Failed(format!("manifest {} can't be put", committing.manifest.version));
        }
        committing.tries += 1;
        let path = self.at.object(Object::Manifest(committing.manifest.version));
        let bytes = committing.bytes.clone();
        desk.ask_shelf(now, Asked::Job(JobAsk::PutManifest), |ask| Action::PutIfAbsent { ask, path, bytes });
        Ported::Going
    }

    fn read_manifest(&self, now: Now, desk: &mut Desk) -> Ported {
        let State::Committing(committing) = &self.state else { return Ported::Going };
        let path = self.at.object(Object::Manifest(committing.manifest.version));
        desk.ask_shelf(now, Asked::Job(JobAsk::ReadManifest), |ask| Action::Get { ask, path });
        Ported::Going
    }

    fn on_manifest_read(&mut self, now: Now, bytes: Option<&[u8]>, survey: &Survey, desk: &mut Desk) -> Ported {
        let State::Committing(committing) = &self.state else { return Ported::Going };
        let Some(bytes) = bytes else { return self.put_manifest(now, desk) };
        if *bytes == *committing.bytes {
            let manifest = committing.manifest.clone();
            desk.counters.manifests += 1;
            desk.stands(&manifest);
            return self.committed(now, manifest, desk);
        }
        self.lost(now, bytes, survey, desk)
    }

    fn committed(&mut self, now: Now, manifest: Arc<Manifest>, desk: &mut Desk) -> Ported {
        let merge = Merge::plan(&manifest, desk);
        self.merge(now, manifest, merge, desk)
    }

    fn merge(&mut self, now: Now, manifest: Arc<Manifest>, merge: Option<Merge>, desk: &mut Desk) -> Ported {
        let Some(merge) = merge else { return Ported::Done(manifest.completeness.clone()) };
        let mut merging = Box::new(Merging { manifest, merge, put: None });
        merging.merge.go_on(now, &merging.manifest, desk);
        self.state = State::Merging(merging);
        Ported::Going
    }

    /// Someone else was first with this number, or it was damaged on its way and stays taken.
    fn lost(&mut self, now: Now, winner: &[u8], survey: &Survey, desk: &mut Desk) -> Ported {
        desk.counters.races_lost += 1;
        self.races += 1;
        if self.races > RACES_MAX {
            return Ported::Failed("other porters are always first".to_owned());
        }
        match Manifest::parse(winner) {
            Ok(winner) if winner.at == self.at && winner.version == self.version => desk.stands(&Arc::new(winner)),
            _ => {
                let path = self.at.object(Object::Manifest(self.version));
                desk.trouble(&self.at.bucket_at(), &format!("{path} is damaged"));
            }
        }
        self.version += 1;
        self.start(now, survey, desk)
    }
}
