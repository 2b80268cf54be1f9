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
    pub fn put_columns(&mut self, columns: Vec<(&[u32], Vec<&[u8]>)>) {
        let columns: Vec<_> = columns.into_iter().map(|(lines, cells)| (lines, Kind::of(&cells), cells)).collect();
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
        for run in &pattern.runs {
            self.heads.push(run.form);
            if run.form == FORM_WIDTHS {
                put_shaped(&mut self.numbers, &run.widths, &shape_of(&run.widths));
            }
            let shape = run.shape.unwrap_or_else(|| shape_of(&run.values));
            put_shaped(&mut self.numbers, &run.values, &shape);
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
    pub fn of(cells: &[&'a [u8]]) -> Self {
        if cells.iter().all(|cell| *cell == cells[0]) {
            return Self::Same(cells[0]);
        }
        let kind = Self::of_words(cells);
        match Entries::of(cells) {
            Some(entries) if entries.pay(&kind) => Self::Entries(Box::new(entries)),
            _ => kind,
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

impl<'a> Entries<'a> {
    /// Nothing when more than half of the cells are different.
    fn of(cells: &[&'a [u8]]) -> Option<Self> {
        let mut known: FxHashMap<&[u8], u64> = FxHashMap::default();
        let mut different = Vec::new();
        let mut which = Vec::with_capacity(cells.len());
        for &cell in cells {
            let next = different.len() as u64;
            let number = *known.entry(cell).or_insert(next);
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
    fn pay(&self, other: &Kind<'_>) -> bool {
        match other {
            Kind::Pattern(pattern) => self.shape.bits + text_bits(&self.different) < pattern.bits(),
            _ => true,
        }
    }
}

/// Cells that differ only in their runs of digits.
#[derive(Debug)]
pub struct Pattern {
    text: Vec<u8>,
    runs: Vec<Run>,
}

#[derive(Debug, Default)]
struct Run {
    form: u8,
    values: Vec<u64>,
    /// How many digits each has; written only when nothing else tells.
    widths: Vec<u64>,
    shape: Option<Shape>,
}

impl Pattern {
    fn of(cells: &[&[u8]]) -> Option<Self> {
        let mut pattern = Self { text: pattern_of(cells[0])?, runs: Vec::new() };
        let places = pattern.text.iter().filter(|&&byte| byte == CELL).count();
        let room = || Vec::with_capacity(cells.len());
        pattern.runs.extend((0..places).map(|_| Run { values: room(), widths: room(), ..Run::default() }));
        for cell in cells {
            pattern.take_in(cell)?;
        }
        pattern.runs.iter_mut().for_each(Run::settle);
        Some(pattern)
    }

    /// Adds the cell's runs of digits; `None` when it has other bytes around them.
    fn take_in(&mut self, cell: &[u8]) -> Option<()> {
        let mut runs = self.runs.iter_mut();
        let mut rest = cell;
        for &byte in &self.text {
            if byte == CELL {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || digits > DIGITS_MAX {
                    return None;
                }
                let (run, tail) = rest.split_at(digits);
                runs.next()?.take_in(run);
                rest = tail;
            } else {
                rest = rest.split_first().filter(|(first, _)| **first == byte)?.1;
            }
        }
        rest.is_empty().then_some(())
    }

    fn bits(&self) -> u64 {
        self.runs.iter().map(Run::bits).sum()
    }
}

impl Run {
    fn take_in(&mut self, digits: &[u8]) {
        self.values.push(digits.iter().fold(0, |number, &digit| number * 10 + u64::from(digit - b'0')));
        self.widths.push(digits.len() as u64);
        if digits.len() > 1 && digits[0] == b'0' {
            self.form = FORM_WIDTHS;
        }
    }

    /// Finds the form, once all are known.
    fn settle(&mut self) {
        let width = self.widths[0];
        if self.widths.iter().all(|&other| other == width) {
            self.form = u8::try_from(width).expect("runs have up to 19 digits");
        }
        if self.form != FORM_WIDTHS {
            self.widths = Vec::new();
        }
        self.shape = Some(shape_of(&self.values));
    }

    fn bits(&self) -> u64 {
        let widths = if self.widths.is_empty() { 0 } else { shape_of(&self.widths).bits };
        self.shape.map_or(0, |shape| shape.bits) + widths
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
