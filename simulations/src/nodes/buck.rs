//! A buck: its machine, and disks that take their time and do what they are asked in order.

use crate::bugs;
use crate::disk::{Disk, DiskError};
use crate::faults::Bug;
use crate::ghost::{Put, mark_of};
use crate::nodes::files::{bucket_of, path_of};
use crate::nodes::life::Life;
use crate::world::{Event, Process, Question, What, World};
use buck::action::Action;
use buck::config::Rules;
use buck::job::{Job, Step};
use buck::machine::Machine;
use buck::place::{DiskId, ExchangeId, Place, Ticket};
use bytes::Bytes;
use proto::bucket::{BucketHead, Records};
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, Part, PutOutcome, Receipt};
use proto::time::{BucketId, Timestamp};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Room on a disk that is not full.
const ROOM: u64 = 100 << 30;

/// What a disk is to do.
#[derive(Debug)]
pub enum Work {
    Append { path: String, head: Vec<u8>, bytes: Bytes, ticket: Ticket },
    Sync { ticket: Ticket },
    Delete { path: String },
}

type Key = (Environment, BucketId);

/// Who waits for an answer, and the record it is about.
#[derive(Debug)]
struct Waiter {
    process: Process,
    number: u64,
    record: Option<Arc<[u8]>>,
}

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub machine: Option<Machine>,
    pub disks: Vec<Disk>,
    pub life: Life,
    /// Disks that failed since the last start.
    failed: Vec<bool>,
    /// Until when each disk is at work.
    busy: Vec<Duration>,
    /// How long a sync takes.
    pub slow: Duration,
    waiting: BTreeMap<ExchangeId, Waiter>,
    ledger: BTreeMap<Key, (Vec<Receipt>, Option<Timestamp>)>,
    asked: BTreeMap<u64, (Vec<Key>, u64)>,
}

