//! Searches the blocks of one snapshot, and puts their lines into one order.
//!
//! Each block's search is a machine that asks for pages; all that are asked for at once are read by several
//! threads, and the earliest line of all blocks is handed out as soon as none can come before it. A block is not
//! opened before its times say that it could be next, so the newest hundred lines cost a block or two. File by file it
//! is not opened before its first place in the files could be next; and as a month's blocks each have a piece of every
//! file, those whose next line is far are closed again, so that few are open at once.
//!
//! A line that stands in two blocks, because two porters were at work on two buckets at once, is handed out and
//! counted once: until one of the two is written again, the block that is to yield is read without it.

mod bounds;

use crate::block::beside::{side_by_side, side_by_side_with};
use crate::block::count::{Histogram, Steps, histogram};
use crate::block::page::PageReader;
use crate::block::search::{Candidates, Search, Step, hits};
use crate::block::{Ask, BlockError, Opened, Ranges};
use crate::build::is_same_line;
use crate::dedup::Earlier;
use crate::manifest::Block;
use crate::names::BlockAt;
use proto::event::{OwnedEvent, TimeOrder};
use proto::message::{CountCell, Progress, SearchOrder};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blocks whose search is begun at once when all must be.
const BEGUN_AT_ONCE: usize = 8;

/// Blocks open at once in an answer that goes file by file, beside those just begun: each has its directory and a few
/// pages' lines in memory, some megabytes.
#[cfg(not(test))]
const OPEN_MAX: usize = 64;
#[cfg(test)]
const OPEN_MAX: usize = 2;

/// Threads of one search.
const THREADS_MAX: usize = 4;

/// Where the blocks of a search are found: the catalogue of a shelf, or one a simulation made up.
pub trait Blocks: Sync {
    type Bytes: Ranges + std::fmt::Debug + Send + Sync;

    /// A block's directory.
    fn open(&self, block: &BlockAt) -> Result<Arc<Opened>, BlockError>;
    /// A block's bytes where they lie.
    fn bytes_of(&self, block: &BlockAt) -> Self::Bytes;
    /// What some of these blocks have that others of them have too.
    fn told_apart(&self, blocks: &[(BlockAt, Block)]) -> BTreeMap<BlockAt, Earlier>;
    /// The first place in the order of files that each of these blocks has behind another, none when it has none. Of a
    /// block that is not named nothing is known.
    fn file_places(&self, _: &BTreeSet<BlockAt>, _: Option<&TimeOrder>) -> BTreeMap<BlockAt, Option<TimeOrder>> {
        BTreeMap::new()
    }
}

/// A block that could not be read, or a page of it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct SearchError {
    pub path: String,
    pub source: BlockError,
}

impl SearchError {
    fn of(block: &BlockAt, source: BlockError) -> Self {
        Self { path: block.path(), source }
    }
}

/// One block's part in a search.
struct Part<B> {
    at: BlockAt,
    opened: Arc<Opened>,
    bytes: B,
    search: Search,
    head: Option<OwnedEvent>,
    candidates: Candidates,
    /// What another block of this search has.
    without: Earlier,
}

impl<B> Part<B> {
    /// The search's next step, without what another block has.
    fn next(&mut self) -> Step {
        loop {
            match self.search.step() {
                Step::Event(event) if !self.without.is_empty() && self.without.holds(&event.borrow().id()) => {}
                step => return step,
            }
        }
    }
}

/// A search over many blocks.
pub struct Merged<'a, C: Blocks> {
    catalog: &'a C,
    ask: Ask,
    cancel: &'a AtomicBool,
    /// Not begun or closed again, the one that could be next first.
    waiting: VecDeque<(TimeOrder, BlockAt)>,
    /// What is to be read of blocks that were closed again.
    closed: BTreeMap<BlockAt, Candidates>,
    /// What blocks have that another one of these has.
    doubles: BTreeMap<BlockAt, Earlier>,
    parts: Vec<Part<C::Bytes>>,
    /// Lines handed out last that share one name.
    said: Vec<OwnedEvent>,
    pub progress: Progress,
    /// Blocks that could not be read; the answer lacks what they hold.
    pub trouble: Vec<SearchError>,
}

