//! Writes pages: splits lines, finds the smaller codec, squeezes the frames, keeps the bases.

use super::super::Levels;
use super::super::alphabet::Alphabet;
use super::super::cells::CellStreams;
use super::super::events::{Joiner, Row, joins_of, put_rows};
use super::super::limits::{BASES_MAX, LONG_LINES_BYTES, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX};
use super::super::numbers::put_numbers;
use super::super::tallies::{Tally, Use};
use super::super::template::{CELL, Cut, Split, cells_in, merge};
use super::super::templates::TemplateBook;
use super::{RAW, TMPL, checksum, dictionary_of};
use proto::field::{put_count, put_u32};
use proto::squeeze::Squeezer;
use std::collections::BTreeMap;

/// An event and its line, about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub row: Row,
    pub line: &'a [u8],
}

/// When one way won by a sixth, the others are not tried on so many further pages of the app; when it was closer, on
/// half as many, and then the two best are compared at a higher level. Short pages, which may be all there is of an
/// app, are compared as they would be written, unless one way is less than half of any other: no level of zstd makes
/// up for that.
const PAGES_UNTRIED: u32 = 31;

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
    /// The templates of all pages.
    pub book: TemplateBook,
}

/// Which way of writing won last, and for how long that is believed.
#[derive(Clone, Copy, Debug)]
struct Choice {
    how: Option<Cut>,
    pages_left: u32,
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
    /// Of its events, where they have text that no event of their template before them has.
    pub news: Option<News>,
    /// Its templates; none when it is plain lines.
    pub uses: Vec<Use>,
}

/// For each line, the stretches whose windows must be looked at so that the page's are all seen: the first line of a
/// template whole; of the others those cells that are not as in the line of the template before, and what windows
/// reach beyond them. A window with no byte of such a cell stood in that line as well. A stretch that ends one byte
/// behind its line has the newline in it.
#[derive(Debug, Default)]
pub struct News {
    stretches: Vec<(u32, u32)>,
    ends: Vec<u32>,
    /// Where cells are, and two bytes on either side; but not where every window would have a digit.
    cells: Vec<(u32, u32)>,
    cell_ends: Vec<u32>,
    /// For each template how many lines it has, and the kinds of bytes in its cells.
    uses: Vec<(u32, Vec<Alphabet>)>,
}

impl News {
    fn of(split: &Split<'_>, lines: &[&[u8]]) -> Self {
        let gaps: Vec<Vec<usize>> = split.templates.iter().map(|template| gaps_of(template)).collect();
        let mut before = vec![None; split.templates.len()];
        let unused = |gaps: &Vec<usize>| (0, vec![Alphabet::default(); gaps.len()]);
        let mut news = Self { uses: gaps.iter().map(unused).collect(), ..Self::default() };
        for (line, &template) in split.of_line.iter().enumerate() {
            let gaps = &gaps[template as usize];
            let whole = lines[line].len() + 1;
            let first = news.stretches.len();
            let before = before[template as usize].replace(line).map(|before| split.cells_of(before, gaps.len()));
            if before.is_none() {
                news.stretch(first, 0, whole);
            }
            let mut at = 0;
            for (slot, (gap, cell)) in gaps.iter().zip(split.cells_of(line, gaps.len())).enumerate() {
                let start = at + gap;
                at = start + cell.len();
                if before.is_some_and(|before| before[slot] == *cell) {
                    continue;
                }
                if before.is_some() {
                    news.stretch(first, start.saturating_sub(WINDOW_BYTES - 1), whole.min(at + WINDOW_BYTES - 1));
                }
                news.uses[template as usize].1[slot].take_in(cell);
                if cell.is_empty() || !cell.iter().all(u8::is_ascii_digit) {
                    news.cells.push((count_u32(start.saturating_sub(2)), count_u32((at + 2).min(whole - 1))));
                }
            }
            news.ends.push(count_u32(news.stretches.len()));
            news.cell_ends.push(count_u32(news.cells.len()));
            news.uses[template as usize].0 += 1;
        }
        news
    }

