//! What a page knows of its events beside their lines: source, offset, time, level, flags, length in the file.
//!
//! One frame of a page, a column after the other (numbers as drawn in `numbers`, n events):
//!
//! ```text
//! varint runs, numbers sources, numbers lengths of runs    who wrote them
//! signed earliest, varint unit, numbers n                  times: units after the earliest
//! numbers n                                                levels
//! numbers n                                                flags
//! varint jumps, numbers events between, numbers zigzag     events whose offset is not where the one before ended
//! varint odd, numbers events between, numbers lengths      events whose line was another length in the file
//! ```
//!
//! A stream's first event in a page is expected at offset 0, so it is one of the jumps unless it is there.

use super::BlockError;
use super::numbers::{put_numbers, take_numbers};
use proto::event::{Flags, Level, end_of};
use proto::field::{BadField, Fields, put_count, put_signed, put_varint, unzigzag, zigzag};
use proto::limits::JOINED_LINE_BYTES_MAX;

/// One event, its line elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// By its number in the block's table.
    pub source: u32,
    pub offset: u64,
    pub time: i64,
    pub level: Level,
    pub flags: Flags,
    pub file_length: u32,
    /// Of the bytes kept.
    pub length: u32,
}

impl Row {
    #[must_use]
    pub fn end(&self) -> u64 {
        end_of(self.offset, self.file_length, self.flags)
    }
}

/// Pieces of one long line are read as one line, up to a mebibyte of them. Tells, event after event, whether the
/// next goes on with the line; the same rule when a block is written, read and tested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joiner {
    bytes: usize,
    pieces: usize,
}

/// Pieces joined at most; sixteen long ones are a mebibyte, and empty ones must end somewhere.
const PIECES_MAX: usize = 4096;

impl Joiner {
    /// Whether `next` is a piece of the line `row` is a piece of.
    pub fn joins(&mut self, row: &Row, next: Option<(&Row, bool)>) -> bool {
        self.bytes += row.length as usize;
        self.pieces += 1;
        let joins = row.flags.has(Flags::CONTINUES)
            && next.is_some_and(|(next, same_stream)| {
                same_stream
                    && next.offset == row.end()
                    && self.bytes + next.length as usize <= JOINED_LINE_BYTES_MAX
                    && self.pieces < PIECES_MAX
            });
        if !joins {
            *self = Self::default();
        }
        joins
    }
}

/// For each row whether the next one goes on with its line.
#[must_use]
pub fn joins_of(rows: &[Row], stream_of: &[u32]) -> Vec<bool> {
    let mut joiner = Joiner::default();
    let same = |a: &Row, b: &Row| stream_at(stream_of, a.source) == stream_at(stream_of, b.source);
    rows.iter()
        .enumerate()
        .map(|(at, row)| joiner.joins(row, rows.get(at + 1).map(|next| (next, same(row, next)))))
        .collect()
}

fn stream_at(stream_of: &[u32], source: u32) -> Option<u32> {
    stream_of.get(source as usize).copied()
}

/// Appends the frame. `stream_of` says which stream each source belongs to.
pub fn put_rows(out: &mut Vec<u8>, rows: &[Row], stream_of: &[u32]) {
    put_sources(out, rows);
    put_times(out, rows);
    put_numbers(out, &rows.iter().map(|row| u64::from(row.level as u8)).collect::<Vec<_>>());
    put_numbers(out, &rows.iter().map(|row| u64::from(row.flags.0)).collect::<Vec<_>>());
    let mut expected = Expected::default();
    put_odd(out, rows.iter().map(|row| zigzag(row.offset.wrapping_sub(expected.next(row, stream_of)).cast_signed())));
    put_odd(out, rows.iter().map(|row| zigzag(i64::from(row.file_length) - i64::from(row.length))));
}

/// Where an event should begin.
#[derive(Default)]
struct Expected {
    stream: Option<u32>,
    end: u64,
}

