//! S6: nothing that is not on the shelf is deleted by whom it was entrusted to.

use crate::ghost::Mark;
use crate::world::World;
use porter::names::{BucketAt, Object, parse_path};
use proto::ids::NodeId;

pub const TAILER: &str = "S6 a tailer deletes what has a receipt";
pub const BUCK: &str = "S6 a buck deletes what has a receipt";
pub const BLOCK: &str = "S6 a block that stands is not deleted";

pub fn spool_deleted(world: &mut World, host: NodeId, marks: &[Mark]) {
    deleted(world, TAILER, host, marks);
}

pub fn file_deleted(world: &mut World, buck: NodeId, marks: &[Mark]) {
    deleted(world, BUCK, buck, marks);
}

fn deleted(world: &mut World, rule: &'static str, node: NodeId, marks: &[Mark]) {
    for mark in marks {
        let Some(filed) = world.ghost.by_mark.get(mark).and_then(|at| world.ghost.filed.get(*at)) else { continue };
        let id = filed.id.clone();
        let at = BucketAt { environment: id.environment.clone(), bucket: id.bucket };
        let on_shelf = world.objects.newest_of(&at).any(|manifest| manifest.packets.holds(&id));
        world.check(rule, on_shelf, || format!("{node} deletes {id:?}, which no manifest holds"));
    }
}

pub fn block_deleted(world: &mut World, path: &str) {
    let Some((at, Object::Block(name))) = parse_path(path) else { return };
    let stands = world.objects.newest_of(&at.bucket_at()).any(|m| m.blocks.iter().any(|block| block.name == name));
    world.check(BLOCK, !stands, || format!("{path} is deleted and stands in a manifest"));
}
