//! A page: some events of the block, in its order, squeezed and checked on their own.
//!
//! ```text
//! u8      codec                  1 RAW, 2 TMPL
//! varint  events
//! frames  RAW: events, heads, text;  TMPL: events, heads, text, numbers
//!         each: varint packed bytes, varint bytes; the packed bytes stand behind the last of these, in order;
//!         a frame with as many packed bytes as bytes is not squeezed, the rest are zstd frames
//! u32     crc32c of all the above and the page's number
//! ```
//!
//! The frame `events` is drawn in `events`. RAW: heads say how lines end (0: each at its newline; 1: numbers with
//! their lengths follow), text is the lines. TMPL: heads are `varint templates`, each counted, numbers with the
//! template of each event, then the columns of each template in turn (drawn in `cells`).
//!
//! The number in the checksum finds a page that was put in another's place.
//!
//! Read back, a page's text is its lines with a newline after each, except that pieces of one long line follow
//! each other directly. So a line is one slice, whole, wherever it was cut.

use super::cells::{CellStreams, Cells, Column};
use super::events::{Joiner, Row, RowsBefore, joins_of, put_rows, take_rows};
use super::limits::{PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX, PAGE_TEXT_BYTES_MAX};
use super::numbers::{put_numbers, take_numbers};
use super::template::{CELL, Split, cells_in, merge};
use super::{BlockError, Part};
use proto::event::Flags;
use proto::field::{BadField, Fields, put_count, put_counted, put_u32};
use proto::squeeze::{Squeezer, Stretcher};
use std::ops::Range;

const RAW: u8 = 1;
const TMPL: u8 = 2;

const FRAMES_MAX: usize = 4;

/// An event and its line, about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub row: Row,
    pub line: &'a [u8],
}

/// Writes pages.
#[derive(Debug)]
pub struct PageWriter {
    squeezer: Squeezer<'static>,
}

impl PageWriter {
    #[must_use]
    pub fn new(level: i32) -> Self {
        Self { squeezer: Squeezer::new(level) }
    }

    /// The page's bytes, in whichever codec is smaller.
    pub fn write(&mut self, number: u32, entries: &[Entry<'_>], stream_of: &[u32]) -> Vec<u8> {
        let rows: Vec<Row> = entries.iter().map(|entry| entry.row).collect();
        let lines: Vec<&[u8]> = entries.iter().map(|entry| entry.line).collect();
        let mut events = Vec::new();
        put_rows(&mut events, &rows, stream_of);
        let raw = raw_frames(&lines, &joins_of(&rows, stream_of));
        let raw = self.page(RAW, number, lines.len(), &[&events, &raw.0, &raw.1]);
        let cells = template_frames(&lines);
        if [&cells.heads, &cells.text, &cells.numbers].iter().any(|frame| frame.len() > PAGE_FRAME_BYTES_MAX) {
            return raw;
        }
        let template = self.page(TMPL, number, lines.len(), &[&events, &cells.heads, &cells.text, &cells.numbers]);
        if template.len() < raw.len() { template } else { raw }
    }

    fn page(&mut self, codec: u8, number: u32, events: usize, frames: &[&[u8]]) -> Vec<u8> {
        let mut page = vec![codec];
        put_count(&mut page, events);
        let mut bodies = Vec::new();
        for frame in frames {
            let start = bodies.len();
            self.squeezer.squeeze_into(frame, &mut bodies);
            if bodies.len() - start >= frame.len() {
                bodies.truncate(start);
                bodies.extend_from_slice(frame);
            }
            put_count(&mut page, bodies.len() - start);
            put_count(&mut page, frame.len());
        }
        page.append(&mut bodies);
        let crc = checksum(&page, number);
        put_u32(&mut page, crc);
        page
    }
}

fn checksum(page: &[u8], number: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(page), &number.to_le_bytes())
}

fn raw_frames(lines: &[&[u8]], joins: &[bool]) -> (Vec<u8>, Vec<u8>) {
    let mut heads = Vec::new();
    let mut text = Vec::new();
    let by_newline = !joins.contains(&true) && lines.iter().all(|line| memchr::memchr(b'\n', line).is_none());
    if by_newline {
        heads.push(0);
    } else {
        heads.push(1);
        put_numbers(&mut heads, &lines.iter().map(|line| line.len() as u64).collect::<Vec<_>>());
    }
    for line in lines {
        text.extend_from_slice(line);
        if by_newline {
            text.push(b'\n');
        }
    }
    (heads, text)
}

fn template_frames(lines: &[&[u8]]) -> CellStreams {
    let split = Split::of(lines);
    let merged = merge(&split, &split.templates);
    let mut streams = CellStreams::default();
    put_count(&mut streams.heads, merged.templates.len());
    for template in &merged.templates {
        put_counted(&mut streams.heads, template);
    }
    put_numbers(&mut streams.heads, &merged.of_line.iter().map(|&id| u64::from(id)).collect::<Vec<_>>());
    let mut column = Vec::new();
    for (template, lines) in merged.templates.iter().zip(merged.lines_of_templates()) {
        for slot in 0..cells_in(template) {
            merged.column(&lines, slot, &mut column);
            streams.put_column(&column);
        }
    }
    streams
}

