//! Frames of a live tail, as lines or as an event stream.

use super::followed::{Followed, News};
use super::past::Past;
use crate::api::LiveQuestion;
use crate::config::Config;
use crate::fleet;
use crate::frames::{self, EventJson, Frame, Nanos, Rate};
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
use std::sync::Arc;
use std::time::Duration;

/// Frames with rows are at least this far apart; a page draws sixty times a second, and reads none faster.
const FRAME_GAP: Duration = Duration::from_millis(30);
const RATE_EVERY: Duration = Duration::from_secs(1);
/// A page that hears nothing for twelve seconds asks anew.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// A reader that takes nothing for this long is let go; it would see the past, not the present.
const STALL_MAX: Duration = Duration::from_secs(20);
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
    waiting: Vec<OwnedEvent>,
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

/// Rows of the present kept while the past is read.
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
        waiting: Vec::new(),
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
    unfold(outlet, |mut outlet| async move { outlet.chunk().await.map(|chunk| (Ok(chunk), outlet)) }).boxed()
}

impl Outlet {
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
        if stalled > STALL_MAX {
            self.end("slow");
        } else if stalled > FRAME_GAP {
            self.followed.forgive(now);
        }
    }

    fn end(&mut self, why: &'static str) {
        self.ended = true;
        let frame = Frame::End { why, matches: None, exact: None, cursor: None, missing: Vec::new(), complete: None };
        self.write(&frame);
    }

    async fn begin_due(&mut self) {
        self.followed.ask_due(&*self.nodes);
        if let Some(since) = self.past.begin_due(&*self.nodes, self.followed.all_up()) {
            self.past.begin(&self.nodes, &self.config, &self.question, since).await;
        }
    }

    async fn wait(&mut self) {
        let now = self.nodes.now();
        let rows_at = self.window.next_release().map(|at| at.max(self.rows_at.saturating_add(FRAME_GAP)));
        let times =
            [rows_at, Some(self.rate_at), Some(self.beat_at), self.followed.next_timeout(), self.past.next_timeout()];
        let wake = times.into_iter().flatten().min().unwrap_or(self.rate_at);
        tokio::select! {
            (node, word) = self.followed.next() => {
                let news = self.followed.take(self.nodes.now(), node, word);
                self.tell(news);
            }
            past = self.past.next(&*self.nodes) => {
                if let Some(event) = past {
                    self.window.push(self.nodes.now().mono, event);
                }
                self.let_present_in();
            }
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
        for event in std::mem::take(&mut self.waiting) {
            self.window.push(now, event);
        }
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Nothing => {}
            News::Events(events) if self.past.comes_first() && self.waiting.len() < WAITING_MAX => {
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
