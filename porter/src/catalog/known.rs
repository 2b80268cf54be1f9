//! What stands of each stream, for a tailer that lost its memory.

use crate::block::cover::events_in;
use crate::block::{Opened, Ranges};
use crate::build::ranges_of;
use crate::manifest::Manifest;
use crate::names::BlockAt;
use proto::event::OwnedEvent;
use proto::ids::{Environment, NodeId, StreamId};
use proto::limits::TAIL_MARK_BYTES;
use proto::message::{Known, KnownStream};
use proto::packet::TailMark;
use proto::time::BucketId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Streams in one answer, and their extents: well within a frame.
const PAGE_STREAMS_MAX: usize = 512;
const PAGE_EXTENTS_MAX: usize = 32 << 10;

#[derive(Debug, Default)]
pub(super) struct KnownStreams {
    streams: BTreeMap<(NodeId, StreamId), Stream>,
    /// The newest bucket each tailer has closed.
    closed: BTreeMap<(NodeId, Environment), BucketId>,
}

#[derive(Debug)]
struct Stream {
    generation: u32,
    path: String,
    /// Merged, by their beginnings.
    extents: BTreeMap<u64, u64>,
    /// Has the end of the last extent.
    last: BlockAt,
}

impl KnownStreams {
    pub fn closings(&mut self, manifest: &Arc<Manifest>) {
        for tailer in manifest.census.closings.keys() {
            let newest = self.closed.entry((*tailer, manifest.at.environment.clone())).or_default();
            *newest = (*newest).max(manifest.at.bucket);
        }
    }

    pub fn block(&mut self, block: &BlockAt, opened: &Opened) {
        for source in &opened.sources {
            self.streams.entry((source.tailer, source.stream)).or_insert_with(|| Stream {
                generation: source.generation,
                path: source.path.clone(),
                extents: BTreeMap::new(),
                last: block.clone(),
            });
        }
        for range in ranges_of(opened) {
            let Some(stream) = self.streams.get_mut(&(range.tailer, range.stream)) else { continue };
            if stream.extents.last_key_value().is_none_or(|(_, end)| range.to > *end) {
                stream.last = block.clone();
            }
            insert(&mut stream.extents, range.from, range.to);
        }
    }

    /// The page, and for each stream where its end can be read.
    pub fn page(&self, tailer: NodeId, after: Option<StreamId>) -> (Known, Vec<(BlockAt, u64)>) {
        use std::ops::Bound;
        let from = after.map_or(Bound::Included((tailer, StreamId([0; 16]))), |after| Bound::Excluded((tailer, after)));
        let mut streams = self.streams.range((from, Bound::Included((tailer, StreamId([u8::MAX; 16])))));
        let (mut page, mut ends, mut extents) = (Known::default(), Vec::new(), 0);
        for ((_, id), stream) in streams.by_ref() {
            extents += stream.extents.len();
            let end = stream.extents.last_key_value().map_or(0, |(_, end)| *end);
            ends.push((stream.last.clone(), end));
            page.streams.push(KnownStream {
                stream: *id,
                generation: stream.generation,
                path: stream.path.clone(),
                extents: stream.extents.iter().map(|(from, to)| (*from, *to)).collect(),
                tail: TailMark::default(),
            });
            if page.streams.len() >= PAGE_STREAMS_MAX || extents >= PAGE_EXTENTS_MAX {
                break;
            }
        }
        page.more = streams.next().is_some();
        let closed = self.closed.iter().filter(|((of, _), _)| *of == tailer);
        page.closed = closed.map(|((_, environment), bucket)| (environment.clone(), *bucket)).collect();
        (page, ends)
    }
}

/// Adds a range, joined with those it touches.
fn insert(extents: &mut BTreeMap<u64, u64>, mut from: u64, mut to: u64) {
    while let Some((first, last)) = extents.range(..=to).next_back().map(|(first, last)| (*first, *last)) {
        if last < from {
            break;
        }
        from = from.min(first);
        to = to.max(last);
        extents.remove(&first);
    }
    extents.insert(from, to);
}

/// The checksum of the bytes before `end`, put together again from the lines there. Nothing when they are not all
/// here, or are not what the file had.
pub(super) fn tail_mark<R: Ranges + ?Sized>(
    opened: &Opened,
    bytes: &R,
    tailer: NodeId,
    stream: StreamId,
    end: u64,
) -> Option<TailMark> {
    let wanted = end.min(TAIL_MARK_BYTES as u64);
    let begin = end - wanted;
    let number = opened.stream(tailer, stream)?;
    let mut tail = vec![None; TAIL_MARK_BYTES];
    for (page_number, page) in (0..).zip(&opened.pages) {
        let near = |segment: &crate::block::directory::Segment| {
            segment.stream == number && segment.first < end && begin <= segment.end
        };
        if !page.segments.iter().any(near) {
            continue;
        }
        let page = opened.read_page(bytes, page_number).ok()?;
        let events = events_in(opened, &page);
        for event in events.filter(|event| event.source.tailer == tailer && event.source.stream == stream) {
            if event.offset < end && event.end() > begin {
                write_into(&mut tail, begin, &event.to_owned(Arc::new(event.source.clone())))?;
            }
        }
    }
    let length = usize::try_from(wanted).ok()?;
    let tail: Option<Vec<u8>> = tail.into_iter().take(length).collect();
    tail.map(|tail| TailMark::of(&tail))
}

/// Where two events disagree about a byte, the file was rewritten, and there is no telling which came last.
fn write_into(tail: &mut [Option<u8>], begin: u64, event: &OwnedEvent) -> Option<()> {
    if event.flags.is_foreign() {
        return None;
    }
    let newline = event.borrow().end() > event.offset + event.line.len() as u64;
    let bytes = event.line.iter().copied().chain(newline.then_some(b'\n'));
    for (at, byte) in (event.offset..).zip(bytes) {
        let Some(place) = at.checked_sub(begin).and_then(|at| usize::try_from(at).ok()) else { continue };
        let Some(place) = tail.get_mut(place) else { continue };
        if place.replace(byte).is_some_and(|before| before != byte) {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_join_where_they_touch() {
        let check = |ranges: &[(u64, u64)], expected: &[(u64, u64)]| {
            let mut extents = BTreeMap::new();
            ranges.iter().for_each(|(from, to)| insert(&mut extents, *from, *to));
            assert_eq!(extents.into_iter().collect::<Vec<_>>(), expected, "{ranges:?}");
        };
        check(&[(0, 10), (10, 20)], &[(0, 20)]);
        check(&[(10, 20), (0, 10)], &[(0, 20)]);
        check(&[(0, 10), (11, 20)], &[(0, 10), (11, 20)]);
        check(&[(0, 5), (10, 15), (20, 25), (4, 21)], &[(0, 25)]);
        check(&[(0, 50), (10, 15)], &[(0, 50)]);
    }
}
