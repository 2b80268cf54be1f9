//! The ends of buckets, and what is said from time to time: beats, receipts asked for, the memory.
//!
//! A bucket is over when filing time has left it and everything read in it is in the spool. Then its closing is
//! written, which names every run's packets. A bucket without packets is closed too, so that silence is never
//! mistaken for absence, but its closing is not worth a file: only the newest of them counts.

use super::{Asked, Machine, Stage, Written};
use crate::action::{Action, ClosedTo, Memory, Remembered, Warning};
use crate::files::{File, FileNumber, Phase};
use crate::flight::RecordNumber;
use crate::prune;
use crate::ranges::Ranges;
use crate::spool::Place;
use proto::closed::Closed;
use proto::ids::{Environment, StreamId};
use proto::limits::{CLOSED_LOSSES_MAX, STREAM_EXTENTS_MAX};
use proto::message::Ask;
use proto::packet::{Extent, Fate};
use proto::time::{BucketId, Now, Timestamp};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;

/// How often a tailer is heard, so that an idle one is known to live.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How often it is asked what has reached a shelf; more often where buckets are shorter.
const RECEIPTS_EVERY: Duration = Duration::from_secs(60);
/// Buckets asked about at a time, oldest first.
const RECEIPTS_AT_ONCE: usize = 256;
/// A bucket of an earlier run that is at most so far ahead is gone on with, so that filing time does not go back. One
/// further ahead is of a clock that was wrong, and waiting for it would be worse.
const AHEAD_MAX: Duration = Duration::from_secs(3600);
/// How often the memory is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Where one environment is.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    open: BucketId,
    /// The last bucket that was closed, and the last of those that had packets.
    closed: Option<BucketId>,
    filled: Option<BucketId>,
    losses: Vec<(StreamId, Ranges)>,
}

impl Machine {
    /// What the memory knew of closed buckets.
    pub(super) fn recall_turns(&mut self, closed: &[ClosedTo]) {
        for ClosedTo { environment, closed, filled } in closed {
            let turn = Turn { closed: Some(*closed), filled: *filled, ..Turn::default() };
            self.turns.insert(environment.clone(), turn);
        }
    }

    /// The run begins: every environment has an open bucket, and older ones of earlier runs are closed.
    pub(super) fn open_turns(&mut self, now: Now) {
        let time = self.clock.corrected(now);
        let (open, furthest) = (self.bucket_of(time), self.bucket_of(time.after(AHEAD_MAX)));
        let left: Vec<Place> =
            self.spool.buckets().filter(|(_, bucket)| !bucket.is_closed()).map(|(place, _)| place.clone()).collect();
        let named = self.config.inputs.iter().map(|input| input.environment.clone());
        let spooled = self.spool.buckets().map(|(place, _)| place.environment.clone());
        for environment in named.chain(spooled) {
            self.turns.entry(environment).or_default();
        }
        let mut floor = open;
        for (environment, turn) in &mut self.turns {
            let of_environment = left.iter().filter(|place| place.environment == *environment);
            let entered = of_environment.map(|place| place.bucket).chain(turn.closed.map(BucketId::next));
            turn.open = entered.filter(|bucket| *bucket <= furthest).fold(open, BucketId::max);
            floor = floor.max(turn.open);
        }
        self.clock.raise(self.config.width.start_of(floor));
        let over = |place: &Place| {
            let turn = self.turns.get(&place.environment);
            turn.is_some_and(|turn| place.bucket < turn.open) || place.bucket > furthest
        };
        self.closings.extend(left.into_iter().filter(over));
    }

    /// Filing time is this now: buckets before it are over.
    pub(super) fn turn_to(&mut self, filed: Timestamp) {
        let bucket = self.bucket_of(filed);
        let over: Vec<Environment> =
            self.turns.iter().filter(|(_, turn)| turn.open < bucket).map(|(name, _)| name.clone()).collect();
        for environment in over {
            self.end_bucket(&environment, bucket);
        }
    }

    fn end_bucket(&mut self, environment: &Environment, next: BucketId) {
        if let Some(fill) = self.fills.get_mut(environment) {
            let filled = fill.finish(&mut self.squeezer, &self.sign);
            fill.open(next);
            if let Some(filled) = filled {
                self.write_packet(filled);
            }
        }
        self.said.clear();
        let Some(turn) = self.turns.get_mut(environment) else { return };
        let open = std::mem::replace(&mut turn.open, next);
        self.closings.push_back(Place { environment: environment.clone(), bucket: open });
        // After a sleep: those in between were empty, and the last of them says so for all.
        if let Some(last) = next.previous().filter(|last| *last > open) {
            self.closings.push_back(Place { environment: environment.clone(), bucket: last });
        }
    }

