//! Frames of a live tail, as lines or as an event stream.

use super::followed::{Followed, News};
use super::past::{Past, Step, Told};
use crate::api::LiveQuestion;
use crate::config::Config;
use crate::fleet;
use crate::frames::{self, EventJson, Frame, Nanos, Rate, Why};
use crate::nodes::Nodes;
use crate::reply::Cut;
use crate::site::Running;
use crate::window::{Accounts, Window};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use proto::event::OwnedEvent;
use proto::ids::NodeId;
use proto::message::LiveAsk;
use proto::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Frames with rows are at least this far apart; a page draws sixty times a second, and reads none faster.
const FRAME_GAP: Duration = Duration::from_millis(30);
const RATE_EVERY: Duration = Duration::from_secs(1);
/// A page that hears nothing for twelve seconds asks anew.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// Going on from here after a break, nothing is missed: copies of what was seen are dropped by whoever resumes.
const OVERLAP: Duration = Duration::from_secs(2);

struct Outlet {
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: LiveQuestion,
    running: Running,
    as_events: bool,
    followed: Followed,
    past: Past,
    window: Window,
    /// Rows of the present that wait for the past.
    waiting: VecDeque<OwnedEvent>,
    rows_at: Duration,
    rate_at: Duration,
    beat_at: Duration,
    left_at: Duration,
    told: Accounts,
    dropped_told: u64,
    lag: Duration,
    out: Vec<u8>,
    ended: bool,
}

/// Rows of the present kept while the past is read; those beyond it are shown among the past's.
const WAITING_MAX: usize = 20_000;

/// The bytes of a live tail, as newline-delimited JSON or as an event stream.
#[must_use]
pub fn bytes(
    nodes: Arc<dyn Nodes>,
    config: Arc<Config>,
    question: LiveQuestion,
    running: Running,
    as_events: bool,
) -> BoxStream<'static, Result<Bytes, Cut>> {
    let now = nodes.now().mono;
    let ask = LiveAsk { query: question.query.clone(), environments: question.environments.clone() };
    let outlet = Outlet {
        followed: Followed::new(ask),
        past: Past::new(&question, &*nodes),
        window: Window::new(question.rows_per_second, now),
        nodes,
        config,
        question,
        running,
        as_events,
        waiting: VecDeque::new(),
        rows_at: Duration::ZERO,
        rate_at: now.saturating_add(RATE_EVERY),
        beat_at: now,
        left_at: now,
        told: Accounts::default(),
        dropped_told: 0,
        lag: Duration::ZERO,
        out: Vec::new(),
        ended: false,
    };
    let (out, chunks) = mpsc::channel(1);
    let task = Working(tokio::spawn(outlet.run(out)));
    let next = |(mut chunks, mut task): (mpsc::Receiver<Bytes>, Working)| async move {
        let chunk = chunks.recv().await;
        if chunk.is_none() {
            task.ended().await;
        }
        chunk.map(|chunk| (Ok(chunk), (chunks, task)))
    };
    unfold((chunks, task), next).boxed()
}

/// The task of a live tail, which works while nobody reads, so that it knows how long nobody does. It ends with
/// whoever reads.
struct Working(JoinHandle<()>);

