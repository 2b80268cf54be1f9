//! What a porter knows of the shelf, as the program's catalogue knows it: manifests, where events lie, and what
//! other porters wrote since.

use crate::nodes::shelf::Objects;
use porter::build::{names_in, ranges_of};
use porter::dedup::{Cover, Earlier, merge};
use porter::machine::StreamRange;
use porter::manifest::{Block, Manifest};
use porter::names::{BlockAt, ShardAt};
use porter::places::{Double, Pair, Places, in_both};
use porter::standing::Standing;
use proto::event::{Flags, OwnedEvent};
use proto::ids::{Environment, EventId, NodeId, StreamId};
use proto::limits::TAIL_MARK_BYTES;
use proto::message::{Known, KnownStream, SearchAsk};
use proto::packet::TailMark;
use proto::time::BucketId;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Catalogue {
    pub standing: Standing,
    places: Places,
    news: Vec<Arc<Manifest>>,
}

impl Catalogue {
    /// Reads what is new below a prefix.
    pub fn refresh(&mut self, objects: &mut Objects, prefix: &str) {
        for manifest in objects.newest(prefix) {
            let known = self.standing.get(&manifest.at).map_or(0, |known| known.version);
            if known < manifest.version {
                self.add(objects, &manifest);
                self.news.push(manifest);
            }
        }
    }

    #[must_use]
    pub fn take_news(&mut self) -> Vec<Arc<Manifest>> {
        std::mem::take(&mut self.news)
    }

    pub fn add(&mut self, objects: &mut Objects, manifest: &Arc<Manifest>) {
        let blocks: Vec<BlockAt> = manifest.blocks.iter().map(|block| manifest.at.block(block.name)).collect();
        let before = self
            .standing
            .get(&manifest.at)
            .map(|before| before.blocks.iter().map(|block| before.at.block(block.name)).collect::<Vec<_>>());
        for block in blocks.iter().filter(|block| !self.places.holds(block)).collect::<Vec<_>>() {
            if let Ok((opened, _)) = objects.open(&block.path()) {
                self.places.add(block, &merge(ranges_of(&opened)));
            }
        }
        if self.standing.insert(Arc::clone(manifest)) {
            before.iter().flatten().filter(|block| !blocks.contains(block)).for_each(|gone| self.places.remove(gone));
        }
    }

    /// The names of events that stand where these ranges are.
    pub fn earlier(
        &self,
        objects: &mut Objects,
        environment: &Environment,
        streams: &[StreamRange],
        also: &[BlockAt],
    ) -> Result<Earlier, String> {
        let mut places = self.places.overlapping(environment, streams);
        let mut extra = Cover::default();
        for block in also {
            let (opened, _) = objects.open(&block.path())?;
            ranges_of(&opened).into_iter().for_each(|range| extra.add(range, block));
        }
        places.extend(extra.overlapping(streams));
        let mut names = Vec::new();
        for (block, ranges) in places {
            names.extend(names_of(objects, &block, &ranges)?);
        }
        Ok(Earlier::of(names))
    }

    pub fn doubles(&mut self, objects: &mut Objects) -> Result<Vec<Double>, String> {
        while let Some(pair) = self.places.doubt().cloned() {
            let both = compare(objects, &pair)?;
            self.places.compared(&pair, both);
        }
        Ok(self.places.doubles())
    }

    /// The blocks of a snapshot's shards; `None` when some version is not there.
    #[must_use]
    pub fn snapshot(&self, objects: &Objects, ask: &SearchAsk) -> Option<Vec<(BlockAt, Block)>> {
        let mut blocks = Vec::new();
        for shard in &ask.snapshot {
            let at = ShardAt { environment: shard.environment.clone(), bucket: shard.bucket, shard: shard.shard };
            let known = self.standing.get(&at).filter(|known| known.version == shard.version).cloned();
            let manifest = known.or_else(|| objects.manifest(&at, shard.version))?;
            let touched = manifest.blocks.iter().filter(|block| block.touches(ask.from, ask.to));
            blocks.extend(touched.map(|block| (manifest.at.block(block.name), block.clone())));
        }
        Some(blocks)
    }

