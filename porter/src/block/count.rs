//! Counting lines that fit, in one block or in many: from the directory where it knows, from pages where it must.
//!
//! A page that only has to be counted is read as text alone, without what is known of its events, wherever the
//! query asks for nothing but text. Pages are read side by side on as many threads as the caller gives.

use super::BlockError;
use super::beside::side_by_side_with;
use super::directory::{Count, NANOS_PER_MINUTE, PageEntry};
use super::opened::{Opened, Ranges};
use super::page::{Page, PageReader};
use super::search::{Candidates, PAGES_AT_ONCE, Uncounted, each_match, is_within};
use super::told::Told;
use crate::plan::{Plan, levels_of};
use proto::event::{Event, Flags, Level, Source};
use proto::query::{Expr, Query, TimeRange};
use proto::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many lines fit, by step of time and level. Times are the steps' beginnings.
pub type Histogram = BTreeMap<(Timestamp, Level), u64>;

/// Counts by steps of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub range: TimeRange,
    /// One step for everything when zero.
    pub nanos: i64,
}

impl Steps {
    /// The beginning of the step this time is in. Steps are counted from 1970.
    #[must_use]
    pub fn step_of(&self, time: Timestamp) -> Timestamp {
        if self.nanos <= 0 { self.range.from } else { Timestamp(time.0.saturating_sub(time.0.rem_euclid(self.nanos))) }
    }

    /// Whether counts by minute can be put into these steps.
    fn are_whole_minutes(&self) -> bool {
        self.nanos.rem_euclid(NANOS_PER_MINUTE) == 0
    }

    /// The whole minutes in the range; what is left of it before and after must be read.
    fn minutes(&self) -> TimeRange {
        let up = |time: Timestamp| {
            let into = time.0.rem_euclid(NANOS_PER_MINUTE);
            if into == 0 { time } else { Timestamp(time.0.saturating_add(NANOS_PER_MINUTE - into)) }
        };
        let down = |time: Timestamp| Timestamp(time.0.saturating_sub(time.0.rem_euclid(NANOS_PER_MINUTE)));
        TimeRange { from: up(self.range.from), to: down(self.range.to) }
    }
}

/// Adds the lines of one page that fit and are in `range`, a part of the steps' range.
pub fn count_page(
    opened: &Opened,
    page: &Page,
    query: &Query,
    (range, steps): (TimeRange, Steps),
    cancel: &AtomicBool,
    into: &mut Histogram,
) -> Result<(), BlockError> {
    each_match(opened, page, query, range, cancel, |_, event| {
        *into.entry((steps.step_of(event.time), event.level)).or_default() += 1;
    })
}

/// Counts from the directory alone what of the range can be counted so; returns what is left to be read: nothing,
/// the ends of the range, or all of it.
#[must_use]
pub fn count_tables(opened: &Opened, query: &Query, steps: Steps, into: &mut Histogram) -> Vec<TimeRange> {
    let of_places = query.is_everything() || Plan::of(query).is_of_places(query);
    let minutes = steps.minutes();
    if !of_places || !steps.are_whole_minutes() || minutes.is_empty() {
        return vec![steps.range];
    }
    let fitting: Vec<u8> = opened.sources.iter().map(|source| levels_of(query, source)).collect();
    for count in &opened.counts {
        let time = Timestamp(count.minute.saturating_mul(NANOS_PER_MINUTE));
        let fits = fitting.get(count.source as usize).is_some_and(|levels| levels >> count.level as u8 & 1 == 1);
        if fits && is_in(count, minutes) {
            *into.entry((steps.step_of(time), count.level)).or_default() += u64::from(count.lines);
        }
    }
    let ends =
        [TimeRange { from: steps.range.from, to: minutes.from }, TimeRange { from: minutes.to, to: steps.range.to }];
    ends.into_iter().filter(|end| !end.is_empty()).collect()
}

fn is_in(count: &Count, minutes: TimeRange) -> bool {
    minutes.contains(Timestamp(count.minute.saturating_mul(NANOS_PER_MINUTE)))
}

/// A block to be counted in: its directory, and where its bytes are.
pub type Block<'a, R> = (&'a Opened, &'a R);

/// How the work is done.
#[derive(Clone, Copy, Debug)]
pub struct Hands<'a> {
    pub threads: usize,
    /// Ends it soon once it is set.
    pub cancel: &'a AtomicBool,
}

/// What was counted, and what could not be read; each page that can't be is named and left out.
#[derive(Debug, Default)]
pub struct Counted<T> {
    pub counts: T,
    pub trouble: Vec<BlockError>,
}

