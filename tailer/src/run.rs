//! The tailer as a program: one thread owns the machine and the disk, tasks around it watch folders and talk to
//! bucks.
//!
//! The thread's loop reads: perform what the machine asks for, tell it what has come, wait when there is neither.
//! It stops in this order: nothing more is read; what was read is packed, written to the spool and sent, for at
//! most five seconds; the memory is written; the tasks end; the connections are closed.

use crate::action::{Action, Away, Recovered, Seen, Warning};
use crate::config::Config;
use crate::disk::{OpenFiles, SpoolError, SpoolFiles};
use crate::files::FileNumber;
use crate::fill::Sign;
use crate::flight::Exchange;
use crate::globs::{BadGlob, Globs};
use crate::machine::{Counters, Identity, Machine};
use crate::memory::{NoMemory, Store};
use crate::moved::{self, Closed, Followed};
use crate::pick::Buck;
use crate::post::{Letter, Post};
use crate::watch::{self as watching, Walker, Watcher};
use proto::ids::NodeId;
use proto::io::clock::{Clock, NoRandomness, seed};
use proto::io::dir::{DirError, Folder, Part};
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, LinkError};
use proto::io::stop::Token;
use proto::message::Answer;
use proto::roster::{Role, Roster, Standing};
use proto::seal::Domain;
use proto::time::Now;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the machine is still to be told. Answers are as many as questions, which the machine bounds.
const TOLD_MAX: usize = 4096;
/// What is told before the next action is performed, so that neither waits for long.
const TOLD_AT_ONCE: usize = 64;
/// Closed files that are looked for once more, and for how long: a program that is so quiet is rare.
const CLOSED_MAX: usize = 256;
const CLOSED_KEPT: Duration = Duration::from_secs(3600);
/// How often the memory is rid of files that are long gone.
const SWEEP_EVERY: Duration = Duration::from_secs(86_400);
/// The longest wait; only so that a clock that was set is noticed.
const WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the tailer's settings make no sense: {}", .0.join("; "))]
    Config(Vec<String>),
    #[error(transparent)]
    Glob(#[from] BadGlob),
    #[error("{path} can't be followed: {why}")]
    Unreadable { path: PathBuf, why: String },
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Memory(#[from] NoMemory),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the tailer's thread ended early: {0}")]
    Panicked(String),
    #[error("a task of the tailer's ended early, so it stopped: {0}")]
    TaskEnded(String),
}

impl RunError {
    /// What was asked for can't be done, as against something going wrong on the way.
    #[must_use]
    pub fn is_asked_wrongly(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::Glob(_) | Self::Unreadable { .. } | Self::Spool(SpoolError::Width { .. })
        )
    }
}

/// What comes to the thread that owns the machine.
#[derive(Debug)]
enum Told {
    Listing(Vec<Seen>),
    Seen(Seen),
    Unsure,
    Answer(Exchange, Option<Answer>),
    Peers(Arc<Roster>),
    Stop,
}

/// Runs until it is told to stop.
pub async fn run(
    config: Config,
    me: Arc<NodeKeys>,
    members: Arc<Members>,
    clock: Clock,
    mut stop: Token,
) -> Result<(), RunError> {
    config.validate().map_err(RunError::Config)?;
    let globs = Globs::new(config.inputs.iter().map(|input| (input.paths.as_slice(), input.excludes.as_slice())))?;
    check_named(&globs)?;
    let folder = Folder::take(&config.data)?;
    let walker = Walker::new(globs, std::slice::from_ref(&config.data));
    let endpoint = Arc::new(Endpoint::dialler(&me.keys, Arc::clone(&members), clock)?);
    let links = Arc::new(Links::new(Arc::clone(&endpoint), Arc::clone(&members), clock));
    let post = Arc::new(Post::new(Arc::clone(&me), links, Arc::clone(&members))?);
    // Before the roster is read: what changes from then on is told.
    let rosters = members.watch();

    let (told, inbox) = mpsc::channel(TOLD_MAX);
    let (scans, scan_asks) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    let worker = Worker::new(config, folder, &me, &members, clock, Outbox { told: told.clone(), scans, post })?;
    tasks.spawn(watch_folders(walker, worker.store.followed(), scan_asks, told.clone()));
    tasks.spawn(watch_roster(rosters, told.clone()));
    let mut thread = tokio::task::spawn_blocking(move || worker.work(inbox));
    let ended = tokio::select! {
        ended = &mut thread => ended,
        () = stop.asked() => {
            let _ = told.send(Told::Stop).await;
            thread.await
        }
        Some(task) = tasks.join_next() => {
            // Without it files or rosters would not be seen any more, and nobody would know.
            let _ = told.send(Told::Stop).await;
            let why = task.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
            thread.await.map(|ended| ended.and(Err(RunError::TaskEnded(why))))
        }
    };
    tasks.shutdown().await;
    endpoint.close().await;
    ended.unwrap_or_else(|error| Err(RunError::Panicked(error.to_string())))
}