    /// What blocks of a search have that others of them have too.
    pub fn told_apart(&mut self, objects: &mut Objects, blocks: &[(BlockAt, Block)]) -> BTreeMap<BlockAt, Earlier> {
        let blocks = blocks.iter().map(|(at, _)| at.clone()).collect();
        for pair in self.places.doubts_among(&blocks) {
            if let Ok(both) = compare(objects, &pair) {
                self.places.compared(&pair, both);
            }
        }
        let doubles = self.places.doubles_among(&blocks);
        doubles.into_iter().map(|double| (double.block, double.stands)).collect()
    }

    /// What stands of a tailer's streams, all on one page.
    pub fn known(&self, objects: &mut Objects, tailer: NodeId) -> Known {
        let mut closed = BTreeMap::new();
        let mut blocks = Vec::new();
        for manifest in self.standing.iter() {
            if manifest.census.closings.contains_key(&tailer) {
                let newest = closed.entry(manifest.at.environment.clone()).or_insert(BucketId(0));
                *newest = manifest.at.bucket.max(*newest);
            }
            let paths = manifest.blocks.iter().map(|block| manifest.at.block(block.name).path());
            blocks.extend(paths.filter_map(|path| objects.events_of(&path).ok()));
        }
        let mut streams: BTreeMap<StreamId, KnownOf<'_>> = BTreeMap::new();
        for event in blocks.iter().flat_map(|events| events.iter()).filter(|event| event.source.tailer == tailer) {
            streams.entry(event.source.stream).or_default().take_in(event);
        }
        let streams = streams.into_iter().map(|(stream, known)| known.finish(stream)).collect();
        Known { streams, closed: closed.into_iter().collect(), more: false }
    }
}

fn names_of(objects: &mut Objects, block: &BlockAt, ranges: &[StreamRange]) -> Result<Vec<EventId>, String> {
    let (opened, bytes) = objects.open(&block.path())?;
    names_in(&opened, &bytes[..], ranges).map_err(|why| why.to_string())
}

fn compare(objects: &mut Objects, pair: &Pair) -> Result<Vec<EventId>, String> {
    let ranges = ranges_of(&objects.open(&pair.stays.path())?.0);
    Ok(in_both(names_of(objects, &pair.stays, &ranges)?, names_of(objects, &pair.yields, &ranges)?))
}

/// What is known of one stream.
#[derive(Default)]
struct KnownOf<'b> {
    generation: u32,
    path: &'b str,
    passed: tailer::ranges::Ranges,
    events: Vec<&'b OwnedEvent>,
}

impl<'b> KnownOf<'b> {
    fn take_in(&mut self, event: &'b OwnedEvent) {
        self.generation = event.source.generation;
        self.path = &event.source.path;
        self.passed.add(event.offset, event.borrow().end());
        self.events.push(event);
    }

    fn finish(mut self, stream: StreamId) -> KnownStream {
        let end = self.passed.end();
        let wanted = usize::try_from(end).unwrap_or(TAIL_MARK_BYTES).min(TAIL_MARK_BYTES);
        let tail = self.last_bytes(end, wanted);
        let mark = tail.map_or_else(TailMark::default, |tail| TailMark::of(&tail));
        let (generation, path) = (self.generation, self.path.to_owned());
        KnownStream { stream, generation, path, extents: self.passed.iter().collect(), tail: mark }
    }

    /// So many bytes before `end`, put together from lines; two that disagree make a hole.
    fn last_bytes(&mut self, end: u64, wanted: usize) -> Option<Vec<u8>> {
        self.events.sort_by_key(|event| Reverse(event.offset));
        let (mut tail, mut at) = (Vec::new(), end);
        for same in self.events.chunk_by(|one, other| one.offset == other.offset) {
            let [event] = same else { break };
            let mut line = event.line.clone();
            if !event.flags.has(Flags::CONTINUES) && !event.flags.has(Flags::NEWLINE_ABSENT) {
                line.push(b'\n');
            }
            if event.offset + line.len() as u64 != at || tail.len() >= wanted {
                break;
            }
            at = event.offset;
            tail = [line, tail].concat();
        }
        let from = tail.len().checked_sub(wanted)?;
        Some(tail.split_off(from))
    }
}