impl<C: Blocks> std::fmt::Debug for Merged<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Merged({} parts, {} waiting)", self.parts.len(), self.waiting.len())
    }
}

impl<'a, C: Blocks> Merged<'a, C> {
    #[must_use]
    pub fn new(catalog: &'a C, blocks: Vec<(BlockAt, Block)>, ask: Ask, cancel: &'a AtomicBool) -> Self {
        let doubles = catalog.told_apart(&blocks);
        Self::without(catalog, blocks, doubles, ask, cancel)
    }

    fn without(
        catalog: &'a C,
        blocks: Vec<(BlockAt, Block)>,
        doubles: BTreeMap<BlockAt, Earlier>,
        ask: Ask,
        cancel: &'a AtomicBool,
    ) -> Self {
        let waiting = bounds::waiting(catalog, blocks, &ask);
        let progress = Progress::default();
        let (parts, said, trouble) = (Vec::new(), Vec::new(), Vec::new());
        let closed = BTreeMap::new();
        Self { catalog, ask, cancel, waiting, closed, doubles, parts, said, progress, trouble }
    }

    /// The next line. `before_reading` is called when pages must be read first, so that what was found can be sent.
    pub fn next(&mut self, mut before_reading: impl FnMut() -> ControlFlow<()>) -> Option<OwnedEvent> {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return None;
            }
            if self.step_parts() {
                if before_reading().is_break() {
                    return None;
                }
                self.read_pages();
                continue;
            }
            self.close_far();
            let Some(best) = self.best() else {
                if self.waiting.is_empty() {
                    return None;
                }
                self.begin(BEGUN_AT_ONCE);
                continue;
            };
            let head = self.parts.get(best).and_then(|part| part.head.as_ref()).map(|event| event.borrow().order());
            let could_be_next =
                |(bound, _): &&(TimeOrder, BlockAt)| head.is_some_and(|head| self.may_precede(bound, &head));
            let waits = self.waiting.iter().take(BEGUN_AT_ONCE).take_while(could_be_next).count();
            if waits > 0 {
                self.begin(waits);
                continue;
            }
            let event = self.parts.get_mut(best).and_then(|part| part.head.take())?;
            if self.is_new(&event) {
                return Some(event);
            }
        }
    }

    /// A line that shares this place with one that was handed out, if that is known without reading.
    pub fn next_beside(&mut self, order: &TimeOrder) -> Option<OwnedEvent> {
        loop {
            self.step_parts();
            let beside =
                |part: &&mut Part<C::Bytes>| part.head.as_ref().is_some_and(|event| event.borrow().order() == *order);
            let event = self.parts.iter_mut().find(beside)?.head.take()?;
            if self.is_new(&event) {
                return Some(event);
            }
        }
    }

    /// Whether it is known that nothing more would come.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.parts.is_empty() && self.waiting.is_empty()
    }

    fn may_precede(&self, bound: &TimeOrder, head: &TimeOrder) -> bool {
        match self.ask.order {
            SearchOrder::Newest => bound.time >= head.time,
            SearchOrder::Oldest => bound.time <= head.time,
            SearchOrder::File => self.ask.order.compare(bound, head).is_le(),
        }
    }

    /// File by file, closes blocks whose next line comes last of all, when more are open than should be. They are
    /// opened again for it.
    fn close_far(&mut self) {
        let order = self.ask.order;
        if order != SearchOrder::File || self.parts.len() <= OPEN_MAX {
            return;
        }
        let place = |part: &Part<C::Bytes>| part.head.as_ref().map(|head| bounds::file_place(&head.borrow().order()));
        self.parts.sort_by_key(place);
        let Some(first) = self.parts.first().map(place) else { return };
        let beside = self.parts.iter().take_while(|part| place(part) == first).count();
        for part in self.parts.split_off(beside.max(OPEN_MAX).min(self.parts.len())) {
            let Some(place) = place(&part) else { continue };
            let entry = (place, part.at.clone());
            let at = self.waiting.partition_point(|waits| *waits < entry);
            self.waiting.insert(at, entry);
            self.closed.insert(part.at, part.candidates);
        }
    }

    fn is_new(&mut self, event: &OwnedEvent) -> bool {
        let order = event.borrow().order();
        self.said.retain(|said| said.borrow().order() == order);
        let new = !self.said.iter().any(|said| is_same_line(said, event));
        if new {
            self.said.push(event.clone());
        }
        new
    }

    /// The part whose head comes first.
    fn best(&self) -> Option<usize> {
        let heads = self.parts.iter().enumerate().filter_map(|(at, part)| Some((at, part.head.as_ref()?)));
        let first = heads.min_by(|(_, a), (_, b)| self.ask.order.compare(&a.borrow().order(), &b.borrow().order()));
        first.map(|(at, _)| at)
    }

    /// Lets every part without a head move on; whether any needs pages.
    fn step_parts(&mut self) -> bool {
        let mut needs_pages = false;
        self.parts.retain_mut(|part| {
            if part.head.is_some() {
                return true;
            }
            match part.next() {
                Step::Event(event) => part.head = Some(*event),
                Step::Pages(_) => needs_pages = true,
                Step::Done => return false,
            }
            true
        });
        needs_pages
    }

    /// Begins the search of so many blocks, side by side.
    fn begin(&mut self, count: usize) {
        let count = count.min(self.waiting.len());
        let blocks: Vec<_> = self.waiting.drain(..count).collect();
        let begun = side_by_side(threads(), &blocks, |(bound, block)| {
            let without = self.doubles.get(block).cloned().unwrap_or_default();
            match self.closed.get(block) {
                None => begin_part(self.catalog, block, without, &self.ask),
                Some(candidates) => {
                    let ask = Ask { after: bounds::just_before(bound), ..self.ask.clone() };
                    begin_again(self.catalog, block, without, &ask, candidates.clone()).map(Some)
                }
            }
        });
        for ((_, block), part) in blocks.iter().zip(begun) {
            let is_new = self.closed.remove(block).is_none();
            match part {
                Ok(Some(part)) => {
                    if is_new {
                        self.progress.pages += part.candidates.pages.len() as u64;
                        self.progress.bytes += part.candidates.bytes;
                    }
                    self.parts.push(part);
                }
                Ok(None) => {}
                Err(why) => self.trouble.push(why),
            }
        }
    }

    /// Reads all pages that any part waits for, side by side.
    fn read_pages(&mut self) {
        let wanted: Vec<(usize, u32)> = self
            .parts
            .iter_mut()
            .enumerate()
            .filter(|(_, part)| part.head.is_none())
            .flat_map(|(at, part)| match part.next() {
                Step::Pages(pages) => pages.into_iter().map(|page| (at, page)).collect(),
                Step::Event(_) | Step::Done => Vec::new(),
            })
            .collect();
        let (parts, cancel) = (&self.parts, self.cancel);
        let read = side_by_side_with(threads(), &wanted, PageReader::default, |reader, (at, number)| {
            let part = &parts[*at];
            let page = part.opened.fetch_pages(&part.bytes, &[*number])?.pop().unwrap_or_default();
            let length = page.len() as u64;
            let page = reader.read(&part.opened, *number, &page)?;
            hits(&part.opened, *number, page, part.search.ask(), cancel).map(|hits| (hits, length))
        });
        for ((at, number), result) in wanted.into_iter().zip(read) {
            let Some(part) = self.parts.get_mut(at) else { continue };
            // What is read twice, since its block was closed meanwhile, is counted once.
            self.progress.pages_done = (self.progress.pages_done + 1).min(self.progress.pages);
            match result {
                Ok((hits, length)) => {
                    self.progress.bytes_done = (self.progress.bytes_done + length).min(self.progress.bytes);
                    part.search.give(number, hits);
                }
                // A page that can't be read is named, and the rest of the block goes on.
                Err(source) => {
                    part.search.give(number, crate::block::search::Hits::default());
                    if source != BlockError::Cancelled {
                        self.trouble.push(SearchError::of(&part.at, source));
                    }
                }
            }
        }
    }
}

