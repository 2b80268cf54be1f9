//! Packets in, one block out.
//!
//! A function of what it is given: the same packets and the same earlier events make the same bytes, here and on
//! every other machine. A packet whose body can't be read gives nothing, rather than half of what it holds.

use crate::block::{BlockError, BlockHead, Opened, Profile, Writer, Written, cover};
use crate::dedup::Earlier;
use crate::machine::{BuildOf, Built, BuiltBlock, StreamRange};
use crate::manifest::Block;
use proto::event::{Event, OwnedEvent};
use proto::ids::EventId;
use proto::packet::{Events, Packet, TimeSpan};
use proto::squeeze::Stretcher;
use proto::time::BucketWidth;
use std::sync::Arc;

/// Makes a block of packets, or of blocks that are merged.
pub fn build(of: &BuildOf, earlier: &Earlier, width: BucketWidth) -> Result<Built, BlockError> {
    let head = BlockHead {
        environment: of.at.environment.clone(),
        first: of.at.bucket,
        last: of.at.bucket,
        width,
        shard: of.at.shard,
        shards: of.shards,
    };
    let mut gathered = Gathered { writer: Writer::new(head, Profile::Recent), earlier, events: 0 };
    let mut bad = Vec::new();
    let (mut stretcher, mut body) = (Stretcher::default(), Vec::new());
    for (id, bytes) in &of.packets {
        let readable = is_readable(bytes, &mut stretcher, &mut body);
        match readable {
            Ok(()) => gathered.add_packet(bytes, &body)?,
            Err(why) => bad.push((id.clone(), why)),
        }
    }
    for block in &of.blocks {
        gathered.add_block(block)?;
    }
    Ok(Built { block: gathered.finish()?, bad })
}

/// Reads a packet to its end once, so that nothing of a bad one is taken.
fn is_readable(bytes: &[u8], stretcher: &mut Stretcher<'_>, body: &mut Vec<u8>) -> Result<(), String> {
    let packet = Packet::parse(bytes).map_err(|why| why.to_string())?;
    packet.stretch_into(stretcher, body).map_err(|why| why.to_string())?;
    let sources = packet.sources();
    Events::new(&packet.head, &sources, body).try_for_each(|event| event.map(drop)).map_err(|why| why.to_string())
}

struct Gathered<'a> {
    writer: Writer,
    earlier: &'a Earlier,
    events: u64,
}

impl Gathered<'_> {
    fn add_packet(&mut self, bytes: &[u8], body: &[u8]) -> Result<(), BlockError> {
        let Ok(packet) = Packet::parse(bytes) else { return Ok(()) };
        let sources = packet.sources();
        Events::new(&packet.head, &sources, body).filter_map(Result::ok).try_for_each(|event| self.add(&event))
    }

    fn add_block(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        let opened = Opened::open(bytes)?;
        for number in 0..opened.page_count() {
            let page = opened.read_page(bytes, number)?;
            cover::events_in(&opened, &page).try_for_each(|event| self.add(&event))?;
        }
        Ok(())
    }

    fn add(&mut self, event: &Event<'_>) -> Result<(), BlockError> {
        if self.earlier.is_empty() || !self.earlier.holds(&event.id()) {
            self.events += 1;
            self.writer.add(event)?;
        }
        Ok(())
    }

    /// What no porter could open must not stand for what bucks then let go of.
    fn finish(self) -> Result<Option<BuiltBlock>, BlockError> {
        if self.events == 0 {
            return Ok(None);
        }
        let built = built_block(self.writer.finish());
        Opened::open(&*built.bytes)?;
        Ok(Some(built))
    }
}

fn built_block(written: Written) -> BuiltBlock {
    let summary = &written.summary;
    // Spans of whole minutes end where the next would begin.
    let span = |(from, to): &(proto::time::Timestamp, proto::time::Timestamp)| {
        let last = proto::time::Timestamp(to.0.saturating_sub(1));
        TimeSpan { first: *from, last: last.max(*from) }
    };
    let block = Block {
        name: written.name,
        bytes: written.bytes.len() as u64,
        events: summary.events,
        line_bytes: summary.raw_bytes,
        times: summary.intervals.iter().map(span).collect(),
    };
    BuiltBlock { block, bytes: Arc::from(written.bytes) }
}

/// Where a block's events lie, stream by stream.
#[must_use]
pub fn ranges_of(opened: &Opened) -> Vec<StreamRange> {
    let streams = opened.streams.iter().zip(&opened.extents);
    let of_stream = |((tailer, stream), extents): (&(proto::ids::NodeId, proto::ids::StreamId), &Vec<_>)| {
        let (tailer, stream) = (*tailer, *stream);
        let range =
            move |extent: &crate::block::Extent| StreamRange { tailer, stream, from: extent.from, to: extent.to };
        extents.iter().map(range).collect::<Vec<_>>()
    };
    streams.flat_map(of_stream).collect()
}

/// The names of a block's events in these ranges.
pub fn names_in<R: crate::block::Ranges + ?Sized>(
    opened: &Opened,
    bytes: &R,
    ranges: &[StreamRange],
) -> Result<Vec<EventId>, BlockError> {
    let touched = |tailer, stream, first: u64, end: u64| {
        let of_stream = ranges.iter().filter(|range| range.tailer == tailer && range.stream == stream);
        of_stream.into_iter().any(|range| range.from < end && first < range.to)
    };
    let mut names = Vec::new();
    for (number, page) in (0..).zip(&opened.pages) {
        let needed = page.segments.iter().any(|segment| {
            let stream = opened.streams.get(segment.stream as usize);
            stream.is_some_and(|(tailer, stream)| touched(*tailer, *stream, segment.first, segment.end))
        });
        if needed {
            names.extend(cover::names_in(opened, &opened.read_page(bytes, number)?));
        }
    }
    Ok(names)
}

/// A joined line as the pieces it was written in would be named: by its first byte.
#[must_use]
pub fn is_same_line(a: &OwnedEvent, b: &OwnedEvent) -> bool {
    a.borrow().order() == b.borrow().order() && a.line == b.line
}
