//! Caps of the block, each with its reason. Relations are checked when the crate is compiled.

use proto::limits::{JOINED_LINE_BYTES_MAX, LINE_BYTES_MAX, ZSTD_UNQUESTIONED_BYTES};

/// Raw bytes of a block, each event counted with [`EVENT_COST_BYTES`]. The design's largest shard.
pub const BLOCK_BYTES_MAX: usize = 256 << 20;

/// What an event takes in memory beside its line while a block is gathered.
pub const EVENT_COST_BYTES: usize = 48;

/// Pages of recent blocks end after so many bytes: one is read in a millisecond, and a rare word opens one.
pub const RECENT_PAGE_BYTES: usize = 128 << 10;

/// Pages of archive blocks: templates and columns pay more the longer they are.
pub const ARCHIVE_PAGE_BYTES: usize = 1 << 20;

/// Pages of a block, so that a page's number fits 16 bits in the index.
pub const PAGES_MAX: usize = 1 << 16;

/// Events of a page.
pub const PAGE_EVENTS_MAX: usize = 1 << 17;

/// A page's lines with their newlines: a full page and one more line of the longest kind.
pub const PAGE_TEXT_BYTES_MAX: usize = ARCHIVE_PAGE_BYTES + 2 * JOINED_LINE_BYTES_MAX;

/// One frame of a page before it is squeezed; up to here zstd may shrink as much as it can. What would be larger is
/// written as plain lines.
pub const PAGE_FRAME_BYTES_MAX: usize = 4 << 20;

/// Plain lines from here on are squeezed less hard.
pub const LONG_LINES_BYTES: usize = 512 << 10;

/// Columns from here on are squeezed less hard.
pub const LONG_FRAME_BYTES: usize = 96 << 10;

/// Templates of a block, and their bytes; what would need more is written as plain lines. The table is held in memory
/// while a block is written and read. 68 MB of real logs of 27 kinds have 6,800 of them, 2 MB.
pub const TEMPLATES_MAX: usize = 1 << 17;
pub const TEMPLATES_BYTES_MAX: usize = 8 << 20;

/// Tallies of a block: no page has more templates than events. Eight bytes each of them in an opened block.
pub const TALLIES_MAX: usize = BLOCK_BYTES_MAX / EVENT_COST_BYTES;

/// What later pages of an app take from the first one as their dictionary: the end of each frame. Held in memory
/// for each app of an opened block.
pub const BASE_BYTES_MAX: usize = 512 << 10;

/// A page becomes a base when at least so many more of its app follow; fewer don't earn the memory.
pub const BASE_PAGES_MIN: usize = 3;

/// Bases of a block.
pub const BASES_MAX: usize = 64;

/// A page as it lies in the file: four frames nothing could be squeezed out of.
pub const PAGE_BYTES_MAX: usize = 4 * PAGE_FRAME_BYTES_MAX;

/// One section of the directory, before and after it is squeezed.
pub const SECTION_BYTES_MAX: usize = 64 << 20;

/// Sources of a block: 3,000 hosts with twenty files each.
pub const SOURCES_MAX: usize = 1 << 16;

/// Event-time intervals in a block's summary; the nearest are joined beyond that.
pub const INTERVALS_MAX: usize = 64;

const _: () = assert!(RECENT_PAGE_BYTES < ARCHIVE_PAGE_BYTES, "pages grow with age");
const _: () = assert!(PAGE_FRAME_BYTES_MAX <= ZSTD_UNQUESTIONED_BYTES, "a page of equal lines can be read back");
const _: () = assert!(LINE_BYTES_MAX < RECENT_PAGE_BYTES, "a line fits a page");
const _: () = assert!(PAGE_TEXT_BYTES_MAX <= PAGE_FRAME_BYTES_MAX, "a page of plain lines can always be written");
const _: () = assert!(
    (BLOCK_BYTES_MAX / EVENT_COST_BYTES) / (PAGE_EVENTS_MAX / 2) + 2 * BLOCK_BYTES_MAX / RECENT_PAGE_BYTES < PAGES_MAX,
    "the fullest block has pages enough"
);
