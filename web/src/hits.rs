//! A histogram over the whole cluster, refined as nodes answer.
//!
//! Each packet counts once, whoever holds it; see `counts`. What stands in the last frame is exact, or says that it
//! is not.

use crate::api::HitsQuestion;
use crate::complete::{Question, Shelf, judge};
use crate::config::Config;
use crate::counts::Tally;
use crate::fleet;
use crate::frames::{self, Frame, Hits};
use crate::merge::{Away, Fate};
use crate::nodes::{Nodes, Wires, Word, ask_one};
use crate::reply::Cut;
use crate::roll::Roll;
use crate::shelf;
use crate::site::Running;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, Part, Refusal, SearchAsk, SearchOrder, Want};
use proto::time::BucketId;
use std::sync::Arc;
use std::time::Duration;

const TELL_EVERY: Duration = Duration::from_millis(250);

/// Buckets whose receipts are asked for in one message.
const RECEIPTS_ASKED: usize = 256;

struct Counting {
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: HitsQuestion,
    running: Running,
    shelf: Option<Shelf>,
    wires: Wires,
    roll: Roll,
    tally: Tally,
    began: Duration,
    renewed: bool,
    ended: bool,
}

/// The frames of a histogram.
#[must_use]
pub fn bytes(
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: HitsQuestion,
    running: Running,
) -> BoxStream<'static, Result<Bytes, Cut>> {
    let counting = Counting {
        began: nodes.now().mono,
        roll: Roll::new(config.limits.patience),
        nodes,
        config,
        question,
        running,
        shelf: None,
        wires: Wires::default(),
        tally: Tally::default(),
        renewed: false,
        ended: false,
    };
    unfold(counting, |mut counting| async move { counting.chunk().await.map(|chunk| (Ok(chunk), counting)) }).boxed()
}

impl Counting {
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if self.shelf.is_none() {
            self.begin().await;
        }
        let tell_at = self.nodes.now().mono.saturating_add(TELL_EVERY);
        let why = self.go_on_until(tell_at).await;
        let (cells, exact) = self.tally.total();
        let hits = Hits::new(&self.question.bars, &cells, exact);
        let mut out = Vec::new();
        match why {
            None => frames::write(&mut out, &Frame::Hits(hits)),
            Some(why) => self.write_last(hits, why, &mut out),
        }
        Some(Bytes::from(out))
    }

    async fn begin(&mut self) {
        let (limits, question) = (&self.config.limits, &self.question);
        let shelf = shelf::look(&*self.nodes, limits, &question.environments, question.range, &[]).await;
        let snapshot = shelf.snapshot();
        self.tally = Tally::new(&snapshot);
        self.roll = Roll::new(limits.patience);
        self.wires = Wires::default();
        let ask = SearchAsk {
            query: question.query.clone(),
            environments: question.environments.clone(),
            from: question.range.from,
            to: question.range.to,
            order: SearchOrder::Oldest,
            want: Want::Counts { step_nanos: question.bars.step_nanos },
            after: None,
            snapshot,
        };
        let roster = self.nodes.roster();
        for node in fleet::bucks(&roster).chain(shelf.porter()) {
            self.roll.asked(node, self.nodes.now().mono);
            self.wires.put(node, self.nodes.ask(node, Ask::Search(ask.clone())));
        }
        self.shelf = Some(shelf);
    }

    /// Takes what comes until then; says why when there is nothing more to come.
    async fn go_on_until(&mut self, tell_at: Duration) -> Option<&'static str> {
        loop {
            let now = self.nodes.now().mono;
            let give_up_at = self.began.saturating_add(self.config.limits.deadline);
            if self.roll.is_done() {
                return Some("complete");
            }
            if now >= give_up_at {
                return Some("timeout");
            }
            if now >= tell_at {
                return None;
            }
            let wake = [Some(tell_at), Some(give_up_at), self.roll.next_timeout()].into_iter().flatten().min();
            let wait = wake.unwrap_or(tell_at).saturating_sub(now);
            tokio::select! {
                (node, word) = self.wires.next(|_| true) => self.take(node, word).await,
                () = tokio::time::sleep(wait) => self.roll.on_timeout(self.nodes.now().mono),
                () = self.running.stopped() => return Some("stopped"),
            }
            let roll = &self.roll;
            self.wires.retain(|node| roll.is_waiting_for(node));
        }
    }

    async fn take(&mut self, node: NodeId, word: Word) {
        let is_shelf = self.porter() == Some(node);
        self.roll.on_word(node, self.nodes.now().mono);
        match word {
            Word::Part(Part::Counts(counts)) if is_shelf => self.tally.on_shelf(counts),
            Word::Part(Part::Counts(counts)) => {
                self.tally.on_buck(counts);
                self.fetch_receipts().await;
            }
            Word::Part(Part::End(end)) => {
                if !end.exhausted {
                    self.tally.is_short();
                }
                self.roll.on_end(node, end);
            }
            Word::Part(Part::Progress(_) | Part::Sources(_)) => {}
            Word::Part(_) => self.lose(node, Away::Nonsense("a part that is no part of a count")),
            Word::Refused(Refusal::Stale) if is_shelf && !self.renewed => {
                self.renewed = true;
                self.begin().await;
            }
            Word::Refused(refusal) => self.lose(node, Away::Refused(refusal.to_string())),
            Word::Away(away) => self.lose(node, away),
        }
    }

    fn lose(&mut self, node: NodeId, why: Away) {
        if self.porter() == Some(node) {
            self.tally.is_short();
        }
        self.roll.on_away(node, why);
    }

    fn porter(&self) -> Option<NodeId> {
        self.shelf.as_ref().and_then(Shelf::porter)
    }

    /// Asks which of the packets that bucks counted are on the shelf already.
    async fn fetch_receipts(&mut self) {
        let Some(porter) = self.porter() else { return };
        // What an answer was too short for is wanted once more; each answer settles one bucket or more.
        loop {
            let wanted = self.tally.wanted_receipts();
            if wanted.is_empty() {
                return;
            }
            for buckets in wanted.chunks(RECEIPTS_ASKED) {
                self.fetch_some(porter, buckets).await;
            }
        }
    }

    async fn fetch_some(&mut self, porter: NodeId, buckets: &[(Environment, BucketId)]) {
        let ask = Ask::Receipts { buckets: buckets.to_vec() };
        match ask_one(&*self.nodes, porter, ask, self.config.limits.catalog_patience).await {
            Ok(Answer::Receipts(receipts)) => self.tally.on_receipts(buckets, Some(&receipts)),
            Ok(_) | Err(_) => self.tally.on_receipts(buckets, None),
        }
    }

    fn write_last(&mut self, hits: Hits<'_>, why: &str, out: &mut Vec<u8>) {
        self.ended = true;
        self.wires = Wires::default();
        let roster = self.nodes.roster();
        let question = Question {
            roster: &roster,
            environments: &self.question.environments,
            range: self.question.range,
            order: SearchOrder::File,
            now: self.nodes.now().wall,
            width: self.config.width,
        };
        let mut fates = self.roll.fates().clone();
        for fate in fates.values_mut().filter(|fate| matches!(fate, Fate::Cut { .. })) {
            *fate = Fate::Away { why: Away::Silent, reached: None };
        }
        let verdict = judge(&question, self.shelf.as_ref().unwrap_or(&Shelf::None), &fates);
        frames::write(out, &Frame::Hits(hits.ended(why, &verdict)));
    }
}
