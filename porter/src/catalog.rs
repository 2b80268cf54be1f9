//! What stands on the shelf, in memory: manifests, which block has what of which stream, and opened directories.
//!
//! Shared by everything that answers and by the port itself. All of it is read from the shelf and can be read
//! again; directories are kept within a budget and opened anew when they were let go.

mod known;

use crate::block::{BlockError, Opened, Ranges};
use crate::build::{names_in, ranges_of};
use crate::dedup::{Cover, Earlier, merge};
use crate::machine::StreamRange;
use crate::manifest::{Block, Manifest};
use crate::names::{BlockAt, Object, ShardAt, parse_path};
use crate::objects::{Shelf, ShelfError};
use crate::places::{Double, Pair, Places, in_both};
use crate::search::{Blocks, SearchError};
use crate::standing::Standing;
use known::KnownStreams;
use proto::event::TimeOrder;
use proto::ids::{Environment, EventId, NodeId, StreamId};
use proto::message::{Known, Receipt, Shard, ShardVersion};
use proto::query::TimeRange;
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Directories kept open, by the bytes they have in their files; in memory they take a few times that.
const OPENED_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub struct Catalog {
    shelf: Shelf,
    width: BucketWidth,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    standing: Standing,
    places: Places,
    /// Blocks that stand and could not be fetched yet; what they hold is not known.
    unread: BTreeSet<BlockAt>,
    /// Found by a refresh and not asked for yet. No more than stands.
    news: Vec<Arc<Manifest>>,
    known: KnownStreams,
    opened: BTreeMap<BlockAt, (u64, Arc<Opened>)>,
    opened_bytes: u64,
    uses: u64,
    trouble: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error("{path}: {source}")]
    Block { path: String, source: BlockError },
    #[error("{0} is gone")]
    Gone(String),
}

impl CatalogError {
    /// Another time it may go better. What is damaged stays so, and what is gone does.
    fn may_pass(&self, shelf: &Shelf) -> bool {
        match self {
            Self::Shelf(_) => true,
            Self::Block { path, source: BlockError::Unread { .. } } => {
                !matches!(shelf.suffix(path, 1), Err(ShelfError::Absent(_)))
            }
            Self::Block { .. } | Self::Gone(_) => false,
        }
    }
}

/// A block's bytes where they lie.
#[derive(Clone, Debug)]
pub struct OnShelf {
    pub shelf: Shelf,
    pub path: String,
}

impl Ranges for OnShelf {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        let unread = |why: ShelfError| BlockError::Unread { range: 0..0, why: why.to_string() };
        self.shelf.suffix(&self.path, bytes).map_err(unread)
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        let all = ranges.first().map_or(0, |range| range.start)..ranges.last().map_or(0, |range| range.end);
        let unread = |why: ShelfError| BlockError::Unread { range: all, why: why.to_string() };
        self.shelf.ranges(&self.path, ranges).map_err(unread)
    }
}

impl Catalog {
    #[must_use]
    pub fn new(shelf: Shelf, width: BucketWidth) -> Self {
        Self { shelf, width, inner: RwLock::default() }
    }

    /// Reads every shard's newest manifest that is not known yet, and its blocks. Returns what was new.
    pub fn refresh(&self, prefix: &str) -> Result<Vec<Arc<Manifest>>, ShelfError> {
        let mut newest: BTreeMap<ShardAt, u64> = BTreeMap::new();
        for (at, object) in self.shelf.list(prefix)?.iter().filter_map(|path| parse_path(path)) {
            if let Object::Manifest(version) = object {
                let known = newest.entry(at).or_default();
                *known = (*known).max(version);
            }
        }
        let known = |at: &ShardAt| self.read().standing.get(at).map_or(0, |manifest| manifest.version);
        newest.retain(|at, version| known(at) < *version);
        let mut new = Vec::new();
        for (at, version) in newest {
            new.extend(self.newest_readable(&at, version, known(&at))?);
        }
        new.iter().for_each(|manifest| self.add(manifest));
        self.write().news.extend(new.iter().cloned());
        Ok(new)
    }

    /// What refreshes have found since this was last asked, whatever they were for.
    #[must_use]
    pub fn take_news(&self) -> Vec<Arc<Manifest>> {
        std::mem::take(&mut self.write().news)
    }

