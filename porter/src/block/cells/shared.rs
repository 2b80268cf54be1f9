//! Words that columns share: the same identity in many templates is written once for a page.

use super::super::numbers::shape_of;
use super::GROUPS_MAX;
use super::writer::{Hex, Kind};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Columns whose cells are as short as this on average have nothing to share.
const CELL_BYTES_MIN: usize = 6;

/// What a column costs besides its cells, in bits.
const COLUMN_BITS: u64 = 48;

/// What words are alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Hex(Hex),
    /// The text around their digits.
    Pattern(Vec<u8>),
}

/// A column with its lines' numbers, how it would be written alone, and its cells.
pub type OwnColumn<'a, 'b> = (&'b [u32], Kind<'a>, &'b [&'a [u8]]);

/// Which columns share words, and the words.
#[derive(Debug, Default)]
pub struct Shared<'a> {
    pub groups: Vec<Vec<&'a [u8]>>,
    /// For each column its group and which word each of its cells is, or nothing when it shares none.
    pub of_column: Vec<Option<(usize, Vec<u64>)>>,
}

impl<'a> Shared<'a> {
    pub fn of(columns: &[OwnColumn<'a, '_>]) -> Self {
        let mut classes: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
        for (at, (_, kind, cells)) in columns.iter().enumerate() {
            if is_long(cells)
                && let Some(class) = kind.class()
            {
                classes.entry(class).or_default().push(at);
            }
        }
        let mut shared = Self { groups: Vec::new(), of_column: columns.iter().map(|_| None).collect() };
        for members in classes.into_values() {
            if members.len() > 1 && shared.groups.len() < GROUPS_MAX {
                shared.try_group(columns, members);
            }
        }
        shared
    }

    /// Makes a group of those columns that are better off in it.
    fn try_group(&mut self, columns: &[OwnColumn<'a, '_>], mut members: Vec<usize>) {
        let own = |at: usize| columns[at].1.bits(columns[at].2);
        let group = Group::of(columns, &members);
        let word_bits = group.words_bits() / group.words.len().max(1) as u64;
        let mut which = group.which.iter().zip(&group.own_words);
        members.retain(|&at| {
            let (which, own_words) = which.next().expect("one for each member");
            shape_of(which).bits + COLUMN_BITS + own_words * word_bits < own(at)
        });
        if members.len() < 2 {
            return;
        }
        let group = Group::of(columns, &members);
        let together =
            group.words_bits() + group.which.iter().map(|which| shape_of(which).bits + COLUMN_BITS).sum::<u64>();
        if together >= members.iter().map(|&at| own(at)).sum() {
            return;
        }
        for (&at, which) in members.iter().zip(group.which) {
            self.of_column[at] = Some((self.groups.len(), which));
        }
        self.groups.push(group.words);
    }
}

fn is_long(cells: &[&[u8]]) -> bool {
    cells.iter().map(|cell| cell.len()).sum::<usize>() >= cells.len() * CELL_BYTES_MIN
}

struct Group<'a> {
    /// In the order of the first line that has each.
    words: Vec<&'a [u8]>,
    /// For each member.
    which: Vec<Vec<u64>>,
    /// How many words only this member has.
    own_words: Vec<u64>,
}

/// A word as it is met.
struct Met<'a> {
    word: &'a [u8],
    first_line: u32,
    /// The one member that has it, if no other does.
    only: Option<usize>,
}

impl<'a> Group<'a> {
    fn of(columns: &[OwnColumn<'a, '_>], members: &[usize]) -> Self {
        let mut known: FxHashMap<&[u8], u32> = FxHashMap::default();
        let mut met: Vec<Met<'a>> = Vec::new();
        let mut which: Vec<Vec<u64>> = Vec::with_capacity(members.len());
        for (member, &at) in members.iter().enumerate() {
            let (lines, _, cells) = &columns[at];
            let meet = |(&line, &word): (&u32, &&'a [u8])| {
                let next = u32::try_from(met.len()).expect("words of a page are capped");
                let number = *known.entry(word).or_insert(next);
                if number == next {
                    met.push(Met { word, first_line: line, only: Some(member) });
                }
                let known = &mut met[number as usize];
                known.first_line = known.first_line.min(line);
                known.only = known.only.filter(|&only| only == member);
                u64::from(number)
            };
            which.push(lines.iter().zip(*cells).map(meet).collect());
        }
        let mut order: Vec<usize> = (0..met.len()).collect();
        order.sort_by_key(|&number| (met[number].first_line, number));
        let mut place = vec![0; met.len()];
        for (to, &number) in order.iter().enumerate() {
            place[number] = to as u64;
        }
        which.iter_mut().flatten().for_each(|number| *number = place[usize::try_from(*number).unwrap_or(0)]);
        let mut own_words = vec![0; members.len()];
        met.iter().filter_map(|met| met.only).for_each(|member| own_words[member] += 1);
        Self { words: order.into_iter().map(|number| met[number].word).collect(), which, own_words }
    }

    fn words_bits(&self) -> u64 {
        Kind::of_words(&self.words).bits(&self.words)
    }
}