impl Expected {
    fn next(&mut self, row: &Row, stream_of: &[u32]) -> u64 {
        let expected = self.here(row.source, stream_of);
        self.end = row.end();
        expected
    }

    fn here(&mut self, source: u32, stream_of: &[u32]) -> u64 {
        let stream = stream_at(stream_of, source);
        let expected = if self.stream == stream { self.end } else { 0 };
        self.stream = stream;
        expected
    }
}

fn put_sources(out: &mut Vec<u8>, rows: &[Row]) {
    let (mut sources, mut lengths) = (Vec::new(), Vec::new());
    for run in rows.chunk_by(|a, b| a.source == b.source) {
        sources.push(u64::from(run[0].source));
        lengths.push(run.len() as u64);
    }
    put_count(out, sources.len());
    put_numbers(out, &sources);
    put_numbers(out, &lengths);
}

fn put_times(out: &mut Vec<u8>, rows: &[Row]) {
    let earliest = rows.iter().map(|row| row.time).min().unwrap_or(0);
    let after = |row: &Row| row.time.wrapping_sub(earliest).cast_unsigned();
    let mut unit = 0;
    for row in rows {
        unit = greatest_divisor(unit, after(row));
        if unit == 1 {
            break;
        }
    }
    let unit = unit.max(1);
    put_signed(out, earliest);
    put_varint(out, unit);
    put_numbers(out, &rows.iter().map(|row| after(row) / unit).collect::<Vec<_>>());
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Numbers that are zero nearly always: only the others, and where they are.
fn put_odd(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let (mut between, mut odd, mut before) = (Vec::new(), Vec::new(), 0);
    for (at, value) in values.enumerate() {
        if value != 0 {
            between.push((at - before) as u64);
            odd.push(value);
            before = at;
        }
    }
    put_count(out, odd.len());
    put_numbers(out, &between);
    put_numbers(out, &odd);
}

/// What was read of a page's events before its lines were.
#[derive(Debug)]
pub struct RowsBefore {
    pub rows: Vec<Row>,
    jumps: Vec<(usize, i64)>,
    lengths: Vec<(usize, i64)>,
}

/// Reads the frame; offsets and lengths come with [`RowsBefore::finish`].
pub fn take_rows(bytes: &[u8], count: usize) -> Result<RowsBefore, BadField> {
    let mut fields = Fields::new(bytes);
    let sources = take_sources(&mut fields, count)?;
    let times = take_times(&mut fields, count)?;
    let levels = take_numbers(&mut fields, count)?;
    let flags = take_numbers(&mut fields, count)?;
    let jumps = take_odd(&mut fields, count)?;
    let lengths = take_odd(&mut fields, count)?;
    fields.end()?;
    let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    let mut rows = Vec::with_capacity(count);
    for (((source, time), level), flags) in sources.into_iter().zip(times).zip(levels).zip(flags) {
        let bad = || fields.bad("a level or flag that is none");
        rows.push(Row {
            source,
            offset: 0,
            time,
            level: Level::from_u8(small(level)).ok_or_else(bad)?,
            flags: Flags::from_u8(small(flags)).ok_or_else(bad)?,
            file_length: 0,
            length: 0,
        });
    }
    Ok(RowsBefore { rows, jumps, lengths })
}

fn take_sources(fields: &mut Fields<'_>, count: usize) -> Result<Vec<u32>, BadField> {
    let runs = fields.count(count)?;
    let sources = take_numbers(fields, runs)?;
    let lengths = take_numbers(fields, runs)?;
    let mut all = Vec::with_capacity(count);
    for (source, length) in sources.into_iter().zip(lengths) {
        let source = u32::try_from(source).map_err(|_| fields.bad("a source that is none"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > count - all.len() {
            return Err(fields.bad("sources for more events than there are"));
        }
        all.resize(all.len() + length, source);
    }
    if all.len() == count { Ok(all) } else { Err(fields.bad("events without a source")) }
}

fn take_times(fields: &mut Fields<'_>, count: usize) -> Result<Vec<i64>, BadField> {
    let earliest = fields.signed()?;
    let unit = fields.varint()?;
    let after = take_numbers(fields, count)?;
    Ok(after.into_iter().map(|after| earliest.wrapping_add_unsigned(after.wrapping_mul(unit))).collect())
}

fn take_odd(fields: &mut Fields<'_>, count: usize) -> Result<Vec<(usize, i64)>, BadField> {
    let odd = fields.count(count)?;
    let between = take_numbers(fields, odd)?;
    let values = take_numbers(fields, odd)?;
    let mut at = 0usize;
    between
        .into_iter()
        .zip(values)
        .map(|(between, value)| {
            at = at.saturating_add(usize::try_from(between).unwrap_or(usize::MAX));
            if at < count { Ok((at, unzigzag(value))) } else { Err(fields.bad("an event that is not there")) }
        })
        .collect()
}

impl RowsBefore {
    /// The rows, once it is known how long each line is.
    pub fn finish(mut self, lengths: impl Iterator<Item = u32>, stream_of: &[u32]) -> Result<Vec<Row>, BlockError> {
        for (row, length) in self.rows.iter_mut().zip(lengths) {
            row.length = length;
            row.file_length = length;
        }
        for (at, more) in self.lengths {
            if let Some(row) = self.rows.get_mut(at) {
                row.file_length = u32::try_from(i64::from(row.length).saturating_add(more)).unwrap_or(0);
            }
        }
        let mut expected = Expected::default();
        let mut jumps = self.jumps.into_iter().peekable();
        for (at, row) in self.rows.iter_mut().enumerate() {
            row.offset = expected.here(row.source, stream_of);
            if let Some((_, jump)) = jumps.next_if(|(place, _)| *place == at) {
                row.offset = row.offset.wrapping_add_signed(jump);
            }
            expected.end = row.end();
        }
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_row() -> impl Strategy<Value = Row> {
        (0u32..3, 0u64..400, -5i64..5, 0u8..8, 0u8..128, 0u32..9, 0u32..9).prop_map(
            |(source, offset, time, level, flags, file_length, length)| Row {
                source,
                offset: if offset > 300 { u64::MAX - offset } else { offset },
                time: if time == 4 { i64::MAX } else { time * 1_000_000 },
                level: Level::from_u8(level).unwrap(),
                flags: Flags::from_u8(flags).unwrap(),
                file_length: if file_length == 3 { u32::MAX } else { length },
                length,
            },
        )
    }

    proptest! {
        #[test]
        fn rows_go_there_and_back(rows in proptest::collection::vec(any_row(), 1..30)) {
            let stream_of = [0, 1, 1];
            let mut out = Vec::new();
            put_rows(&mut out, &rows, &stream_of);
            let before = take_rows(&out, rows.len()).unwrap();
            let back = before.finish(rows.iter().map(|row| row.length), &stream_of).unwrap();
            prop_assert_eq!(back, rows);
        }

        #[test]
        fn any_bytes_are_rows_or_refused(bytes: Vec<u8>, count in 0usize..50) {
            if let Ok(before) = take_rows(&bytes, count) {
                let _ = before.finish(std::iter::repeat(7), &[0]);
            }
        }
    }

    #[test]
    fn pieces_join_up_to_a_mebibyte() {
        let row = |offset: u64, flags: Flags| Row {
            source: 0,
            offset,
            time: 0,
            level: Level::Unknown,
            flags,
            file_length: 65_535,
            length: 65_535,
        };
        let mut rows: Vec<Row> = (0..20).map(|piece| row(piece * 65_535, Flags::CONTINUES)).collect();
        rows.push(row(20 * 65_535, Flags::NONE));
        rows.push(row(21 * 65_535 + 1, Flags::NONE));
        let joins = joins_of(&rows, &[0]);
        assert!(joins[..15].iter().all(|&joins| joins));
        assert!(!joins[15] && joins[16] && joins[19] && !joins[20] && !joins[21]);
        rows[3].offset += 1;
        assert!(!joins_of(&rows, &[0])[2]);
    }
}
