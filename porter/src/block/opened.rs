//! A block, opened: its directory in memory, its pages where they were.
//!
//! Bytes come through [`Ranges`], so a folder, object storage and memory are alike. Opening takes one round, or
//! two when the directory is larger than [`SUFFIX_BYTES`], and one for the pages others learned from; the leaves of
//! a search one more; then pages.

use super::directory::{
    Count, Extent, HeadSection, PageEntry, read_counts, read_extents, read_pages, read_sources, streams_of,
};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::LeafTable;
use super::limits::BASES_MAX;
use super::page::{Base, Page, PageReader};
use super::postings::PageSet;
use super::tallies::Tallies;
use super::templates::TemplateTable;
use super::{BlockError, Part};
use crate::plan::Leaves;
use proto::event::Source;
use proto::field::BadField;
use proto::grams::GramFilter;
use proto::ids::{NodeId, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What is read first, hoping that it holds the whole directory: one of 128 MiB of lines of 27 kinds takes 300 KB,
/// half of it templates, and a second round to an object store costs more than the rest of a megabyte does.
pub const SUFFIX_BYTES: u64 = 512 << 10;

/// Where the first page begins: behind the four bytes that name the format, its version and three zeros.
pub const PAGES_AT: u64 = 8;

/// Ranges closer than this are fetched as one.
const GAP_BYTES: u64 = 4 << 10;

/// Where a block's bytes come from.
pub trait Ranges {
    /// The last `bytes` bytes, or all when there are fewer, and how long the whole is.
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError>;

    /// Each range's bytes, exactly as many as it is long.
    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError>;
}

impl Ranges for [u8] {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        let start = self.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok((self.get(start..).unwrap_or_default().to_vec(), self.len() as u64))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        ranges
            .iter()
            .map(|range| {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                self.get(place(range.start)..place(range.end))
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| BlockError::Unread { range: range.clone(), why: "the block ends earlier".into() })
            })
            .collect()
    }
}

/// Fetches ranges, those that are close together as one.
pub fn fetch_joined<R: Ranges + ?Sized>(ranges: &R, wanted: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    let mut of: Vec<usize> = Vec::with_capacity(wanted.len());
    for range in wanted {
        match joined.last_mut() {
            Some(last) if range.start >= last.start && range.start <= last.end.saturating_add(GAP_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range.clone()),
        }
        of.push(joined.len() - 1);
    }
    let fetched = ranges.ranges(&joined)?;
    wanted
        .iter()
        .zip(of)
        .map(|(range, of)| {
            let short =
                || BlockError::Unread { range: range.clone(), why: "fewer bytes came than were asked for".into() };
            let (whole, bytes) = joined.get(of).zip(fetched.get(of)).ok_or_else(short)?;
            let start = usize::try_from(range.start - whole.start).map_err(|_| short())?;
            let length = usize::try_from(range.end - range.start).map_err(|_| short())?;
            bytes.get(start..).and_then(|rest| rest.get(..length)).map(<[u8]>::to_vec).ok_or_else(short)
        })
        .collect()
}

fn fetch_one<R: Ranges + ?Sized>(ranges: &R, range: Range<u64>) -> Result<Vec<u8>, BlockError> {
    Ok(ranges.ranges(std::slice::from_ref(&range))?.pop().unwrap_or_default())
}

/// A block's directory. Cheap to share; pages are read when they are needed.
#[derive(Clone, Debug)]
pub struct Opened {
    pub head: HeadSection,
    pub footer: Footer,
    pub sources: Vec<Arc<Source>>,
    /// Which stream each source belongs to.
    pub stream_of: Vec<u32>,
    /// Streams in the block's order.
    pub streams: Vec<(NodeId, StreamId)>,
    pub pages: Vec<PageEntry>,
    pub counts: Vec<Count>,
    /// Of each stream.
    pub extents: Vec<Vec<Extent>>,
    pub leaf_table: LeafTable,
    /// Without it pages of plain lines can still be read; the others say what is wrong with it.
    pub templates: Result<TemplateTable, BlockError>,
    /// Without them more pages are opened than need be.
    pub tallies: Result<Tallies, BlockError>,
    pub filter: GramFilter,
    /// Pages others learned from. What is wrong with one is told by the pages that need it.
    pub bases: BTreeMap<u32, Result<Base, BlockError>>,
    /// Of the whole file.
    pub length: u64,
}

impl Opened {
    pub fn open<R: Ranges + ?Sized>(ranges: &R) -> Result<Self, BlockError> {
        let (mut suffix, length) = ranges.suffix(SUFFIX_BYTES)?;
        let footer = Footer::read(&suffix, length)?;
        let have = length.saturating_sub(suffix.len() as u64);
        if footer.directory_at() < have {
            let head = fetch_one(ranges, footer.directory_at()..have)?;
            suffix.splice(..0, head);
        } else {
            let surplus = usize::try_from(footer.directory_at() - have).unwrap_or(usize::MAX);
            suffix.drain(..surplus.min(suffix.len()));
        }
        let mut opened = Self::read(footer, &suffix, length)?;
        opened.read_bases(ranges)?;
        Ok(opened)
    }

    fn read_bases<R: Ranges + ?Sized>(&mut self, ranges: &R) -> Result<(), BlockError> {
        let mut numbers: Vec<u32> = self.pages.iter().filter_map(|page| page.base).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let exist = |number: &u32| self.pages.get(*number as usize).is_some_and(|page| page.base.is_none());
        if numbers.len() > BASES_MAX || !numbers.iter().all(exist) {
            return Err(BlockError::Damaged { part: Part::Pages, why: "a base that is none" });
        }
        let fetched = self.fetch_pages(ranges, &numbers)?;
        self.bases = numbers.iter().zip(fetched).map(|(&number, bytes)| (number, Base::read(&bytes, number))).collect();
        Ok(())
    }

