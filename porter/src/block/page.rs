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
//! their lengths follow), text is the lines. TMPL: heads are `varint templates`, numbers with which of
//! the block's templates these are, numbers with which of these each event has, the words that columns share, then the columns of each template in turn (both drawn in
//! `cells`).
//!
//! The first of many pages of an app is their base: their heads and text are squeezed with the end of its heads and
//! text (512 KiB at most, and at least 64 bytes) as the dictionary, so what an app always says stands in a block
//! once. The page table says which page is whose base.
//!
//! The number in the checksum finds a page that was put in another's place.
//!
//! Read back, a page's text is its lines with a newline after each, except that pieces of one long line follow
//! each other directly. So a line is one slice, whole, wherever it was cut.

use super::cells::{Cells, Column};
use super::events::{Row, RowsBefore, joins_of, take_rows};
use super::limits::{BASE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX, PAGE_TEXT_BYTES_MAX};
use super::numbers::take_numbers;
use super::template::{CELL, cells_in};
use super::templates::TemplateTable;
use super::{BlockError, Part};
use proto::event::Flags;
use proto::field::{BadField, Fields};
use proto::squeeze::Stretcher;
use std::ops::Range;

pub mod writer;

pub use writer::{Entry, PageCutter, PageWriter, WrittenPage};

const RAW: u8 = 1;
const TMPL: u8 = 2;

const FRAMES_MAX: usize = 4;

/// How long one frame of a page is in the file.
pub type FrameLength = (&'static str, usize);

/// A page's codec, and how long each of its frames is in the file. Nothing is unpacked or checked.
pub fn frames_in(bytes: &[u8]) -> Result<(&'static str, Vec<FrameLength>), BadField> {
    let mut fields = Fields::new(bytes);
    let codec = fields.u8()?;
    fields.count(PAGE_EVENTS_MAX)?;
    let mut frames = Vec::with_capacity(FRAMES_MAX);
    for name in ["events", "heads", "text", "numbers"].into_iter().take(frames_of(codec)) {
        frames.push((name, fields.count(PAGE_FRAME_BYTES_MAX)?));
        fields.count(PAGE_FRAME_BYTES_MAX)?;
    }
    Ok((if codec == RAW { "RAW" } else { "TMPL" }, frames))
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
    /// Reads the page with this number. `stream_of` says which stream each of the block's sources belongs to; `base`
    /// is the page it learned from, if it did; `templates` are the block's.
    pub fn read(
        bytes: &[u8],
        number: u32,
        stream_of: &[u32],
        base: Option<&Base>,
        templates: &TemplateTable,
    ) -> Result<Self, BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
        let body = checked(bytes, number)?;
        let page = Self::read_body(body, stream_of, base, templates).map_err(|bad| damaged(bad.why))?;
        if page.rows.iter().any(|row| row.source as usize >= stream_of.len()) {
            return Err(damaged("a source that is none"));
        }
        Ok(page)
    }

    fn read_body(
        body: &[u8],
        stream_of: &[u32],
        base: Option<&Base>,
        templates: &TemplateTable,
    ) -> Result<Self, BadField> {
        let mut fields = Fields::new(body);
        let codec = fields.u8()?;
        let events = fields.count(PAGE_EVENTS_MAX)?;
        let frames = stretch_frames(&mut fields, frames_of(codec), base)?;
        let before = take_rows(frames.first().ok_or(fields.bad("no frames"))?, events)?;
        let lines = match codec {
            RAW => read_raw(frames, events)?,
            TMPL => read_templates(&frames, events, templates)?,
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

fn frames_of(codec: u8) -> usize {
    if codec == RAW { 3 } else { FRAMES_MAX }
}

/// The end of a frame, for others to learn from. Too little is no help.
fn dictionary_of(frame: &[u8]) -> Option<&[u8]> {
    let dictionary = frame.get(frame.len().saturating_sub(BASE_BYTES_MAX)..)?;
    // Bytes that begin as a trained dictionary does would be read as one.
    (dictionary.len() >= 64 && !dictionary.starts_with(&[0x37, 0xa4, 0x30, 0xec])).then_some(dictionary)
}

fn checksum(page: &[u8], number: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(page), &number.to_le_bytes())
}

/// A page without its checksum, which fits.
pub(super) fn checked(bytes: &[u8], number: u32) -> Result<&[u8], BlockError> {
    let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
    let (body, crc) = bytes.split_last_chunk().ok_or(damaged("ends too early"))?;
    if checksum(body, number) == u32::from_le_bytes(*crc) {
        Ok(body)
    } else {
        Err(damaged("does not fit its checksum"))
    }
}

/// What other pages learned from: a page's heads and text, as they were before they were squeezed.
#[derive(Clone, Debug)]
pub struct Base {
    dictionaries: [Vec<u8>; 2],
}

impl Base {
    /// Reads what is needed of a page that learned from no other.
    pub fn read(bytes: &[u8], number: u32) -> Result<Self, BlockError> {
        let body = checked(bytes, number)?;
        let read = || {
            let mut fields = Fields::new(body);
            let codec = fields.u8()?;
            fields.count(PAGE_EVENTS_MAX)?;
            stretch_frames(&mut fields, frames_of(codec), None)
        };
        let frames = read().map_err(|bad: BadField| BlockError::Damaged { part: Part::Page(number), why: bad.why })?;
        let dictionary = |place: usize| {
            frames.get(place).and_then(|frame| dictionary_of(frame)).map(<[u8]>::to_vec).unwrap_or_default()
        };
        Ok(Self { dictionaries: [dictionary(1), dictionary(2)] })
    }

    /// For the frame at a place; the events and the numbers have none.
    fn stretcher(&self, place: usize) -> Option<Stretcher<'static>> {
        let dictionary = self.dictionaries.get(place.checked_sub(1)?)?;
        if dictionary.is_empty() { None } else { Stretcher::with_dictionary(dictionary).ok() }
    }
}

fn stretch_frames(fields: &mut Fields<'_>, count: usize, base: Option<&Base>) -> Result<Vec<Vec<u8>>, BadField> {
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push((fields.count(PAGE_FRAME_BYTES_MAX)?, fields.count(PAGE_FRAME_BYTES_MAX)?));
    }
    let mut plain = Stretcher::default();
    let mut frames = Vec::with_capacity(count);
    for (place, (packed, length)) in lengths.into_iter().enumerate() {
        let bytes = fields.take(packed)?;
        if packed == length {
            frames.push(bytes.to_vec());
            continue;
        }
        let mut learned = base.and_then(|base| base.stretcher(place));
        let stretcher = learned.as_mut().unwrap_or(&mut plain);
        let frame = stretcher.stretch(bytes, length, PAGE_FRAME_BYTES_MAX);
        frames.push(frame.map_err(|_| fields.bad("a frame that can't be decoded"))?);
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

fn read_templates(frames: &[Vec<u8>], events: usize, known: &TemplateTable) -> Result<Lines, BadField> {
    let [_, heads, text, numbers] = frames else { return Err(BadField { at: 0, why: "frames are missing" }) };
    let mut fields = Fields::new(heads);
    let count = fields.count(events)?;
    let templates = known.take_some(&mut fields, count)?;
    let of_line = take_numbers(&mut fields, events)?;
    let mut lines_of = vec![0usize; count];
    for &template in &of_line {
        *lines_of
            .get_mut(usize::try_from(template).unwrap_or(usize::MAX))
            .ok_or(fields.bad("a template that is not there"))? += 1;
    }
    let mut cells = Cells::new(fields, text, numbers, 4 * PAGE_TEXT_BYTES_MAX);
    cells.take_groups()?;
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
