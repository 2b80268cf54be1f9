//! Rows that can't leave yet, because a packet still closed may hold one before them.
//!
//! Holds at most as many as may still leave, and at most [`WAITING_BYTES_MAX`]; over that the last ones are given
//! up, and nothing at or after the first that was given up may leave any more, so that no gap passes for nothing.

use crate::context::row_of;
use crate::plan::Rank;
use proto::event::Event;
use proto::message::Row;
use std::collections::BTreeMap;

/// What one search may hold back in memory: 64 MiB of lines is more than anybody reads, and eight searches at once
/// stay within half a gibibyte.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What a row takes beside its line.
const ROW_BYTES: usize = 160;

#[derive(Debug)]
pub struct Waiting {
    /// Two events can have one place when a file was written again; length and checksum tell them apart, and make
    /// equal ones one.
    rows: BTreeMap<(Rank, u32, u32), Row>,
    bytes: usize,
    bytes_max: usize,
    /// How many may still leave.
    room: usize,
    /// Nothing from here on may leave.
    floor: Option<Rank>,
    gave_up: bool,
}

impl Waiting {
    pub fn new(limit: usize) -> Self {
        Self { rows: BTreeMap::new(), bytes: 0, bytes_max: WAITING_BYTES_MAX, room: limit, floor: None, gave_up: false }
    }

    #[cfg(test)]
    pub fn with_bytes_max(limit: usize, bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::new(limit) }
    }

    /// Whether a row of this rank could not leave.
    pub fn is_past(&self, rank: Rank) -> bool {
        self.floor.is_some_and(|floor| rank >= floor)
    }

    pub fn add(&mut self, rank: Rank, source: u32, event: &Event<'_>) {
        let id = event.id();
        let row = row_of(source, event);
        let bytes = row.line.len() + ROW_BYTES;
        if self.rows.insert((rank, id.length, id.crc), row).is_none() {
            self.bytes += bytes;
        }
        while self.rows.len() > self.room || self.bytes > self.bytes_max {
            if !self.give_up_last() {
                break;
            }
        }
    }

    /// All rows of the last place go together: the asker goes on from a place, not from within one. The rows of
    /// the first place stay whatever the limits, or an answer could be empty and yet not the end.
    fn give_up_last(&mut self) -> bool {
        let Some((&(floor, ..), _)) = self.rows.last_key_value() else { return false };
        if self.first() == Some(floor) {
            return false;
        }
        while let Some(entry) = self.rows.last_entry().filter(|entry| entry.key().0 == floor) {
            self.bytes = self.bytes.saturating_sub(entry.remove().line.len() + ROW_BYTES);
        }
        self.floor = Some(floor);
        self.gave_up = true;
        true
    }

    /// The first row, if it comes before the barrier; with its place.
    pub fn take_before(&mut self, barrier: Option<Rank>) -> Option<(Rank, Row)> {
        let entry = self.rows.first_entry()?;
        if barrier.is_some_and(|barrier| entry.key().0 >= barrier) {
            return None;
        }
        let rank = entry.key().0;
        let row = entry.remove();
        self.bytes = self.bytes.saturating_sub(row.line.len() + ROW_BYTES);
        self.room = self.room.saturating_sub(1);
        Some((rank, row))
    }

    pub fn first(&self) -> Option<Rank> {
        self.rows.keys().next().map(|(rank, ..)| *rank)
    }

    /// The first that was left out: it comes with the next page.
    pub fn floor(&self) -> Option<Rank> {
        self.floor
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows that fit were left out.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }
}
