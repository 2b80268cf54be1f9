//! S2, S3: whatever was written stands on the shelf, or there is a reason.

use super::once::shown;
use crate::truth::{Fate, Line, Truth};
use crate::world::World;

pub const ACKED: &str = "S2 what two bucks keep is not lost";
pub const UNACKED: &str = "S3 what a host still has is not lost";

pub fn check(world: &mut World, truth: &Truth) {
    for line in &truth.lines {
        let (rule, holds) =
            if line.acked { (ACKED, line.fate == Fate::Archived) } else { (UNACKED, line.fate != Fate::Lost) };
        world.check(rule, holds, || told(line));
    }
}

fn told(line: &Line) -> String {
    let Line { host, life, offset, bytes, .. } = line;
    format!("host {host} wrote {:?} at {offset} of {life:?}; it is nowhere", shown(bytes))
}
