//! `tailbuck search --follow`: what arrives from now on, over breaks of the connection and ends of the web.
//!
//! A tail that breaks is asked for again from a little before where it stopped; what was printed already is known by
//! its id and not printed twice. What may be missing is named: lines stamped before that place which came meanwhile,
//! and what the web says that it lacks.

use crate::args::Search;
use crate::ask::{Refused, asked_within, find_web, next_frame, say};
use crate::exit::Outcome;
use crate::http::{Reply, Web};
use crate::printer::{Printer, events_of};
use anyhow::bail;
use proto::ids::EventId;
use proto::io::clock::Clock;
use proto::time::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// A web says something every five seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// Between tries, doubling.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_LAST: Duration = Duration::from_secs(8);

/// Printed events that are remembered, the newest; a web that resumes shows some seconds again.
const KNOWN_MAX: usize = 1 << 17;

pub fn run(mut web: Web, search: &Search) -> anyhow::Result<Outcome> {
    let mut tail = Tail::new(search, Clock::real());
    let mut reply = tail.ask(&web, None)?;
    loop {
        match tail.print(&mut reply)? {
            Stop::Enough => return Ok(Outcome::Done),
            Stop::Broken(why) => say(&format!("{web}: {why}; asking again until it answers")),
        }
        (web, reply) = tail.come_back(search)?;
    }
}

enum Stop {
    Enough,
    Broken(String),
}

struct Tail<'a> {
    query: &'a str,
    environments: String,
    limit: u64,
    clock: Clock,
    printer: Printer,
    /// When the tail began, by this process's clock.
    began: Duration,
    /// From here it goes on after a break, by the web's clock; from when it began while it has said nothing.
    mark: Option<Timestamp>,
    known: BTreeSet<(Timestamp, EventId)>,
    /// What this tail has told of as left out by bucks.
    left_out: u64,
    wait: Duration,
}

impl<'a> Tail<'a> {
    fn new(search: &'a Search, clock: Clock) -> Self {
        Self {
            query: &search.query,
            environments: search.environments.join(","),
            limit: search.limit.unwrap_or(u64::MAX),
            clock,
            printer: Printer::new(search.format),
            began: clock.mono(),
            mark: None,
            known: BTreeSet::new(),
            left_out: 0,
            wait: WAIT_FIRST,
        }
    }

    fn ask(&self, web: &Web, since: Option<&str>) -> anyhow::Result<Reply> {
        let mut parameters = vec![("q", self.query)];
        if !self.environments.is_empty() {
            parameters.push(("env", &self.environments));
        }
        parameters.extend(since.map(|since| ("since", since)));
        asked_within(web, "/api/v1/live", &parameters, Some(SILENCE))
    }

    /// Tries until a web answers or refuses for good. It may be another one: `up` may have a new address.
    fn come_back(&mut self, search: &Search) -> anyhow::Result<(Web, Reply)> {
        loop {
            std::thread::sleep(self.wait);
            self.wait = self.wait.saturating_mul(2).min(WAIT_LAST);
            let Ok(web) = find_web(&search.cluster) else { continue };
            let since = self.since();
            match self.ask(&web, Some(&since)) {
                Ok(reply) => {
                    say(&format!(
                        "{web} answers again; it goes on from {since}, without lines stamped before that which came meanwhile"
                    ));
                    return Ok((web, reply));
                }
                Err(error) if error.downcast_ref().is_some_and(|refused: &Refused| refused.status < 500) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Where to go on. Clocks may differ, so that when nothing was said it is told in seconds before now.
    fn since(&self) -> String {
        let ago = || format!("-{}s", self.clock.mono().saturating_sub(self.began).as_secs() + 2);
        self.mark.map_or_else(ago, |mark| mark.to_string())
    }

    /// Prints what comes, until that is enough or no more does.
    fn print(&mut self, reply: &mut Reply) -> anyhow::Result<Stop> {
        self.left_out = 0;
        loop {
            let frame = match next_frame(reply) {
                Ok(Some(frame)) if frame["k"] == "end" => {
                    let why = frame["why"].as_str().unwrap_or("ended");
                    return Ok(Stop::Broken(format!("the live tail ended ({why})")));
                }
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Stop::Broken("the live tail ended".to_owned())),
                Err(error) => return Ok(Stop::Broken(why(&error))),
            };
            self.wait = WAIT_FIRST;
            note_gaps(&frame);
            self.note_left_out(&frame);
            for event in events_of(&frame) {
                self.event(event)?;
                if self.printer.printed >= self.limit {
                    self.printer.flush()?;
                    return Ok(Stop::Enough);
                }
            }
            self.printer.flush()?;
            self.moved(&frame);
        }
    }

    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        let id = event["id"].as_str().and_then(|id| id.parse().ok());
        let (Some(id), Some(time)) = (id, nanos(&event["t"])) else { bail!("an event without its id or time") };
        if !self.known.insert((time, id)) {
            return Ok(());
        }
        if self.known.len() > KNOWN_MAX {
            self.known.pop_first();
        }
        self.printer.event(event)
    }

    /// Bucks tell how many they left out since the tail began; that is told as it grows.
    fn note_left_out(&mut self, frame: &Value) {
        let Some(count) = frame["left_out"].as_u64().filter(|count| *count > self.left_out) else { return };
        let more = count - std::mem::replace(&mut self.left_out, count);
        say(&format!("{more} events were left out by bucks: they came late, or too many at once; a search finds them"));
    }

    /// Going on from here, nothing printed before is shown again.
    fn moved(&mut self, frame: &Value) {
        if let Some(mark) = nanos(&frame["w"]) {
            self.mark = Some(mark);
            self.known = self.known.split_off(&(mark, FIRST_ID));
        }
    }
}

fn why(error: &anyhow::Error) -> String {
    let kind = error.downcast_ref().map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            format!("nothing was heard for {} s", SILENCE.as_secs())
        }
        _ => error.to_string(),
    }
}

/// Before all others.
const FIRST_ID: EventId =
    EventId { tailer: proto::ids::NodeId(0), stream: proto::ids::StreamId([0; 16]), offset: 0, length: 0, crc: 0 };

fn nanos(text: &Value) -> Option<Timestamp> {
    text.as_str()?.parse().ok().map(Timestamp)
}

fn note_gaps(frame: &Value) {
    if let Some(dropped) = frame["drop"].as_u64().filter(|dropped| *dropped > 0) {
        say(&format!("{dropped} events came too fast and were left out"));
    }
    let is_whole = frame["why"] == "complete" && frame["missing"].as_array().is_some_and(Vec::is_empty);
    if frame["k"] == "past" && !is_whole {
        let lacks = frame["complete"].as_str().unwrap_or("it does not say what it lacks");
        say(&format!("what came before may not be all: {lacks}"));
    }
    if frame["k"] == "gap" {
        let node = frame["node"].as_str().unwrap_or("a node");
        let what = if frame["to"].is_null() { "nothing is heard from" } else { "something is heard again from" };
        say(&format!("{what} {node}"));
    }
}