    /// Adds a stretch to a line whose first is at `first`, joined with the one before when they touch.
    fn stretch(&mut self, first: usize, from: usize, to: usize) {
        let (from, to) = (count_u32(from), count_u32(to));
        match self.stretches.get_mut(first..).and_then(<[_]>::last_mut) {
            Some(last) if from <= last.1 => last.1 = to,
            _ => self.stretches.push((from, to)),
        }
    }

    /// Each line's stretches, in order.
    pub fn lines(&self) -> impl Iterator<Item = &[(u32, u32)]> {
        parts_of(&self.stretches, &self.ends)
    }

    /// Where each line has cells, in order.
    pub fn cells(&self) -> impl Iterator<Item = &[(u32, u32)]> {
        parts_of(&self.cells, &self.cell_ends)
    }
}

fn parts_of<'a>(all: &'a [(u32, u32)], ends: &'a [u32]) -> impl Iterator<Item = &'a [(u32, u32)]> {
    let mut start = 0;
    ends.iter().map(move |&end| {
        let part = &all[start..end as usize];
        start = end as usize;
        part
    })
}

/// The longest window of the gram index.
const WINDOW_BYTES: usize = 4;

/// How many bytes of a template stand before each of its cells, from the one before.
fn gaps_of(template: &[u8]) -> Vec<usize> {
    let mut parts: Vec<usize> = template.split(|&byte| byte == CELL).map(<[u8]>::len).collect();
    parts.pop();
    parts
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a page's bytes are capped")
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
            book: TemplateBook::default(),
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
        let Way { codec, mut frames, news, templates, .. } = self.choose(&rows, &lines, stream_of);
        let mut uses = Vec::new();
        if codec == TMPL {
            let mut heads = Vec::new();
            put_count(&mut heads, templates.len());
            let numbers = self.book.number(templates);
            put_numbers(&mut heads, &numbers);
            frames[0].splice(..0, heads);
            uses = uses_of(&numbers, news.as_ref());
        }
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
        WrittenPage { bytes: page.finish(number), base: base_number, news, uses }
    }

    fn choose(&mut self, rows: &[Row], lines: &[&[u8]], stream_of: &[u32]) -> Way {
        let raw = || Way::raw(lines, &joins_of(rows, stream_of));
        match self.known() {
            Some(None) => return raw(),
            Some(Some(how)) => return self.cut(lines, how).unwrap_or_else(raw),
            None => {}
        }
        let mut tries = vec![raw()];
        tries.extend(self.cut(lines, Cut::Words));
        if Cut::quotes_may_pay(lines) {
            tries.extend(self.cut(lines, Cut::Quotes));
        }
        self.smallest(tries)
    }

    fn cut(&self, lines: &[&[u8]], how: Cut) -> Option<Way> {
        Way::cut(lines, how).filter(|way| self.book.has_room(&way.templates))
    }

    fn known(&mut self) -> Option<Option<Cut>> {
        let last = self.last.as_mut().filter(|last| last.pages_left > 0)?;
        last.pages_left -= 1;
        Some(last.how)
    }

    fn smallest(&mut self, tries: Vec<Way>) -> Way {
        let mut costs: Vec<(usize, usize)> =
            (0..).zip(&tries).map(|(at, way)| (way.cost(&mut self.quick, &self.book), at)).collect();
        costs.sort_unstable();
        let (first, second) = (costs.first().map_or(0, |cost| cost.0), costs.get(1).map_or(usize::MAX, |cost| cost.0));
        let (clear, obvious) = (first < second / 6 * 5, first < second / 2);
        let short = tries.iter().all(|way| way.frames.iter().all(|frame| frame.len() <= LONG_LINES_BYTES));
        if short && !obvious || !clear {
            costs.truncate(2);
            for (cost, at) in &mut costs {
                *cost = self.final_cost(&tries[*at], short);
            }
            costs.sort_unstable();
        }
        let best = costs.first().map_or(0, |(_, at)| *at);
        let way = tries.into_iter().nth(best).expect("plain lines are always tried");
        let pages_left = if clear { PAGES_UNTRIED } else { PAGES_UNTRIED / 2 };
        self.last = Some(Choice { how: way.how, pages_left });
        way
    }

    /// What a page comes to as it would be written, or nearly so when that would take long.
    fn final_cost(&mut self, way: &Way, exactly: bool) -> usize {
        let templates = self.book.new_among(&way.templates);
        let squeezed = |frame: &Vec<u8>| {
            let level = if exactly { self.level(way.codec, frame) } else { self.levels.long_columns };
            self.plain(level).squeeze(frame).len().min(frame.len())
        };
        way.frames.iter().chain([&templates]).map(squeezed).sum()
    }
}