/// Pages of one block that are fetched together.
struct Job<'a, R: ?Sized> {
    block: Block<'a, R>,
    range: TimeRange,
    pages: Vec<(u32, Option<Told>)>,
}

/// Lines that fit, by step and level. Opens no page that tables can answer for.
pub fn histograms<'a, R: Ranges + Sync + ?Sized>(
    blocks: &[Block<'a, R>],
    query: &Query,
    steps: Steps,
    hands: Hands<'_>,
) -> Counted<Histogram> {
    let mut counts = Histogram::new();
    let look = |reader: &mut PageReader<'a>, job: &Job<'a, R>, number: &Wanted, bytes: &[u8], into: &mut Histogram| {
        let number = number.0;
        let page = reader.read(job.block.0, number, bytes)?;
        count_page(job.block.0, page, query, (job.range, steps), hands.cancel, into)
    };
    let left: Vec<Vec<TimeRange>> =
        blocks.iter().map(|(opened, _)| count_tables(opened, query, steps, &mut counts)).collect();
    let find = |(opened, ranges): Block<'a, R>, range| {
        let pages = Candidates::find(opened, ranges, query, range)?.pages;
        Ok((0, pages.into_iter().map(|number| (number, None)).collect()))
    };
    let mut counted = each_page(blocks, &left, hands, &find, &look);
    for more in counted.counts {
        more.into_iter().for_each(|(step, more)| *counts.entry(step).or_default() += more);
    }
    Counted { counts, trouble: std::mem::take(&mut counted.trouble) }
}

/// How many lines fit.
pub fn count_lines<'a, R: Ranges + Sync + ?Sized>(
    blocks: &[Block<'a, R>],
    query: &Query,
    range: TimeRange,
    hands: Hands<'_>,
) -> Counted<u64> {
    let steps = Steps { range, nanos: 0 };
    let asks_text = asks_text_alone(&query.expr);
    let look = |reader: &mut PageReader<'a>, job: &Job<'a, R>, wanted: &Wanted, bytes: &[u8], into: &mut u64| {
        let (opened, (number, told)) = (job.block.0, wanted);
        let number = *number;
        if asks_text && is_text_alone(opened, number, job.range) {
            let templates = told.as_ref().map(|told| told.templates.as_slice());
            let text = reader.text_of(opened, number, bytes, templates)?;
            if text.is_clean {
                let source = opened.sources.first().ok_or(BlockError::Foreign)?;
                *into += count_text(query, source, text.bytes) + told.as_ref().map_or(0, |told| told.fitting);
                return Ok(());
            }
        }
        let page = reader.read(opened, number, bytes)?;
        let mut counts = Histogram::new();
        count_page(opened, page, query, (job.range, steps), hands.cancel, &mut counts)?;
        *into += counts.values().sum::<u64>();
        Ok(())
    };
    let mut tables = Histogram::new();
    let left: Vec<Vec<TimeRange>> =
        blocks.iter().map(|(opened, _)| count_tables(opened, query, steps, &mut tables)).collect();
    let find = |(opened, ranges): Block<'a, R>, range| {
        let left = Uncounted::find(opened, ranges, query, range)?;
        Ok((left.known, left.candidates.pages.into_iter().zip(left.told).collect()))
    };
    let counted = each_page(blocks, &left, hands, &find, &look);
    let counts = tables.values().sum::<u64>() + counted.known + counted.counts.iter().sum::<u64>();
    Counted { counts, trouble: counted.trouble }
}

/// Whether a page's lines can be told by its text: each is whole, and all are in the range.
fn is_text_alone(opened: &Opened, number: u32, range: TimeRange) -> bool {
    let is_cut = |page: &PageEntry| Flags(page.flags).has(Flags::CONTINUES);
    is_within(opened, number, range) && !opened.pages.get(number as usize).is_some_and(is_cut)
}

/// Whether nothing but a line's bytes decides.
fn asks_text_alone(expr: &Expr) -> bool {
    match expr {
        Expr::Everything | Expr::Text(_) | Expr::Pattern(_) => true,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(asks_text_alone),
        Expr::Not(inner) => asks_text_alone(inner),
        Expr::Field(..) => false,
    }
}

