//! Writes a block: events in, in any order and as often as they like; one file out.
//!
//! The lines gather in memory, in chunks, with 40 bytes beside each; nothing else grows with the events until
//! [`Writer::finish`] sorts them and writes pages one by one. A writer that was given [`BLOCK_BYTES_MAX`] takes
//! no more, so a block of the largest size needs less than 400 MiB.

use super::directory::{
    Count, Extent, ExtentBuilder, HeadSection, NANOS_PER_MINUTE, PageEntry, canonical_head, intervals, put_counts,
    put_extents, put_pages, put_sources, streams_of,
};
use super::events::{Joiner, Row};
use super::footer::{Footer, MAGIC, SECTIONS, Section};
use super::index::IndexBuilder;
use super::limits::{BASE_PAGES_MIN, BLOCK_BYTES_MAX, EVENT_COST_BYTES, INTERVALS_MAX, SOURCES_MAX};
use super::name::{BlockName, Namer};
use super::page::writer::News;
use super::page::{Entry, PageCutter, PageWriter, WrittenPage};
use super::summary::{StreamExtents, Summary, joined};
use super::tallies::TallyBook;
use super::{BlockError, BlockHead, Part, Profile, VERSION};
use proto::event::{Event, Flags, Level, Source};
use proto::ids::{EventId, NodeId, StreamId};
use proto::limits::LINE_BYTES_MAX;
use proto::squeeze::squeeze;
use proto::time::Timestamp;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Lines gather in pieces of this size, so that memory grows by no more than one of them at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Gathers events and writes them as a block.
#[derive(Debug)]
pub struct Writer {
    head: BlockHead,
    profile: Profile,
    /// The profile's; tests want many pages of few events.
    pub(super) page_bytes: usize,
    sources: Vec<Arc<Source>>,
    known: FxHashMap<Arc<Source>, u32>,
    last_source: Option<u32>,
    chunks: Vec<Vec<u8>>,
    rows: Vec<Kept>,
    bytes: usize,
}

/// An event as it waits; its line is in a chunk.
#[derive(Clone, Copy, Debug)]
struct Kept {
    row: Row,
    crc: u32,
    chunk: u32,
    at: u32,
}

/// A block as it is to be put on a shelf.
#[derive(Clone, Debug)]
pub struct Written {
    pub bytes: Vec<u8>,
    pub name: BlockName,
    pub summary: Summary,
}

impl Writer {
    #[must_use]
    pub fn new(head: BlockHead, profile: Profile) -> Self {
        Self {
            head,
            profile,
            page_bytes: profile.page_bytes(),
            sources: Vec::new(),
            known: FxHashMap::default(),
            last_source: None,
            chunks: Vec::new(),
            rows: Vec::new(),
            bytes: 0,
        }
    }

    /// What was taken in, as it counts against [`BLOCK_BYTES_MAX`].
    #[must_use]
    pub fn weight(&self) -> usize {
        self.bytes
    }

    /// Takes in an event.
    pub fn add(&mut self, event: &Event<'_>) -> Result<(), BlockError> {
        if event.line.len() > LINE_BYTES_MAX {
            return Err(BlockError::LineTooLong(event.line.len()));
        }
        if event.source.environment != self.head.environment {
            return Err(BlockError::OtherEnvironment(event.source.environment.clone()));
        }
        let weight = event.line.len() + EVENT_COST_BYTES;
        if self.bytes + weight > BLOCK_BYTES_MAX {
            return Err(BlockError::Full);
        }
        let source = self.source(event.source)?;
        self.bytes += weight;
        let (chunk, at) = self.keep_line(event.line);
        let length = u32::try_from(event.line.len()).expect("a line is at most 65,535 bytes");
        let row = Row {
            source,
            offset: event.offset,
            time: event.time.0,
            level: event.level,
            flags: event.flags,
            file_length: event.file_length,
            length,
        };
        self.rows.push(Kept { row, crc: crc32c::crc32c(event.line), chunk, at });
        Ok(())
    }

