//! A cluster made up for tests: bucks that hold some events, or say nothing, and tell when they are let go of.

use crate::fleet::tests::roster;
use crate::merge::Away;
use crate::nodes::{Answers, Nodes};
use futures_util::stream::{self, StreamExt};
use proto::event::{OwnedEvent, Source};
use proto::ids::{Environment, NodeId, PacketId, RunId};
use proto::io::clock::Clock;
use proto::message::{
    Answer, Ask, Catalog, ContextAsk, CountCell, Counts, End, Heard, Part, Progress, Refusal, Row, SearchAsk, Shard,
    ShardVersion, Status, Want,
};
use proto::query::{Query, TimeRange, parse};
use proto::roster::Roster;
use proto::time::{BucketId, Now, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub const PORTER: NodeId = NodeId(50);

#[derive(Clone, Debug)]
pub enum Behaviour {
    Holds(Vec<OwnedEvent>),
    Silent,
    Gone,
}

pub struct Fake {
    pub roster: Arc<Roster>,
    pub clock: Clock,
    pub behaviours: BTreeMap<NodeId, Behaviour>,
    pub let_go: Arc<Notify>,
    /// How often the porter still says that its shelf has changed.
    pub stale: AtomicUsize,
    /// The parts in which the porter tells what stands on it.
    pub shelf: Vec<Vec<Shard>>,
    /// The snapshots that searches brought.
    pub snapshots: Mutex<Vec<Vec<ShardVersion>>>,
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Fake {
    /// Two bucks, one porter that holds nothing, one tailer that is heard all the time.
    pub fn new(bucks: [Behaviour; 2]) -> Self {
        let [one, two] = bucks;
        let behaviours = [(NodeId(1), one), (NodeId(2), two), (PORTER, Behaviour::Holds(Vec::new()))];
        Self {
            roster: Arc::new(roster(2, 1)),
            clock: Clock::real(),
            behaviours: BTreeMap::from(behaviours),
            let_go: Arc::default(),
            stale: AtomicUsize::new(0),
            shelf: vec![Vec::new()],
            snapshots: Mutex::default(),
        }
    }

    fn end(&self, exhausted: bool) -> Part {
        let now = self.clock.wall();
        let heard = Heard { tailer: NodeId(100), environment: Environment::default(), at: now, filed: now };
        Part::End(End { exhausted, progress: Progress::default(), heard: vec![heard], trouble: Vec::new() })
    }

    fn answer(&self, node: NodeId, events: &[OwnedEvent], ask: Ask) -> Vec<Answer> {
        match ask {
            Ask::Catalog(_) => {
                self.shelf.iter().map(|part| Answer::Catalog(Catalog { shards: part.clone() })).collect()
            }
            Ask::Status => vec![Answer::Status(Status { version: "fake".into(), ..Status::default() })],
            Ask::Receipts { .. } => vec![Answer::Receipts(Vec::new())],
            Ask::Search(ask) => {
                self.snapshots.lock().expect("no panic").push(ask.snapshot.clone());
                self.search(node, events, &ask)
            }
            Ask::Context(ask) => self.context(events, &ask),
            Ask::Live(ask) => {
                let query = parse(&ask.query).expect("a good query");
                let events: Vec<_> = events.iter().filter(|event| query.matches(&event.borrow())).collect();
                let beat = Part::Beat { clock: self.clock.wall(), seen: events.len() as u64 };
                parts([vec![beat], rows(&events)].concat())
            }
            other => panic!("{other:?}"),
        }
    }

    fn search(&self, node: NodeId, events: &[OwnedEvent], ask: &SearchAsk) -> Vec<Answer> {
        let query: Query = parse(&ask.query).expect("a good query");
        let range = TimeRange { from: ask.from, to: ask.to };
        let fits = |event: &&OwnedEvent| range.contains(event.time) && query.matches(&event.borrow());
        let mut found: Vec<&OwnedEvent> = events.iter().filter(fits).collect();
        match ask.want {
            Want::Rows { limit } => {
                let place = |event: &OwnedEvent| event.borrow().order();
                found.sort_by(|one, other| ask.order.compare(&place(one), &place(other)));
                found.retain(|event| ask.after.is_none_or(|after| ask.order.compare(&place(event), &after).is_gt()));
                let exhausted = found.len() <= limit as usize;
                found.truncate(limit as usize);
                parts([rows(&found), vec![self.end(exhausted)]].concat())
            }
            Want::Counts { step_nanos } => {
                let step = |time: Timestamp| time.0.div_euclid(i64::try_from(step_nanos.max(1)).expect("small"));
                // Every event is a packet of its own here, and every node reports those it has.
                let count = |event: &&OwnedEvent| Counts {
                    packet: (node != PORTER).then(|| packet(event)),
                    cells: vec![CountCell { step: step(event.time), level: event.level, count: 1 }],
                };
                parts(vec![Part::Counts(found.iter().map(count).collect()), self.end(true)])
            }
        }
    }

    fn context(&self, events: &[OwnedEvent], ask: &ContextAsk) -> Vec<Answer> {
        let mut of_stream: Vec<_> = events.iter().filter(|event| event.source.stream == ask.event.stream).collect();
        of_stream.sort_by_key(|event| event.offset);
        parts([rows(&of_stream), vec![self.end(true)]].concat())
    }
}

fn packet(event: &OwnedEvent) -> PacketId {
    PacketId {
        tailer: event.source.tailer,
        environment: Environment::default(),
        bucket: BucketId(1),
        run: RunId(1),
        seq: u32::try_from(event.offset).expect("small"),
    }
}

fn parts(parts: Vec<Part>) -> Vec<Answer> {
    parts.into_iter().map(Answer::Part).collect()
}

fn rows(events: &[&OwnedEvent]) -> Vec<Part> {
    let sources: Vec<Source> = events.iter().map(|event| Source::clone(&event.source)).collect();
    let row = |(index, event): (usize, &&OwnedEvent)| Row {
        source: u32::try_from(index).expect("small"),
        offset: event.offset,
        time: event.time,
        level: event.level,
        flags: event.flags,
        file_length: event.file_length,
        line: event.line.clone(),
    };
    vec![Part::Sources(sources), Part::Rows(events.iter().enumerate().map(row).collect())]
}

impl Nodes for Fake {
    fn own(&self) -> NodeId {
        NodeId(60)
    }

    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn ask(&self, node: NodeId, ask: Ask) -> Answers {
        let is_search = node == PORTER && matches!(ask, Ask::Search(_));
        let one_less = |left: usize| left.checked_sub(1);
        if is_search && self.stale.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return stream::once(async { Ok(Answer::Refused(Refusal::Stale)) }).boxed();
        }
        let guard = Guard(Arc::clone(&self.let_go));
        let stays = matches!(ask, Ask::Live(_));
        match self.behaviours.get(&node) {
            Some(Behaviour::Holds(events)) => {
                let said = stream::iter(self.answer(node, events, ask).into_iter().map(Ok));
                if stays { said.chain(stream::pending()).boxed() } else { said.boxed() }
            }
            Some(Behaviour::Silent) => stream::once(async move {
                let _guard = guard;
                std::future::pending().await
            })
            .boxed(),
            Some(Behaviour::Gone) | None => {
                stream::once(async { Err(Away::Unreachable("no such node".into())) }).boxed()
            }
        }
    }
}
