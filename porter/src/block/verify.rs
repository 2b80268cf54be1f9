//! Every damaged part of a block, by name.
//!
//! Every byte of a block stands under a checksum: of its page, its leaf, its section or the footer; the first bytes
//! are known. So reading all of it finds any flipped bit, and says which part lost it. What else can be read still
//! is: a damaged section does not keep the others from being looked at, only a damaged page table the pages.

use super::directory::{HeadSection, read_pages, read_sources, streams_of};
use super::footer::{FOOTER_BYTES, Footer, MAGIC, SECTIONS};
use super::index::{Leaf, LeafTable};
use super::opened::{Opened, PAGES_AT, Ranges};
use super::page::checked;
use super::{BlockError, Part, VERSION};
use std::ops::Range;

/// Checks everything. `progress` is told how many bytes of how many were read. An error only where this is no
/// block, or can't be read at all.
pub fn damages<R: Ranges + ?Sized>(
    ranges: &R,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<BlockError>, BlockError> {
    let (suffix, length) = ranges.suffix(FOOTER_BYTES as u64)?;
    let mut found = Found::default();
    let footer = match Footer::read(&suffix, length) {
        Err(damage @ BlockError::Damaged { .. }) => return Ok(vec![damage]),
        footer => footer?,
    };
    if fetch(ranges, 0..8)? != [MAGIC.as_slice(), &[VERSION, 0, 0, 0]].concat() {
        found.damages.push(BlockError::Damaged { part: Part::Start, why: "not what a block begins with" });
    }
    let directory = fetch(ranges, footer.directory_at()..length)?;
    found.damages.extend(SECTIONS.iter().filter_map(|&part| footer.section(part, &directory).err()));
    match Opened::open(ranges) {
        Ok(opened) => opened.damages(ranges, &mut progress, &mut found)?,
        Err(damage @ BlockError::Damaged { .. }) => {
            found.note(Err(damage))?;
            bare_damages(ranges, &footer, &directory, &mut found)?;
        }
        Err(why) => return Err(why),
    }
    progress(length, length);
    Ok(found.damages)
}

#[derive(Default)]
struct Found {
    damages: Vec<BlockError>,
}

impl Found {
    /// Takes in what is damage, each once; gives back what is another error.
    fn note(&mut self, result: Result<(), BlockError>) -> Result<(), BlockError> {
        match result {
            Err(damage @ BlockError::Damaged { .. }) => {
                if !self.damages.contains(&damage) {
                    self.damages.push(damage);
                }
                Ok(())
            }
            other => other,
        }
    }
}

/// The checksums of pages and leaves, where the tables that name them can be read though the block can't be opened.
fn bare_damages<R: Ranges + ?Sized>(
    ranges: &R,
    footer: &Footer,
    directory: &[u8],
    found: &mut Found,
) -> Result<(), BlockError> {
    let table = |part| footer.section(part, directory).ok();
    let streams = table(Part::Head).zip(table(Part::Sources)).and_then(|(head, sources)| {
        let head = HeadSection::read(&head).ok()?;
        Some(streams_of(&read_sources(&sources, &head.head.environment).ok()?))
    });
    let pages = streams
        .zip(table(Part::Pages))
        .and_then(|(streams, pages)| read_pages(&pages, PAGES_AT, footer.leaves.start, &streams).ok());
    for (number, page) in (0..).zip(pages.unwrap_or_default()) {
        found.note(checked(&fetch(ranges, page.range())?, number).map(drop))?;
    }
    let region = footer.leaves.end - footer.leaves.start;
    let leaves = table(Part::LeafTable).and_then(|leaves| LeafTable::read(&leaves, region).ok()).unwrap_or_default();
    for (number, leaf) in leaves.leaves.iter().enumerate() {
        found.note(leaf.fetch(ranges, number, footer.leaves.start).map(drop))?;
    }
    Ok(())
}

fn fetch<R: Ranges + ?Sized>(ranges: &R, range: Range<u64>) -> Result<Vec<u8>, BlockError> {
    Ok(ranges.ranges(std::slice::from_ref(&range))?.pop().unwrap_or_default())
}

impl Opened {
    /// Takes in what is wrong with pages and leaves.
    fn damages<R: Ranges + ?Sized>(
        &self,
        ranges: &R,
        progress: &mut impl FnMut(u64, u64),
        found: &mut Found,
    ) -> Result<(), BlockError> {
        found.note(self.templates.as_ref().map(drop).map_err(Clone::clone))?;
        found.note(self.tallies.as_ref().map(drop).map_err(Clone::clone))?;
        for (number, page) in (0..).zip(&self.pages) {
            found.note(self.read_page(ranges, number).map(drop))?;
            progress(page.range().end, self.length);
        }
        for (number, leaf) in self.leaf_table.leaves.iter().enumerate() {
            found.note(leaf.fetch(ranges, number, self.footer.leaves.start).map(drop))?;
        }
        Ok(())
    }

    /// Reads every byte of the block and checks it; the first damage there is.
    pub fn verify<R: Ranges + ?Sized>(&self, ranges: &R) -> Result<(), BlockError> {
        damages(ranges, |_, _| ())?.into_iter().next().map_or(Ok(()), Err)
    }
}

impl Leaf {
    /// Its bytes, checked. `region` is where the first leaf begins.
    fn fetch<R: Ranges + ?Sized>(&self, ranges: &R, number: usize, region: u64) -> Result<Vec<u8>, BlockError> {
        let start = region.saturating_add(self.at);
        let bytes = fetch(ranges, start..start.saturating_add(u64::from(self.length)))?;
        let damage = BlockError::Damaged { part: Part::Leaf(number), why: "does not fit its checksum" };
        if crc32c::crc32c(&bytes) == self.crc { Ok(bytes) } else { Err(damage) }
    }
}
