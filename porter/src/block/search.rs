//! Searching one block: which pages, what of each page, and in which order it comes out.
//!
//! The hands fetch and the threads read; this file decides. [`Candidates`] are found first and say what the search
//! will cost. Then a [`Search`] names the pages that must be read before the next event can be known, is given
//! their [`hits`] in any order, and hands out events exactly in the order asked for: nothing comes out while a page
//! that could hold something before it is unread. [`hits`] and the counting functions look at one page each and
//! share nothing, so they may run in parallel; counting is `count`'s.
//!
//! What is found are lines: pieces of one long line come as one event (see the module above).

use super::BlockError;
use super::directory::PageEntry;
use super::opened::{Opened, Ranges};
use super::page::{Line, Page};
use super::told::{self, Teller, Told};
use crate::plan::Plan;
use proto::event::{Event, Flags, OwnedEvent, Source, TimeOrder};
use proto::ids::{NodeId, StreamId};
use proto::message::SearchOrder;
use proto::query::{Expr, Query, TimeRange};
use proto::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

/// Pages asked for at once at most. A search for few lines asks for one, two, four: the first may be enough.
pub(super) const PAGES_AT_ONCE: usize = 16;

/// Fewer pages are read sooner than templates are asked about them.
#[cfg(not(test))]
const PAGES_TOLD_MIN: usize = 4;
#[cfg(test)]
const PAGES_TOLD_MIN: usize = 1;

/// Lines looked at between two looks at the cancel flag: well under a millisecond.
const LINES_BETWEEN_LOOKS: usize = 1024;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub query: Query,
    /// Of event time, the end not included.
    pub range: TimeRange,
    pub order: SearchOrder,
    /// Only what comes after this in the order asked for.
    pub after: Option<TimeOrder>,
    /// How many events at most; but events of one name and time are never parted, so that what comes after the
    /// last of them is well defined.
    pub limit: Option<usize>,
}

impl Ask {
    /// Everything that fits, oldest first.
    #[must_use]
    pub fn all(query: Query) -> Self {
        Self { query, range: TimeRange::ALL, order: SearchOrder::Oldest, after: None, limit: None }
    }
}

/// The pages that can hold a match, and what reading all of them costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    pub pages: Vec<u32>,
    /// As they lie in the file.
    pub bytes: u64,
    /// Of the lines in them.
    pub text_bytes: u64,
    /// The query gave the index nothing to narrow the search by.
    pub reads_everything: bool,
}

impl Candidates {
    /// Asks the index and the templates; one round of fetching at most.
    pub fn find<R: Ranges + ?Sized>(
        opened: &Opened,
        ranges: &R,
        query: &Query,
        range: TimeRange,
    ) -> Result<Self, BlockError> {
        let mut pages = Vec::new();
        // A text alone is hardly ever missing where the index lets it through.
        let tell = !matches!(query.expr, Expr::Text(_));
        let reads_everything = each_candidate(opened, ranges, query, range, tell, |number, told| {
            if told.is_none_or(|told| told != Told::default()) {
                pages.push(number);
            }
        })?;
        Ok(Self::of(opened, pages, reads_everything))
    }

    fn of(opened: &Opened, pages: Vec<u32>, reads_everything: bool) -> Self {
        let entries = || pages.iter().filter_map(|&number| opened.pages.get(number as usize));
        let bytes = entries().map(|page| u64::from(page.length)).sum();
        let text_bytes = entries().map(|page| u64::from(page.text_bytes)).sum();
        Self { bytes, text_bytes, reads_everything, pages }
    }
}

/// What is left to be read when lines are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncounted {
    /// So many lines fit that need not be read.
    pub known: u64,
    /// The pages of all others.
    pub candidates: Candidates,
    /// What is known of each of those pages; `known` has none of it.
    pub told: Vec<Option<Told>>,
}

impl Uncounted {
    /// Asks the index and the templates; one round of fetching at most.
    pub fn find<R: Ranges + ?Sized>(
        opened: &Opened,
        ranges: &R,
        query: &Query,
        range: TimeRange,
    ) -> Result<Self, BlockError> {
        let (mut known, mut pages, mut left) = (0, Vec::new(), Vec::new());
        let reads_everything = each_candidate(opened, ranges, query, range, true, |number, told| match told {
            Some(told) if told.unknown == 0 && (told.fitting == 0 || is_within(opened, number, range)) => {
                known += told.fitting;
            }
            told => {
                pages.push(number);
                left.push(told);
            }
        })?;
        Ok(Self { known, candidates: Candidates::of(opened, pages, reads_everything), told: left })
    }
}

