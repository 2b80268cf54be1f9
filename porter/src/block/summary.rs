//! What the writer of a block says of it, so that nobody need open it to know.

use super::directory::Extent;
use proto::ids::{NodeId, StreamId};
use proto::time::Timestamp;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a block holds, for manifests and tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub events: u64,
    /// Lines: events, but pieces of one long line are one.
    pub lines: u64,
    /// Copies that were dropped.
    pub copies: u64,
    pub raw_bytes: u64,
    pub pages: u32,
    /// Of the pages and of the templates they name.
    pub page_bytes: u64,
    /// Of the gram index alone.
    pub index_bytes: u64,
    /// Bytes of pages before they were squeezed, by the level at which that was done.
    pub at_level: BTreeMap<i32, u64>,
    /// Earliest and latest event; nothing when there are none.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Spans of whole minutes that hold every event, from and up to.
    pub intervals: Vec<(Timestamp, Timestamp)>,
    /// What each stream has here: from and up to, in order, neighbours joined.
    pub extents: Vec<StreamExtents>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExtents {
    pub tailer: NodeId,
    pub stream: StreamId,
    pub ranges: Vec<Range<u64>>,
}

/// Extents without the cuts between neighbours.
pub fn joined(extents: &[Extent]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in extents {
        match ranges.last_mut() {
            Some(last) if extent.from <= last.end => last.end = last.end.max(extent.to),
            _ => ranges.push(extent.from..extent.to),
        }
    }
    ranges
}
