//! The block: one bucket's events, or a shard's, in one immutable, indexed, squeezed file, `.tbk`.
//!
//! # What it is
//!
//! A pure function of a set of events. Whatever order they come in and however often each comes, the same events
//! give the same bytes. Streams lie one after another by (app, host, path, tailer, stream), each in the order of
//! its offsets, so lines of one kind lie together, context is what stands beside a line, and one range is one
//! stream. Copies of an event (its whole name agrees) are one; events that share tailer, stream and offset and
//! differ are both kept.
//!
//! # The file
//!
//! ```text
//! "tbk1" u8 version, 3 zeros
//! pages       one after another                                        drawn in `page`
//! leaves      of the gram index                                        drawn in `index`
//! sections    head, sources, pages, counts, extents, leaf table,       drawn in `directory`, `index`, `templates`, `tallies`
//!             templates, tallies, each a zstd frame; then the filter, plain
//! footer      see `footer`; found by reading the file's last bytes
//! ```
//!
//! A reader takes one suffix (two, when the directory is larger than was guessed) and holds an [`Opened`]; a
//! search takes the leaves of its grams and then pages. That is four rounds at most on object storage.
//!
//! Every page, leaf, section and the footer has a crc32c. Damage is an error that names its part, and what is
//! not damaged stays readable. Nothing read is trusted with memory beyond `limits`.
//!
//! # Long lines
//!
//! A line longer than 65,535 bytes arrives in pieces, each an event flagged as continued. A block keeps the
//! pieces byte for byte ([`page::Page::events`]). Searching, counting and showing see lines: pieces that follow
//! each other without a gap are read as one event with the first piece's place, time, level and source and all
//! their bytes, up to a mebibyte; beyond that, or when the rest is in another block, another line begins. Pages
//! are never cut inside such a line, so text across a piece's end is found like any other.

pub mod alphabet;
pub mod beside;
pub mod bits;
pub mod cells;
pub mod context;
pub mod count;
pub mod cover;
pub mod directory;
pub mod events;
pub mod footer;
pub mod index;
mod keys;
pub mod limits;
pub mod name;
pub mod numbers;
pub mod opened;
pub mod page;
pub mod parts;
pub mod postings;
pub mod search;
pub mod summary;
pub mod tallies;
pub mod template;
pub mod templates;
pub mod told;
pub mod verify;
pub mod writer;

#[cfg(test)]
mod recall;
#[cfg(test)]
mod tests;

pub use directory::{Extent, PageEntry};
pub use opened::{Opened, Ranges};
pub use search::{Ask, Candidates, Search, Step};
pub use summary::Summary;
pub use writer::{Writer, Written};

use limits::{ARCHIVE_PAGE_BYTES, RECENT_PAGE_BYTES};
use proto::ids::Environment;
use proto::time::{BucketId, BucketWidth};
use std::fmt;
use std::ops::Range;

/// The one version there is.
pub const VERSION: u8 = 1;

/// For whom a block is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Written soon and searched often: small pages, quick squeezing.
    Recent,
    /// Kept for long: large pages, squeezed hard.
    Archive,
}

impl Profile {
    #[must_use]
    pub fn page_bytes(self) -> usize {
        match self {
            Self::Recent => RECENT_PAGE_BYTES,
            Self::Archive => ARCHIVE_PAGE_BYTES,
        }
    }

    /// How hard zstd squeezes pages. Measured on 68 MB of real logs: for an archive, 19 throughout would be smaller
    /// by a hundredth and take twice as long.
    #[must_use]
    pub fn levels(self) -> Levels {
        match self {
            Self::Recent => Levels { lines: 6, long_lines: 6, columns: 6, long_columns: 6 },
            Self::Archive => Levels { lines: 19, long_lines: 16, columns: 15, long_columns: 12 },
        }
    }

    /// How hard zstd squeezes the directory. The longest part is the table of templates, which says much again.
    fn table_level(self) -> i32 {
        match self {
            Self::Recent => 9,
            Self::Archive => 17,
        }
    }

    fn to_u8(self) -> u8 {
        match self {
            Self::Recent => 0,
            Self::Archive => 1,
        }
    }

    fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Recent),
            1 => Some(Self::Archive),
            _ => None,
        }
    }
}

/// Levels of zstd. Short frames are squeezed harder: they cost little, and where a stream is short they are all it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// For pages of plain lines.
    pub lines: i32,
    /// For those over [`limits::LONG_LINES_BYTES`].
    pub long_lines: i32,
    /// For frames of templates, cells and numbers.
    pub columns: i32,
    /// For those over [`limits::LONG_FRAME_BYTES`].
    pub long_columns: i32,
}

impl Levels {
    fn of(&self, is_lines: bool, length: usize) -> i32 {
        match is_lines {
            true if length > limits::LONG_LINES_BYTES => self.long_lines,
            true => self.lines,
            false if length > limits::LONG_FRAME_BYTES => self.long_columns,
            false => self.columns,
        }
    }
}

/// What a block is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHead {
    pub environment: Environment,
    /// The buckets it was made from, both included; one of them unless blocks were merged.
    pub first: BucketId,
    pub last: BucketId,
    pub width: BucketWidth,
    /// Which of `shards` parts of these buckets' tailers.
    pub shard: u16,
    pub shards: u16,
}

/// A part of a block, to say which is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes before the first page.
    Start,
    Footer,
    Head,
    Sources,
    Pages,
    Counts,
    Extents,
    LeafTable,
    Filter,
    Templates,
    Tallies,
    /// One leaf of the gram index, by number.
    Leaf(usize),
    /// One page, by number.
    Page(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("beginning"),
            Self::Footer => f.write_str("footer"),
            Self::Head => f.write_str("head"),
            Self::Sources => f.write_str("source table"),
            Self::Pages => f.write_str("page table"),
            Self::Counts => f.write_str("counts"),
            Self::Extents => f.write_str("extents"),
            Self::LeafTable => f.write_str("leaf table"),
            Self::Filter => f.write_str("filter"),
            Self::Templates => f.write_str("template table"),
            Self::Tallies => f.write_str("tallies"),
            Self::Leaf(number) => write!(f, "index leaf {number}"),
            Self::Page(number) => write!(f, "page {number}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("not a block")]
    Foreign,
    #[error("a block of version {0}, which this program can't read")]
    Version(u8),
    #[error("{part} of the block is damaged: {why}")]
    Damaged { part: Part, why: &'static str },
    /// The bytes could not be fetched; they may be elsewhere, or later.
    #[error("bytes {} to {} of the block can't be read: {why}", range.start, range.end)]
    Unread { range: Range<u64>, why: String },
    #[error("the block is full")]
    Full,
    #[error("a line of {0} bytes, longer than an event can be")]
    LineTooLong(usize),
    #[error("an event of environment {0} for a block of another")]
    OtherEnvironment(Environment),
    #[error("the search was cancelled")]
    Cancelled,
}
