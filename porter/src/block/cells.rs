//! Columns of cells: the words that differ between lines of one template, typed and packed.
//!
//! A column's kind and what describes it stand among the heads, its bytes among the text, its numbers (drawn in
//! `numbers`) among the numbers; three streams for a page, because each squeezes best beside its like.
//!
//! ```text
//! heads: u8 kind, then
//! 0 same      counted bytes                    every cell is this
//! 1 pattern   counted bytes, u8 form each      0x11 stands for a run of digits; each run is a column of numbers
//! 2 entries   varint d                         d different cells, themselves a column; then numbers: which
//! 3 lines     -                                text: each cell and a newline
//! 4 counted   -                                numbers: lengths; text: the cells
//! 5 hex       u8 digits, u8 letters            text: the bytes of equally long hexadecimal cells, first bytes of all first;
//!                                              letters: 0 lower, 1 upper; and 2 when dashes part 32 digits into 8-4-4-4-12
//! 6 shared    varint group                     numbers: which of the words columns of this group share
//! ```
//!
//! Words that come again in many columns (the identity of a request in whatever is said about it) stand once, in
//! groups of their like, in the order of the first line that has them:
//!
//! ```text
//! varint groups; each: varint words, and they as a column
//! ```
//!
//! A run of digits takes its form: 0 no leading zeros, 1-19 so many digits, 255 as 0 but behind a column with how
//! many digits each has.

use super::numbers::take_numbers;
use super::template::CELL;
use proto::field::{BadField, Fields};

mod pass;
pub mod shared;
pub mod writer;

pub use writer::CellStreams;

const SAME: u8 = 0;
const PATTERN: u8 = 1;
const ENTRIES: u8 = 2;
const LINES: u8 = 3;
const COUNTED: u8 = 4;
const HEX: u8 = 5;
const SHARED: u8 = 6;

const HEX_UPPER: u8 = 1;
const HEX_DASHED: u8 = 2;

/// Longer runs of digits would not fit 64 bits.
const DIGITS_MAX: usize = 19;

/// Groups of shared words in a page. Kinds of identities a program prints are few.
const GROUPS_MAX: usize = 32;

const FORM_WIDTHS: u8 = 255;

/// A stretch of [`Cells::arena`].
pub type Span = (u32, u32);

/// A column as it was read.
#[derive(Debug)]
pub enum Column {
    Same(Span),
    Each(Vec<Span>),
}

impl Column {
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Span> {
        match self {
            Self::Same(span) => Some(*span),
            Self::Each(spans) => spans.get(row).copied(),
        }
    }
}

/// Reads columns. All cells' bytes gather in one arena.
#[derive(Debug)]
pub struct Cells<'a> {
    pub heads: Fields<'a>,
    text: Fields<'a>,
    numbers: Fields<'a>,
    pub arena: Vec<u8>,
    groups: Vec<Column>,
    /// How many more cells and bytes there may be; what is hostile ends here.
    budget: usize,
}

impl<'a> Cells<'a> {
    #[must_use]
    pub fn new(heads: Fields<'a>, text: &'a [u8], numbers: &'a [u8], budget: usize) -> Self {
        Self {
            heads,
            text: Fields::new(text),
            numbers: Fields::new(numbers),
            arena: Vec::new(),
            groups: Vec::new(),
            budget,
        }
    }

    /// Reads the words columns share; they come before any column.
    pub fn take_groups(&mut self) -> Result<(), BadField> {
        for _ in 0..self.heads.count(GROUPS_MAX)? {
            let words = self.heads.count(self.budget)?;
            let group = self.take_nested(words, Nest::Words)?;
            self.groups.push(group);
        }
        Ok(())
    }

    /// Reads a column of `count` cells.
    pub fn take_column(&mut self, count: usize) -> Result<Column, BadField> {
        self.take_nested(count, Nest::Column)
    }

    /// Fails unless everything was read.
    pub fn end(&self) -> Result<(), BadField> {
        self.heads.end()?;
        self.text.end()?;
        self.numbers.end()
    }

    fn spend(&mut self, amount: usize) -> Result<(), BadField> {
        self.budget = self.budget.checked_sub(amount).ok_or(self.heads.bad("more cells than a page can have"))?;
        Ok(())
    }

