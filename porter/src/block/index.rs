//! The gram index: for every gram of a block, the pages that hold it.
//!
//! Keys in order, in leaves of a few KiB that can be fetched and checked one by one; the leaf table stands with
//! the directory. A leaf:
//!
//! ```text
//! varint  keys
//! varint  key - the key before          for each key but the first, which the leaf table has
//! for each key:
//!   varint  page << 1                   it is on this page only
//!   varint  pages << 1 | 1, varint n    it is on so many pages, listed in n bytes
//! bytes   the lists, one after another, in the order of their keys (drawn in `postings`)
//! ```
//!
//! The leaf table:
//!
//! ```text
//! varint  leaves
//! for each: varint first key - the leaf's before, varint bytes, u32 crc32c of them
//! ```
//!
//! While a block is written, a page's grams are gathered in a bitmap over all keys, which also sorts them, and
//! kept as a list of deltas; all lists are turned into postings at the end. Both take a few bytes for each
//! (gram, page), never more.

use super::BlockError;
use super::bits::BitWriter;
use super::keys::{KeySet, Ranks};
use super::postings::{PageSet, put_list, take_list};
use proto::field::{BadField, Fields, put_count, put_u32, put_varint};
use proto::grams::{GRAM_KEYS, Gram, GramFilter, Roller};

/// After this a leaf is full. Small enough that the one gram someone wants costs one small fetch, large enough
/// that the table of leaves stays a hundredth of them.
const LEAF_BYTES: usize = 4 << 10;

/// The filter's size at most: at half a bit set it tells 250,000 grams apart, a block of 64 MiB's.
const FILTER_BYTES_MAX: usize = 64 << 10;

/// Leaves of one block; a block of the largest size has under 4,000.
const LEAVES_MAX: usize = 1 << 17;

/// Gathers the grams of a block, page after page.
#[derive(Default)]
pub struct IndexBuilder {
    page: KeySet,
    roller: Roller,
    /// Every gram of the block.
    all: KeySet,
    /// Each page's grams as deltas, and where each page's end.
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

    pub fn end_page(&mut self) {
        let (all, lists) = (&mut self.all, &mut self.lists);
        let mut before = 0;
        self.page.drain(|place, mut word| {
            all.add(place, word);
            while word != 0 {
                let key = place as u64 * 64 + u64::from(word.trailing_zeros());
                put_varint(lists, key - before);
                before = key;
                word &= word - 1;
            }
        });
        self.ends.push(lists.len());
    }

    #[must_use]
    pub fn finish(self) -> Index {
        let ranks = Ranks::of_set(&self.all);
        let filter = filter_of(&self.all, ranks.keys);
        let pages = u32::try_from(self.ends.len()).expect("pages are capped");
        let (starts, postings) = self.postings(&ranks);
        let (leaves, table) = write_leaves(&self.all, &starts, &postings, pages);
        Index { leaves, table, filter, keys: ranks.keys }
    }

    /// Every key's pages one after another, and where each key's begin.
    fn postings(&self, ranks: &Ranks<'_>) -> (Vec<u32>, Vec<u16>) {
        let mut starts = vec![0u32; ranks.keys + 1];
        self.each(|_, key| starts[ranks.of(key) + 1] += 1);
        for rank in 1..starts.len() {
            starts[rank] += starts[rank - 1];
        }
        let mut next = starts.clone();
        let mut postings = vec![0u16; starts[ranks.keys] as usize];
        self.each(|page, key| {
            let place = &mut next[ranks.of(key)];
            postings[*place as usize] = page;
            *place += 1;
        });
        (starts, postings)
    }

    /// Each page and key, pages in order.
    fn each(&self, mut visit: impl FnMut(u16, u64)) {
        let mut fields = Fields::new(&self.lists);
        for (page, &end) in self.ends.iter().enumerate() {
            let page = u16::try_from(page).expect("a block has fewer than 65,536 pages");
            let mut key = 0;
            while fields.at() < end {
                key += fields.varint().expect("written above");
                visit(page, key);
            }
        }
    }
}

fn filter_of(all: &KeySet, keys: usize) -> GramFilter {
    let mut filter = GramFilter::for_grams(keys, FILTER_BYTES_MAX);
    for key in all.keys() {
        filter.insert(Gram(key));
    }
    filter
}

fn write_leaves(all: &KeySet, starts: &[u32], postings: &[u16], pages: u32) -> (Vec<u8>, Vec<u8>) {
    let mut leaves = Leaves::default();
    let mut list = Vec::new();
    for (rank, key) in all.keys().enumerate() {
        list.clear();
        list.extend(postings[starts[rank] as usize..starts[rank + 1] as usize].iter().map(|&page| u32::from(page)));
        leaves.key(key, &list, pages);
    }
    leaves.end_leaf();
    let mut table = Vec::with_capacity(leaves.table.len() + 4);
    put_count(&mut table, leaves.count);
    table.extend_from_slice(&leaves.table);
    (leaves.bytes, table)
}