    /// A damaged manifest is passed over for the one before it, down to the one that is known.
    fn newest_readable(&self, at: &ShardAt, from: u64, known: u64) -> Result<Option<Arc<Manifest>>, ShelfError> {
        for version in (known + 1..=from).rev() {
            if let Some(manifest) = self.manifest(at, version)? {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    fn manifest(&self, at: &ShardAt, version: u64) -> Result<Option<Arc<Manifest>>, ShelfError> {
        let path = at.object(Object::Manifest(version));
        let Some(bytes) = self.shelf.get(&path)? else { return Ok(None) };
        match Manifest::parse(&bytes) {
            Ok(manifest) if manifest.at == *at && manifest.version == version => Ok(Some(Arc::new(manifest))),
            Ok(_) => {
                self.note(&path, "it speaks of another place");
                Ok(None)
            }
            Err(why) => {
                self.note(&path, &why.to_string());
                Ok(None)
            }
        }
    }

    /// Takes in a manifest, and the directories of blocks not seen before.
    pub fn add(&self, manifest: &Arc<Manifest>) {
        let (blocks, before) = {
            let inner = self.read();
            let before: Vec<BlockAt> =
                inner.standing.get(&manifest.at).map(|before| blocks_of(before)).unwrap_or_default();
            (blocks_of(manifest), before)
        };
        for block in &blocks {
            if !self.read().places.holds(block) {
                // What fails is remembered, and tried again before anything is built upon it.
                let _ = self.take_in(block);
            }
        }
        let mut inner = self.write();
        let inner = &mut *inner;
        if inner.standing.insert(manifest.clone()) {
            inner.known.closings(manifest);
            for gone in before.iter().filter(|block| !blocks.contains(block)) {
                inner.places.remove(gone);
                inner.unread.remove(gone);
            }
        }
    }

    fn take_in(&self, block: &BlockAt) -> Result<(), CatalogError> {
        let opened = self.open(block);
        if let Err(why) = &opened {
            self.note(&block.path(), &why.to_string());
        }
        let passes = opened.as_ref().is_err_and(|why| why.may_pass(&self.shelf));
        let mut inner = self.write();
        let inner = &mut *inner;
        match opened {
            Ok(opened) => {
                inner.unread.remove(block);
                inner.places.add(block, &merge(ranges_of(&opened)));
                inner.known.block(block, &opened);
            }
            Err(why) if passes => {
                inner.unread.insert(block.clone());
                return Err(why);
            }
            Err(_) => drop(inner.unread.remove(block)),
        }
        Ok(())
    }

    /// Fetches what could not be fetched before: a block nobody can read now is not known to hold nothing.
    fn take_in_unread(&self) -> Result<(), CatalogError> {
        let unread: Vec<BlockAt> = self.read().unread.iter().cloned().collect();
        unread.iter().try_for_each(|block| self.take_in(block))
    }

    /// A block's directory, from memory or the shelf.
    pub fn open(&self, block: &BlockAt) -> Result<Arc<Opened>, CatalogError> {
        if let Some(opened) = self.write().used(block) {
            return Ok(opened);
        }
        let bytes = self.bytes_of(block);
        let opened = Opened::open(&bytes).map_err(|source| CatalogError::Block { path: bytes.path, source })?;
        let opened = Arc::new(opened);
        self.write().keep(block, &opened);
        Ok(opened)
    }

    #[must_use]
    pub fn bytes_of(&self, block: &BlockAt) -> OnShelf {
        OnShelf { shelf: self.shelf.clone(), path: block.path() }
    }

    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The names of events that stand where these ranges are. `also` are blocks that no manifest names yet.
    pub fn earlier(
        &self,
        environment: &Environment,
        streams: &[StreamRange],
        also: &[BlockAt],
    ) -> Result<Earlier, CatalogError> {
        self.take_in_unread()?;
        let mut places = self.read().places.overlapping(environment, streams);
        let mut extra = Cover::default();
        for block in also {
            ranges_of(&*self.open(block)?).into_iter().for_each(|range| extra.add(range, block));
        }
        places.extend(extra.overlapping(streams));
        let mut names = Vec::new();
        for (block, ranges) in places {
            match self.names_of(&block, &ranges) {
                Ok(found) => names.extend(found),
                // What is damaged stays so: its events may come to stand twice, and none may wait for it.
                Err(why) if !why.may_pass(&self.shelf) => self.note(&block.path(), &why.to_string()),
                Err(why) => return Err(why),
            }
        }
        Ok(Earlier::of(names))
    }

    fn names_of(&self, block: &BlockAt, ranges: &[StreamRange]) -> Result<Vec<EventId>, CatalogError> {
        let bytes = self.bytes_of(block);
        let found = names_in(&*self.open(block)?, &bytes, ranges);
        found.map_err(|source| CatalogError::Block { path: bytes.path, source })
    }

    /// Which blocks have events that stand in lower ones. Blocks that were not compared yet are read for it.
    pub fn doubles(&self) -> Result<Vec<Double>, CatalogError> {
        self.take_in_unread()?;
        while let Some(pair) = self.next_doubt() {
            let both = match self.in_both(&pair) {
                // What can't be read for good has nothing that could be told apart.
                Err(why) if !why.may_pass(&self.shelf) => Vec::new(),
                both => both?,
            };
            self.write().places.compared(&pair, both);
        }
        Ok(self.read().places.doubles())
    }

    fn next_doubt(&self) -> Option<Pair> {
        self.read().places.doubt().cloned()
    }

    fn in_both(&self, pair: &Pair) -> Result<Vec<EventId>, CatalogError> {
        let (one, other) = (self.open(&pair.stays)?, self.open(&pair.yields)?);
        let mut cover = Cover::default();
        ranges_of(&one).into_iter().for_each(|range| cover.add(range, &()));
        let ranges = cover.overlapping(&ranges_of(&other)).remove(&()).unwrap_or_default();
        Ok(in_both(self.names_of(&pair.stays, &ranges)?, self.names_of(&pair.yields, &ranges)?))
    }

    /// A search lacks this block because it is not there any more: a newer snapshot knows what took its place.
    #[must_use]
    pub fn is_stale(&self, lacks: &SearchError) -> bool {
        self.shelf.suffix(&lacks.path, 1).is_err()
    }

    /// Every block that has something of a stream, in the order of where.
    #[must_use]
    pub fn blocks_of_stream(
        &self,
        environment: &Environment,
        tailer: NodeId,
        stream: StreamId,
    ) -> Vec<(u64, u64, BlockAt)> {
        let all = [StreamRange { tailer, stream, from: 0, to: u64::MAX }];
        let found = self.read().places.overlapping(environment, &all);
        let parts = found.into_iter().flat_map(|(block, ranges)| {
            ranges.into_iter().map(move |range| (range.from, range.to, block.clone())).collect::<Vec<_>>()
        });
        let mut parts: Vec<_> = parts.collect();
        parts.sort_unstable();
        parts
    }

    /// The blocks a snapshot's shards have in a span of event time. A version that is no longer the newest is
    /// read from the shelf, where it stays.
    pub fn snapshot(
        &self,
        shards: &[ShardVersion],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(BlockAt, Block)>, CatalogError> {
        let mut blocks = Vec::new();
        for shard in shards {
            let manifest = self.at_version(shard)?;
            let touched = manifest.blocks.iter().filter(|block| block.touches(from, to));
            blocks.extend(touched.map(|block| (manifest.at.block(block.name), block.clone())));
        }
        Ok(blocks)
    }

    fn at_version(&self, shard: &ShardVersion) -> Result<Arc<Manifest>, CatalogError> {
        let at = ShardAt { environment: shard.environment.clone(), bucket: shard.bucket, shard: shard.shard };
        let known = self.read().standing.get(&at).cloned();
        if let Some(known) = known.filter(|known| known.version == shard.version) {
            return Ok(known);
        }
        let gone = || CatalogError::Gone(at.object(Object::Manifest(shard.version)));
        self.manifest(&at, shard.version)?.ok_or_else(gone)
    }

    #[must_use]
    pub fn receipts(&self, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        self.read().standing.receipts(buckets)
    }

    #[must_use]
    pub fn shards(&self, environments: &[Environment], range: TimeRange) -> Vec<Shard> {
        self.read().standing.catalog(environments, range, self.width)
    }

    #[must_use]
    pub fn manifests(&self) -> Vec<Arc<Manifest>> {
        self.read().standing.iter().cloned().collect()
    }

    /// A page of what stands of a tailer's streams. Marks are made from the last lines, which are read for it.
    #[must_use]
    pub fn known(&self, tailer: NodeId, after: Option<StreamId>) -> Known {
        let (mut page, ends) = self.read().known.page(tailer, after);
        for (stream, (block, end)) in page.streams.iter_mut().zip(ends) {
            let (bytes, opened) = (self.bytes_of(&block), self.open(&block));
            let mark = opened.ok().and_then(|opened| known::tail_mark(&opened, &bytes, tailer, stream.stream, end));
            stream.tail = mark.unwrap_or_default();
        }
        page
    }

    /// Names of what could not be read, and why.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        self.read().trouble.iter().map(|(path, why)| format!("{path}: {why}")).collect()
    }

    /// Blocks and their bytes, for the status page.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let inner = self.read();
        let blocks = || inner.standing.iter().flat_map(|manifest| &manifest.blocks);
        Totals {
            shards: inner.standing.len() as u64,
            partial: inner.standing.iter().filter(|manifest| !manifest.completeness.is_complete()).count() as u64,
            blocks: blocks().count() as u64,
            bytes: blocks().map(|block| block.bytes).sum(),
            events: blocks().map(|block| block.events).sum(),
            line_bytes: blocks().map(|block| block.line_bytes).sum(),
        }
    }

    fn note(&self, path: &str, why: &str) {
        let mut inner = self.write();
        if inner.trouble.len() < crate::rules::TROUBLE_MAX
            && inner.trouble.insert(path.to_owned(), why.to_owned()).is_none()
        {
            tracing::error!(path, why, "an object on the shelf can't be read");
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks for Catalog {
    type Bytes = OnShelf;

    fn open(&self, block: &BlockAt) -> Result<Arc<Opened>, BlockError> {
        self.open(block).map_err(|why| match why {
            CatalogError::Block { source, .. } => source,
            why => BlockError::Unread { range: 0..0, why: why.to_string() },
        })
    }

    fn bytes_of(&self, block: &BlockAt) -> OnShelf {
        self.bytes_of(block)
    }

    /// Blocks nobody has compared yet are read for it.
    fn told_apart(&self, blocks: &[(BlockAt, Block)]) -> BTreeMap<BlockAt, Earlier> {
        if self.read().places.are_clear() {
            return BTreeMap::new();
        }
        let blocks: BTreeSet<BlockAt> = blocks.iter().map(|(at, _)| at.clone()).collect();
        let doubts = self.read().places.doubts_among(&blocks);
        for pair in doubts {
            // What can't be read is named by the search itself.
            if let Ok(both) = self.in_both(&pair) {
                self.write().places.compared(&pair, both);
            }
        }
        let doubles = self.read().places.doubles_among(&blocks);
        doubles.into_iter().map(|double| (double.block, double.stands)).collect()
    }

    fn file_places(
        &self,
        blocks: &BTreeSet<BlockAt>,
        after: Option<&TimeOrder>,
    ) -> BTreeMap<BlockAt, Option<TimeOrder>> {
        self.read().places.first_behind(blocks, after)
    }
}

/// What stands on the shelf, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub shards: u64,
    pub partial: u64,
    pub blocks: u64,
    pub bytes: u64,
    pub events: u64,
    pub line_bytes: u64,
}

fn blocks_of(manifest: &Manifest) -> Vec<BlockAt> {
    manifest.blocks.iter().map(|block| manifest.at.block(block.name)).collect()
}

impl Inner {
    fn used(&mut self, block: &BlockAt) -> Option<Arc<Opened>> {
        self.uses += 1;
        let (used, opened) = self.opened.get_mut(block)?;
        *used = self.uses;
        Some(opened.clone())
    }

    /// Lets go of what was not used for the longest time when there is too much.
    fn keep(&mut self, block: &BlockAt, opened: &Arc<Opened>) {
        self.uses += 1;
        if self.opened.insert(block.clone(), (self.uses, opened.clone())).is_none() {
            self.opened_bytes += directory_bytes(opened);
        }
        while self.opened_bytes > OPENED_BYTES_MAX && self.opened.len() > 1 {
            let Some(oldest) = self.opened.iter().min_by_key(|(_, (used, _))| *used).map(|(at, _)| at.clone()) else {
                return;
            };
            if let Some((_, opened)) = self.opened.remove(&oldest) {
                self.opened_bytes = self.opened_bytes.saturating_sub(directory_bytes(&opened));
            }
        }
    }
}

fn directory_bytes(opened: &Opened) -> u64 {
    opened.length.saturating_sub(opened.footer.leaves.end).max(1)
}

#[cfg(test)]
pub(crate) mod tests;