    fn take_nested(&mut self, count: usize, nest: Nest) -> Result<Column, BadField> {
        if count == 0 {
            return Err(self.heads.bad("a column without cells"));
        }
        match self.heads.u8()? {
            SAME => {
                let bytes = self.heads.counted(usize::MAX)?;
                self.spend(1)?;
                Ok(Column::Same(self.keep(bytes)?))
            }
            PATTERN => self.take_pattern(count),
            ENTRIES if nest == Nest::Column => self.take_entries(count),
            LINES => self.take_lines(count),
            COUNTED => self.take_counted(count),
            HEX => self.take_hex(count),
            SHARED if nest == Nest::Column => self.take_shared(count),
            _ => Err(self.heads.bad("a column of an unknown kind")),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Span, BadField> {
        let start = self.here()?;
        self.arena.extend_from_slice(bytes);
        Ok((start, self.here()?))
    }

    fn here(&self) -> Result<u32, BadField> {
        u32::try_from(self.arena.len()).map_err(|_| self.heads.bad("more bytes than a page can have"))
    }

    fn take_pattern(&mut self, count: usize) -> Result<Column, BadField> {
        let text = self.heads.counted(usize::MAX)?;
        let places = text.iter().filter(|&&byte| byte == CELL).count();
        self.spend(count.saturating_mul(places + 1))?;
        self.spend(count.saturating_mul(text.len()))?;
        let mut runs = Vec::with_capacity(places);
        for _ in 0..places {
            let form = self.heads.u8()?;
            let widths = if form == FORM_WIDTHS { take_numbers(&mut self.numbers, count)? } else { Vec::new() };
            runs.push((form, widths, take_numbers(&mut self.numbers, count)?));
        }
        let parts: Vec<&[u8]> = text.split(|&byte| byte == CELL).collect();
        let mut spans = Vec::with_capacity(count);
        for row in 0..count {
            let start = self.here()?;
            for (part, (form, widths, values)) in parts.iter().zip(&runs) {
                match part {
                    [] => {}
                    [byte] => self.arena.push(*byte),
                    part => self.arena.extend_from_slice(part),
                }
                let digits = match *form {
                    FORM_WIDTHS => usize::try_from(widths[row]).unwrap_or(usize::MAX).min(DIGITS_MAX),
                    form => usize::from(form).min(DIGITS_MAX),
                };
                put_decimal(&mut self.arena, values[row], digits);
            }
            self.arena.extend_from_slice(parts.last().copied().unwrap_or_default());
            spans.push((start, self.here()?));
        }
        Ok(Column::Each(spans))
    }

    fn take_entries(&mut self, count: usize) -> Result<Column, BadField> {
        let different = self.heads.count(count)?;
        self.spend(count)?;
        let entries = self.take_nested(different, Nest::Words)?;
        let which = take_numbers(&mut self.numbers, count)?;
        self.pick(&entries, &which)
    }

    fn take_shared(&mut self, count: usize) -> Result<Column, BadField> {
        let group = self.heads.count(GROUPS_MAX)?;
        self.spend(count)?;
        let which = take_numbers(&mut self.numbers, count)?;
        let words = self.groups.get(group).ok_or(self.heads.bad("a group that is not there"))?;
        self.pick(words, &which)
    }

    fn pick(&self, words: &Column, which: &[u64]) -> Result<Column, BadField> {
        let mut spans = Vec::with_capacity(which.len());
        for &word in which {
            let span = words.get(usize::try_from(word).unwrap_or(usize::MAX));
            spans.push(span.ok_or(self.numbers.bad("a word that is not there"))?);
        }
        Ok(Column::Each(spans))
    }

    fn take_lines(&mut self, count: usize) -> Result<Column, BadField> {
        self.spend(count)?;
        let all = self.text.rest();
        let base = self.here()?;
        let mut spans = Vec::with_capacity(count.min(all.len()));
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', all).take(count) {
            let place = |at: usize| u32::try_from(at).ok().and_then(|at| base.checked_add(at));
            let (Some(from), Some(to)) = (place(at), place(end)) else {
                return Err(self.text.bad("more bytes than a page can have"));
            };
            spans.push((from, to));
            at = end + 1;
        }
        if spans.len() < count {
            return Err(self.text.bad("fewer cells than there should be"));
        }
        let bytes = self.text.take(at)?;
        self.arena.extend_from_slice(bytes);
        Ok(Column::Each(spans))
    }

    fn take_counted(&mut self, count: usize) -> Result<Column, BadField> {
        self.spend(count)?;
        let lengths = take_numbers(&mut self.numbers, count)?;
        let mut spans = Vec::with_capacity(count);
        for length in lengths {
            let bytes = self.text.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            spans.push(self.keep(bytes)?);
        }
        Ok(Column::Each(spans))
    }

    fn take_hex(&mut self, count: usize) -> Result<Column, BadField> {
        let digits = usize::from(self.heads.u8()?);
        let form = self.heads.u8()?;
        let letters = if form & HEX_UPPER == 0 { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
        self.spend(count)?;
        let bytes = self.text.take(count.saturating_mul(digits / 2))?;
        let mut spans = Vec::with_capacity(count);
        for row in 0..count {
            let start = self.here()?;
            for (at, byte) in bytes.iter().skip(row).step_by(count).enumerate() {
                if form & HEX_DASHED != 0 && matches!(at, 4 | 6 | 8 | 10) {
                    self.arena.push(b'-');
                }
                self.arena.push(letters[usize::from(byte >> 4)]);
                self.arena.push(letters[usize::from(byte & 15)]);
            }
            spans.push((start, self.here()?));
        }
        Ok(Column::Each(spans))
    }
}

/// Where a column stands: words don't stand for words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nest {
    Column,
    Words,
}

/// A number in decimal with at least so many digits.
#[inline]
fn put_decimal(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    // Twice as long as a number can be: a copy of always twenty bytes is faster than one of just as many as there are.
    let mut text = [b'0'; 40];
    let mut at = 20;
    while number >= 10 {
        at -= 2;
        let two = PAIRS[(number % 100) as usize];
        [text[at], text[at + 1]] = two;
        number /= 100;
    }
    if number > 0 {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
    }
    let length = (20 - at).max(digits).max(1);
    let end = out.len() + length;
    let from = &text[20 - length..];
    out.extend_from_slice(from.first_chunk::<20>().expect("forty bytes hold twenty behind any of the first twenty"));
    out.truncate(end);
}

/// The decimal digits of every number below a hundred.
const PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100u8 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(columns: &[Vec<Vec<u8>>]) -> usize {
        let mut streams = CellStreams::default();
        // As in a page: a column of many templates has lines of its own between those of the others.
        let lines: Vec<Vec<u32>> = (0u32..)
            .zip(columns)
            .map(|(at, column)| (0..column.len() as u32).map(|row| row * columns.len() as u32 + at).collect())
            .collect();
        let cells: Vec<Vec<&[u8]>> = columns.iter().map(|column| column.iter().map(Vec::as_slice).collect()).collect();
        streams.put_columns(lines.iter().map(Vec::as_slice).zip(cells.iter().map(Vec::as_slice)));
        let mut cells = Cells::new(Fields::new(&streams.heads), &streams.text, &streams.numbers, 1 << 20);
        cells.take_groups().unwrap();
        for column in columns {
            let read = cells.take_column(column.len()).unwrap();
            for (row, cell) in column.iter().enumerate() {
                let (from, to) = read.get(row).unwrap();
                assert_eq!(&cells.arena[from as usize..to as usize], cell);
            }
        }
        cells.end().unwrap();
        let mut cells = Cells::new(Fields::new(&streams.heads), &streams.text, &streams.numbers, 1 << 20);
        cells.take_groups().unwrap();
        columns.iter().for_each(|column| cells.pass_column(column.len()).unwrap());
        cells.end().unwrap();
        streams.heads.len() + streams.text.len() + streams.numbers.len()
    }

