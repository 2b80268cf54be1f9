//! What the reader of a query saw and where, for a page that colours the text as it is typed.

use super::Query;

/// A query that was read, with what stood where.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub query: Query,
    /// In the order of the text; they never overlap.
    pub spans: Vec<Span>,
    pub warnings: Vec<Warning>,
}

/// A piece of the text. `at` and `len` count bytes and fall between letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub at: usize,
    pub len: usize,
    pub kind: SpanKind,
    /// One sentence for who points at it; often empty.
    pub note: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    Word,
    Phrase,
    Exact,
    Regex,
    /// A field's name, without the `:` or `>=` after it.
    Field,
    /// A bare value of a field.
    Value,
    /// `AND`, `OR`, `NOT`, `-`, and what stands between a field and its value.
    Operator,
    Paren,
    /// A word too, but one that looks like something else; the note says what.
    Hint,
}

impl SpanKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Phrase => "phrase",
            Self::Exact => "exact",
            Self::Regex => "regex",
            Self::Field => "field",
            Self::Value => "value",
            Self::Operator => "operator",
            Self::Paren => "paren",
            Self::Hint => "hint",
        }
    }
}

/// The query stands, but may not be what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub at: usize,
    pub len: usize,
    pub message: &'static str,
}

/// The query can't be read. `at` and `len` count bytes of its text; `at + len` is never past its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {at}")]
pub struct ParseError {
    pub at: usize,
    pub len: usize,
    pub message: String,
    /// What to type instead; may be empty.
    pub hint: &'static str,
}
