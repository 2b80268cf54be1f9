//! Leaves of the index: written, and read again.

use super::{DIGIT_KEYS, IN_ALL, IN_NONE, IN_SOME};
use crate::block::bits::BitWriter;
use crate::block::postings::{PageSet, put_list, take_list};
use crate::block::{BlockError, Part};
use proto::field::{BadField, Fields, put_count, put_u32, put_varint};
use proto::grams::{GRAM_KEYS, Gram};
use std::ops::Range;

/// After this a leaf is full. Small enough that the one gram someone wants costs one small fetch, large enough
/// that the table of leaves stays a hundredth of them.
const LEAF_BYTES: usize = 4 << 10;

/// Leaves of one block; a block of the largest size has under 4,000.
const LEAVES_MAX: usize = 1 << 17;

/// Writes leaves, key after key.
#[derive(Default)]
pub(super) struct LeafWriter {
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

impl LeafWriter {
    /// A key, its pages, and the ranks of those on which it is in a cell.
    pub(super) fn key(&mut self, key: u32, list: &[u32], inside: &[u32], pages: u32) {
        if self.keys == 0 {
            self.first = key;
        } else {
            put_varint(&mut self.deltas, u64::from(key - self.last));
        }
        self.last = key;
        self.keys += 1;
        let has_digit = key >= DIGIT_KEYS;
        match list {
            [page] if has_digit => put_varint(&mut self.heads, u64::from(*page) << 1),
            [page] => put_varint(&mut self.heads, u64::from(*page) << 2 | (inside.len() as u64) << 1),
            list if has_digit => {
                put_varint(&mut self.heads, (list.len() as u64) << 1 | 1);
                self.list(list, pages);
            }
            list => self.list_with_cells(list, inside, pages),
        }
        if self.deltas.len() + self.heads.len() + self.lists.bytes_written() >= LEAF_BYTES {
            self.end_leaf();
        }
    }

    fn list_with_cells(&mut self, list: &[u32], inside: &[u32], pages: u32) {
        let how = match inside.len() {
            0 => IN_NONE,
            count if count == list.len() => IN_ALL,
            _ => IN_SOME,
        };
        put_varint(&mut self.heads, (list.len() as u64) << 3 | u64::from(how) << 1 | 1);
        self.list(list, pages);
        if how == IN_SOME {
            put_count(&mut self.heads, inside.len());
            self.list(inside, u32::try_from(list.len()).expect("pages are counted in 32 bits"));
        }
    }

    /// Its length among the heads, the list itself behind those before it.
    fn list(&mut self, list: &[u32], bound: u32) {
        let before = self.lists.bytes_written();
        put_list(&mut self.lists, list, bound);
        self.lists.align();
        put_count(&mut self.heads, self.lists.bytes_written() - before);
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

    /// The leaves, and their table.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.end_leaf();
        let mut table = Vec::with_capacity(self.table.len() + 4);
        put_count(&mut table, self.count);
        table.extend_from_slice(&self.table);
        (self.bytes, table)
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
    pub fn holding(&self, from: Gram, to: Gram) -> Range<usize> {
        let first = self.leaves.partition_point(|leaf| leaf.first <= from.0).saturating_sub(1);
        let end = self.leaves.partition_point(|leaf| leaf.first <= to.0);
        first..end.max(first)
    }
}

/// Pages that hold a gram, and those of them on which it is, or may be, in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub pages: PageSet,
    pub in_cells: PageSet,
}

impl Found {
    #[must_use]
    pub fn none(pages: u32) -> Self {
        Self { pages: PageSet::none(pages), in_cells: PageSet::none(pages) }
    }

