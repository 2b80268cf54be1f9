//! A host: programs that write log files, and a tailer that follows them.
//!
//! As in the program, files and spool are read and written at once. The spool is never synced. The memory is: a
//! while after it was written, and before a bucket file is deleted; a process that dies may lose what was written
//! since, a machine that loses power surely does.

use crate::bugs;
use crate::disk::Disk;
use crate::faults::Bug;
use crate::ghost::mark_of;
use crate::hosts::{LogFile, LogFiles, Writer};
use crate::nodes::files::{bucket_of, path_of};
use crate::nodes::life::Life;
use crate::world::{Process, What, World};
use proto::bucket::{BUCKET_HEAD_BYTES, BucketHead, Records};
use proto::ids::NodeId;
use proto::message::{Answer, PutOutcome};
use proto::seal::Keys;
use proto::time::{Now, Timestamp};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tailer::action::{Action, Away, Chunk, ClosedTo, Memory, Opened, Recovered, Remembered, Seen, Trouble, Warning};
use tailer::config::{Config, Input};
use tailer::files::FileNumber;
use tailer::flight::Exchange;
use tailer::follow::{Identity, Stat};
use tailer::machine::{Identity as Me, Machine};
use tailer::pick::Buck;
use tailer::spool::{ArrivedRun, Place};

/// Files of one host; each is rotated on its own.
const PATHS: [&str; 3] = ["/l/app.log", "/l/access.log", "/l/jobs.log"];

/// What the real memory would hold.
#[derive(Clone, Debug, Default)]
struct Remembering {
    files: BTreeMap<Identity, Remembered>,
    arrived: BTreeMap<(Place, u64), ArrivedRun>,
    closed: BTreeMap<String, ClosedTo>,
    clean: bool,
    /// A run of this same boot said that it knows where all its files stand.
    settled: bool,
}

/// Under which number of the machine's, of whom, and about which record.
type Asked = (Exchange, NodeId, Option<Arc<[u8]>>);

#[derive(Debug)]
pub struct Host {
    pub id: NodeId,
    pub machine: Option<Machine>,
    pub files: LogFiles,
    pub life: Life,
    keys: Arc<Keys>,
    writer: Writer,
    lives: u64,
    open: BTreeMap<FileNumber, u64>,
    spool: Disk,
    memory: Arc<Remembering>,
    flushed: Arc<Remembering>,
    flushed_at: Duration,
    same_boot: bool,
    asked: BTreeMap<u64, Asked>,
    /// For the bug that goes to the first buck again and again.
    first: BTreeMap<Vec<u8>, NodeId>,
}

impl Host {
    #[must_use]
    pub fn new(id: NodeId, keys: Arc<Keys>) -> Self {
        Self {
            id,
            keys,
            machine: None,
            files: LogFiles::default(),
            life: Life::new(id),
            writer: Writer::default(),
            lives: 0,
            open: BTreeMap::new(),
            spool: Disk::default(),
            memory: Arc::default(),
            flushed: Arc::default(),
            flushed_at: Duration::ZERO,
            same_boot: true,
            asked: BTreeMap::new(),
            first: BTreeMap::new(),
        }
    }

    // What programs do.

    /// A few lines are written, mostly one, and the tailer is told, mostly.
    pub fn write(&mut self, world: &mut World) {
        let path = PATHS[world.rng.random_range(0..PATHS.len())];
        let count = if world.rng.random_bool(0.05) { world.rng.random_range(5..60) } else { 1 };
        let now = world.wall();
        for _ in 0..count {
            if self.files.at(path).is_none_or(|file| file.bytes.is_empty()) {
                self.lives += 1;
                self.files.write(path, format!("log {} of {} begins", self.lives, self.id).as_bytes(), now);
            }
            let line = self.writer.line(&mut world.rng, now);
            self.files.write(path, &line, now);
        }
        if world.rng.random_bool(0.9) {
            self.tell(world, path);
        }
    }

    pub fn rotate(&mut self, world: &mut World) {
        let path = PATHS[world.rng.random_range(0..PATHS.len())];
        let known = self.files.gone.len();
        self.files.rotate(path, 3);
        self.mark_gone(world, known);
        world.ghost.struck("rotate");
        self.tell(world, &format!("{path}.1"));
    }

    pub fn truncate(&mut self, world: &mut World) {
        let path = PATHS[world.rng.random_range(0..PATHS.len())];
        let known = self.files.gone.len();
        self.files.truncate(path, world.wall());
        self.mark_gone(world, known);
        world.ghost.struck("truncate");
        self.tell(world, path);
    }

