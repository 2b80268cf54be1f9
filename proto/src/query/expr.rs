//! What a query is once it has been read: a tree of tests on one event.
//!
//! The parser makes it, [`super::Query::matches`] gives it its one meaning, planners read it to know which
//! pages can hold a match. Text that is not exact is stored folded to ASCII lower case.

use super::pattern::Pattern;

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

/// What a field term looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Env,
    Host,
    App,
    Level,
    /// The whole path; what is asked without a slash may also be the last part of it alone.
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
    /// As numbers where both are, as durations (`100ms`, `1h30m`) where both are, else as text; for levels by gravity.
    Compare(Order, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    AtLeast,
    AtMost,
    More,
    Less,
}

impl Expr {
    /// All of these; `None` of none. Keeps the promises on [`Self::And`].
    #[must_use]
    pub fn all(exprs: Vec<Self>) -> Option<Self> {
        let asked = !exprs.is_empty();
        let flat = exprs.into_iter().flat_map(|expr| match expr {
            Self::And(all) => all,
            Self::Everything => Vec::new(),
            other => vec![other],
        });
        let mut all: Vec<Self> = flat.collect();
        match all.len() {
            0 => asked.then_some(Self::Everything),
            1 => all.pop(),
            _ => Some(Self::And(all)),
        }
    }

    /// Any of these; `None` of none. Keeps the promises on [`Self::Or`].
    #[must_use]
    pub fn any(exprs: Vec<Self>) -> Option<Self> {
        if exprs.contains(&Self::Everything) {
            return Some(Self::Everything);
        }
        let flat = exprs.into_iter().flat_map(|expr| match expr {
            Self::Or(any) => any,
            other => vec![other],
        });
        let mut any: Vec<Self> = flat.collect();
        if any.len() > 1 { Some(Self::Or(any)) } else { any.pop() }
    }

    /// Twice is not at all.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}

impl Text {
    /// Folds to ASCII lower case unless `exact`.
    #[must_use]
    pub fn new(bytes: &[u8], exact: bool) -> Self {
        Self { bytes: if exact { bytes.to_vec() } else { bytes.to_ascii_lowercase() }, exact }
    }
}
