//! A set of whole numbers, kept as ranges: which packets of a run arrived, which bytes of a stream are known.

use std::collections::BTreeMap;

/// Half-open ranges, apart from each other and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds everything from `from` up to but not including `to`.
    pub fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        while let Some((low, high)) = self.0.range(..=to).next_back().map(|(low, high)| (*low, *high)) {
            if high < from {
                break;
            }
            self.0.remove(&low);
            (from, to) = (from.min(low), to.max(high));
        }
        self.0.insert(from, to);
    }

    #[must_use]
    pub fn holds(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, to)| *to > number)
    }

    /// Whether all of 0 up to `end` is in it.
    #[must_use]
    pub fn holds_all_below(&self, end: u64) -> bool {
        end == 0 || self.0.first_key_value().is_some_and(|(from, to)| *from == 0 && *to >= end)
    }

    /// The first number at or after `from` that is not in it.
    #[must_use]
    pub fn first_gap(&self, from: u64) -> u64 {
        self.0.range(..=from).next_back().map_or(from, |(_, to)| from.max(*to))
    }

    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(from, _)| *from)
    }

    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, to)| *to)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(from, to)| (*from, *to))
    }
}

impl FromIterator<(u64, u64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|(from, to)| set.add(from, to));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_it_says(ranges in prop::collection::vec((0u64..60, 0u64..60), 0..20)) {
            let set: Ranges = ranges.iter().copied().collect();
            let plain: BTreeSet<u64> = ranges.iter().flat_map(|(from, to)| *from..*to).collect();
            for number in 0..61 {
                prop_assert_eq!(set.holds(number), plain.contains(&number));
                prop_assert_eq!(set.holds_all_below(number), (0..number).all(|n| plain.contains(&n)));
                prop_assert_eq!(set.first_gap(number), (number..).find(|n| !plain.contains(n)).expect("endless"));
            }
            prop_assert_eq!(set.first(), plain.first().copied());
            prop_assert_eq!(set.end(), plain.last().map_or(0, |last| last + 1));
            let ends: Vec<_> = set.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
