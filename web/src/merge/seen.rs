//! Names of the events given out lately, so that a copy is known when it comes.
//!
//! Copies nearly always stand at one place of the order. They don't when a tailer that lost its memory read a line
//! without a stamp again and filed it anew: such a copy comes a little later, and is known by this.

use proto::ids::EventId;
use std::collections::{BTreeSet, VecDeque};

/// At 40 bytes twice, ten megabytes a search at most.
const NAMES_MAX: usize = 1 << 16;

#[derive(Debug, Default)]
pub struct Seen {
    names: BTreeSet<EventId>,
    by_age: VecDeque<EventId>,
}

impl Seen {
    /// False when this name was given before; the oldest names are forgotten.
    pub fn is_new(&mut self, id: EventId) -> bool {
        if !self.names.insert(id) {
            return false;
        }
        self.by_age.push_back(id);
        if self.by_age.len() > NAMES_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}