/// Calls `visit` with every page the index lets through, and what is known of its lines; says whether the index had
/// nothing to narrow the search by.
fn each_candidate<R: Ranges + ?Sized>(
    opened: &Opened,
    ranges: &R,
    query: &Query,
    range: TimeRange,
    tell: bool,
    mut visit: impl FnMut(u32, Option<Told>),
) -> Result<bool, BlockError> {
    let plan = Plan::of(query);
    let mut leaves = plan.leaves(opened);
    if tell {
        leaves.extend(told::leaves(query, opened));
    }
    let leaves = opened.fetch_leaves(ranges, leaves)?;
    let touched = |number: &u32| {
        let page = opened.pages.get(*number as usize);
        page.is_some_and(|page| range.touches(Timestamp(page.earliest), Timestamp(page.latest)))
    };
    let pages: Vec<u32> = plan.pages(opened, &leaves)?.iter().filter(touched).collect();
    let tell = tell && pages.len() >= PAGES_TOLD_MIN;
    let mut teller = if tell { Teller::new(query, opened, &leaves)? } else { None };
    for number in pages {
        visit(number, teller.as_mut().and_then(|teller| teller.page(number)));
    }
    Ok(plan.reads_everything())
}

/// Whether all of a page's lines are of this time.
pub(super) fn is_within(opened: &Opened, number: u32, range: TimeRange) -> bool {
    opened
        .pages
        .get(number as usize)
        .is_some_and(|page| range.contains(Timestamp(page.earliest)) && range.contains(Timestamp(page.latest)))
}

/// An event's place in an answer; events of one name that differ follow the order of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time: Timestamp,
    tailer: NodeId,
    stream: StreamId,
    offset: u64,
    page: u32,
    row: u32,
}

impl Key {
    /// In the order of files time says nothing.
    fn new(order: SearchOrder, name: TimeOrder, page: u32, row: u32) -> Self {
        let time = if order == SearchOrder::File { Timestamp(0) } else { name.time };
        Self { time, tailer: name.tailer, stream: name.stream, offset: name.offset, page, row }
    }

    fn name(&self) -> (Timestamp, NodeId, StreamId, u64) {
        (self.time, self.tailer, self.stream, self.offset)
    }
}

/// A key that sorts as the answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Forward(Key),
    Backward(Reverse<Key>),
}

impl Turn {
    fn new(order: SearchOrder, key: Key) -> Self {
        if order == SearchOrder::Newest { Self::Backward(Reverse(key)) } else { Self::Forward(key) }
    }

    fn key(&self) -> &Key {
        match self {
            Self::Forward(key) | Self::Backward(Reverse(key)) => key,
        }
    }
}

/// What one page had to give.
#[derive(Debug, Default)]
pub struct Hits {
    found: Vec<(Turn, OwnedEvent)>,
}

/// What a search needs or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Event(Box<OwnedEvent>),
    /// These pages must be read and given before the next event is known.
    Pages(Vec<u32>),
    Done,
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    ask: Ask,
    /// Pages not asked for yet, with the first place anything in them can have.
    unread: VecDeque<(Turn, u32)>,
    /// Asked for and not given.
    awaited: Vec<u32>,
    held: BTreeMap<Turn, OwnedEvent>,
    at_once: usize,
    emitted: usize,
    last: Option<Key>,
}

impl Search {
    #[must_use]
    pub fn new(opened: &Opened, ask: Ask, candidates: &Candidates) -> Self {
        let mut unread: Vec<(Turn, u32)> = candidates
            .pages
            .iter()
            .filter_map(|&number| Some((first_turn(opened, ask.order, number)?, number)))
            .filter(|(_, number)| !is_before(opened, &ask, *number))
            .collect();
        unread.sort_unstable();
        Self {
            ask,
            unread: unread.into(),
            awaited: Vec::new(),
            held: BTreeMap::new(),
            at_once: 1,
            emitted: 0,
            last: None,
        }
    }