    fn source(&mut self, source: &Source) -> Result<u32, BlockError> {
        if let Some(last) = self.last_source
            && *self.sources[last as usize] == *source
        {
            return Ok(last);
        }
        let number = match self.known.get(source) {
            Some(&number) => number,
            None if self.sources.len() >= SOURCES_MAX => return Err(BlockError::Full),
            None => {
                let number = count_u32(self.sources.len());
                let source = Arc::new(source.clone());
                self.known.insert(source.clone(), number);
                self.sources.push(source);
                number
            }
        };
        self.last_source = Some(number);
        Ok(number)
    }

    fn keep_line(&mut self, line: &[u8]) -> (u32, u32) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() + line.len() > CHUNK_BYTES) {
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let at = chunk.len();
        chunk.extend_from_slice(line);
        (count_u32(number), count_u32(at))
    }

    /// Writes the block.
    #[must_use]
    pub fn finish(mut self) -> Written {
        let copies = self.drop_copies();
        let ranges = self.lay_out();
        let streams = streams_of(&self.sources);
        let mut body = Body::new(&self, &streams);
        let mut cutter = PageCutter::new(self.page_bytes);
        let order: Vec<usize> = ranges.into_iter().flatten().collect();
        let mut first = 0;
        let apps = AppBytes::of(&self, &order);
        for at in 0..order.len() {
            let row = self.rows[order[at]].row;
            let next = order.get(at + 1).map(|&next| self.rows[next].row);
            let same = |next: &Row| streams[next.source as usize] == streams[row.source as usize];
            if cutter.ends_behind(&row, next.as_ref().map(|next| (next, same(next)))) {
                body.page(&self, &streams, &order[first..=at], &apps);
                first = at + 1;
            }
        }
        drop(order);
        self.chunks = Vec::new();
        self.rows = Vec::new();
        body.finish(&self, copies)
    }

    /// Sorts the events by stream, offset and content, and leaves one of each name.
    fn drop_copies(&mut self) -> u64 {
        let mut rows = std::mem::take(&mut self.rows);
        let before = rows.len();
        rows.sort_unstable_by(|a, b| self.compare(a, b));
        rows.dedup_by(|later, kept| self.is_copy(later, kept));
        self.rows = rows;
        (before - self.rows.len()) as u64
    }

    fn stream_name(&self, kept: &Kept) -> (NodeId, StreamId) {
        let source = &self.sources[kept.row.source as usize];
        (source.tailer, source.stream)
    }

    fn is_copy(&self, a: &Kept, b: &Kept) -> bool {
        (a.row.offset, a.row.length, a.crc) == (b.row.offset, b.row.length, b.crc)
            && (a.row.source == b.row.source || self.stream_name(a) == self.stream_name(b))
    }

    /// By name first; then by all else there is, so that of two copies with different stories the same one stays.
    fn compare(&self, a: &Kept, b: &Kept) -> Ordering {
        let by_stream =
            if a.row.source == b.row.source { Ordering::Equal } else { self.stream_name(a).cmp(&self.stream_name(b)) };
        by_stream
            .then_with(|| (a.row.offset, a.row.length, a.crc).cmp(&(b.row.offset, b.row.length, b.crc)))
            .then_with(|| {
                let story = |kept: &Kept| (kept.row.time, kept.row.level, kept.row.flags, kept.row.file_length);
                story(a).cmp(&story(b))
            })
            .then_with(|| self.sources[a.row.source as usize].cmp(&self.sources[b.row.source as usize]))
            .then_with(|| self.line(a).cmp(self.line(b)))
    }

    fn line(&self, kept: &Kept) -> &[u8] {
        &self.chunks[kept.chunk as usize][kept.at as usize..][..kept.row.length as usize]
    }

    /// Numbers the sources anew, in the block's order, without those that have no event left, and says in which
    /// order the streams' rows are to be read.
    fn lay_out(&mut self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for at in 0..self.rows.len() {
            match ranges.last_mut() {
                Some(range) if self.stream_name(&self.rows[at - 1]) == self.stream_name(&self.rows[at]) => {
                    range.end = at + 1;
                }
                _ => ranges.push(at..at + 1),
            }
        }
        let mut streams: Vec<(Vec<Arc<Source>>, Range<usize>)> = ranges
            .into_iter()
            .map(|range| {
                let mut used: Vec<u32> = self.rows[range.clone()].iter().map(|kept| kept.row.source).collect();
                used.sort_unstable();
                used.dedup();
                let mut used: Vec<_> = used.into_iter().map(|source| self.sources[source as usize].clone()).collect();
                used.sort_by(|a, b| place_of(a).cmp(&place_of(b)).then_with(|| a.cmp(b)));
                (used, range)
            })
            .collect();
        streams.sort_by(|a, b| place_of(&a.0[0]).cmp(&place_of(&b.0[0])));
        let sources: Vec<Arc<Source>> = streams.iter().flat_map(|(sources, _)| sources.iter().cloned()).collect();
        self.renumber(sources);
        streams.into_iter().map(|(_, range)| range).collect()
    }

    fn renumber(&mut self, sources: Vec<Arc<Source>>) {
        let numbers: FxHashMap<&Source, u32> =
            sources.iter().enumerate().map(|(number, source)| (&**source, count_u32(number))).collect();
        let renumbered: Vec<u32> =
            self.sources.iter().map(|source| numbers.get(&**source).copied().unwrap_or(u32::MAX)).collect();
        for kept in &mut self.rows {
            kept.row.source = renumbered[kept.row.source as usize];
        }
        self.sources = sources;
    }
}