    fn page(&mut self, page: u32, is_in_cell: bool) {
        self.pages.insert(page);
        if is_in_cell {
            self.in_cells.insert(page);
        }
    }
}

/// What stands of one key among the heads of a leaf.
enum Head {
    Page(u32, bool),
    Pages { count: u32, length: usize, how: u32, inside: u32, inside_length: usize },
}

impl Head {
    fn take(fields: &mut Fields<'_>, has_digit: bool, bytes_max: usize) -> Result<Self, BadField> {
        let head = fields.varint_u32()?;
        match (head & 1, has_digit) {
            (0, true) => return Ok(Self::Page(head >> 1, true)),
            (0, false) => return Ok(Self::Page(head >> 2, head & 2 == 2)),
            _ => {}
        }
        let length = fields.count(bytes_max)?;
        if has_digit {
            return Ok(Self::Pages { count: head >> 1, length, how: IN_ALL, inside: 0, inside_length: 0 });
        }
        let (count, how) = (head >> 3, head >> 1 & 3);
        let (inside, inside_length) =
            if how == IN_SOME { (fields.varint_u32()?, fields.count(bytes_max)?) } else { (0, 0) };
        Ok(Self::Pages { count, length, how, inside, inside_length })
    }

    /// How many bytes of lists are the key's.
    fn lists(&self) -> usize {
        match self {
            Self::Page(..) => 0,
            Self::Pages { length, inside_length, .. } => length.saturating_add(*inside_length),
        }
    }

    fn pages(&self) -> u32 {
        match self {
            Self::Page(..) => 1,
            Self::Pages { count, .. } => *count,
        }
    }

    /// Adds the key's pages; `None` when its lists are none.
    fn find(&self, lists: &mut Fields<'_>, pages: u32, found: &mut Found) -> Option<()> {
        let (count, length, how, inside, inside_length) = match *self {
            Self::Page(page, is_in_cell) => {
                found.page(page, is_in_cell);
                return Some(());
            }
            Self::Pages { count, length, how, inside, inside_length } => (count, length, how, inside, inside_length),
        };
        let (list, ranks) = (lists.take(length).ok()?, lists.take(inside_length).ok()?);
        if how != IN_SOME {
            return take_list(list, count, pages, &mut |first, last| {
                found.pages.insert_run(first, last);
                if how == IN_ALL {
                    found.in_cells.insert_run(first, last);
                }
            });
        }
        let (mut own, mut own_ranks) = (PageSet::none(pages), PageSet::none(count.min(pages)));
        take_list(list, count, pages, &mut |first, last| own.insert_run(first, last))?;
        take_list(ranks, inside, count, &mut |first, last| own_ranks.insert_run(first, last))?;
        for (rank, page) in (0..).zip(own.iter()) {
            found.page(page, own_ranks.contains(rank));
        }
        Some(())
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
    found: &mut Found,
) -> Result<(), BlockError> {
    let bad = |why| BlockError::Damaged { part: Part::Leaf(number), why };
    let mut fields = Fields::new(bytes);
    let mut find = || -> Result<Option<()>, BadField> {
        let count = fields.count(bytes.len())?;
        let Wanted { keys, without_digit } = wanted_keys(&mut fields, leaf.first, count, from, to)?;
        let (mut lists_before, mut all, mut wanted) = (0usize, 0usize, Vec::new());
        for rank in 0..count {
            let head = Head::take(&mut fields, rank >= without_digit, bytes.len())?;
            let length = head.lists();
            if keys.contains(&rank) {
                wanted.push(head);
            } else if wanted.is_empty() {
                lists_before = lists_before.saturating_add(length);
            }
            all = all.saturating_add(length);
        }
        let mut lists = Fields::new(fields.rest());
        if lists.rest().len() != all {
            return Err(fields.bad("lists that don't fill their leaf"));
        }
        lists.take(lists_before)?;
        Ok(wanted.into_iter().try_for_each(|head| head.find(&mut lists, pages, found)))
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
        let head = Head::take(&mut fields, key >= DIGIT_KEYS, bytes.len())?;
        visit(Gram(key), head.pages(), (cost + fields.at() - before).saturating_add(head.lists()));
    }
    Ok(())
}

/// Which of a leaf's keys are asked for, by their rank, and how many are of windows without a digit.
struct Wanted {
    keys: Range<usize>,
    without_digit: usize,
}

fn wanted_keys(fields: &mut Fields<'_>, first: u32, count: usize, from: Gram, to: Gram) -> Result<Wanted, BadField> {
    let (mut key, mut start, mut end, mut without_digit) = (u64::from(first), 0, 0, 0);
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
        without_digit += usize::from(key < u64::from(DIGIT_KEYS));
    }
    Ok(Wanted { keys: start..end.max(start), without_digit })
}