    /// `directory` is everything behind the leaves.
    fn read(footer: Footer, directory: &[u8], length: u64) -> Result<Self, BlockError> {
        let directory = directory.get(..directory.len().saturating_sub(FOOTER_BYTES)).unwrap_or_default();
        let section = |part| footer.section(part, directory);
        let named = |part| move |bad: BadField| BlockError::Damaged { part, why: bad.why };
        let head = HeadSection::read(&section(Part::Head)?).map_err(named(Part::Head))?;
        let sources = read_sources(&section(Part::Sources)?, &head.head.environment).map_err(named(Part::Sources))?;
        let stream_of = streams_of(&sources);
        let pages = read_pages(&section(Part::Pages)?, PAGES_AT, footer.leaves.start, &stream_of)
            .map_err(named(Part::Pages))?;
        let counts = read_counts(&section(Part::Counts)?, sources.len()).map_err(named(Part::Counts))?;
        let extents = read_extents(&section(Part::Extents)?).map_err(named(Part::Extents))?;
        let region = footer.leaves.end - footer.leaves.start;
        let leaf_table = LeafTable::read(&section(Part::LeafTable)?, region).map_err(named(Part::LeafTable))?;
        let templates =
            section(Part::Templates).and_then(|bytes| TemplateTable::read(&bytes).map_err(named(Part::Templates)));
        let tallies = templates.as_ref().map_err(Clone::clone).and_then(|templates| {
            Tallies::read(&section(Part::Tallies)?, &pages, templates).map_err(named(Part::Tallies))
        });
        let filter = GramFilter::from_bytes(&section(Part::Filter)?)
            .ok_or(BlockError::Damaged { part: Part::Filter, why: "not a power of two of bytes" })?;
        let mut streams: Vec<_> = sources.iter().map(|source| (source.tailer, source.stream)).collect();
        streams.dedup();
        if extents.len() != streams.len() {
            return Err(BlockError::Damaged { part: Part::Extents, why: "not as many as streams" });
        }
        Ok(Self {
            head,
            footer,
            sources,
            stream_of,
            streams,
            pages,
            counts,
            extents,
            leaf_table,
            templates,
            tallies,
            filter,
            bases: BTreeMap::new(),
            length,
        })
    }

    #[must_use]
    pub fn page_count(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// The number of a stream in this block.
    #[must_use]
    pub fn stream(&self, tailer: NodeId, stream: StreamId) -> Option<u32> {
        let at = self.streams.iter().position(|&known| known == (tailer, stream))?;
        u32::try_from(at).ok()
    }

    /// Pages that hold this place of a stream.
    #[must_use]
    pub fn pages_with(&self, tailer: NodeId, stream: StreamId, offset: u64) -> PageSet {
        let mut pages = PageSet::none(self.page_count());
        let Some(stream) = self.stream(tailer, stream) else { return pages };
        for (number, page) in (0..).zip(&self.pages) {
            let holds = |segment: &super::directory::Segment| {
                segment.stream == stream && segment.first <= offset && offset <= segment.end
            };
            if page.segments.iter().any(holds) {
                pages.insert(number);
            }
        }
        pages
    }

    /// Reads a page from its bytes. Whoever reads many keeps a [`PageReader`].
    pub fn page(&self, number: u32, bytes: &[u8]) -> Result<Page, BlockError> {
        let mut reader = PageReader::default();
        reader.read(self, number, bytes)?;
        Ok(reader.into_page())
    }

    /// The page this one learned from, if it did.
    pub(super) fn base_of(&self, number: u32) -> Result<Option<&Base>, BlockError> {
        let base = self.pages.get(number as usize).and_then(|page| page.base);
        match base.and_then(|base| self.bases.get(&base)) {
            Some(Ok(base)) => Ok(Some(base)),
            Some(Err(damage)) => Err(damage.clone()),
            None => Ok(None),
        }
    }

    /// Fetches pages' bytes in one round.
    pub fn fetch_pages<R: Ranges + ?Sized>(&self, ranges: &R, numbers: &[u32]) -> Result<Vec<Vec<u8>>, BlockError> {
        let wanted: Vec<Range<u64>> =
            numbers.iter().filter_map(|&number| self.pages.get(number as usize)).map(PageEntry::range).collect();
        fetch_joined(ranges, &wanted)
    }

    /// Fetches one page and reads it.
    pub fn read_page<R: Ranges + ?Sized>(&self, ranges: &R, number: u32) -> Result<Page, BlockError> {
        let bytes = self.fetch_pages(ranges, &[number])?.pop().unwrap_or_default();
        self.page(number, &bytes)
    }

    /// Fetches these leaves, in one round, and checks them.
    pub fn fetch_leaves<R: Ranges + ?Sized>(&self, ranges: &R, numbers: BTreeSet<usize>) -> Result<Leaves, BlockError> {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let leaves: Vec<_> = numbers.iter().filter_map(|&number| self.leaf_table.leaves.get(number)).collect();
        let start = self.footer.leaves.start;
        let wanted: Vec<Range<u64>> =
            leaves.iter().map(|leaf| start + leaf.at..start + leaf.at + u64::from(leaf.length)).collect();
        let fetched = fetch_joined(ranges, &wanted)?;
        for ((number, leaf), bytes) in numbers.iter().zip(&leaves).zip(&fetched) {
            if crc32c::crc32c(bytes) != leaf.crc {
                return Err(BlockError::Damaged { part: Part::Leaf(*number), why: "does not fit its checksum" });
            }
        }
        Ok(numbers.into_iter().zip(fetched).collect())
    }
}
