//! Bytes of a file become lines with exact offsets.
//!
//! A read always begins at the first byte that no finished line has claimed, so nothing is carried from one read
//! to the next but a position: a line that is not finished yet is simply read again. What is cut depends on the
//! file's bytes alone, never on where reads happened to end, because an event's name is its offset.
//!
//! - A line ends with `\n`; every other byte is kept as it is, `\r` too.
//! - A line longer than [`LINE_BYTES_MAX`] is cut at multiples of it, each piece but the last flagged `CONTINUES`.
//! - [`HOLE_BYTES_MIN`] or more NULs at a line's start are a hole: what a truncated file shows to those who read
//!   behind its writer. It is told as one span once its end is seen, and costs no memory however long it is.
//! - What stands behind the last newline is told only when the file has ended for good, flagged `NEWLINE_ABSENT`.

use memchr::memchr;
use proto::event::{Flags, end_of};
use proto::limits::LINE_BYTES_MAX;

/// How many NULs make a hole. A hole is kept exactly (its bytes are known), so the number only decides what is
/// shown as part of a line: low enough that a short hole does not stick to the first line behind it, high enough
/// that UTF-16 and stray NULs stay what they are.
pub const HOLE_BYTES_MIN: usize = 16;

/// The least a read must ask for: a longest line and the newline that shows it is no longer.
pub const READ_BYTES_MIN: usize = LINE_BYTES_MAX + 1;

/// Where a reader stands in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The first byte that no span has claimed.
    offset: u64,
    /// How many NULs behind `offset` belong to a hole whose end was not seen yet.
    hole: u64,
    /// `offset` lies inside a line whose first pieces were told before.
    inside: bool,
}

/// What stands at a place of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span<'a> {
    /// A line or a piece of one, without its newline.
    Line { offset: u64, bytes: &'a [u8], flags: Flags },
    /// NULs from here to there.
    Hole { from: u64, to: u64 },
}

impl Span<'_> {
    /// The offset of the byte behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        match *self {
            Self::Line { offset, bytes, flags } => {
                end_of(offset, u32::try_from(bytes.len()).expect("a line is at most 65,535 bytes"), flags)
            }
            Self::Hole { to, .. } => to,
        }
    }
}

impl Cursor {
    /// At an offset where an earlier reader stopped; `before` is what stands just before it.
    ///
    /// A reader stops behind a newline, or inside a line that was too long for one piece.
    #[must_use]
    pub fn resume(offset: u64, before: &[u8]) -> Self {
        Self { offset, hole: 0, inside: offset > 0 && before.last().is_some_and(|byte| *byte != b'\n') }
    }

    /// The first byte that no span has claimed: where another reader would go on.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is read next goes on with a line whose first pieces were told before.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    /// Where the next read begins.
    #[must_use]
    pub fn read_from(&self) -> u64 {
        self.offset.saturating_add(self.hole)
    }

    /// The spans that `bytes`, read at [`Self::read_from`], finish. With `ended`, whatever is left is told too.
    pub fn spans<'a, 'b>(&'a mut self, bytes: &'b [u8], ended: bool) -> Spans<'a, 'b> {
        Spans { cursor: self, bytes, ended }
    }

    fn claim(&mut self, span: &Span<'_>) {
        self.offset = span.end();
        self.inside = matches!(span, Span::Line { flags, .. } if *flags != Flags::NONE);
        self.hole = 0;
    }
}

/// The spans of one read. Dropping it early is fine: the cursor stands behind the last span taken.
#[derive(Debug)]
pub struct Spans<'a, 'b> {
    cursor: &'a mut Cursor,
    bytes: &'b [u8],
    ended: bool,
}

