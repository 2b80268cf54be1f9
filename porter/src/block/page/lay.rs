//! Lays the lines of a TMPL page: what a template always says and what stands in its cells, piece after piece.
//!
//! Nearly every piece is a few bytes. So buffers have room behind what they hold and short pieces are copied as
//! [`STRIDE`] bytes whatever their length: what is too much is overwritten by the next piece, and that is several
//! times as fast as copying each at its length.

use super::reader::Lines;
use crate::block::cells::{Cells, Column, Span};
use crate::block::limits::PAGE_TEXT_BYTES_MAX;
use crate::block::numbers::take_numbers;
use crate::block::template::{CELL, cells_in};
use crate::block::templates::TemplateTable;
use proto::field::{BadField, Fields};

const STRIDE: usize = 32;

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// What templates always say.
    fixed: Vec<u8>,
    /// What stands in cells.
    arena: Vec<u8>,
}

/// How the lines of one template are put together, and how many of them were.
struct Table {
    pieces: Vec<Piece>,
    next: usize,
    is_wanted: bool,
}

enum Piece {
    /// Of [`Layer::fixed`].
    Fixed(Span),
    /// Of [`Layer::arena`], for each line.
    Cells(Vec<Span>),
}

/// Lays the lines of all templates, or of those whose numbers are among these, which are in order.
pub(super) fn lay_lines(
    frames: &[Vec<u8>],
    events: usize,
    known: &TemplateTable,
    wanted: Option<&[u32]>,
    layer: &mut Layer,
    lines: &mut Lines,
) -> Result<(), BadField> {
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
    cells.arena = std::mem::take(&mut layer.arena);
    cells.arena.clear();
    cells.take_groups()?;
    layer.fixed.clear();
    let mut tables = Vec::with_capacity(count);
    let is_wanted = |number| {
        let among = |wanted: &[u32]| u32::try_from(number).is_ok_and(|number| wanted.binary_search(&number).is_ok());
        wanted.is_none_or(among)
    };
    for (&(number, template), &lines) in templates.iter().zip(&lines_of) {
        if !is_wanted(number) {
            (0..cells_in(template)).try_for_each(|_| cells.pass_column(lines))?;
            tables.push(Table { pieces: Vec::new(), next: 0, is_wanted: false });
            continue;
        }
        let columns = (0..cells_in(template)).map(|_| cells.take_column(lines)).collect::<Result<Vec<_>, _>>()?;
        let pieces = pieces_of(template, columns, &cells.arena, &mut layer.fixed)?;
        tables.push(Table { pieces, next: 0, is_wanted: true });
    }
    cells.end()?;
    layer.arena = cells.arena;
    for buffer in [&mut layer.arena, &mut layer.fixed] {
        buffer.extend_from_slice(&[0; STRIDE]);
    }
    lay(&of_line, &mut tables, layer, lines)
}

/// A cell that is the same in every line is part of what the template always says.
fn pieces_of(template: &[u8], columns: Vec<Column>, arena: &[u8], fixed: &mut Vec<u8>) -> Result<Vec<Piece>, BadField> {
    let bad = || BadField { at: 0, why: "more bytes than a page can have" };
    let here = |fixed: &Vec<u8>| u32::try_from(fixed.len()).map_err(|_| bad());
    let mut pieces = Vec::with_capacity(2 * columns.len() + 1);
    let mut start = here(fixed)?;
    let mut columns = columns.into_iter();
    for part in template.split(|&byte| byte == CELL) {
        fixed.extend_from_slice(part);
        match columns.next() {
            Some(Column::Same((from, to))) => {
                fixed.extend_from_slice(arena.get(from as usize..to as usize).ok_or_else(bad)?);
            }
            Some(Column::Each(spans)) => {
                pieces.push(Piece::Fixed((start, here(fixed)?)));
                pieces.push(Piece::Cells(spans));
                start = here(fixed)?;
            }
            None => {}
        }
        if fixed.len() > 4 * PAGE_TEXT_BYTES_MAX {
            return Err(bad());
        }
    }
    pieces.push(Piece::Fixed((start, here(fixed)?)));
    pieces.retain(|piece| !matches!(piece, Piece::Fixed((from, to)) if from == to));
    Ok(pieces)
}

fn lay(of_line: &[u64], tables: &mut [Table], layer: &Layer, lines: &mut Lines) -> Result<(), BadField> {
    let bad = || BadField { at: 0, why: "a line that can't be put together" };
    let text = &mut lines.text;
    // About what it will be; `put` makes more room where that was too little.
    text.resize(text.len().max(1 << 17), 0);
    lines.spans.reserve(of_line.len());
    let mut at = 0;
    for &template in of_line {
        let table = usize::try_from(template).ok().and_then(|id| tables.get_mut(id)).ok_or_else(bad)?;
        if !table.is_wanted {
            continue;
        }
        let start = at;
        for piece in &table.pieces {
            at = match piece {
                Piece::Fixed(span) => put(text, at, &layer.fixed, *span),
                Piece::Cells(spans) => put(text, at, &layer.arena, *spans.get(table.next).ok_or_else(bad)?),
            }
            .ok_or_else(bad)?;
        }
        table.next += 1;
        let place = |at: usize| u32::try_from(at).map_err(|_| bad());
        lines.spans.push((place(start)?, place(at)?));
        at = put(text, at, NEWLINE, (0, 1)).ok_or_else(bad)?;
    }
    text.truncate(at);
    lines.has_newlines = true;
    Ok(())
}

const NEWLINE: &[u8] = &[b'\n'; STRIDE];

/// Copies a stretch of `from` to `at`; where it ends.
#[inline]
fn put(text: &mut Vec<u8>, at: usize, from: &[u8], (start, end): Span) -> Option<usize> {
    let length = end.checked_sub(start)? as usize;
    let source = from.get(start as usize..)?;
    if length <= STRIDE
        && let Some(source) = source.first_chunk::<STRIDE>()
        && let Some(room) = text.get_mut(at..).and_then(|room| room.first_chunk_mut::<STRIDE>())
    {
        *room = *source;
        return Some(at + length);
    }
    put_long(text, at, source.get(..length)?)
}

fn put_long(text: &mut Vec<u8>, at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at.checked_add(bytes.len()).filter(|&end| end <= PAGE_TEXT_BYTES_MAX)?;
    if end + STRIDE > text.len() {
        text.resize((2 * text.len()).max(end + STRIDE).min(PAGE_TEXT_BYTES_MAX + STRIDE), 0);
    }
    text.get_mut(at..end)?.copy_from_slice(bytes);
    Some(end)
}
