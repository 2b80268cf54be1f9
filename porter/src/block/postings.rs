//! Postings: which pages hold a gram, and sets of pages.
//!
//! Pages lie stream after stream, so a gram's pages come in crowds. Binary interpolative coding fits that: the
//! middle page of a list is written first, in just the bits its possible places need, then each half within its
//! narrower bounds. A crowd without gaps costs nothing, a page alone costs the logarithm of their number, and a
//! gram that is everywhere but in one place costs as little as one that is in one place only; so no list needs
//! to be turned round or written as a bitmap.

use super::bits::{BitReader, BitWriter};

/// Writes ascending, different numbers below `bound`. How many there are is written elsewhere.
pub fn put_list(out: &mut BitWriter, list: &[u32], bound: u32) {
    if bound > 0 {
        put_between(out, list, 0, bound - 1);
    }
}

fn put_between(out: &mut BitWriter, list: &[u32], low: u32, high: u32) {
    let count = u32::try_from(list.len()).expect("pages are counted in 32 bits");
    if count == 0 || high - low + 1 == count {
        return;
    }
    let middle = list.len() / 2;
    let value = list[middle];
    let least = low + count / 2;
    put_below(out, value - least, high - low + 2 - count);
    if middle > 0 {
        put_between(out, &list[..middle], low, value - 1);
    }
    if middle + 1 < list.len() {
        put_between(out, &list[middle + 1..], value + 1, high);
    }
}

/// A number below `bound`, in the bits that takes; the lower ones in one bit less where they can.
fn put_below(out: &mut BitWriter, value: u32, bound: u32) {
    let (bits, short) = shape_of(bound);
    if value < short {
        out.put(value, bits - 1);
    } else {
        let long = value + short;
        out.put(long >> 1, bits - 1);
        out.put(long & 1, 1);
    }
}

fn take_below(bits: &mut BitReader<'_>, bound: u32) -> Option<u32> {
    let (width, short) = shape_of(bound);
    if width == 0 {
        return Some(0);
    }
    let head = bits.take(width - 1)?;
    if head < short {
        return Some(head);
    }
    let long = head << 1 | bits.take(1)?;
    Some(long - short)
}

/// Bits for numbers below `bound`, and how many of the lowest need one less.
fn shape_of(bound: u32) -> (u32, u32) {
    let bits = 32 - (bound.max(1) - 1).leading_zeros();
    if bits == 0 {
        return (1, 1);
    }
    (bits, u32::try_from((1u64 << bits) - u64::from(bound)).unwrap_or(0))
}

/// Reads `count` ascending numbers below `bound` and calls `visit` with runs `from..=to` of them, not in order.
/// `None` when the bytes are no such list.
pub fn take_list(bytes: &[u8], count: u32, bound: u32, visit: &mut impl FnMut(u32, u32)) -> Option<()> {
    if count > bound {
        return None;
    }
    if count == 0 {
        return Some(());
    }
    take_between(&mut BitReader::new(bytes), count, 0, bound - 1, visit)
}

fn take_between(
    bits: &mut BitReader<'_>,
    count: u32,
    low: u32,
    high: u32,
    visit: &mut impl FnMut(u32, u32),
) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    if high - low + 1 == count {
        visit(low, high);
        return Some(());
    }
    let middle = count / 2;
    let value = low + middle + take_below(bits, high - low + 2 - count)?;
    // `shape_of` lets no number reach its bound, so both halves have room; a check costs little.
    if value > high {
        return None;
    }
    if middle > 0 {
        take_between(bits, middle, low, value - 1, visit)?;
    }
    visit(value, value);
    if count - middle > 1 {
        take_between(bits, count - middle - 1, value + 1, high, visit)?;
    }
    Some(())
}

/// A set of a block's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSet {
    words: Vec<u64>,
    pages: u32,
}

impl PageSet {
    #[must_use]
    pub fn none(pages: u32) -> Self {
        Self { words: vec![0; (pages as usize).div_ceil(64)], pages }
    }

    #[must_use]
    pub fn all(pages: u32) -> Self {
        let mut set = Self::none(pages);
        if pages > 0 {
            set.insert_run(0, pages - 1);
        }
        set
    }

    /// Pages from `first` to `last`, both included; those that don't exist are left out.
    pub fn insert_run(&mut self, first: u32, last: u32) {
        for page in first..=last.min(self.pages.saturating_sub(1)) {
            if let Some(word) = self.words.get_mut((page / 64) as usize) {
                *word |= 1 << (page % 64);
            }
        }
    }

    pub fn insert(&mut self, page: u32) {
        self.insert_run(page, page);
    }

    #[must_use]
    pub fn contains(&self, page: u32) -> bool {
        self.words.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Keeps what is in both.
    pub fn keep(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Takes in what is in the other.
    pub fn join(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.pages).filter(|&page| self.contains(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn back(list: &[u32], bound: u32) -> (Vec<u32>, usize) {
        let mut out = BitWriter::default();
        put_list(&mut out, list, bound);
        let bytes = out.into_bytes();
        let mut set = PageSet::none(bound);
        let count = list.len() as u32;
        take_list(&bytes, count, bound, &mut |first, last| set.insert_run(first, last)).unwrap();
        (set.iter().collect(), bytes.len())
    }

    #[test]
    fn crowds_cost_little() {
        let check = |list: Vec<u32>, bound: u32, most: usize| {
            let (read, bytes) = back(&list, bound);
            assert_eq!(read, list);
            assert!(bytes <= most, "{bytes} bytes");
        };
        check(vec![], 0, 0);
        check((0..1000).collect(), 1000, 0);
        check(vec![7], 2048, 2);
        check((0..1000).filter(|&page| page != 500).collect(), 1000, 2);
        check((300..400).collect(), 1000, 16);
    }

    proptest! {
        #[test]
        fn lists_go_there_and_back(list in proptest::collection::btree_set(0u32..700, 0..300), more in 1u32..99) {
            let bound = list.last().map_or(0, |last| last + more);
            let list: Vec<u32> = list.into_iter().collect();
            prop_assert_eq!(back(&list, bound).0, list);
        }

        #[test]
        fn any_bytes_are_a_list_within_its_bound_or_refused(bytes: Vec<u8>, count in 0u32..99, bound in 0u32..200) {
            let mut seen = BTreeSet::new();
            let read = take_list(&bytes, count, bound, &mut |first, last| seen.extend(first..=last));
            prop_assert!(seen.iter().all(|&page| page < bound));
            prop_assert!(read.is_none() || seen.len() as u32 == count);
        }
    }
}