fn uses_of(numbers: &[u64], news: Option<&News>) -> Vec<Use> {
    let number = |&number: &u64| u32::try_from(number).expect("a block's templates are capped");
    let of = |(template, (events, alphabets)): (u32, &(u32, Vec<Alphabet>))| Use {
        tally: Tally { template, events: *events },
        alphabets: alphabets.clone(),
    };
    numbers.iter().map(number).zip(news.map_or([].as_slice(), |news| &news.uses)).map(of).collect()
}

/// A page as it might be written.
struct Way {
    codec: u8,
    /// How lines were cut; not at all in RAW.
    how: Option<Cut>,
    /// Behind that of the events; the numbers of the templates are still to come.
    frames: Vec<Vec<u8>>,
    templates: Vec<Vec<u8>>,
    news: Option<News>,
}

impl Way {
    fn raw(lines: &[&[u8]], joins: &[bool]) -> Self {
        Self { codec: RAW, how: None, frames: raw_frames(lines, joins), templates: Vec::new(), news: None }
    }

    /// Nothing when a frame would be too large to be read.
    fn cut(lines: &[&[u8]], how: Cut) -> Option<Self> {
        let split = Split::of(lines, how);
        let merged = merge(split, lines);
        let frames = template_frames(&merged);
        let news = Some(News::of(&merged, lines));
        let fits = frames.iter().all(|frame| frame.len() <= PAGE_FRAME_BYTES_MAX);
        fits.then_some(Self { codec: TMPL, how: Some(how), frames, templates: merged.templates, news })
    }

    /// New templates are a cost as well, though they stand elsewhere.
    fn cost(&self, squeezer: &mut Squeezer<'static>, book: &TemplateBook) -> usize {
        let templates = book.new_among(&self.templates);
        let squeezed = |frame: &Vec<u8>| squeezer.squeeze(frame).len().min(frame.len());
        self.frames.iter().chain([&templates]).map(squeezed).sum()
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

fn template_frames(merged: &Split<'_>) -> Vec<Vec<u8>> {
    let mut streams = CellStreams::default();
    put_numbers(&mut streams.heads, &merged.of_line.iter().map(|&id| u64::from(id)).collect::<Vec<_>>());
    let lines_of = merged.lines_of_templates();
    let (mut cells, mut columns) = (Vec::new(), Vec::new());
    for (template, bytes) in merged.templates.iter().enumerate() {
        let lines = lines_of.template(template);
        for slot in 0..cells_in(bytes) {
            merged.column(lines, slot, &mut cells);
            columns.push((lines, cells.len()));
        }
    }
    let mut start = 0;
    streams
        .put_columns(columns.into_iter().map(|(lines, end)| (lines, &cells[std::mem::replace(&mut start, end)..end])));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::grams::{Roller, grams_of};
    use std::collections::BTreeSet;

    proptest! {
        /// Looking at the news of a page is looking at all of it.
        #[test]
        fn no_window_is_only_in_what_is_not_news(
            lines in proptest::collection::vec(
                prop_oneof![
                    "(ab|cd|x) ?[0-9]{0,5}(ms|[.]| \"q [0-9]\")? ?(end|10.0.0.[0-9]|)".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..9),
                ], 1..30),
            quotes: bool,
        ) {
            let slices: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let way = Way::cut(&slices, if quotes { Cut::Quotes } else { Cut::Words }).unwrap();
            let (mut all, mut seen) = (BTreeSet::new(), BTreeSet::new());
            lines.iter().for_each(|line| grams_of(line, |gram| { all.insert(gram); }));
            let news = way.news.unwrap();
            prop_assert_eq!(news.lines().count(), lines.len());
            for (line, stretches) in lines.iter().zip(news.lines()) {
                let line = [line.as_slice(), b"\n"].concat();
                for &(from, to) in stretches {
                    Roller::default().push(&line[from as usize..to as usize], |gram| { seen.insert(gram); });
                }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