/// A file that is named outright must be there, be a file, and be readable.
fn check_named(globs: &Globs) -> Result<(), RunError> {
    for (_, pattern) in globs.patterns().filter(|(_, pattern)| pattern.is_plain()) {
        let path = pattern.base.clone();
        let refuse = |why: String| RunError::Unreadable { path: path.clone(), why };
        let metadata = std::fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
        if !metadata.is_file() {
            return Err(refuse("it is no regular file".into()));
        }
        File::open(&path).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(())
}

fn peers_of(roster: &Roster) -> (Vec<Buck>, Vec<NodeId>) {
    let takes = |peer: &&proto::roster::Peer| peer.standing == Standing::Member;
    let bucks = roster.with_role(Role::Buck).filter(takes);
    let bucks = bucks.map(|peer| Buck { id: peer.id, domain: peer.domain.clone().unwrap_or_default() }).collect();
    let reached = |peer: &&proto::roster::Peer| peer.address.is_some() && takes(peer);
    (bucks, roster.with_role(Role::Porter).filter(reached).map(|peer| peer.id).collect())
}

/// Walks when asked to, and tells of changes in between.
async fn watch_folders(walker: Walker, followed: Vec<Followed>, mut asks: Receiver<Vec<Closed>>, told: Sender<Told>) {
    let walker = Arc::new(walker);
    let mut followed = Some(followed);
    let watcher = Watcher::new();
    let mut watcher = watcher.inspect_err(|error| tracing::warn!(%error, "changes are found by looking")).ok();
    loop {
        let changes = async {
            match &mut watcher {
                Some(watcher) => watcher.told().await,
                None => std::future::pending().await,
            }
        };
        let changes = tokio::select! {
            biased;
            asked = asks.recv() => match asked {
                Some(closed) => Err(closed),
                None => return,
            },
            changes = changes => Ok(changes),
        };
        let sent = match changes {
            Err(closed) => walk(&walker, followed.take(), &closed, watcher.as_mut(), &told).await,
            Ok(Ok(changes)) => tell(&walker, changes, &told).await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "changes are found by looking");
                watcher = None;
                Some(())
            }
        };
        if sent.is_none() {
            return;
        }
        if let Some(watcher) = &watcher {
            watcher.pause().await;
        }
    }
}

/// Walks, watches the folders found, and walks again where a folder was new: something may have come before the
/// watch did. The first time what was followed before is looked for under other names.
async fn walk(
    walker: &Arc<Walker>,
    followed: Option<Vec<Followed>>,
    closed: &[Closed],
    mut watcher: Option<&mut Watcher>,
    told: &Sender<Told>,
) -> Option<()> {
    let mut found = walk_once(walker).await?;
    for _ in 0..2 {
        if !watcher.as_mut().is_some_and(|watcher| watcher.set_folders(&found.folders)) {
            break;
        }
        found = walk_once(walker).await?;
    }
    if let Some(followed) = followed {
        // They come first: what is in them was written first.
        let moved = moved::find(walker.globs(), &followed, &found.seen);
        found.seen.splice(0..0, moved);
    }
    let grown = moved::find_grown(walker.globs(), closed, &found.seen);
    found.seen.splice(0..0, grown);
    told.send(Told::Listing(found.seen)).await.ok()
}

async fn walk_once(walker: &Arc<Walker>) -> Option<watching::Walk> {
    let walker = Arc::clone(walker);
    tokio::task::spawn_blocking(move || walker.walk()).await.ok()
}

async fn tell(walker: &Walker, changes: Vec<watching::Told>, told: &Sender<Told>) -> Option<()> {
    for change in changes {
        let news = match change {
            watching::Told::Changed(path) => walker.look(&path).map(Told::Seen),
            watching::Told::Unsure => Some(Told::Unsure),
        };
        if let Some(news) = news {
            told.send(news).await.ok()?;
        }
    }
    Some(())
}

/// Tells of the roster, as it is and then at each change.
async fn watch_roster(mut rosters: watch::Receiver<Arc<Roster>>, told: Sender<Told>) {
    loop {
        let roster = Arc::clone(&rosters.borrow_and_update());
        if told.send(Told::Peers(roster)).await.is_err() || rosters.changed().await.is_err() {
            return;
        }
    }
}

/// What the worker reaches others by.
#[derive(Debug)]
struct Outbox {
    told: Sender<Told>,
    scans: Sender<Vec<Closed>>,
    post: Arc<Post>,
}