impl Working {
    async fn ended(&mut self) {
        if let Err(why) = (&mut self.0).await
            && why.is_panic()
        {
            std::panic::resume_unwind(why.into_panic());
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Outlet {
    /// Says what there is to say until it ends. A reader that takes nothing for too long is let go of, with all that
    /// is held for it; should it come back, it hears so.
    async fn run(mut self, out: mpsc::Sender<Bytes>) {
        while let Some(chunk) = self.chunk().await {
            match timeout(self.config.limits.stall, out.reserve()).await {
                Ok(Ok(place)) => place.send(chunk),
                Ok(Err(_)) => return,
                Err(_) => {
                    let chunk = self.let_go(chunk);
                    let _ = out.send(chunk).await;
                    return;
                }
            }
        }
    }

    /// Ends with what is said already, and that it was too much.
    fn let_go(mut self, chunk: Bytes) -> Bytes {
        self.out = chunk.into();
        self.end("slow");
        Bytes::from(self.out)
    }

    async fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        self.come_back();
        while self.out.is_empty() {
            self.begin_due().await;
            self.write_due();
            if self.out.is_empty() {
                self.wait().await;
            }
        }
        self.left_at = self.nodes.now().mono;
        Some(Bytes::from(std::mem::take(&mut self.out)))
    }

    fn come_back(&mut self) {
        let now = self.nodes.now();
        let stalled = now.mono.saturating_sub(self.left_at);
        if stalled > FRAME_GAP {
            self.followed.forgive(now);
            self.past.forgive(stalled);
        }
    }

    fn end(&mut self, why: &'static str) {
        self.ended = true;
        let frame = Frame::End { why, matches: None, exact: None, cursor: None, missing: Vec::new(), complete: None };
        self.write(&frame);
    }

    async fn begin_due(&mut self) {
        self.followed.ask_due(&*self.nodes);
        self.past.begin_due(&self.nodes, &self.config, &self.question, self.followed.is_settled()).await;
    }

    async fn wait(&mut self) {
        self.let_present_in();
        let now = self.nodes.now();
        let rows_at = self.window.next_release().map(|at| at.max(self.rows_at.saturating_add(FRAME_GAP)));
        let times = [rows_at, Some(self.rate_at), Some(self.beat_at), self.followed.next_timeout()];
        let wake = times.into_iter().flatten().min().unwrap_or(self.rate_at);
        tokio::select! {
            (node, word) = self.followed.next() => {
                let news = self.followed.take(self.nodes.now(), node, word);
                self.tell(news);
            }
            past = self.past.next(now.wall), if self.window.has_room() => match past {
                Step::Event(event) => self.window.push(self.nodes.now().mono, event),
                Step::Pause => {}
                Step::Ended(told) => self.tell_past(&told),
            },
            () = tokio::time::sleep(wake.saturating_sub(now.mono)) => {
                let news = self.followed.on_timeout(self.nodes.now());
                self.tell(news);
            }
            () = self.running.stopped() => self.end("stopped"),
        }
    }

    fn let_present_in(&mut self) {
        if self.past.comes_first() {
            return;
        }
        let now = self.nodes.now().mono;
        while self.window.has_room()
            && let Some(event) = self.waiting.pop_front()
        {
            self.window.push(now, event);
        }
    }

    /// How whole the past is that was shown; of the second look only what it lacks.
    fn tell_past(&mut self, told: &Told) {
        if !self.past.is_read_once() && told.verdict.is_complete() && told.why == Why::Complete {
            return;
        }
        self.write(&Frame::Past {
            why: told.why,
            from: Nanos(told.range.from),
            to: Nanos(told.range.to),
            matches: told.matches,
            missing: frames::missing(&told.verdict),
            complete: &told.verdict.sentence,
        });
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Nothing => {}
            News::Events(events) if self.keeps_waiting() => {
                self.waiting.extend(events);
            }
            News::Events(events) => {
                let now = self.nodes.now().mono;
                events.into_iter().for_each(|event| self.window.push(now, event));
            }
            News::Gone { node, since } => self.gap(node, since, None),
            News::Back { node, since, until } => self.gap(node, since, Some(until)),
        }
    }

    fn keeps_waiting(&self) -> bool {
        (self.past.comes_first() || !self.waiting.is_empty()) && self.waiting.len() < WAITING_MAX
    }

    fn gap(&mut self, node: NodeId, since: Timestamp, until: Option<Timestamp>) {
        let name = fleet::name(&self.nodes.roster(), node);
        self.write(&Frame::Gap { node: &name, from: Nanos(since), to: until.map(Nanos) });
    }

    fn write_due(&mut self) {
        let now = self.nodes.now();
        if self.window.next_release().is_some_and(|at| at <= now.mono)
            && self.rows_at.saturating_add(FRAME_GAP) <= now.mono
        {
            self.write_rows(now.mono, now.wall);
        }
        if self.rate_at <= now.mono {
            self.write_rate(now.mono);
        }
        if self.beat_at <= now.mono {
            self.beat_at = now.mono.saturating_add(HEARTBEAT_EVERY);
            self.write(&Frame::Hb {});
        }
    }

    fn write_rows(&mut self, now: Duration, wall: Timestamp) {
        let events = self.window.release(now);
        let dropped = self.window.accounts().dropped;
        let drop = Some(dropped - self.dropped_told).filter(|drop| *drop > 0);
        if events.is_empty() && drop.is_none() {
            return;
        }
        self.rows_at = now;
        self.dropped_told = dropped;
        self.lag = events.last().map_or(self.lag, |last| wall.since(last.time));
        self.running.sent(events.len());
        self.running.dropped(drop.unwrap_or(0));
        let e = events.iter().map(EventJson::from).collect();
        self.write(&Frame::Ev { e, w: Some(Nanos(wall.before(OVERLAP))), drop });
    }

    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn write_rate(&mut self, now: Duration) {
        let span = (now.saturating_sub(self.rate_at) + RATE_EVERY).as_secs_f64();
        let accounts = self.window.accounts();
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / span;
        let told = std::mem::replace(&mut self.told, accounts);
        let dup = per_second(accounts.copies, told.copies);
        let rate = Rate {
            seen: self.followed.seen_since() / span,
            r#match: per_second(accounts.came, told.came) - dup,
            sent: per_second(accounts.shown, told.shown),
            drop: per_second(accounts.dropped, told.dropped),
            dup,
            lag_ms: u64::try_from(self.lag.as_millis()).unwrap_or(u64::MAX),
            left_out: self.followed.left_out(),
        };
        self.rate_at = now.saturating_add(RATE_EVERY);
        self.write(&Frame::Rate(rate));
    }

    fn write(&mut self, frame: &Frame<'_>) {
        if self.as_events {
            self.out.extend_from_slice(b"data: ");
        }
        frames::write(&mut self.out, frame);
        if self.as_events {
            self.out.push(b'\n');
        }
    }
}
