//! How many events of a packet match, by step of time and level.

use proto::event::{Event, Level};
use proto::ids::PacketId;
use proto::message::{CountCell, Counts};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Counting {
    step_nanos: u64,
    cells: BTreeMap<(i64, Level), u64>,
}

impl Counting {
    pub fn new(step_nanos: u64) -> Self {
        Self { step_nanos, cells: BTreeMap::new() }
    }

    pub fn add(&mut self, event: &Event<'_>) {
        let step = match i64::try_from(self.step_nanos) {
            Ok(step) if step > 0 => event.time.0.div_euclid(step),
            _ => 0,
        };
        *self.cells.entry((step, event.level)).or_default() += 1;
    }

    pub fn finish(self, packet: PacketId) -> Counts {
        let cells = self.cells.into_iter().map(|((step, level), count)| CountCell { step, level, count }).collect();
        Counts { packet: Some(packet), cells }
    }
}