/// None when no page of it can hold a match.
fn begin_part<C: Blocks>(
    catalog: &C,
    block: &BlockAt,
    without: Earlier,
    ask: &Ask,
) -> Result<Option<Part<C::Bytes>>, SearchError> {
    let failed = |source| SearchError::of(block, source);
    let opened = catalog.open(block).map_err(failed)?;
    let candidates = Candidates::find(&opened, &catalog.bytes_of(block), &ask.query, ask.range).map_err(failed)?;
    if candidates.pages.is_empty() {
        return Ok(None);
    }
    begin_again(catalog, block, without, ask, candidates).map(Some)
}

fn begin_again<C: Blocks>(
    catalog: &C,
    block: &BlockAt,
    without: Earlier,
    ask: &Ask,
    candidates: Candidates,
) -> Result<Part<C::Bytes>, SearchError> {
    let opened = catalog.open(block).map_err(|source| SearchError::of(block, source))?;
    // One more than is wanted, so that a block which ends with its limit is not taken for one that has no more. A
    // block of which something is left out can't be told how much is wanted of it.
    let limit = ask.limit.filter(|_| without.is_empty()).map(|limit| limit.saturating_add(1));
    let search = Search::new(&opened, Ask { limit, ..ask.clone() }, &candidates);
    Ok(Part { at: block.clone(), opened, bytes: catalog.bytes_of(block), search, head: None, candidates, without })
}

