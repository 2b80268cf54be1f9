//! Every cap in one place, each with its reason.
//!
//! What crosses a limit is cut, refused or counted where it happens; nothing grows without one.
//! Relations between limits are checked when the crate is compiled.

use std::time::Duration;

/// One event's bytes. The length stands in a `u16`; a longer line is cut at multiples of this and flagged.
pub const LINE_BYTES_MAX: usize = 65_535;

/// Pieces of one cut line that are joined again when shown.
pub const JOINED_LINE_BYTES_MAX: usize = 1 << 20;

/// Raw line bytes after which a packet is full. 256 KiB is where zstd's ratio stops growing quickly, and
/// an ack for it still comes within one group commit.
pub const PACKET_RAW_BYTES: usize = 256 << 10;

/// A packet's body before compression: full, plus one longest line, plus what stands around each line.
pub const PACKET_BODY_BYTES_MAX: usize = 2 << 20;

/// A whole packet as it travels and lies on disk.
pub const PACKET_BYTES_MAX: usize = 4 << 20;

/// A packet's header: streams, sources, extents.
pub const PACKET_HEADER_BYTES_MAX: usize = 1 << 20;

/// Events in a packet: 256 KiB of empty lines.
pub const PACKET_EVENTS_MAX: usize = 1 << 18;

/// Streams in a packet. A tailer closes the packet when it would hold more.
pub const PACKET_STREAMS_MAX: usize = 1024;

/// (stream, host, app) triples in a packet.
pub const PACKET_SOURCES_MAX: usize = 4096;

/// What a packet's sources say, a stream's path and labels counted with each of its sources: all of it is laid out when
/// the packet is opened. Room for as many of the longest paths as there may be sources.
pub const PACKET_SOURCE_BYTES_MAX: usize = 20 << 20;

/// Extents of one stream in one packet.
pub const STREAM_EXTENTS_MAX: usize = 1 << 16;

/// Host and app names, label keys and values.
pub const NAME_BYTES_MAX: usize = 255;

/// Paths of followed files; PATH_MAX on Linux.
pub const PATH_BYTES_MAX: usize = 4096;

/// Labels on one stream.
pub const LABELS_MAX: usize = 32;

/// An environment's name: it is a path component on every disk and shelf.
pub const ENVIRONMENT_BYTES_MAX: usize = 32;

/// One message on the wire, in its frame. Holds one packet in its box.
pub const FRAME_BYTES_MAX: usize = PACKET_BYTES_MAX + (64 << 10);

/// zstd's window when decoding: 8 MiB, so that a hostile frame can't ask for more.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Compressed bytes may claim to become this many times as many, not more.
pub const ZSTD_RATIO_MAX: usize = 1000;

/// Up to here the ratio is not asked about: a page of equal lines honestly shrinks ten-thousandfold.
pub const ZSTD_UNQUESTIONED_BYTES: usize = 4 << 20;

/// A query's text.
pub const QUERY_BYTES_MAX: usize = 16 << 10;

/// Terms in a query, and how deep its groups may nest.
pub const QUERY_TERMS_MAX: usize = 256;
/// See [`QUERY_TERMS_MAX`].
pub const QUERY_DEPTH_MAX: usize = 32;

/// Regexes and words with wildcards in a query: each may hold [`REGEX_PROGRAM_BYTES_MAX`] twice.
pub const QUERY_PATTERNS_MAX: usize = 32;

/// A regex pattern's text, and the size of its compiled program and lazy automaton.
pub const REGEX_BYTES_MAX: usize = 1024;
/// See [`REGEX_BYTES_MAX`].
pub const REGEX_PROGRAM_BYTES_MAX: usize = 1 << 20;

/// A roster's text and its lines: 3,000 hosts with room to spare.
pub const ROSTER_BYTES_MAX: usize = 4 << 20;

/// Bucket widths a cluster may choose.
pub const BUCKET_SECONDS_MIN: u32 = 1;
/// See [`BUCKET_SECONDS_MIN`].
pub const BUCKET_SECONDS_MAX: u32 = 86_400;

/// An event's own time this far ahead of its filing time is not believed.
pub const TIME_AHEAD_MAX: Duration = Duration::from_secs(300);

/// Lines whose own time is older than this travel in backlog packets.
pub const BACKLOG_AGE: Duration = Duration::from_secs(600);

/// Bytes before an offset that are remembered as a checksum, to know a file again.
pub const TAIL_MARK_BYTES: usize = 64;

/// Bytes of a first line that go into a stream's name.
pub const FIRST_LINE_BYTES_MAX: usize = 1024;

const _: () = assert!(LINE_BYTES_MAX == u16::MAX as usize, "an event's length stands in a u16");
const _: () = assert!(PACKET_RAW_BYTES + LINE_BYTES_MAX < PACKET_BODY_BYTES_MAX, "a full packet takes one more line");
const _: () =
    assert!(PACKET_BODY_BYTES_MAX + PACKET_HEADER_BYTES_MAX < PACKET_BYTES_MAX, "an incompressible packet fits");
const _: () = assert!(PACKET_BYTES_MAX < FRAME_BYTES_MAX, "a packet fits a frame");
const _: () = assert!(PACKET_SOURCES_MAX <= u16::MAX as usize, "a source's index stands in a u16");

/// Runs of one tailer in one bucket: a restart each three tenths of a second for five minutes.
pub const CLOSED_RUNS_MAX: usize = 1024;

/// Streams of which a closing names losses.
pub const CLOSED_LOSSES_MAX: usize = 1024;
