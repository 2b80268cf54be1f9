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

/// Bytes of lines on one side, nearest first; a line alone may have a sixteenth of it.
const SIDE_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 16 << 20 };

/// Bytes of lines in one part of the answer, and rows; a frame holds 4 MiB.
const PART_BYTES: usize = 512 << 10;
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
    /// Lines before, and after, were left out because the nearer ones are so long.
    is_cut: (bool, bool),
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
            is_cut: (false, false),
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
        let wanted = behind < self.after && !self.is_cut.1 || !self.rows.keys().any(|(at, ..)| *at == offset);
        if let Some(packet) = self.later.pop_if(|_| wanted) {
            return Some(packet);
        }
        let ahead = self.rows.range(..(offset, 0, 0)).count();
        if ahead < self.before && !self.is_cut.0 { self.earlier.pop() } else { None }
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
        while bytes_of(self.rows.range(..(offset, 0, 0))) > SIDE_BYTES_MAX {
            self.rows.pop_first();
            self.is_cut.0 = true;
        }
        while bytes_of(self.rows.range((offset.saturating_add(1), 0, 0)..)) > SIDE_BYTES_MAX {
            self.rows.pop_last();
            self.is_cut.1 = true;
        }
    }

    fn end(&mut self) {
        self.ended = true;
        while let Some(new) = self.sources.take_new() {
            self.out.push_back(Part::Sources(new));
        }
        let (mut part, mut bytes) = (Vec::new(), 0);
        for row in std::mem::take(&mut self.rows).into_values() {
            bytes += row.line.len();
            part.push(row);
            if bytes >= PART_BYTES || part.len() >= PART_ROWS {
                self.out.push_back(Part::Rows(std::mem::take(&mut part)));
                bytes = 0;
            }
        }
        if !part.is_empty() {
            self.out.push_back(Part::Rows(part));
        }
        if self.is_cut != (false, false) {
            self.trouble.say("lines around it are so long that fewer are shown".to_owned());
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

fn bytes_of<'a>(rows: impl Iterator<Item = (&'a (u64, u32, u32), &'a Row)>) -> usize {
    rows.map(|(_, row)| row.line.len()).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rules;
    use crate::machine::testing::{Buck, PacketMaker, TAILER, WEB, search, stream_id};
    use proto::ids::Environment;
    use proto::message::Ask;

    /// Lines of these lengths in packets of four, and the answer around the one with this number.
    fn around(lengths: &[usize], number: usize) -> (Vec<usize>, Vec<String>) {
        let mut buck = Buck::new(Rules::default(), 1);
        let mut offset = 0;
        let mut offsets = Vec::new();
        for (seq, lengths) in lengths.chunks(4).enumerate() {
            let mut maker = PacketMaker::new(TAILER.0, seq as u32);
            maker.at("a", offset);
            for length in lengths {
                offsets.push(maker.end_of("a"));
                maker.line("a", &vec![b'x'; *length]);
            }
            offset = maker.end_of("a");
            buck.keep(TAILER, maker.finish());
        }
        let ask = Ask::Search(search(""));
        let rows = buck
            .parts(WEB, ask)
            .into_iter()
            .flat_map(|part| if let Part::Rows(rows) = part { rows } else { Vec::new() });
        let row = rows.into_iter().find(|row| row.offset == offsets[number]).expect("it is there");
        let event = EventId {
            tailer: TAILER,
            stream: stream_id("a"),
            offset: row.offset,
            length: row.file_length,
            crc: crc32c::crc32c(&row.line),
        };
        let ask = ContextAsk { environment: Environment::default(), event, before: 5, after: 5 };
        let (mut found, mut trouble) = (Vec::new(), Vec::new());
        for part in buck.parts(WEB, Ask::Context(ask)) {
            match part {
                Part::Rows(rows) => found.extend(rows.iter().map(|row| row.line.len())),
                Part::End(end) => trouble = end.trouble,
                _ => {}
            }
        }
        (found, trouble)
    }

    #[test]
    fn long_lines_are_fewer_and_that_is_said() {
        let lengths: Vec<usize> = (1..=16).collect();
        assert_eq!(around(&lengths, 7), ((3..=13).collect(), Vec::new()));
        let long = vec![1500; 16];
        let (found, trouble) = around(&long, 7);
        assert_eq!(found, [1500; 5], "two on either side, and the line itself");
        assert_eq!(trouble, ["lines around it are so long that fewer are shown"]);
    }
}