#[derive(Default)]
struct Leaves {
    bytes: Vec<u8>,
    table: Vec<u8>,
    count: usize,
    first_before: u32,
    /// Of the leaf being written.
    first: u32,
    last: u32,
    keys: usize,
    deltas: Vec<u8>,
    heads: Vec<u8>,
    lists: BitWriter,
}

impl Leaves {
    fn key(&mut self, key: u32, list: &[u32], pages: u32) {
        if self.keys == 0 {
            self.first = key;
        } else {
            put_varint(&mut self.deltas, u64::from(key - self.last));
        }
        self.last = key;
        self.keys += 1;
        match list {
            [page] => put_varint(&mut self.heads, u64::from(*page) << 1),
            list => {
                let before = self.lists.bytes_written();
                put_list(&mut self.lists, list, pages);
                self.lists.align();
                put_varint(&mut self.heads, (list.len() as u64) << 1 | 1);
                put_count(&mut self.heads, self.lists.bytes_written() - before);
            }
        }
        if self.deltas.len() + self.heads.len() + self.lists.bytes_written() >= LEAF_BYTES {
            self.end_leaf();
        }
    }

    fn end_leaf(&mut self) {
        if self.keys == 0 {
            return;
        }
        let start = self.bytes.len();
        put_count(&mut self.bytes, self.keys);
        self.bytes.append(&mut self.deltas);
        self.bytes.append(&mut self.heads);
        self.bytes.extend(std::mem::take(&mut self.lists).into_bytes());
        let leaf = &self.bytes[start..];
        put_varint(&mut self.table, u64::from(self.first - self.first_before));
        put_count(&mut self.table, leaf.len());
        put_u32(&mut self.table, crc32c::crc32c(leaf));
        self.first_before = self.first;
        self.keys = 0;
        self.count += 1;
    }
}

/// Where one leaf lies, from the first leaf's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub first: u32,
    pub at: u64,
    pub length: u32,
    pub crc: u32,
}

/// The table of leaves, opened.
#[derive(Clone, Debug, Default)]
pub struct LeafTable {
    pub leaves: Vec<Leaf>,
}

impl LeafTable {
    /// `region` is how many bytes all leaves have.
    pub fn read(bytes: &[u8], region: u64) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let count = fields.count(LEAVES_MAX)?;
        let mut leaves = Vec::with_capacity(count.min(bytes.len()));
        let (mut first, mut at) = (0u32, 0u64);
        for _ in 0..count {
            let delta = fields.varint_u32()?;
            first = first.checked_add(delta).filter(|&key| key < GRAM_KEYS).ok_or(fields.bad("a key too large"))?;
            let length = fields.varint_u32()?;
            leaves.push(Leaf { first, at, length, crc: fields.u32()? });
            at += u64::from(length);
        }
        fields.end()?;
        if at == region { Ok(Self { leaves }) } else { Err(fields.bad("leaves that don't fill their region")) }
    }

    /// The leaves that may have keys from `from` to `to`, by number.
    pub fn holding(&self, from: Gram, to: Gram) -> std::ops::Range<usize> {
        let first = self.leaves.partition_point(|leaf| leaf.first <= from.0).saturating_sub(1);
        let end = self.leaves.partition_point(|leaf| leaf.first <= to.0);
        first..end.max(first)
    }
}

/// Adds to `found` the pages of every key from `from` to `to` in a leaf whose bytes were checked.
pub fn find_in_leaf(
    leaf: &Leaf,
    number: usize,
    bytes: &[u8],
    from: Gram,
    to: Gram,
    pages: u32,
    found: &mut PageSet,
) -> Result<(), BlockError> {
    let bad = |why| BlockError::Damaged { part: super::Part::Leaf(number), why };
    let mut fields = Fields::new(bytes);
    let mut find = || -> Result<Option<()>, BadField> {
        let count = fields.count(bytes.len())?;
        let wanted = wanted_keys(&mut fields, leaf.first, count, from, to)?;
        let (mut lists_before, mut all, mut inside) = (0usize, 0usize, Vec::new());
        for rank in 0..count {
            let head = fields.varint_u32()?;
            let is_wanted = wanted.contains(&rank);
            if head & 1 == 0 {
                if is_wanted {
                    found.insert(head >> 1);
                }
                continue;
            }
            let length = fields.count(bytes.len())?;
            if is_wanted {
                inside.push((head >> 1, length));
            } else if inside.is_empty() {
                lists_before += length;
            }
            all += length;
        }
        let mut lists = Fields::new(fields.rest());
        if lists.rest().len() != all {
            return Err(fields.bad("lists that don't fill their leaf"));
        }
        lists.take(lists_before)?;
        Ok(inside.into_iter().try_for_each(|(count, length)| {
            take_list(lists.take(length).ok()?, count, pages, &mut |first, last| found.insert_run(first, last))
        }))
    };
    match find() {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err(bad("a list that is none")),
        Err(why) => Err(bad(why.why)),
    }
}

