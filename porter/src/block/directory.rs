//! The directory: what a block holds and where, without a page opened.
//!
//! Its sections, each squeezed on its own (varints unless said otherwise; "steps" are signed, from the one before):
//!
//! ```text
//! head     counted environment, first bucket, last bucket - first, width in seconds, shard, shards,
//!          events, lines, raw bytes, 32 bytes name
//! sources  count; each: u64 tailer, 16 bytes stream, generation, u8 has predecessor [16 bytes],
//!          counted host, app, path, labels, each label counted key, counted value
//!          sources of one stream stand together; streams in the block's order
//! pages    count; each: bytes, base (its number and 1, or 0), events, lines, bytes of text, step of earliest time, latest - earliest,
//!          u8 levels (a bit each), u8 flags (any event's), segments, sources (steps)
//!          each segment: stream - the one before, first offset, bytes from there to its end
//! counts   rows; each: source - the one before, step of minute, u8 level, lines
//! extents  streams; each: runs; each run: from - the end before, bytes, events, u32 crc
//! ```
//!
//! A page's segments are the stretches of streams it holds. A run of an extent ends where a gap is and where an
//! event begins in another 32 KiB of its stream than the run did, so the runs of two blocks that hold the same
//! events are the same, wherever pages were cut; its crc32c is of each event's offset, length and crc32c.

use super::events::Row;
use super::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_TEXT_BYTES_MAX, PAGES_MAX, SOURCES_MAX};
use super::name::BlockName;
use super::{BlockHead, VERSION};
use proto::event::{Level, Source};
use proto::field::{BadField, Fields, put_count, put_counted, put_signed, put_u32, put_u64, put_varint};
use proto::ids::{Environment, EventId, NodeId, StreamId};
use proto::limits::{ENVIRONMENT_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
use proto::time::{BucketId, BucketWidth};
use std::sync::Arc;

/// Runs of extents are cut where 2^15 bytes of a stream end: a checksum for 32 KiB is 0.02 % of them, and what
/// is half known is read again in small pieces.
const RUN_BITS: u32 = 15;

pub const NANOS_PER_MINUTE: i64 = 60_000_000_000;

/// The head section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSection {
    pub head: BlockHead,
    pub events: u64,
    pub lines: u64,
    /// Bytes of lines, each with its newline.
    pub raw_bytes: u64,
    pub name: BlockName,
}

/// What names a block beside its events.
pub fn put_head(out: &mut Vec<u8>, head: &BlockHead) {
    put_counted(out, head.environment.as_str().as_bytes());
    put_varint(out, head.first.0);
    put_varint(out, head.last.0.saturating_sub(head.first.0));
    put_varint(out, u64::from(head.width.seconds()));
    put_varint(out, u64::from(head.shard));
    put_varint(out, u64::from(head.shards));
}

impl HeadSection {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_head(out, &self.head);
        put_varint(out, self.events);
        put_varint(out, self.lines);
        put_varint(out, self.raw_bytes);
        out.extend_from_slice(&self.name.0);
    }

    pub fn read(bytes: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let environment: Environment =
            fields.text(ENVIRONMENT_BYTES_MAX)?.parse().map_err(|_| fields.bad("an environment that is none"))?;
        let first = fields.varint()?;
        let last = first.saturating_add(fields.varint()?);
        let width = BucketWidth::from_seconds(fields.varint_u32()?).ok_or(fields.bad("a width out of range"))?;
        let small = |number: u64| u16::try_from(number).map_err(|_| BadField { at: 0, why: "a shard out of range" });
        let shard = small(fields.varint()?)?;
        let shards = small(fields.varint()?)?;
        let head = BlockHead { environment, first: BucketId(first), last: BucketId(last), width, shard, shards };
        let (events, lines, raw_bytes) = (fields.varint()?, fields.varint()?, fields.varint()?);
        let name = BlockName(fields.array()?);
        fields.end()?;
        Ok(Self { head, events, lines, raw_bytes, name })
    }
}

/// The beginning of the canonical form that names a block.
#[must_use]
pub fn canonical_head(head: &BlockHead, sources: &[Arc<Source>]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_head(&mut out, head);
    put_sources(&mut out, sources);
    out
}