    #[test]
    fn columns_are_known_for_what_they_are() {
        let check = |column: Vec<String>, most: usize| {
            let column: Vec<Vec<u8>> = column.into_iter().map(String::into_bytes).collect();
            let bytes = back(&[column]);
            assert!(bytes <= most, "{bytes} bytes");
        };
        check((0..100).map(|_| "10.0.0.7".to_owned()).collect(), 11);
        check((0..100).map(|i| format!("r{i}")).collect(), 110);
        check((0..100).map(|i| format!("10.0.{}.{}", i % 3, i % 7)).collect(), 240);
        check((0..100).map(|i| format!("{:08x}", i * 7_777_777)).collect(), 410);
        check((0..100).map(|i| ["GET", "P0ST"][i % 2].to_owned()).collect(), 125);
        check((0..50).map(|i| format!("0.{:0w$}", i * 3, w = i % 4)).collect(), 130);
        let uuid = |i: u64| format!("{:08x}-0000-4000-8000-{:012x}", i * 0x9e37_79b9 % 0xffff_ffff, i * i);
        check((0..100).map(uuid).collect(), 1610);
    }

    #[test]
    fn words_of_many_columns_stand_once() {
        let identity = |line: u64| {
            format!("{:032x}", u128::from(line / 6 + 1).wrapping_mul(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef))
        };
        let columns: Vec<Vec<Vec<u8>>> =
            (0..3).map(|column| (0..100).map(|row| identity(row * 3 + column).into_bytes()).collect()).collect();
        let alone: usize = columns.iter().map(|column| back(std::slice::from_ref(column))).sum();
        let together = back(&columns);
        assert!(together * 2 < alone, "{together} bytes beside {alone}");
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 12_345, 100_000, u64::MAX, 10_000_000_000_000_000_000]
        {
            for digits in 0..=DIGITS_MAX {
                let mut out = b"x".to_vec();
                put_decimal(&mut out, number, digits);
                assert_eq!(out, format!("x{number:0digits$}").into_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn columns_go_there_and_back(columns in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![
                "[0-9]{1,20}".prop_map(String::into_bytes),
                "0{0,2}[0-9]{1,2}(\\.[0-9])?".prop_map(String::into_bytes),
                "[0-9a-f]{8}".prop_map(String::into_bytes),
                "[ab]{4}[ab]{4}".prop_map(String::into_bytes),
                "[0-9A-F]{8}-0b1f-[0-9A-F]{4}-00A0-[0-9A-F]{12}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..5),
            ], 1..20), 1..4)) {
            back(&columns);
        }

        #[test]
        fn any_bytes_are_columns_or_refused(heads: Vec<u8>, text: Vec<u8>, numbers: Vec<u8>, count in 0usize..50) {
            let mut cells = Cells::new(Fields::new(&heads), &text, &numbers, 1 << 12);
            let _ = cells.take_groups();
            while cells.take_column(count).is_ok() && !cells.heads.is_empty() {}
        }
    }
}
