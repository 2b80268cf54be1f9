//! The tailer: told what files, disks and bucks do, it says what is to be done next.
//!
//! It promises that what it asks to be sent is in the spool before, that an offset is remembered only after the
//! lines before it are in the spool, that memory stays within its caps whatever is slow or gone, and that the same
//! seed and inputs give the same actions. It sees no clock, file or socket; `action` lists what it is told and
//! what it asks for.
//!
//! After each input the machine settles: whatever has become possible is done, in one fixed order. The parts of it:
//! `starting` recovers, `watching` tells files apart, `reading` turns bytes into packets, `sending` gets them to
//! bucks, `turning` ends buckets, `stopping` ends the run.

mod losing;
mod reading;
mod sending;
mod starting;
mod stopping;
mod turning;
mod watching;

use crate::action::{Action, Away, Chunk, Opened, Recovered, Remembered, Seen, Ticket, Trouble, Warning};
use crate::clock::Clock;
use crate::config::Config;
use crate::files::{Ended, FileNumber, Files};
use crate::fill::{Fill, Filled, Sign};
use crate::flight::{Exchange, Flight, RecordNumber};
use crate::known::Knowledge;
use crate::pick::{Buck, Change, Pick};
use crate::spool::{Place, Spool};
use proto::ids::{Environment, NodeId, RunId};
use proto::message::Answer;
use proto::squeeze::Squeezer;
use proto::time::{BucketId, Now, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use starting::Starting;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use turning::Turn;

/// Appends to the spool that were asked for and not answered. One is enough where the disk is a page cache.
const WRITING_MAX: usize = 4;

/// Who the tailer is and whom it talks to.
pub struct Identity {
    pub node: NodeId,
    /// Everything random comes from it; never the same twice.
    pub seed: u64,
    pub sign: Sign,
    pub bucks: Vec<Buck>,
    pub porters: Vec<NodeId>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node)
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub lines: u64,
    pub bytes: u64,
    pub packets: u64,
    pub packet_bytes: u64,
    pub arrived: u64,
    pub holes: u64,
    pub lost_bytes: u64,
    pub missed_files: u64,
    pub restarts: u64,
    pub hedges: u64,
    /// Records that lie in the spool and not yet on enough bucks, at one time or another, for want of a buck.
    pub stranded: u64,
    /// Records that no buck allowed, at one time or another.
    pub parked: u64,
}

#[derive(Debug)]
enum Stage {
    New,
    Starting(Starting),
    Running,
    Stopping { by: Duration },
    Stopped,
}

/// A record on its way into the spool.
#[derive(Debug)]
struct Writing {
    ticket: Ticket,
    place: Place,
    what: Written,
    bytes: Arc<[u8]>,
}

#[derive(Debug)]
enum Written {
    Packet(Box<Filled>),
    Closing,
}

/// What a question was about.
#[derive(Debug)]
enum Asked {
    Beat(NodeId),
    Known(NodeId),
    Receipts,
}

/// When things that are done from time to time are due.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    scan: Duration,
    /// Files that are waited for are looked at.
    look: Duration,
    beat: Duration,
    receipts: Duration,
    save: Duration,
    prune: Duration,
    /// Records that found no buck are tried again.
    waiting: Duration,
    /// Records that no buck allowed are tried again.
    parked: Duration,
    /// The spool is written to again after trouble.
    append: Duration,
}

