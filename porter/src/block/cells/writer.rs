//! Writes columns: finds out what the cells of each are and takes the smallest way of saying so.

use super::super::numbers::{Shape, put_shaped, shape_of};
use super::super::template::{CELL, UUID_BYTES};
use super::shared::{Class, Shared};
use super::{COUNTED, DIGITS_MAX, ENTRIES, FORM_WIDTHS, HEX, HEX_DASHED, HEX_UPPER, LINES, PATTERN, SAME, SHARED};
use proto::field::{put_count, put_counted};
use rustc_hash::FxHashMap;

/// What a byte of text is reckoned to cost once it is squeezed.
const TEXT_BITS: u64 = 5;

/// What a page's cells are written to.
#[derive(Debug, Default)]
pub struct CellStreams {
    pub heads: Vec<u8>,
    pub text: Vec<u8>,
    pub numbers: Vec<u8>,
}

impl CellStreams {
    /// Appends all columns of a page, each with the numbers of its lines. No column is empty.
    pub fn put_columns<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], &'a [&'a [u8]])>) {
        let mut known = Known::default();
        let columns: Vec<_> = columns.map(|(lines, cells)| (lines, Kind::of(cells, &mut known), cells)).collect();
        let shared = Shared::of(&columns);
        put_count(&mut self.heads, shared.groups.len());
        for words in &shared.groups {
            put_count(&mut self.heads, words.len());
            self.put(&Kind::of_words(words), words);
        }
        for ((_, kind, cells), shared) in columns.iter().zip(&shared.of_column) {
            match shared {
                Some((group, which)) => {
                    self.heads.push(SHARED);
                    put_count(&mut self.heads, *group);
                    put_shaped(&mut self.numbers, which, &shape_of(which));
                }
                None => self.put(kind, cells),
            }
        }
    }

    fn put(&mut self, kind: &Kind<'_>, cells: &[&[u8]]) {
        match kind {
            Kind::Same(cell) => {
                self.heads.push(SAME);
                put_counted(&mut self.heads, cell);
            }
            Kind::Entries(entries) => {
                self.heads.push(ENTRIES);
                put_count(&mut self.heads, entries.different.len());
                self.put(&entries.kind, &entries.different);
                put_shaped(&mut self.numbers, &entries.which, &entries.shape);
            }
            Kind::Pattern(pattern) => self.put_pattern(pattern),
            Kind::Hex(hex) => self.put_hex(*hex, cells),
            Kind::Text => self.put_text(cells),
        }
    }

    fn put_pattern(&mut self, pattern: &Pattern) {
        self.heads.push(PATTERN);
        put_counted(&mut self.heads, &pattern.text);
        for (run, values) in pattern.runs.iter().zip(pattern.values.chunks_exact(pattern.cells)) {
            self.heads.push(run.form);
            if let Some((widths, shape)) = &run.widths {
                put_shaped(&mut self.numbers, widths, shape);
            }
            let shape = run.shape.unwrap_or_else(|| shape_of(values));
            put_shaped(&mut self.numbers, values, &shape);
        }
    }

    fn put_text(&mut self, cells: &[&[u8]]) {
        if cells.iter().any(|cell| cell.contains(&b'\n')) {
            self.heads.push(COUNTED);
            let lengths: Vec<u64> = cells.iter().map(|cell| cell.len() as u64).collect();
            put_shaped(&mut self.numbers, &lengths, &shape_of(&lengths));
            cells.iter().for_each(|cell| self.text.extend_from_slice(cell));
        } else {
            self.heads.push(LINES);
            for cell in cells {
                self.text.extend_from_slice(cell);
                self.text.push(b'\n');
            }
        }
    }

    fn put_hex(&mut self, hex: Hex, cells: &[&[u8]]) {
        self.heads.push(HEX);
        self.heads.push(u8::try_from(hex.digits).expect("hexadecimal cells are short"));
        self.heads.push(hex.form);
        for pair in 0..hex.digits / 2 {
            let dashes =
                if hex.form & HEX_DASHED == 0 { 0 } else { [4, 6, 8, 10].iter().filter(|at| **at <= pair).count() };
            let at = 2 * pair + dashes;
            self.text.extend(cells.iter().map(|cell| hex_value(cell[at]) << 4 | hex_value(cell[at + 1])));
        }
    }
}