    #[must_use]
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The next event, or what must be read to know it.
    pub fn step(&mut self) -> Step {
        if self.is_over() {
            return Step::Done;
        }
        if !self.awaited.is_empty() {
            return Step::Pages(self.awaited.clone());
        }
        let first_held = self.held.keys().next();
        let before_held = |turn: &Turn| first_held.is_none_or(|held| may_precede(turn, held));
        let wanted = self.unread.iter().take_while(|(turn, _)| before_held(turn)).count();
        if wanted > 0 {
            let count = wanted.min(self.at_once);
            self.at_once = (self.at_once * 2).min(PAGES_AT_ONCE);
            self.awaited = self.unread.drain(..count).map(|(_, page)| page).collect();
            return Step::Pages(self.awaited.clone());
        }
        match self.held.pop_first() {
            Some((turn, event)) => {
                self.emitted += 1;
                self.last = Some(*turn.key());
                Step::Event(Box::new(event))
            }
            None => Step::Done,
        }
    }

    fn is_over(&self) -> bool {
        let Some(limit) = self.ask.limit else { return false };
        let next_is_same = || {
            let next = self.held.keys().next().map(|turn| turn.key().name());
            next.is_some() && next == self.last.map(|last| last.name())
        };
        self.emitted >= limit && !next_is_same()
    }

    /// Takes what [`hits`] found in a page that was asked for.
    pub fn give(&mut self, page: u32, hits: Hits) {
        self.awaited.retain(|&awaited| awaited != page);
        self.held.extend(hits.found);
        let Some(limit) = self.ask.limit else { return };
        let room = limit.saturating_sub(self.emitted);
        // Beyond the limit only what shares the last one's name is kept.
        if let Some((turn, _)) = self.held.iter().nth(room.saturating_sub(1)) {
            let name = turn.key().name();
            while self.held.len() > room && self.held.keys().next_back().is_some_and(|turn| turn.key().name() != name) {
                self.held.pop_last();
            }
        }
        if self.held.len() >= room
            && let Some(last) = self.held.keys().next_back()
        {
            let last = *last;
            self.unread.retain(|(turn, _)| may_precede(turn, &last));
        }
    }

    /// Runs on this thread until the next event.
    pub fn next<R: Ranges + ?Sized>(
        &mut self,
        opened: &Opened,
        ranges: &R,
        cancel: &AtomicBool,
    ) -> Result<Option<OwnedEvent>, BlockError> {
        loop {
            match self.step() {
                Step::Event(event) => return Ok(Some(*event)),
                Step::Done => return Ok(None),
                Step::Pages(numbers) => {
                    for (number, bytes) in numbers.iter().zip(opened.fetch_pages(ranges, &numbers)?) {
                        let page = opened.page(*number, &bytes)?;
                        let hits = hits(opened, *number, &page, &self.ask, cancel)?;
                        self.give(*number, hits);
                    }
                }
            }
        }
    }
}

/// Whether something at `turn` or after it could come out before what is held at `held`, or beside it.
fn may_precede(turn: &Turn, held: &Turn) -> bool {
    turn <= held
}

/// The first place something in a page can have.
fn first_turn(opened: &Opened, order: SearchOrder, number: u32) -> Option<Turn> {
    let page = opened.pages.get(number as usize)?;
    let bound = |time, name: (NodeId, StreamId), offset, page, row| Key {
        time: Timestamp(time),
        tailer: name.0,
        stream: name.1,
        offset,
        page,
        row,
    };
    let least = (NodeId(0), StreamId([0; 16]));
    let most = (NodeId(u64::MAX), StreamId([u8::MAX; 16]));
    let key = match order {
        SearchOrder::Oldest => bound(page.earliest, least, 0, 0, 0),
        SearchOrder::Newest => bound(page.latest, most, u64::MAX, u32::MAX, u32::MAX),
        SearchOrder::File => {
            let (name, first) = file_bounds(opened, page).min()?;
            bound(0, name, first, 0, 0)
        }
    };
    Some(Turn::new(order, key))
}

fn file_bounds<'a>(opened: &'a Opened, page: &'a PageEntry) -> impl Iterator<Item = ((NodeId, StreamId), u64)> + 'a {
    page.segments.iter().filter_map(|segment| Some((*opened.streams.get(segment.stream as usize)?, segment.first)))
}

