//! The bucks a live tail follows: rows into events, who is there, who is away since when, and when to try again.

use crate::fleet;
use crate::merge::owned;
use crate::nodes::{Nodes, Wires, Word};
use proto::event::{OwnedEvent, Source};
use proto::ids::NodeId;
use proto::message::{Ask, LiveAsk, Part};
use proto::time::{Now, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A buck that follows says something each second; one that says nothing for this long is away.
const SILENCE: Duration = Duration::from_secs(4);

/// Between tries, doubling.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(15);

/// Sources one buck may name in one tail before it is asked anew.
const SOURCES_MAX: usize = 1 << 17;

/// Something to be told to the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Events(Vec<OwnedEvent>),
    /// Nothing was heard of this node since then.
    Gone {
        node: NodeId,
        since: Timestamp,
    },
    /// It is back.
    Back {
        node: NodeId,
        since: Timestamp,
        until: Timestamp,
    },
    Nothing,
}

#[derive(Debug)]
struct Lane {
    sources: Vec<Arc<Source>>,
    /// When it was last heard, or the tail began.
    heard: Now,
    is_up: bool,
    was_told_gone: bool,
    /// It is to be asked then; none while it is asked.
    retry_at: Option<Duration>,
    retry_after: Duration,
    seen: u64,
    seen_before: u64,
    left_out: u64,
    left_out_before: u64,
}

#[derive(Debug)]
pub(super) struct Followed {
    ask: LiveAsk,
    lanes: BTreeMap<NodeId, Lane>,
    wires: Wires,
}

impl Followed {
    pub(super) fn new(ask: LiveAsk) -> Self {
        Self { ask, lanes: BTreeMap::new(), wires: Wires::default() }
    }

    /// Asks every buck that is to be asked now; those that joined the cluster too.
    pub(super) fn ask_due(&mut self, nodes: &dyn Nodes) {
        let now = nodes.now();
        let bucks: Vec<NodeId> = fleet::bucks(&nodes.roster()).collect();
        self.lanes.retain(|node, _| bucks.contains(node));
        let lanes = &self.lanes;
        self.wires.retain(|node| lanes.contains_key(&node));
        for node in bucks {
            let lane = self.lanes.entry(node).or_insert_with(|| Lane::new(now));
            if lane.retry_at.is_some_and(|at| at <= now.mono) {
                lane.begin(now);
                self.wires.put(node, nodes.ask(node, Ask::Live(self.ask.clone())));
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let due = |lane: &Lane| lane.retry_at.unwrap_or(lane.heard.mono.saturating_add(SILENCE));
        self.lanes.values().map(due).min()
    }

    /// The next word of any buck. Cancel-safe.
    pub(super) async fn next(&mut self) -> (NodeId, Word) {
        self.wires.next(|_| true).await
    }

    pub(super) fn take(&mut self, now: Now, node: NodeId, word: Word) -> News {
        let Some(lane) = self.lanes.get_mut(&node) else { return News::Nothing };
        match word {
            Word::Part(part) => lane.take(now, node, part),
            Word::Refused(_) | Word::Away(_) => lane.lose(now, node),
        }
    }

    /// Sets aside one buck that was silent too long.
    pub(super) fn on_timeout(&mut self, now: Now) -> News {
        let silent = |lane: &Lane| lane.retry_at.is_none() && lane.heard.mono.saturating_add(SILENCE) <= now.mono;
        let Some((node, lane)) = self.lanes.iter_mut().find(|(_, lane)| silent(lane)) else { return News::Nothing };
        let node = *node;
        let news = lane.lose(now, node);
        self.wires.retain(|other| other != node);
        news
    }

    /// Nobody was listened to for a while, so nobody was silent.
    pub(super) fn forgive(&mut self, now: Now) {
        self.lanes.values_mut().for_each(|lane| lane.heard.mono = lane.heard.mono.max(now.mono));
    }

    /// Whether each buck has said something or is known to be away, so that nothing from here on passes unseen.
    pub(super) fn is_settled(&self) -> bool {
        self.lanes.values().all(|lane| lane.is_up || lane.was_told_gone)
    }

    /// Events looked at since this was last asked, each once: every event is on two bucks where there are two.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn seen_since(&mut self) -> f64 {
        let copies = self.lanes.len().clamp(1, 2) as f64;
        let seen: u64 = self.lanes.values_mut().map(Lane::seen_since).sum();
        seen as f64 / copies
    }

    /// Lines that bucks left out, by each buck's own count.
    pub(super) fn left_out(&self) -> u64 {
        self.lanes.values().map(|lane| lane.left_out_before + lane.left_out).sum()
    }
}

impl Lane {
    fn new(now: Now) -> Self {
        Self {
            sources: Vec::new(),
            heard: now,
            is_up: false,
            was_told_gone: false,
            retry_at: Some(now.mono),
            retry_after: RETRY_FIRST,
            seen: 0,
            seen_before: 0,
            left_out: 0,
            left_out_before: 0,
        }
    }

    fn begin(&mut self, now: Now) {
        self.sources.clear();
        self.retry_at = None;
        self.heard.mono = now.mono;
        self.seen = 0;
        self.seen_before = 0;
        self.left_out_before += std::mem::take(&mut self.left_out);
    }

    fn take(&mut self, now: Now, node: NodeId, part: Part) -> News {
        let since = self.heard.wall;
        self.heard = now;
        let was_up = std::mem::replace(&mut self.is_up, true);
        self.retry_after = RETRY_FIRST;
        let events = match part {
            Part::Rows(rows) => {
                let sources = &self.sources;
                let source = |index: u32| sources.get(usize::try_from(index).ok()?).cloned();
                rows.into_iter().filter_map(|row| source(row.source).map(|source| owned(row, source))).collect()
            }
            other => {
                self.note(other);
                Vec::new()
            }
        };
        if !was_up && std::mem::take(&mut self.was_told_gone) {
            return News::Back { node, since, until: now.wall };
        }
        if events.is_empty() { News::Nothing } else { News::Events(events) }
    }

    fn note(&mut self, part: Part) {
        match part {
            Part::Sources(sources) if self.sources.len() < SOURCES_MAX => {
                self.sources.extend(sources.into_iter().map(Arc::new));
            }
            Part::Beat { seen, .. } => self.seen = seen,
            Part::Dropped(count) => self.left_out = self.left_out.saturating_add(count),
            _ => {}
        }
    }

    fn lose(&mut self, now: Now, node: NodeId) -> News {
        self.retry_at = Some(now.mono.saturating_add(self.retry_after));
        self.retry_after = self.retry_after.saturating_mul(2).min(RETRY_LAST);
        self.is_up = false;
        if std::mem::replace(&mut self.was_told_gone, true) {
            return News::Nothing;
        }
        News::Gone { node, since: self.heard.wall }
    }

    fn seen_since(&mut self) -> u64 {
        let more = self.seen.saturating_sub(self.seen_before);
        self.seen_before = self.seen;
        more
    }
}
