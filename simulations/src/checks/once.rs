//! S5: over all blocks that stand, each event once; and no line of a file under two streams without a reason.

use crate::nodes::shelf::Archived;
use crate::world::World;

pub const RULE: &str = "S5 each event stands once";
pub const LIVES: &str = "S5 a line stands under one stream";

/// `archived` is in order.
pub fn check(world: &mut World, archived: &[Archived]) {
    for pair in archived.windows(2) {
        let [one, other] = pair else { continue };
        let places = if one == other { world.objects.holders(one).join(", ") } else { String::new() };
        world.check(RULE, one != other, || {
            let Archived { tailer, stream, offset, line, .. } = one;
            format!("{tailer} {stream} at {offset} stands twice: {:?} in {places}", shown(line))
        });
    }
}

pub(super) fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned()
}

/// A line read again under another stream's name stands twice for whoever reads, whatever its name.
pub fn check_lives(world: &mut World, truth: &crate::truth::Truth) {
    let first = truth.repeated.first();
    let what =
        || first.map(|line| format!("{} {:?} at {} stands under two streams", line.host, line.life, line.offset));
    world.check(LIVES, first.is_none(), || what().unwrap_or_default());
}