fn place_of(source: &Source) -> (&str, &str, &str, NodeId, StreamId) {
    (&source.app, &source.host, &source.path, source.tailer, source.stream)
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a block's parts are capped")
}

/// How much each app has to say, so that it is known at its first page whether more follow.
struct AppBytes {
    bytes: BTreeMap<String, usize>,
}

impl AppBytes {
    fn of(writer: &Writer, order: &[usize]) -> Self {
        let mut of_source = vec![0usize; writer.sources.len()];
        for &at in order {
            let row = &writer.rows[at].row;
            of_source[row.source as usize] += row.length as usize;
        }
        let mut bytes = BTreeMap::new();
        for (source, more) in writer.sources.iter().zip(of_source) {
            *bytes.entry(source.app.clone()).or_default() += more;
        }
        Self { bytes }
    }
}

/// A block on its way out.
struct Body {
    bytes: Vec<u8>,
    pages: Vec<PageEntry>,
    tallies: TallyBook,
    writer: PageWriter,
    index: IndexBuilder,
    namer: Namer,
    /// Whose pages are being written, and how many bytes of it were.
    app: Option<String>,
    app_bytes: usize,
    extents: Vec<ExtentBuilder>,
    counts: BTreeMap<(u32, i64, Level), u32>,
    events: u64,
    lines: u64,
    raw_bytes: u64,
}

