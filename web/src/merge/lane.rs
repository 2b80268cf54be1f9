//! One node's part of an answer: the rows that came and are not given out yet, and how far it is.

use proto::event::{OwnedEvent, Source, TimeOrder};
use proto::message::{End, Heard, Part, Progress, Row, SearchOrder};
use proto::time::Timestamp;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Rows a lane holds before its node is left to wait. A page of a browser's list; more would only lie here.
const ROWS_ENOUGH: usize = 256;

/// Sources one answer may name. Beyond it the node is not taken for well.
const SOURCES_MAX: usize = 1 << 17;

/// Why a node's answer can't be counted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    #[error("silent")]
    Silent,
    /// Why, for the log; people are helped by the name.
    #[error("unreachable")]
    Unreachable(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("made no sense: {0}")]
    Nonsense(&'static str),
}

/// What became of a node in one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Said all it had.
    Answered(End),
    /// Was set aside after it had told everything up to `reached`, if it had told anything.
    Away { why: Away, reached: Option<Timestamp> },
    /// Was not yet done when the answer ended.
    Cut { end: Option<End> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// More parts are on their way.
    Asked,
    /// Its page was full; there is more behind it.
    PageEnded,
    Done,
    Aside(Away),
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) state: State,
    sources: Vec<Arc<Source>>,
    rows: VecDeque<OwnedEvent>,
    /// Where its last row stands, or where it was asked to begin: nothing up to here can still come.
    pub(super) last: Option<TimeOrder>,
    settled: Option<Timestamp>,
    /// When it last said something, or was last given reason to.
    pub(super) heard: Duration,
    page_brought_rows: bool,
    pub(super) progress: Progress,
    /// Whom the node has heard, which it says before any row.
    whom: Option<Vec<Heard>>,
    end: Option<End>,
}

impl Lane {
    pub(super) fn asked(after: Option<TimeOrder>, now: Duration) -> Self {
        Self {
            state: State::Asked,
            sources: Vec::new(),
            rows: VecDeque::new(),
            last: after,
            settled: None,
            heard: now,
            page_brought_rows: false,
            progress: Progress::default(),
            whom: None,
            end: None,
        }
    }

    pub(super) fn ask_again(&mut self, now: Duration) {
        self.state = State::Asked;
        self.sources.clear();
        self.heard = now;
        self.page_brought_rows = false;
    }

    pub(super) fn on_part(&mut self, order: SearchOrder, now: Duration, part: Part) {
        if self.state != State::Asked {
            return;
        }
        self.heard = self.heard.max(now);
        match part {
            Part::Sources(sources) => self.take_sources(sources),
            Part::Rows(rows) => self.take_rows(order, rows),
            Part::Progress(progress) => self.take_progress(order, progress),
            Part::End(end) => self.take_end(order, end),
            Part::Heard(heard) => self.whom = Some(heard),
            _ => self.set_aside(Away::Nonsense("a part that is no part of a search")),
        }
    }

    fn take_sources(&mut self, sources: Vec<Source>) {
        if self.sources.len().saturating_add(sources.len()) > SOURCES_MAX {
            return self.set_aside(Away::Nonsense("more sources than an answer may name"));
        }
        self.sources.extend(sources.into_iter().map(Arc::new));
    }

    fn take_rows(&mut self, order: SearchOrder, rows: Vec<Row>) {
        for row in rows {
            let Some(source) = usize::try_from(row.source).ok().and_then(|index| self.sources.get(index)) else {
                return self.set_aside(Away::Nonsense("a row from a source it did not name"));
            };
            let event = owned(row, Arc::clone(source));
            let place = event.borrow().order();
            match self.last.map(|last| order.compare(&place, &last)) {
                Some(Ordering::Less) => return self.set_aside(Away::Nonsense("rows out of order")),
                Some(Ordering::Equal) if !self.page_brought_rows => {}
                _ => {
                    self.last = Some(place);
                    self.page_brought_rows = true;
                    self.rows.push_back(event);
                }
            }
        }
    }