/// How a column is best written.
#[derive(Debug)]
pub enum Kind<'a> {
    Same(&'a [u8]),
    Entries(Box<Entries<'a>>),
    Pattern(Pattern),
    Hex(Hex),
    Text,
}

impl<'a> Kind<'a> {
    fn of(cells: &[&'a [u8]], known: &mut Known<'a>) -> Self {
        if cells.iter().all(|cell| *cell == cells[0]) {
            return Self::Same(cells[0]);
        }
        let Some(entries) = Entries::of(cells, known) else { return Self::of_words(cells) };
        match Pattern::of(cells) {
            Some(pattern) if !entries.pay(&pattern) => Self::Pattern(pattern),
            _ => Self::Entries(Box::new(entries)),
        }
    }

    /// Of cells of which none, or few, are the same.
    pub fn of_words(cells: &[&'a [u8]]) -> Self {
        if let [cell] = cells {
            return Self::Same(cell);
        }
        match Pattern::of(cells) {
            Some(pattern) => Self::Pattern(pattern),
            None => Hex::of(cells).map_or(Self::Text, Self::Hex),
        }
    }

    /// About how many bits it comes to.
    pub fn bits(&self, cells: &[&[u8]]) -> u64 {
        match self {
            Self::Same(cell) => cell.len() as u64 * TEXT_BITS + 16,
            Self::Entries(entries) => entries.shape.bits + entries.kind.bits(&entries.different),
            Self::Pattern(pattern) => pattern.bits(),
            Self::Hex(hex) => (cells.len() * hex.digits * 4) as u64,
            Self::Text => text_bits(cells),
        }
    }

    /// With which other columns it may share words.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Same(cell) => match Hex::of(&[cell]) {
                Some(hex) if !cell.iter().all(u8::is_ascii_digit) => Some(Class::Hex(hex)),
                _ => pattern_of(cell).map(Class::Pattern),
            },
            Self::Entries(entries) => entries.kind.class(),
            Self::Pattern(pattern) => Some(Class::Pattern(pattern.text.clone())),
            Self::Hex(hex) => Some(Class::Hex(*hex)),
            Self::Text => None,
        }
    }
}

fn text_bits(cells: &[&[u8]]) -> u64 {
    cells.iter().map(|cell| cell.len() as u64 + 1).sum::<u64>() * TEXT_BITS
}

/// The different cells of a column, in the order they came, and which each is.
#[derive(Debug)]
pub struct Entries<'a> {
    different: Vec<&'a [u8]>,
    kind: Kind<'a>,
    which: Vec<u64>,
    shape: Shape,
}

/// The different cells of a column and their numbers; one for all columns of a page, because it is costly to make.
type Known<'a> = FxHashMap<&'a [u8], u64>;

/// Up to so many different cells are told apart by looking at each of them.
const FEW: usize = 8;

impl<'a> Entries<'a> {
    /// Nothing when more than half of the cells are different.
    fn of(cells: &[&'a [u8]], known: &mut Known<'a>) -> Option<Self> {
        let mut different = Vec::new();
        let mut which: Vec<u64> = Vec::with_capacity(cells.len());
        known.clear();
        for (at, &cell) in cells.iter().enumerate() {
            let next = different.len() as u64;
            let number = match at.checked_sub(1) {
                Some(before) if cells[before] == cell => which[before],
                _ => number_of(cell, &different, known),
            };
            if number == next {
                different.push(cell);
                if different.len() * 2 > cells.len() {
                    return None;
                }
            }
            which.push(number);
        }
        Some(Self { kind: Kind::of_words(&different), different, shape: shape_of(&which), which })
    }

    /// Whether naming each cell once costs less than writing every one.
    fn pay(&self, pattern: &Pattern) -> bool {
        self.shape.bits + text_bits(&self.different) < pattern.bits()
    }
}

/// Which of those that were met a cell is, or the next when it is new.
fn number_of<'a>(cell: &'a [u8], different: &[&'a [u8]], known: &mut Known<'a>) -> u64 {
    let next = different.len() as u64;
    if different.len() < FEW {
        return different.iter().position(|other| *other == cell).map_or(next, |place| place as u64);
    }
    if known.is_empty() {
        known.extend(different.iter().copied().zip(0..));
    }
    *known.entry(cell).or_insert(next)
}

/// Cells that differ only in their runs of digits.
#[derive(Debug)]
pub struct Pattern {
    text: Vec<u8>,
    cells: usize,
    runs: Vec<Run>,
    /// Of the first run of each cell, then of the second, and so on.
    values: Vec<u64>,
}

#[derive(Debug, Default)]
struct Run {
    form: u8,
    /// How many digits each has; only when nothing else tells.
    widths: Option<(Vec<u64>, Shape)>,
    shape: Option<Shape>,
}

impl Pattern {
    fn of(cells: &[&[u8]]) -> Option<Self> {
        let text = pattern_of(cells[0])?;
        // What fits the last cell fits most of them.
        each_run(&text, cells.last()?, |_, _, _| ())?;
        let places = text.iter().filter(|&&byte| byte == CELL).count();
        let count = cells.len();
        let (mut values, mut widths) = (vec![0; places * count], vec![0u8; places * count]);
        let mut runs: Vec<Run> = Vec::new();
        runs.resize_with(places, Run::default);
        for (at, cell) in cells.iter().enumerate() {
            let mut place = 0;
            each_run(&text, cell, |value, width, first| {
                values[place * count + at] = value;
                widths[place * count + at] = width;
                if width > 1 && first == b'0' {
                    runs[place].form = FORM_WIDTHS;
                }
                place += 1;
            })?;
        }
        for ((run, values), widths) in runs.iter_mut().zip(values.chunks_exact(count)).zip(widths.chunks_exact(count)) {
            run.settle(values, widths);
        }
        Some(Self { text, cells: count, runs, values })
    }

