//! Which events a block already has, so that a later port leaves them out.
//!
//! The checksums over runs of lines answer for whole runs without a page; only where a run is known in part, or
//! its bytes disagree, pages are opened and names compared one by one. So the answer is exact either way.

use super::BlockError;
use super::directory::{Extent, ExtentBuilder};
use super::opened::{Opened, Ranges};
use super::page::Page;
use proto::event::Event;
use proto::ids::{EventId, NodeId, StreamId};
use proto::time::Timestamp;
use std::collections::BTreeSet;

/// An event that may be here already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: EventId,
    /// Where it ends in its stream, newline included.
    pub end: u64,
}

impl Candidate {
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        Self { id: event.id(), end: event.end() }
    }
}

/// For each event of one stream, in the order of their offsets, whether the block has it.
pub fn covered<R: Ranges + ?Sized>(
    opened: &Opened,
    ranges: &R,
    name: (NodeId, StreamId),
    events: &[Candidate],
) -> Result<Vec<bool>, BlockError> {
    let mut covered = vec![false; events.len()];
    let Some(stream) = opened.stream(name.0, name.1) else { return Ok(covered) };
    let Some(extents) = opened.extents.get(stream as usize) else { return Ok(covered) };
    let mut doubtful = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if extents.iter().any(|extent| holds(extent, event.id.offset)) {
            doubtful.push(at);
        }
    }
    settle_runs(extents, events, &mut covered, &mut doubtful);
    if !doubtful.is_empty() {
        settle_pages(opened, ranges, stream, events, &mut covered, &doubtful)?;
    }
    Ok(covered)
}

/// An empty line at a file's end may be the last of a run and have no byte of it.
fn holds(extent: &Extent, offset: u64) -> bool {
    extent.from <= offset && offset <= extent.to
}

/// Settles runs of which every event is asked for and agrees.
fn settle_runs(extents: &[Extent], events: &[Candidate], covered: &mut [bool], doubtful: &mut Vec<usize>) {
    for extent in extents {
        let from = events.partition_point(|event| event.id.offset < extent.from);
        let to = events.partition_point(|event| event.id.offset < extent.to).max(from);
        let Some(run) = events.get(from..to) else { continue };
        let mut builder = ExtentBuilder::default();
        run.iter().for_each(|event| builder.event(&event.id, event.end));
        if builder.extents == [*extent] {
            covered.iter_mut().take(to).skip(from).for_each(|known| *known = true);
        }
    }
    doubtful.retain(|&at| covered.get(at) == Some(&false));
}

/// Settles the rest by the names in the pages.
fn settle_pages<R: Ranges + ?Sized>(
    opened: &Opened,
    ranges: &R,
    stream: u32,
    events: &[Candidate],
    covered: &mut [bool],
    doubtful: &[usize],
) -> Result<(), BlockError> {
    let asked = |first: u64, end: u64| {
        doubtful
            .iter()
            .any(|&at| events.get(at).is_some_and(|event| first <= event.id.offset && event.id.offset <= end))
    };
    for (number, page) in (0..).zip(&opened.pages) {
        let needed = page.segments.iter().any(|segment| segment.stream == stream && asked(segment.first, segment.end));
        if !needed {
            continue;
        }
        let names: BTreeSet<EventId> = names_in(opened, &opened.read_page(ranges, number)?).collect();
        for &at in doubtful {
            if let (Some(event), Some(known)) = (events.get(at), covered.get_mut(at)) {
                *known |= names.contains(&event.id);
            }
        }
    }
    Ok(())
}

/// The names of a page's events.
pub fn names_in<'a>(opened: &'a Opened, page: &'a Page) -> impl Iterator<Item = EventId> + 'a {
    events_in(opened, page).map(|event| event.id())
}

/// A page's events as they were written: pieces of long lines apart.
pub fn events_in<'a>(opened: &'a Opened, page: &'a Page) -> impl Iterator<Item = Event<'a>> + 'a {
    page.events().filter_map(|(row, line)| {
        Some(Event {
            source: opened.sources.get(row.source as usize)?,
            offset: row.offset,
            time: Timestamp(row.time),
            level: row.level,
            flags: row.flags,
            file_length: row.file_length,
            line,
        })
    })
}