    fn take_progress(&mut self, order: SearchOrder, progress: Progress) {
        if let Some(settled) = progress.settled {
            self.settled = Some(self.settled.map_or(settled, |known| further(order, known, settled)));
        }
        self.progress = progress;
    }

    fn take_end(&mut self, order: SearchOrder, end: End) {
        self.take_progress(order, end.progress);
        self.state = match (end.exhausted, self.page_brought_rows) {
            (true, _) => State::Done,
            (false, true) => State::PageEnded,
            (false, false) => State::Aside(Away::Nonsense("a page that brought nothing and is not the last")),
        };
        self.end = Some(end);
    }

    pub(super) fn set_aside(&mut self, why: Away) {
        if !matches!(self.state, State::Done | State::Aside(_)) {
            self.state = State::Aside(why);
        }
    }

    pub(super) fn is_hungry(&self) -> bool {
        self.state == State::Asked && self.rows.len() < ROWS_ENOUGH
    }

    pub(super) fn is_empty_and_open(&self) -> bool {
        self.rows.is_empty() && matches!(self.state, State::Asked | State::PageEnded)
    }

    pub(super) fn may_bring_more(&self) -> bool {
        !self.rows.is_empty() || matches!(self.state, State::Asked | State::PageEnded)
    }

    pub(super) fn head(&self) -> Option<&OwnedEvent> {
        self.rows.front()
    }

    pub(super) fn pop(&mut self, now: Duration) -> Option<OwnedEvent> {
        let event = self.rows.pop_front()?;
        if self.rows.is_empty() {
            self.heard = self.heard.max(now);
        }
        Some(event)
    }

    /// Whether nothing of this node's can still come before `place`.
    pub(super) fn has_passed(&self, order: SearchOrder, place: &TimeOrder) -> bool {
        let by_row = self.last.is_some_and(|last| order.compare(place, &last) != Ordering::Greater);
        let by_word = self.settled.is_some_and(|settled| match order {
            SearchOrder::Newest => place.time > settled,
            SearchOrder::Oldest => place.time < settled,
            SearchOrder::File => false,
        });
        by_row || by_word
    }

    /// Nothing before this time is still to be given out from here.
    pub(super) fn bound(&self, order: SearchOrder) -> Option<Timestamp> {
        if order == SearchOrder::File {
            return None;
        }
        if let Some(head) = self.head() {
            return Some(head.time);
        }
        match (self.last.map(|last| last.time), self.settled) {
            (Some(row), Some(word)) => Some(further(order, row, word)),
            (row, word) => row.or(word),
        }
    }

    pub(super) fn fate(&self) -> Fate {
        match &self.state {
            State::Done => Fate::Answered(self.said().expect("a lane is done by its end")),
            State::Aside(why) => Fate::Away { why: why.clone(), reached: self.last.map(|last| last.time) },
            State::Asked | State::PageEnded => Fate::Cut { end: self.said() },
        }
    }

    /// Its last end with whom it has heard, or as much of that as it said.
    fn said(&self) -> Option<End> {
        let mut said = match (&self.end, &self.whom) {
            (None, None) => return None,
            (end, _) => end.clone().unwrap_or_default(),
        };
        said.heard.extend(self.whom.iter().flatten().cloned());
        Some(said)
    }
}

fn further(order: SearchOrder, one: Timestamp, other: Timestamp) -> Timestamp {
    if order == SearchOrder::Newest { one.min(other) } else { one.max(other) }
}

/// A row with the source it points to.
#[must_use]
pub fn owned(row: Row, source: Arc<Source>) -> OwnedEvent {
    OwnedEvent {
        source,
        offset: row.offset,
        time: row.time,
        level: row.level,
        flags: row.flags,
        file_length: row.file_length,
        line: row.line,
    }
}
