//! Writes pages: splits lines, finds the smaller codec, squeezes the frames, keeps the bases.

use super::super::Levels;
use super::super::cells::CellStreams;
use super::super::events::{Joiner, Row, joins_of, put_rows};
use super::super::limits::{BASES_MAX, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX};
use super::super::numbers::put_numbers;
use super::super::template::{Cut, Split, cells_in, merge};
use super::{RAW, TMPL, checksum, dictionary_of};
use proto::field::{put_count, put_counted, put_u32};
use proto::squeeze::Squeezer;
use std::collections::BTreeMap;

/// An event and its line, about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub row: Row,
    pub line: &'a [u8],
}

/// When one way won by a sixth, the others are not tried on so many further pages of the app; when it was closer, on
/// half as many, and then the two best are compared at a higher level.
const PAGES_UNTRIED: u32 = 15;

/// Writes pages.
#[derive(Debug)]
pub struct PageWriter {
    levels: Levels,
    /// One for each level in use.
    squeezers: BTreeMap<i32, Squeezer<'static>>,
    /// Bytes of frames that were squeezed at each level.
    pub at_level: BTreeMap<i32, u64>,
    /// For finding out which codec is smaller; the difference shows at any level.
    quick: Squeezer<'static>,
    last: Option<Choice>,
    base: Option<WrittenBase>,
    bases: usize,
}

/// Which way of writing won last, and for how long that is believed.
#[derive(Clone, Copy, Debug)]
struct Choice {
    way: Way,
    pages_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Raw,
    Cut(Cut),
}

/// The page whose frames are the dictionaries of those that follow.
#[derive(Debug)]
struct WrittenBase {
    number: u32,
    codec: u8,
    /// For heads and text; none where there is nothing to learn from.
    squeezers: [Option<Learned>; 2],
}

#[derive(Debug)]
struct Learned {
    level: i32,
    squeezer: Squeezer<'static>,
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
            squeezers: BTreeMap::new(),
            at_level: BTreeMap::new(),
            quick: Squeezer::new(1),
            last: None,
            base: None,
            bases: 0,
        }
    }

    fn level(&self, codec: u8, frame: &[u8]) -> i32 {
        self.levels.of(codec == RAW, frame.len())
    }

    /// For a frame nothing was learned for.
    fn plain(&mut self, level: i32) -> &mut Squeezer<'static> {
        self.squeezers.entry(level).or_insert_with(|| Squeezer::new(level))
    }

    fn learn(&self, codec: u8, frame: &[u8]) -> Option<Learned> {
        let level = self.level(codec, frame);
        Some(Learned { level, squeezer: Squeezer::with_dictionary(level, dictionary_of(frame)?)? })
    }

    /// Pages of another app follow, which have nothing to learn from those before.
    pub fn begin_app(&mut self) {
        self.base = None;
        self.last = None;
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
        let level = self.level(TMPL, &events);
        page.frame(&events, self.plain(level));
        let mut learned = base.as_mut().filter(|base| base.codec == codec);
        let base_number = learned.as_ref().map(|base| base.number);
        for (place, frame) in frames.iter().enumerate() {
            let learned = learned.as_mut().and_then(|base| base.squeezers.get_mut(place)?.as_mut());
            let level = learned.as_ref().map_or(self.level(codec, frame), |learned| learned.level);
            match learned {
                Some(learned) => page.frame(frame, &mut learned.squeezer),
                None => page.frame(frame, self.plain(level)),
            }
            *self.at_level.entry(level).or_default() += frame.len() as u64;
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
        let raw = || raw_frames(lines, &joins_of(rows, stream_of));
        let way = self.known();
        if way == Some(Way::Raw) {
            return (RAW, raw());
        }
        let cut = |how| Some(template_frames(lines, how)).filter(|frames| fit(frames));
        if let Some(Way::Cut(how)) = way {
            return cut(how).map_or_else(|| (RAW, raw()), |frames| (TMPL, frames));
        }
        let mut tries = vec![(Way::Raw, raw())];
        tries.extend(cut(Cut::Words).map(|frames| (Way::Cut(Cut::Words), frames)));
        if Cut::quotes_may_pay(lines) {
            tries.extend(cut(Cut::Quotes).map(|frames| (Way::Cut(Cut::Quotes), frames)));
        }
        let (way, frames) = self.smallest(tries);
        (if way == Way::Raw { RAW } else { TMPL }, frames)
    }

    fn known(&mut self) -> Option<Way> {
        let last = self.last.as_mut().filter(|last| last.pages_left > 0)?;
        last.pages_left -= 1;
        Some(last.way)
    }

    fn smallest(&mut self, tries: Vec<(Way, Vec<Vec<u8>>)>) -> (Way, Vec<Vec<u8>>) {
        let mut costs: Vec<(usize, usize)> = tries
            .iter()
            .enumerate()
            .map(|(at, (_, frames))| (frames.iter().map(|frame| self.quick.squeeze(frame).len()).sum(), at))
            .collect();
        costs.sort_unstable();
        let is_close =
            |costs: &[(usize, usize)]| matches!(costs, [(first, _), (second, _), ..] if first * 6 >= second * 5);
        let clear = !is_close(&costs);
        if !clear {
            costs.truncate(2);
            let level = self.levels.long_columns;
            for (cost, at) in &mut costs {
                *cost = tries[*at].1.iter().map(|frame| self.plain(level).squeeze(frame).len()).sum();
            }
            costs.sort_unstable();
        }
        let best = costs.first().map_or(0, |(_, at)| *at);
        let (way, frames) = tries.into_iter().nth(best).expect("plain lines are always tried");
        let pages_left = if clear { PAGES_UNTRIED } else { PAGES_UNTRIED / 2 };
        self.last = Some(Choice { way, pages_left });
        (way, frames)
    }
}

/// Whether no frame is too large to be read.
fn fit(frames: &[Vec<u8>]) -> bool {
    frames.iter().all(|frame| frame.len() <= PAGE_FRAME_BYTES_MAX)
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

fn template_frames(lines: &[&[u8]], how: Cut) -> Vec<Vec<u8>> {
    let split = Split::of(lines, how);
    let merged = merge(&split, &split.templates);
    let mut streams = CellStreams::default();
    put_count(&mut streams.heads, merged.templates.len());
    for template in &merged.templates {
        put_counted(&mut streams.heads, template);
    }
    put_numbers(&mut streams.heads, &merged.of_line.iter().map(|&id| u64::from(id)).collect::<Vec<_>>());
    let lines_of = merged.lines_of_templates();
    let mut columns = Vec::new();
    for (template, lines) in merged.templates.iter().zip(&lines_of) {
        columns.extend((0..cells_in(template)).map(|slot| (lines.as_slice(), merged.column(lines, slot))));
    }
    streams.put_columns(columns);
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