    pub(super) fn settle_turns(&mut self, now: Now) {
        let filed = self.clock.file(now);
        self.turn_to(filed);
    }

    pub(super) fn turns_due(&self) -> Option<Duration> {
        if !matches!(self.stage, Stage::Running) {
            return None;
        }
        let ends = self.turns.values().map(|turn| self.config.width.end_of(turn.open));
        ends.min().map(|end| self.clock.due(self.latest, end))
    }

    /// Closings of buckets whose every packet is in the spool.
    pub(super) fn settle_closings(&mut self, now: Now) {
        while self.writing.is_empty() {
            let Some(place) = self.closings.pop_front() else { return };
            self.close(now, &place);
        }
    }

    fn close(&mut self, now: Now, place: &Place) {
        let Place { environment, bucket } = place.clone();
        let runs = self.spool.runs(place);
        let spooled = self.filled_before(place);
        let turn = self.turns.entry(environment.clone()).or_default();
        let closed = Closed {
            tailer: self.node,
            environment: environment.clone(),
            bucket,
            previous: turn.filled.filter(|filled| *filled < bucket).max(spooled),
            losses: std::mem::take(&mut turn.losses).into_iter().map(lost).collect(),
            runs,
        };
        // A bucket far ahead is none that others follow on.
        let is_past = bucket <= turn.open;
        if is_past {
            turn.closed = turn.closed.max(Some(bucket));
        }
        self.closed_changed = true;
        let record: Arc<[u8]> = closed.write(&self.sign).into();
        if closed.runs.is_empty() {
            let number = self.spool.number();
            self.idle_closings.retain(|_, (of, ..)| *of != environment);
            self.idle_closings.insert(number, (environment, bucket, record));
            self.launch_idle(now, number);
        } else {
            if let Some(turn) = self.turns.get_mut(&environment).filter(|_| is_past) {
                turn.filled = turn.filled.max(Some(bucket));
            }
            self.write(place.clone(), record, Written::Closing);
        }
    }

    /// The last bucket before this one that the spool has packets of. What the memory knows of it may be older.
    fn filled_before(&self, place: &Place) -> Option<BucketId> {
        let of_environment = self.spool.buckets().map(|(known, _)| known);
        let before =
            of_environment.filter(|known| known.environment == place.environment && known.bucket < place.bucket);
        before.filter(|known| !self.spool.runs(known).is_empty()).map(|known| known.bucket).max()
    }

    pub(super) fn launch_idle(&mut self, now: Now, number: RecordNumber) {
        if let Some((.., record)) = self.idle_closings.get(&number) {
            let record = Arc::clone(record);
            self.launch(now, number, record, Vec::new());
        }
    }

    /// Bytes that are gone unread; the closing of the open bucket names them.
    pub(super) fn note_loss(&mut self, environment: &Environment, stream: StreamId, from: u64, to: u64) {
        let turn = self.turns.entry(environment.clone()).or_default();
        if let Some((_, ranges)) = turn.losses.iter_mut().find(|(of, _)| *of == stream) {
            ranges.add(from, to);
        } else if turn.losses.len() < CLOSED_LOSSES_MAX {
            turn.losses.push((stream, [(from, to)].into_iter().collect()));
        }
    }

    pub(super) fn settle_talk(&mut self, now: Now) {
        if !matches!(self.stage, Stage::Running | Stage::Stopping { .. }) {
            return;
        }
        if self.due.beat <= now.mono {
            self.due.beat = now.mono + BEAT_EVERY;
            self.beat(now);
        }
        if self.due.receipts <= now.mono {
            self.ask_receipts(now);
        }
    }

    fn beat(&mut self, now: Now) {
        let Some(buck) = self.pick.pick(now.mono, &[]) else { return };
        if self.asked.len() > 64 {
            return;
        }
        let filed = self.turns.keys().map(|environment| (environment.clone(), self.arrived_to(now, environment)));
        let filed = filed.collect();
        self.ask(Asked::Beat(buck), buck, Ask::Beat { filed });
    }

    /// Everything of this environment filed before is on enough bucks.
    fn arrived_to(&self, now: Now, environment: &Environment) -> Timestamp {
        let filling = self.fills.get(environment).filter(|fill| fill.began().is_some()).map(|fill| fill.filed().first);
        let writing = self.writing.iter().filter(|writing| writing.place.environment == *environment);
        let writing = writing.filter_map(|writing| match &writing.what {
            Written::Packet(filled) => Some(filled.filed.first),
            Written::Closing => None,
        });
        let unarrived = self.spool.arrived_to(environment).into_iter();
        unarrived.chain(filling).chain(writing).chain([self.clock.corrected(now)]).min().unwrap_or_default()
    }

