//! Merges the parts of a shard into one block, when late packets have made too many of them.
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
    pub of: Vec<BlockName>,
}

impl Merge {
    /// The smallest parts, as many as one block can hold; `None` while there are few, or all are large.
    pub fn plan(manifest: &Manifest, parts_max: usize, block_bytes: usize) -> Option<Self> {
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
        (of.len() >= parts_max).then(|| Self { left: of.clone().into(), read: Vec::new(), of })
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
        let earlier = Arc::new(Earlier::default());
        desk.ask_own(Asked::Job(JobAsk::Build), |ask| Action::Build(Box::new(Build { ask, of, earlier })));
    }

    pub fn take(&mut self, bytes: Arc<[u8]>) {
        self.read.push(bytes);
    }

    /// The manifest with one block in place of the parts.
    pub fn result(&self, now: Now, manifest: &Manifest, block: Block, desk: &Desk) -> Manifest {
        let mut merged = manifest.clone();
        let is_part = |name: &BlockName| self.of.contains(name) && *name != block.name;
        merged.version += 1;
        (merged.by, merged.written) = (desk.me, now.wall);
        merged.blocks.retain(|known| !is_part(&known.name) && known.name != block.name);
        let replaced = self.of.iter().filter(|name| is_part(name));
        merged.replaced.extend(replaced.map(|name| Replaced { name: *name, since: now.wall }));
        merged.blocks.push(block);
        merged
    }
}

/// What a block takes in memory while it is written.
fn weight(block: &Block) -> u64 {
    block.line_bytes.saturating_add(block.events.saturating_mul(EVENT_COST_BYTES as u64))
}
