//! What a line must hold to fit a regular expression, read off its syntax.
//!
//! Goes through the expression once. Small sets of strings are kept whole and grown over what follows, so that
//! `err(or|ors)` is two strings and not three; where a set grows too large, or anything may stand, the strings so
//! far become a need and the next begin. Beside `reach` the only file that names the crate regex-syntax.

mod reach;

pub use reach::{ByteSet, Reach, Stretch};

use super::expr::Text;
use super::finder::rare;
use super::need::Need;
use super::pattern::Pattern;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition,
};
use std::collections::BTreeSet;

/// Strings in a set: more look-ups cost more than the pages they save.
const STRINGS_MAX: usize = 8;

/// Bytes in a string: its first dozen grams decide.
const STRING_BYTES_MAX: usize = 64;

/// What every line that fits must hold.
pub(super) fn of_pattern(pattern: &Pattern) -> Need {
    parsed(pattern).map_or(Need::Anything, |hir| of_hir(&hir).into_need())
}

fn parsed(pattern: &Pattern) -> Option<Hir> {
    let parse = |unicode: bool| {
        let mut builder = ParserBuilder::new();
        builder.unicode(unicode).utf8(false).case_insensitive(pattern.ignore_case);
        builder.build().parse(&pattern.source).ok()
    };
    // In the same order as it was compiled, so that the same reading is taken.
    parse(false).or_else(|| parse(true))
}

/// A pattern for texts of many lines, which matches within a line just where the given one matches that line alone:
/// line edges stand for text edges, and nothing matches a newline. `None` where that can't be had.
pub(super) fn over_lines(pattern: &Pattern) -> Option<String> {
    line_by_line(&parsed(pattern)?).map(|hir| hir.to_string())
}

/// A byte that is in every line that fits, a letter in either case, when it is a rare one.
pub(super) fn rare_byte(pattern: &Pattern) -> Option<u8> {
    let mut bytes = Vec::new();
    match of_pattern(pattern) {
        Need::Bytes(one) => bytes.extend(one),
        Need::All(all) => all.into_iter().for_each(|need| {
            if let Need::Bytes(one) = need {
                bytes.extend(one);
            }
        }),
        Need::Anything | Need::Any(_) => {}
    }
    rare(bytes.into_iter())
}

impl Pattern {
    /// The texts it stands for, where these are few: it matches a line that holds any of them, and no other.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<Text>> {
        let hir = parsed(self)?;
        let texts = |exact| Some((spelled(&hir, exact)?, exact));
        let (strings, exact) = texts(false).or_else(|| texts(true))?;
        (!strings.contains(&Vec::new())).then(|| strings.iter().map(|string| Text::new(string, exact)).collect())
    }

    /// A match in part of a line is a match in all of it: nothing is asked of what stands around.
    #[must_use]
    pub fn is_local(&self) -> bool {
        parsed(self).is_some_and(|hir| hir.properties().look_set().is_empty())
    }
}

/// Texts a pattern is spelled out as, at most, and how often a part of it comes.
const TEXTS_MAX: usize = 16;
const TIMES_MAX: u32 = 16;

/// Every string that is matched. Unless `exact` in lower case, and then whatever its case it is matched.
fn spelled(hir: &Hir, exact: bool) -> Option<BTreeSet<Vec<u8>>> {
    let strings = match hir.kind() {
        HirKind::Empty => [Vec::new()].into(),
        HirKind::Look(_) => return None,
        HirKind::Literal(literal) => {
            let has_case = literal.0.iter().any(u8::is_ascii_alphabetic);
            if has_case && !exact {
                return None;
            }
            [literal.0.to_vec()].into()
        }
        HirKind::Class(class) => spelled_class(class, exact)?,
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            let part = spelled(sub, exact)?;
            let (mut grown, mut strings): (BTreeSet<Vec<u8>>, _) = ([Vec::new()].into(), BTreeSet::new());
            for times in 0..=(*max).filter(|&max| max <= TIMES_MAX)? {
                if times >= *min {
                    strings.extend(grown.iter().cloned());
                }
                if times < (*max)? {
                    grown = spelled_both(&grown, &part)?;
                }
            }
            strings
        }
        HirKind::Capture(capture) => spelled(&capture.sub, exact)?,
        HirKind::Concat(parts) => parts.iter().try_fold([Vec::new()].into(), |so_far: BTreeSet<Vec<u8>>, part| {
            spelled_both(&so_far, &spelled(part, exact)?)
        })?,
        HirKind::Alternation(parts) => {
            let each = parts.iter().map(|part| spelled(part, exact)).collect::<Option<Vec<_>>>()?;
            each.into_iter().flatten().collect()
        }
    };
    (strings.len() <= TEXTS_MAX).then_some(strings)
}

