//! S2, S3: whatever was written stands on the shelf, or there is a reason; and no loss is named that is none.

use super::once::shown;
use crate::nodes::shelf::Archived;
use crate::truth::{Fate, Life, Line, Truth};
use crate::world::World;
use proto::ids::NodeId;
use std::collections::BTreeSet;

pub const ACKED: &str = "S2 what two bucks keep is not lost";
pub const UNACKED: &str = "S3 what a host still has is not lost";
pub const NAMED: &str = "S7 a loss that is named is one";

pub fn check(world: &mut World, truth: &Truth) {
    for line in &truth.lines {
        let (rule, holds) =
            if line.acked { (ACKED, line.fate == Fate::Archived) } else { (UNACKED, line.fate != Fate::Lost) };
        world.check(rule, holds, || told(line));
    }
}

/// Where a tailer says that bytes were gone before it read them, none of their lines stands. One that was heard by nobody,
/// or whose files lost their ends, may not know what it had read.
pub fn check_named(world: &mut World, truth: &Truth, losses: &[Archived]) {
    let stand = truth.lines.iter().filter(|line| line.fate == Fate::Archived);
    let stand: BTreeSet<(NodeId, Life, u64)> = stand.map(|line| (line.host, line.life, line.offset)).collect();
    for loss in losses {
        let Archived { tailer: host, offset, .. } = *loss;
        if world.ghost.unheard.contains(&host) || world.ghost.tails_lost.contains(&host) {
            continue;
        }
        let (life, to) = (truth.life_of(loss), loss.lost_to.unwrap_or(offset));
        let standing = life.and_then(|life| stand.range((host, life, offset)..(host, life, to)).next());
        world.check(NAMED, life.is_some() && standing.is_none(), || {
            format!("{host} {life:?}: {offset} to {to} is said to be lost, and {standing:?} stands")
        });
    }
}

fn told(line: &Line) -> String {
    let Line { host, life, offset, bytes, .. } = line;
    format!("host {host} wrote {:?} at {offset} of {life:?}; it is nowhere", shown(bytes))
}
