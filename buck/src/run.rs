//! The buck as a program: one task owns the machine; threads write, read and look into packets; tasks talk.
//!
//! The loop reads: wait for whatever comes first, tell the machine, perform what it asks for. It waits for no disk
//! and no peer: everything it gives away goes into a queue that the machine's own caps bound.
//!
//! It stops in this order: nobody new is let in and nothing more is taken; what was taken is synced and answered,
//! for at most [`DRAIN_MAX`]; the threads end and are joined; the connections are closed.

use crate::action::Action;
use crate::config::{Config, ConfigError};
use crate::files::{FileKey, FilesError, open_disk};
use crate::filter::Filter;
use crate::follow::{Follower, Told as FollowTold, follower};
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::place::{DiskId, ExchangeId, Ticket};
use crate::reader::{Folders, Reader, run_job};
use crate::recover::recover;
use crate::serve::{Server, Told as Asked, serve};
use crate::writer::{Done, Work, Writer};
use proto::codec::{decode_answer, encode_ask};
use proto::ids::{NodeId, PacketId};
use proto::io::clock::{Clock, NoRandomness, seed};
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, LinkError};
use proto::io::stop::Token;
use proto::message::{Answer, Ask, Receipt};
use proto::roster::Role;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc as threads;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// What disks, jobs and porters have to say; senders wait when it is full.
const EVENTS_MAX: usize = 4096;

/// Questions not yet taken by the loop; the network waits when it is full.
const ASKED_MAX: usize = 1024;

/// Taken from one queue before the others are looked at.
const AT_ONCE: usize = 64;

/// How long a stop waits for syncs.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long a porter may take to say what it has receipts of, and how long one that does not is let rest.
const RECEIPTS_WITHIN: Duration = Duration::from_secs(10);
const PORTER_RESTS: Duration = Duration::from_secs(5);

/// Questions to porters at a time; the machine asks again what is left out.
const RECEIPT_ASKS_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the buck's settings make no sense: {0}")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the socket's own address can't be asked for: {0}")]
    Address(std::io::Error),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
    #[error("a part of the buck ended by a mistake of its own: {0}")]
    Panicked(String),
}

/// Runs until it is told to stop. `bound` is told where it listens once everything on its disks was read.
pub async fn run(
    config: Config,
    me: Arc<NodeKeys>,
    members: Arc<Members>,
    clock: Clock,
    mut stop: Token,
    bound: oneshot::Sender<SocketAddr>,
) -> Result<(), RunError> {
    config.validate()?;
    let roster = members.now();
    let setting_up = config.clone();
    let made = tokio::task::spawn_blocking(move || set_up(&setting_up, roster, clock)).await;
    let (machine, disks, ledger) = made.map_err(|error| RunError::Panicked(error.to_string()))??;

    let (endpoint, arrivals) = Endpoint::listen(config.listen, &me.keys, Arc::clone(&members), clock)?;
    let endpoint = Arc::new(endpoint);
    let address = endpoint.local_address().map_err(RunError::Address)?;
    let links = Arc::new(Links::new(Arc::clone(&endpoint), Arc::clone(&members), clock));

    let (asked, asks) = mpsc::channel(ASKED_MAX);
    let mut parts = Parts::start(&config, clock, disks, ledger)?;
    let server =
        Server { me, clock, told: asked, follower: parts.follower.clone(), next_exchange: Arc::new(AtomicU64::new(1)) };
    let mut network = JoinSet::new();
    network.spawn(serve(server, arrivals));

    info!(%address, disks = config.disks.len(), "the buck is up");
    // Whoever started us may not care where we are.
    let _ = bound.send(address);
    let mut worker = Worker { machine, clock, links, members, waiters: BTreeMap::new(), parts: &mut parts };
    let ended = worker.work(asks, &mut stop).await;
    network.shutdown().await;
    drop(worker);
    let joined = parts.join().await;
    endpoint.close().await;
    info!("the buck has stopped");
    ended.and(joined)
}

/// A disk, and the files found on it.
type Disks = (Folders, Vec<Vec<FileKey>>);

