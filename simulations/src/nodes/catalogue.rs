//! What a porter knows of the shelf, as the program's catalogue knows it: manifests, where events lie, and what
//! other porters wrote since.

use crate::nodes::shelf::Objects;
use porter::block::{Opened, cover};
use porter::build::{names_in, ranges_of};
use porter::dedup::{Cover, Earlier, merge};
use porter::machine::StreamRange;
use porter::manifest::{Block, Manifest};
use porter::names::{BlockAt, ShardAt};
use porter::places::{Double, Pair, Places, in_both};
use porter::standing::Standing;
use proto::event::Flags;
use proto::ids::{Environment, EventId, NodeId, StreamId};
use proto::limits::TAIL_MARK_BYTES;
use proto::message::{Known, KnownStream, SearchAsk};
use proto::packet::TailMark;
use proto::time::BucketId;
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
        let mut streams: BTreeMap<StreamId, KnownOf> = BTreeMap::new();
        let mut closed = BTreeMap::new();
        for manifest in self.standing.iter() {
            if manifest.census.closings.contains_key(&tailer) {
                let newest = closed.entry(manifest.at.environment.clone()).or_insert(BucketId(0));
                *newest = manifest.at.bucket.max(*newest);
            }
            for block in &manifest.blocks {
                let Ok((opened, bytes)) = objects.open(&manifest.at.block(block.name).path()) else { continue };
                take_in(&mut streams, tailer, &opened, &bytes);
            }
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
struct KnownOf {
    generation: u32,
    path: String,
    passed: tailer::ranges::Ranges,
    /// The bytes that were put together again, by offset; two that disagree make a hole.
    lines: BTreeMap<u64, Vec<Vec<u8>>>,
}

fn take_in(streams: &mut BTreeMap<StreamId, KnownOf>, tailer: NodeId, opened: &Opened, bytes: &[u8]) {
    for number in 0..opened.page_count() {
        let Ok(page) = opened.read_page(bytes, number) else { continue };
        for event in cover::events_in(opened, &page).filter(|event| event.source.tailer == tailer) {
            let known = streams.entry(event.source.stream).or_default();
            known.generation = event.source.generation;
            known.path.clone_from(&event.source.path);
            known.passed.add(event.offset, event.end());
            let mut line = event.line.to_vec();
            if !event.flags.has(Flags::CONTINUES) && !event.flags.has(Flags::NEWLINE_ABSENT) {
                line.push(b'\n');
            }
            known.lines.entry(event.offset).or_default().push(line);
        }
    }
}

impl KnownOf {
    fn finish(self, stream: StreamId) -> KnownStream {
        let end = self.passed.end();
        let wanted = usize::try_from(end).unwrap_or(TAIL_MARK_BYTES).min(TAIL_MARK_BYTES);
        let mut tail: Vec<u8> = Vec::new();
        let mut at = end;
        for (offset, lines) in self.lines.iter().rev() {
            match lines.as_slice() {
                [line] if offset + line.len() as u64 == at && tail.len() < wanted => {
                    tail = [line.as_slice(), tail.as_slice()].concat();
                    at = *offset;
                }
                _ => break,
            }
        }
        let from = tail.len().saturating_sub(wanted);
        let mark =
            if tail.len() >= wanted { TailMark::of(tail.get(from..).unwrap_or_default()) } else { TailMark::default() };
        KnownStream {
            stream,
            generation: self.generation,
            path: self.path,
            extents: self.passed.iter().collect(),
            tail: mark,
        }
    }
}
