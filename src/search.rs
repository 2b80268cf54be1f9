//! `tailbuck search`: asks a web, prints what it finds, says on stderr when the answer is not complete.
//!
//! The web does the searching and the merging; this is a reader of its NDJSON. `follow` and `around` are the same
//! command with `--follow`, and with lines around those that were found.

use crate::args::{Order, Search};
use crate::around;
use crate::ask::{asked, find_web, next_frame, say};
use crate::doubts::Doubts;
use crate::exit::Outcome;
use crate::follow;
use crate::http::Web;
use crate::printer::{Printer, events_of};
use anyhow::bail;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

const DEFAULT_LIMIT: u64 = 1000;

pub fn run(search: &Search) -> anyhow::Result<Outcome> {
    let web = find_web(&search.cluster)?;
    let doubts = Doubts::about(&search.query);
    doubts.say_warnings();
    if search.follow {
        doubts.say_notes();
        return follow::run(web, search);
    }
    let outcome = if search.count {
        count(&web, search)
    } else if let Some((before, after)) = search.lines_around() {
        around::run(&web, search, before, after)
    } else {
        answer(&web, search)
    };
    if !matches!(outcome, Ok(Outcome::Done)) {
        doubts.say_notes();
    }
    outcome
}

fn parameters<'a>(search: &'a Search, environments: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut parameters = vec![("q", search.query.as_str()), ("from", &search.from), ("to", &search.to)];
    if !environments.is_empty() {
        parameters.push(("env", environments));
    }
    parameters
}

fn answer(web: &Web, search: &Search) -> anyhow::Result<Outcome> {
    let mut printer = Printer::new(search.format);
    let limit = search.limit.unwrap_or(if search.order == Order::File { u64::MAX >> 1 } else { DEFAULT_LIMIT });
    let end = found(web, search, search.order, limit, &mut |event| printer.event(event))?;
    printer.flush()?;
    ended(search, &end, printer.printed, limit)
}

/// Hands on each event that fits; gives back what was said at the end.
pub fn found(
    web: &Web,
    search: &Search,
    order: Order,
    limit: u64,
    take: &mut dyn FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    let (limit, environments) = (limit.to_string(), search.environments.join(","));
    let mut parameters = parameters(search, &environments);
    parameters.extend([("limit", limit.as_str()), ("dir", direction(order))]);
    let mut reply = asked(web, "/api/v1/search", &parameters)?;
    while let Some(frame) = next_frame(&mut reply)? {
        match frame["k"].as_str() {
            Some("ev") => events_of(&frame).try_for_each(&mut *take)?,
            Some("end") => return Ok(frame),
            _ => {}
        }
    }
    bail!("{web}: the answer broke off; what was printed is not all")
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::Newest => "back",
        Order::Oldest => "forward",
        Order::File => "file",
    }
}

/// Says what the answer lacks, and whether anything was found. That nothing was found is only said of an answer that
/// is complete; of another nobody knows, and that is an error.
pub fn ended(search: &Search, end: &Value, found: u64, limit: u64) -> anyhow::Result<Outcome> {
    let why = end["why"].as_str().unwrap_or_default();
    if why == "limit" {
        say(&format!("there is more; --limit {limit} was reached"));
    }
    if why == "timeout" {
        say("the time for a search was up; this is not all");
    }
    let is_missing = end["missing"].as_array().is_some_and(|missing| !missing.is_empty());
    if is_missing {
        say(end["complete"].as_str().unwrap_or("the answer is not complete"));
    }
    if found > 0 {
        return Ok(Outcome::Done);
    }
    if is_missing || matches!(why, "timeout" | "stopped") {
        bail!("nothing was found where it could be looked; whether there is something is not known");
    }
    if io::stderr().is_terminal() {
        say(&format!("nothing from {} to {}; --from -1d or a date looks further back", search.from, search.to));
    }
    Ok(Outcome::Nothing)
}

fn count(web: &Web, search: &Search) -> anyhow::Result<Outcome> {
    let environments = search.environments.join(",");
    let mut parameters = parameters(search, &environments);
    parameters.push(("buckets", "1"));
    let mut reply = asked(web, "/api/v1/hits", &parameters)?;
    while let Some(frame) = next_frame(&mut reply)? {
        if frame["done"] == true {
            let total = sum(&frame["counts"]);
            writeln!(io::stdout(), "{total}")?;
            if frame["exact"] == false {
                say("the count may be off: some of it could not be told from copies, or was not looked at");
            }
            return ended(search, &frame, total, u64::MAX);
        }
    }
    bail!("{web}: the answer broke off")
}

fn sum(counts: &Value) -> u64 {
    match counts {
        Value::Array(inner) => inner.iter().map(sum).sum(),
        number => number.as_u64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_however_they_nest() {
        assert_eq!(sum(&serde_json::json!([[1, 2], [3]])), 6);
        assert_eq!(sum(&Value::Null), 0);
    }
}