/// Takes the disks and reads all that is on them.
fn set_up(
    config: &Config,
    roster: Arc<proto::roster::Roster>,
    clock: Clock,
) -> Result<(Machine, Disks, Ledger), RunError> {
    let seed = seed()?;
    let seed = seed.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let folders = config.disks.iter().map(|path| open_disk(path, config.rules.width));
    let folders: Folders = Arc::new(folders.collect::<Result<_, _>>()?);
    let count = u16::try_from(folders.len()).expect("validated: few disks");
    let mut machine = Machine::new(config.rules.clone(), roster, count, seed);
    let mut found = Vec::new();
    for (disk, folder) in (0..count).map(DiskId).zip(folders.iter()) {
        found.push(recover(&mut machine, clock.now(), disk, folder)?);
    }
    let first = folders.first().expect("validated: at least one disk");
    let ledger = Ledger::open(&first.path(&[proto::io::dir::Part::Word("ledger")]));
    for (key, receipts, since) in ledger.all() {
        machine.on_remembered(clock.now(), &key.0, key.1, receipts, since);
    }
    Ok((machine, (folders, found), ledger))
}

/// What threads and jobs tell the loop.
enum Event {
    JobDone { exchange: ExchangeId, filters: Vec<(PacketId, Filter)> },
    Receipts(Vec<Receipt>),
}

/// The threads and tasks around the loop, and the ways to and from them.
struct Parts {
    folders: Folders,
    writers: Vec<threads::Sender<Work>>,
    follower: Follower,
    ledger: threads::Sender<(FileKey, Vec<Receipt>, Option<proto::time::Timestamp>)>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
    tasks: JoinSet<()>,
    receipt_asks: Arc<tokio::sync::Semaphore>,
    events: mpsc::Sender<Event>,
    from_disks: mpsc::Receiver<(DiskId, Done)>,
    from_parts: mpsc::Receiver<Event>,
    filters: mpsc::Receiver<(PacketId, Filter)>,
    clock: Clock,
}

impl Parts {
    fn start(config: &Config, clock: Clock, (folders, found): Disks, ledger: Ledger) -> Result<Self, RunError> {
        let (done, from_disks) = mpsc::channel(EVENTS_MAX);
        let (events, from_parts) = mpsc::channel(EVENTS_MAX);
        let (made, filters) = mpsc::channel(EVENTS_MAX);
        let (follower, following) = follower(clock, made);
        let mut started = vec![thread("live tails", move || following.work())?];
        let mut writers = Vec::new();
        for (number, found) in (0u16..).zip(found) {
            let (work, asked) = threads::channel();
            let writer = Writer::new(DiskId(number), Arc::clone(&folders), config.rules.width, found, done.clone());
            started.push(thread("disk", move || writer.work(&asked))?);
            writers.push(work);
        }
        let (remember, remembered) = threads::channel();
        started.push(thread("ledger", move || keep_ledger(&ledger, &remembered))?);
        Ok(Self {
            folders,
            writers,
            follower,
            ledger: remember,
            threads: started,
            tasks: JoinSet::new(),
            receipt_asks: Arc::new(tokio::sync::Semaphore::new(RECEIPT_ASKS_MAX)),
            events,
            from_disks,
            from_parts,
            filters,
            clock,
        })
    }

    /// None of them ends before it is told to: one that did has left live tails silent, or a disk without a hand.
    fn check_threads(&self) -> Result<(), RunError> {
        let ended = self.threads.iter().find(|(_, thread)| thread.is_finished());
        ended.map_or(Ok(()), |(name, _)| Err(RunError::Panicked((*name).to_owned())))
    }

    /// Lets go of everything the threads listen to, and waits for them.
    async fn join(self) -> Result<(), RunError> {
        let Self { writers, follower, ledger, threads, mut tasks, from_disks, from_parts, .. } = self;
        drop((writers, follower, ledger, from_disks, from_parts));
        tasks.shutdown().await;
        let joined = tokio::task::spawn_blocking(move || {
            let ended = threads.into_iter().map(|(name, thread)| thread.join().map_err(|_| name));
            ended.filter_map(Result::err).next()
        });
        match joined.await {
            Ok(None) => Ok(()),
            Ok(Some(name)) => Err(RunError::Panicked(name.to_owned())),
            Err(error) => Err(RunError::Panicked(error.to_string())),
        }
    }
}

fn thread(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(&'static str, JoinHandle<()>), RunError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(|handle| (name, handle)).map_err(RunError::Thread)
}

/// On a thread of its own, because sled may wait for its disk.
fn keep_ledger(ledger: &Ledger, told: &threads::Receiver<(FileKey, Vec<Receipt>, Option<proto::time::Timestamp>)>) {
    for (key, receipts, since) in told {
        if receipts.is_empty() { ledger.forget(&key) } else { ledger.remember(&key, receipts, since) }
    }
}

/// The loop and what it owns.
struct Worker<'a> {
    machine: Machine,
    clock: Clock,
    links: Arc<Links>,
    members: Arc<Members>,
    /// Where answers go.
    waiters: BTreeMap<ExchangeId, mpsc::Sender<Answer>>,
    parts: &'a mut Parts,
}