    fn mark_gone(&mut self, world: &mut World, known: usize) {
        let filed = world.ghost.filed.len();
        for at in self.files.gone.iter().skip(known) {
            world.ghost.gone_at.entry((self.id, *at)).or_insert(filed);
        }
    }

    fn tell(&mut self, world: &mut World, path: &str) {
        let Some(seen) = self.files.at(path).map(|file| seen(path, file)) else { return };
        let now = world.now(self.id);
        if let Some(machine) = &mut self.machine {
            machine.on_seen(now, seen);
            self.perform(world);
        }
    }

    // Life and death.

    pub fn start(&mut self, world: &mut World) {
        if self.machine.is_some() {
            return;
        }
        self.life.rise(world);
        let (keys, id, signing) = (Arc::clone(&self.keys), self.id, world.signing);
        let bucks = (1..=world.options.bucks).map(|n| Buck { id: NodeId(super::BUCKS + n), domain: String::new() });
        let me = Me {
            node: self.id,
            seed: world.rng.random(),
            sign: Box::new(move |content| signing.sign(id, &keys, content)),
            bucks: bucks.collect(),
            porters: (1..=world.options.porters).map(|n| NodeId(super::PORTERS + n)).collect(),
        };
        let input = Input { paths: vec!["/l/*".into()], ..Input::default() };
        let config = Config {
            inputs: vec![input],
            host: format!("h{}", self.id.0),
            width: world.width(),
            spool_bytes_max: world.options.spool_bytes_max,
            ..Config::default()
        };
        let mut machine = Machine::new(config, me);
        let mut skipped = 0;
        let paths: Vec<String> = self.spool.paths().map(str::to_owned).collect();
        for path in paths {
            let Some((environment, bucket)) = bucket_of(&path) else { continue };
            let place = Place { environment, bucket };
            let Ok(file) = self.spool.read(&path) else { continue };
            let mut records = Records::new(file);
            for (at, _, bytes) in records.by_ref() {
                machine.recover_record(&place, at as u64, bytes);
            }
            skipped += records.skipped as u64;
        }
        let recovered = Recovered {
            clean: self.memory.clean,
            same_boot: self.same_boot && self.memory.settled,
            arrived: self.memory.arrived.values().cloned().collect(),
            closed: self.memory.closed.values().cloned().collect(),
            skipped,
        };
        let memory = Arc::make_mut(&mut self.memory);
        (memory.clean, memory.settled) = (false, world.has_bug(Bug::MemoryUnsettled));
        (self.same_boot, self.flushed) = (true, Arc::clone(&self.memory));
        machine.start(world.now(self.id), &recovered);
        self.machine = Some(machine);
        self.perform(world);
    }

    /// kill -9.
    pub fn crash(&mut self, world: &mut World, how: &str) {
        if self.machine.take().is_none() {
            return;
        }
        self.life.fall(world, how, "tailer crash");
        self.asked.clear();
        for inode in std::mem::take(&mut self.open).into_values() {
            self.files.close(inode);
        }
        if world.rng.random_bool(0.5) {
            self.memory = Arc::clone(&self.flushed);
        }
    }

    /// The machine loses power.
    pub fn lose_power(&mut self, world: &mut World) {
        self.crash(world, "loses power");
        world.ghost.struck("host power");
        let now = world.timeline.now();
        world.ghost.host_power.entry(self.id).or_default().push(now);
        self.spool.crash(&mut world.rng);
        self.memory = Arc::clone(&self.flushed);
        self.same_boot = false;
        for path in PATHS {
            if world.rng.random_bool(0.3) {
                let lines = world.rng.random_range(1..20);
                let known = self.files.gone.len();
                if self.files.lose_tail(path, lines) > 0 {
                    world.ghost.tails_lost.insert(self.id);
                }
                self.mark_gone(world, known);
            }
        }
    }

    /// Spool and memory are deleted while it is down: the host has lost what it had not sent.
    pub fn wipe(&mut self, world: &mut World) {
        self.crash(world, "is wiped");
        self.lose_memory(world);
        self.spool.lose();
        let now = world.timeline.now();
        world.ghost.host_power.entry(self.id).or_default().push(now);
    }

    pub fn lose_memory(&mut self, world: &mut World) {
        world.ghost.struck("memory loss");
        (self.memory, self.flushed) = (Arc::default(), Arc::default());
    }

