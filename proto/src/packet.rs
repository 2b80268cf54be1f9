//! A packet: events of one tailer, environment and bucket, put together once and never changed.
//!
//! A packet is a [`record`](crate::record) of kind "TBP1". Its header, all numbers varints unless said:
//!
//! ```text
//! tailer u64, run u64, environment (counted), bucket, seq
//! flags u8                bit 0: backlog, lines that were old when they were read
//! filed first, filed last i64 each: when the tailer read the first and the last line
//! base time i64           what the first event's time is a difference to
//! time first, time last   i64 each: the earliest and latest event
//! events, line bytes
//! streams: count, then each
//!     id 16 bytes, path (counted), generation, predecessor: u8 0 or 1, then 16 bytes
//!     labels: count, then key and value (counted)
//!     tail mark: length u8, crc32c u32 of the last bytes before the end of the last extent
//!     extents: count, then each: gap since the extent before, length, fate u8 (filtered: then the rule)
//! sources: count, then each: stream's index, host, app (counted)
//! ```
//!
//! The body, stretched, is the events in the order they were read:
//!
//! ```text
//! length u16, source's index, time since the event before (zigzag), flags u8, level u8,
//! if redacted or lost: how many bytes of the file it stands for, then the line's bytes
//! ```
//!
//! Offsets are not written: a stream's events fill its kept extents one after another, newline included, so an
//! offset is where the one before ended. Every byte a tailer passed is in some extent: kept, filtered, a hole of
//! NULs, or lost. An event takes at least one byte, so that no two have one name. What is missing between packets can therefore be seen.

mod builder;

pub use builder::{NewEvent, PacketBuilder};

use crate::event::{Event, Flags, Level, Source, end_of};
use crate::field::{BadField, Fields, put_count, put_counted, put_u16, put_u32, put_u64, put_varint};
use crate::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use crate::limits::{
    ENVIRONMENT_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, PACKET_BODY_BYTES_MAX, PACKET_EVENTS_MAX,
    PACKET_SOURCE_BYTES_MAX, PACKET_SOURCES_MAX, PACKET_STREAMS_MAX, PATH_BYTES_MAX, STREAM_EXTENTS_MAX,
    TAIL_MARK_BYTES,
};
use crate::record::{Kind, Record, RecordError};
use crate::squeeze::{SqueezeError, Stretcher};
use crate::time::{BucketId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a packet says of itself before its body is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketHead {
    pub id: PacketId,
    pub backlog: bool,
    pub filed: TimeSpan,
    pub base_time: Timestamp,
    pub times: TimeSpan,
    pub events: u32,
    /// Of all lines together, without newlines.
    pub line_bytes: u64,
    pub streams: Vec<PacketStream>,
    pub sources: Vec<PacketSource>,
}

/// A first and a last moment, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSpan {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl TimeSpan {
    /// Holds nothing yet; grows with [`Self::take_in`].
    pub const EMPTY: Self = Self { first: Timestamp::MAX, last: Timestamp::MIN };

    pub fn take_in(&mut self, time: Timestamp) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

/// One stream's part in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketStream {
    pub id: StreamId,
    pub path: String,
    pub generation: u32,
    pub predecessor: Option<StreamId>,
    pub labels: Vec<(String, String)>,
    /// In order, not overlapping.
    pub extents: Vec<Extent>,
    pub tail: TailMark,
}

/// The bytes just before an offset, by length and checksum, to know a file again by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailMark {
    pub length: u8,
    pub crc: u32,
}

impl TailMark {
    /// Of the last [`TAIL_MARK_BYTES`] of what stood before the offset.
    #[must_use]
    pub fn of(before: &[u8]) -> Self {
        let tail = &before[before.len().saturating_sub(TAIL_MARK_BYTES)..];
        Self { length: u8::try_from(tail.len()).expect("a mark is at most 64 bytes"), crc: crc32c::crc32c(tail) }
    }
}

/// A contiguous range of a stream's bytes, and what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub from: u64,
    /// Not included.
    pub to: u64,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// In this packet, as events.
    Kept,
    /// Left out by the tailer's rule of this number.
    Filtered(u16),
    /// NUL bytes, as a writer leaves that goes on at its old offset after a truncation.
    Nuls,
    /// Gone before they could be read.
    Lost,
}