pub struct Machine {
    config: Config,
    node: NodeId,
    run: RunId,
    sign: Sign,
    squeezer: Squeezer<'static>,
    stage: Stage,
    clock: Clock,
    files: Files,
    /// Lives that ended, of which a copy may turn up.
    ended: Vec<Ended>,
    fills: BTreeMap<Environment, Fill>,
    writing: VecDeque<Writing>,
    /// The disk said no; the front of `writing` is asked again when it is due.
    spool_trouble: Option<Trouble>,
    spool: Spool,
    spool_full: bool,
    /// One record is being read from the spool.
    unspooling: Option<(Ticket, RecordNumber)>,
    flight: Flight,
    pick: Pick,
    porters: Vec<NodeId>,
    knowledge: Knowledge,
    /// Nothing the disk was told was lost since the last run: its memory and spool say how far it read.
    sure: bool,
    /// The memory was told of every file there was when the first listing came.
    settled: bool,
    settled_said: bool,
    listed: bool,
    turns: BTreeMap<Environment, Turn>,
    /// Buckets that are over and whose closing is still to be written.
    closings: VecDeque<Place>,
    /// Closings of buckets without packets: not in the spool, and only the last of each environment counts.
    idle_closings: BTreeMap<RecordNumber, (Environment, BucketId, Arc<[u8]>)>,
    /// Records of idle closings that found no buck, and when they are tried again.
    idle_waiting: BTreeMap<RecordNumber, Duration>,
    /// Reasons of bucks that were said since the bucket turned.
    said: BTreeSet<String>,
    asked: BTreeMap<Exchange, Asked>,
    due: Due,
    /// When it was last told anything.
    latest: Now,
    scanning: bool,
    reads: usize,
    /// Files whose memory is out of date.
    changed: BTreeSet<FileNumber>,
    /// What is remembered of files that are let go.
    let_go: Vec<(crate::follow::Identity, Remembered)>,
    closed_changed: bool,
    last_arrival: Duration,
    next_ticket: u64,
    rng: StdRng,
    actions: VecDeque<Action>,
    counters: Counters,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({} run {} {:?})", self.node, self.run, self.stage)
    }
}

impl Machine {
    #[must_use]
    pub fn new(config: Config, me: Identity) -> Self {
        let mut rng = StdRng::seed_from_u64(me.seed);
        let run = RunId(rng.random());
        let pick = Pick::new(&me.bucks, StdRng::seed_from_u64(rng.random()));
        Self {
            squeezer: Squeezer::new(config.zstd_level),
            config,
            node: me.node,
            run,
            sign: me.sign,
            stage: Stage::New,
            clock: Clock::default(),
            files: Files::default(),
            ended: Vec::new(),
            fills: BTreeMap::new(),
            writing: VecDeque::new(),
            spool_trouble: None,
            spool: Spool::default(),
            spool_full: false,
            unspooling: None,
            flight: Flight::default(),
            pick,
            porters: me.porters,
            knowledge: Knowledge::default(),
            sure: false,
            settled: false,
            settled_said: false,
            listed: false,
            turns: BTreeMap::new(),
            closings: VecDeque::new(),
            idle_closings: BTreeMap::new(),
            idle_waiting: BTreeMap::new(),
            said: BTreeSet::new(),
            asked: BTreeMap::new(),
            due: Due::default(),
            latest: Now { mono: Duration::ZERO, wall: Timestamp::default() },
            scanning: false,
            reads: 0,
            changed: BTreeSet::new(),
            let_go: Vec::new(),
            closed_changed: false,
            last_arrival: Duration::ZERO,
            next_ticket: 0,
            rng,
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopped)
    }

    /// Nothing that was read is on its way any more: every record is on enough bucks.
    #[must_use]
    pub fn all_arrived(&self) -> bool {
        self.writing.is_empty()
            && self.spool.all_arrived()
            && self.fills.values().all(|fill| fill.began().is_none())
            && self.flight.is_empty()
    }