/// Owns the machine, the files and the spool.
struct Worker {
    machine: Machine,
    clock: Clock,
    files: OpenFiles,
    spool: SpoolFiles,
    store: Store,
    outbox: Outbox,
    letters: JoinSet<()>,
    runtime: Handle,
    boot: Vec<u8>,
    /// Files that were closed and may be written to once more, and when that was.
    closed: VecDeque<(Closed, Duration)>,
    swept_at: Option<Duration>,
    is_stopped: bool,
}

impl Worker {
    fn new(
        config: Config,
        folder: Folder,
        me: &Arc<NodeKeys>,
        members: &Members,
        clock: Clock,
        outbox: Outbox,
    ) -> Result<Self, RunError> {
        let (bucks, porters) = peers_of(&members.now());
        let keys = Arc::clone(me);
        let sign: Sign = Box::new(move |content| keys.keys.sign(Domain::RECORD, content));
        let drawn = seed()?;
        let seed = drawn.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let identity = Identity { node: me.id, seed, sign, bucks, porters };
        let store = Store::open(&folder.path(&[Part::Word("memory")]))?;
        let width = config.width;
        Ok(Self {
            machine: Machine::new(config, identity),
            clock,
            files: OpenFiles::default(),
            spool: SpoolFiles::new(folder, width),
            store,
            outbox,
            letters: JoinSet::new(),
            runtime: Handle::current(),
            boot: boot_id(),
            closed: VecDeque::new(),
            swept_at: None,
            is_stopped: false,
        })
    }

    fn work(mut self, mut inbox: Receiver<Told>) -> Result<(), RunError> {
        self.recover()?;
        while !self.is_stopped {
            match self.machine.poll_action() {
                Some(action) => self.perform(action),
                None => self.wait(&mut inbox),
            }
            for _ in 0..TOLD_AT_ONCE {
                let Ok(told) = inbox.try_recv() else { break };
                self.tell(told);
            }
            while let Some(ended) = self.letters.try_join_next() {
                ended.map_err(|error| RunError::TaskEnded(error.to_string()))?;
            }
        }
        self.letters.abort_all();
        let everything_arrived = self.machine.all_arrived();
        let Counters { lines, bytes, packets, .. } = self.machine.counters();
        tracing::info!(lines, bytes, packets, everything_arrived, "tailer stopped");
        Ok(())
    }

    /// Reads the spool and the memory, and starts the machine.
    fn recover(&mut self) -> Result<(), RunError> {
        let left = self.store.recover(&self.boot, &spool_id(self.spool.folder())?)?;
        let mut recovered = Recovered {
            clean: left.clean && left.same_spool,
            same_boot: left.same_boot && left.same_spool,
            arrived: left.arrived,
            closed: left.closed,
            skipped: 0,
        };
        let (mut records, mut bytes) = (0_u64, 0);
        for place in self.spool.places()? {
            let machine = &mut self.machine;
            recovered.skipped += self.spool.recover(&place, |at, record| {
                (records, bytes) = (records + 1, bytes + record.len());
                machine.recover_record(&place, at, record);
            })?;
        }
        tracing::info!(run = %self.machine.run(), records, bytes, skipped = recovered.skipped, "tailer started");
        self.machine.start(self.clock.now(), &recovered);
        Ok(())
    }

    /// Waits until something is told, or the machine wants to be asked again.
    fn wait(&mut self, inbox: &mut Receiver<Told>) {
        let due = self.machine.next_timeout().unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(self.clock.mono()).min(WAIT_MAX);
        if !wait.is_zero() {
            let told = self.runtime.block_on(async { tokio::time::timeout(wait, inbox.recv()).await });
            match told {
                Ok(Some(told)) => return self.tell(told),
                Ok(None) => return self.tell(Told::Stop),
                Err(_) => {}
            }
        }
        self.machine.on_timeout(self.clock.now());
    }

