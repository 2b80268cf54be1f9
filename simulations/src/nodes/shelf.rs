//! The shelf: an object store with put-if-absent, that may fail, also after it has done what was asked.

use porter::block::{Opened, cover};
use porter::build::ranges_of;
use porter::dedup::{Cover, Earlier};
use porter::machine::{PutOutcome, StreamRange};
use porter::manifest::Manifest;
use porter::names::{BlockAt, Object, ShardAt, parse_path};
use porter::standing::Standing;
use proto::ids::{NodeId, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Objects {
    objects: BTreeMap<String, Arc<[u8]>>,
    /// What was opened once stays open: objects never change.
    opened: BTreeMap<String, Arc<Opened>>,
    /// What a planted bug makes its porter believe, and nobody else.
    pretended: BTreeMap<String, Arc<[u8]>>,
}

/// An event as it stands in a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archived {
    pub tailer: NodeId,
    pub stream: StreamId,
    pub offset: u64,
    pub line: Vec<u8>,
}

impl Objects {
    pub fn put_if_absent(&mut self, path: &str, bytes: &Arc<[u8]>) -> PutOutcome {
        if self.objects.contains_key(path) {
            return PutOutcome::Exists;
        }
        self.objects.insert(path.to_owned(), Arc::clone(bytes));
        PutOutcome::Done
    }

    #[must_use]
    pub fn get(&self, path: &str) -> Option<Arc<[u8]>> {
        self.objects.get(path).or_else(|| self.pretended.get(path)).cloned()
    }

    /// Says it is there, and it is not.
    pub fn pretend(&mut self, path: &str, bytes: &Arc<[u8]>) {
        self.pretended.insert(path.to_owned(), Arc::clone(bytes));
    }

    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let from = self.objects.range(prefix.to_owned()..);
        from.map(|(path, _)| path).take_while(|path| path.starts_with(prefix)).cloned().collect()
    }

    pub fn delete(&mut self, path: &str) {
        self.objects.remove(path);
    }

    /// The newest manifest of every shard below a prefix.
    #[must_use]
    pub fn newest(&self, prefix: &str) -> Vec<Arc<Manifest>> {
        let mut newest: BTreeMap<ShardAt, u64> = BTreeMap::new();
        for (at, object) in self.list(prefix).iter().filter_map(|path| parse_path(path)) {
            if let Object::Manifest(version) = object {
                let known = newest.entry(at).or_default();
                *known = (*known).max(version);
            }
        }
        let read = |(at, version): (ShardAt, u64)| {
            let bytes = self.get(&at.object(Object::Manifest(version)))?;
            Manifest::parse(&bytes).ok().map(Arc::new)
        };
        newest.into_iter().filter_map(read).collect()
    }

    pub fn open(&mut self, path: &str) -> Result<(Arc<Opened>, Arc<[u8]>), String> {
        let bytes = self.get(path).ok_or_else(|| format!("{path} is gone"))?;
        if let Some(opened) = self.opened.get(path) {
            return Ok((Arc::clone(opened), bytes));
        }
        let opened = Arc::new(Opened::open(&bytes[..]).map_err(|why| format!("{path}: {why}"))?);
        self.opened.insert(path.to_owned(), Arc::clone(&opened));
        Ok((opened, bytes))
    }

    /// The names of events that stand where these ranges are.
    pub fn earlier(
        &mut self,
        standing: &Standing,
        environment: &proto::ids::Environment,
        streams: &[StreamRange],
        also: &[BlockAt],
    ) -> Result<Earlier, String> {
        let of_environment = standing.iter().filter(|manifest| manifest.at.environment == *environment);
        let stands =
            of_environment.flat_map(|manifest| manifest.blocks.iter().map(|block| manifest.at.block(block.name)));
        let blocks: BTreeSet<BlockAt> = stands.chain(also.iter().cloned()).collect();
        let mut held = Cover::default();
        for block in &blocks {
            let (opened, _) = self.open(&block.path())?;
            ranges_of(&opened).into_iter().for_each(|range| held.add(range, block));
        }
        let mut names = Vec::new();
        for (block, ranges) in held.overlapping(streams) {
            let (opened, bytes) = self.open(&block.path())?;
            names.extend(porter::build::names_in(&opened, &bytes[..], &ranges).map_err(|why| why.to_string())?);
        }
        Ok(Earlier::of(names))
    }

    /// Every event of the blocks that stand, as often as it stands there.
    pub fn archived(&mut self) -> Result<Vec<Archived>, String> {
        let mut all = Vec::new();
        for manifest in self.newest("") {
            for block in &manifest.blocks {
                let (opened, bytes) = self.open(&manifest.at.block(block.name).path())?;
                for number in 0..opened.page_count() {
                    let page = opened.read_page(&bytes[..], number).map_err(|why| why.to_string())?;
                    all.extend(cover::events_in(&opened, &page).map(|event| Archived {
                        tailer: event.source.tailer,
                        stream: event.source.stream,
                        offset: event.offset,
                        line: event.line.to_vec(),
                    }));
                }
            }
        }
        Ok(all)
    }
}