pub fn put_sources(out: &mut Vec<u8>, sources: &[Arc<Source>]) {
    put_count(out, sources.len());
    for source in sources {
        put_u64(out, source.tailer.0);
        out.extend_from_slice(&source.stream.0);
        put_varint(out, u64::from(source.generation));
        out.push(u8::from(source.predecessor.is_some()));
        if let Some(predecessor) = source.predecessor {
            out.extend_from_slice(&predecessor.0);
        }
        for text in [&source.host, &source.app, &source.path] {
            put_counted(out, text.as_bytes());
        }
        put_count(out, source.labels.len());
        for (key, value) in &source.labels {
            put_counted(out, key.as_bytes());
            put_counted(out, value.as_bytes());
        }
    }
}

pub fn read_sources(bytes: &[u8], environment: &Environment) -> Result<Vec<Arc<Source>>, BadField> {
    let mut fields = Fields::new(bytes);
    let count = fields.count(SOURCES_MAX)?;
    let sources = (0..count).map(|_| read_source(&mut fields, environment)).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(sources)
}

fn read_source(fields: &mut Fields<'_>, environment: &Environment) -> Result<Arc<Source>, BadField> {
    let tailer = NodeId(fields.u64()?);
    let stream = StreamId(fields.array()?);
    let generation = fields.varint_u32()?;
    let predecessor = if fields.u8()? == 0 { None } else { Some(StreamId(fields.array()?)) };
    let host = fields.text(NAME_BYTES_MAX)?.to_owned();
    let app = fields.text(NAME_BYTES_MAX)?.to_owned();
    let path = fields.text(PATH_BYTES_MAX)?.to_owned();
    let labels = (0..fields.count(LABELS_MAX)?)
        .map(|_| Ok((fields.text(NAME_BYTES_MAX)?.to_owned(), fields.text(NAME_BYTES_MAX)?.to_owned())))
        .collect::<Result<_, BadField>>()?;
    let environment = environment.clone();
    Ok(Arc::new(Source { tailer, environment, stream, host, app, path, generation, predecessor, labels }))
}

/// Which stream each source belongs to; sources of one stream stand together.
#[must_use]
pub fn streams_of(sources: &[Arc<Source>]) -> Vec<u32> {
    let mut stream = 0;
    sources
        .iter()
        .enumerate()
        .map(|(at, source)| {
            let before = at.checked_sub(1).and_then(|before| sources.get(before));
            if before.is_some_and(|before| (before.tailer, before.stream) != (source.tailer, source.stream)) {
                stream += 1;
            }
            stream
        })
        .collect()
}

/// A stretch of one stream in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub stream: u32,
    pub first: u64,
    pub end: u64,
}

/// What is known of a page without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Of its first byte in the file; not written, pages lie one after another.
    pub at: u64,
    pub length: u32,
    /// The page whose frames were its dictionaries.
    pub base: Option<u32>,
    pub events: u32,
    pub lines: u32,
    pub text_bytes: u32,
    /// Times of its earliest and latest event.
    pub earliest: i64,
    pub latest: i64,
    /// A bit for each level that occurs.
    pub levels: u8,
    /// Flags any of its events has.
    pub flags: u8,
    pub segments: Vec<Segment>,
    pub sources: Vec<u32>,
}

impl PageEntry {
    /// What there is to say of these rows; place and length come later.
    #[must_use]
    pub fn of(rows: impl Iterator<Item = Row>, stream_of: &[u32]) -> Self {
        let mut entry = Self {
            at: 0,
            length: 0,
            base: None,
            events: 0,
            lines: 0,
            text_bytes: 0,
            earliest: i64::MAX,
            latest: i64::MIN,
            levels: 0,
            flags: 0,
            segments: Vec::new(),
            sources: Vec::new(),
        };
        for row in rows {
            entry.events += 1;
            entry.text_bytes += row.length;
            entry.earliest = entry.earliest.min(row.time);
            entry.latest = entry.latest.max(row.time);
            entry.levels |= 1 << row.level as u8;
            entry.flags |= row.flags.0;
            entry.take_in(&row, stream_of[row.source as usize]);
        }
        entry.sources.sort_unstable();
        entry.sources.dedup();
        entry
    }

    fn take_in(&mut self, row: &Row, stream: u32) {
        match self.segments.last_mut() {
            Some(segment) if segment.stream == stream => segment.end = segment.end.max(row.end()),
            _ => self.segments.push(Segment { stream, first: row.offset, end: row.end() }),
        }
        if self.sources.last() != Some(&row.source) {
            self.sources.push(row.source);
        }
    }

    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        self.at..self.at + u64::from(self.length)
    }
}

