//! S6: nothing that is not on the shelf is deleted by whom it was entrusted to.

use crate::ghost::Mark;
use crate::world::World;
use porter::names::{BucketAt, Object, parse_path};
use proto::ids::NodeId;

pub const TAILER: &str = "S6 a tailer deletes what has a receipt";
pub const BUCK: &str = "S6 a buck deletes what has a receipt";
pub const BLOCK: &str = "S6 a block that stands is not deleted";

/// Over its budget a tailer may also let go of what two bucks said they keep.
pub fn spool_deleted(world: &mut World, host: NodeId, marks: &[Mark]) {
    let is_small = world.options.spool_bytes_max < 1 << 20;
    deleted(world, TAILER, host, marks, if is_small { 2 } else { usize::MAX });
}

pub fn file_deleted(world: &mut World, buck: NodeId, marks: &[Mark]) {
    deleted(world, BUCK, buck, marks, usize::MAX);
}

fn deleted(world: &mut World, rule: &'static str, node: NodeId, marks: &[Mark], acks: usize) {
    for mark in marks {
        let Some(filed) = world.ghost.by_mark.get(mark).and_then(|at| world.ghost.filed.get(*at)) else { continue };
        let id = filed.id.clone();
        let at = BucketAt { environment: id.environment.clone(), bucket: id.bucket };
        let on_shelf = world.objects.newest_of(&at).any(|manifest| manifest.packets.holds(&id));
        let kept = world.ghost.acked.get(&id).is_some_and(|bucks| bucks.len() >= acks);
        world.check(rule, on_shelf || kept, || format!("{node} deletes {id:?}, which no manifest holds"));
    }
}

pub fn block_deleted(world: &mut World, path: &str) {
    let Some((at, Object::Block(name))) = parse_path(path) else { return };
    let stands = world.objects.newest_of(&at.bucket_at()).any(|m| m.blocks.iter().any(|block| block.name == name));
    world.check(BLOCK, !stands, || format!("{path} is deleted and stands in a manifest"));
}