/// One (stream, host, app) that events point at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSource {
    /// Index into the packet's streams.
    pub stream: u16,
    pub host: String,
    pub app: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("a record is no packet")]
    OtherKind,
    #[error("a packet's header is damaged: {0}")]
    Header(BadField),
    #[error("a packet's body is damaged: {0}")]
    Body(BadField),
    #[error("a packet's body can't be opened: {0}")]
    Squeezed(#[from] SqueezeError),
    #[error("a packet's extents do not hold its events")]
    Extents,
}

/// A packet whose record and header were read and found whole.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub head: PacketHead,
    pub record: Record<'a>,
}

impl<'a> Packet<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let record = Record::parse(bytes)?;
        if record.kind != Kind::Packet {
            return Err(PacketError::OtherKind);
        }
        let head = PacketHead::parse(record.header).map_err(PacketError::Header)?;
        Ok(Self { head, record })
    }

    /// The body, into a buffer that is used again.
    pub fn stretch_into(&self, stretcher: &mut Stretcher<'_>, out: &mut Vec<u8>) -> Result<(), PacketError> {
        Ok(stretcher.stretch_into(self.record.body, self.record.stretched_bytes, PACKET_BODY_BYTES_MAX, out)?)
    }

    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.head.sources.iter().filter_map(|source| self.head.source(source)).collect()
    }
}

impl PacketHead {
    /// What its sources say when each is laid out with its stream's path and labels.
    #[must_use]
    pub fn source_bytes(&self) -> usize {
        let label = |(name, value): &(String, String)| name.len() + value.len();
        let of_stream = |stream: &PacketStream| stream.path.len() + stream.labels.iter().map(label).sum::<usize>();
        let streams: Vec<usize> = self.streams.iter().map(of_stream).collect();
        let of_source = |source: &PacketSource| {
            let stream = streams.get(usize::from(source.stream)).copied().unwrap_or_default();
            source.host.len() + source.app.len() + stream
        };
        self.sources.iter().map(of_source).sum()
    }

