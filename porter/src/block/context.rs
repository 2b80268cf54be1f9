//! What stands around a line: the lines of its stream before and after it, whatever was searched for.

use super::BlockError;
use super::opened::{Opened, Ranges};
use super::page::Page;
use super::search::event_of;
use proto::event::OwnedEvent;
use proto::ids::{NodeId, StreamId};
use std::collections::VecDeque;
use std::sync::Arc;

/// A line and its neighbours, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    pub before: Vec<OwnedEvent>,
    /// The line that holds the offset; nothing when this block doesn't have it.
    pub line: Option<OwnedEvent>,
    pub after: Vec<OwnedEvent>,
}

/// The line at an offset of a stream, up to so many before it and so many after it. When there are fewer, the rest
/// is in other blocks.
pub fn context<R: Ranges + ?Sized>(
    opened: &Opened,
    ranges: &R,
    name: (NodeId, StreamId),
    offset: u64,
    before: usize,
    after: usize,
) -> Result<Context, BlockError> {
    let Some(stream) = opened.stream(name.0, name.1) else { return Ok(Context::default()) };
    let pages = pages_of(opened, stream);
    // The last page that begins at or before the offset holds the line, if any does.
    let here = pages.partition_point(|&(_, first)| first <= offset).saturating_sub(1);
    let mut lines: VecDeque<OwnedEvent> = VecDeque::new();
    let (mut first, mut end) = (here, here);
    loop {
        // An empty line at the offset itself is the line, not one before it.
        let is_earlier = |event: &&OwnedEvent| event.offset < offset && event.borrow().end() <= offset;
        let earlier = lines.iter().filter(is_earlier).count();
        let later = lines.iter().filter(|event| event.offset > offset).count();
        if end == here || later < after && end < pages.len() {
            let Some(&(page, _)) = pages.get(end) else { break };
            lines.extend(lines_of(opened, &opened.read_page(ranges, page)?, stream));
            end += 1;
        } else if earlier < before && first > 0 {
            first -= 1;
            let Some(&(page, _)) = pages.get(first) else { break };
            for line in lines_of(opened, &opened.read_page(ranges, page)?, stream).into_iter().rev() {
                lines.push_front(line);
            }
        } else {
            break;
        }
    }
    Ok(around(lines, offset, before, after))
}

fn around(lines: VecDeque<OwnedEvent>, offset: u64, before: usize, after: usize) -> Context {
    let mut context = Context::default();
    for event in lines {
        let end = event.borrow().end();
        // An empty last line has no byte of its own; its offset is its name all the same.
        if event.offset <= offset && (offset < end || event.offset == offset) && context.line.is_none() {
            context.line = Some(event);
        } else if event.offset <= offset {
            context.before.push(event);
        } else {
            context.after.push(event);
        }
    }
    context.before.drain(..context.before.len().saturating_sub(before));
    context.after.truncate(after);
    context
}

/// Pages with lines of a stream, and where in it each begins.
fn pages_of(opened: &Opened, stream: u32) -> Vec<(u32, u64)> {
    (0..)
        .zip(&opened.pages)
        .filter_map(|(number, page)| {
            let segment = page.segments.iter().find(|segment| segment.stream == stream)?;
            Some((number, segment.first))
        })
        .collect()
}

fn lines_of(opened: &Opened, page: &Page, stream: u32) -> Vec<OwnedEvent> {
    page.lines()
        .filter_map(|line| {
            let source = page.rows.get(line.rows.start)?.source;
            if opened.stream_of.get(source as usize) != Some(&stream) {
                return None;
            }
            let source = Arc::clone(opened.sources.get(source as usize)?);
            Some(event_of(opened, page, &line)?.to_owned(source))
        })
        .collect()
}
