//! Puts a packet together, event by event.

use super::{Extent, Fate, PacketHead, PacketSource, PacketStream, TailMark, TimeSpan};
use crate::event::{Flags, Level, end_of};
use crate::field::{put_signed, put_u16, put_varint};
use crate::ids::PacketId;
use crate::record::{Kind, Signature, write};
use crate::squeeze::Squeezer;
use crate::time::Timestamp;

/// One line on its way into a packet.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// What [`PacketBuilder::source`] gave.
    pub source: u16,
    pub time: Timestamp,
    pub level: Level,
    pub flags: Flags,
    /// How long the line was in its file; differs from the line only when redacted.
    pub file_length: u32,
    pub line: &'a [u8],
}

/// Gathers events into a packet.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    pub(super) head: PacketHead,
    pub(super) body: Vec<u8>,
    time: Timestamp,
}

impl PacketBuilder {
    #[must_use]
    pub fn new(id: PacketId, backlog: bool) -> Self {
        let head = PacketHead {
            id,
            backlog,
            filed: TimeSpan::EMPTY,
            base_time: Timestamp::default(),
            times: TimeSpan::EMPTY,
            events: 0,
            line_bytes: 0,
            streams: Vec::new(),
            sources: Vec::new(),
        };
        Self { head, body: Vec::new(), time: Timestamp::default() }
    }

    #[must_use]
    pub fn head(&self) -> &PacketHead {
        &self.head
    }

    /// Nothing to tell: no event, and no byte passed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.events == 0 && self.head.streams.iter().all(|stream| stream.extents.is_empty())
    }

    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Adds a stream; the number names it within this packet. Whoever fills it keeps to the limits.
    pub fn stream(&mut self, stream: PacketStream) -> u16 {
        self.head.streams.push(stream);
        index_of_last(self.head.streams.len())
    }

    /// Adds a source; the number names it within this packet. Whoever fills it keeps to the limits.
    pub fn source(&mut self, source: PacketSource) -> u16 {
        self.head.sources.push(source);
        index_of_last(self.head.sources.len())
    }

    /// Says when lines were read.
    pub fn filed(&mut self, time: Timestamp) {
        self.head.filed.take_in(time);
    }

    /// Accounts for bytes of a stream. They begin where its last ones ended, or later.
    pub fn pass(&mut self, stream: u16, extent: Extent) {
        let extents = &mut self.head.streams[usize::from(stream)].extents;
        match extents.last_mut() {
            Some(last) if last.to == extent.from && last.fate == extent.fate => last.to = extent.to,
            _ => extents.push(extent),
        }
    }

    /// The bytes before the end of a stream's last extent.
    pub fn mark(&mut self, stream: u16, tail: TailMark) {
        self.head.streams[usize::from(stream)].tail = tail;
    }

    /// Adds a line that begins at `offset` of its stream, and accounts for its bytes.
    pub fn push(&mut self, offset: u64, event: NewEvent<'_>) {
        if self.head.events == 0 {
            self.head.base_time = event.time;
            self.time = event.time;
        }
        let length = u16::try_from(event.line.len()).expect("longer lines are cut before they come here");
        put_u16(&mut self.body, length);
        put_varint(&mut self.body, u64::from(event.source));
        put_signed(&mut self.body, event.time.0.wrapping_sub(self.time.0));
        self.body.push(event.flags.0);
        self.body.push(event.level as u8);
        if event.flags.is_foreign() {
            put_varint(&mut self.body, u64::from(event.file_length));
        }
        self.body.extend_from_slice(event.line);
        self.time = event.time;
        self.head.times.take_in(event.time);
        self.head.events += 1;
        self.head.line_bytes += u64::from(length);
        let stream = self.head.sources[usize::from(event.source)].stream;
        let to = end_of(offset, event.file_length, event.flags);
        self.pass(stream, Extent { from: offset, to, fate: Fate::Kept });
    }

    /// The finished packet. `sign` is given everything the signature is over.
    #[must_use]
    pub fn finish(&self, squeezer: &mut Squeezer<'_>, sign: impl FnOnce(&[u8]) -> Signature) -> Vec<u8> {
        let mut header = Vec::with_capacity(512);
        self.head.put(&mut header);
        write(Kind::Packet, &header, &squeezer.squeeze(&self.body), self.body.len(), sign)
    }
}

fn index_of_last(count: usize) -> u16 {
    u16::try_from(count - 1).expect("limits keep indexes within a u16")
}