/// A page as it was read.
#[derive(Debug)]
pub struct Page {
    pub rows: Vec<Row>,
    text: Vec<u8>,
    starts: Vec<u32>,
    joins: Vec<bool>,
}

/// One line: the rows that are its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub rows: Range<usize>,
    pub bytes: &'a [u8],
}

impl Page {
    /// Reads the page with this number. `stream_of` says which stream each of the block's sources belongs to.
    pub fn read(bytes: &[u8], number: u32, stream_of: &[u32]) -> Result<Self, BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
        let (body, crc) = bytes.split_last_chunk().ok_or(damaged("ends too early"))?;
        if checksum(body, number) != u32::from_le_bytes(*crc) {
            return Err(damaged("does not fit its checksum"));
        }
        let page = Self::read_body(body, stream_of).map_err(|bad| damaged(bad.why))?;
        if page.rows.iter().any(|row| row.source as usize >= stream_of.len()) {
            return Err(damaged("a source that is none"));
        }
        Ok(page)
    }

    fn read_body(body: &[u8], stream_of: &[u32]) -> Result<Self, BadField> {
        let mut fields = Fields::new(body);
        let codec = fields.u8()?;
        let events = fields.count(PAGE_EVENTS_MAX)?;
        let frames = stretch_frames(&mut fields, if codec == RAW { 3 } else { FRAMES_MAX })?;
        let before = take_rows(&frames[0], events)?;
        let lines = match codec {
            RAW => read_raw(frames, events)?,
            TMPL => read_templates(&frames, events)?,
            _ => return Err(fields.bad("an unknown codec")),
        };
        Self::assemble(before, lines, stream_of, &fields)
    }

    fn assemble(before: RowsBefore, lines: Lines, stream_of: &[u32], fields: &Fields<'_>) -> Result<Self, BadField> {
        let lengths = lines.spans.iter().map(|(from, to)| to - from);
        let rows = before.finish(lengths, stream_of).map_err(|_| fields.bad("rows that are none"))?;
        let continues = rows.iter().any(|row| row.flags.has(Flags::CONTINUES));
        let joins = if continues { joins_of(&rows, stream_of) } else { vec![false; rows.len()] };
        if lines.has_newlines && !joins.contains(&true) {
            let starts = lines.spans.iter().map(|(from, _)| *from).collect();
            return Ok(Self { rows, text: lines.text, starts, joins });
        }
        let mut text = Vec::with_capacity(lines.text.len() + rows.len());
        let mut starts = Vec::with_capacity(rows.len());
        for (&(from, to), joined) in lines.spans.iter().zip(&joins) {
            starts.push(u32::try_from(text.len()).map_err(|_| fields.bad("too much text"))?);
            text.extend_from_slice(lines.text.get(from as usize..to as usize).unwrap_or_default());
            if !joined {
                text.push(b'\n');
            }
        }
        Ok(Self { rows, text, starts, joins })
    }

    /// Every event's own bytes, as they were written.
    pub fn events(&self) -> impl Iterator<Item = (&Row, &[u8])> {
        self.rows.iter().zip(&self.starts).map(|(row, &start)| (row, self.slice(start, row.length)))
    }

    fn slice(&self, start: u32, length: u32) -> &[u8] {
        self.text.get(start as usize..).and_then(|text| text.get(..length as usize)).unwrap_or_default()
    }

    /// Every line, pieces joined.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let line = self.line_from(at)?;
            at = line.rows.end;
            Some(line)
        })
    }

    /// The line whose first piece is this row.
    #[must_use]
    pub fn line_from(&self, first: usize) -> Option<Line<'_>> {
        let start = *self.starts.get(first)?;
        let mut end = first;
        while self.joins.get(end) == Some(&true) && end + 1 < self.rows.len() {
            end += 1;
        }
        let last = self.starts.get(end)? + self.rows.get(end)?.length;
        Some(Line { rows: first..end + 1, bytes: self.slice(start, last - start) })
    }

    /// All lines, as they are searched.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The first row of the line that has this byte of [`Self::text`].
    #[must_use]
    pub fn row_at(&self, place: usize) -> usize {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let mut row = self.starts.partition_point(|&start| start <= place).saturating_sub(1);
        while row > 0 && self.joins.get(row - 1) == Some(&true) {
            row -= 1;
        }
        row
    }
}

fn stretch_frames(fields: &mut Fields<'_>, count: usize) -> Result<Vec<Vec<u8>>, BadField> {
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push((fields.count(PAGE_FRAME_BYTES_MAX)?, fields.count(PAGE_FRAME_BYTES_MAX)?));
    }
    let mut stretcher = Stretcher::default();
    let mut frames = Vec::with_capacity(count);
    for (packed, length) in lengths {
        let bytes = fields.take(packed)?;
        frames.push(if packed == length {
            bytes.to_vec()
        } else {
            stretcher
                .stretch(bytes, length, PAGE_FRAME_BYTES_MAX)
                .map_err(|_| fields.bad("a frame that can't be decoded"))?
        });
    }
    fields.end()?;
    Ok(frames)
}

