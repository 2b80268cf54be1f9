//! Reads pages. One reader a thread: its contexts and buffers are used again, page after page.
//!
//! A page is read in two steps, because many questions need only the first: the text of its lines, then what is
//! known of each event.

use super::lay::{Layer, lay_lines};
use super::{Base, FRAMES_MAX, Page, RAW, TMPL, checked, frames_of};
use crate::block::events::{RowsBefore, joins_of, take_rows};
use crate::block::limits::{PAGE_EVENTS_MAX, PAGE_FRAME_BYTES_MAX};
use crate::block::numbers::take_numbers;
use crate::block::templates::TemplateTable;
use crate::block::{BlockError, Opened, Part};
use proto::event::Flags;
use proto::field::{BadField, Fields};
use proto::squeeze::Stretcher;

/// Reads pages of blocks that live at least as long.
#[derive(Debug, Default)]
pub struct PageReader<'o> {
    plain: Stretcher<'static>,
    learned: Stretcher<'o>,
    frames: [Vec<u8>; FRAMES_MAX],
    /// The first frame as it was in the page, and how long it will be: text alone needs none of it.
    events: (Vec<u8>, usize),
    layer: Layer,
    lines: Lines,
    page: Page,
}

/// A page's text before anything else of it is known: events' lines, each with a newline behind it.
#[derive(Clone, Copy, Debug)]
pub struct Text<'r> {
    pub bytes: &'r [u8],
    /// No event holds a newline of its own, so that each newline ends one.
    pub is_clean: bool,
}

/// Lines before it is known which of them join.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub text: Vec<u8>,
    pub spans: Vec<(u32, u32)>,
    /// Each line is followed by its newline.
    pub has_newlines: bool,
}

impl<'o> PageReader<'o> {
    /// All of a page.
    pub fn read(&mut self, opened: &'o Opened, number: u32, bytes: &[u8]) -> Result<&Page, BlockError> {
        self.begin(opened, number, bytes, None)?;
        self.finish(opened, number)
    }

    /// What was read last.
    #[must_use]
    pub fn into_page(self) -> Page {
        self.page
    }

    /// The text of a page that cuts no line in pieces.
    pub fn text(&mut self, opened: &'o Opened, number: u32, bytes: &[u8]) -> Result<Text<'_>, BlockError> {
        self.text_of(opened, number, bytes, None)
    }

    /// The same of those lines alone whose templates are among these, which are in order; of plain lines, all. Such a
    /// page can't be finished.
    pub fn text_of(
        &mut self,
        opened: &'o Opened,
        number: u32,
        bytes: &[u8],
        templates: Option<&[u32]>,
    ) -> Result<Text<'_>, BlockError> {
        self.begin(opened, number, bytes, templates)?;
        let newlines = memchr::memchr_iter(b'\n', &self.lines.text).count();
        let is_clean = self.lines.has_newlines && newlines == self.lines.spans.len();
        Ok(Text { bytes: &self.lines.text, is_clean })
    }

    /// A page's frames as they were before they were squeezed, for tools that look at them. The text of a page of
    /// plain lines is not among them.
    pub fn frames(&mut self, opened: &'o Opened, number: u32, bytes: &[u8]) -> Result<&[Vec<u8>], BlockError> {
        self.begin(opened, number, bytes, None)?;
        self.stretch_events().map_err(|bad| BlockError::Damaged { part: Part::Page(number), why: bad.why })?;
        Ok(&self.frames)
    }

    fn begin(
        &mut self,
        opened: &'o Opened,
        number: u32,
        bytes: &[u8],
        wanted: Option<&[u32]>,
    ) -> Result<(), BlockError> {
        let body = checked(bytes, number)?;
        let base = opened.base_of(number)?;
        let none = TemplateTable::default();
        let templates =
            if body.first() == Some(&TMPL) { opened.templates.as_ref().map_err(Clone::clone)? } else { &none };
        let read = self.lines_of(body, base, (templates, wanted));
        read.map_err(|bad| BlockError::Damaged { part: Part::Page(number), why: bad.why })
    }