/// Whether all of a page comes before what was asked for.
fn is_before(opened: &Opened, ask: &Ask, number: u32) -> bool {
    let (Some(after), Some(page)) = (ask.after, opened.pages.get(number as usize)) else { return false };
    match ask.order {
        SearchOrder::Oldest => Timestamp(page.latest) < after.time,
        SearchOrder::Newest => Timestamp(page.earliest) > after.time,
        SearchOrder::File => file_bounds(opened, page).all(|(name, _)| name < (after.tailer, after.stream)),
    }
}

/// A line as one event.
pub fn event_of<'a>(opened: &'a Opened, page: &'a Page, line: &Line<'a>) -> Option<Event<'a>> {
    let rows = page.rows.get(line.rows.clone())?;
    let (first, last) = (rows.first()?, rows.last()?);
    let source: &Source = opened.sources.get(first.source as usize)?;
    let tail = Flags::CONTINUES.0 | Flags::NEWLINE_ABSENT.0;
    let mut flags = first.flags.0 & !tail | last.flags.0 & tail;
    flags |= rows.iter().fold(0, |any, row| any | row.flags.0) & Flags::REDACTED.0;
    let file_length = rows.iter().fold(0u32, |sum, row| sum.saturating_add(row.file_length));
    Some(Event {
        source,
        offset: first.offset,
        time: Timestamp(first.time),
        level: first.level,
        flags: Flags(flags),
        file_length,
        line: line.bytes,
    })
}

/// Calls `visit` with every line of a page that fits.
pub(super) fn each_match<'a>(
    opened: &'a Opened,
    page: &'a Page,
    query: &Query,
    range: TimeRange,
    cancel: &AtomicBool,
    mut visit: impl FnMut(Range<usize>, Event<'a>),
) -> Result<(), BlockError> {
    let mut look = |line: Line<'a>, is_sure: bool| {
        if let Some(event) = event_of(opened, page, &line)
            && range.contains(event.time)
            && (is_sure || query.matches(&event))
        {
            visit(line.rows, event);
        }
    };
    let looks = |at: usize| at.is_multiple_of(LINES_BETWEEN_LOOKS) && cancel.load(Atomic::Relaxed);
    if let Some(sweep) = query.sweep()
        && page.is_clean()
    {
        let (text, mut from, mut at) = (page.text(), 0, 0);
        let mut swept = sweep.over(text);
        while let Some(place) = swept.next(from) {
            if looks(at) {
                return Err(BlockError::Cancelled);
            }
            let Some(line) = page.line_from(page.row_at(place)) else { break };
            look(line, sweep.is_whole);
            let rest = text.get(place..).unwrap_or_default();
            from = place + memchr::memchr(b'\n', rest).unwrap_or(rest.len()) + 1;
            at += 1;
        }
        return Ok(());
    }
    for (at, line) in page.lines().enumerate() {
        if looks(at) {
            return Err(BlockError::Cancelled);
        }
        look(line, false);
    }
    Ok(())
}

/// What one page has to give to a search. Looks at nothing else, so pages can be looked at in parallel.
pub fn hits(opened: &Opened, number: u32, page: &Page, ask: &Ask, cancel: &AtomicBool) -> Result<Hits, BlockError> {
    let mut found: Vec<(Turn, usize)> = Vec::new();
    each_match(opened, page, &ask.query, ask.range, cancel, |rows, event| {
        let name = event.order();
        if ask.after.is_none_or(|after| ask.order.compare(&after, &name).is_lt()) {
            let row = u32::try_from(rows.start).unwrap_or(u32::MAX);
            found.push((Turn::new(ask.order, Key::new(ask.order, name, number, row)), rows.start));
        }
    })?;
    found.sort_unstable();
    if let Some(limit) = ask.limit
        && let Some((last, _)) = found.get(limit.saturating_sub(1))
    {
        let name = last.key().name();
        let more = found.iter().skip(limit).take_while(|(turn, _)| turn.key().name() == name).count();
        found.truncate(limit + more);
    }
    let own = |first: usize| {
        let line = page.line_from(first)?;
        let event = event_of(opened, page, &line)?;
        let source = opened.sources.get(page.rows.get(first)?.source as usize)?;
        Some(event.to_owned(Arc::clone(source)))
    };
    let found = found.into_iter().filter_map(|(turn, first)| Some((turn, own(first)?))).collect();
    Ok(Hits { found })
}