impl Worker<'_> {
    async fn work(&mut self, mut asks: mpsc::Receiver<Asked>, stop: &mut Token) -> Result<(), RunError> {
        let mut roster = self.members.watch();
        // It may have changed while the disks were read.
        self.machine.on_roster(self.members.now());
        self.machine.start(self.clock.now());
        self.perform()?;
        let mut drained = None;
        loop {
            let wake = self.wake(drained);
            tokio::select! {
                biased;
                () = stop.asked(), if drained.is_none() => {
                    // Nothing more is taken; what was taken is finished.
                    asks.close();
                    drained = Some(self.clock.mono() + DRAIN_MAX);
                }
                Some((disk, done)) = self.parts.from_disks.recv() => self.take_done(disk, done),
                Some(event) = self.parts.from_parts.recv() => self.take_event(event),
                Some((id, filter)) = self.parts.filters.recv() => self.machine.on_filter(&id, filter),
                Some(()) = join_one(&mut self.parts.tasks) => {}
                Ok(()) = roster.changed() => self.machine.on_roster(self.members.now()),
                Some(asked) = asks.recv(), if drained.is_none() => self.take_asked(asked, &mut asks),
                () = tokio::time::sleep(wake) => self.machine.on_timeout(self.clock.now()),
            }
            self.perform()?;
            self.parts.check_threads()?;
            if drained.is_some_and(|until| self.machine.unsynced() == 0 || self.clock.mono() >= until) {
                return Ok(());
            }
        }
    }

    fn wake(&self, drained: Option<Duration>) -> Duration {
        let due = [self.machine.next_timeout(), drained].into_iter().flatten().min();
        due.map_or(DRAIN_MAX, |due| due.saturating_sub(self.clock.mono()))
    }

    fn take_done(&mut self, disk: DiskId, done: Done) {
        self.tell_done(disk, done);
        for _ in 0..AT_ONCE {
            let Ok((disk, done)) = self.parts.from_disks.try_recv() else { break };
            self.tell_done(disk, done);
        }
    }

    fn tell_done(&mut self, disk: DiskId, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Appended { ticket, at } => self.machine.on_appended(now, disk, ticket, at),
            Done::Full { ticket } => self.machine.on_disk_full(now, disk, ticket),
            Done::Synced { ticket } => self.machine.on_synced(now, disk, ticket),
            Done::Failed { why } => self.machine.on_disk_failed(now, disk, why),
            Done::Room { free_bytes } => self.machine.on_room(disk, free_bytes),
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::JobDone { exchange, filters } => self.machine.on_job_done(exchange, filters),
            Event::Receipts(receipts) => self.machine.on_receipts(self.clock.now(), receipts),
        }
    }

    fn take_asked(&mut self, asked: Asked, asks: &mut mpsc::Receiver<Asked>) {
        self.tell_asked(asked);
        for _ in 0..AT_ONCE {
            let Ok(asked) = asks.try_recv() else { break };
            self.tell_asked(asked);
        }
    }

    fn tell_asked(&mut self, asked: Asked) {
        let now = self.clock.now();
        match asked {
            Asked::Put { exchange, peer, record, out } => {
                self.waiters.insert(exchange, out);
                self.machine.on_put(now, exchange, peer, record);
            }
            Asked::Ask { exchange, peer, ask, out } => {
                self.waiters.insert(exchange, out);
                self.machine.on_ask(now, exchange, peer, ask);
            }
            Asked::Gone { exchange } => {
                self.waiters.remove(&exchange);
                self.machine.on_gone(exchange);
            }
        }
    }

    fn perform(&mut self) -> Result<(), RunError> {
        while let Some(action) = self.machine.poll_action() {
            self.act(action)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), RunError> {
        match action {
            Action::Append { disk, environment, bucket, bytes, ticket } => {
                self.write(disk, Work::Append { key: (environment, bucket), bytes, ticket })?;
            }
            Action::Sync { disk, ticket } => self.sync(disk, ticket)?,
            Action::Delete { disk, environment, bucket } => {
                self.write(disk, Work::Delete { key: (environment, bucket) })?;
            }
            Action::Answer { exchange, answer } => {
                if let Some(out) = self.waiters.remove(&exchange) {
                    // Fails when the asker is gone.
                    drop(out.try_send(answer));
                }
            }
            Action::Run { exchange, job } => self.run_job(exchange, job),
            Action::Subscribe { exchange, query, environments } => {
                if let Some(out) = self.waiters.remove(&exchange) {
                    self.parts.follower.tell(FollowTold::Subscribe { exchange, query, environments, out });
                }
            }
            Action::Unsubscribe { exchange } => self.parts.follower.tell(FollowTold::Unsubscribe { exchange }),
            Action::Publish { id, events, bytes } => self.parts.follower.publish(id, events, bytes),
            Action::AskReceipts { buckets } => self.ask_receipts(buckets),
            Action::Remember { environment, bucket, receipts, since } => {
                // Fails only when that thread has ended; it is missed when it is joined.
                let _ = self.parts.ledger.send(((environment, bucket), receipts, since));
            }
        }
        Ok(())
    }

    fn sync(&mut self, disk: DiskId, ticket: Ticket) -> Result<(), RunError> {
        self.write(disk, Work::Sync { ticket })
    }

    /// What waits there is bounded by the machine: it takes no more than it may hold unsynced.
    fn write(&mut self, disk: DiskId, work: Work) -> Result<(), RunError> {
        let writer = self.parts.writers.get(usize::from(disk.0));
        let sent = writer.is_some_and(|writer| writer.send(work).is_ok());
        if sent { Ok(()) } else { Err(RunError::Panicked(disk.to_string())) }
    }

    fn run_job(&mut self, exchange: ExchangeId, job: crate::job::Job) {
        let Some(out) = self.waiters.remove(&exchange) else {
            return self.machine.on_job_done(exchange, Vec::new());
        };
        let (reader, events, clock) =
            (Reader::new(Arc::clone(&self.parts.folders)), self.parts.events.clone(), self.parts.clock);
        self.parts.tasks.spawn_blocking(move || {
            let mut place = JobPlace { exchange, filters: Vec::new(), events };
            let job = run_job(job, reader, &out, clock);
            drop(out);
            place.filters = job.filters();
        });
    }

    /// Of any porter: what one knows they all know, from the same shelf.
    fn ask_receipts(&mut self, buckets: Vec<(proto::ids::Environment, proto::time::BucketId)>) {
        let Ok(permit) = Arc::clone(&self.parts.receipt_asks).try_acquire_owned() else { return };
        let porters: Vec<NodeId> = self.members.now().with_role(Role::Porter).map(|peer| peer.id).collect();
        let (links, events) = (Arc::clone(&self.links), self.parts.events.clone());
        self.parts.tasks.spawn(async move {
            let _permit = permit;
            let Ok(question) = encode_ask(&Ask::Receipts { buckets }) else { return };
            for porter in porters {
                match ask_one(&links, porter, question.clone()).await {
                    Some(receipts) => return drop(events.send(Event::Receipts(receipts)).await),
                    None => links.rest(porter, PORTER_RESTS),
                }
            }
        });
    }
}