impl Node {
    #[must_use]
    pub fn new(id: NodeId, disks: u16) -> Self {
        let count = usize::from(disks);
        Self {
            id,
            machine: None,
            disks: vec![Disk::default(); count],
            life: Life::new(id),
            failed: vec![false; count],
            busy: vec![Duration::ZERO; count],
            slow: Duration::ZERO,
            waiting: BTreeMap::new(),
            ledger: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    pub fn start(&mut self, world: &mut World) {
        if self.machine.is_some() {
            return;
        }
        self.life.rise(world);
        let rules = Rules { width: world.width(), keep_after_receipt: Duration::from_secs(300), ..Rules::default() };
        let count = u16::try_from(self.disks.len()).unwrap_or(1);
        let mut machine = Machine::new(rules, Arc::clone(&world.roster), count, world.rng.random());
        let now = world.now(self.id);
        for (number, disk) in (0..).zip(&self.disks) {
            for path in disk.paths() {
                let (Some(key), Ok(file)) = (bucket_of(path), disk.read(path)) else { continue };
                let mut records = Records::new(file);
                for (at, _, bytes) in records.by_ref() {
                    let bytes = Bytes::copy_from_slice(bytes);
                    machine.on_recovered(now, DiskId(number), (&key.0, key.1), at as u64, &bytes);
                }
                machine.on_torn(records.skipped as u64);
            }
            machine.on_room(DiskId(number), ROOM);
        }
        for ((environment, bucket), (receipts, since)) in &self.ledger {
            machine.on_remembered(now, environment, *bucket, receipts.clone(), *since);
        }
        self.failed.fill(false);
        self.busy.fill(world.timeline.now());
        machine.start(now);
        self.machine = Some(machine);
        self.perform(world);
    }

    pub fn crash(&mut self, world: &mut World, how: &str) {
        if self.machine.take().is_none() {
            return;
        }
        self.life.fall(world, how, "buck crash");
        self.waiting.clear();
        self.asked.clear();
    }

    pub fn lose_power(&mut self, world: &mut World) {
        self.crash(world, "loses power");
        world.ghost.struck("buck power");
        for disk in &mut self.disks {
            disk.crash(&mut world.rng);
        }
    }

    /// A disk is gone with all that was on it; the buck goes on with a new one.
    pub fn lose_disk(&mut self, world: &mut World) {
        self.crash(world, "loses a disk");
        world.ghost.struck("disk loss");
        world.ghost.damaged.insert(self.id);
        let which = world.rng.random_range(0..self.disks.len());
        self.disks[which].lose();
        if world.rng.random_bool(0.5) {
            self.ledger.clear();
        }
    }

    pub fn flip(&mut self, world: &mut World) {
        let which = world.rng.random_range(0..self.disks.len());
        if let Some(path) = self.disks[which].flip(&mut world.rng) {
            world.ghost.struck("bit flip");
            world.ghost.damaged.insert(self.id);
            world.note(self.id, &format!("a bit of {path} flips"));
        }
    }

    pub fn fill_up(&mut self, world: &mut World) {
        let which = world.rng.random_range(0..self.disks.len());
        self.disks[which].full = true;
        world.ghost.struck("disk full");
    }

    pub fn fail(&mut self, world: &mut World) {
        let which = world.rng.random_range(0..self.disks.len());
        self.disks[which].failing = true;
        world.ghost.struck("disk error");
    }

    /// Disks are good again. One that failed takes nothing until the next start.
    pub fn mend(&mut self, world: &mut World) {
        self.slow = Duration::ZERO;
        for (number, disk) in (0..).zip(&mut self.disks) {
            disk.failing = false;
            if std::mem::take(&mut disk.full)
                && let Some(machine) = &mut self.machine
            {
                machine.on_room(DiskId(number), ROOM);
            }
        }
        if self.failed.iter().any(|failed| *failed) {
            self.crash(world, "is started anew for its disks");
            self.start(world);
        }
        self.perform(world);
    }

    pub fn on_wake(&mut self, world: &mut World, process: Process) {
        if !self.life.is_woken(world, process) {
            return;
        }
        let now = world.now(self.id);
        if let Some(machine) = &mut self.machine {
            machine.on_timeout(now);
            self.perform(world);
        }
    }

    pub fn on_question(&mut self, world: &mut World, question: Question) {
        let now = world.now(self.id);
        let exchange = ExchangeId(world.next_number());
        let Question { from, number, what, .. } = question;
        let Some(machine) = &mut self.machine else { return };
        let record = if let What::Put(record) = &what { Some(Arc::clone(record)) } else { None };
        self.waiting.insert(exchange, Waiter { process: from, number, record });
        match what {
            What::Put(record) => machine.on_put(now, exchange, from.node, Bytes::copy_from_slice(&record)),
            What::Ask(ask) => machine.on_ask(now, exchange, from.node, ask),
        }
        self.perform(world);
    }

    pub fn on_answer(&mut self, world: &mut World, to: Process, number: u64, answers: Vec<Answer>) {
        if to != self.life.process() || self.asked.remove(&number).is_none() {
            return;
        }
        let now = world.now(self.id);
        if let (Some(machine), Some(Answer::Receipts(receipts))) = (&mut self.machine, answers.into_iter().next()) {
            machine.on_receipts(now, receipts);
            self.perform(world);
        }
    }

    /// The next porter is asked.
    pub fn on_silence(&mut self, world: &mut World, to: Process, number: u64) {
        if to != self.life.process() {
            return;
        }
        if let Some((buckets, porter)) = self.asked.remove(&number)
            && porter < world.options.porters
        {
            self.ask_receipts(world, buckets, porter + 1);
        }
    }

    fn ask_receipts(&mut self, world: &mut World, buckets: Vec<Key>, porter: u64) {
        let what = What::Ask(Ask::Receipts { buckets: buckets.clone() });
        let number = world.ask(self.life.process(), NodeId(super::PORTERS + porter), &what);
        self.asked.insert(number, (buckets, porter));
    }

    /// A disk does one thing it was asked for.
    pub fn on_disk(&mut self, world: &mut World, of: Process, which: usize, work: Work) {
        if of != self.life.process() || self.machine.is_none() {
            return;
        }
        let id = DiskId(u16::try_from(which).unwrap_or(0));
        let now = world.now(self.id);
        if let Work::Delete { path } = &work {
            self.disks[which].remove(path);
            return;
        }
        if self.failed[which] {
            return;
        }
        let done = match work {
            Work::Append { path, head, bytes, ticket } => self
                .append(world, which, &path, &head, &bytes)
                .map(|at| (ticket, Some(at)))
                .map_err(|why| (ticket, why)),
            Work::Sync { ticket } => self.sync(world, which).map(|()| (ticket, None)).map_err(|why| (ticket, why)),
            Work::Delete { .. } => return,
        };
        let Some(machine) = &mut self.machine else { return };
        match done {
            Ok((ticket, Some(at))) => machine.on_appended(now, id, ticket, at),
            Ok((ticket, None)) => machine.on_synced(now, id, ticket),
            Err((ticket, DiskError::Full)) => machine.on_disk_full(now, id, ticket),
            Err(_) => {
                self.failed[which] = true;
                machine.on_disk_failed(now, id, "input/output error".to_owned());
            }
        }
        self.perform(world);
    }

    fn append(
        &mut self,
        world: &mut World,
        which: usize,
        path: &str,
        head: &[u8],
        bytes: &Bytes,
    ) -> Result<u64, DiskError> {
        let written = bugs::written(world.options.bug, bytes);
        let disk = &mut self.disks[which];
        let failing = disk.failing;
        disk.failing = failing && !world.has_bug(Bug::SyncAgain);
        let at = append(disk, path, head, written);
        disk.failing = failing;
        let at = at?;
        if let Some(mark) = mark_of(bytes) {
            let put =
                Put { disk: which, path: path.to_owned(), at: usize::try_from(at).unwrap_or(0), length: bytes.len() };
            world.ghost.puts.entry((self.id, mark)).or_default().push(put);
        }
        Ok(at)
    }

    fn sync(&mut self, world: &mut World, which: usize) -> Result<(), DiskError> {
        let again = world.has_bug(Bug::SyncAgain) && self.disks[which].failing;
        if again || world.has_bug(Bug::AckBeforeSync) {
            return Ok(());
        }
        let disk = &mut self.disks[which];
        let paths: Vec<String> = disk.unsynced().map(str::to_owned).collect();
        let names = !world.has_bug(Bug::FolderUnsynced);
        paths.iter().try_for_each(|path| if names { disk.sync(path) } else { disk.sync_bytes(path) })?;
        if disk.failing { Err(DiskError::Failed) } else { Ok(()) }
    }

    fn perform(&mut self, world: &mut World) {
        while let Some(action) = self.machine.as_mut().and_then(Machine::poll_action) {
            self.act(world, action);
            if self.life.ends(world) {
                self.crash(world, "is killed between two actions");
            }
        }
        self.life.plan_wake(world, self.machine.as_ref().and_then(Machine::next_timeout));
    }

    fn act(&mut self, world: &mut World, action: Action) {
        match action {
            Action::Append { disk, environment, bucket, bytes, ticket } => {
                let path = path_of(&environment, bucket);
                let head = BucketHead { environment, width: world.width(), bucket }.write();
                let took = Duration::from_micros(world.rng.random_range(20..200));
                self.plan(world, disk, took, Work::Append { path, head, bytes, ticket });
            }
            Action::Sync { disk, ticket } => {
                let took = Duration::from_micros(world.rng.random_range(500..8000)) + self.slow;
                self.plan(world, disk, took, Work::Sync { ticket });
            }
            Action::Delete { disk, environment, bucket } => {
                let path = path_of(&environment, bucket);
                self.check_delete(world, disk, &path);
                self.plan(world, disk, Duration::from_micros(50), Work::Delete { path });
            }
            Action::Answer { exchange, answer } => self.answer(world, exchange, answer),
            Action::Run { exchange, job } => self.run_job(world, exchange, job),
            Action::AskReceipts { buckets } => self.ask_receipts(world, buckets, 1),
            Action::Remember { environment, bucket, receipts, since } => {
                if receipts.is_empty() {
                    self.ledger.remove(&(environment, bucket));
                } else {
                    self.ledger.insert((environment, bucket), (receipts, since));
                }
            }
            Action::Subscribe { .. } | Action::Unsubscribe { .. } | Action::Publish { .. } => {}
        }
    }

    fn plan(&mut self, world: &mut World, disk: DiskId, took: Duration, work: Work) {
        let which = usize::from(disk.0);
        let at = self.busy[which].max(world.timeline.now()) + took;
        self.busy[which] = at;
        world.timeline.plan_at(at, Event::Disk { of: self.life.process(), disk: which, work });
    }

    fn check_delete(&self, world: &mut World, disk: DiskId, path: &str) {
        let file = self.disks[usize::from(disk.0)].read(path).unwrap_or_default();
        let marks: Vec<_> = Records::new(file).filter_map(|(_, _, bytes)| mark_of(bytes)).collect();
        crate::checks::prune::file_deleted(world, self.id, &marks);
    }

    fn answer(&mut self, world: &mut World, exchange: ExchangeId, answer: Answer) {
        let Some(waiter) = self.waiting.remove(&exchange) else { return };
        if let (Answer::Put(put), Some(record)) = (&answer, &waiter.record)
            && put.outcome == PutOutcome::Kept
        {
            crate::checks::kept::ack_given(world, self, record);
        }
        world.answer(self.id, waiter.process, waiter.number, vec![answer]);
    }

    /// At once: what a job reads is what stands on the disks now.
    fn run_job(&mut self, world: &mut World, exchange: ExchangeId, mut job: Job) {
        let mut answers = Vec::new();
        let mut damaged = Vec::new();
        loop {
            match job.step() {
                Step::Read(place) => {
                    let read = self.read(world, &place, &mut damaged);
                    job.on_read(read);
                }
                Step::Part(part) => {
                    let last = matches!(part, Part::End(_));
                    let mut part = believed(part, &damaged);
                    if let (true, Part::Rows(rows)) = (world.has_bug(Bug::RowsForgotten), &mut part) {
                        rows.pop();
                    }
                    answers.push(Answer::Part(part));
                    if last {
                        break;
                    }
                }
                Step::Done => break,
            }
        }
        if let Some(machine) = &mut self.machine {
            machine.on_job_done(exchange, job.filters());
        }
        if let Some(waiter) = self.waiting.remove(&exchange) {
            world.answer(self.id, waiter.process, waiter.number, answers);
        }
    }

    /// With the bug, what is damaged passes for whole.
    fn read(&self, world: &World, place: &Place, damaged: &mut Vec<Vec<u8>>) -> Result<Bytes, String> {
        let file =
            self.disks.get(usize::from(place.disk.0)).map(|disk| disk.read(&path_of(&place.environment, place.bucket)));
        let Some(Ok(file)) = file else { return Err(format!("{place}: is not there")) };
        let at = usize::try_from(place.at).unwrap_or(usize::MAX);
        let bytes =
            file.get(at..at.saturating_add(place.length as usize)).ok_or_else(|| format!("{place}: cut off"))?;
        if world.has_bug(Bug::NoChecksum) {
            let put = |put: &Put| put.at == at && put.length == bytes.len() && put.disk == usize::from(place.disk.0);
            let of_me = world.ghost.puts.iter().filter(|((buck, _), _)| *buck == self.id);
            let meant = of_me.filter(|(_, puts)| puts.iter().any(put)).find_map(|((_, mark), _)| {
                let filed = world.ghost.filed.get(*world.ghost.by_mark.get(mark)?)?;
                (filed.id.bucket == place.bucket).then_some(&filed.bytes)
            });
            if let Some(meant) = meant.filter(|meant| meant.as_slice() != bytes) {
                damaged.push(meant.clone());
                return Ok(Bytes::copy_from_slice(meant));
            }
        }
        Ok(Bytes::copy_from_slice(bytes))
    }
}

/// Behind the file's head, which is written where there is none.
fn append(disk: &mut Disk, path: &str, head: &[u8], bytes: &[u8]) -> Result<u64, DiskError> {
    if disk.read(path).map_or(0, <[u8]>::len) == 0 {
        disk.append(path, head)?;
    }
    disk.append(path, bytes)
}

/// A record that was damaged, as one would have it who checks nothing.
fn believed(part: Part, damaged: &[Vec<u8>]) -> Part {
    match part {
        Part::Record(record) if damaged.contains(&record) => Part::Record(bugs::with_a_wrong_byte(&record)),
        other => other,
    }
}
