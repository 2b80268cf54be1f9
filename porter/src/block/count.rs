//! Counting lines that fit, in one block or in many: from the directory where it knows, from pages where it must.
//!
//! A page that only has to be counted is read as text alone, without what is known of its events, wherever the
//! query asks for nothing but text. Pages are read side by side on as many threads as the caller gives.

use super::BlockError;
use super::beside::side_by_side_with;
use super::directory::{Count, NANOS_PER_MINUTE};
use super::opened::{Opened, Ranges};
use super::page::{Page, PageReader};
use super::search::{Candidates, PAGES_AT_ONCE, each_match};
use crate::plan::{Plan, levels_of};
use proto::event::{Flags, Level};
use proto::query::{Query, Sweep, TimeRange};
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
    pages: Vec<u32>,
}

/// Lines that fit, by step and level. Opens no page that tables can answer for.
pub fn histograms<'a, R: Ranges + Sync + ?Sized>(
    blocks: &[Block<'a, R>],
    query: &Query,
    steps: Steps,
    hands: Hands<'_>,
) -> Counted<Histogram> {
    let mut counts = Histogram::new();
    let look = |reader: &mut PageReader<'a>, job: &Job<'a, R>, number, bytes: &[u8], into: &mut Histogram| {
        let page = reader.read(job.block.0, number, bytes)?;
        count_page(job.block.0, page, query, (job.range, steps), hands.cancel, into)
    };
    let left: Vec<Vec<TimeRange>> =
        blocks.iter().map(|(opened, _)| count_tables(opened, query, steps, &mut counts)).collect();
    let mut counted = each_page(blocks, query, &left, hands, &look);
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
    let whole = query.sweep().filter(|sweep| sweep.is_whole);
    let look = |reader: &mut PageReader<'a>, job: &Job<'a, R>, number: u32, bytes: &[u8], into: &mut u64| {
        let opened = job.block.0;
        let alone = whole.filter(|_| is_text_alone(opened, number, job.range));
        if let Some(sweep) = alone {
            let text = reader.text(opened, number, bytes)?;
            if text.is_clean {
                *into += count_text(sweep, text.bytes);
                return Ok(());
            }
        }
        let page = if alone.is_some() { reader.finish(opened, number)? } else { reader.read(opened, number, bytes)? };
        let mut counts = Histogram::new();
        count_page(opened, page, query, (job.range, steps), hands.cancel, &mut counts)?;
        *into += counts.values().sum::<u64>();
        Ok(())
    };
    let mut tables = Histogram::new();
    let left: Vec<Vec<TimeRange>> =
        blocks.iter().map(|(opened, _)| count_tables(opened, query, steps, &mut tables)).collect();
    let counted = each_page(blocks, query, &left, hands, &look);
    let counts = tables.values().sum::<u64>() + counted.counts.iter().sum::<u64>();
    Counted { counts, trouble: counted.trouble }
}

/// Whether a page's lines can be told by its text: each is whole, and all are in the range.
fn is_text_alone(opened: &Opened, number: u32, range: TimeRange) -> bool {
    opened.pages.get(number as usize).is_some_and(|page| {
        let all_in = range.contains(Timestamp(page.earliest)) && range.contains(Timestamp(page.latest));
        all_in && !Flags(page.flags).has(Flags::CONTINUES)
    })
}

fn count_text(sweep: &Sweep, text: &[u8]) -> u64 {
    let (mut from, mut count, mut swept) = (0, 0, sweep.over(text));
    while let Some(place) = swept.next(from) {
        count += 1;
        let rest = text.get(place..).unwrap_or_default();
        from = place + memchr::memchr(b'\n', rest).unwrap_or(rest.len()) + 1;
    }
    count
}

/// Looks at every page that can hold a match of what is left of each block; a result for some pages each.
fn each_page<'a, T: Default + Send, R: Ranges + Sync + ?Sized>(
    blocks: &[Block<'a, R>],
    query: &Query,
    left: &[Vec<TimeRange>],
    hands: Hands<'_>,
    look: &(impl Fn(&mut PageReader<'a>, &Job<'a, R>, u32, &[u8], &mut T) -> Result<(), BlockError> + Sync),
) -> Counted<Vec<T>> {
    let mut trouble = Vec::new();
    let wanted: Vec<(Block<'a, R>, TimeRange)> =
        blocks.iter().zip(left).flat_map(|(&block, left)| left.iter().map(move |&range| (block, range))).collect();
    let found = side_by_side_with(
        hands.threads,
        &wanted,
        || (),
        |(), ((opened, ranges), range)| Candidates::find(opened, *ranges, query, *range),
    );
    let mut jobs = Vec::new();
    for ((block, range), found) in wanted.into_iter().zip(found) {
        match found {
            Ok(found) => {
                let together = found.pages.chunks(PAGES_AT_ONCE);
                jobs.extend(together.map(|pages| Job { block, range, pages: pages.to_vec() }));
            }
            Err(why) => trouble.push(why),
        }
    }
    let looked = side_by_side_with(hands.threads, &jobs, PageReader::default, |reader, job| {
        let (mut counts, mut trouble) = (T::default(), Vec::new());
        match job.block.0.fetch_pages(job.block.1, &job.pages) {
            Ok(fetched) => {
                for (&number, bytes) in job.pages.iter().zip(fetched) {
                    if hands.cancel.load(Ordering::Relaxed) {
                        trouble.push(BlockError::Cancelled);
                        break;
                    }
                    trouble.extend(look(reader, job, number, &bytes, &mut counts).err());
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
    Counted { counts, trouble }
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
