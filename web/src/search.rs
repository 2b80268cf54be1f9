//! One search over the whole cluster: the catalog of a porter, then that porter and every buck at once.
//!
//! Rows leave in exact order as `merge` lets them go. When the shelf changed so much that the snapshot can't be
//! answered any more, or the porter is gone, the search goes on behind the last row with a new snapshot, once or
//! twice. Dropping a search tells every node to stop.

use crate::api::SearchQuestion;
use crate::complete::{Question, Shelf, Verdict, judge};
use crate::config::Config;
use crate::cursor::Cursor;
use crate::fleet;
use crate::frames::Why;
use crate::merge::{Away, Fate, Merge, Step};
use crate::nodes::{Nodes, Wires, Word};
use crate::shelf;
use proto::event::{OwnedEvent, TimeOrder};
use proto::ids::NodeId;
use proto::message::{Ask, Progress, Refusal, SearchAsk, SearchOrder, ShardVersion, Want};
use proto::query::TimeRange;
use proto::roster::Roster;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Rows one node is asked for at a time. A page of the browser's takes one exchange; an export few, as each makes a
/// node look for its place anew.
const PAGE_ROWS: u64 = 10_000;

/// How often a search may begin anew behind its last row.
const RENEWALS_MAX: usize = 2;

/// What a search has to tell.
#[derive(Debug)]
pub enum Found {
    Event(OwnedEvent),
    /// Nothing within the time given.
    Pause,
    Ended(Why),
}

pub struct Search {
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: SearchQuestion,
    roster: Arc<Roster>,
    shelf: Shelf,
    snapshot: Vec<ShardVersion>,
    failed: Vec<NodeId>,
    renewals: usize,
    /// A new snapshot is to be taken before anything else.
    is_outdated: bool,
    wires: Wires,
    merge: Merge,
    found: u64,
    /// Where the last row stood.
    last: Option<TimeOrder>,
    /// When the last row was found, or the search began; moved on while the reader is slow.
    lively: Duration,
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("question", &self.question).field("found", &self.found).finish_non_exhaustive()
    }
}

impl Search {
    pub async fn begin(nodes: Arc<dyn Nodes>, config: Arc<Config>, question: SearchQuestion) -> Self {
        let after = question.cursor.as_ref().map(|cursor| cursor.after);
        let snapshot = question.cursor.as_ref().map(|cursor| cursor.snapshot.clone()).unwrap_or_default();
        let mut search = Self {
            roster: nodes.roster(),
            merge: Merge::new(question.order, after, config.limits.patience),
            lively: nodes.now().mono,
            shelf: Shelf::None,
            snapshot,
            failed: Vec::new(),
            renewals: 0,
            is_outdated: false,
            wires: Wires::default(),
            found: 0,
            last: after,
            nodes,
            config,
            question,
        };
        search.look_at_shelf().await;
        if search.snapshot.is_empty() {
            search.snapshot = search.shelf.snapshot();
        }
        search.ask_all();
        search
    }

    async fn look_at_shelf(&mut self) {
        let (limits, question) = (&self.config.limits, &self.question);
        self.shelf = shelf::look(&*self.nodes, limits, &question.environments, question.range, &self.failed).await;
    }

    fn ask_all(&mut self) {
        let nodes: Vec<NodeId> = fleet::bucks(&self.roster).chain(self.shelf.porter()).collect();
        let now = self.nodes.now().mono;
        for node in nodes {
            self.merge.add(node, now);
            self.ask(node, self.merge.after());
        }
    }

    fn ask(&mut self, node: NodeId, after: Option<TimeOrder>) {
        let rows = self.question.limit.saturating_sub(self.found).clamp(1, PAGE_ROWS);
        let ask = SearchAsk {
            query: self.question.query.clone(),
            environments: self.question.environments.clone(),
            from: self.question.range.from,
            to: self.question.range.to,
            order: self.question.order,
            want: Want::Rows { limit: u32::try_from(rows).unwrap_or(u32::MAX) },
            after,
            snapshot: self.snapshot.clone(),
        };
        self.wires.put(node, self.nodes.ask(node, Ask::Search(ask)));
    }

    /// What comes next, within this time. Cancel-safe.
    pub async fn next(&mut self, within: Duration) -> Found {
        let until = self.nodes.now().mono.saturating_add(within);
        loop {
            if self.is_outdated {
                self.renew().await;
            }
            let now = self.nodes.now().mono;
            let step = self.merge.step(now);
            if self.found >= self.question.limit {
                return Found::Ended(if step == Step::Finished { Why::Complete } else { Why::Limit });
            }
            match step {
                Step::Event(event) => return self.give(event, now),
                Step::Ask { node, after } => self.ask(node, after),
                Step::Finished => return Found::Ended(Why::Complete),
                Step::Wait if now >= self.give_up_at() => return Found::Ended(Why::Timeout),
                Step::Wait if now >= until => return Found::Pause,
                Step::Wait => self.wait(now, until).await,
            }
        }
    }

