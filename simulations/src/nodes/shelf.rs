//! The shelf: an object store with put-if-absent, that may fail, also after it has done what was asked.

use porter::block::Opened;
use porter::block::events::Row;
use porter::machine::PutOutcome;
use porter::manifest::Manifest;
use porter::names::{BucketAt, Object, ShardAt, parse_path};
use proto::event::{Flags, OwnedEvent, Source};
use proto::ids::{NodeId, StreamId};
use proto::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Objects {
    objects: BTreeMap<String, Arc<[u8]>>,
    /// Those of the objects that are manifests, read once.
    manifests: BTreeMap<ShardAt, BTreeMap<u64, Arc<Manifest>>>,
    /// What was opened once stays open: objects never change.
    opened: BTreeMap<String, Arc<Opened>>,
    /// What is in them, for those that read all of it.
    events: BTreeMap<String, Arc<[OwnedEvent]>>,
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
    /// No line, but word of a loss, from the offset to here.
    pub lost_to: Option<u64>,
}

impl Archived {
    #[must_use]
    pub fn of(event: &OwnedEvent) -> Self {
        let (tailer, stream) = (event.source.tailer, event.source.stream);
        let lost_to = event.flags.has(Flags::LOST).then(|| event.borrow().end());
        Self { tailer, stream, offset: event.offset, line: event.line.clone(), lost_to }
    }
}

impl Objects {
    pub fn put_if_absent(&mut self, path: &str, bytes: &Arc<[u8]>) -> PutOutcome {
        if self.objects.contains_key(path) {
            return PutOutcome::Exists;
        }
        self.put(path, bytes);
        PutOutcome::Done
    }

    /// Whatever stands there.
    pub fn put(&mut self, path: &str, bytes: &Arc<[u8]>) {
        self.objects.insert(path.to_owned(), Arc::clone(bytes));
        if let Some((at, Object::Manifest(version))) = parse_path(path)
            && let Ok(manifest) = Manifest::parse(bytes)
        {
            self.manifests.entry(at).or_default().insert(version, Arc::new(manifest));
        }
    }

    /// Half of it, and who reads it back is told otherwise.
    pub fn put_half(&mut self, path: &str, bytes: &Arc<[u8]>) {
        self.pretend(path, bytes);
        self.put(path, &Arc::from(bytes.split_at(bytes.len() / 2).0));
    }

    /// What a porter is told that stands there.
    #[must_use]
    pub fn read_back(&self, path: &str) -> Option<Arc<[u8]>> {
        self.pretended.get(path).cloned().or_else(|| self.get(path))
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
        self.opened.remove(path);
        self.events.remove(path);
    }

    /// The newest manifest of every shard below a prefix.
    #[must_use]
    pub fn newest(&self, prefix: &str) -> Vec<Arc<Manifest>> {
        let below = |at: &&ShardAt| prefix.is_empty() || at.bucket_at().folder().starts_with(prefix);
        let shards = self.manifests.iter().filter(|(at, _)| below(at));
        shards.filter_map(|(_, versions)| versions.values().next_back().cloned()).collect()
    }

    #[must_use]
    pub fn manifest(&self, at: &ShardAt, version: u64) -> Option<Arc<Manifest>> {
        self.manifests.get(at)?.get(&version).cloned()
    }

    /// The newest manifests of one bucket.
    pub fn newest_of(&self, at: &BucketAt) -> impl Iterator<Item = &Arc<Manifest>> {
        let shards = self.manifests.range(at.shard(0)..=at.shard(u16::MAX));
        shards.filter_map(|(_, versions)| versions.values().next_back())
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

    /// Every block that stands and holds this event: where a violation is looked for.
    #[must_use]
    pub fn holders(&mut self, event: &Archived) -> Vec<String> {
        let manifests = self.newest("");
        let blocks = manifests.iter().flat_map(|manifest| {
            manifest.blocks.iter().map(|block| (manifest.version, manifest.at.block(block.name).path()))
        });
        let holds = |(version, path): (u64, String)| {
            let holds = self.events_of(&path).ok()?.iter().any(|held| Archived::of(held) == *event);
            holds.then(|| format!("{path} at version {version}"))
        };
        blocks.filter_map(holds).collect()
    }

    /// Every event of the blocks that stand, as often as it stands there.
    pub fn archived(&mut self) -> Result<Vec<Archived>, String> {
        let mut all = Vec::new();
        for manifest in self.newest("") {
            for block in &manifest.blocks {
                all.extend(self.events_of(&manifest.at.block(block.name).path())?.iter().map(Archived::of));
            }
        }
        Ok(all)
    }

    /// Every event of a block, in its order; read once.
    pub fn events_of(&mut self, path: &str) -> Result<Arc<[OwnedEvent]>, String> {
        let (opened, bytes) = self.open(path)?;
        if let Some(events) = self.events.get(path) {
            return Ok(Arc::clone(events));
        }
        let mut all = Vec::new();
        for number in 0..opened.page_count() {
            let page = opened.read_page(&bytes[..], number).map_err(|why| why.to_string())?;
            let of_source = |row: &Row| opened.sources.get(row.source as usize).cloned();
            all.extend(page.events().filter_map(|(row, line)| Some(owned(of_source(row)?, row, line))));
        }
        let events: Arc<[OwnedEvent]> = Arc::from(all);
        self.events.insert(path.to_owned(), Arc::clone(&events));
        Ok(events)
    }
}

fn owned(source: Arc<Source>, row: &Row, line: &[u8]) -> OwnedEvent {
    OwnedEvent {
        source,
        offset: row.offset,
        time: Timestamp(row.time),
        level: row.level,
        flags: row.flags,
        file_length: row.file_length,
        line: line.to_vec(),
    }
}
