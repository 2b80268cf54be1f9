//! S4: whatever stands on the shelf was written by that host, byte for byte, at that offset of that life of a file.

use super::once::shown;
use crate::nodes::shelf::Archived;
use crate::truth::Truth;
use crate::world::World;

pub const RULE: &str = "S4 whatever stands was written";

pub fn check(world: &mut World, truth: &Truth, archived: &[Archived]) {
    for event in archived {
        let born = truth.was_born(event);
        world.check(RULE, born, || {
            format!("{} {} at {}: nobody wrote {:?}", event.tailer, event.stream, event.offset, shown(&event.line))
        });
    }
}
