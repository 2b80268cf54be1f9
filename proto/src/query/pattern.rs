//! Regular expressions, compiled within limits and matched in time linear in the line.
//!
//! A line is bytes, in no promised encoding, and the index folds ASCII only; so patterns read bytes too: `.`
//! is any byte but a newline, `\w` and `(?i)` know ASCII. A pattern that can't be read that way, such as
//! `\p{Greek}` or `[äöü]`, is read as Unicode instead, and then matches only where the line is UTF-8.
//! The only file that names the crate regex.

use crate::limits::{REGEX_BYTES_MAX, REGEX_PROGRAM_BYTES_MAX};
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use std::ops::Range;

/// A regular expression, compiled; linear in the line.
#[derive(Clone)]
pub struct Pattern {
    /// As `regex` reads it, without flags.
    pub source: String,
    pub ignore_case: bool,
    regex: Regex,
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("pattern has {0} bytes, at most {REGEX_BYTES_MAX} are read")]
    TooLong(usize),
    #[error("pattern needs a program over {REGEX_PROGRAM_BYTES_MAX} bytes")]
    TooBig,
    #[error("{0}")]
    Syntax(String),
}

impl Pattern {
    /// Refuses what is no regular expression, and what would take too much to hold.
    pub fn new(source: &str, ignore_case: bool) -> Result<Self, BadPattern> {
        if source.len() > REGEX_BYTES_MAX {
            return Err(BadPattern::TooLong(source.len()));
        }
        Self::compile(source.to_owned(), ignore_case)
    }

    /// A word with `*` (any bytes) and `?` (one byte) in it, in either case, anywhere in the line.
    pub fn from_wildcards(word: &str) -> Result<Self, BadPattern> {
        if word.len() > REGEX_BYTES_MAX {
            return Err(BadPattern::TooLong(word.len()));
        }
        Self::compile(wildcards_as_regex(word), true)
    }

    /// The whole of a value, in either case, with nothing in it special.
    pub fn from_whole(value: &str) -> Result<Self, BadPattern> {
        if value.len() > REGEX_BYTES_MAX {
            return Err(BadPattern::TooLong(value.len()));
        }
        Self::compile(format!(r"\A{}\z", regex::escape(value)), true)
    }

    fn compile(source: String, ignore_case: bool) -> Result<Self, BadPattern> {
        let build = |unicode: bool| {
            RegexBuilder::new(&source)
                .unicode(unicode)
                .case_insensitive(ignore_case)
                .size_limit(REGEX_PROGRAM_BYTES_MAX)
                .dfa_size_limit(REGEX_PROGRAM_BYTES_MAX)
                .build()
        };
        let regex = match build(false) {
            Err(regex::Error::Syntax(_)) => build(true),
            built => built,
        };
        match regex {
            Ok(regex) => Ok(Self { source, ignore_case, regex }),
            Err(regex::Error::Syntax(complaint)) => Err(BadPattern::Syntax(last_line(&complaint))),
            Err(_) => Err(BadPattern::TooBig),
        }
    }

    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
    }

    /// The first places where it matches, from left to right; matches of nothing count, and are left out. One
    /// match is found in linear time, but each may look to the line's end again, hence the bound.
    pub fn ranges<'a>(&'a self, bytes: &'a [u8], matches_max: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        let first = self.regex.find_iter(bytes).take(matches_max);
        first.map(|found| found.range()).filter(|range| !range.is_empty())
    }
}

/// A pattern over a text of many lines, made by `literals::over_lines`.
#[derive(Clone, Debug)]
pub(super) struct LinesPattern(Regex);

impl LinesPattern {
    /// `None` when it would be too large.
    pub(super) fn new(source: &str) -> Option<Self> {
        let mut builder = RegexBuilder::new(source);
        builder.size_limit(2 * REGEX_PROGRAM_BYTES_MAX).dfa_size_limit(2 * REGEX_PROGRAM_BYTES_MAX);
        builder.build().ok().map(Self)
    }

    /// A place in the first line at or behind `from` that it matches: where it is known to.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        if from > text.len() { None } else { self.0.shortest_match_at(text, from) }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.ignore_case == other.ignore_case
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.source, if self.ignore_case { "i" } else { "" })
    }
}

/// A run of `*` is one; each is as short as it can be, so that what is marked in a line is short too.
fn wildcards_as_regex(word: &str) -> String {
    let mut source = String::new();
    let mut literal = String::new();
    let mut after_star = false;
    for letter in word.chars() {
        if letter == '*' || letter == '?' {
            source.push_str(&regex::escape(&std::mem::take(&mut literal)));
            match (letter, after_star) {
                ('*', true) => {}
                ('*', false) => source.push_str("(?s-u:.)*?"),
                _ => source.push_str("(?s-u:.)"),
            }
        } else {
            literal.push(letter);
        }
        after_star = letter == '*';
    }
    source + &regex::escape(&literal)
}

/// The crate draws the pattern and an arrow; what is wrong stands in the last line.
fn last_line(complaint: &str) -> String {
    let last = complaint.lines().last().unwrap_or(complaint);
    last.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_bytes() {
        let matches = |source: &str, line: &[u8]| Pattern::new(source, false).expect("a pattern").is_match(line);
        assert!(matches("a.b", b"a\xffb"));
        assert!(matches(r"\xff", b"a\xffb"));
        assert!(matches("caf\u{e9}+s", "caf\u{e9}s".as_bytes()));
        assert!(!matches(r"^\w$", "\u{e9}".as_bytes()), "word letters are ASCII");
        assert!(matches("[\u{e4}\u{f6}]x", "\u{f6}x".as_bytes()), "a class of letters is read as Unicode");
        assert!(matches(r"\p{Greek}", "\u{3b1}".as_bytes()));
        assert!(matches(r"a\/b", b"a/b"));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let refuse = |source: &str| Pattern::new(source, false).expect_err("refused");
        assert_eq!(refuse(&"a".repeat(REGEX_BYTES_MAX + 1)), BadPattern::TooLong(REGEX_BYTES_MAX + 1));
        assert_eq!(refuse("((a{100}){100}){100}"), BadPattern::TooBig);
        assert_eq!(refuse("(a"), BadPattern::Syntax("unclosed group".to_owned()));
        assert_eq!(refuse("*"), BadPattern::Syntax("repetition operator missing expression".to_owned()));
    }

    #[test]
    fn wildcards_stand_for_bytes() {
        let check = |word: &str, line: &[u8], expected| {
            assert_eq!(Pattern::from_wildcards(word).expect("a pattern").is_match(line), expected, "{word}");
        };
        check("foo*bar", b"a FOO and a bAr", true);
        check("foo**bar", b"foobar", true);
        check("foo?bar", b"foobar", false);
        check("foo?bar", b"foo\nbar", true);
        check("a.c*d", b"abcd", false);
        check("caf??", "caf\u{e9}".as_bytes(), true);
    }
}