/// Matches of some blocks of a search, by step and level; `doubles` are what some of them have that others have.
pub fn count<C: Blocks>(
    catalog: &C,
    blocks: &[(BlockAt, Block)],
    doubles: &BTreeMap<BlockAt, Earlier>,
    ask: &Ask,
    step_nanos: u64,
    cancel: &AtomicBool,
) -> (Vec<CountCell>, Vec<SearchError>) {
    let nanos = i64::try_from(step_nanos).unwrap_or(i64::MAX);
    let steps = Steps { range: ask.range, nanos };
    let counted = side_by_side(threads(), blocks, |(at, block)| {
        if let Some(without) = doubles.get(at) {
            return count_rows(catalog, (at, block), without, ask, steps, cancel);
        }
        let bytes = catalog.bytes_of(at);
        let counted = catalog.open(at).and_then(|opened| histogram(&opened, &bytes, &ask.query, steps, cancel));
        counted.map_err(|source| SearchError::of(at, source))
    });
    let (mut cells, mut trouble) = (BTreeMap::new(), Vec::new());
    for counts in counted {
        match counts {
            Ok(counts) => counts.into_iter().for_each(|((start, level), count)| {
                let step = if nanos == 0 { 0 } else { start.0.div_euclid(nanos) };
                *cells.entry((step, level)).or_insert(0u64) += count;
            }),
            Err(SearchError { source: BlockError::Cancelled, .. }) => {}
            Err(why) => trouble.push(why),
        }
    }
    let cells = cells.into_iter().map(|((step, level), count)| CountCell { step, level, count });
    (cells.collect(), trouble)
}

/// A block's tables know nothing of what another block has: its lines are read and counted one by one.
fn count_rows<C: Blocks>(
    catalog: &C,
    (at, block): (&BlockAt, &Block),
    without: &Earlier,
    ask: &Ask,
    steps: Steps,
    cancel: &AtomicBool,
) -> Result<Histogram, SearchError> {
    let (blocks, doubles) = (vec![(at.clone(), block.clone())], BTreeMap::from([(at.clone(), without.clone())]));
    let ask = Ask { after: None, limit: None, ..ask.clone() };
    let mut merged = Merged::without(catalog, blocks, doubles, ask, cancel);
    let mut counts = Histogram::new();
    while let Some(event) = merged.next(|| ControlFlow::Continue(())) {
        *counts.entry((steps.step_of(event.time), event.level)).or_default() += 1;
    }
    merged.trouble.pop().map_or(Ok(counts), Err)
}

/// How many threads one search may take.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX)
}

#[cfg(feature = "hands")]
#[cfg(test)]
mod tests;