impl<'b> Iterator for Spans<'_, 'b> {
    type Item = Span<'b>;

    #[inline]
    fn next(&mut self) -> Option<Span<'b>> {
        let begins_with_nul = self.cursor.hole > 0 || self.bytes.first() == Some(&0) && !self.cursor.inside;
        if begins_with_nul && let Some(answer) = self.hole() {
            return answer;
        }
        let window = self.bytes.get(..READ_BYTES_MIN).unwrap_or(self.bytes);
        let (length, flags) = match memchr(b'\n', window) {
            Some(length) => (length, Flags::NONE),
            None if window.len() == READ_BYTES_MIN => (LINE_BYTES_MAX, Flags::CONTINUES),
            None if self.ended && !window.is_empty() => (window.len(), Flags::NEWLINE_ABSENT),
            None => return None,
        };
        let (line, rest) = self.bytes.split_at(length);
        let span = Span::Line { offset: self.cursor.offset, bytes: line, flags };
        self.bytes = if flags == Flags::NONE { rest.get(1..).unwrap_or_default() } else { rest };
        self.cursor.claim(&span);
        Some(span)
    }
}

impl<'b> Spans<'_, 'b> {
    /// At NULs. `None`: they belong to a line. `Some(None)`: more must be read to know.
    #[allow(clippy::option_option, reason = "the outer says whether this is a hole, the inner is the answer")]
    fn hole(&mut self) -> Option<Option<Span<'b>>> {
        let run = self.bytes.iter().position(|byte| *byte != 0).unwrap_or(self.bytes.len());
        let long_enough = self.cursor.hole > 0 || run >= HOLE_BYTES_MIN;
        let end_seen = run < self.bytes.len() || self.ended;
        if !long_enough {
            return if end_seen { None } else { Some(None) };
        }
        self.bytes = self.bytes.get(run..).unwrap_or_default();
        self.cursor.hole = self.cursor.hole.saturating_add(run as u64);
        if !end_seen {
            return Some(None);
        }
        let span = Span::Hole { from: self.cursor.offset, to: self.cursor.read_from() };
        self.cursor.claim(&span);
        Some(Some(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Owned {
        Line(u64, Vec<u8>, Flags),
        Hole(u64, u64),
    }

    impl From<Span<'_>> for Owned {
        fn from(span: Span<'_>) -> Self {
            match span {
                Span::Line { offset, bytes, flags } => Self::Line(offset, bytes.to_vec(), flags),
                Span::Hole { from, to } => Self::Hole(from, to),
            }
        }
    }

    /// Reads a file whose bytes become visible as `grown` says, with reads of `max`.
    fn read(file: &[u8], grown: &[usize], max: usize, restart: bool) -> Vec<Owned> {
        let (mut cursor, mut found) = (Cursor::default(), Vec::new());
        for visible in grown.iter().copied().chain([file.len()]) {
            let visible = &file[..visible.min(file.len())];
            loop {
                let from = cursor.read_from() as usize;
                let chunk = &visible[from.min(visible.len())..(from + max).min(visible.len())];
                found.extend(cursor.spans(chunk, false).map(Owned::from));
                if cursor.read_from() as usize == from {
                    break;
                }
            }
            if restart {
                cursor = Cursor::resume(cursor.offset(), &file[..cursor.offset() as usize]);
            }
        }
        while (cursor.read_from() as usize) < file.len() {
            let chunk = &file[cursor.read_from() as usize..];
            found.extend(cursor.spans(chunk, true).map(Owned::from));
        }
        found.extend(cursor.spans(b"", true).map(Owned::from));
        found
    }

    fn check(file: &[u8], expected: &[Owned]) {
        assert_eq!(read(file, &[], READ_BYTES_MIN, false), expected, "at once");
        let steps: Vec<usize> = (0..file.len()).step_by(1 + file.len() / 997).collect();
        assert_eq!(read(file, &steps, READ_BYTES_MIN, false), expected, "growing");
        assert_eq!(read(file, &steps, READ_BYTES_MIN, true), expected, "starting again at every step");
    }

    fn line(offset: u64, bytes: &[u8]) -> Owned {
        Owned::Line(offset, bytes.to_vec(), Flags::NONE)
    }

    #[test]
    fn lines_keep_their_bytes_and_offsets() {
        check(b"", &[]);
        check(b"a\n", &[line(0, b"a")]);
        check(b"\n\nb\r\n", &[line(0, b""), line(1, b""), line(2, b"b\r")]);
        check(b"a\rb\xff\xfe\0c\n", &[line(0, b"a\rb\xff\xfe\0c")]);
        check(
            b"\xff\xfea\0\n\0b\0\n\0",
            &[line(0, b"\xff\xfea\0"), line(5, b"\0b\0"), Owned::Line(9, b"\0".to_vec(), Flags::NEWLINE_ABSENT)],
        );
        check(b"whole\nhalf", &[line(0, b"whole"), Owned::Line(6, b"half".to_vec(), Flags::NEWLINE_ABSENT)]);
    }

    #[test]
    fn a_line_too_long_is_cut_at_multiples() {
        for (extra, pieces) in
            [(0, vec![65_535]), (1, vec![65_535, 1]), (65_535, vec![65_535; 2]), (70_000, vec![65_535, 65_535, 4_465])]
        {
            let file = [b"x\n".as_slice(), &vec![b'y'; LINE_BYTES_MAX + extra], b"\nz\n"].concat();
            let mut expected = vec![line(0, b"x")];
            let mut at = 2;
            for (i, length) in pieces.iter().enumerate() {
                let flags = if i + 1 < pieces.len() { Flags::CONTINUES } else { Flags::NONE };
                expected.push(Owned::Line(at, vec![b'y'; *length], flags));
                at += *length as u64;
            }
            expected.push(line(at + 1, b"z"));
            check(&file, &expected);
        }
    }

    #[test]
    fn a_hole_of_nuls_does_not_stick_to_a_line() {
        let nuls = |n: usize| vec![0; n];
        for length in [HOLE_BYTES_MIN, 300, 65_535, 65_536, 200_000] {
            let file = [nuls(length), b"one\ntwo\n".to_vec()].concat();
            let at = length as u64;
            check(&file, &[Owned::Hole(0, at), line(at, b"one"), line(at + 4, b"two")]);
            let only = [b"a\n".to_vec(), nuls(length)].concat();
            check(&only, &[line(0, b"a"), Owned::Hole(2, 2 + at)]);
        }
        let few = [nuls(HOLE_BYTES_MIN - 1), b"x\n".to_vec()].concat();
        check(&few, &[line(0, &few[..few.len() - 1])]);
        let inside = [b"x".to_vec(), nuls(100), b"\n".to_vec()].concat();
        check(&inside, &[line(0, &inside[..101])]);
    }

    proptest! {
        #[test]
        fn what_is_cut_depends_on_the_bytes_alone(
            parts in prop::collection::vec((prop_oneof![Just(b'\n'), Just(0u8), Just(b'a'), any::<u8>()], prop_oneof![4 => 1usize..30, 1 => 65_530usize..65_540]), 0..12),
            grown in prop::collection::vec(0usize..200_000, 0..6),
            restart: bool,
        ) {
            let file: Vec<u8> = parts.iter().flat_map(|(byte, n)| std::iter::repeat_n(*byte, *n)).collect();
            let mut grown = grown;
            grown.sort_unstable();
            let whole = read(&file, &[], READ_BYTES_MIN, false);
            prop_assert_eq!(read(&file, &grown, READ_BYTES_MIN + 7, restart), whole.clone());
            let mut again = Vec::new();
            for span in &whole {
                match span {
                    Owned::Line(offset, bytes, flags) => {
                        prop_assert_eq!(*offset, again.len() as u64);
                        again.extend_from_slice(bytes);
                        if *flags == Flags::NONE { again.push(b'\n') }
                    }
                    Owned::Hole(from, to) => again.resize(again.len() + (to - from) as usize, 0),
                }
            }
            prop_assert_eq!(again, file);
        }
    }
}
