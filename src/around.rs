//! `tailbuck search -A -B -C`: the lines around those that were found, in groups, as grep prints them.
//!
//! File by file, each in its own order; what stands around a line is told by its place in its file, whatever the times
//! say. No line is printed twice, and `--` stands between lines that did not stand side by side, also where the lines
//! between them are not there any more.

use crate::args::{Format, Order, Search};
use crate::ask::{say, whole};
use crate::exit::Outcome;
use crate::http::Web;
use crate::printer::Printer;
use crate::search::{ended, found};
use anyhow::{Context, bail};
use proto::ids::EventId;
use serde_json::Value;

/// Each is asked about by itself, hence no more when nobody says how many.
const DEFAULT_LIMIT: u64 = 1000;

pub fn run(web: &Web, search: &Search, before: u32, after: u32) -> anyhow::Result<Outcome> {
    if search.format != Format::Raw {
        bail!("-A, -B and -C print lines, as --format raw does");
    }
    let limit = search.limit.unwrap_or(DEFAULT_LIMIT);
    let mut hits = Vec::new();
    let end = found(web, search, Order::File, limit, &mut |event| {
        hits.push(id_of(event)?);
        Ok(())
    })?;
    let environments = search.environments.join(",");
    let mut groups = Groups { before, after, printer: Printer::new(search.format), last: None, lacks: None };
    for hit in &hits {
        groups.take(*hit, |before, after| around(web, *hit, &environments, before, after))?;
    }
    groups.printer.flush()?;
    if let Some(sentence) = groups.lacks {
        say(&format!("lines around may be missing: {sentence}"));
    }
    ended(search, &end, hits.len() as u64, limit)
}

fn around(web: &Web, hit: EventId, environments: &str, before: u32, after: u32) -> anyhow::Result<Value> {
    let (id, before, after) = (hit.to_string(), before.to_string(), after.to_string());
    let mut parameters = vec![("id", id.as_str()), ("before", &before), ("after", &after)];
    if !environments.is_empty() {
        parameters.push(("env", environments));
    }
    whole(web, "/api/v1/context", &parameters)
}

fn id_of(event: &Value) -> anyhow::Result<EventId> {
    event["id"].as_str().and_then(|id| id.parse().ok()).context("an event without its id")
}

struct Groups {
    before: u32,
    after: u32,
    printer: Printer,
    /// Printed last.
    last: Option<EventId>,
    /// Why an answer may not be all.
    lacks: Option<String>,
}

impl Groups {
    /// Prints a line that was found and those around it, as far as they are not printed yet.
    fn take(&mut self, hit: EventId, ask: impl FnOnce(u32, u32) -> anyhow::Result<Value>) -> anyhow::Result<()> {
        let answer = ask(if self.is_printed(hit) { 0 } else { self.before }, self.after)?;
        if answer["missing"].as_array().is_some_and(|missing| !missing.is_empty()) {
            self.lacks = answer["complete"].as_str().map(str::to_owned);
        }
        let list = |side: &str| answer[side].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines = list("before").iter().chain([&answer["event"]]).chain(list("after"));
        let behind_hole = |id: EventId| list("holes").iter().any(|hole| hole[1].as_u64() == Some(id.offset));
        let mut joins = self.last.is_none();
        for (index, line) in lines.enumerate() {
            let id = id_of(line)?;
            if self.is_printed(id) {
                joins = true;
                continue;
            }
            if !joins && !self.is_next(id) || index > 0 && behind_hole(id) {
                self.printer.gap()?;
            }
            joins = true;
            self.printer.event(line)?;
            self.last = Some(id);
        }
        Ok(())
    }

    fn is_printed(&self, id: EventId) -> bool {
        self.last.is_some_and(|last| same_stream(last, id) && id.offset <= last.offset)
    }

    /// It begins where the last one ended, newline and all.
    fn is_next(&self, id: EventId) -> bool {
        let end = |last: EventId| last.offset.saturating_add(u64::from(last.length)).saturating_add(1);
        self.last.is_some_and(|last| same_stream(last, id) && id.offset <= end(last))
    }
}

fn same_stream(one: EventId, other: EventId) -> bool {
    (one.tailer, one.stream) == (other.tailer, other.stream)
}
