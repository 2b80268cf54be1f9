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
//! The first of many pages of an app is their base: their heads and text are squeezed with the end of its heads and
//! text (512 KiB at most, and at least 64 bytes) as the dictionary, so what an app always says stands in a block
//! once. The page table says which page is whose base.
//!
//! The number in the checksum finds a page that was put in another's place.
//!
//! Read back, a page's text is its lines with a newline after each, except that pieces of one long line follow
//! each other directly. So a line is one slice, whole, wherever it was cut.

use super::cells::{CellStreams, Cells, Column};
use super::events::{Joiner, Row, RowsBefore, joins_of, put_rows, take_rows};
use super::limits::{
    BASE_BYTES_MAX, BASES_MAX, LONG_FRAME_BYTES, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX, PAGE_TEXT_BYTES_MAX,
};
use super::numbers::{put_numbers, take_numbers};
use super::template::{CELL, Split, cells_in, merge};
use super::{BlockError, Levels, Part};
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

/// When one codec won by a sixth, the other is not tried on so many further pages that begin with the same source.
const PAGES_UNTRIED: u32 = 15;

/// Writes pages.
#[derive(Debug)]
pub struct PageWriter {
    levels: Levels,
    lines: Squeezer<'static>,
    columns: Squeezer<'static>,
    long_columns: Squeezer<'static>,
    /// For finding out which codec is smaller; the difference shows at any level.
    quick: Squeezer<'static>,
    last: Option<Choice>,
    base: Option<WrittenBase>,
    bases: usize,
}

/// Which codec won last, and for how long that is believed.
#[derive(Clone, Copy, Debug)]
struct Choice {
    source: u32,
    codec: u8,
    pages_left: u32,
}

/// The page whose frames are the dictionaries of those that follow.
#[derive(Debug)]
struct WrittenBase {
    number: u32,
    codec: u8,
    /// For heads and text; none where there is nothing to learn from.
    squeezers: [Option<Squeezer<'static>>; 2],
}

/// A page's bytes, and which page was its dictionary.
#[derive(Debug)]
pub struct WrittenPage {
    pub bytes: Vec<u8>,
    pub base: Option<u32>,
}

impl PageWriter {
    #[must_use]
    pub fn new(levels: Levels) -> Self {
        Self {
            levels,
            lines: Squeezer::new(levels.lines),
            columns: Squeezer::new(levels.columns),
            long_columns: Squeezer::new(levels.long_columns),
            quick: Squeezer::new(1),
            last: None,
            base: None,
            bases: 0,
        }
    }

    /// For a frame nothing was learned for.
    fn plain(&mut self, codec: u8, frame: &[u8]) -> &mut Squeezer<'static> {
        match (codec, frame.len() > LONG_FRAME_BYTES) {
            (RAW, _) => &mut self.lines,
            (_, false) => &mut self.columns,
            (_, true) => &mut self.long_columns,
        }
    }

    fn learn(&self, codec: u8, frame: &[u8]) -> Option<Squeezer<'static>> {
        let level = match (codec, frame.len() > LONG_FRAME_BYTES) {
            (RAW, _) => self.levels.lines,
            (_, false) => self.levels.columns,
            (_, true) => self.levels.long_columns,
        };
        Squeezer::with_dictionary(level, dictionary_of(frame)?)
    }

    /// Pages of another app follow, which have nothing to learn from those before.
    pub fn begin_app(&mut self) {
        self.base = None;
    }

    /// The page's bytes, in whichever codec should be smaller. `becomes_base` says that more of its app follows.
    pub fn write(&mut self, number: u32, entries: &[Entry<'_>], stream_of: &[u32], becomes_base: bool) -> WrittenPage {
        let rows: Vec<Row> = entries.iter().map(|entry| entry.row).collect();
        let lines: Vec<&[u8]> = entries.iter().map(|entry| entry.line).collect();
        let mut events = Vec::new();
        put_rows(&mut events, &rows, stream_of);
        let (codec, frames) = self.choose(&rows, &lines, stream_of);
        let mut base = self.base.take();
        let mut page = PageBytes::new(codec, lines.len());
        page.frame(&events, &mut self.columns);
        let mut learned = base.as_mut().filter(|base| base.codec == codec);
        let base_number = learned.as_ref().map(|base| base.number);
        for (place, frame) in frames.iter().enumerate() {
            let squeezer = learned.as_mut().and_then(|base| base.squeezers.get_mut(place)?.as_mut());
            match squeezer {
                Some(squeezer) => page.frame(frame, squeezer),
                None => page.frame(frame, self.plain(codec, frame)),
            }
        }
        if becomes_base && base.is_none() && self.bases < BASES_MAX {
            let learn = |place: usize| frames.get(place).and_then(|frame| self.learn(codec, frame));
            base = Some(WrittenBase { number, codec, squeezers: [learn(0), learn(1)] });
            self.bases += 1;
        }
        self.base = base;
        WrittenPage { bytes: page.finish(number), base: base_number }
    }

    /// The codec, and the frames behind that of the events.
    fn choose(&mut self, rows: &[Row], lines: &[&[u8]], stream_of: &[u32]) -> (u8, Vec<Vec<u8>>) {
        let source = rows.first().map_or(0, |row| row.source);
        let known = self.known(source);
        let raw = || raw_frames(lines, &joins_of(rows, stream_of));
        if known == Some(RAW) {
            return (RAW, raw());
        }
        let cells = template_frames(lines);
        if cells.iter().any(|frame| frame.len() > PAGE_FRAME_BYTES_MAX) {
            return (RAW, raw());
        }
        if known == Some(TMPL) {
            return (TMPL, cells);
        }
        let raw = raw();
        if self.smaller(&raw, &cells, source) == RAW { (RAW, raw) } else { (TMPL, cells) }
    }

    fn known(&mut self, source: u32) -> Option<u8> {
        let last = self.last.as_mut().filter(|last| last.source == source && last.pages_left > 0)?;
        last.pages_left -= 1;
        Some(last.codec)
    }

    fn smaller(&mut self, raw: &[Vec<u8>], cells: &[Vec<u8>], source: u32) -> u8 {
        let mut cost = |frames: &[Vec<u8>]| frames.iter().map(|frame| self.quick.squeeze(frame).len()).sum::<usize>();
        let (raw, cells) = (cost(raw), cost(cells));
        let (codec, clear) = if cells < raw { (TMPL, cells * 6 < raw * 5) } else { (RAW, raw * 6 < cells * 5) };
        self.last = Some(Choice { source, codec, pages_left: if clear { PAGES_UNTRIED } else { 0 } });
        codec
    }
}