pub fn put_pages(out: &mut Vec<u8>, pages: &[PageEntry]) {
    put_count(out, pages.len());
    let mut earliest = 0i64;
    let mut stream = 0;
    for page in pages {
        let base = page.base.map_or(0, |base| base + 1);
        for number in [page.length, base, page.events, page.lines, page.text_bytes] {
            put_varint(out, u64::from(number));
        }
        put_signed(out, page.earliest.wrapping_sub(earliest));
        put_varint(out, page.latest.wrapping_sub(page.earliest).cast_unsigned());
        earliest = page.earliest;
        out.extend_from_slice(&[page.levels, page.flags]);
        put_count(out, page.segments.len());
        for segment in &page.segments {
            put_varint(out, u64::from(segment.stream - stream));
            put_varint(out, segment.first);
            put_varint(out, segment.end.saturating_sub(segment.first));
            stream = segment.stream;
        }
        put_count(out, page.sources.len());
        let mut source = 0;
        for &next in &page.sources {
            put_signed(out, i64::from(next) - i64::from(source));
            source = next;
        }
    }
}

/// `first` is where the first page begins, `end` where the last one must end.
pub fn read_pages(bytes: &[u8], first: u64, end: u64, stream_of: &[u32]) -> Result<Vec<PageEntry>, BadField> {
    let mut fields = Fields::new(bytes);
    let count = fields.count(PAGES_MAX)?;
    let mut pages = Vec::with_capacity(count.min(bytes.len()));
    let mut reading = PageReading { at: first, earliest: 0, stream: 0 };
    for _ in 0..count {
        pages.push(reading.page(&mut fields, stream_of)?);
    }
    fields.end()?;
    if reading.at == end { Ok(pages) } else { Err(fields.bad("pages that don't fill their place")) }
}

struct PageReading {
    at: u64,
    earliest: i64,
    stream: u32,
}

impl PageReading {
    fn page(&mut self, fields: &mut Fields<'_>, stream_of: &[u32]) -> Result<PageEntry, BadField> {
        let number = |fields: &mut Fields<'_>, max: usize| {
            fields.count(max).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        let length = number(fields, PAGE_BYTES_MAX)?;
        let base = number(fields, PAGES_MAX)?.checked_sub(1);
        let events = number(fields, PAGE_EVENTS_MAX)?;
        let lines = number(fields, PAGE_EVENTS_MAX)?;
        let text_bytes = number(fields, PAGE_TEXT_BYTES_MAX)?;
        self.earliest = self.earliest.wrapping_add(fields.signed()?);
        let latest = self.earliest.wrapping_add_unsigned(fields.varint()?);
        let (levels, flags) = (fields.u8()?, fields.u8()?);
        let streams = stream_of.last().map_or(0, |last| last + 1);
        let mut segments = Vec::new();
        for _ in 0..fields.count(PAGE_EVENTS_MAX)? {
            segments.push(self.segment(fields, streams)?);
        }
        let mut sources = Vec::new();
        let mut source = 0i64;
        for _ in 0..fields.count(SOURCES_MAX)? {
            source = source.saturating_add(fields.signed()?);
            let known = u32::try_from(source).ok().filter(|&source| (source as usize) < stream_of.len());
            sources.push(known.ok_or(fields.bad("a source that is none"))?);
        }
        let at = self.at;
        self.at += u64::from(length);
        let earliest = self.earliest;
        Ok(PageEntry {
            at,
            length,
            base,
            events,
            lines,
            text_bytes,
            earliest,
            latest,
            levels,
            flags,
            segments,
            sources,
        })
    }

    fn segment(&mut self, fields: &mut Fields<'_>, streams: u32) -> Result<Segment, BadField> {
        let stream = self.stream.checked_add(fields.varint_u32()?).filter(|&stream| stream < streams);
        self.stream = stream.ok_or(fields.bad("a stream that is none"))?;
        let first = fields.varint()?;
        Ok(Segment { stream: self.stream, first, end: first.saturating_add(fields.varint()?) })
    }
}

/// So many lines of a source had this level in this minute of their own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    pub source: u32,
    /// Minutes since 1970, rounded down.
    pub minute: i64,
    pub level: Level,
    pub lines: u32,
}

