//! S10: a bucket is called complete when every tailer has closed it and all they named is there; and at the end, a
//! complete one holds every packet its tailers filed in it and still stand by.

use crate::ghost::Ghost;
use crate::nodes::TAILERS;
use crate::world::World;
use porter::manifest::Manifest;
use proto::ids::{NodeId, PacketId};
use proto::time::BucketId;
use std::collections::BTreeMap;

pub const RULE: &str = "S10 a complete bucket lacks no packet";

pub const CLOSED: &str = "S10 a bucket is put as complete when all tailers closed it";

/// Whoever closed a later bucket and said nothing of this one had nothing in it.
fn has_closed(ghost: &Ghost, tailer: NodeId, bucket: BucketId) -> bool {
    ghost.closings.range((tailer, bucket)..=(tailer, BucketId(u64::MAX))).next().is_some()
}

pub fn manifest_put(world: &mut World, manifest: &Manifest) {
    if !manifest.completeness.is_complete() {
        return;
    }
    let bucket = manifest.at.bucket;
    for tailer in (1..=world.options.hosts).map(|n| NodeId(TAILERS + n)) {
        let closed = has_closed(&world.ghost, tailer, bucket);
        // A host that lost power may not know of a closing it never sent.
        let sure = !world.ghost.host_power.contains_key(&tailer);
        let runs = world.ghost.closings.get(&(tailer, bucket)).filter(|_| sure).map(Vec::as_slice).unwrap_or_default();
        let environment = &manifest.at.environment;
        let named = runs.iter().flat_map(|run| (0..run.packets).map(|seq| (run.run, seq)));
        let lacking = named
            .map(|(run, seq)| PacketId { tailer, environment: environment.clone(), bucket, run, seq })
            .find(|id| !manifest.packets.holds(id));
        world.check(CLOSED, closed && lacking.is_none(), || {
            format!("{}: {tailer} has closed it: {closed}; it lacks {lacking:?}", manifest.at)
        });
    }
}

/// A host that lost power may not know of what it filed.
fn still_stood_by(ghost: &Ghost) -> impl Iterator<Item = &PacketId> {
    let ids = ghost.filed.iter().map(|filed| &filed.id);
    ids.filter(|id| !ghost.host_power.contains_key(&id.tailer))
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
