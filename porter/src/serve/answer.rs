//! Searches and contexts, on a thread that may block.

use super::Say;
use super::rows::Rows;
use crate::block::Ask;
use crate::block::context::context as context_in;
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

fn around(catalog: &Catalog, ask: &ContextAsk, before: usize, after: usize) -> (VecDeque<OwnedEvent>, Vec<String>) {
    let (tailer, stream) = (ask.event.tailer, ask.event.stream);
    let parts = catalog.blocks_of_stream(&ask.environment, tailer, stream);
    let mut trouble = Vec::new();
    let mut look = |at: u64, before: usize, after: usize| {
        let (_, _, block) = parts.iter().find(|(from, to, _)| *from <= at && at < *to)?;
        let opened = catalog.open(block).map_err(|why| why.to_string());
        let found = opened.and_then(|opened| {
            let bytes = catalog.bytes_of(block);
            context_in(&opened, &bytes, (tailer, stream), at, before, after)
                .map_err(|why| format!("{}: {why}", bytes.path))
        });
        found.map_err(|why| trouble.push(why)).ok()
    };
    let mut lines = VecDeque::new();
    let Some(here) = look(ask.event.offset, before, after) else { return (lines, trouble) };
    let (mut earlier, mut later) = (here.before.len(), here.after.len());
    lines.extend(here.before.into_iter().chain(here.line).chain(here.after));
    for _ in 0..CONTEXT_BLOCKS_MAX {
        let first = lines.front().map_or(0, |line: &OwnedEvent| line.offset);
        if earlier >= before || first == 0 {
            break;
        }
        let Some(more) = look(first - 1, before - earlier - 1, 0) else { break };
        let more: Vec<_> = more.before.into_iter().chain(more.line).filter(|line| line.offset < first).collect();
        if more.is_empty() {
            break;
        }
        earlier += more.len();
        more.into_iter().rev().for_each(|line| lines.push_front(line));
    }
    for _ in 0..CONTEXT_BLOCKS_MAX {
        let end = lines.back().map_or(u64::MAX, |line: &OwnedEvent| line.borrow().end());
        if later >= after {
            break;
        }
        let Some(more) = look(end, 0, after - later - 1) else { break };
        let more: Vec<_> = more.line.into_iter().chain(more.after).filter(|line| line.offset >= end).collect();
        if more.is_empty() {
            break;
        }
        later += more.len();
        lines.extend(more);
    }
    (lines, trouble)
}
