//! Writes columns: finds out what the cells of each are and takes the smallest way of saying so.

use super::super::numbers::{Shape, put_shaped, shape_of};
use super::super::template::CELL;
use super::{COUNTED, DIGITS_MAX, ENTRIES, FORM_PLAIN, FORM_WIDTHS, HEX, LINES, PATTERN, SAME};
use proto::field::{put_count, put_counted};
use rustc_hash::FxHashMap;

/// What a page's cells are written to.
#[derive(Debug, Default)]
pub struct CellStreams {
    pub heads: Vec<u8>,
    pub text: Vec<u8>,
    pub numbers: Vec<u8>,
}

impl CellStreams {
    /// Appends a column. Never empty.
    pub fn put_column(&mut self, cells: &[&[u8]]) {
        self.put_nested(cells, true);
    }

    fn put_nested(&mut self, cells: &[&[u8]], entries_allowed: bool) {
        let Some(first) = cells.first() else { return };
        if cells.iter().all(|cell| cell == first) {
            self.heads.push(SAME);
            put_counted(&mut self.heads, first);
            return;
        }
        let pattern = Pattern::of(cells);
        let pattern_bits = pattern.as_ref().map(Pattern::bits);
        if entries_allowed {
            let entries = Entries::of(cells);
            if entries.pay(cells.len(), pattern_bits) {
                self.put_entries(&entries);
                return;
            }
        }
        match pattern {
            Some(pattern) => self.put_pattern(&pattern),
            None => self.put_text(cells),
        }
    }

    fn put_entries(&mut self, entries: &Entries<'_>) {
        self.heads.push(ENTRIES);
        put_count(&mut self.heads, entries.different.len());
        self.put_nested(&entries.different, false);
        put_shaped(&mut self.numbers, &entries.which, &shape_of(&entries.which));
    }

    fn put_pattern(&mut self, pattern: &Pattern<'_>) {
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
        if let Some(upper) = hex_case(cells) {
            return self.put_hex(cells, upper);
        }
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

    fn put_hex(&mut self, cells: &[&[u8]], upper: bool) {
        let digits = cells[0].len();
        self.heads.push(HEX);
        self.heads.push(u8::try_from(digits).expect("hexadecimal cells are short"));
        self.heads.push(u8::from(upper));
        for pair in 0..digits / 2 {
            self.text.extend(cells.iter().map(|cell| hex_value(cell[2 * pair]) << 4 | hex_value(cell[2 * pair + 1])));
        }
    }
}

/// The different cells of a column, in the order they came, and which each is.
struct Entries<'a> {
    different: Vec<&'a [u8]>,
    which: Vec<u64>,
}

impl<'a> Entries<'a> {
    fn of(cells: &[&'a [u8]]) -> Self {
        let mut known: FxHashMap<&[u8], u64> = FxHashMap::default();
        let mut different = Vec::new();
        let which = cells
            .iter()
            .map(|&cell| {
                *known.entry(cell).or_insert_with(|| {
                    different.push(cell);
                    different.len() as u64 - 1
                })
            })
            .collect();
        Self { different, which }
    }

    /// Whether naming each cell once costs less than writing every one; text is reckoned at five bits a byte.
    fn pay(&self, cells: usize, pattern_bits: Option<u64>) -> bool {
        if self.different.len() * 2 > cells {
            return false;
        }
        let text: u64 = self.different.iter().map(|cell| cell.len() as u64 + 1).sum();
        match pattern_bits {
            Some(bits) => shape_of(&self.which).bits + text * 5 < bits,
            None => true,
        }
    }
}

/// Cells that differ only in their runs of digits.
struct Pattern<'a> {
    text: Vec<u8>,
    runs: Vec<Run<'a>>,
}

#[derive(Default)]
struct Run<'a> {
    cells: Vec<&'a [u8]>,
    form: u8,
    values: Vec<u64>,
    widths: Vec<u64>,
    shape: Option<Shape>,
}

impl<'a> Pattern<'a> {
    fn of(cells: &[&'a [u8]]) -> Option<Self> {
        let mut pattern = Self { text: Vec::new(), runs: Vec::new() };
        pattern.text = pattern_of(cells[0], |_| ())?;
        let places = pattern.text.iter().filter(|&&byte| byte == CELL).count();
        pattern.runs.resize_with(places, Run::default);
        for cell in cells {
            pattern.take_in(cell)?;
        }
        pattern.runs.iter_mut().for_each(Run::number);
        Some(pattern)
    }

    /// Adds the cell's runs of digits; `None` when it has other bytes around them.
    fn take_in(&mut self, cell: &'a [u8]) -> Option<()> {
        let mut runs = self.runs.iter_mut();
        let mut rest = cell;
        for &byte in &self.text {
            if byte == CELL {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 || digits > DIGITS_MAX {
                    return None;
                }
                let (run, tail) = rest.split_at(digits);
                runs.next()?.cells.push(run);
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

impl Run<'_> {
    fn number(&mut self) {
        self.values = self.cells.iter().map(|digits| number_of(digits)).collect();
        let width = self.cells[0].len();
        if self.cells.iter().all(|digits| digits.len() == width) {
            self.form = u8::try_from(width).expect("runs have up to 18 digits");
        } else if self.cells.iter().all(|digits| digits.len() == 1 || digits[0] != b'0') {
            self.form = FORM_PLAIN;
        } else {
            self.form = FORM_WIDTHS;
            self.widths = self.cells.iter().map(|digits| digits.len() as u64).collect();
        }
        self.shape = Some(shape_of(&self.values));
    }

    fn bits(&self) -> u64 {
        let widths = if self.widths.is_empty() { 0 } else { shape_of(&self.widths).bits };
        self.shape.map_or(0, |shape| shape.bits) + widths
    }
}

fn number_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, &digit| number * 10 + u64::from(digit - b'0'))
}

/// A cell with its runs of digits taken out and named. `None` when it has none, or one too long, or stands for
/// one itself.
fn pattern_of<'a>(cell: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(cell.len());
    let mut found = false;
    for part in cell.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        if part[0].is_ascii_digit() {
            if part.len() > DIGITS_MAX {
                return None;
            }
            found = true;
            visit(part);
            text.push(CELL);
        } else if part.contains(&CELL) {
            return None;
        } else {
            text.extend_from_slice(part);
        }
    }
    found.then_some(text)
}

/// Whether cells are hexadecimal of one even length and one case: false lower, true upper.
fn hex_case(cells: &[&[u8]]) -> Option<bool> {
    let length = cells[0].len();
    if length < 4 || length % 2 == 1 || length > 254 || cells.iter().any(|cell| cell.len() != length) {
        return None;
    }
    let all = |fits: fn(&u8) -> bool| cells.iter().all(|cell| cell.iter().all(fits));
    if all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)) {
        return Some(false);
    }
    all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte)).then_some(true)
}

fn hex_value(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 }
}
