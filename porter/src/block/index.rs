//! The gram index: for every gram of a block, the pages that hold it, and on which of them it stands in a cell.
//!
//! Keys in order, in leaves of a few KiB that can be fetched and checked one by one; the leaf table stands with
//! the directory. A leaf:
//!
//! ```text
//! varint  keys
//! varint  key - the key before          for each key but the first, which the leaf table has
//! for each key of a window with a digit:
//!   varint  page << 1                   it is on this page only
//!   varint  pages << 1 | 1, varint n    it is on so many pages, listed in n bytes
//! for each key of a window without:
//!   varint  page << 2 | in << 1         on this page only; in: 1 in a cell, 0 nowhere but in what templates say
//!   varint  pages << 3 | in << 1 | 1, varint n
//!                                       in: 0 in a cell on none of them, 1 on all, 2 on some; then
//!                                       varint m, varint k: on m of them, listed by rank in k bytes behind the n
//! bytes   the lists, one after another, in the order of their keys (drawn in `postings`)
//! ```
//!
//! A window is in a cell when one of its bytes is, or when a cell without any bytes is between two of them; on a
//! page of plain lines every window is. Of windows with a digit it is not written: nearly all of them are.
//!
//! The leaf table:
//!
//! ```text
//! varint  leaves
//! for each: varint first key - the leaf's before, varint bytes, u32 crc32c of them
//! ```

mod builder;
mod leaf;

pub use builder::{Index, IndexBuilder};
pub use leaf::{Found, Leaf, LeafTable, each_key, find_in_leaf};

/// Keys from here on are of windows with a digit.
const DIGIT_KEYS: u32 = proto::grams::GRAM_KEYS / 2;

/// In a cell on none of the pages, on all, on some.
const IN_NONE: u32 = 0;
const IN_ALL: u32 = 1;
const IN_SOME: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::grams::{Gram, Needed, grams_of, needed};
    use std::collections::{BTreeMap, BTreeSet};

    /// A line, and where it has a cell: from, and how long.
    type Line = (Vec<u8>, usize, usize);

    fn found(index: &Index, table: &LeafTable, from: Gram, to: Gram, pages: u32) -> [Vec<u32>; 2] {
        let mut found = Found::none(pages);
        for number in table.holding(from, to) {
            let leaf = &table.leaves[number];
            let bytes = &index.leaves[leaf.at as usize..][..leaf.length as usize];
            assert_eq!(crc32c::crc32c(bytes), leaf.crc);
            find_in_leaf(leaf, number, bytes, from, to, pages, &mut found).unwrap();
        }
        [found.pages.iter().collect(), found.in_cells.iter().collect()]
    }

    fn build(pages: &[(bool, Vec<Line>)]) -> Index {
        let mut builder = IndexBuilder::default();
        for (is_plain, lines) in pages {
            for (line, from, length) in lines {
                let (head, tail) = line.split_at(line.len() / 2);
                builder.piece(head);
                builder.piece(tail);
                builder.end_line();
                if !is_plain {
                    builder.has_templates();
                    builder.cell(&line[from.saturating_sub(2)..line.len().min(from + length + 2)]);
                }
            }
            builder.end_page();
        }
        builder.finish()
    }

    /// Where each gram is, and where in a cell, looked for window by window.
    fn truth(pages: &[(bool, Vec<Line>)]) -> BTreeMap<Gram, [BTreeSet<u32>; 2]> {
        let mut truth: BTreeMap<Gram, [BTreeSet<u32>; 2]> = BTreeMap::new();
        for (page, (is_plain, lines)) in (0..).zip(pages) {
            for (line, from, length) in lines {
                grams_of(line, |gram| {
                    let [all, inside] = truth.entry(gram).or_default();
                    all.insert(page);
                    if *is_plain || gram.has_digit() {
                        inside.insert(page);
                    }
                });
                for (at, window) in line.windows(3).enumerate() {
                    let is_inside = at < from + length && at + 3 > *from;
                    if let Needed::All(grams) = needed(window)
                        && is_inside
                    {
                        truth.entry(grams[0]).or_default()[1].insert(page);
                    }
                }
            }
        }
        truth
    }

    fn any_line() -> impl Strategy<Value = Line> {
        ("[a-e0-3 é]{0,40}", 0usize..40, 0usize..9).prop_map(|(line, from, length)| {
            let line = line.into_bytes();
            let from = from.min(line.len());
            (line.clone(), from, length.min(line.len() - from))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_gram_has_just_its_pages(
            pages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any_line(), 0..40)), 0..12),
        ) {
            let index = build(&pages);
            let table = LeafTable::read(&index.table, index.leaves.len() as u64).unwrap();
            let truth = truth(&pages);
            prop_assert_eq!(index.keys, truth.len());
            let count = pages.len() as u32;
            for (&gram, pages) in truth.iter().step_by(3) {
                let found = found(&index, &table, gram, gram, count);
                prop_assert_eq!(&found, &pages.clone().map(|pages| pages.into_iter().collect::<Vec<_>>()));
                prop_assert!(index.filter.may_hold(gram));
            }
            let Needed::OneFrom(from, to) = needed(b"a12") else { panic!() };
            let union: BTreeSet<u32> = truth.range(from..=to).flat_map(|(_, [pages, _])| pages.iter().copied()).collect();
            prop_assert_eq!(&found(&index, &table, from, to, count)[0], &union.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_a_leaf_or_refused(bytes: Vec<u8>, from in 0u32..500, more in 0u32..500) {
            let leaf = Leaf { first: 3, at: 0, length: 0, crc: 0 };
            let mut found = Found::none(99);
            let _ = find_in_leaf(&leaf, 0, &bytes, Gram(from), Gram(from + more), 99, &mut found);
            let _ = LeafTable::read(&bytes, 7);
        }
    }
}