    /// Everything written was read and is on enough bucks.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.all_arrived() && machine.is_drained())
    }

    // What comes.

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

    pub fn on_answer(&mut self, world: &mut World, to: Process, number: u64, answers: Vec<Answer>) {
        if to != self.life.process() || self.machine.is_none() {
            return;
        }
        let Some((exchange, asked, record)) = self.asked.remove(&number) else { return };
        let now = world.now(self.id);
        let Some(mut answer) = answers.into_iter().next() else { return };
        if let (true, Answer::Receipts(receipts)) = (world.has_bug(Bug::PruneOnFirstAck), &mut answer) {
            receipts.extend(bugs::of_acked(&world.ghost, self.id));
        }
        if let (Answer::Put(put), Some(record)) = (&answer, &record)
            && put.outcome == PutOutcome::Kept
        {
            self.told_kept(world, asked, record);
        }
        if let Some(machine) = &mut self.machine {
            machine.on_answer(now, exchange, answer);
            self.perform(world);
        }
    }

    /// S2's ground: of whom the tailer believes that it keeps a record, that one does.
    fn told_kept(&self, world: &mut World, buck: NodeId, record: &Arc<[u8]>) {
        let Some(mark) = mark_of(record) else { return };
        let was_put = world.ghost.puts.contains_key(&(buck, mark));
        world.check("S2 who is believed to keep a record was given it", was_put, || {
            format!("tailer {} was told that {buck} keeps a record it never had", self.id)
        });
        if let Some(filed) = world.ghost.by_mark.get(&mark).and_then(|at| world.ghost.filed.get(*at)) {
            let id = filed.id.clone();
            let now = world.timeline.now();
            let bucks = world.ghost.acked.entry(id.clone()).or_default();
            bucks.insert(buck);
            if bucks.len() == 2 {
                world.ghost.kept_since.entry(id).or_insert(now);
            }
        }
    }

    pub fn on_silence(&mut self, world: &mut World, to: Process, number: u64) {
        if to != self.life.process() {
            return;
        }
        let Some((exchange, ..)) = self.asked.remove(&number) else { return };
        let now = world.now(self.id);
        if let Some(machine) = &mut self.machine {
            machine.on_away(now, exchange, Away);
            self.perform(world);
        }
    }

    // What is asked.

    fn perform(&mut self, world: &mut World) {
        while let Some(action) = self.machine.as_mut().and_then(Machine::poll_action) {
            self.act(world, action);
            if self.life.ends(world) {
                self.crash(world, "is killed between two actions");
            }
        }
        if world.timeline.now() >= self.flushed_at + Duration::from_millis(500) {
            self.flushed_at = world.timeline.now();
            self.flushed = Arc::clone(&self.memory);
        }
        self.life.plan_wake(world, self.machine.as_ref().and_then(Machine::next_timeout));
    }

    fn act(&mut self, world: &mut World, action: Action) {
        let now = world.now(self.id);
        match action {
            Action::Scan => {
                let seen = self.files.listing().map(|(path, file)| seen(path, file)).collect();
                self.tell_machine(|machine| machine.on_listing(now, seen));
            }
            Action::Open { file, path } => self.open(now, file, &path.to_string_lossy()),
            Action::Read { file, from, bytes_max } => self.read(now, file, from, bytes_max),
            Action::Close { file } => {
                if let Some(inode) = self.open.remove(&file)
                    && !self.open.values().any(|other| *other == inode)
                {
                    self.files.close(inode);
                }
            }
            Action::AppendSpool { ticket, place, bytes } => {
                let at = self.append(world, &place, &bytes);
                self.tell_machine(|machine| machine.on_spooled(now, ticket, at));
            }
            Action::ReadSpool { ticket, place, at, length } => {
                let record = self.read_spool(&place, at, length);
                self.tell_machine(|machine| machine.on_spool_read(now, ticket, record));
            }
            Action::DeleteSpool { place } => self.delete(world, &place),
            Action::Put { exchange, buck, record } => self.put(world, exchange, buck, record),
            Action::Ask { exchange, peer, ask } => {
                let number = world.ask(self.life.process(), peer, &What::Ask(ask));
                self.asked.insert(number, (exchange, peer, None));
            }
            Action::SaveMemory(memory) => self.save(memory),
            Action::Warn(warning) => {
                if warning == Warning::Unheard {
                    world.ghost.unheard.insert(self.id);
                }
                world.note(self.id, &warning.to_string());
            }
            Action::Stopped => {}
        }
    }

    fn tell_machine(&mut self, tell: impl FnOnce(&mut Machine)) {
        if let Some(machine) = &mut self.machine {
            tell(machine);
        }
    }

    fn open(&mut self, now: Now, number: FileNumber, path: &str) {
        let opened = self.files.at(path).ok_or(Trouble::Gone).map(|file| {
            let stat = stat_of(file);
            self.open.insert(number, file.inode);
            let head = file.bytes.iter().take(1024).copied().collect();
            Opened { stat, head, remembered: self.memory.files.get(&stat.identity).cloned() }
        });
        self.tell_machine(|machine| machine.on_opened(now, number, opened));
    }

    fn read(&mut self, now: Now, number: FileNumber, from: u64, bytes_max: usize) {
        let file = self.open.get(&number).and_then(|inode| self.files.by_inode(*inode));
        let machine = self.machine.as_mut();
        let (Some(file), Some(machine)) = (file, machine) else {
            return self.tell_machine(|machine| machine.on_chunk(now, number, Err(Trouble::Gone)));
        };
        let at = usize::try_from(from).unwrap_or(usize::MAX).min(file.bytes.len());
        let before = file.bytes.get(at.saturating_sub(64)..at).unwrap_or_default();
        let end = at.saturating_add(bytes_max).min(file.bytes.len());
        let bytes = file.bytes.get(at..end).unwrap_or_default();
        let links = u64::from(self.files.listing().any(|(_, named)| named.inode == file.inode));
        let stat = Stat { links, ..stat_of(file) };
        machine.on_chunk(now, number, Ok(Chunk { stat, from, before, bytes }));
    }

    fn append(&mut self, world: &mut World, place: &Place, bytes: &[u8]) -> Result<u64, Trouble> {
        let path = path_of(&place.environment, place.bucket);
        if self.spool.read(&path).map_or(0, <[u8]>::len) < BUCKET_HEAD_BYTES {
            self.spool.truncate(&path, 0);
            let (environment, bucket) = (place.environment.clone(), place.bucket);
            let head = BucketHead { environment, width: world.width(), bucket }.write();
            self.spool.append(&path, &head).map_err(|_| Trouble::Failed)?;
        }
        let at = if world.has_bug(Bug::SpoolUnwritten) {
            self.spool.read(&path).map_or(0, <[u8]>::len) as u64
        } else {
            self.spool.append(&path, bytes).map_err(|_| Trouble::Failed)?
        };
        world.ghost.file(bytes);
        Ok(at)
    }

    fn read_spool(&self, place: &Place, at: u64, length: u32) -> Result<Vec<u8>, Trouble> {
        let file = self.spool.read(&path_of(&place.environment, place.bucket)).map_err(|_| Trouble::Gone)?;
        let at = usize::try_from(at).map_err(|_| Trouble::Failed)?;
        let rest = file.get(at..).unwrap_or_default();
        Ok(rest.get(..length as usize).unwrap_or(rest).to_vec())
    }

    /// The memory is written down first, as the program does.
    fn delete(&mut self, world: &mut World, place: &Place) {
        self.flushed = Arc::clone(&self.memory);
        let path = path_of(&place.environment, place.bucket);
        let file = self.spool.read(&path).unwrap_or_default();
        let marks: Vec<_> = Records::new(file).filter_map(|(_, _, bytes)| mark_of(bytes)).collect();
        crate::checks::prune::spool_deleted(world, self.id, &marks);
        self.spool.remove(&path);
        Arc::make_mut(&mut self.memory).arrived.retain(|(known, _), _| known != place);
    }

    fn put(&mut self, world: &mut World, exchange: Exchange, buck: NodeId, record: Arc<[u8]>) {
        let mut to = buck;
        if world.has_bug(Bug::ResendToSame) {
            to = *self.first.entry(mark_of(&record).unwrap_or([0; 64]).to_vec()).or_insert(buck);
        }
        world.ghost.close(&record);
        let number = world.ask(self.life.process(), to, &What::Put(Arc::clone(&record)));
        self.asked.insert(number, (exchange, buck, Some(record)));
    }

    fn save(&mut self, memory: Memory) {
        let mine = Arc::make_mut(&mut self.memory);
        mine.files.extend(memory.files);
        mine.arrived.extend(memory.arrived.into_iter().map(|run| ((run.place.clone(), run.run.0), run)));
        mine.closed.extend(memory.closed.into_iter().map(|to| (to.environment.to_string(), to)));
        mine.clean |= memory.clean;
        if memory.settled || memory.clean {
            // Written down at once, so that the word never stands without what it speaks of.
            mine.settled = true;
            self.flushed = Arc::clone(&self.memory);
        }
    }
}

fn stat_of(file: &LogFile) -> Stat {
    let identity = Identity { device: 1, inode: file.inode, birth: Some(file.birth) };
    Stat { identity, length: file.bytes.len() as u64, modified: Timestamp(file.modified.0), links: 1 }
}

fn seen(path: &str, file: &LogFile) -> Seen {
    Seen { path: path.into(), input: 0, stat: stat_of(file) }
}