/// Lines of a text that fit a query which asks for nothing but text; so any source will do.
fn count_text(query: &Query, source: &Source, text: &[u8]) -> u64 {
    let event = |line| Event {
        source,
        offset: 0,
        time: Timestamp(0),
        level: Level::Unknown,
        flags: Flags::NONE,
        file_length: 0,
        line,
    };
    let fits = |start: usize, end: usize| text.get(start..end).is_some_and(|line| query.matches(&event(line)));
    let end_of = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
    };
    let (mut from, mut count) = (0, 0);
    let mut swept = query.sweep().map(|sweep| (sweep, sweep.over(text)));
    while from < text.len() {
        let (place, is_sure) = match &mut swept {
            Some((sweep, swept)) => match swept.next(from) {
                Some(place) => (place, sweep.is_whole),
                None => break,
            },
            None => (from, false),
        };
        let end = end_of(place);
        let start =
            || memchr::memrchr(b'\n', text.get(from..place).unwrap_or_default()).map_or(from, |at| from + at + 1);
        count += u64::from(is_sure || fits(start(), end));
        from = end + 1;
    }
    count
}

/// A page to be read, and what is known of it.
type Wanted = (u32, Option<Told>);

/// What was counted without reading, and a result for some pages each.
struct Looked<T> {
    known: u64,
    counts: Vec<T>,
    trouble: Vec<BlockError>,
}

/// Looks at every page that must be read of what is left of each block; `find` says which.
fn each_page<'a, T: Default + Send, R: Ranges + Sync + ?Sized>(
    blocks: &[Block<'a, R>],
    left: &[Vec<TimeRange>],
    hands: Hands<'_>,
    find: &(impl Fn(Block<'a, R>, TimeRange) -> Result<(u64, Vec<Wanted>), BlockError> + Sync),
    look: &(impl Fn(&mut PageReader<'a>, &Job<'a, R>, &Wanted, &[u8], &mut T) -> Result<(), BlockError> + Sync),
) -> Looked<T> {
    let (mut known, mut trouble) = (0, Vec::new());
    let wanted: Vec<(Block<'a, R>, TimeRange)> =
        blocks.iter().zip(left).flat_map(|(&block, left)| left.iter().map(move |&range| (block, range))).collect();
    let found = side_by_side_with(
        hands.threads,
        &wanted,
        || (),
        |(), (block, range)| {
            if hands.cancel.load(Ordering::Relaxed) { Err(BlockError::Cancelled) } else { find(*block, *range) }
        },
    );
    let mut jobs = Vec::new();
    for ((block, range), found) in wanted.into_iter().zip(found) {
        match found {
            Ok((more, pages)) => {
                known += more;
                let together = pages.chunks(PAGES_AT_ONCE);
                jobs.extend(together.map(|pages| Job { block, range, pages: pages.to_vec() }));
            }
            Err(why) => trouble.push(why),
        }
    }
    let looked = side_by_side_with(hands.threads, &jobs, PageReader::default, |reader, job| {
        let (mut counts, mut trouble) = (T::default(), Vec::new());
        let is_cancelled = || hands.cancel.load(Ordering::Relaxed);
        if is_cancelled() {
            return (counts, vec![BlockError::Cancelled]);
        }
        let numbers: Vec<u32> = job.pages.iter().map(|(number, _)| *number).collect();
        match job.block.0.fetch_pages(job.block.1, &numbers) {
            Ok(fetched) => {
                for (wanted, bytes) in job.pages.iter().zip(fetched) {
                    if is_cancelled() {
                        trouble.push(BlockError::Cancelled);
                        break;
                    }
                    trouble.extend(look(reader, job, wanted, &bytes, &mut counts).err());
                }
            }
            Err(why) => trouble.push(why),
        }
        (counts, trouble)
    });
    let mut counts = Vec::with_capacity(looked.len());
    for (more, bad) in looked {
        counts.push(more);
        trouble.extend(bad);
    }
    Looked { known, counts, trouble }
}

/// Counts on this thread what fits in one block, or says what can't be read.
pub fn histogram<R: Ranges + Sync + ?Sized>(
    opened: &Opened,
    ranges: &R,
    query: &Query,
    steps: Steps,
    cancel: &AtomicBool,
) -> Result<Histogram, BlockError> {
    let counted = histograms(&[(opened, ranges)], query, steps, Hands { threads: 1, cancel });
    counted.trouble.into_iter().next().map_or(Ok(counted.counts), Err)
}

/// How many lines fit, on this thread.
pub fn count<R: Ranges + Sync + ?Sized>(
    opened: &Opened,
    ranges: &R,
    query: &Query,
    range: TimeRange,
    cancel: &AtomicBool,
) -> Result<u64, BlockError> {
    let counted = count_lines(&[(opened, ranges)], query, range, Hands { threads: 1, cancel });
    counted.trouble.into_iter().next().map_or(Ok(counted.counts), Err)
}
