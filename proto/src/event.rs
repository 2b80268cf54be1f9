//! One event: a line, its time, and the source it came from.
//!
//! An event's bytes are what stood in the file, without the newline that ended it. They are never changed,
//! except by redaction, and then the event says so and keeps the length the file's line had.

use crate::ids::{Environment, EventId, NodeId, StreamId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How grave a line says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Level {
    #[default]
    Unknown = 0,
    Trace = 1,
    Debug = 2,
    Info = 3,
    Notice = 4,
    Warn = 5,
    Error = 6,
    Critical = 7,
}

impl Level {
    pub const ALL: [Self; 8] =
        [Self::Unknown, Self::Trace, Self::Debug, Self::Info, Self::Notice, Self::Warn, Self::Error, Self::Critical];

    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ();

    /// The spellings programs use, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "unknown" => Self::Unknown,
            "trace" | "trc" | "finest" | "finer" => Self::Trace,
            "debug" | "dbg" | "fine" | "verbose" => Self::Debug,
            "info" | "inf" | "information" | "informational" => Self::Info,
            "notice" => Self::Notice,
            "warn" | "warning" | "wrn" => Self::Warn,
            "error" | "err" | "eror" | "severe" => Self::Error,
            "critical" | "crit" | "fatal" | "alert" | "emerg" | "emergency" | "panic" => Self::Critical,
            _ => return Err(()),
        })
    }
}

/// What else is known about an event; one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flags(pub u8);

impl Flags {
    pub const NONE: Self = Self(0);
    /// Belongs to the event before it, as a stack trace's lines do. Readers group; names never depend on it.
    pub const JOINS_PREVIOUS: Self = Self(1);
    /// A piece of a line too long for one event; the next event of the stream goes on with it.
    pub const CONTINUES: Self = Self(2);
    /// The file ended without a newline here.
    pub const NEWLINE_ABSENT: Self = Self(4);
    /// The line had no time of its own, or none to be believed: the time is when it was filed.
    pub const TIME_FILED: Self = Self(8);
    /// The bytes are not those of the file: a secret was replaced.
    pub const REDACTED: Self = Self(16);
    /// The time's zone or year was guessed.
    pub const TIME_GUESSED: Self = Self(32);

    /// No line of the file: the tailer's own words for bytes from here to the event's end that were gone before they
    /// were read.
    pub const LOST: Self = Self(64);

    const KNOWN: u8 = 127;

    /// `None` when a bit is set that this version knows nothing of.
    #[must_use]
    pub fn from_u8(bits: u8) -> Option<Self> {
        (bits & !Self::KNOWN == 0).then_some(Self(bits))
    }

    #[must_use]
    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// The event's bytes are not those that stand in the file at its place.
    #[must_use]
    pub fn is_foreign(self) -> bool {
        self.has(Self::REDACTED) || self.has(Self::LOST)
    }

    #[must_use]
    pub fn with(self, flag: Self) -> Self {
        Self(self.0 | flag.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#08b})", self.0)
    }
}

/// Where lines come from: one stream, read as one host and app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    pub tailer: NodeId,
    pub environment: Environment,
    pub stream: StreamId,
    pub host: String,
    pub app: String,
    /// The file, as the tailer knew it when it first read it.
    pub path: String,
    /// How often this file began again before this life of it; part of what the stream's id is made from, and
    /// kept so that a tailer that lost its memory can find the stream it was reading.
    pub generation: u32,
    /// The stream that stood at this path before, when the file was rotated away.
    pub predecessor: Option<StreamId>,
    pub labels: Vec<(String, String)>,
}

/// One line and all that is known about it. Borrows, because there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub source: &'a Source,
    /// Of the line's first byte in its stream.
    pub offset: u64,
    pub time: Timestamp,
    pub level: Level,
    pub flags: Flags,
    /// How many bytes the line had in the file; more or less than `line` only when it was redacted or is lost.
    pub file_length: u32,
    pub line: &'a [u8],
}

impl Event<'_> {
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId {
            tailer: self.source.tailer,
            stream: self.source.stream,
            offset: self.offset,
            length: u32::try_from(self.line.len()).unwrap_or(u32::MAX),
            crc: crc32c::crc32c(self.line),
        }
    }

    /// The offset of the byte after this event and its newline.
    #[must_use]
    pub fn end(&self) -> u64 {
        end_of(self.offset, self.file_length, self.flags)
    }

    /// What answers are sorted by: time first, then the event's own name.
    #[must_use]
    pub fn order(&self) -> TimeOrder {
        TimeOrder { time: self.time, tailer: self.source.tailer, stream: self.source.stream, offset: self.offset }
    }

    #[must_use]
    pub fn to_owned(&self, source: Arc<Source>) -> OwnedEvent {
        OwnedEvent {
            source,
            offset: self.offset,
            time: self.time,
            level: self.level,
            flags: self.flags,
            file_length: self.file_length,
            line: self.line.to_vec(),
        }
    }
}

/// Where a line of this length and these flags ends, its newline included.
#[must_use]
pub fn end_of(offset: u64, file_length: u32, flags: Flags) -> u64 {
    let newline = !flags.has(Flags::CONTINUES) && !flags.has(Flags::NEWLINE_ABSENT);
    offset.saturating_add(u64::from(file_length)).saturating_add(u64::from(newline))
}

/// The order of every answer that is sorted by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeOrder {
    pub time: Timestamp,
    pub tailer: NodeId,
    pub stream: StreamId,
    pub offset: u64,
}

/// An event that owns its bytes, for answers and for the few places that must hold on to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedEvent {
    pub source: Arc<Source>,
    pub offset: u64,
    pub time: Timestamp,
    pub level: Level,
    pub flags: Flags,
    pub file_length: u32,
    pub line: Vec<u8>,
}

impl OwnedEvent {
    #[must_use]
    pub fn borrow(&self) -> Event<'_> {
        Event {
            source: &self.source,
            offset: self.offset,
            time: self.time,
            level: self.level,
            flags: self.flags,
            file_length: self.file_length,
            line: &self.line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_programs_give_them() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(Level::from_u8(level as u8), Some(level));
        }
        assert_eq!("WARNING".parse(), Ok(Level::Warn));
        assert_eq!("Emerg".parse(), Ok(Level::Critical));
        assert_eq!("loud".parse::<Level>(), Err(()));
        assert_eq!(Level::from_u8(8), None);
    }

    #[test]
    fn a_line_ends_after_its_newline_if_it_had_one() {
        assert_eq!(end_of(10, 5, Flags::NONE), 16);
        assert_eq!(end_of(10, 5, Flags::CONTINUES), 15);
        assert_eq!(end_of(10, 5, Flags::NEWLINE_ABSENT), 15);
        assert_eq!(end_of(u64::MAX, 5, Flags::NONE), u64::MAX);
        assert_eq!(Flags::from_u8(64), Some(Flags::LOST));
        assert_eq!(Flags::from_u8(128), None);
    }
}
