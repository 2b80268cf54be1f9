//! A porter's answers to searches: the program's own search, over blocks of the simulated shelf.

use crate::nodes::catalogue::Catalogue;
use crate::nodes::shelf::Objects;
use porter::block::{Ask as BlockAsk, BlockError, Opened, Ranges};
use porter::dedup::Earlier;
use porter::manifest::Block;
use porter::names::BlockAt;
use porter::search::{Blocks, Merged, count};
use proto::event::{OwnedEvent, Source};
use proto::message::{Answer, Counts, End, Part, Progress, Refusal, Row, SearchAsk, Want};
use proto::query::{TimeRange, parse};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The blocks of one snapshot.
struct View {
    blocks: BTreeMap<BlockAt, (Arc<Opened>, Held)>,
    doubles: BTreeMap<BlockAt, Earlier>,
}

#[derive(Clone, Debug)]
struct Held(Arc<[u8]>);

impl Ranges for Held {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        self.0.suffix(bytes)
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        self.0.ranges(ranges)
    }
}

impl Blocks for View {
    type Bytes = Held;

    fn open(&self, block: &BlockAt) -> Result<Arc<Opened>, BlockError> {
        let gone = || BlockError::Unread { range: 0..0, why: "it is gone".to_owned() };
        self.blocks.get(block).map(|(opened, _)| Arc::clone(opened)).ok_or_else(gone)
    }

    fn bytes_of(&self, block: &BlockAt) -> Held {
        self.blocks.get(block).map_or_else(|| Held(Arc::from([])), |(_, held)| held.clone())
    }

    fn told_apart(&self, _: &[(BlockAt, Block)]) -> BTreeMap<BlockAt, Earlier> {
        self.doubles.clone()
    }
}

/// All parts of an answer. A snapshot of which something is gone is refused, as the program does.
pub fn search(catalog: &mut Catalogue, objects: &mut Objects, ask: &SearchAsk) -> Vec<Answer> {
    let refused = |why| vec![Answer::Refused(why)];
    let query = match parse(&ask.query) {
        Ok(query) => query,
        Err(why) => return refused(Refusal::BadQuery(why.to_string())),
    };
    let Some(blocks) = catalog.snapshot(objects, ask) else { return refused(Refusal::Stale) };
    let mut view = View { blocks: BTreeMap::new(), doubles: catalog.told_apart(objects, &blocks) };
    for (block, _) in &blocks {
        let Ok((opened, bytes)) = objects.open(&block.path()) else { return refused(Refusal::Stale) };
        view.blocks.insert(block.clone(), (opened, Held(bytes)));
    }
    let range = TimeRange { from: ask.from, to: ask.to };
    let block_ask = BlockAsk { query, range, order: ask.order, after: ask.after, limit: None };
    let parts = match ask.want {
        Want::Rows { limit } => rows(&view, blocks, block_ask, usize::try_from(limit).unwrap_or(usize::MAX)),
        Want::Counts { step_nanos } => counts(&view, &blocks, &block_ask, step_nanos),
    };
    parts.into_iter().map(Answer::Part).collect()
}

fn rows(view: &View, blocks: Vec<(BlockAt, Block)>, ask: BlockAsk, limit: usize) -> Vec<Part> {
    let cancel = AtomicBool::new(false);
    let mut merged = Merged::new(view, blocks, BlockAsk { limit: Some(limit), ..ask }, &cancel);
    let (mut events, mut last) = (Vec::new(), None);
    while events.len() < limit {
        let Some(event) = merged.next(|| ControlFlow::Continue(())) else { break };
        last = Some(event.borrow().order());
        events.push(event);
    }
    while let Some(event) = last.and_then(|last| merged.next_beside(&last)) {
        events.push(event);
    }
    let progress = Progress { settled: last.map(|last| last.time), ..merged.progress };
    let trouble = merged.trouble.iter().map(ToString::to_string).collect();
    let end = End { exhausted: merged.is_exhausted(), progress, heard: Vec::new(), trouble };
    let (sources, rows) = of_events(events);
    vec![Part::Sources(sources), Part::Rows(rows), Part::End(end)]
}

fn of_events(events: Vec<OwnedEvent>) -> (Vec<Source>, Vec<Row>) {
    let mut sources: Vec<Arc<Source>> = Vec::new();
    let mut rows = Vec::new();
    for event in events {
        let known = sources.iter().position(|source| *source == event.source).unwrap_or_else(|| {
            sources.push(Arc::clone(&event.source));
            sources.len() - 1
        });
        rows.push(Row {
            source: u32::try_from(known).unwrap_or(u32::MAX),
            offset: event.offset,
            time: event.time,
            level: event.level,
            flags: event.flags,
            file_length: event.file_length,
            line: event.line,
        });
    }
    (sources.into_iter().map(|source| (*source).clone()).collect(), rows)
}

fn counts(view: &View, blocks: &[(BlockAt, Block)], ask: &BlockAsk, step_nanos: u64) -> Vec<Part> {
    let (cells, trouble) = count(view, blocks, &view.doubles, ask, step_nanos, &AtomicBool::new(false));
    let trouble = trouble.iter().map(ToString::to_string).collect();
    let end = End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble };
    vec![Part::Counts(vec![Counts { packet: None, cells }]), Part::End(end)]
}
