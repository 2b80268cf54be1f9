//! Builds the index while a block is written.
//!
//! A page's grams are gathered in a bitmap over all keys, which also sorts them, and kept as a list of deltas; all
//! lists are turned into postings at the end. Both take a few bytes for each (gram, page), never more.

use super::DIGIT_KEYS;
use super::leaf::LeafWriter;
use crate::block::keys::{KeySet, Ranks};
use proto::field::{Fields, put_varint};
use proto::grams::{Gram, GramFilter, Roller};

/// The filter's size at most: at half a bit set it tells 250,000 grams apart, a block of 64 MiB's.
const FILTER_BYTES_MAX: usize = 64 << 10;

/// Gathers the grams of a block, page after page.
#[derive(Default)]
pub struct IndexBuilder {
    page: KeySet,
    /// Those of the page's windows without a digit that are in a cell.
    in_cells: KeySet,
    /// Without templates all that a page holds counts as if it were in a cell.
    has_templates: bool,
    roller: Roller,
    /// Every gram of the block.
    all: KeySet,
    /// Each page's grams as deltas, those without a digit with a bit for being in a cell, and where each page's end.
    lists: Vec<u8>,
    ends: Vec<usize>,
}

impl std::fmt::Debug for IndexBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IndexBuilder({} pages)", self.ends.len())
    }
}

/// A finished index, as it is written.
#[derive(Debug)]
pub struct Index {
    pub leaves: Vec<u8>,
    pub table: Vec<u8>,
    pub filter: GramFilter,
    pub keys: usize,
}

impl IndexBuilder {
    /// A piece of a line; the line's other pieces follow.
    pub fn piece(&mut self, bytes: &[u8]) {
        let page = &mut self.page;
        self.roller.push(bytes, |gram| page.insert(gram));
    }

    pub fn end_line(&mut self) {
        let page = &mut self.page;
        self.roller.end_line(|gram| page.insert(gram));
    }

    /// Part of a line that no piece of was given; with its newline when `ends` is set.
    pub fn stretch(&mut self, bytes: &[u8], ends: bool) {
        let page = &mut self.page;
        let mut roller = Roller::default();
        roller.push(bytes, |gram| page.insert(gram));
        if ends {
            roller.end_line(|gram| page.insert(gram));
        }
    }

    /// A cell of a line of which all was given, and two bytes on either side of it where there are as many.
    pub fn cell(&mut self, bytes: &[u8]) {
        let in_cells = &mut self.in_cells;
        Roller::default().push(bytes, |gram| {
            if !gram.has_digit() {
                in_cells.insert(gram);
            }
        });
    }

    /// The page's lines are told by templates; what is in a cell was given to [`Self::cell`].
    pub fn has_templates(&mut self) {
        self.has_templates = true;
    }

    pub fn end_page(&mut self) {
        let has_templates = std::mem::take(&mut self.has_templates);
        let (all, lists, in_cells) = (&mut self.all, &mut self.lists, &mut self.in_cells);
        let mut before = 0;
        self.page.drain(|place, mut word| {
            all.add(place, word);
            let inside = if has_templates { in_cells.word(place) } else { word };
            while word != 0 {
                let bit = word.trailing_zeros();
                let key = place as u64 * 64 + u64::from(bit);
                put_varint(lists, step_of(before, key - before, inside >> bit & 1));
                before = key;
                word &= word - 1;
            }
        });
        in_cells.drain(|_, _| {});
        self.ends.push(lists.len());
    }

    #[must_use]
    pub fn finish(self) -> Index {
        let ranks = Ranks::of_set(&self.all);
        let filter = filter_of(&self.all, ranks.keys);
        let pages = u32::try_from(self.ends.len()).expect("pages are capped");
        let postings = self.postings(&ranks);
        let (leaves, table) = write_leaves(&self.all, &postings, pages);
        Index { leaves, table, filter, keys: ranks.keys }
    }

    fn postings(&self, ranks: &Ranks<'_>) -> Postings {
        let mut starts = vec![0u32; ranks.keys + 1];
        self.each(|_, key, _| starts[ranks.of(key) + 1] += 1);
        for rank in 1..starts.len() {
            starts[rank] += starts[rank - 1];
        }
        let mut next = starts.clone();
        let mut pages = vec![0u16; starts[ranks.keys] as usize];
        let mut in_cells = vec![0u64; pages.len() / 64 + 1];
        self.each(|page, key, is_inside| {
            let place = &mut next[ranks.of(key)];
            pages[*place as usize] = page;
            in_cells[*place as usize / 64] |= u64::from(is_inside) << (*place % 64);
            *place += 1;
        });
        Postings { starts, pages, in_cells }
    }

    /// Each page and key, pages in order, and whether it is in a cell there.
    fn each(&self, mut visit: impl FnMut(u16, u64, bool)) {
        let mut fields = Fields::new(&self.lists);
        for (page, &end) in self.ends.iter().enumerate() {
            let page = u16::try_from(page).expect("a block has fewer than 65,536 pages");
            let mut key = 0;
            while fields.at() < end {
                let step = fields.varint().expect("written above");
                let (delta, is_inside) =
                    if key < u64::from(DIGIT_KEYS) { (step >> 1, step & 1 == 1) } else { (step, false) };
                key += delta;
                visit(page, key, is_inside);
            }
        }
    }
}

/// How the way from a key to the next is written: with a bit more while they are without a digit.
fn step_of(before: u64, delta: u64, is_inside: u64) -> u64 {
    if before < u64::from(DIGIT_KEYS) { delta << 1 | is_inside } else { delta }
}

/// Every key's pages one after another, where each key's begin, and for each whether it is in a cell.
struct Postings {
    starts: Vec<u32>,
    pages: Vec<u16>,
    in_cells: Vec<u64>,
}

fn filter_of(all: &KeySet, keys: usize) -> GramFilter {
    let mut filter = GramFilter::for_grams(keys, FILTER_BYTES_MAX);
    for key in all.keys() {
        filter.insert(Gram(key));
    }
    filter
}

fn write_leaves(all: &KeySet, postings: &Postings, pages: u32) -> (Vec<u8>, Vec<u8>) {
    let mut leaves = LeafWriter::default();
    let (mut list, mut inside) = (Vec::new(), Vec::new());
    for (rank, key) in all.keys().enumerate() {
        let places = postings.starts[rank] as usize..postings.starts[rank + 1] as usize;
        list.clear();
        list.extend(postings.pages[places.clone()].iter().map(|&page| u32::from(page)));
        inside.clear();
        let is_inside = |&(_, place): &(u32, usize)| postings.in_cells[place / 64] >> (place % 64) & 1 == 1;
        inside.extend((0..).zip(places).filter(is_inside).map(|(rank, _)| rank));
        leaves.key(key, &list, &inside, pages);
    }
    leaves.finish()
}
