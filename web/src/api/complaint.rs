//! Why a request is refused, in words for people and a code for programs.

use crate::cursor::BadCursor;
use proto::query::{BadTime, ParseError};
use serde::Serialize;

/// What is wrong, where in the query it is, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    #[serde(skip)]
    pub status: u16,
    pub code: &'static str,
    pub msg: String,
    /// Bytes of the query's text; only for a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Complaint {
    #[must_use]
    pub fn new(status: u16, code: &'static str, msg: String) -> Self {
        Self { status, code, msg, at: None, len: None, hint: String::new() }
    }

    /// A parameter that can't be taken as it is.
    #[must_use]
    pub fn bad(name: &str, why: impl std::fmt::Display) -> Self {
        Self::new(400, "bad_parameter", format!("{name}: {why}"))
    }

    #[must_use]
    pub fn bad_time(name: &str, why: &BadTime) -> Self {
        Self::new(400, "bad_time", format!("{name}: {why}"))
    }

    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(404, "not_found", what.to_owned())
    }

    #[must_use]
    pub fn busy(what: &str) -> Self {
        Self::new(503, "busy", format!("too many {what} at once; try again when one has ended"))
    }

    /// As it is sent.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Outer<'a> {
            error: &'a Complaint,
        }
        serde_json::to_vec(&Outer { error: self }).expect("numbers and text are JSON")
    }
}

impl From<ParseError> for Complaint {
    fn from(error: ParseError) -> Self {
        Self {
            at: Some(error.at),
            len: Some(error.len),
            hint: error.hint.to_owned(),
            ..Self::new(400, "bad_query", error.message)
        }
    }
}

impl From<BadCursor> for Complaint {
    fn from(error: BadCursor) -> Self {
        Self { hint: "search again without a cursor".into(), ..Self::new(400, "bad_cursor", error.to_string()) }
    }
}