/// Names every key of a leaf, how many pages it is on and how many bytes it takes.
pub fn each_key(first: u32, bytes: &[u8], mut visit: impl FnMut(Gram, u32, usize)) -> Result<(), BadField> {
    let mut fields = Fields::new(bytes);
    let count = fields.count(bytes.len())?;
    let mut keys = vec![(first, 0)];
    for _ in 1..count {
        let before = fields.at();
        let key = keys.last().map_or(0, |(key, _)| *key).saturating_add(fields.varint_u32()?);
        keys.push((key, fields.at() - before));
    }
    for (key, cost) in keys.into_iter().take(count) {
        let before = fields.at();
        let head = fields.varint_u32()?;
        let (pages, length) = if head & 1 == 0 { (1, 0) } else { (head >> 1, fields.count(bytes.len())?) };
        visit(Gram(key), pages, cost + fields.at() - before + length);
    }
    Ok(())
}

/// Which of a leaf's keys, by their rank, are from `from` to `to`.
fn wanted_keys(
    fields: &mut Fields<'_>,
    first: u32,
    count: usize,
    from: Gram,
    to: Gram,
) -> Result<std::ops::Range<usize>, BadField> {
    let (mut key, mut start, mut end) = (u64::from(first), 0, 0);
    for rank in 0..count {
        if rank > 0 {
            key = key.saturating_add(fields.varint()?);
        }
        if key < u64::from(from.0) {
            start = rank + 1;
        }
        if key <= u64::from(to.0) {
            end = rank + 1;
        }
    }
    Ok(start..end.max(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::grams::{Needed, needed};
    use std::collections::{BTreeMap, BTreeSet};

    fn pages_of(index: &Index, table: &LeafTable, from: Gram, to: Gram, pages: u32) -> Vec<u32> {
        let mut found = PageSet::none(pages);
        for number in table.holding(from, to) {
            let leaf = &table.leaves[number];
            let bytes = &index.leaves[leaf.at as usize..][..leaf.length as usize];
            assert_eq!(crc32c::crc32c(bytes), leaf.crc);
            find_in_leaf(leaf, number, bytes, from, to, pages, &mut found).unwrap();
        }
        found.iter().collect()
    }

    fn build(pages: &[Vec<Vec<u8>>]) -> Index {
        let mut builder = IndexBuilder::default();
        for page in pages {
            for line in page {
                let (head, tail) = line.split_at(line.len() / 2);
                builder.piece(head);
                builder.piece(tail);
                builder.end_line();
            }
            builder.end_page();
        }
        builder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_gram_has_just_its_pages(
            pages in proptest::collection::vec(
                proptest::collection::vec("[a-e0-3 é]{0,40}".prop_map(String::into_bytes), 0..40), 0..12),
        ) {
            let index = build(&pages);
            let table = LeafTable::read(&index.table, index.leaves.len() as u64).unwrap();
            let mut truth: BTreeMap<Gram, BTreeSet<u32>> = BTreeMap::new();
            for (page, lines) in pages.iter().enumerate() {
                for line in lines {
                    proto::grams::grams_of(line, |gram| { truth.entry(gram).or_default().insert(page as u32); });
                }
            }
            prop_assert_eq!(index.keys, truth.len());
            let count = pages.len() as u32;
            for (&gram, pages) in truth.iter().step_by(7) {
                let found = pages_of(&index, &table, gram, gram, count);
                prop_assert_eq!(&found, &pages.iter().copied().collect::<Vec<_>>());
                prop_assert!(index.filter.may_hold(gram));
            }
            let Needed::OneFrom(from, to) = needed(b"a12") else { panic!() };
            let union: BTreeSet<u32> = truth.range(from..=to).flat_map(|(_, pages)| pages.iter().copied()).collect();
            prop_assert_eq!(pages_of(&index, &table, from, to, count), union.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_a_leaf_or_refused(bytes: Vec<u8>, from in 0u32..500, more in 0u32..500) {
            let leaf = Leaf { first: 3, at: 0, length: 0, crc: 0 };
            let mut found = PageSet::none(99);
            let _ = find_in_leaf(&leaf, 0, &bytes, Gram(from), Gram(from + more), 99, &mut found);
            let _ = LeafTable::read(&bytes, 7);
        }
    }
}
