//! Searches and contexts, on a thread that may block.

use super::Say;
use super::rows::Rows;
use crate::block::Ask;
use crate::block::context::{Context, context as context_in};
use crate::catalog::{Catalog, CatalogError};
use crate::manifest::Block;
use crate::names::BlockAt;
use crate::search::{Blocks, Merged, SearchError, count};
use proto::event::OwnedEvent;
use proto::message::{Answer, ContextAsk, Counts, End, Part, Progress, Refusal, SearchAsk, Want};
use proto::query::{TimeRange, parse};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

/// Blocks counted between two parts of an answer.
const COUNTED_AT_ONCE: usize = 16;

/// Lines of context either side, and blocks that are opened for them.
const CONTEXT_LINES_MAX: u32 = 10_000;
const CONTEXT_BLOCKS_MAX: usize = 64;

/// Sentences of trouble in one answer.
const TROUBLE_MAX: usize = 16;

pub(super) fn search(catalog: &Catalog, ask: &SearchAsk, say: &Say) {
    // Nothing is left to be done when nobody hears it.
    let refuse = |why| {
        let _ = say.answer(Answer::Refused(why));
    };
    let query = match parse(&ask.query) {
        Ok(query) => query,
        Err(why) => return refuse(Refusal::BadQuery(why.to_string())),
    };
    if ask.snapshot.iter().any(|shard| !ask.environments.contains(&shard.environment)) {
        return refuse(Refusal::NotAllowed("a snapshot of environments that are not asked for".to_owned()));
    }
    let blocks = match catalog.snapshot(&ask.snapshot, ask.from, ask.to) {
        Ok(blocks) => blocks,
        Err(CatalogError::Gone(_)) => return refuse(Refusal::Stale),
        Err(why) => return refuse(Refusal::Trouble(why.to_string())),
    };
    let range = TimeRange { from: ask.from, to: ask.to };
    let block_ask = Ask { query, range, order: ask.order, after: ask.after, limit: None };
    let end = match ask.want {
        Want::Rows { limit } => rows(catalog, blocks, block_ask, limit, say),
        Want::Counts { step_nanos } => counts(catalog, &blocks, &block_ask, step_nanos, say),
    };
    match end {
        Ok(end) => {
            let _ = say.part(Part::End(end));
        }
        Err(why) => refuse(why),
    }
}

fn rows(catalog: &Catalog, blocks: Vec<(BlockAt, Block)>, ask: Ask, limit: u32, say: &Say) -> Result<End, Refusal> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut merged = Merged::new(catalog, blocks, Ask { limit: Some(limit), ..ask }, &say.cancel);
    let (mut rows, mut sent, mut last) = (Rows::default(), 0, None);
    while sent < limit {
        let flush = || if rows.send(say) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let Some(event) = merged.next(flush) else { break };
        last = Some(event.borrow().order());
        sent += 1;
        if !rows.push(event, say) {
            break;
        }
    }
    // Lines of one name and time are not parted, so that what comes after the last one is well defined.
    while let Some(event) = last.and_then(|last| merged.next_beside(&last)) {
        if !rows.push(event, say) {
            break;
        }
    }
    let _ = rows.send(say);
    let cancelled = say.cancel.load(Ordering::Relaxed);
    let trouble = told(&merged.trouble, catalog)?;
    let progress = Progress { settled: last.map(|last| last.time), ..merged.progress };
    Ok(End { exhausted: !cancelled && merged.is_exhausted(), progress, heard: Vec::new(), trouble })
}

fn counts(
    catalog: &Catalog,
    blocks: &[(BlockAt, Block)],
    ask: &Ask,
    step_nanos: u64,
    say: &Say,
) -> Result<End, Refusal> {
    let bytes = blocks.iter().map(|(_, block)| block.bytes).sum();
    let mut progress = Progress { bytes, ..Progress::default() };
    let mut trouble = Vec::new();
    let doubles = catalog.told_apart(blocks);
    for some in blocks.chunks(COUNTED_AT_ONCE) {
        let (cells, wrong) = count(catalog, some, &doubles, ask, step_nanos, &say.cancel);
        trouble.extend(wrong);
        progress.bytes_done += some.iter().map(|(_, block)| block.bytes).sum::<u64>();
        let sent = say.part(Part::Counts(vec![Counts { packet: None, cells }])) && say.part(Part::Progress(progress));
        if !sent || say.cancel.load(Ordering::Relaxed) {
            break;
        }
    }
    let trouble = told(&trouble, catalog)?;
    Ok(End { exhausted: !say.cancel.load(Ordering::Relaxed), progress, heard: Vec::new(), trouble })
}

/// A block that is gone makes the whole answer stale; one that is damaged is named in it.
fn told(trouble: &[SearchError], catalog: &Catalog) -> Result<Vec<String>, Refusal> {
    if trouble.iter().any(|why| catalog.is_stale(why)) {
        return Err(Refusal::Stale);
    }
    Ok(trouble.iter().take(TROUBLE_MAX).map(ToString::to_string).collect())
}

/// The lines around one, from as many blocks as they lie in.
pub(super) fn context(catalog: &Catalog, ask: &ContextAsk, say: &Say) {
    let (before, after) = (ask.before.min(CONTEXT_LINES_MAX), ask.after.min(CONTEXT_LINES_MAX));
    let (lines, trouble) = around(catalog, ask, before as usize, after as usize);
    let mut rows = Rows::default();
    let said = lines.into_iter().all(|line| rows.push(line, say)) && rows.send(say);
    if said {
        let end = End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble };
        let _ = say.part(Part::End(end));
    }
}

