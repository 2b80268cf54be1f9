//! S10, in part: a bucket that is called complete holds every packet its tailers filed in it and still stand by.

use crate::world::World;
use std::collections::BTreeMap;

pub const RULE: &str = "S10 a complete bucket lacks no packet";

pub fn check(world: &mut World) {
    let mut filed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in &world.ghost.filed {
        // A host that lost power may not know of what it filed.
        if !world.ghost.host_power.contains_key(&packet.id.tailer) {
            filed.entry(packet.id.bucket).or_default().push(packet.id.clone());
        }
    }
    for manifest in world.objects.newest("").iter().filter(|manifest| manifest.completeness.is_complete()) {
        for id in filed.get(&manifest.at.bucket).map(Vec::as_slice).unwrap_or_default() {
            world.check(RULE, manifest.packets.holds(id), || format!("{} is complete without {id:?}", manifest.at));
        }
    }
}