/// The end of a frame, for others to learn from. Too little is no help.
fn dictionary_of(frame: &[u8]) -> Option<&[u8]> {
    let dictionary = frame.get(frame.len().saturating_sub(BASE_BYTES_MAX)..)?;
    // Bytes that begin as a trained dictionary does would be read as one.
    (dictionary.len() >= 64 && !dictionary.starts_with(&[0x37, 0xa4, 0x30, 0xec])).then_some(dictionary)
}

/// A page on its way out.
struct PageBytes {
    head: Vec<u8>,
    bodies: Vec<u8>,
}

impl PageBytes {
    fn new(codec: u8, events: usize) -> Self {
        let mut head = vec![codec];
        put_count(&mut head, events);
        Self { head, bodies: Vec::new() }
    }

    fn frame(&mut self, frame: &[u8], squeezer: &mut Squeezer<'static>) {
        let start = self.bodies.len();
        squeezer.squeeze_into(frame, &mut self.bodies);
        if self.bodies.len() - start >= frame.len() {
            self.bodies.truncate(start);
            self.bodies.extend_from_slice(frame);
        }
        put_count(&mut self.head, self.bodies.len() - start);
        put_count(&mut self.head, frame.len());
    }

    fn finish(mut self, number: u32) -> Vec<u8> {
        self.head.append(&mut self.bodies);
        let crc = checksum(&self.head, number);
        put_u32(&mut self.head, crc);
        self.head
    }
}

fn checksum(page: &[u8], number: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(page), &number.to_le_bytes())
}

fn raw_frames(lines: &[&[u8]], joins: &[bool]) -> Vec<Vec<u8>> {
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
    vec![heads, text]
}

fn template_frames(lines: &[&[u8]]) -> Vec<Vec<u8>> {
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
    vec![streams.heads, streams.text, streams.numbers]
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
    /// is the page it learned from, if it did.
    pub fn read(bytes: &[u8], number: u32, stream_of: &[u32], base: Option<&Base>) -> Result<Self, BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
        let body = checked(bytes, number)?;
        let page = Self::read_body(body, stream_of, base).map_err(|bad| damaged(bad.why))?;
        if page.rows.iter().any(|row| row.source as usize >= stream_of.len()) {
            return Err(damaged("a source that is none"));
        }
        Ok(page)
    }

    fn read_body(body: &[u8], stream_of: &[u32], base: Option<&Base>) -> Result<Self, BadField> {
        let mut fields = Fields::new(body);
        let codec = fields.u8()?;
        let events = fields.count(PAGE_EVENTS_MAX)?;
        let frames = stretch_frames(&mut fields, frames_of(codec), base)?;
        let before = take_rows(frames.first().ok_or(fields.bad("no frames"))?, events)?;
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

fn frames_of(codec: u8) -> usize {
    if codec == RAW { 3 } else { FRAMES_MAX }
}

/// A page without its checksum, which fits.
fn checked(bytes: &[u8], number: u32) -> Result<&[u8], BlockError> {
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