fn spelled_both(first: &BTreeSet<Vec<u8>>, second: &BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let few = first.len() * second.len() <= TEXTS_MAX;
    let pairs = || first.iter().flat_map(|start| second.iter().map(move |end| [start.as_slice(), end].concat()));
    few.then(|| pairs().collect())
}

fn spelled_class(class: &Class, exact: bool) -> Option<BTreeSet<Vec<u8>>> {
    let mut strings = BTreeSet::new();
    each_string(class, |string| {
        strings.insert(string.to_vec());
        (strings.len() <= 2 * TEXTS_MAX).then_some(())
    })?;
    if exact {
        return Some(strings);
    }
    let both_cases = |string: &Vec<u8>| {
        strings.contains(&string.to_ascii_lowercase()) && strings.contains(&string.to_ascii_uppercase())
    };
    strings.iter().all(both_cases).then(|| strings.iter().map(|string| string.to_ascii_lowercase()).collect())
}

fn line_by_line(hir: &Hir) -> Option<Hir> {
    let each = |parts: &[Hir]| parts.iter().map(line_by_line).collect::<Option<Vec<_>>>();
    Some(match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(Class::Bytes(class)) => {
            let mut class = class.clone();
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        // A return ends a line for these, and the end of a line's own bytes does too.
        HirKind::Look(Look::StartCRLF | Look::EndCRLF) => return None,
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(line_by_line(&repetition.sub)?), ..repetition.clone() })
        }
        HirKind::Capture(capture) => line_by_line(&capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(each(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(each(parts)?),
    })
}

/// What is known of all that a part of the expression matches.
enum Known {
    /// It is one of these, folded.
    OneOf(BTreeSet<Vec<u8>>),
    /// It holds this.
    Holds(Need),
}

impl Known {
    fn nothing() -> Self {
        Self::OneOf([Vec::new()].into())
    }

    fn into_need(self) -> Need {
        match self {
            Self::OneOf(strings) => Need::any(strings.iter().map(|string| Need::bytes(string))),
            Self::Holds(need) => need,
        }
    }
}

fn of_hir(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::nothing(),
        HirKind::Literal(literal) => Known::OneOf([literal.0.to_ascii_lowercase()].into()),
        HirKind::Class(class) => of_class(class).map_or(Known::Holds(Need::Anything), Known::OneOf),
        HirKind::Repetition(repetition) => of_repetition(repetition),
        HirKind::Capture(capture) => of_hir(&capture.sub),
        HirKind::Concat(parts) => of_concat(parts.iter().map(of_hir)),
        HirKind::Alternation(parts) => of_alternation(parts.iter().map(of_hir).collect()),
    }
}

/// The few strings a class stands for; `None` when they are many. Letters in both cases are one.
fn of_class(class: &Class) -> Option<BTreeSet<Vec<u8>>> {
    let mut strings = BTreeSet::new();
    each_string(class, |string| {
        strings.insert(string.to_ascii_lowercase());
        (strings.len() <= STRINGS_MAX / 2).then_some(())
    })?;
    Some(strings)
}