/// Lines before it is known which of them join.
struct Lines {
    text: Vec<u8>,
    spans: Vec<(u32, u32)>,
    /// Each line is followed by its newline.
    has_newlines: bool,
}

fn read_raw(mut frames: Vec<Vec<u8>>, events: usize) -> Result<Lines, BadField> {
    let text = frames.pop().unwrap_or_default();
    let heads = frames.pop().unwrap_or_default();
    let mut heads = Fields::new(&heads);
    let by_newline = heads.u8()? == 0;
    let mut spans = Vec::with_capacity(events);
    let mut at = 0u32;
    if by_newline {
        for end in memchr::memchr_iter(b'\n', &text) {
            let end = u32::try_from(end).map_err(|_| heads.bad("too much text"))?;
            spans.push((at, end));
            at = end + 1;
        }
    } else {
        for length in take_numbers(&mut heads, events)? {
            let end = u32::try_from(length).ok().and_then(|length| at.checked_add(length));
            let end = end.filter(|&end| end as usize <= text.len()).ok_or(heads.bad("lines longer than their text"))?;
            spans.push((at, end));
            at = end;
        }
    }
    heads.end()?;
    if spans.len() == events && at as usize == text.len() {
        Ok(Lines { text, spans, has_newlines: by_newline })
    } else {
        Err(heads.bad("lines that don't fill their text"))
    }
}

fn read_templates(frames: &[Vec<u8>], events: usize) -> Result<Lines, BadField> {
    let [_, heads, text, numbers] = frames else { return Err(BadField { at: 0, why: "frames are missing" }) };
    let mut fields = Fields::new(heads);
    let count = fields.count(events)?;
    let templates = (0..count).map(|_| fields.counted(PAGE_TEXT_BYTES_MAX)).collect::<Result<Vec<_>, _>>()?;
    let of_line = take_numbers(&mut fields, events)?;
    let mut lines_of = vec![0usize; count];
    for &template in &of_line {
        *lines_of
            .get_mut(usize::try_from(template).unwrap_or(usize::MAX))
            .ok_or(fields.bad("a template that is not there"))? += 1;
    }
    let mut cells = Cells::new(fields, text, numbers, 4 * PAGE_TEXT_BYTES_MAX);
    let mut tables = Vec::with_capacity(count);
    for (template, &lines) in templates.iter().zip(&lines_of) {
        let columns = (0..cells_in(template)).map(|_| cells.take_column(lines)).collect::<Result<Vec<_>, _>>()?;
        tables.push(Table { parts: template.split(|&byte| byte == CELL).collect(), columns, next: 0 });
    }
    cells.end()?;
    lay_lines(&of_line, tables, &cells.arena)
}

/// The lines of one template, and how many of them were laid.
struct Table<'a> {
    parts: Vec<&'a [u8]>,
    columns: Vec<Column>,
    next: usize,
}

fn lay_lines(of_line: &[u64], mut tables: Vec<Table<'_>>, arena: &[u8]) -> Result<Lines, BadField> {
    let bad = || BadField { at: 0, why: "a line that can't be put together" };
    let mut text = Vec::with_capacity(1 << 17);
    let mut spans = Vec::with_capacity(of_line.len());
    for &template in of_line {
        let table = usize::try_from(template).ok().and_then(|id| tables.get_mut(id)).ok_or_else(bad)?;
        let start = u32::try_from(text.len()).map_err(|_| bad())?;
        let mut columns = table.columns.iter();
        for part in &table.parts {
            text.extend_from_slice(part);
            if let Some(column) = columns.next() {
                let (from, to) = column.get(table.next).ok_or_else(bad)?;
                text.extend_from_slice(arena.get(from as usize..to as usize).ok_or_else(bad)?);
            }
        }
        table.next += 1;
        spans.push((start, u32::try_from(text.len()).map_err(|_| bad())?));
        text.push(b'\n');
        if text.len() > PAGE_TEXT_BYTES_MAX {
            return Err(bad());
        }
    }
    Ok(Lines { text, spans, has_newlines: true })
}

/// Decides where pages end: after so many bytes of lines, never inside a line that was cut.
#[derive(Debug)]
pub struct PageCutter {
    bytes_max: usize,
    joiner: Joiner,
    bytes: usize,
    events: usize,
}

impl PageCutter {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, joiner: Joiner::default(), bytes: 0, events: 0 }
    }

    /// Whether the page ends behind this row.
    pub fn ends_behind(&mut self, row: &Row, next: Option<(&Row, bool)>) -> bool {
        self.bytes += row.length as usize + 1;
        self.events += 1;
        if self.joiner.joins(row, next) {
            return false;
        }
        let new_stream = next.is_some_and(|(_, same_stream)| !same_stream);
        let ends = next.is_none()
            || self.bytes >= self.bytes_max
            || self.events >= PAGE_EVENTS_MAX / 2
            || new_stream && self.bytes >= self.bytes_max / 2;
        if ends {
            (self.bytes, self.events) = (0, 0);
        }
        ends
    }
}
