//! What the outside may ask: parameters of an address, read into questions or refused with a clear complaint.
//!
//! Nothing is guessed: a parameter nobody knows, one given twice, or a value out of reach is a complaint that names
//! it. Times are what `proto::query` reads: `now-15m`, RFC 3339, a date, or decimal nanoseconds.

mod complaint;
mod params;

pub use complaint::Complaint;
pub use params::{Params, Reader};

use crate::bars::Bars;
use crate::cursor::{Cursor, query_hash};
use proto::ids::{Environment, EventId};
use proto::message::SearchOrder;
use proto::query::TimeRange;
use proto::time::Timestamp;

/// Events when nobody says how many: a screenful many times over, and still at once.
const LIMIT_DEFAULT: u64 = 1000;

/// Bars a histogram may have.
const BARS_MAX: u64 = 2000;
const BARS_DEFAULT: u64 = 300;

/// Lines on one side of an event.
const CONTEXT_LINES_MAX: u64 = 1000;
const CONTEXT_LINES_DEFAULT: u64 = 50;

/// Rows a second in one live pane of a browser when nothing else is asked for; more can't be read anyway.
const ROWS_PER_SECOND_DEFAULT: u64 = 500;
const ROWS_PER_SECOND_MAX: u64 = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuestion {
    pub query: String,
    pub environments: Vec<Environment>,
    pub range: TimeRange,
    pub order: SearchOrder,
    pub limit: u64,
    pub cursor: Option<Cursor>,
}

impl SearchQuestion {
    pub const PARAMS: &[&str] = &["q", "from", "to", "env", "limit", "dir", "order", "cursor", "src"];

    pub fn read(params: &Params, reader: &Reader<'_>) -> Result<Self, Complaint> {
        params.only(Self::PARAMS)?;
        let limit = params.number("limit", LIMIT_DEFAULT, 1, u64::MAX)?;
        Self::read_with_limit(params, reader, limit)
    }

    fn read_with_limit(params: &Params, reader: &Reader<'_>, limit: u64) -> Result<Self, Complaint> {
        only_recent(params)?;
        let query = params.query()?;
        let environments = params.environments(reader)?;
        let order = order(params)?;
        let range = params.range(reader)?;
        let hash = query_hash(&query, &environments, order);
        let cursor = params.get("cursor").filter(|text| !text.is_empty());
        let cursor = cursor.map(|text| Cursor::read(text, hash)).transpose()?;
        let range = cursor.as_ref().map_or(range, |cursor| cursor.range);
        Ok(Self { query, environments, range, order, limit, cursor })
    }

    /// What a cursor of this question belongs to.
    #[must_use]
    pub fn hash(&self) -> u64 {
        query_hash(&self.query, &self.environments, self.order)
    }
}

/// Only the recent shelf and the bucks are there to be asked.
fn only_recent(params: &Params) -> Result<(), Complaint> {
    match params.get("src") {
        None | Some("" | "recent") => Ok(()),
        Some(other) => Err(Complaint::bad("src", format!("{other:?} can't be searched; recent can"))),
    }
}

