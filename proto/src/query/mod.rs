//! The query language: what people type, what it means, and whether one event fits it.
//!
//! ```text
//! error timeout            both, anywhere in the line, ASCII case-insensitive
//! "connection reset"       with its spaces          'ExactCase'    case-sensitive
//! -healthz   NOT a         not                      a OR b  (a b)  or, groups
//! /5\d\d in \d+ms/i        regex, linear time       time*out       wildcards inside a word
//! host:web* app:nginx level>=warn file:/var/log/* env:prod host:(web1 OR web2)
//! @status>=500 @a.b:x      a field of JSON or logfmt, read when the query runs; @a=x is @a:x, @a!=x is -@a:x
//! @took>100ms              durations are compared as durations, numbers as numbers, all else as text
//! level:error,warn         one of several, for level, host and env; for all fields level:(error OR warn)
//! file:app.log             without a slash: in any folder
//! ```
//!
//! `parse` holds the grammar, `scan` the exact ends of tokens, `matcher` what fits. Time is never part of a
//! query's text; `when` reads it.

mod doubt;
mod duration;
mod expr;
mod finder;
mod head;
mod json;
mod line_field;
mod literals;
mod logfmt;
mod matcher;
mod need;
mod parse;
mod pattern;
mod scan;
mod span;
mod sweep;
mod value;

mod when;

mod display;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use expr::{Expr, Field, Order, Test, Text};
pub use finder::Finder;
pub use literals::{ByteSet, Reach, Stretch};
pub use need::Need;
pub use parse::parse_with_spans;
pub use pattern::{BadPattern, Pattern};
pub use span::{ParseError, Parsed, Span, SpanKind, Warning};
pub use sweep::{Sweep, Swept};
pub use when::{BadTime, TimeRange, read_time};

use crate::event::{Event, Source};
use matcher::Node;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A question about events, read and ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct Query {
    /// What planners read. A query is made of its tree by `from`; one whose tree was changed still asks the old.
    pub expr: Expr,
    node: Arc<Node>,
    /// Made when it is first asked for.
    sweep: Arc<OnceLock<Option<Sweep>>>,
}

/// Marks in one line; more help nobody.
const MARKS_MAX: usize = 1000;

/// Reads what somebody typed.
pub fn parse(text: &str) -> Result<Query, ParseError> {
    parse_with_spans(text).map(|parsed| parsed.query)
}

impl Query {
    /// Whether the event fits: the one meaning of search, whoever asks.
    #[must_use]
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.node.matches(event)
    }

    /// Every event fits.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self.expr, Expr::Everything)
    }

    /// What the source alone decides of all its lines; `None` where each line must be asked.
    #[must_use]
    pub fn of_source(&self, source: &Source) -> Option<bool> {
        self.node.of_source(source)
    }

    /// False only when no line of this source can fit.
    #[must_use]
    pub fn may_match_source(&self, source: &Source) -> bool {
        self.of_source(source) != Some(false)
    }

    /// Where a line that fits shows it: what was found, in order, touching or overlapping pieces made one.
    #[must_use]
    pub fn highlight(&self, line: &[u8]) -> Vec<Range<usize>> {
        let mut marks = Vec::new();
        self.node.mark(line, &mut marks, MARKS_MAX);
        joined(marks)
    }
}

fn joined(mut marks: Vec<Range<usize>>) -> Vec<Range<usize>> {
    marks.sort_by_key(|mark| (mark.start, mark.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(marks.len());
    for mark in marks {
        match joined.last_mut() {
            Some(last) if mark.start <= last.end => last.end = last.end.max(mark.end),
            _ => joined.push(mark),
        }
    }
    joined
}

impl From<Expr> for Query {
    fn from(expr: Expr) -> Self {
        let node = Arc::new(Node::new(&expr));
        Self { expr, node, sweep: Arc::default() }
    }
}

impl Default for Query {
    /// Everything.
    fn default() -> Self {
        Self::from(Expr::Everything)
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({})", self.expr)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