    fn give(&mut self, event: OwnedEvent, now: Duration) -> Found {
        self.found += 1;
        self.lively = now;
        self.last = self.merge.after();
        Found::Event(event)
    }

    fn give_up_at(&self) -> Duration {
        self.lively.saturating_add(self.config.limits.deadline)
    }

    async fn wait(&mut self, now: Duration, until: Duration) {
        let wake = [Some(until), self.merge.next_timeout(), Some(self.give_up_at())].into_iter().flatten().min();
        let wait = wake.unwrap_or(until).saturating_sub(now);
        let merge = &self.merge;
        match tokio::time::timeout(wait, self.wires.next(|node| merge.is_hungry(node))).await {
            Ok((node, word)) => self.take(node, word),
            Err(_) => self.merge.on_timeout(self.nodes.now().mono),
        }
        let merge = &self.merge;
        self.wires.retain(|node| merge.is_asked(node));
    }

    fn take(&mut self, node: NodeId, word: Word) {
        match word {
            Word::Part(part) => self.merge.on_part(self.nodes.now().mono, node, part),
            Word::Refused(refusal) => self.lose(node, Away::Refused(refusal.to_string()), refusal == Refusal::Stale),
            Word::Away(away) => self.lose(node, away, false),
        }
    }

    /// A node can't go on. For the porter there may be another, or a newer snapshot.
    fn lose(&mut self, node: NodeId, why: Away, stale: bool) {
        let is_porter = self.shelf.porter() == Some(node);
        let another = fleet::porters(&self.roster).any(|porter| porter != node && !self.failed.contains(&porter));
        if is_porter && (stale || another) && self.renewals < RENEWALS_MAX {
            if !stale {
                self.failed.push(node);
            }
            self.is_outdated = true;
        } else {
            self.merge.on_away(node, why);
        }
    }

    /// Begins anew behind the last row, from what stands on the shelf now. Cancel-safe: all is done after asking.
    async fn renew(&mut self) {
        self.look_at_shelf().await;
        self.is_outdated = false;
        self.renewals += 1;
        self.snapshot = self.shelf.snapshot();
        self.roster = self.nodes.roster();
        self.merge.restart();
        self.wires = Wires::default();
        self.ask_all();
    }

    /// The reader took this long to come back; that is nobody's silence.
    pub fn forgive(&mut self, pause: Duration) {
        self.lively = self.lively.saturating_add(pause);
        self.merge.forgive(self.nodes.now().mono);
    }

    #[must_use]
    pub fn found(&self) -> u64 {
        self.found
    }

    #[must_use]
    pub fn question(&self) -> &SearchQuestion {
        &self.question
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        self.merge.progress()
    }

    /// Names of the nodes that were set aside so far, and why.
    #[must_use]
    pub fn away(&self) -> BTreeMap<String, String> {
        let fates = self.merge.fates();
        let away = fates.iter().filter_map(|(node, fate)| match fate {
            Fate::Away { why, .. } => Some((fleet::name(&self.roster, *node), why.to_string())),
            Fate::Answered(_) | Fate::Cut { .. } => None,
        });
        away.collect()
    }

    /// How complete the answer is, as it ended.
    #[must_use]
    pub fn verdict(&self, why: Why) -> Verdict {
        let question = Question {
            roster: &self.roster,
            environments: &self.question.environments,
            range: self.covered(why),
            order: self.question.order,
            now: self.nodes.now().wall,
            width: self.config.width,
        };
        judge(&question, &self.shelf, &self.merge.fates())
    }

    /// The part of the range that the answer claims.
    #[must_use]
    pub fn covered(&self, why: Why) -> TimeRange {
        let range = self.question.range;
        let reached = match why {
            Why::Complete => return range,
            Why::Limit => self.last.map(|last| last.time),
            Why::Stopped | Why::Timeout => self.merge.settled().or(self.last.map(|last| last.time)),
        };
        match (self.question.order, reached) {
            (SearchOrder::Newest, reached) => TimeRange { from: reached.unwrap_or(range.to).max(range.from), ..range },
            (SearchOrder::Oldest, reached) => TimeRange { to: reached.unwrap_or(range.from).min(range.to), ..range },
            (SearchOrder::File, _) => range,
        }
    }

    /// Where to go on, for a search that ended before its range did.
    #[must_use]
    pub fn cursor(&self, why: Why) -> Option<String> {
        let after = self.last.filter(|_| why != Why::Complete)?;
        let question = &self.question;
        let cursor = Cursor {
            query: question.hash(),
            order: question.order,
            range: question.range,
            after,
            snapshot: self.snapshot.clone(),
        };
        Some(cursor.to_text())
    }
}
