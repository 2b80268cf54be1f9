//! What nodes share: virtual time, the network between them, the shelf, the only generator, and the ghost.

use crate::faults::{Bug, Options};
use crate::ghost::Ghost;
use crate::net::{Net, Weather};
use crate::nodes::buck::Work;
use crate::nodes::porter::Errand;
use crate::nodes::shelf::Objects;
use crate::signing::Signing;
use crate::timeline::Timeline;
use proto::ids::NodeId;
use proto::message::{Answer, Ask};
use proto::roster::Roster;
use proto::time::{BucketWidth, Now, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-21T10:00:00Z.
const START: i64 = 1_795_255_200;

/// Since when monotonic clocks run.
const BOOTED: Duration = Duration::from_secs(1000);

/// How long an asker's hand waits for an answer, and how soon it learns that nobody listens.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const REFUSED_AFTER: Duration = Duration::from_millis(5);

/// A process: a node, and how often it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub node: NodeId,
    pub run: u64,
}

/// One question on its way, by whose asking, under the asker's number.
#[derive(Clone, Debug)]
pub struct Question {
    pub from: Process,
    pub number: u64,
    pub to: NodeId,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Put(Arc<[u8]>),
    Ask(Ask),
}

#[derive(Debug)]
pub enum Event {
    /// A machine wanted to be asked again.
    Wake(Process),
    Question(Question),
    Answers {
        to: Process,
        number: u64,
        from: NodeId,
        answers: Vec<Answer>,
    },
    /// The asker's hand gives up.
    Silence {
        to: Process,
        number: u64,
    },
    Disk {
        of: Process,
        disk: usize,
        work: Work,
    },
    Shelf {
        of: Process,
        errand: Errand,
    },
    Refresh(Process),
    Start(NodeId),
    Write(NodeId),
    /// Somebody searches.
    Look,
    Fault,
    /// No porter is heard for a while; then a host is wiped, heard by nobody, and starts anew.
    Relapse,
    Wipe,
    DiskGood(NodeId),
    FineWeather,
}

#[derive(Debug)]
pub struct World {
    pub timeline: Timeline<Event>,
    pub net: Net,
    pub rng: StdRng,
    pub options: Options,
    pub signing: Signing,
    pub roster: Arc<Roster>,
    pub objects: Objects,
    pub ghost: Ghost,
    pub skews: BTreeMap<NodeId, i64>,
    /// Who is up, by the run it is in.
    pub up: BTreeMap<NodeId, u64>,
    pub trace: Trace,
    number: u64,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, options: Options, roster: Arc<Roster>, tell: bool) -> Self {
        Self {
            timeline: Timeline::default(),
            net: Net::new(Weather::CALM),
            rng: StdRng::seed_from_u64(seed ^ 0x7461_696c),
            options,
            signing: Signing::of(seed),
            roster,
            objects: Objects::default(),
            ghost: Ghost::default(),
            skews: BTreeMap::new(),
            up: BTreeMap::new(),
            trace: Trace { hash: 0xcbf2_9ce4_8422_2325, tell },
            number: 0,
        }
    }

    #[must_use]
    pub fn width(&self) -> BucketWidth {
        BucketWidth::from_seconds(self.options.width_seconds).unwrap_or_default()
    }

    #[must_use]
    pub fn has_bug(&self, bug: Bug) -> bool {
        self.options.bug == Some(bug)
    }

    /// What a node's clocks say.
    #[must_use]
    pub fn now(&self, node: NodeId) -> Now {
        let skew = self.skews.get(&node).copied().unwrap_or(0);
        let wall = self.wall();
        Now { mono: BOOTED + self.timeline.now(), wall: Timestamp(wall.0 + skew) }
    }

    /// What a clock without fault says.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        Timestamp::from_seconds(START).after(self.timeline.now())
    }

    /// When the run began.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        Timestamp::from_seconds(START)
    }

    /// When a machine that is due then is asked, on the world's time: a little later, so that time passes.
    #[must_use]
    pub fn wake_at(&self, due: Duration) -> Duration {
        due.saturating_sub(BOOTED).max(self.timeline.now() + Duration::from_micros(100))
    }

    pub fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// A question goes out; an answer or silence will come back under the number.
    pub fn ask(&mut self, from: Process, to: NodeId, what: &What) -> u64 {
        let number = self.next_number();
        let is_up = self.up.contains_key(&to);
        let wait = if is_up { ANSWER_WAIT } else { REFUSED_AFTER };
        self.timeline.plan(wait, Event::Silence { to: from, number });
        if is_up {
            for after in self.net.carry(self.timeline.now(), from.node, to, &mut self.rng) {
                let question = Question { from, number, to, what: what.clone() };
                self.timeline.plan(after, Event::Question(question));
            }
        }
        number
    }

    pub fn answer(&mut self, from: NodeId, to: Process, number: u64, answers: Vec<Answer>) {
        // An answer comes once or not at all: the asker's side of an exchange is gone after the first.
        if let Some(after) = self.net.carry(self.timeline.now(), from, to.node, &mut self.rng).into_iter().min() {
            self.timeline.plan(after, Event::Answers { to, number, from, answers });
        }
    }

    pub fn check(&mut self, rule: &'static str, holds: bool, what: impl FnOnce() -> String) {
        self.ghost.check(rule, self.timeline.now(), holds, what);
    }

    pub fn note(&mut self, node: NodeId, what: &str) {
        self.trace.line(self.timeline.now(), node, what);
    }
}

/// What happened, as a hash; and as lines when asked for.
#[derive(Debug)]
pub struct Trace {
    pub hash: u64,
    tell: bool,
}

impl Trace {
    pub fn line(&mut self, at: Duration, node: NodeId, what: &str) {
        for byte in at.as_nanos().to_le_bytes().into_iter().chain(node.0.to_le_bytes()).chain(what.bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.tell {
            #[expect(clippy::print_stdout, reason = "a trace is asked for to be seen")]
            {
                println!("{:>14.6} {:>4x} {what}", at.as_secs_f64(), node.0);
            }
        }
    }
}