/// Every byte or letter of a class, until `visit` has enough.
fn each_string(class: &Class, mut visit: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    match class {
        Class::Bytes(class) => {
            for byte in class.ranges().iter().flat_map(|range| range.start()..=range.end()) {
                visit(&[byte])?;
            }
        }
        Class::Unicode(class) => {
            for letter in class.ranges().iter().flat_map(|range| range.start()..=range.end()) {
                visit(letter.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
    }
    Some(())
}

fn of_repetition(repetition: &Repetition) -> Known {
    let part = of_hir(&repetition.sub);
    match (repetition.min, repetition.max, part) {
        (0, Some(1), Known::OneOf(mut strings)) if strings.len() < STRINGS_MAX => {
            strings.insert(Vec::new());
            Known::OneOf(strings)
        }
        (0, Some(0), _) => Known::nothing(),
        (0, ..) => Known::Holds(Need::Anything),
        (min, max, Known::OneOf(strings)) => repeated(&strings, min, max),
        (_, _, holds) => holds,
    }
}

/// At least once. What stands after the first `min` times is not known to be there.
fn repeated(strings: &BTreeSet<Vec<u8>>, min: u32, max: Option<u32>) -> Known {
    let mut grown = strings.clone();
    for _ in 1..min {
        match joined(&grown, strings) {
            Some(longer) => grown = longer,
            None => return Known::Holds(Known::OneOf(grown).into_need()),
        }
    }
    let known = Known::OneOf(grown);
    if max == Some(min) { known } else { Known::Holds(known.into_need()) }
}

fn of_concat(parts: impl Iterator<Item = Known>) -> Known {
    let mut needs = Vec::new();
    let mut so_far: BTreeSet<Vec<u8>> = [Vec::new()].into();
    let mut is_whole = true;
    for part in parts {
        let next = match part {
            Known::OneOf(strings) => match joined(&so_far, &strings) {
                Some(longer) => {
                    so_far = longer;
                    continue;
                }
                None => strings,
            },
            Known::Holds(need) => {
                needs.push(need);
                [Vec::new()].into()
            }
        };
        is_whole = false;
        needs.push(Known::OneOf(std::mem::replace(&mut so_far, next)).into_need());
    }
    if is_whole {
        return Known::OneOf(so_far);
    }
    needs.push(Known::OneOf(so_far).into_need());
    Known::Holds(Need::all(needs))
}

fn of_alternation(parts: Vec<Known>) -> Known {
    let strings: Option<BTreeSet<Vec<u8>>> = parts.iter().try_fold(BTreeSet::new(), |mut strings, part| match part {
        Known::OneOf(more) if strings.len() + more.len() <= STRINGS_MAX => {
            strings.extend(more.iter().cloned());
            Some(strings)
        }
        _ => None,
    });
    strings.map_or_else(|| Known::Holds(Need::any(parts.into_iter().map(Known::into_need))), Known::OneOf)
}

/// Each of the first before each of the second; `None` when that is too many or too long.
fn joined(first: &BTreeSet<Vec<u8>>, second: &BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    if first.len() * second.len() > STRINGS_MAX {
        return None;
    }
    let pairs = first.iter().flat_map(|start| second.iter().map(move |end| [start.as_slice(), end].concat()));
    let joined: BTreeSet<Vec<u8>> = pairs.collect();
    joined.iter().all(|string| string.len() <= STRING_BYTES_MAX).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(source: &str, ignore_case: bool) -> Pattern {
        Pattern::new(source, ignore_case).expect("a pattern")
    }

    #[test]
    fn patterns_of_few_texts_are_spelled_out() {
        let check = |source: &str, ignore_case: bool, expected: Option<&[&str]>| {
            let texts = pattern(source, ignore_case).texts();
            let texts: Option<Vec<String>> = texts.map(|texts| texts.iter().map(ToString::to_string).collect());
            let expected = expected.map(|texts| texts.iter().map(ToString::to_string).collect());
            assert_eq!(texts, expected, "{source}");
        };
        check(
            "refused|timed? ?out",
            false,
            Some(&[
                r#"exact("refused")"#,
                r#"exact("time out")"#,
                r#"exact("timed out")"#,
                r#"exact("timedout")"#,
                r#"exact("timeout")"#,
            ]),
        );
        check("Err(or)?", true, Some(&[r#"text("err")"#, r#"text("error")"#]));
        check("a{2,3}", false, Some(&[r#"exact("aa")"#, r#"exact("aaa")"#]));
        check(
            "[0-9]:",
            true,
            Some(
                &["0:", "1:", "2:", "3:", "4:", "5:", "6:", "7:", "8:", "9:"]
                    .map(|text| format!(r#"text("{text}")"#))
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            ),
        );
        for source in ["a*", "^a", "a?", r"a\b", "a.b", "[a-z]", "[a-z]{2}", r"a|\b"] {
            check(source, false, None);
        }
    }

    #[test]
    fn what_looks_around_is_not_local() {
        for (source, is_local) in [("a.b", true), ("^a", false), (r"a\b", false), ("a|b$", false), ("[^a]*", true)] {
            assert_eq!(pattern(source, false).is_local(), is_local, "{source}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_where_its_texts_stand(
            parts in proptest::collection::vec(prop_oneof![
                Just("a"), Just("B"), Just("[ab]"), Just("(a|bc)"), Just("b?"), Just("a{2}"), Just("(?i:b)"), Just(" "),
                Just("|"), Just("(aB){0,2}"), Just(r"\xff"),
            ], 1..6),
            ignore_case: bool,
            line in proptest::collection::vec(prop_oneof![
                Just(b'a'), Just(b'b'), Just(b'A'), Just(b'B'), Just(b' '), Just(b'c'), Just(0xff)], 0..9),
        ) {
            let pattern = pattern(&parts.concat(), ignore_case);
            let Some(texts) = pattern.texts() else { return Ok(()) };
            let holds = texts.iter().any(|text| super::super::finder::Finder::new(&text.bytes, text.exact).is_in(&line));
            prop_assert_eq!(pattern.is_match(&line), holds, "{:?} {:?}", pattern, texts);
        }
    }
}
