//! S10: a bucket that is called complete holds every packet its tailers filed in it and still stand by.
//!
//! Checked at each manifest that is put, and of all that stand at the end.

use crate::ghost::Ghost;
use crate::world::World;
use porter::manifest::Manifest;
use proto::ids::PacketId;
use std::collections::BTreeMap;

pub const RULE: &str = "S10 a complete bucket lacks no packet";

/// A host that lost power may not know of what it filed.
fn still_stood_by(ghost: &Ghost) -> impl Iterator<Item = &PacketId> {
    let ids = ghost.filed.iter().map(|filed| &filed.id);
    ids.filter(|id| !ghost.host_power.contains_key(&id.tailer))
}

pub fn manifest_put(world: &mut World, manifest: &Manifest) {
    if !manifest.completeness.is_complete() {
        return;
    }
    let of_bucket = still_stood_by(&world.ghost).filter(|id| id.bucket == manifest.at.bucket);
    let lacking = of_bucket.filter(|id| !manifest.packets.holds(id)).min().cloned();
    world.check(RULE, lacking.is_none(), || format!("{} is put as complete without {lacking:?}", manifest.at));
}

pub fn check(world: &mut World) {
    let mut filed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for id in still_stood_by(&world.ghost) {
        filed.entry(id.bucket).or_default().push(id.clone());
    }
    for manifest in world.objects.newest("").iter().filter(|manifest| manifest.completeness.is_complete()) {
        for id in filed.get(&manifest.at.bucket).map(Vec::as_slice).unwrap_or_default() {
            world.check(RULE, manifest.packets.holds(id), || format!("{} is complete without {id:?}", manifest.at));
        }
    }
}
