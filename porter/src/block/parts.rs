//! Where a block's bytes went: pages by codec and frame, the index by what its keys are, each section.
//!
//! Reads everything there is but unpacks no page. For tables that people read; nothing is decided by it.

use super::footer::{FOOTER_BYTES, SECTIONS};
use super::index::each_key;
use super::opened::{Opened, Ranges};
use super::page::frames_in;
use super::{BlockError, Part};
use proto::grams::Gram;
use std::collections::BTreeMap;

/// One kind of bytes: how many things of it, and how long they are together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub name: String,
    pub count: u64,
    pub bytes: u64,
}

/// Every byte of the block is in one of these.
pub fn shares<R: Ranges + ?Sized>(opened: &Opened, ranges: &R) -> Result<Vec<Share>, BlockError> {
    let mut gathered = Gathered::default();
    gathered.add("first bytes", 8);
    for number in 0..opened.page_count() {
        let bytes = opened.fetch_pages(ranges, &[number])?.pop().unwrap_or_default();
        gathered.page(number, &bytes)?;
    }
    for (number, leaf) in opened.leaf_table.leaves.iter().enumerate() {
        let start = opened.footer.leaves.start + leaf.at;
        let range = start..start + u64::from(leaf.length);
        let bytes = ranges.ranges(&[range])?.pop().unwrap_or_default();
        gathered.leaf(number, leaf.first, &bytes)?;
    }
    for (part, section) in SECTIONS.iter().zip(&opened.footer.sections) {
        gathered.add(&format!("directory, {part}"), u64::from(section.packed));
    }
    gathered.add("footer", FOOTER_BYTES as u64);
    Ok(gathered.shares.into_iter().map(|(name, (count, bytes))| Share { name, count, bytes }).collect())
}

#[derive(Default)]
struct Gathered {
    shares: BTreeMap<String, (u64, u64)>,
}

impl Gathered {
    fn add(&mut self, name: &str, bytes: u64) {
        let share = self.shares.entry(name.to_owned()).or_default();
        share.0 += 1;
        share.1 += bytes;
    }

    fn page(&mut self, number: u32, bytes: &[u8]) -> Result<(), BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Page(number), why };
        let (codec, frames) = frames_in(bytes).map_err(|bad| damaged(bad.why))?;
        let mut rest = bytes.len() as u64;
        for (frame, packed) in frames {
            self.add(&format!("pages {codec}, {frame}"), packed as u64);
            rest = rest.saturating_sub(packed as u64);
        }
        self.add(&format!("pages {codec}, head and checksum"), rest);
        Ok(())
    }

    fn leaf(&mut self, number: usize, first: u32, bytes: &[u8]) -> Result<(), BlockError> {
        let damaged = |why| BlockError::Damaged { part: Part::Leaf(number), why };
        let mut rest = bytes.len() as u64;
        each_key(first, bytes, |key, pages, cost| {
            rest = rest.saturating_sub(cost as u64);
            self.add(&format!("index, {}, {}", kind_of(key), class_of(pages)), cost as u64);
        })
        .map_err(|bad| damaged(bad.why))?;
        self.add("index, heads of leaves", rest);
        Ok(())
    }
}

fn kind_of(key: Gram) -> &'static str {
    if key.has_digit() { "windows with a digit" } else { "windows without" }
}

fn class_of(pages: u32) -> &'static str {
    match pages {
        0..2 => "on 1 page",
        2..4 => "on 2 to 3",
        4..16 => "on 4 to 15",
        16..64 => "on 16 to 63",
        64..256 => "on 64 to 255",
        _ => "on 256 and more",
    }
}