    pub(super) fn ask_receipts(&mut self, now: Now) {
        let width = Duration::from_secs(u64::from(self.config.width.seconds()));
        self.due.receipts = now.mono + RECEIPTS_EVERY.min(width);
        let buckets: Vec<_> = self
            .spool
            .buckets()
            .filter(|(_, bucket)| !bucket.is_receipted())
            .map(|(place, _)| (place.environment.clone(), place.bucket))
            .take(RECEIPTS_AT_ONCE)
            .collect();
        if buckets.is_empty() || self.asked.len() > 64 {
            return;
        }
        let porter = self.porters.get(self.rng.random_range(0..self.porters.len().max(1))).copied();
        let peers = [porter, self.pick.pick(now.mono, &[])];
        for peer in peers.into_iter().flatten() {
            self.ask(Asked::Receipts, peer, Ask::Receipts { buckets: buckets.clone() });
        }
    }

    /// Deletes what may go, and stops reading while there is too much.
    pub(super) fn settle_spool(&mut self, now: Now) {
        if self.due.prune > now.mono {
            return;
        }
        self.due.prune = now.mono + SAVE_EVERY;
        let is_open = |place: &Place| {
            self.turns.get(&place.environment).is_some_and(|turn| turn.open <= place.bucket)
                || self.writing.iter().any(|writing| writing.place == *place)
        };
        let verdict = prune::judge(&self.spool, self.config.spool_bytes_max, is_open);
        for place in verdict.delete {
            self.save_memory(now, false);
            self.spool.remove(&place);
            self.act(Action::DeleteSpool { place });
        }
        if verdict.full && !self.spool_full {
            self.warn(Warning::SpoolFull);
        }
        self.spool_full = verdict.full;
    }

    pub(super) fn talk_due(&self) -> Option<Duration> {
        let talking = matches!(self.stage, Stage::Running | Stage::Stopping { .. });
        let prune = self.spool.buckets().next().map(|_| self.due.prune);
        talking.then(|| [Some(self.due.beat), Some(self.due.receipts), prune].into_iter().flatten().min()).flatten()
    }

    /// Every file of the first listing was told from others, so the memory can be believed from now on.
    fn settle_once(&mut self, now: Now) {
        let known = |file: &File| matches!(file.phase, Phase::Following) || file.unreadable;
        if self.settled || !self.listed || !self.files.iter().all(|(_, file)| known(file)) {
            return;
        }
        self.settled = true;
        self.save_memory(now, false);
    }

    pub(super) fn settle_memory(&mut self, now: Now) {
        self.settle_once(now);
        if self.memory_due().is_some_and(|due| due <= now.mono) {
            self.save_memory(now, false);
        }
    }

    pub(super) fn memory_due(&self) -> Option<Duration> {
        let changed = !self.changed.is_empty() || !self.let_go.is_empty() || self.closed_changed;
        changed.then_some(self.due.save)
    }

    pub(super) fn save_memory(&mut self, now: Now, clean: bool) {
        self.due.save = now.mono + SAVE_EVERY;
        let mut files = std::mem::take(&mut self.let_go);
        for number in std::mem::take(&mut self.changed) {
            files.extend(self.remembered(number));
        }
        let closed = self.turns.iter().filter_map(|(environment, turn)| {
            turn.closed.map(|closed| ClosedTo { environment: environment.clone(), closed, filled: turn.filled })
        });
        let closed = if self.closed_changed || clean { closed.collect() } else { Vec::new() };
        self.closed_changed = false;
        let settled = self.settled && !std::mem::replace(&mut self.settled_said, true);
        let memory = Memory { files, arrived: self.spool.take_changed(), closed, settled, clean };
        if clean || memory != Memory::default() {
            self.act(Action::SaveMemory(memory));
        }
    }

    fn remembered(&self, number: FileNumber) -> Option<(crate::follow::Identity, Remembered)> {
        let file = self.files.get(number)?;
        let stream = file.stream.as_ref()?;
        let remembered = Remembered {
            stream: stream.id,
            generation: stream.generation,
            path: stream.path.clone(),
            predecessor: stream.predecessor,
            mark: file.kept,
        };
        Some((file.identity, remembered))
    }

    /// What is remembered of a file that is about to be let go.
    pub(super) fn remember_now(&mut self, number: FileNumber) {
        let remembered = self.remembered(number);
        self.let_go.extend(remembered);
        self.changed.remove(&number);
    }
}

fn lost((stream, ranges): (StreamId, Ranges)) -> (StreamId, Vec<Extent>) {
    let extents = ranges.iter().map(|(from, to)| Extent { from, to, fate: Fate::Lost });
    (stream, extents.take(STREAM_EXTENTS_MAX).collect())
}
