//! S1: when a buck says that it keeps a record, whatever happens to its power now, the record is on its disk.

use crate::ghost::mark_of;
use crate::nodes::buck::Node;
use crate::world::World;

pub const ACK_TRUTH: &str = "S1 a record that is acked is synced";

pub fn ack_given(world: &mut World, buck: &Node, record: &[u8]) {
    let Some(mark) = mark_of(record) else { return };
    if world.ghost.damaged.contains(&buck.id) {
        // What it had may be gone or damaged since it was synced; that it was is not its mistake.
        return;
    }
    let puts = world.ghost.puts.get(&(buck.id, mark)).map(Vec::as_slice).unwrap_or_default();
    let is_certain = puts.iter().any(|put| {
        let certain = buck.disks.get(put.disk).map(|disk| disk.certain(&put.path)).unwrap_or_default();
        certain.get(put.at..put.at + put.length) == Some(record)
    });
    world.check(ACK_TRUTH, is_certain, || format!("buck {} acks a record that a power cut would take", buck.id));
}
