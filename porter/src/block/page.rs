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
//! their lengths follow), text is the lines. TMPL: heads are `varint templates`, numbers with which of
//! the block's templates these are, numbers with which of these each event has, the words that columns share, then the columns of each template in turn (both drawn in
//! `cells`).
//!
//! The first of many pages of an app is their base: their heads and text are squeezed with the end of its heads and
//! text (512 KiB at most, and at least 64 bytes) as the dictionary, so what an app always says stands in a block
//! once. The page table says which page is whose base.
//!
//! The number in the checksum finds a page that was put in another's place.
//!
//! Read back, a page's text is its lines with a newline after each, except that pieces of one long line follow
//! each other directly. So a line is one slice, whole, wherever it was cut.

use super::events::Row;
use super::limits::{BASE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX};
use super::{BlockError, Part};
use proto::field::{BadField, Fields};
use proto::squeeze::Dictionary;
use std::ops::Range;
use std::sync::Arc;

mod lay;
mod reader;
pub mod writer;

pub use reader::{PageReader, Text};
pub use writer::{Entry, PageCutter, PageWriter, WrittenPage};

const RAW: u8 = 1;
const TMPL: u8 = 2;

const FRAMES_MAX: usize = 4;

/// How long one frame of a page is in the file.
pub type FrameLength = (&'static str, usize);

/// A page's codec, and how long each of its frames is in the file. Nothing is unpacked or checked.
pub fn frames_in(bytes: &[u8]) -> Result<(&'static str, Vec<FrameLength>), BadField> {
    let mut fields = Fields::new(bytes);
    let codec = fields.u8()?;
    fields.count(PAGE_EVENTS_MAX)?;
    let mut frames = Vec::with_capacity(FRAMES_MAX);
    for name in ["events", "heads", "text", "numbers"].into_iter().take(frames_of(codec)) {
        frames.push((name, fields.count(PAGE_FRAME_BYTES_MAX)?));
        fields.count(PAGE_FRAME_BYTES_MAX)?;
    }
    Ok((if codec == RAW { "RAW" } else { "TMPL" }, frames))
}

/// A page as it was read.
#[derive(Debug, Default)]
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

    /// No line holds a newline of its own, so that each newline of [`Self::text`] ends one.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let joined = self.joins.iter().filter(|&&joined| joined).count();
        memchr::memchr_iter(b'\n', &self.text).count() == self.rows.len() - joined
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

/// The end of a frame, for others to learn from. Too little is no help.
fn dictionary_of(frame: &[u8]) -> Option<&[u8]> {
    let dictionary = frame.get(frame.len().saturating_sub(BASE_BYTES_MAX)..)?;
    // Bytes that begin as a trained dictionary does would be read as one.
    (dictionary.len() >= 64 && !dictionary.starts_with(&[0x37, 0xa4, 0x30, 0xec])).then_some(dictionary)
}

fn checksum(page: &[u8], number: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(page), &number.to_le_bytes())
}

/// A page without its checksum, which fits.
pub(super) fn checked(bytes: &[u8], number: u32) -> Result<&[u8], BlockError> {
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
    dictionaries: Arc<[Option<Dictionary>; 2]>,
}

impl Base {
    /// Reads what is needed of a page that learned from no other.
    pub fn read(bytes: &[u8], number: u32) -> Result<Self, BlockError> {
        let [_, heads, text, _] = PageReader::default().bare_frames(bytes, number)?;
        let dictionary = |frame: &[u8]| dictionary_of(frame).map(Dictionary::new);
        Ok(Self { dictionaries: Arc::new([dictionary(&heads), dictionary(&text)]) })
    }

    /// For the frame at a place; the events and the numbers have none.
    fn dictionary(&self, place: usize) -> Option<&Dictionary> {
        self.dictionaries.get(place.checked_sub(1)?)?.as_ref()
    }
}