    /// Every file is read to its end, as far as was seen, and none waits to be known.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        matches!(self.stage, Stage::Running) && !self.scanning && self.files.iter().all(|(_, file)| file.is_drained())
    }

    /// One record of the spool, found at the start; before [`Self::start`], in the order they lie in.
    pub fn recover_record(&mut self, place: &Place, at: u64, record: &[u8]) {
        self.recover_one(place, at, record);
    }

    /// Everything the disk holds was told: the run begins.
    pub fn start(&mut self, now: Now, recovered: &Recovered) {
        self.begin(now, recovered);
        self.settle(now);
    }

    /// The roster names other bucks or porters.
    pub fn on_peers(&mut self, now: Now, bucks: &[Buck], porters: &[NodeId]) {
        self.pick.set_bucks(bucks);
        self.porters = porters.to_vec();
        self.clock.keep(&self.pick.ids());
        self.unpark_all(now);
        self.settle(now);
    }

    /// Every file the globs name, in answer to [`Action::Scan`].
    pub fn on_listing(&mut self, now: Now, seen: Vec<Seen>) {
        self.list(now, seen);
        self.settle(now);
    }

    /// One file was written to, made or renamed.
    pub fn on_seen(&mut self, now: Now, seen: Seen) {
        if matches!(self.stage, Stage::Running) {
            self.see(now, seen);
            self.settle(now);
        }
    }

    /// Something was told of that can't be named: look at everything soon.
    pub fn on_unsure(&mut self, now: Now) {
        self.due.scan = self.due.scan.min(now.mono);
        self.settle(now);
    }

    pub fn on_opened(&mut self, now: Now, file: FileNumber, opened: Result<Opened, Trouble>) {
        match opened {
            Ok(opened) => self.opened(now, file, opened),
            Err(trouble) => self.not_opened(now, file, trouble),
        }
        self.settle(now);
    }

    pub fn on_chunk(&mut self, now: Now, file: FileNumber, chunk: Result<Chunk<'_>, Trouble>) {
        self.reads = self.reads.saturating_sub(1);
        match chunk {
            Ok(chunk) => self.chunk(now, file, chunk),
            Err(trouble) => self.not_read(now, file, trouble),
        }
        self.settle(now);
    }

    /// Where the record begins in its bucket file. After trouble nothing of it may be believed to be there.
    pub fn on_spooled(&mut self, now: Now, ticket: Ticket, at: Result<u64, Trouble>) {
        self.spooled(now, ticket, at);
        self.settle(now);
    }

    pub fn on_spool_read(&mut self, now: Now, ticket: Ticket, record: Result<Vec<u8>, Trouble>) {
        self.unspooled(now, ticket, record);
        self.settle(now);
    }

    pub fn on_answer(&mut self, now: Now, exchange: Exchange, answer: Answer) {
        self.answered(now, exchange, answer);
        self.settle(now);
    }

    /// No answer will come to this question.
    pub fn on_away(&mut self, now: Now, exchange: Exchange, _away: Away) {
        self.unanswered(now, exchange);
        self.settle(now);
    }

    /// Stop in an orderly way: nothing more is read, what was read is sent, for at most five seconds.
    pub fn on_stop(&mut self, now: Now) {
        self.stop(now);
        self.settle(now);
    }

    pub fn on_timeout(&mut self, now: Now) {
        self.settle(now);
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Does whatever has become possible or due.
    fn settle(&mut self, now: Now) {
        self.latest = now;
        match self.stage {
            Stage::New | Stage::Stopped => return,
            Stage::Starting(_) => self.settle_start(now),
            Stage::Running | Stage::Stopping { .. } => {}
        }
        self.settle_flight(now);
        if matches!(self.stage, Stage::Running) {
            self.settle_turns(now);
            self.settle_files(now);
            self.settle_reads(now);
        }
        self.settle_fills(now);
        self.settle_closings(now);
        self.settle_spool(now);
        self.settle_waiting(now);
        self.settle_talk(now);
        self.settle_memory(now);
        self.settle_stop(now);
        self.settle_news();
    }

    /// Who stops with the rest of a cluster has no news of it.
    fn settle_news(&mut self) {
        for (buck, change) in self.pick.take_changes() {
            match (&self.stage, change) {
                (Stage::Stopping { .. } | Stage::Stopped, _) => {}
                (_, Change::Lost) => self.warn(Warning::BuckLost { buck }),
                (_, Change::Back) => self.warn(Warning::BuckBack { buck }),
            }
        }
    }

    /// When [`Self::on_timeout`] is wanted, if nothing else comes before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let stage = match &self.stage {
            Stage::New | Stage::Stopped => return None,
            Stage::Starting(starting) => Some(starting.next_timeout()),
            Stage::Running => None,
            Stage::Stopping { by } => Some(*by),
        };
        let times = [
            stage,
            self.flight.next_timeout(),
            self.files_due(),
            self.fills_due(),
            self.turns_due(),
            self.talk_due(),
            self.memory_due(),
            self.spool_trouble.map(|_| self.due.append),
            self.waiting_due(),
        ];
        times.into_iter().flatten().min()
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn warn(&mut self, warning: Warning) {
        self.act(Action::Warn(warning));
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn any_buck_healthy(&self, now: Now) -> bool {
        self.pick.next_healthy(&[]).is_some_and(|at| at <= now.mono)
    }
}