    fn tell(&mut self, told: Told) {
        let now = self.clock.now();
        match told {
            Told::Listing(seen) => {
                self.sweep(now, &seen);
                self.machine.on_listing(now, seen);
            }
            Told::Seen(seen) => self.machine.on_seen(now, seen),
            Told::Unsure => self.machine.on_unsure(now),
            Told::Answer(exchange, Some(answer)) => self.machine.on_answer(now, exchange, answer),
            Told::Answer(exchange, None) => self.machine.on_away(now, exchange, Away),
            Told::Peers(roster) => {
                let (bucks, porters) = peers_of(&roster);
                self.machine.on_peers(now, &bucks, &porters);
            }
            Told::Stop => self.machine.on_stop(now),
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Scan => self.scan(),
            Action::Open { file, path } => {
                let opened = self.files.open(file, &path, |identity| self.store.file(identity));
                self.machine.on_opened(self.clock.now(), file, opened);
            }
            Action::Read { file, from, bytes_max } => {
                let chunk = self.files.read(file, from, bytes_max);
                self.machine.on_chunk(self.clock.now(), file, chunk);
            }
            Action::Close { file } => self.close(file),
            Action::AppendSpool { ticket, place, bytes } => {
                let at = self.spool.append(&place, &bytes);
                self.machine.on_spooled(self.clock.now(), ticket, at);
            }
            Action::ReadSpool { ticket, place, at, length } => {
                let record = self.spool.read(&place, at, length);
                self.machine.on_spool_read(self.clock.now(), ticket, record);
            }
            Action::DeleteSpool { place } => self.delete(&place),
            Action::Put { exchange, buck, record } => self.send(exchange, buck, Letter::Record(record)),
            Action::Ask { exchange, peer, ask } => self.send(exchange, peer, Letter::Ask(ask)),
            Action::SaveMemory(mut memory) => {
                memory.clean = memory.clean && self.is_spool_synced();
                if let Err(error) = self.store.save(&memory, &self.boot) {
                    tracing::warn!(%error, "the memory was not written");
                }
            }
            Action::Warn(warning) => match warning {
                Warning::BuckLost { buck } | Warning::BuckBack { buck } => {
                    tracing::warn!(address = %self.outbox.post.address_of(buck), "{warning}");
                }
                _ => tracing::warn!("{warning}"),
            },
            Action::Stopped => self.is_stopped = true,
        }
    }

    fn scan(&mut self) {
        let now = self.clock.mono();
        self.closed.retain(|(_, at)| *at + CLOSED_KEPT > now);
        let closed = self.closed.iter().map(|(closed, _)| closed.clone()).collect();
        drop(self.outbox.scans.try_send(closed));
    }

    fn close(&mut self, file: FileNumber) {
        let Some((path, stat)) = self.files.close(file) else { return };
        self.closed.retain(|(((identity, _), _), _)| *identity != stat.identity);
        if self.closed.len() >= CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((((stat.identity, path), stat.length), self.clock.mono()));
    }

    /// Once a day what is remembered of files that are long gone is forgotten.
    fn sweep(&mut self, now: Now, seen: &[Seen]) {
        if self.swept_at.is_some_and(|at| at + SWEEP_EVERY > now.mono) {
            return;
        }
        self.swept_at = Some(now.mono);
        let there = seen.iter().map(|seen| seen.stat.identity).collect();
        match self.store.sweep(&there, now.wall) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "files that are long gone are forgotten"),
            Err(error) => tracing::warn!(%error, "the memory keeps more than it needs"),
        }
    }

    /// What an orderly stop leaves is believed after a loss of power, so it must be on the disk before.
    fn is_spool_synced(&self) -> bool {
        let synced = self.spool.sync();
        synced
            .inspect_err(|error| tracing::warn!(%error, "the spool is not on its disk; this was no clean stop"))
            .is_ok()
    }

    /// A bucket file goes only after the memory of where its streams end is on disk.
    fn delete(&mut self, place: &crate::spool::Place) {
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the memory was not written; a bucket file stays");
            return;
        }
        if let Err(error) = self.spool.delete(place) {
            tracing::warn!(%error, "a bucket file was not deleted");
        }
        if let Err(error) = self.store.forget(place) {
            tracing::warn!(%error, "the memory keeps more than it needs");
        }
    }

    fn send(&mut self, exchange: Exchange, peer: NodeId, letter: Letter) {
        let (post, told) = (Arc::clone(&self.outbox.post), self.outbox.told.clone());
        let exchanged = async move {
            let answer = post.send(exchange, peer, letter).await;
            // Who no longer listens has stopped.
            let _ = told.send(Told::Answer(exchange, answer)).await;
        };
        self.letters.spawn_on(exchanged, &self.runtime);
    }
}

/// Names this boot of the system; empty where it can't be told.
fn boot_id() -> Vec<u8> {
    std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Names the spool: drawn when there is none, so that a memory of a spool that is gone is known to be one.
fn spool_id(folder: &Folder) -> Result<Vec<u8>, RunError> {
    let parts = [Part::Word("spool"), Part::Word(".id")];
    let mut id = Vec::new();
    let read = folder.open(&parts).ok().map(|file| file.take(64).read_to_end(&mut id));
    if matches!(read, Some(Ok(length)) if length > 0) {
        return Ok(id);
    }
    let id = seed()?.to_vec();
    folder.write_whole(&parts, &id)?;
    Ok(id)
}