    fn bits(&self) -> u64 {
        self.runs.iter().map(Run::bits).sum()
    }
}

/// Names the runs of digits of a cell: what number each is, how many digits it has and the first of them. `None`
/// when the cell is not like this pattern.
fn each_run(text: &[u8], cell: &[u8], mut visit: impl FnMut(u64, u8, u8)) -> Option<()> {
    let mut rest = cell;
    for &byte in text {
        let (&first, tail) = rest.split_first()?;
        if byte == CELL {
            let (value, width) = number_at(rest)?;
            visit(value, width, first);
            rest = &rest[usize::from(width)..];
        } else if first == byte {
            rest = tail;
        } else {
            return None;
        }
    }
    rest.is_empty().then_some(())
}

/// The number that begins here, and how many digits it has. `None` when there is none, or one too long.
fn number_at(bytes: &[u8]) -> Option<(u64, u8)> {
    let (mut number, mut width) = (0u64, 0u8);
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if usize::from(width) == DIGITS_MAX {
            return None;
        }
        number = number * 10 + u64::from(digit);
        width += 1;
    }
    (width > 0).then_some((number, width))
}

impl Run {
    /// Finds the form, once all are known.
    fn settle(&mut self, values: &[u64], widths: &[u8]) {
        if widths.iter().all(|&other| other == widths[0]) {
            self.form = widths[0];
        }
        if self.form == FORM_WIDTHS {
            let widths: Vec<u64> = widths.iter().map(|&width| u64::from(width)).collect();
            let shape = shape_of(&widths);
            self.widths = Some((widths, shape));
        }
        self.shape = Some(shape_of(values));
    }

    fn bits(&self) -> u64 {
        self.widths.as_ref().map_or(0, |(_, shape)| shape.bits) + self.shape.map_or(0, |shape| shape.bits)
    }
}

/// A cell with its runs of digits taken out. `None` when it has none, or one too long, or stands for one itself.
fn pattern_of(cell: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(cell.len());
    for part in cell.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if part[0].is_ascii_digit() {
            if part.len() > DIGITS_MAX {
                return None;
            }
            text.push(CELL);
        } else if part.contains(&CELL) {
            return None;
        } else {
            text.extend_from_slice(part);
        }
    }
    text.contains(&CELL).then_some(text)
}

/// Cells that are hexadecimal, of one even length and one case, perhaps with the dashes of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex {
    digits: usize,
    form: u8,
}

impl Hex {
    fn of(cells: &[&[u8]]) -> Option<Self> {
        let length = cells[0].len();
        let dashed = length == UUID_BYTES && cells[0][8] == b'-';
        if length < 4 || length % 2 == 1 || length > 254 || cells.iter().any(|cell| cell.len() != length) {
            return None;
        }
        let all = |letters: std::ops::RangeInclusive<u8>| {
            let fits = |(at, byte): (usize, &u8)| {
                if dashed && matches!(at, 8 | 13 | 18 | 23) {
                    *byte == b'-'
                } else {
                    byte.is_ascii_digit() || letters.contains(byte)
                }
            };
            cells.iter().all(|cell| cell.iter().enumerate().all(fits))
        };
        let form = if all(b'a'..=b'f') {
            0
        } else if all(b'A'..=b'F') {
            HEX_UPPER
        } else {
            return None;
        };
        Some(if dashed { Self { digits: 32, form: form | HEX_DASHED } } else { Self { digits: length, form } })
    }
}

fn hex_value(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 }
}