    fn source(&self, source: &PacketSource) -> Option<Source> {
        let stream = self.streams.get(usize::from(source.stream))?;
        Some(Source {
            tailer: self.id.tailer,
            environment: self.id.environment.clone(),
            stream: stream.id,
            host: source.host.clone(),
            app: source.app.clone(),
            path: stream.path.clone(),
            generation: stream.generation,
            predecessor: stream.predecessor,
            labels: stream.labels.clone(),
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.id.tailer.0);
        put_u64(out, self.id.run.0);
        put_counted(out, self.id.environment.as_str().as_bytes());
        put_varint(out, self.id.bucket.0);
        put_varint(out, u64::from(self.id.seq));
        out.push(u8::from(self.backlog));
        for time in [self.filed.first, self.filed.last, self.base_time, self.times.first, self.times.last] {
            put_u64(out, time.0.cast_unsigned());
        }
        put_varint(out, u64::from(self.events));
        put_varint(out, self.line_bytes);
        put_count(out, self.streams.len());
        self.streams.iter().for_each(|stream| stream.put(out));
        put_count(out, self.sources.len());
        for source in &self.sources {
            put_varint(out, u64::from(source.stream));
            put_counted(out, source.host.as_bytes());
            put_counted(out, source.app.as_bytes());
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let (tailer, run) = (NodeId(fields.u64()?), RunId(fields.u64()?));
        let environment: Environment =
            fields.text(ENVIRONMENT_BYTES_MAX)?.parse().map_err(|_| fields.bad("an environment's name"))?;
        let (bucket, seq) = (BucketId(fields.varint()?), fields.varint_u32()?);
        let backlog = flag(&mut fields)?;
        let mut time = || fields.u64().map(|nanos| Timestamp(nanos.cast_signed()));
        let filed = TimeSpan { first: time()?, last: time()? };
        let base_time = time()?;
        let times = TimeSpan { first: time()?, last: time()? };
        let events = u32::try_from(fields.count(PACKET_EVENTS_MAX)?).map_err(|_| fields.bad("too many events"))?;
        let line_bytes = fields.varint()?;
        let count = fields.count(PACKET_STREAMS_MAX)?;
        let streams = (0..count).map(|_| PacketStream::parse(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        let count = fields.count(PACKET_SOURCES_MAX)?;
        let sources =
            (0..count).map(|_| PacketSource::parse(&mut fields, streams.len())).collect::<Result<Vec<_>, _>>()?;
        let id = PacketId { tailer, environment, bucket, run, seq };
        let head = Self { id, backlog, filed, base_time, times, events, line_bytes, streams, sources };
        if head.source_bytes() > PACKET_SOURCE_BYTES_MAX {
            return Err(fields.bad("sources that say too much"));
        }
        fields.end()?;
        Ok(head)
    }
}

fn flag(fields: &mut Fields<'_>) -> Result<bool, BadField> {
    match fields.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(fields.bad("a flag that is neither 0 nor 1")),
    }
}

impl PacketStream {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        put_counted(out, self.path.as_bytes());
        put_varint(out, u64::from(self.generation));
        out.push(u8::from(self.predecessor.is_some()));
        if let Some(predecessor) = self.predecessor {
            out.extend_from_slice(&predecessor.0);
        }
        put_count(out, self.labels.len());
        for (key, value) in &self.labels {
            put_counted(out, key.as_bytes());
            put_counted(out, value.as_bytes());
        }
        out.push(self.tail.length);
        put_u32(out, self.tail.crc);
        put_extents(out, &self.extents);
    }

    fn parse(fields: &mut Fields<'_>) -> Result<Self, BadField> {
        let id = StreamId(fields.array()?);
        let path = fields.text(PATH_BYTES_MAX)?.to_owned();
        let generation = fields.varint_u32()?;
        let predecessor = if flag(fields)? { Some(StreamId(fields.array()?)) } else { None };
        let count = fields.count(LABELS_MAX)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            labels.push((fields.text(NAME_BYTES_MAX)?.to_owned(), fields.text(NAME_BYTES_MAX)?.to_owned()));
        }
        let tail = TailMark { length: fields.u8()?, crc: fields.u32()? };
        if usize::from(tail.length) > TAIL_MARK_BYTES {
            return Err(fields.bad("a tail mark too long"));
        }
        Ok(Self { id, path, generation, predecessor, labels, tail, extents: parse_extents(fields)? })
    }
}

impl PacketSource {
    fn parse(fields: &mut Fields<'_>, streams: usize) -> Result<Self, BadField> {
        let stream = fields.varint()?;
        let known = u16::try_from(stream).ok().filter(|index| usize::from(*index) < streams);
        let stream = known.ok_or(fields.bad("a source of no stream"))?;
        let (host, app) = (fields.text(NAME_BYTES_MAX)?.to_owned(), fields.text(NAME_BYTES_MAX)?.to_owned());
        Ok(Self { stream, host, app })
    }
}

/// Count, then each as the gap since the one before, its length and its fate. Also used by closings.
pub(crate) fn put_extents(out: &mut Vec<u8>, extents: &[Extent]) {
    put_count(out, extents.len());
    let mut end = 0;
    for extent in extents {
        put_varint(out, extent.from - end);
        put_varint(out, extent.to - extent.from);
        match extent.fate {
            Fate::Kept => out.push(0),
            Fate::Filtered(rule) => {
                out.push(1);
                put_u16(out, rule);
            }
            Fate::Nuls => out.push(2),
            Fate::Lost => out.push(3),
        }
        end = extent.to;
    }
}

pub(crate) fn parse_extents(fields: &mut Fields<'_>) -> Result<Vec<Extent>, BadField> {
    let count = fields.count(STREAM_EXTENTS_MAX)?;
    let mut extents = Vec::new();
    let mut end = 0u64;
    for _ in 0..count {
        let (gap, length) = (fields.varint()?, fields.varint()?);
        let too_far = fields.bad("an extent past the end of numbers");
        let from = end.checked_add(gap).ok_or(too_far)?;
        let to = from.checked_add(length).ok_or(too_far)?;
        let fate = match fields.u8()? {
            0 => Fate::Kept,
            1 => Fate::Filtered(fields.u16()?),
            2 => Fate::Nuls,
            3 => Fate::Lost,
            _ => return Err(fields.bad("an unknown fate")),
        };
        extents.push(Extent { from, to, fate });
        end = to;
    }
    Ok(extents)
}

/// Reads the events out of a stretched body. Yields an error once, then nothing more.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    sources: &'a [Source],
    /// For each source, its stream's place in `places`.
    stream_of: Vec<u16>,
    places: Vec<Place<'a>>,
    fields: Fields<'a>,
    time: Timestamp,
    left: u32,
}

