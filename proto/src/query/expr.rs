//! What a query is once it has been read: a tree of tests on one event.
//!
//! The parser makes it, [`super::Query::matches`] gives it its one meaning, planners read it to know which
//! pages can hold a match. Text that is not exact is stored folded to ASCII lower case.

use std::fmt;

/// A test on one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Every event; what an empty query asks for.
    Everything,
    /// All of them. Never empty, never one.
    And(Vec<Expr>),
    /// Any of them. Never empty, never one.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// The bytes stand somewhere in the line.
    Text(Text),
    /// The pattern matches somewhere in the line. Words with wildcards inside become patterns too.
    Pattern(Pattern),
    /// Something about where the line came from, or a field read out of it.
    Field(Field, Test),
}

/// Bytes to be found in a line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// Folded to ASCII lower case unless `exact`.
    pub bytes: Vec<u8>,
    /// Case matters.
    pub exact: bool,
}

/// A regular expression, compiled; linear in the line.
#[derive(Clone)]
pub struct Pattern {
    /// As `regex` reads it, without flags.
    pub source: String,
    pub ignore_case: bool,
    pub(super) regex: regex::bytes::Regex,
}

impl Pattern {
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
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

/// What a field term looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Env,
    Host,
    App,
    Level,
    File,
    Stream,
    Id,
    /// `@a.b`: a field of JSON or logfmt, read out of the line when the query runs.
    Parsed(Vec<String>),
}

/// What is asked of a field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The whole value, ASCII case-insensitive; `*` any bytes, `?` one.
    Glob(String),
    /// The whole value, to the byte.
    Exact(String),
    /// Somewhere in the value.
    Pattern(Pattern),
    /// As numbers where both are, else as text; for levels by gravity.
    Compare(Order, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    AtLeast,
    AtMost,
    More,
    Less,
}
