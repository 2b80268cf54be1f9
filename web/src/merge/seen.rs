//! Names of the events given out lately, so that a copy is known when it comes.
//!
//! Copies nearly always stand at one place of the order. They don't when a tailer that lost its memory read a line
//! without a stamp again and filed it anew: such a copy comes a little later, and is known by this.

use proto::ids::EventId;
use std::collections::{BTreeSet, VecDeque};

/// For a search: at 40 bytes twice, ten megabytes at most.
const NAMES_MAX: usize = 1 << 16;

#[derive(Debug)]
pub struct Seen {
    names: BTreeSet<EventId>,
    by_age: VecDeque<EventId>,
    names_max: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self::of(NAMES_MAX)
    }
}

impl Seen {
    /// Remembers this many names, the newest.
    #[must_use]
    pub fn of(names_max: usize) -> Self {
        Self { names: BTreeSet::new(), by_age: VecDeque::new(), names_max }
    }

    /// False when this name was given before.
    pub fn is_new(&mut self, id: EventId) -> bool {
        if !self.names.insert(id) {
            return false;
        }
        self.by_age.push_back(id);
        if self.by_age.len() > self.names_max
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}
