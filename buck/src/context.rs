//! The lines around a line, in the order its file has them.
//!
//! Packets of the event's stream are opened outwards from the one that holds it, until there are enough lines on
//! either side. A buck holds only some of a stream's packets: whoever asks puts the answers of all together and
//! takes the nearest.

use crate::job::{Step, Trouble, checked};
use crate::opened::{Opened, Opener};
use crate::plan::Planned;
use crate::scan::sources::SourceList;
use bytes::Bytes;
use proto::event::Event;
use proto::ids::{EventId, StreamId};
use proto::message::{ContextAsk, End, Part, Progress, Row};
use std::collections::{BTreeMap, VecDeque};

/// Lines on one side; a page's worth, whatever was asked for.
pub const CONTEXT_LINES_MAX: u32 = 1000;

/// Rows in one part of the answer.
const PART_ROWS: usize = 200;

#[derive(Debug)]
pub struct Context {
    event: EventId,
    before: usize,
    after: usize,
    /// Nearest last.
    earlier: Vec<Planned>,
    /// Nearest last; the one that holds the event is among these.
    later: Vec<Planned>,
    reading: Option<Planned>,
    opener: Opener,
    /// By offset; then length and checksum, for a file that was written again.
    rows: BTreeMap<(u64, u32, u32), Row>,
    sources: SourceList,
    trouble: Trouble,
    out: VecDeque<Part>,
    ended: bool,
}

impl Context {
    /// Of all packets that hold a part of the event's stream.
    #[must_use]
    pub fn new(ask: &ContextAsk, mut packets: Vec<Planned>) -> Self {
        let (stream, offset) = (ask.event.stream, ask.event.offset);
        packets.sort_by_key(|packet| span_of(packet, stream));
        let holds = |packet: &Planned| span_of(packet, stream).1 > offset;
        let middle = packets.iter().position(holds).unwrap_or(packets.len());
        let mut later = packets.split_off(middle);
        later.reverse();
        Self {
            event: ask.event,
            before: ask.before.min(CONTEXT_LINES_MAX) as usize,
            after: ask.after.min(CONTEXT_LINES_MAX) as usize,
            earlier: packets,
            later,
            reading: None,
            opener: Opener::default(),
            rows: BTreeMap::new(),
            sources: SourceList::default(),
            trouble: Trouble::default(),
            out: VecDeque::new(),
            ended: false,
        }
    }

    pub fn step(&mut self) -> Step {
        if let Some(part) = self.out.pop_front() {
            return Step::Part(part);
        }
        if self.ended {
            return Step::Done;
        }
        if let Some(packet) = self.next_packet() {
            let place = packet.place.clone();
            self.reading = Some(packet);
            return Step::Read(place);
        }
        self.end();
        self.out.pop_front().map_or(Step::Done, Step::Part)
    }

    pub fn on_read(&mut self, read: Result<Bytes, String>) {
        let Some(packet) = self.reading.take() else { return };
        let mut opener = std::mem::take(&mut self.opener);
        let looked = checked(&packet.place, read).and_then(|bytes| match opener.open(&bytes) {
            Ok(opened) => self.gather(&opened),
            Err(error) => Err(format!("{}: {error}", packet.place)),
        });
        self.opener = opener;
        if let Err(sentence) = looked {
            self.trouble.say(sentence);
        }
    }

    /// The event itself counts to neither side.
    fn next_packet(&mut self) -> Option<Planned> {
        let offset = self.event.offset;
        let behind = self.rows.range((offset.saturating_add(1), 0, 0)..).count();
        let wanted = behind < self.after || !self.rows.keys().any(|(at, ..)| *at == offset);
        if let Some(packet) = self.later.pop_if(|_| wanted) {
            return Some(packet);
        }
        let ahead = self.rows.range(..(offset, 0, 0)).count();
        if ahead < self.before { self.earlier.pop() } else { None }
    }

    fn gather(&mut self, opened: &Opened<'_>) -> Result<(), String> {
        let stream = self.event.stream;
        let (rows, sources) = (&mut self.rows, &mut self.sources);
        let read = opened.for_each(|_, event| {
            if event.source.stream == stream {
                let id = event.id();
                rows.insert((event.offset, id.length, id.crc), row_of(sources.number_of(event.source), event));
            }
        });
        self.trim();
        read.map_err(|error| error.to_string())
    }

    /// Keeps only the nearest on either side.
    fn trim(&mut self) {
        let offset = self.event.offset;
        while self.rows.range(..(offset, 0, 0)).count() > self.before {
            self.rows.pop_first();
        }
        while self.rows.range((offset.saturating_add(1), 0, 0)..).count() > self.after {
            self.rows.pop_last();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.out.extend(self.sources.take_new().map(Part::Sources));
        let rows: Vec<Row> = std::mem::take(&mut self.rows).into_values().collect();
        for rows in rows.chunks(PART_ROWS) {
            self.out.push_back(Part::Rows(rows.to_vec()));
        }
        let trouble = self.trouble.take();
        let end = End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble };
        self.out.push_back(Part::End(end));
    }
}

fn span_of(packet: &Planned, stream: StreamId) -> (u64, u64) {
    let of_stream = |segment: &&crate::plan::Segment| segment.stream == stream;
    packet.segments.iter().find(of_stream).map_or((0, 0), |segment| (segment.from, segment.to))
}

/// An event as it stands in an answer.
pub(crate) fn row_of(source: u32, event: &Event<'_>) -> Row {
    Row {
        source,
        offset: event.offset,
        time: event.time,
        level: event.level,
        flags: event.flags,
        file_length: event.file_length,
        line: event.line.to_vec(),
    }
}
