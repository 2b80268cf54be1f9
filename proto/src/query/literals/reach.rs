//! Whether a pattern can match lines of which only part is known.
//!
//! A line is told as stretches: bytes as they are, or any number of bytes of some kind. The pattern becomes a machine
//! of few states, and all that can be reached are followed at once. Where it is not read exactly (what a match must
//! stand beside, letters beyond ASCII, long counts) more is let through, never less.

use super::parsed;
use crate::query::pattern::Pattern;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    #[must_use]
    pub fn of(bytes: impl IntoIterator<Item = u8>) -> Self {
        let mut set = Self::default();
        bytes.into_iter().for_each(|byte| set.insert(byte));
        set
    }

    /// 256 bits, the lowest for byte 0.
    #[must_use]
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        both
    }

    pub fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte / 64)) {
            *word |= 1 << (byte % 64);
        }
    }

    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte / 64)).is_some_and(|word| word >> (byte % 64) & 1 == 1)
    }

    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }
}

/// What is known of a stretch of a line.
#[derive(Clone, Copy, Debug)]
pub enum Stretch<'a> {
    Fixed(&'a [u8]),
    /// Any number of these, or none.
    Any(&'a ByteSet),
}

/// A pattern, to be asked whether it can match.
#[derive(Clone, Debug)]
pub struct Reach {
    states: Vec<State>,
    /// Reached before any byte.
    begin: Vec<usize>,
    /// What is reached now; buffers, used again.
    here: Reached,
    next: Reached,
    steps: usize,
}

#[derive(Clone, Debug)]
enum State {
    Byte(ByteSet, usize),
    Either(Vec<usize>),
    Match,
}

/// Patterns that need more are not asked.
const STATES_MAX: usize = 4096;

/// States looked at by one machine; then it knows nothing any more. A tenth of a second.
const STEPS_MAX: usize = 1 << 25;

/// Something asked for more often is asked for so often; that lets more through.
const TIMES_MAX: u32 = 64;

impl Pattern {
    /// `None` when it is too large.
    #[must_use]
    pub fn reach(&self) -> Option<Reach> {
        let mut machine = Machine { states: vec![State::Match] };
        let first = machine.part(&parsed(self)?, 0)?;
        let mut begin = Reached::new(machine.states.len());
        begin.add(&machine.states, first);
        let empty = Reached::new(machine.states.len());
        Some(Reach { begin: begin.list, here: empty.clone(), next: empty, states: machine.states, steps: 0 })
    }
}

struct Machine {
    states: Vec<State>,
}

impl Machine {
    fn state(&mut self, state: State) -> Option<usize> {
        self.states.push(state);
        (self.states.len() <= STATES_MAX).then_some(self.states.len() - 1)
    }

    /// Where to begin so that the expression leads to `next`.
    fn part(&mut self, hir: &Hir, next: usize) -> Option<usize> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Some(next),
            HirKind::Literal(literal) => {
                let before = |next: usize, &byte: &u8| self.state(State::Byte(ByteSet::of([byte]), next));
                literal.0.iter().rev().try_fold(next, before)
            }
            HirKind::Class(class) => self.class(class, next),
            HirKind::Repetition(repetition) => self.repetition(repetition, next),
            HirKind::Capture(capture) => self.part(&capture.sub, next),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.part(part, next)),
            HirKind::Alternation(parts) => {
                let ways = parts.iter().map(|part| self.part(part, next)).collect::<Option<Vec<_>>>()?;
                self.state(State::Either(ways))
            }
        }
    }

    /// Letters beyond ASCII are any run of bytes beyond it.
    fn class(&mut self, class: &Class, next: usize) -> Option<usize> {
        let class = match class {
            Class::Bytes(class) => {
                let bytes = ByteSet::of(class.ranges().iter().flat_map(|range| range.start()..=range.end()));
                return self.state(State::Byte(bytes, next));
            }
            Class::Unicode(class) => class,
        };
        let ascii =
            |byte: u8| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)));
        let plain = self.state(State::Byte(ByteSet::of((0..128).filter(|&byte| ascii(byte))), next))?;
        let again = self.state(State::Either(vec![next]))?;
        let beyond = self.state(State::Byte(ByteSet::of(128..=255), again))?;
        if let Some(State::Either(ways)) = self.states.get_mut(again) {
            ways.push(beyond);
        }
        self.state(State::Either(vec![plain, beyond]))
    }

    fn repetition(&mut self, Repetition { min, max, sub, .. }: &Repetition, next: usize) -> Option<usize> {
        let mut first = next;
        match max.filter(|&max| max <= TIMES_MAX) {
            Some(max) => {
                for _ in *min..max {
                    let once_more = self.part(sub, first)?;
                    first = self.state(State::Either(vec![once_more, next]))?;
                }
            }
            None => {
                let again = self.state(State::Either(vec![next]))?;
                let once_more = self.part(sub, again)?;
                if let Some(State::Either(ways)) = self.states.get_mut(again) {
                    ways.push(once_more);
                }
                first = again;
            }
        }
        (0..(*min).min(TIMES_MAX)).try_fold(first, |next, _| self.part(sub, next))
    }
}

/// States that are reached, each once.
#[derive(Clone, Debug)]
struct Reached {
    list: Vec<usize>,
    is_there: Vec<bool>,
    matches: bool,
}

impl Reached {
    fn new(states: usize) -> Self {
        Self { list: Vec::new(), is_there: vec![false; states], matches: false }
    }

    fn clear(&mut self) {
        for &state in &self.list {
            if let Some(is_there) = self.is_there.get_mut(state) {
                *is_there = false;
            }
        }
        self.list.clear();
        self.matches = false;
    }