    /// The second step, for the page begun last.
    pub fn finish(&mut self, opened: &Opened, number: u32) -> Result<&Page, BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
        self.assemble(&opened.stream_of).map_err(|bad| damaged(bad.why))?;
        if self.page.rows.iter().any(|row| row.source as usize >= opened.stream_of.len()) {
            return Err(damaged("a source that is none"));
        }
        Ok(&self.page)
    }

    fn lines_of(
        &mut self,
        body: &[u8],
        base: Option<&'o Base>,
        (templates, wanted): (&TemplateTable, Option<&[u32]>),
    ) -> Result<(), BadField> {
        let mut fields = Fields::new(body);
        let codec = fields.u8()?;
        let events = fields.count(PAGE_EVENTS_MAX)?;
        self.stretch_frames(&mut fields, frames_of(codec), base)?;
        self.lines.spans.clear();
        match codec {
            RAW => self.read_raw(events),
            TMPL => lay_lines(&self.frames, events, templates, wanted, &mut self.layer, &mut self.lines),
            _ => Err(fields.bad("an unknown codec")),
        }
    }

    /// A page's frames, without a dictionary.
    pub(super) fn bare_frames(mut self, bytes: &[u8], number: u32) -> Result<[Vec<u8>; FRAMES_MAX], BlockError> {
        let mut fields = Fields::new(checked(bytes, number)?);
        let mut read = || {
            let codec = fields.u8()?;
            fields.count(PAGE_EVENTS_MAX)?;
            self.stretch_frames(&mut fields, frames_of(codec), None)
        };
        read().map_err(|bad: BadField| BlockError::Damaged { part: Part::Page(number), why: bad.why })?;
        Ok(self.frames)
    }

    fn stretch_frames(
        &mut self,
        fields: &mut Fields<'_>,
        count: usize,
        base: Option<&'o Base>,
    ) -> Result<(), BadField> {
        let mut lengths = [(0, 0); FRAMES_MAX];
        for length in lengths.iter_mut().take(count) {
            *length = (fields.count(PAGE_FRAME_BYTES_MAX)?, fields.count(PAGE_FRAME_BYTES_MAX)?);
        }
        for (place, (frame, (packed, length))) in self.frames.iter_mut().zip(lengths).enumerate() {
            let bytes = fields.take(packed)?;
            if place == 0 {
                self.events.0.clear();
                self.events.0.extend_from_slice(bytes);
                self.events.1 = length;
                frame.clear();
                continue;
            }
            if packed == length {
                frame.clear();
                frame.extend_from_slice(bytes);
                continue;
            }
            let bad = fields.bad("a frame that can't be decoded");
            let stretched = match base.and_then(|base| base.dictionary(place)) {
                Some(dictionary) => {
                    self.learned.learn(dictionary).map_err(|_| bad)?;
                    self.learned.stretch_into(bytes, length, PAGE_FRAME_BYTES_MAX, frame)
                }
                None => self.plain.stretch_into(bytes, length, PAGE_FRAME_BYTES_MAX, frame),
            };
            stretched.map_err(|_| bad)?;
        }
        fields.end()
    }

    /// The frame that waited.
    fn stretch_events(&mut self) -> Result<(), BadField> {
        let ((bytes, length), [frame, ..]) = (&self.events, &mut self.frames);
        if bytes.len() == *length {
            frame.clone_from(bytes);
            return Ok(());
        }
        let bad = BadField { at: 0, why: "a frame that can't be decoded" };
        self.plain.stretch_into(bytes, *length, PAGE_FRAME_BYTES_MAX, frame).map_err(|_| bad)
    }

    fn read_raw(&mut self, events: usize) -> Result<(), BadField> {
        let [_, heads, text, _] = &mut self.frames;
        let mut heads = Fields::new(heads);
        let Lines { spans, .. } = &mut self.lines;
        let by_newline = heads.u8()? == 0;
        let mut at = 0u32;
        if by_newline {
            for end in memchr::memchr_iter(b'\n', text) {
                let end = u32::try_from(end).map_err(|_| heads.bad("too much text"))?;
                spans.push((at, end));
                at = end + 1;
            }
        } else {
            for length in take_numbers(&mut heads, events)? {
                let end = u32::try_from(length).ok().and_then(|length| at.checked_add(length));
                let end =
                    end.filter(|&end| end as usize <= text.len()).ok_or(heads.bad("lines longer than their text"))?;
                spans.push((at, end));
                at = end;
            }
        }
        heads.end()?;
        if spans.len() != events || at as usize != text.len() {
            return Err(heads.bad("lines that don't fill their text"));
        }
        std::mem::swap(&mut self.lines.text, text);
        self.lines.has_newlines = by_newline;
        Ok(())
    }

    fn assemble(&mut self, stream_of: &[u32]) -> Result<(), BadField> {
        self.stretch_events()?;
        let (lines, page, [events, ..]) = (&mut self.lines, &mut self.page, &self.frames);
        let bad = |why| BadField { at: 0, why };
        let before: RowsBefore = take_rows(events, lines.spans.len())?;
        let lengths = lines.spans.iter().map(|(from, to)| to - from);
        page.rows = before.finish(lengths, stream_of).map_err(|_| bad("rows that are none"))?;
        let continues = page.rows.iter().any(|row| row.flags.has(Flags::CONTINUES));
        page.joins = if continues { joins_of(&page.rows, stream_of) } else { vec![false; page.rows.len()] };
        page.starts.clear();
        if lines.has_newlines && !page.joins.contains(&true) {
            page.starts.extend(lines.spans.iter().map(|(from, _)| *from));
            std::mem::swap(&mut page.text, &mut lines.text);
            return Ok(());
        }
        page.text.clear();
        for (&(from, to), joined) in lines.spans.iter().zip(&page.joins) {
            page.starts.push(u32::try_from(page.text.len()).map_err(|_| bad("too much text"))?);
            page.text.extend_from_slice(lines.text.get(from as usize..to as usize).unwrap_or_default());
            if !joined {
                page.text.push(b'\n');
            }
        }
        Ok(())
    }
}
