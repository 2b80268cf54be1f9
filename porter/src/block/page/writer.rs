//! Writes pages: splits lines, finds the smaller codec, squeezes the frames, keeps the bases.

use super::super::Levels;
use super::super::cells::CellStreams;
use super::super::events::{Joiner, Row, joins_of, put_rows};
use super::super::limits::{BASES_MAX, LONG_FRAME_BYTES, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX};
use super::super::numbers::put_numbers;
use super::super::template::{Split, cells_in, merge};
use super::{RAW, TMPL, checksum, dictionary_of};
use proto::field::{put_count, put_counted, put_u32};
use proto::squeeze::Squeezer;

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