impl Body {
    fn new(writer: &Writer, streams: &[u32]) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
        let mut namer = Namer::default();
        namer.section(&canonical_head(&writer.head, &writer.sources));
        let mut extents = Vec::new();
        extents.resize_with(streams.last().map_or(0, |last| *last as usize + 1), ExtentBuilder::default);
        Self {
            bytes,
            pages: Vec::new(),
            tallies: TallyBook::default(),
            writer: PageWriter::new(writer.profile.levels()),
            index: IndexBuilder::default(),
            namer,
            app: None,
            app_bytes: 0,
            extents,
            counts: BTreeMap::new(),
            events: 0,
            lines: 0,
            raw_bytes: 0,
        }
    }

    fn page(&mut self, writer: &Writer, streams: &[u32], order: &[usize], apps: &AppBytes) {
        let entries: Vec<Entry<'_>> =
            order.iter().map(|&at| Entry { row: writer.rows[at].row, line: writer.line(&writer.rows[at]) }).collect();
        let mut page = PageEntry::of(entries.iter().map(|entry| entry.row), streams);
        let lines_before = self.lines;
        for (entry, &at) in entries.iter().zip(order) {
            self.read_event(writer, entry, streams, writer.rows[at].crc);
        }
        let number = count_u32(self.pages.len());
        let app = &writer.sources[entries[0].row.source as usize].app;
        if self.app.as_ref() != Some(app) {
            self.app = Some(app.clone());
            self.app_bytes = 0;
            self.writer.begin_app();
        }
        self.app_bytes += page.text_bytes as usize;
        let follows = apps.bytes.get(app).copied().unwrap_or(0).saturating_sub(self.app_bytes);
        let becomes_base = follows >= BASE_PAGES_MIN * writer.page_bytes;
        let WrittenPage { bytes, base, news, uses } = self.writer.write(number, &entries, streams, becomes_base);
        self.read_lines(&entries, streams, news.as_ref());
        self.tallies.page(uses);
        page.at = self.bytes.len() as u64;
        page.length = count_u32(bytes.len());
        page.base = base;
        page.lines = u32::try_from(self.lines - lines_before).expect("a page's lines are capped");
        self.bytes.extend_from_slice(&bytes);
        self.pages.push(page);
    }

    fn read_event(&mut self, writer: &Writer, entry: &Entry<'_>, streams: &[u32], crc: u32) {
        let row = &entry.row;
        let source = &writer.sources[row.source as usize];
        let id = EventId { tailer: source.tailer, stream: source.stream, offset: row.offset, length: row.length, crc };
        self.extents[streams[row.source as usize] as usize].event(&id, row.end());
        self.namer.event(row, entry.line);
        self.events += 1;
        self.raw_bytes += u64::from(row.length) + u64::from(!row.flags.has(Flags::CONTINUES));
    }

    /// Counts lines and gathers their grams. What lines have in common is looked at once, if it is known; windows
    /// across the pieces of a long line are in no single one of them, so such a page is read in full.
    fn read_lines(&mut self, entries: &[Entry<'_>], streams: &[u32], news: Option<&News>) {
        let news = news.filter(|_| !entries.iter().any(|entry| entry.row.flags.has(Flags::CONTINUES)));
        let mut joiner = Joiner::default();
        let mut begins = true;
        for (at, entry) in entries.iter().enumerate() {
            if begins {
                let minute = entry.row.time.div_euclid(NANOS_PER_MINUTE);
                *self.counts.entry((entry.row.source, minute, entry.row.level)).or_default() += 1;
                self.lines += 1;
            }
            let stream = |row: &Row| streams[row.source as usize];
            let next = entries.get(at + 1).map(|next| (&next.row, stream(&next.row) == stream(&entry.row)));
            begins = !joiner.joins(&entry.row, next);
            if news.is_none() {
                self.index.piece(entry.line);
                if begins {
                    self.index.end_line();
                }
            }
        }
        for (entry, stretches) in entries.iter().zip(news.into_iter().flat_map(News::lines)) {
            for &(from, to) in stretches {
                let ends = to as usize > entry.line.len();
                self.index.stretch(&entry.line[from as usize..entry.line.len().min(to as usize)], ends);
            }
        }
        if let Some(news) = news {
            self.index.has_templates();
            for (entry, cells) in entries.iter().zip(news.cells()) {
                cells.iter().for_each(|&(from, to)| self.index.cell(&entry.line[from as usize..to as usize]));
            }
        }
        self.index.end_page();
    }

    fn finish(mut self, writer: &Writer, copies: u64) -> Written {
        let page_bytes = self.bytes.len() as u64 - 8;
        let index = std::mem::take(&mut self.index).finish();
        let leaves = self.bytes.len() as u64..(self.bytes.len() + index.leaves.len()) as u64;
        self.bytes.extend_from_slice(&index.leaves);
        let index_bytes = (index.leaves.len() + index.table.len() + index.filter.as_bytes().len()) as u64;
        drop(index.leaves);
        let extents: Vec<Vec<Extent>> = std::mem::take(&mut self.extents).into_iter().map(|e| e.extents).collect();
        let counts: Vec<Count> = self
            .counts
            .iter()
            .map(|(&(source, minute, level), &lines)| Count { source, minute, level, lines })
            .collect();
        let name = std::mem::take(&mut self.namer).finish();
        let head = HeadSection {
            head: writer.head.clone(),
            events: self.events,
            lines: self.lines,
            raw_bytes: self.raw_bytes,
            name,
        };
        let mut sections = [const { Vec::new() }; SECTIONS.len()];
        let [head_section, sources, pages, count_section, extent_section, table, templates, tallies, filter] =
            &mut sections;
        head.put(head_section);
        put_sources(sources, &writer.sources);
        put_pages(pages, &self.pages);
        put_counts(count_section, &counts);
        put_extents(extent_section, &extents);
        *table = index.table;
        self.writer.book.table().put(templates);
        *tallies = std::mem::take(&mut self.tallies).finish();
        filter.extend_from_slice(index.filter.as_bytes());
        let placed = self.put_sections(writer.profile, leaves, &sections);
        let page_bytes = page_bytes + placed.packed_bytes(Part::Templates);
        let summary = self.summary(writer, copies, page_bytes, index_bytes, &counts, &extents);
        Written { bytes: self.bytes, name, summary }
    }

    fn put_sections(&mut self, profile: Profile, leaves: Range<u64>, sections: &[Vec<u8>; SECTIONS.len()]) -> Footer {
        let mut footer = Footer { profile, leaves, sections: [Section::default(); SECTIONS.len()] };
        for ((place, section), part) in footer.sections.iter_mut().zip(sections).zip(SECTIONS) {
            // Half of the filter's bits are set, like dice; nothing would be gained.
            let squeezed = (part != Part::Filter).then(|| squeeze(section, profile.table_level()));
            let packed = squeezed.as_ref().filter(|squeezed| squeezed.len() < section.len()).unwrap_or(section);
            *place = Section {
                at: self.bytes.len() as u64,
                packed: count_u32(packed.len()),
                bytes: count_u32(section.len()),
                crc: crc32c::crc32c(packed),
            };
            self.bytes.extend_from_slice(packed);
        }
        footer.put(&mut self.bytes);
        footer
    }

    fn summary(
        &self,
        writer: &Writer,
        copies: u64,
        page_bytes: u64,
        index_bytes: u64,
        counts: &[Count],
        extents: &[Vec<Extent>],
    ) -> Summary {
        let earliest = self.pages.iter().map(|page| page.earliest).min();
        let latest = self.pages.iter().map(|page| page.latest).max();
        let mut minutes: Vec<i64> = counts.iter().map(|count| count.minute).collect();
        minutes.sort_unstable();
        let mut streams: Vec<&Arc<Source>> = writer.sources.iter().collect();
        streams.dedup_by_key(|source| (source.tailer, source.stream));
        Summary {
            events: self.events,
            lines: self.lines,
            copies,
            raw_bytes: self.raw_bytes,
            pages: count_u32(self.pages.len()),
            page_bytes,
            index_bytes,
            at_level: self.writer.at_level.clone(),
            times: earliest.zip(latest).map(|(earliest, latest)| (Timestamp(earliest), Timestamp(latest))),
            intervals: intervals(&minutes, INTERVALS_MAX)
                .into_iter()
                .map(|(from, to)| (Timestamp(from), Timestamp(to)))
                .collect(),
            extents: streams
                .into_iter()
                .zip(extents)
                .map(|(source, extents)| StreamExtents {
                    tailer: source.tailer,
                    stream: source.stream,
                    ranges: joined(extents),
                })
                .collect(),
        }
    }
}