/// One of the few places for jobs. It is free again when this goes, also when the job ended by a mistake of its own.
struct JobPlace {
    exchange: ExchangeId,
    filters: Vec<(PacketId, Filter)>,
    events: mpsc::Sender<Event>,
}

impl Drop for JobPlace {
    fn drop(&mut self) {
        let done = Event::JobDone { exchange: self.exchange, filters: std::mem::take(&mut self.filters) };
        // Fails when the loop has ended.
        let _ = self.events.blocking_send(done);
    }
}

async fn ask_one(links: &Links, porter: NodeId, question: Vec<u8>) -> Option<Vec<Receipt>> {
    let answer = match links.ask(porter, question, RECEIPTS_WITHIN).await {
        Ok(answer) => answer,
        Err(error) => {
            debug!(%porter, %error, "a porter does not say what it has");
            return None;
        }
    };
    match decode_answer(&answer) {
        Ok(Answer::Receipts(receipts)) => Some(receipts),
        other => {
            warn!(%porter, ?other, "a porter answers with something else");
            None
        }
    }
}

/// The end of a task; never, when there is none. A job that panicked has lost its own exchange and nothing more.
async fn join_one(tasks: &mut JoinSet<()>) -> Option<()> {
    match tasks.join_next().await {
        Some(ended) => {
            ended.unwrap_or_else(|error| warn!(%error, "a job ended by a mistake of its own"));
            Some(())
        }
        None => std::future::pending().await,
    }
}