pub fn put_counts(out: &mut Vec<u8>, counts: &[Count]) {
    put_count(out, counts.len());
    let (mut source, mut minute) = (0, 0);
    for count in counts {
        put_varint(out, u64::from(count.source - source));
        put_signed(out, count.minute - minute);
        out.push(count.level as u8);
        put_varint(out, u64::from(count.lines));
        (source, minute) = (count.source, count.minute);
    }
}

pub fn read_counts(bytes: &[u8], sources: usize) -> Result<Vec<Count>, BadField> {
    let mut fields = Fields::new(bytes);
    let rows = fields.count(bytes.len())?;
    let (mut source, mut minute) = (0u32, 0i64);
    let mut counts = Vec::with_capacity(rows);
    for _ in 0..rows {
        let next = source.checked_add(fields.varint_u32()?).filter(|&source| (source as usize) < sources);
        source = next.ok_or(fields.bad("a source that is none"))?;
        minute = minute.saturating_add(fields.signed()?);
        let level = Level::from_u8(fields.u8()?).ok_or(fields.bad("a level that is none"))?;
        counts.push(Count { source, minute, level, lines: fields.varint_u32()? });
    }
    fields.end()?;
    Ok(counts)
}

/// A run of events of one stream without a gap, and a checksum over their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub from: u64,
    pub to: u64,
    pub events: u32,
    pub crc: u32,
}

/// Gathers the extents of one stream from its events in order.
#[derive(Debug, Default)]
pub struct ExtentBuilder {
    pub extents: Vec<Extent>,
}

impl ExtentBuilder {
    /// `end` is where the event ends in its stream, newline included.
    pub fn event(&mut self, id: &EventId, end: u64) {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&id.offset.to_le_bytes());
        name[8..12].copy_from_slice(&id.length.to_le_bytes());
        name[12..].copy_from_slice(&id.crc.to_le_bytes());
        match self.extents.last_mut() {
            Some(run) if run.to == id.offset && run.from >> RUN_BITS == id.offset >> RUN_BITS => {
                run.to = end;
                run.events += 1;
                run.crc = crc32c::crc32c_append(run.crc, &name);
            }
            _ => self.extents.push(Extent { from: id.offset, to: end, events: 1, crc: crc32c::crc32c(&name) }),
        }
    }
}

pub fn put_extents(out: &mut Vec<u8>, streams: &[Vec<Extent>]) {
    put_count(out, streams.len());
    for extents in streams {
        put_count(out, extents.len());
        let mut end = 0u64;
        for extent in extents {
            put_signed(out, extent.from.wrapping_sub(end).cast_signed());
            put_varint(out, extent.to.saturating_sub(extent.from));
            put_varint(out, u64::from(extent.events));
            put_u32(out, extent.crc);
            end = extent.to;
        }
    }
}

pub fn read_extents(bytes: &[u8]) -> Result<Vec<Vec<Extent>>, BadField> {
    let mut fields = Fields::new(bytes);
    let count = fields.count(SOURCES_MAX)?;
    let mut streams = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        let runs = fields.count(bytes.len())?;
        let mut extents = Vec::new();
        let mut end = 0u64;
        for _ in 0..runs {
            let from = end.wrapping_add_signed(fields.signed()?);
            end = from.saturating_add(fields.varint()?);
            extents.push(Extent { from, to: end, events: fields.varint_u32()?, crc: fields.u32()? });
        }
        streams.push(extents);
    }
    fields.end()?;
    Ok(streams)
}

/// Spans of time that hold every event, whole minutes, at most `most` of them: the nearest are joined.
#[must_use]
pub fn intervals(minutes: &[i64], most: usize) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for &minute in minutes {
        match spans.last_mut() {
            Some(last) if minute <= last.1 => {}
            Some(last) if minute == last.1 + 1 => last.1 = minute,
            _ => spans.push((minute, minute)),
        }
    }
    while spans.len() > most.max(1) {
        let nearest = (1..spans.len()).min_by_key(|&at| spans[at].0 - spans[at - 1].1).unwrap_or(1);
        spans[nearest - 1].1 = spans[nearest].1;
        spans.remove(nearest);
    }
    spans
        .into_iter()
        .map(|(first, last)| {
            (first.saturating_mul(NANOS_PER_MINUTE), last.saturating_add(1).saturating_mul(NANOS_PER_MINUTE))
        })
        .collect()
}
