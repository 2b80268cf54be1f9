//! Writes blocks of a shard again: its parts as one, when late packets have made too many of them; and a block
//! without those of its events that stand in another one, when two porters did not know of each other.
//!
//! The parts are read, their events written as one block, and a further version names that one in their place.
//! They stand a while longer, for searches that began before; then they are deleted.

use super::desk::{Asked, Desk, JobAsk};
use super::said::{Action, Build, BuildOf};
use crate::dedup::Earlier;
use crate::manifest::{Block, Manifest, Replaced};
use crate::names::{BlockName, Object};
use crate::rules::EVENT_COST_BYTES;
use proto::time::Now;
use std::collections::VecDeque;
use std::sync::Arc;

/// Parts being read for a merge.
#[derive(Debug)]
pub(super) struct Merge {
    left: VecDeque<BlockName>,
    read: Vec<Arc<[u8]>>,
    of: Vec<BlockName>,
    /// What stands elsewhere.
    without: Arc<Earlier>,
}

impl Merge {
    /// What is to be written again of a shard, if anything.
    pub fn plan(manifest: &Manifest, desk: &Desk) -> Option<Self> {
        Self::of_double(manifest, desk).or_else(|| Self::of_parts(manifest, desk))
    }

    /// A block with events that stand in a lower one.
    pub fn of_double(manifest: &Manifest, desk: &Desk) -> Option<Self> {
        let double = desk.double_of(manifest)?;
        let of = vec![double.block.name];
        Some(Self { left: of.clone().into(), read: Vec::new(), of, without: Arc::new(double.stands.clone()) })
    }

    /// The smallest parts, as many as one block can hold; `None` while there are few, or all are large.
    fn of_parts(manifest: &Manifest, desk: &Desk) -> Option<Self> {
        let (parts_max, block_bytes) = (desk.rules.parts_max, desk.rules.block_bytes);
        if manifest.blocks.len() < parts_max {
            return None;
        }
        let mut blocks: Vec<&Block> = manifest.blocks.iter().collect();
        blocks.sort_by_key(|block| (weight(block), block.name));
        let mut room = block_bytes as u64;
        let fits = |block: &&&Block| {
            let fits = weight(block) <= room;
            room = room.saturating_sub(weight(block));
            fits
        };
        let of: Vec<BlockName> = blocks.iter().take_while(fits).map(|block| block.name).collect();
        let without = Arc::default();
        (of.len() >= parts_max).then(|| Self { left: of.clone().into(), read: Vec::new(), of, without })
    }

    /// Asks for the next part, or for the block when all are read.
    pub fn go_on(&mut self, now: Now, manifest: &Manifest, desk: &mut Desk) {
        if let Some(name) = self.left.pop_front() {
            let path = manifest.at.object(Object::Block(name));
            desk.ask_shelf(now, Asked::Job(JobAsk::ReadPart), |ask| Action::Get { ask, path });
            return;
        }
        let blocks = std::mem::take(&mut self.read);
        let of = BuildOf { at: manifest.at.clone(), shards: manifest.shards, packets: Vec::new(), blocks };
        let earlier = Arc::clone(&self.without);
        desk.ask_own(Asked::Job(JobAsk::Build), |ask| Action::Build(Box::new(Build { ask, of, earlier })));
    }

    pub fn take(&mut self, bytes: Arc<[u8]>) {
        self.read.push(bytes);
    }

    /// Whether a block is what was there already.
    pub fn is_nothing_new(&self, block: &Block) -> bool {
        self.of == [block.name]
    }

    /// The manifest with one block in place of the parts, or with none when all they had stands elsewhere.
    pub fn result(&self, now: Now, manifest: &Manifest, block: Option<Block>, desk: &mut Desk) -> Manifest {
        if self.without.is_empty() {
            desk.counters.merges += 1;
        } else {
            desk.counters.mended += 1;
        }
        let mut merged = manifest.clone();
        let is_block = |name: &BlockName| block.as_ref().is_some_and(|block| block.name == *name);
        merged.version += 1;
        (merged.by, merged.written) = (desk.me, now.wall);
        merged.blocks.retain(|known| !self.of.contains(&known.name) && !is_block(&known.name));
        let replaced = self.of.iter().filter(|name| !is_block(name));
        merged.replaced.extend(replaced.map(|name| Replaced { name: *name, since: now.wall }));
        merged.blocks.extend(block);
        merged
    }
}

/// What a block takes in memory while it is written.
fn weight(block: &Block) -> u64 {
    block.line_bytes.saturating_add(block.events.saturating_mul(EVENT_COST_BYTES as u64))
}
