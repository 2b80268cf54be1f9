//! A search written out as it goes: frames for pages and programs, bare events or bare lines for files.
//!
//! Pulled by the connection that reads it: a slow reader slows the search, and a reader that is gone ends it, all
//! the way to the nodes.

use crate::api::{ExportFormat, SearchQuestion};
use crate::config::Config;
use crate::fleet;
use crate::frames::{self, EventJson, Frame, Nanos, Why};
use crate::nodes::Nodes;
use crate::reply::Cut;
use crate::search::{Found, Search};
use crate::site::Running;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use proto::event::{Flags, OwnedEvent};
use proto::message::SearchOrder;
use proto::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Events wait this long for company, so that the first are seen at once and many travel together.
const BATCH_WAIT: Duration = Duration::from_millis(25);
const BATCH_EVENTS: usize = 200;
const BATCH_BYTES: usize = 256 << 10;

/// How often a search says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Frames,
    File(ExportFormat),
}

struct Feed {
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    running: Running,
    style: Style,
    state: State,
    batch: Vec<OwnedEvent>,
    batch_bytes: usize,
    told_at: Duration,
    settled: Option<Timestamp>,
    left_at: Duration,
}

enum State {
    New(SearchQuestion),
    Going(Box<Search>),
    Ended,
}

/// The bytes of an answer. `running` is let go of when the last of them is read, or nobody reads any more.
#[must_use]
pub fn bytes(
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: SearchQuestion,
    style: Style,
    running: Running,
) -> BoxStream<'static, Result<Bytes, Cut>> {
    let now = nodes.now().mono;
    let feed = Feed {
        nodes,
        config,
        running,
        style,
        state: State::New(question),
        batch: Vec::new(),
        batch_bytes: 0,
        told_at: now,
        settled: None,
        left_at: now,
    };
    unfold(feed, |mut feed| async move { feed.chunk().await.map(|chunk| (chunk, feed)) }).boxed()
}

impl Feed {
    /// The next bytes to send; never an empty chunk.
    async fn chunk(&mut self) -> Option<Result<Bytes, Cut>> {
        let chunk = loop {
            let mut out = Vec::new();
            match std::mem::replace(&mut self.state, State::Ended) {
                State::New(question) => self.begin(question, &mut out).await,
                State::Going(search) => match self.go_on(search, &mut out).await {
                    Ok(()) => {}
                    Err(cut) => break Some(Err(cut)),
                },
                State::Ended => break None,
            }
            if !out.is_empty() {
                break Some(Ok(Bytes::from(out)));
            }
        };
        self.left_at = self.nodes.now().mono;
        chunk
    }

    /// Says at once that the question was understood, then asks the cluster.
    async fn begin(&mut self, question: SearchQuestion, out: &mut Vec<u8>) {
        if self.style == Style::Frames {
            let range = [Nanos(question.range.from), Nanos(question.range.to)];
            let roster = self.nodes.roster();
            let nodes = fleet::bucks(&roster).count() + usize::from(fleet::porters(&roster).next().is_some());
            frames::write(out, &Frame::Start { qid: self.running.name(), range, nodes });
        }
        let search = Search::begin(Arc::clone(&self.nodes), Arc::clone(&self.config), question).await;
        self.state = State::Going(Box::new(search));
    }

    async fn go_on(&mut self, mut search: Box<Search>, out: &mut Vec<u8>) -> Result<(), Cut> {
        let pause = self.nodes.now().mono.saturating_sub(self.left_at);
        if pause > BATCH_WAIT {
            search.forgive(pause);
        }
        loop {
            let wait = if self.batch.is_empty() { PROGRESS_EVERY } else { BATCH_WAIT };
            let found = tokio::select! {
                found = search.next(wait) => found,
                () = self.running.stopped() => Found::Ended(Why::Stopped),
            };
            match found {
                Found::Event(event) => {
                    self.batch_bytes += event.line.len();
                    self.batch.push(event);
                    if self.batch.len() < BATCH_EVENTS && self.batch_bytes < BATCH_BYTES {
                        continue;
                    }
                    self.flush(&search, out);
                }
                Found::Pause => self.flush(&search, out),
                Found::Ended(why) => return self.end(&search, why, out),
            }
            self.tell(&search, out);
            self.state = State::Going(search);
            return Ok(());
        }
    }

    fn flush(&mut self, search: &Search, out: &mut Vec<u8>) {
        if self.batch.is_empty() {
            return;
        }
        self.running.sent(self.batch.len());
        match self.style {
            Style::Frames => frames::write(out, &frames::events(&self.batch)),
            Style::File(ExportFormat::Ndjson) => {
                self.batch.iter().for_each(|event| frames::write(out, &EventJson::from(event)));
            }
            Style::File(ExportFormat::Raw) => {
                let order = search.question().order;
                self.batch.iter().for_each(|event| write_line(out, event, order));
            }
        }
        self.batch.clear();
        self.batch_bytes = 0;
    }

    /// How far it is, now and then.
    fn tell(&mut self, search: &Search, out: &mut Vec<u8>) {
        let now = self.nodes.now().mono;
        if self.style != Style::Frames || now.saturating_sub(self.told_at) < PROGRESS_EVERY {
            return;
        }
        self.told_at = now;
        let progress = search.progress();
        if progress.settled.is_some() && progress.settled != self.settled {
            self.settled = progress.settled;
            // Rows at the very moment may still come, so the line is drawn next to it.
            let to = progress.settled.map(|at| beside(at, search.question().order)).unwrap_or_default();
            frames::write(out, &Frame::Settled { to: Nanos(to) });
        }
        frames::write(out, &frames::progress(&progress, &search.away()));
    }

    fn end(&mut self, search: &Search, why: Why, out: &mut Vec<u8>) -> Result<(), Cut> {
        self.flush(search, out);
        let verdict = search.verdict(why);
        let word = word(why);
        match self.style {
            Style::File(ExportFormat::Raw) if !matches!(why, Why::Complete | Why::Limit) || !verdict.is_complete() => {
                return Err(Cut(verdict.sentence));
            }
            Style::File(ExportFormat::Raw) => return Ok(()),
            Style::Frames => frames::write(out, &frames::progress(&search.progress(), &verdict.away)),
            Style::File(ExportFormat::Ndjson) => {}
        }
        let frame = Frame::End {
            why: word,
            matches: Some(search.found()),
            exact: Some(why == Why::Complete && verdict.is_complete()),
            cursor: search.cursor(why),
            missing: frames::missing(&verdict),
            complete: Some(&verdict.sentence),
        };
        frames::write(out, &frame);
        Ok(())
    }
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Complete => "complete",
        Why::Limit => "limit",
        Why::Stopped => "stopped",
        Why::Timeout => "timeout",
    }
}

fn beside(at: Timestamp, order: SearchOrder) -> Timestamp {
    Timestamp(if order == SearchOrder::Newest { at.0.saturating_add(1) } else { at.0.saturating_sub(1) })
}

/// The line's bytes and the newline it had. Pieces of one long line follow each other when read forwards.
fn write_line(out: &mut Vec<u8>, event: &OwnedEvent, order: SearchOrder) {
    out.extend_from_slice(&event.line);
    if !event.flags.has(Flags::CONTINUES) || order == SearchOrder::Newest {
        out.push(b'\n');
    }
}