/// Where nothing stands, because it was left out or lost, or is with bucks still, the lines behind it come next: the
/// offsets show what is between.
fn around(catalog: &Catalog, ask: &ContextAsk, before: usize, after: usize) -> (VecDeque<OwnedEvent>, Vec<String>) {
    let parts = catalog.blocks_of_stream(&ask.environment, ask.event.tailer, ask.event.stream);
    let mut looking = Looking { catalog, ask, parts, lines: VecDeque::new(), trouble: Vec::new(), looks: 0 };
    let offset = ask.event.offset;
    if let Some((_, _, block)) = looking.parts.iter().find(|(from, to, _)| *from <= offset && offset < *to).cloned() {
        looking.looks += 1;
        let here = looking.look(&block, offset, before, after);
        looking.lines = here.before.into_iter().chain(here.line).chain(here.after).collect();
    }
    looking.go_back(before);
    looking.go_on(after);
    (looking.lines, looking.trouble)
}

/// Lines of one stream, gathered outwards from one of them.
struct Looking<'a> {
    catalog: &'a Catalog,
    ask: &'a ContextAsk,
    /// Which block has what of the stream.
    parts: Vec<(u64, u64, BlockAt)>,
    lines: VecDeque<OwnedEvent>,
    trouble: Vec<String>,
    looks: usize,
}

impl Looking<'_> {
    fn look(&mut self, block: &BlockAt, at: u64, before: usize, after: usize) -> Context {
        let bytes = self.catalog.bytes_of(block);
        let stream = (self.ask.event.tailer, self.ask.event.stream);
        let opened = self.catalog.open(block).map_err(|why| why.to_string());
        let found = opened.and_then(|opened| {
            let found = context_in(&opened, &bytes, stream, at, before, after);
            found.map_err(|why| format!("{}: {why}", bytes.path))
        });
        found.unwrap_or_else(|why| {
            self.trouble.push(why);
            Context::default()
        })
    }

    /// Whether one block more may be opened; said once when not.
    fn may_look(&mut self) -> bool {
        if self.looks == CONTEXT_BLOCKS_MAX {
            self.trouble.push(format!("lines further away are in more than {CONTEXT_BLOCKS_MAX} blocks"));
        }
        self.looks += 1;
        self.looks <= CONTEXT_BLOCKS_MAX
    }

    fn go_back(&mut self, before: usize) {
        let place = self.ask.event.offset;
        let mut first = self.lines.front().map_or(place, |line| line.offset.min(place));
        let mut had = self.lines.iter().filter(|line| line.offset < place).count();
        while had < before && first > 0 {
            let nearest =
                self.parts.iter().filter(|(from, _, _)| *from < first).max_by_key(|(_, to, _)| *to.min(&first));
            let Some((from, to, block)) = nearest.cloned() else { return };
            if !self.may_look() {
                return;
            }
            let more = self.look(&block, to.min(first) - 1, before - had - 1, 0);
            let more: Vec<_> = more.before.into_iter().chain(more.line).filter(|line| line.offset < first).collect();
            had += more.len();
            // What stands here and can't be read is passed over.
            first = more.first().map_or(from, |line| line.offset);
            more.into_iter().rev().for_each(|line| self.lines.push_front(line));
        }
    }

    fn go_on(&mut self, after: usize) {
        let place = self.ask.event.offset;
        let mut end = self.lines.back().map_or(place, |line| line.borrow().end()).max(place.saturating_add(1));
        let mut had = self.lines.iter().filter(|line| line.offset > place).count();
        while had < after {
            let nearest = self.parts.iter().filter(|(_, to, _)| *to > end).min_by_key(|(from, _, _)| *from.max(&end));
            let Some((from, to, block)) = nearest.cloned() else { return };
            if !self.may_look() {
                return;
            }
            let more = self.look(&block, from.max(end), 0, after - had - 1);
            let more: Vec<_> = more.line.into_iter().chain(more.after).filter(|line| line.offset >= end).collect();
            had += more.len();
            end = more.last().map_or(to, |line| line.borrow().end().max(end + 1));
            self.lines.extend(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{here, put};
    use crate::sample::packet;
    use proto::ids::{Environment, EventId};
    use proto::time::BucketId;

    /// Twelve lines of four bytes in three buckets; of the file nothing stands from 16 to 100 and from 116 to 200.
    #[test]
    fn lines_around_go_on_behind_what_does_not_stand() {
        let here = here("around");
        for (bucket, offset) in [(5, 0), (6, 100), (7, 200)] {
            let lines: Vec<String> = (0..4).map(|n| format!("{:03}", offset + n * 4)).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            put(here.catalog.shelf(), BucketId(bucket), vec![packet(1, 7, BucketId(bucket), 0, offset, &lines)]);
        }
        here.catalog.refresh("").unwrap();
        let stream = proto::ids::StreamId([1; 16]);
        let check = |offset: u64, before: u32, after: u32, expected: &[&str]| {
            let event = EventId { tailer: proto::ids::NodeId(1), stream, offset, length: 3, crc: 0 };
            let ask = ContextAsk { event, environment: Environment::default(), before, after };
            let (lines, trouble) = around(&here.catalog, &ask, before as usize, after as usize);
            let lines: Vec<String> = lines.into_iter().map(|line| String::from_utf8(line.line).unwrap()).collect();
            assert!(lines == expected && trouble.is_empty(), "around {offset}: {lines:?} {trouble:?}");
        };
        check(104, 1, 1, &["100", "104", "108"]);
        check(104, 3, 4, &["008", "012", "100", "104", "108", "112", "200", "204"]);
        check(12, 9, 1, &["000", "004", "008", "012", "100"]);
        check(200, 5, 9, &["012", "100", "104", "108", "112", "200", "204", "208", "212"]);
        // The line itself is with bucks still, those around it stand.
        check(116, 1, 1, &["112", "200"]);
        check(300, 2, 2, &["208", "212"]);
    }
}
