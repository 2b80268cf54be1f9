//! Nodes: each owns one production machine and is its hands on virtual files, disks, network and shelf.
//!
//! Hands do what they are asked and say how it went; they decide nothing. Where a bug is planted, it is a hand that
//! lies. A node may be armed to die between any two actions.

pub mod buck;
pub mod catalogue;
pub mod desk;
pub mod porter;
pub mod shelf;
pub mod tailer;
pub mod web;

use crate::world::World;
use proto::ids::NodeId;

pub const TAILERS: u64 = 0x100;
pub const BUCKS: u64 = 0x200;
pub const PORTERS: u64 = 0x300;
pub const WEBS: u64 = 0x400;

/// Counts down to a death in the middle of things.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fuse(Option<u32>);

impl Fuse {
    pub fn arm(&mut self, actions: u32) {
        self.0 = Some(actions);
    }

    /// One more action was done. Whether that was the last.
    pub fn burns_down(&mut self) -> bool {
        match self.0 {
            Some(0) => {
                self.0 = None;
                true
            }
            Some(left) => {
                self.0 = Some(left - 1);
                false
            }
            None => false,
        }
    }
}

/// Says that a node stands, under a new run.
pub fn rise(world: &mut World, node: NodeId, run: &mut u64) {
    *run += 1;
    world.up.insert(node, *run);
    world.note(node, "starts");
}

pub fn fall(world: &mut World, node: NodeId, how: &str) {
    world.up.remove(&node);
    world.note(node, how);
}