/// How far one stream's kept extents are filled.
#[derive(Clone, Debug)]
struct Place<'a> {
    rest: &'a [Extent],
    offset: u64,
}

impl<'a> Events<'a> {
    /// `sources` is what [`Packet::sources`] gave, `body` what [`Packet::stretch_into`] did.
    #[must_use]
    pub fn new(head: &'a PacketHead, sources: &'a [Source], body: &'a [u8]) -> Self {
        Self {
            sources,
            stream_of: head.sources.iter().map(|source| source.stream).collect(),
            places: head.streams.iter().map(|stream| Place::new(&stream.extents)).collect(),
            fields: Fields::new(body),
            time: head.base_time,
            left: head.events,
        }
    }

    fn read(&mut self) -> Result<Event<'a>, PacketError> {
        let fields = &mut self.fields;
        let length = usize::from(fields.u16().map_err(PacketError::Body)?);
        let index = fields.count(PACKET_SOURCES_MAX).map_err(PacketError::Body)?;
        let since = fields.signed().map_err(PacketError::Body)?;
        let flags = Flags::from_u8(fields.u8().map_err(PacketError::Body)?);
        let flags = flags.ok_or(PacketError::Body(fields.bad("an unknown flag")))?;
        let level = Level::from_u8(fields.u8().map_err(PacketError::Body)?);
        let level = level.ok_or(PacketError::Body(fields.bad("an unknown level")))?;
        let file_length = if flags.is_foreign() {
            fields.varint_u32().map_err(PacketError::Body)?
        } else {
            u32::try_from(length).expect("a u16 fits a u32")
        };
        let line = fields.take(length).map_err(PacketError::Body)?;
        self.time = Timestamp(self.time.0.wrapping_add(since));
        let unknown = PacketError::Body(self.fields.bad("an event of no source"));
        let source = self.sources.get(index).ok_or(unknown.clone())?;
        let stream = usize::from(*self.stream_of.get(index).ok_or(unknown.clone())?);
        let offset = self.places.get_mut(stream).ok_or(unknown)?.take(file_length, flags)?;
        Ok(Event { source, offset, time: self.time, level, flags, file_length, line })
    }

    /// After the last event: nothing may be left over, neither bytes nor kept extents.
    fn finish(&self) -> Result<(), PacketError> {
        self.fields.end().map_err(PacketError::Body)?;
        if self.places.iter().all(Place::is_filled) { Ok(()) } else { Err(PacketError::Extents) }
    }
}

impl<'a> Place<'a> {
    fn new(extents: &'a [Extent]) -> Self {
        let mut place = Self { rest: extents, offset: 0 };
        place.seek_kept();
        place
    }

    fn seek_kept(&mut self) {
        while let [first, rest @ ..] = self.rest {
            if first.fate == Fate::Kept && first.from < first.to {
                self.offset = first.from;
                return;
            }
            self.rest = rest;
        }
    }

    fn take(&mut self, file_length: u32, flags: Flags) -> Result<u64, PacketError> {
        let [extent, rest @ ..] = self.rest else { return Err(PacketError::Extents) };
        let (offset, end) = (self.offset, end_of(self.offset, file_length, flags));
        if end > extent.to || end == offset {
            return Err(PacketError::Extents);
        }
        self.offset = end;
        if end == extent.to {
            self.rest = rest;
            self.seek_kept();
        }
        Ok(offset)
    }

    fn is_filled(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let read = match self.read() {
            Ok(_) if self.left == 0 && self.finish().is_err() => Err(PacketError::Extents),
            read => read,
        };
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests;