fn order(params: &Params) -> Result<SearchOrder, Complaint> {
    let read = |name: &'static str| match params.get(name) {
        None | Some("") => Ok(None),
        Some("newest" | "back") => Ok(Some(SearchOrder::Newest)),
        Some("oldest" | "forward") => Ok(Some(SearchOrder::Oldest)),
        Some("file") => Ok(Some(SearchOrder::File)),
        Some(other) => Err(Complaint::bad(name, format!("{other:?} is no order; newest, oldest and file are"))),
    };
    match (read("order")?, read("dir")?) {
        (Some(one), Some(other)) if one != other => Err(Complaint::bad("dir", "order and dir contradict")),
        (one, other) => Ok(one.or(other).unwrap_or_default()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HitsQuestion {
    pub query: String,
    pub environments: Vec<Environment>,
    pub range: TimeRange,
    pub bars: Bars,
}

impl HitsQuestion {
    pub const PARAMS: &[&str] = &["q", "from", "to", "env", "buckets", "by", "src"];

    pub fn read(params: &Params, reader: &Reader<'_>) -> Result<Self, Complaint> {
        params.only(Self::PARAMS)?;
        only_recent(params)?;
        match params.get("by") {
            None | Some("" | "level") => {}
            Some(other) => return Err(Complaint::bad("by", format!("{other:?} can't be counted by; level can"))),
        }
        let range = params.range(reader)?;
        let bars = Bars::of(range, params.number("buckets", BARS_DEFAULT, 1, BARS_MAX)?);
        Ok(Self { query: params.query()?, environments: params.environments(reader)?, range, bars })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveQuestion {
    pub query: String,
    pub environments: Vec<Environment>,
    /// Show what came from here on first.
    pub since: Option<Timestamp>,
    pub rows_per_second: Option<u32>,
}

impl LiveQuestion {
    pub const PARAMS: &[&str] = &["q", "env", "since", "max"];

    /// `thinned`: a page reads it, and more rows than it can show would only be in its way.
    pub fn read(params: &Params, reader: &Reader<'_>, thinned: bool) -> Result<Self, Complaint> {
        params.only(Self::PARAMS)?;
        let default = if thinned { ROWS_PER_SECOND_DEFAULT } else { 0 };
        let max = params.number("max", default, 0, ROWS_PER_SECOND_MAX)?;
        let rows_per_second = u32::try_from(max).ok().filter(|max| *max > 0);
        let since = params.get("since").filter(|text| !text.is_empty());
        let since = since.map(|text| reader.time("since", text)).transpose()?;
        Ok(Self { query: params.query()?, environments: params.environments(reader)?, since, rows_per_second })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextQuestion {
    pub event: EventId,
    pub environments: Vec<Environment>,
    pub before: u32,
    pub after: u32,
}

impl ContextQuestion {
    pub const PARAMS: &[&str] = &["id", "env", "before", "after", "scope"];

    pub fn read(params: &Params, reader: &Reader<'_>) -> Result<Self, Complaint> {
        params.only(Self::PARAMS)?;
        match params.get("scope") {
            None | Some("" | "file") => {}
            Some(other) => return Err(Complaint::bad("scope", format!("{other:?} is no scope; file is"))),
        }
        let lines = |name| params.number(name, CONTEXT_LINES_DEFAULT, 0, CONTEXT_LINES_MAX);
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let (before, after) = (small(lines("before")?), small(lines("after")?));
        let event = event_id(params.get("id").unwrap_or_default())?;
        Ok(Self { event, environments: params.environments(reader)?, before, after })
    }
}

/// An event's id, as answers give it.
pub fn event_id(text: &str) -> Result<EventId, Complaint> {
    text.parse().map_err(|_| Complaint::bad("id", "an event's id is 80 hex digits, as answers give it"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// The lines' bytes, each with a newline.
    Raw,
    Ndjson,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportQuestion {
    pub search: SearchQuestion,
    pub format: ExportFormat,
}

impl ExportQuestion {
    pub const PARAMS: &[&str] = &["q", "from", "to", "env", "limit", "dir", "order", "cursor", "src", "fmt"];

    pub fn read(params: &Params, reader: &Reader<'_>) -> Result<Self, Complaint> {
        params.only(Self::PARAMS)?;
        let format = match params.get("fmt") {
            None | Some("" | "raw" | "txt") => ExportFormat::Raw,
            Some("ndjson") => ExportFormat::Ndjson,
            Some(other) => return Err(Complaint::bad("fmt", format!("{other:?} is no format; raw and ndjson are"))),
        };
        let limit = params.number("limit", u64::MAX, 1, u64::MAX)?;
        Ok(Self { search: SearchQuestion::read_with_limit(params, reader, limit)?, format })
    }
}

#[cfg(test)]
mod tests;