    /// Adds a state, and those it leads to without a byte.
    fn add(&mut self, states: &[State], state: usize) {
        let mut at = self.list.len();
        self.put(state);
        while let Some(&state) = self.list.get(at) {
            at += 1;
            match states.get(state) {
                Some(State::Either(ways)) => ways.iter().for_each(|&way| self.put(way)),
                Some(State::Match) => self.matches = true,
                _ => {}
            }
        }
    }

    fn put(&mut self, state: usize) {
        if let Some(is_there) = self.is_there.get_mut(state)
            && !*is_there
        {
            *is_there = true;
            self.list.push(state);
        }
    }
}

impl Reach {
    /// Whether a line of these stretches can match. No means that none does.
    pub fn can_match<'a>(&mut self, stretches: impl IntoIterator<Item = Stretch<'a>>) -> bool {
        let Self { states, begin, here, next, steps } = self;
        here.clear();
        begin.iter().for_each(|&state| here.add(states, state));
        for stretch in stretches {
            match stretch {
                Stretch::Fixed(bytes) => {
                    for &byte in bytes {
                        *steps += here.list.len();
                        if here.matches || *steps > STEPS_MAX {
                            return true;
                        }
                        next.clear();
                        for &state in &here.list {
                            match states.get(state) {
                                Some(State::Byte(bytes, to)) if bytes.contains(byte) => next.add(states, *to),
                                _ => {}
                            }
                        }
                        begin.iter().for_each(|&state| next.add(states, state));
                        std::mem::swap(here, next);
                    }
                }
                Stretch::Any(bytes) => {
                    let mut at = 0;
                    while let Some(&state) = here.list.get(at) {
                        at += 1;
                        *steps += 1;
                        match states.get(state) {
                            Some(State::Byte(asked, to)) if asked.meets(bytes) => here.add(states, *to),
                            _ => {}
                        }
                    }
                }
            }
        }
        here.matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn can_match(pattern: &str, stretches: &[Stretch<'_>]) -> bool {
        let pattern = Pattern::new(pattern, false).expect("a pattern");
        pattern.reach().expect("a small one").can_match(stretches.iter().copied())
    }

    #[test]
    fn what_cells_can_hold_decides() {
        let digits = ByteSet::of(b'0'..=b'9');
        let stamp =
            [Stretch::Any(&digits), Stretch::Fixed(b":"), Stretch::Any(&digits), Stretch::Fixed(b" combo sshd")];
        assert!(!can_match(r"\d\d:\d\d [^ ]+x", &stamp));
        assert!(can_match(r"\d\d:\d\d [^ ]+b", &stamp));
        assert!(can_match("[0-9]{3}", &stamp) && !can_match("x{0}[a-f]{3}", &stamp) && can_match("", &stamp));
        assert!(can_match("(ab|c)o", &stamp) && can_match("^combo", &stamp) && !can_match("[^0-9: a-z]", &stamp));
        assert!(can_match("é", &[Stretch::Fixed("é".as_bytes())]) && !can_match(r"\p{Greek}", &stamp));
        assert!(can_match(r"a\p{Greek}+", &[Stretch::Fixed("aé".as_bytes())]));
    }

    #[test]
    fn who_asks_too_much_is_told_nothing() {
        let mut reach = Pattern::new("(a|b|aa|ab){60}x", false).expect("a pattern").reach().expect("a small one");
        let line = b"ab".repeat(200);
        let asked = (0..).take_while(|_| !reach.can_match([Stretch::Fixed(&line)])).count();
        assert!(asked > 10 && asked < STEPS_MAX, "{asked}");
        let large = Pattern::new("(a{60}){60}(b{60}){60}", false).expect("a pattern");
        assert!(large.reach().is_none());
    }

    proptest! {
        /// Stretches are made of a line: what is not fixed may be what stood there.
        #[test]
        fn a_line_that_matches_is_never_denied(
            parts in proptest::collection::vec(prop_oneof![
                Just("a"), Just("b"), Just("[^a]"), Just("."), Just(r"\s"), Just(r"\d"), Just("^"), Just("$"), Just(r"\b"),
                Just("(a|b1)"), Just("a+"), Just("[^ ]*"), Just("x?"), Just(r"\xff"), Just("(ab){2,3}"), Just("(?i:A)"),
                Just("|"), Just("é"), Just("(1{2}){1,}"),
            ], 1..6),
            pieces in proptest::collection::vec(("[ab1 Xé]{0,4}", any::<bool>()), 0..6),
        ) {
            let pattern = Pattern::new(&parts.concat(), false).expect("a pattern");
            let line: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.bytes()).collect();
            let sets: Vec<ByteSet> = pieces.iter().map(|(piece, _)| ByteSet::of(piece.bytes())).collect();
            let stretches = pieces.iter().zip(&sets).map(|((piece, is_fixed), set)| {
                if *is_fixed { Stretch::Fixed(piece.as_bytes()) } else { Stretch::Any(set) }
            });
            let can = pattern.reach().expect("a small one").can_match(stretches);
            prop_assert!(can || !pattern.is_match(&line), "{:?} in {:?}", pattern, pieces);
            let exact = pieces.iter().map(|(piece, _)| Stretch::Fixed(piece.as_bytes()));
            let looks = ["^", "$", r"\b", "é"].iter().any(|look| parts.contains(look));
            let exactly = pattern.reach().expect("a small one").can_match(exact);
            prop_assert!(looks || exactly == pattern.is_match(&line), "{:?} in {:?}", pattern, line);
        }
    }
}
