//! Sets of grams, in memory as large as what is in them.
//!
//! There are 2^25 grams, and a small block holds a few thousand: a bitmap over all of them would cost more to clear
//! and to read than the block to write. So the bitmap is cut into groups of 4,096 grams that are made when the first
//! of them comes, and a table says where each group stands.

use proto::grams::{GRAM_KEYS, Gram};

/// Words of a group: as many as a word has bits, so that one word tells which of them are used.
const GROUP: usize = 64;

const GROUPS: usize = GRAM_KEYS as usize / 64 / GROUP;

/// A set of grams, read in order.
pub(super) struct KeySet {
    /// For each group: 0 when it was not made, else its place in `used` and one more.
    groups: Vec<u16>,
    /// For each group that was made: which of its words are not 0.
    used: Vec<u64>,
    /// The words of groups that were made.
    words: Vec<u64>,
}

impl Default for KeySet {
    fn default() -> Self {
        Self { groups: vec![0; GROUPS], used: Vec::new(), words: Vec::new() }
    }
}

impl KeySet {
    #[inline]
    pub fn insert(&mut self, gram: Gram) {
        self.add((gram.0 >> 6) as usize, 1 << (gram.0 & 63));
    }

    /// Adds the grams of one word of the bitmap.
    #[inline]
    pub fn add(&mut self, place: usize, word: u64) {
        let made = match self.groups[place / GROUP] {
            0 => self.make(place / GROUP),
            number => usize::from(number) - 1,
        };
        let held = &mut self.words[made * GROUP + place % GROUP];
        if *held & word != word {
            *held |= word;
            self.used[made] |= 1 << (place % GROUP);
        }
    }

    /// One word of the bitmap.
    #[must_use]
    pub fn word(&self, place: usize) -> u64 {
        match self.groups[place / GROUP] {
            0 => 0,
            number => self.words[(usize::from(number) - 1) * GROUP + place % GROUP],
        }
    }

    #[cold]
    fn make(&mut self, group: usize) -> usize {
        let made = self.used.len();
        self.used.push(0);
        self.words.resize(self.words.len() + GROUP, 0);
        self.groups[group] = u16::try_from(made + 1).expect("there are 8,192 groups");
        made
    }

    /// Empties the set, naming its words in order.
    pub fn drain(&mut self, mut visit: impl FnMut(usize, u64)) {
        let made = self.groups.iter().enumerate().filter(|(_, number)| **number > 0);
        for (group, made) in made.map(|(group, number)| (group, usize::from(*number) - 1)) {
            while self.used[made] != 0 {
                let place = self.used[made].trailing_zeros() as usize;
                visit(group * GROUP + place, std::mem::take(&mut self.words[made * GROUP + place]));
                self.used[made] &= self.used[made] - 1;
            }
        }
    }

    /// Each word that is not 0, by its place in the bitmap and in `words`.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let made = self.groups.iter().enumerate().filter(|(_, number)| **number > 0);
        made.flat_map(|(group, number)| {
            let made = usize::from(*number) - 1;
            bits(self.used[made]).map(move |place| (group * GROUP + place, made * GROUP + place))
        })
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.places().flat_map(|(place, at)| {
            let base = u32::try_from(place * 64).expect("keys have 25 bits");
            bits(self.words[at]).map(move |bit| base + u32::try_from(bit).expect("a word has 64 bits"))
        })
    }
}

/// The places of a word's bits, lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(place)
    })
}

/// How many keys of a set come before a key of it.
pub(super) struct Ranks<'s> {
    set: &'s KeySet,
    before_word: Vec<u32>,
    pub keys: usize,
}

impl<'s> Ranks<'s> {
    pub fn of_set(set: &'s KeySet) -> Self {
        let mut before_word = vec![0; set.words.len()];
        let mut keys = 0;
        for (_, at) in set.places() {
            before_word[at] = keys;
            keys += set.words[at].count_ones();
        }
        Self { set, before_word, keys: keys as usize }
    }

    #[inline]
    pub fn of(&self, key: u64) -> usize {
        let place = (key / 64) as usize;
        let made = usize::from(self.set.groups[place / GROUP]) - 1;
        let at = made * GROUP + place % GROUP;
        let below = self.set.words[at] & ((1 << (key % 64)) - 1);
        (self.before_word[at] + below.count_ones()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_set_is_read_in_order_ranked_and_emptied(
            near in proptest::collection::vec(0u32..9000, 0..300),
            far in proptest::collection::vec(0u32..GRAM_KEYS, 0..300),
            again in proptest::collection::vec(0u32..GRAM_KEYS, 0..30),
        ) {
            let mut set = KeySet::default();
            for keys in [[near, far].concat(), again] {
                let truth: BTreeSet<u32> = keys.iter().copied().collect();
                keys.iter().for_each(|key| set.insert(Gram(*key)));
                prop_assert_eq!(set.keys().collect::<Vec<_>>(), truth.iter().copied().collect::<Vec<_>>());
                let ranks = Ranks::of_set(&set);
                prop_assert_eq!(ranks.keys, truth.len());
                for (rank, key) in truth.iter().enumerate() {
                    prop_assert_eq!(ranks.of(u64::from(*key)), rank);
                }
                let mut drained = Vec::new();
                set.drain(|place, word| drained.extend(bits(word).map(|bit| (place * 64 + bit) as u32)));
                prop_assert_eq!(drained, truth.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(set.keys().count(), 0);
            }
        }
    }
}
