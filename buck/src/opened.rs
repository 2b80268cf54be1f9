//! A packet opened: its body stretched, its events read, the pieces of long lines joined again.
//!
//! A line over 65,535 bytes lies in pieces, each flagged `CONTINUES` but the last. Here they become one event
//! again, under the first piece's offset, time and level, before any query sees them: a needle across a cut is
//! found. Joining ends at [`JOINED_LINE_BYTES_MAX`]; what follows begins another event, and the one before it
//! keeps its `CONTINUES`.
//!
//! A line whose pieces lie in two packets is joined as far as one packet goes; that is also said by the flag.

use proto::event::{Event, Flags, Level, Source};
use proto::limits::JOINED_LINE_BYTES_MAX;
use proto::packet::{Events, Packet, PacketError};
use proto::squeeze::Stretcher;
use proto::time::Timestamp;

/// Opens one packet after another with one buffer and one context.
#[derive(Debug, Default)]
pub struct Opener {
    stretcher: Stretcher<'static>,
    body: Vec<u8>,
}

impl Opener {
    pub fn open<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Opened<'a>, PacketError> {
        let packet = Packet::parse(bytes)?;
        packet.stretch_into(&mut self.stretcher, &mut self.body)?;
        let sources = packet.sources();
        Ok(Opened { packet, sources, body: &self.body })
    }
}

#[derive(Debug)]
pub struct Opened<'a> {
    pub packet: Packet<'a>,
    /// Events point into these.
    pub sources: Vec<Source>,
    body: &'a [u8],
}

impl Opened<'_> {
    /// Each event as it was put, pieces and all.
    #[must_use]
    pub fn pieces(&self) -> Events<'_> {
        Events::new(&self.packet.head, &self.sources, self.body)
    }

    /// Each line, joined, with its source's place among [`Self::sources`]. An error comes after the events that
    /// could be read before it; who can't live with half a packet throws those away.
    pub fn for_each(&self, mut each: impl FnMut(usize, &Event<'_>)) -> Result<(), PacketError> {
        let mut joiner = Joiner::default();
        let mut finder = SourceFinder { sources: &self.sources, last: 0 };
        for event in self.pieces() {
            let event = event?;
            let index = finder.index_of(event.source);
            joiner.take(index, &event, &mut each);
        }
        joiner.finish(&mut each);
        Ok(())
    }
}

/// Neighbouring events mostly share a source; only a change looks through the list.
struct SourceFinder<'a> {
    sources: &'a [Source],
    last: usize,
}

impl SourceFinder<'_> {
    fn index_of(&mut self, source: &Source) -> usize {
        let is_it = |index: &usize| self.sources.get(*index).is_some_and(|known| std::ptr::eq(known, source));
        if !is_it(&self.last) {
            self.last = (0..self.sources.len()).find(is_it).unwrap_or(0);
        }
        self.last
    }
}

/// Lines of which the end has not come yet.
#[derive(Default)]
struct Joiner<'a> {
    open: Vec<Open<'a>>,
}

/// The beginning of a long line.
struct Open<'a> {
    index: usize,
    source: &'a Source,
    offset: u64,
    time: Timestamp,
    level: Level,
    flags: Flags,
    file_length: u32,
    /// The offset its next piece has.
    end: u64,
    line: Vec<u8>,
}

impl<'a> Joiner<'a> {
    fn take(&mut self, index: usize, event: &Event<'a>, each: &mut impl FnMut(usize, &Event<'_>)) {
        if self.open.is_empty() && !event.flags.has(Flags::CONTINUES) {
            return each(index, event);
        }
        let of_event = |open: &Open<'_>| open.source.stream == event.source.stream && open.end == event.offset;
        match self.open.iter().position(of_event).map(|at| self.open.swap_remove(at)) {
            Some(open) if open.line.len() + event.line.len() > JOINED_LINE_BYTES_MAX => {
                open.show(each);
                self.begin(index, event, each);
            }
            Some(mut open) => {
                open.add(event);
                if event.flags.has(Flags::CONTINUES) { self.open.push(open) } else { open.show(each) }
            }
            None => self.begin(index, event, each),
        }
    }

    fn begin(&mut self, index: usize, event: &Event<'a>, each: &mut impl FnMut(usize, &Event<'_>)) {
        if event.flags.has(Flags::CONTINUES) { self.open.push(Open::of(index, event)) } else { each(index, event) }
    }

    fn finish(self, each: &mut impl FnMut(usize, &Event<'_>)) {
        for open in self.open {
            open.show(each);
        }
    }
}

impl<'a> Open<'a> {
    fn of(index: usize, event: &Event<'a>) -> Self {
        Self {
            index,
            source: event.source,
            offset: event.offset,
            time: event.time,
            level: event.level,
            flags: event.flags,
            file_length: event.file_length,
            end: event.end(),
            line: event.line.to_vec(),
        }
    }

    fn add(&mut self, event: &Event<'_>) {
        self.line.extend_from_slice(event.line);
        self.file_length = self.file_length.saturating_add(event.file_length);
        self.end = event.end();
        let ending = Flags::CONTINUES.with(Flags::NEWLINE_ABSENT).0;
        self.flags = Flags(self.flags.0 & !ending | event.flags.0 & (ending | Flags::REDACTED.0));
    }

    fn show(&self, each: &mut impl FnMut(usize, &Event<'_>)) {
        let event = Event {
            source: self.source,
            offset: self.offset,
            time: self.time,
            level: self.level,
            flags: self.flags,
            file_length: self.file_length,
            line: &self.line,
        };
        each(self.index, &event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{PacketMaker, event_of};
    use proto::limits::LINE_BYTES_MAX;

    /// Offset, length and whether the line goes on, of each joined event.
    fn joined(maker: &PacketMaker) -> Vec<(u64, usize, bool)> {
        let bytes = maker.finish();
        let mut opener = Opener::default();
        let opened = opener.open(&bytes).expect("a whole packet");
        let mut found = Vec::new();
        let read =
            opened.for_each(|_, event| found.push((event.offset, event.line.len(), event.flags.has(Flags::CONTINUES))));
        assert_eq!(read, Ok(()));
        found
    }

    #[test]
    fn pieces_become_one_line_under_the_first_ones_offset() {
        let mut maker = PacketMaker::new(1, 0);
        let piece = vec![b'x'; LINE_BYTES_MAX];
        maker.line("a", b"before");
        maker.push("a", event_of(&piece, Flags::CONTINUES));
        maker.line("b", b"another stream in between");
        maker.push("a", event_of(&piece, Flags::CONTINUES));
        maker.push("a", event_of(b"end", Flags::NONE));
        maker.line("a", b"after");
        let expected = vec![(0, 6, false), (0, 25, false), (7, 2 * LINE_BYTES_MAX + 3, false), (131_081, 5, false)];
        assert_eq!(joined(&maker), expected);
    }

    #[test]
    fn a_line_without_an_end_and_one_without_an_end_to_its_length() {
        let mut maker = PacketMaker::new(1, 0);
        let piece = vec![b'x'; LINE_BYTES_MAX];
        for _ in 0..18 {
            maker.push("a", event_of(&piece, Flags::CONTINUES));
        }
        let most = 16 * LINE_BYTES_MAX;
        assert_eq!(joined(&maker), vec![(0, most, true), (most as u64, 2 * LINE_BYTES_MAX, true)]);
    }
}
