//! The tailer's machine in a world of plain memory: files, spool, bucks and time, all of them told.

pub mod bucks;
pub mod disk;

use bucks::Bucks;
use disk::Disk;
use proto::bucket::BucketHead;
use proto::event::Flags;
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, PutAnswer, PutOutcome};
use proto::time::{BucketWidth, Now, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tailer::action::{Action, Away, Chunk, ClosedTo, Opened, Recovered, Remembered, Trouble, Warning};
use tailer::config::{Config, Input};
use tailer::files::FileNumber;
use tailer::flight::Exchange;
use tailer::follow::Identity;
use tailer::machine::{Identity as Me, Machine};
use tailer::pick::Buck;
use tailer::spool::{ArrivedRun, Place};

pub const TAILER: NodeId = NodeId(100);
pub const PORTER: NodeId = NodeId(200);
const START: i64 = 1_795_255_200;

/// What a buck answers to a record.
pub type Outcome = Box<dyn Fn(NodeId, &[u8]) -> PutOutcome>;

/// What sled would hold.
#[derive(Clone, Debug, Default)]
pub struct Remembering {
    pub files: BTreeMap<Identity, Remembered>,
    arrived: BTreeMap<(Place, u64), ArrivedRun>,
    closed: BTreeMap<String, ClosedTo>,
    clean: bool,
    there: bool,
}

enum Coming {
    Answer(Exchange, Answer),
    Away(Exchange),
}

pub struct World {
    pub disk: Disk,
    pub bucks: Bucks,
    pub spool: BTreeMap<Place, Vec<u8>>,
    pub memory: Remembering,
    /// What of the memory is on its disk for certain.
    flushed: Remembering,
    pub down: BTreeSet<NodeId>,
    /// The spool's disk is full.
    pub full: bool,
    pub warnings: Vec<Warning>,
    /// Which paths the globs name.
    pub fits: fn(&Path) -> bool,
    pub config: Config,
    pub machine: Option<Machine>,
    pub reads: u64,
    pub bytes_read: u64,
    pub appends: u64,
    /// Changes are told at once, as the system does; otherwise only listings find them.
    pub tells: bool,
    /// What bucks answer to a record instead of keeping it.
    pub outcome: Outcome,
    /// What the last beat said.
    pub beat: Vec<(Environment, Timestamp)>,
    /// How far this host's calendar is ahead of the bucks'.
    pub ahead: Duration,
    /// What the next reads of the spool come to.
    pub spool_trouble: Option<Trouble>,
    buck_count: u64,
    coming: BTreeMap<(Duration, u64), Coming>,
    next: u64,
    spins: u32,
    now: Duration,
    rng: StdRng,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let input = Input { paths: vec!["/l/*".into()], ..Input::default() };
        let width = BucketWidth::from_seconds(60).expect("a width");
        let config = Config { inputs: vec![input], host: "h".into(), width, ..Config::default() };
        let mut world = Self {
            disk: Disk::new(),
            bucks: Bucks::default(),
            spool: BTreeMap::new(),
            memory: Remembering::default(),
            flushed: Remembering::default(),
            down: BTreeSet::new(),
            full: false,
            warnings: Vec::new(),
            fits: |path| path.starts_with("/l"),
            config,
            machine: None,
            reads: 0,
            bytes_read: 0,
            appends: 0,
            tells: true,
            outcome: Box::new(|_, _| PutOutcome::Kept),
            beat: Vec::new(),
            ahead: Duration::ZERO,
            spool_trouble: None,
            buck_count: 3,
            coming: BTreeMap::new(),
            next: 0,
            spins: 0,
            now: Duration::from_secs(1000),
            rng: StdRng::seed_from_u64(seed),
        };
        world.pass(Duration::ZERO);
        world
    }

    pub fn started(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.start(true);
        world
    }

    pub fn now(&self) -> Now {
        Now { mono: self.now, wall: self.true_time().after(self.ahead) }
    }

    /// What the bucks' clocks say.
    pub fn true_time(&self) -> Timestamp {
        Timestamp::from_seconds(START).after(self.now)
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.disk.time = self.now().wall;
    }

    /// A process begins. `same_boot`: the system did not go down meanwhile.
    pub fn start(&mut self, same_boot: bool) {
        let me = Me {
            node: TAILER,
            seed: self.rng.random(),
            sign: Box::new(|_| [7; 64]),
            bucks: self.peers(),
            porters: vec![PORTER],
        };
        let mut machine = Machine::new(self.config.clone(), me);
        let mut skipped = 0;
        for (place, file) in &self.spool {
            let mut records = proto::bucket::Records::new(file);
            for (at, _, bytes) in records.by_ref() {
                machine.recover_record(place, at as u64, bytes);
            }
            skipped += records.skipped as u64;
        }
        let recovered = Recovered {
            clean: self.memory.clean,
            same_boot: same_boot && self.memory.there,
            arrived: self.memory.arrived.values().cloned().collect(),
            closed: self.memory.closed.values().cloned().collect(),
            skipped,
        };
        (self.memory.clean, self.memory.there) = (false, false);
        self.flushed = self.memory.clone();
        machine.start(self.now(), &recovered);
        self.machine = Some(machine);
        self.perform_all();
    }

    fn peers(&self) -> Vec<Buck> {
        (1..=self.buck_count).map(|id| Buck { id: NodeId(id), domain: String::new() }).collect()
    }

    /// The roster was read anew.
    pub fn tell_peers(&mut self) {
        let (now, peers) = (self.now(), self.peers());
        self.machine().on_peers(now, &peers, &[PORTER]);
        self.perform_all();
    }

    /// kill -9: what was on its way is gone, the disk stays as it is.
    pub fn kill(&mut self) {
        self.machine = None;
        self.coming.clear();
        self.disk.close_all();
    }

    /// The same, and what the memory was told last has not reached its disk.
    pub fn kill_with_old_memory(&mut self) {
        self.kill();
        self.memory = self.flushed.clone();
    }

    pub fn wipe_memory(&mut self) {
        self.flushed = Remembering::default();
        self.memory = Remembering::default();
    }

    pub fn wipe_spool(&mut self) {
        self.spool.clear();
        self.wipe_memory();
    }

    /// An orderly end.
    pub fn stop(&mut self) {
        let now = self.now();
        self.machine().on_stop(now);
        self.perform_all();
        for _ in 0..10_000 {
            if self.machine().is_stopped() {
                break;
            }
            self.step();
        }
        assert!(self.machine().is_stopped(), "a stop takes five seconds at most");
        self.kill();
    }

    pub fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("a tailer is running")
    }

    // What programs do to their files; the tailer is told, as it would be by the system.

    pub fn write(&mut self, path: &str, bytes: &[u8]) {
        self.disk.append(path, bytes);
        self.tell(path);
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        self.disk.rename(from, to);
        self.tell(to);
    }

    pub fn truncate(&mut self, path: &str) {
        self.disk.truncate(path, 0);
        self.tell(path);
    }

    pub fn truncate_if_there(&mut self, path: &str) {
        if self.disk.exists(path) {
            self.truncate(path);
        }
    }

    pub fn machine_bucks(&self) -> BTreeSet<NodeId> {
        (1..=self.buck_count).map(NodeId).collect()
    }

    pub fn tell(&mut self, path: &str) {
        let seen = self.disk.seen(path).filter(|_| self.tells && (self.fits)(Path::new(path)));
        let now = self.now();
        if let (Some(machine), Some(seen)) = (&mut self.machine, seen) {
            machine.on_seen(now, seen);
            self.perform_all();
        }
    }

    /// Time passes.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end && self.machine.is_some() {
            self.step_until(end);
        }
        self.now = self.now.max(end);
        self.disk.time = self.now().wall;
    }

    pub fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn step(&mut self) {
        self.step_until(Duration::MAX);
    }

    /// To the next moment at which anything happens.
    fn step_until(&mut self, end: Duration) {
        let due = self.machine.as_ref().and_then(Machine::next_timeout).unwrap_or(Duration::MAX);
        let coming = self.coming.first_key_value().map_or(Duration::MAX, |((at, _), _)| *at);
        let at = due.min(coming).min(end).max(self.now);
        self.pass(at - self.now);
        let now = self.now();
        if coming <= self.now {
            let (_, coming) = self.coming.pop_first().expect("it was looked at");
            match coming {
                Coming::Answer(exchange, answer) => self.machine().on_answer(now, exchange, answer),
                Coming::Away(exchange) => self.machine().on_away(now, exchange, Away),
            }
        } else if due <= self.now {
            self.machine().on_timeout(now);
            self.perform_all();
            if self.machine().next_timeout().is_some_and(|at| at <= self.now) {
                // A machine that wants to be asked again at once would never let time pass.
                self.spins += 1;
                assert!(self.spins < 1000, "the machine spins: {:?}", self.machine);
                self.pass(Duration::from_micros(1));
            }
        }
        self.perform_all();
    }

    fn perform_all(&mut self) {
        let mut count = 0;
        while let Some(action) = self.machine.as_mut().and_then(Machine::poll_action) {
            count += 1;
            assert!(count < 1_000_000, "the machine never rests");
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        let now = self.now();
        match action {
            Action::Scan => {
                let seen = self.disk.listing(self.fits);
                self.machine().on_listing(now, seen);
            }
            Action::Open { file, path } => self.open(now, file, &path),
            Action::Read { file, from, bytes_max } => {
                let read = self.disk.read(file, from, bytes_max);
                self.reads += 1;
                let chunk = read.as_ref().map_err(|trouble| *trouble);
                let chunk = chunk.map(|(stat, before, bytes)| Chunk { stat: *stat, from, before, bytes });
                self.bytes_read += chunk.map_or(0, |chunk| chunk.bytes.len() as u64);
                self.machine.as_mut().expect("running").on_chunk(now, file, chunk);
            }
            Action::Close { file } => self.disk.close(file),
            Action::AppendSpool { ticket, place, bytes } => {
                let at = self.append(&place, &bytes);
                self.machine().on_spooled(now, ticket, at);
            }
            Action::ReadSpool { ticket, place, at, length } => {
                let range = at as usize..at as usize + length as usize;
                let bytes = self.spool.get(&place).and_then(|file| file.get(range)).map(<[u8]>::to_vec);
                let bytes = self.spool_trouble.map_or(bytes.ok_or(Trouble::Gone), Err);
                self.machine().on_spool_read(now, ticket, bytes);
            }
            Action::DeleteSpool { place } => {
                self.flushed = self.memory.clone();
                self.spool.remove(&place);
            }
            Action::Put { exchange, buck, record } => {
                let coming = if self.down.contains(&buck) {
                    Coming::Away(exchange)
                } else {
                    let outcome = (self.outcome)(buck, &record);
                    if outcome == PutOutcome::Kept {
                        self.bucks.put(buck, &record);
                    }
                    let clock = self.true_time();
                    Coming::Answer(exchange, Answer::Put(PutAnswer { outcome, clock }))
                };
                self.soon(coming);
            }
            Action::Ask { exchange, peer, ask } => self.asked(exchange, peer, &ask),
            Action::SaveMemory(memory) => self.remember(memory),
            Action::Warn(warning) => self.warnings.push(warning),
            Action::Stopped => {}
        }
    }

    fn open(&mut self, now: Now, file: FileNumber, path: &Path) {
        let opened = self.disk.open(file, path).map(|(stat, head)| {
            let remembered = self.memory.files.get(&stat.identity).cloned();
            Opened { stat, head, remembered }
        });
        self.machine().on_opened(now, file, opened);
    }

    fn append(&mut self, place: &Place, bytes: &[u8]) -> Result<u64, Trouble> {
        self.appends += 1;
        let (environment, bucket) = (place.environment.clone(), place.bucket);
        let head = BucketHead { environment, width: self.config.width, bucket };
        let file = self.spool.entry(place.clone()).or_insert_with(|| head.write());
        let at = file.len();
        if self.full {
            // A full disk takes a part of what it is given.
            file.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(Trouble::Full);
        }
        file.extend_from_slice(bytes);
        Ok(at as u64)
    }

    fn soon(&mut self, coming: Coming) {
        self.next += 1;
        let delay = Duration::from_micros(self.rng.random_range(200..20_000));
        self.coming.insert((self.now + delay, self.next), coming);
    }

    fn asked(&mut self, exchange: Exchange, peer: NodeId, ask: &Ask) {
        let buck = (peer != PORTER).then_some(peer);
        let answer = match ask {
            Ask::Beat { filed } => {
                self.beat.clone_from(filed);
                Answer::Beat { clock: self.true_time() }
            }
            Ask::Known { .. } => Answer::Known(self.bucks.known(buck)),
            Ask::Receipts { buckets } => Answer::Receipts(self.bucks.receipts(buckets)),
            other => unreachable!("a tailer does not ask {other:?}"),
        };
        let down = self.down.contains(&peer);
        self.soon(if down { Coming::Away(exchange) } else { Coming::Answer(exchange, answer) });
    }

    fn remember(&mut self, memory: tailer::action::Memory) {
        self.memory.files.extend(memory.files);
        self.memory.arrived.extend(memory.arrived.into_iter().map(|run| ((run.place.clone(), run.run.0), run)));
        self.memory.closed.extend(memory.closed.into_iter().map(|to| (to.environment.to_string(), to)));
        self.memory.clean |= memory.clean;
        if memory.settled || memory.clean {
            self.memory.there = true;
            self.flushed = self.memory.clone();
        }
    }

    /// Until everything that stands in a file is on two bucks, or for so long that it never will be.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            self.run(Duration::from_millis(2500));
            let machine = self.machine();
            if machine.all_arrived() && machine.is_drained() {
                break;
            }
        }
    }

    // What was found.

    /// Every line found, by the path of its stream, as often as it was found.
    pub fn lines(&self) -> BTreeMap<String, Vec<String>> {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, found) in self.bucks.events().into_iter().filter(|(_, found)| !found.flags.has(Flags::LOST)) {
            assert!(!found.flags.has(Flags::CONTINUES), "short lines are whole");
            lines.entry(found.path).or_default().push(String::from_utf8_lossy(&found.line).into_owned());
        }
        lines
    }

    /// All lines of all files, sorted.
    pub fn all_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines().into_values().flatten().collect();
        lines.sort();
        lines
    }

    /// Where losses are told of, and in which words.
    pub fn told_losses(&self) -> Vec<(u64, String)> {
        let told = self.bucks.events().into_iter().filter(|(_, found)| found.flags.has(Flags::LOST));
        told.map(|(id, found)| (id.offset, String::from_utf8_lossy(&found.line).into_owned())).collect()
    }

    pub fn lost_warnings(&self) -> usize {
        self.warnings.iter().filter(|warning| matches!(warning, Warning::Lost { .. })).count()
    }
}
