//! `tailbuck search`: asks a web, prints what it finds, says on stderr when the answer is not complete.
//!
//! The web does the searching and the merging; this is a reader of its NDJSON. Lines go to a pipe byte for byte
//! as they stood in their files; on a terminal control characters are shown, never obeyed.

use crate::args::{Cluster, Format, Order, Search};
use crate::exit::Outcome;
use crate::http::{Reply, Web};
use crate::settings::Settings;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// The file in a data folder in which a running `up` says where its web is.
pub const WEB_URL_FILE: &str = "web.url";

const DEFAULT_LIMIT: u64 = 1000;

pub fn run(search: &Search) -> anyhow::Result<Outcome> {
    let web = find_web(&search.cluster)?;
    if search.count {
        return count(&web, search);
    }
    let mut printer = Printer::new(search.format);
    if search.follow { follow(&web, search, &mut printer) } else { answer(&web, search, &mut printer) }
}

/// Where the web is: as told, as the settings say, or where a running `up` left word.
fn find_web(cluster: &Cluster) -> anyhow::Result<Web> {
    let url = if let Some(url) = &cluster.web {
        url.clone()
    } else if let Some(config) = &cluster.config {
        Settings::read(config)?.web_url.with_context(|| format!("settings {}: no web_url", config.display()))?
    } else {
        let folder = cluster.data.as_deref().unwrap_or(Path::new("tailbuck-data"));
        let path = folder.join(WEB_URL_FILE);
        std::fs::read_to_string(&path).with_context(|| {
            format!("no `tailbuck up` runs in {}; --data, --web and --config name another", folder.display())
        })?
    };
    Web::parse(url.trim()).map_err(anyhow::Error::msg)
}

fn parameters<'a>(search: &'a Search, environments: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut parameters = vec![("q", search.query.as_str()), ("from", &search.from), ("to", &search.to)];
    if !environments.is_empty() {
        parameters.push(("env", environments));
    }
    parameters
}

fn answer(web: &Web, search: &Search, printer: &mut Printer) -> anyhow::Result<Outcome> {
    let limit = search.limit.unwrap_or(if search.order == Order::File { u64::MAX >> 1 } else { DEFAULT_LIMIT });
    let limit_text = limit.to_string();
    let environments = search.environments.join(",");
    let mut parameters = parameters(search, &environments);
    parameters.push(("limit", &limit_text));
    parameters.push(("dir", direction(search.order)));
    let mut reply = asked(web, "/api/v1/search", &parameters)?;
    while let Some(frame) = next_frame(&mut reply)? {
        match frame["k"].as_str() {
            Some("ev") => printer.events(&frame)?,
            Some("end") => {
                printer.flush()?;
                if printer.printed == 0 && io::stderr().is_terminal() {
                    say(&format!(
                        "nothing from {} to {}; --from -1d or a date looks further back",
                        search.from, search.to
                    ));
                }
                return ended(&frame, printer.printed, limit);
            }
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

/// Answers go to stdout, what is said about them to stderr.
#[expect(clippy::print_stderr, reason = "the one place where something is said about an answer")]
fn say(sentence: &str) {
    eprintln!("tailbuck: {sentence}");
}

/// Says what the answer lacks, and whether anything was found.
fn ended(frame: &Value, printed: u64, limit: u64) -> anyhow::Result<Outcome> {
    let why = frame["why"].as_str().unwrap_or_default();
    if why == "limit" {
        say(&format!("there is more; --limit {limit} was reached"));
    }
    if why == "timeout" {
        say("the time for a search was up; this is not all");
    }
    if frame["missing"].as_array().is_some_and(|missing| !missing.is_empty()) {
        say(frame["complete"].as_str().unwrap_or("the answer is not complete"));
    }
    Ok(if printed > 0 { Outcome::Done } else { Outcome::Nothing })
}

fn follow(web: &Web, search: &Search, printer: &mut Printer) -> anyhow::Result<Outcome> {
    let environments = search.environments.join(",");
    let mut parameters = vec![("q", search.query.as_str())];
    if !environments.is_empty() {
        parameters.push(("env", &environments));
    }
    let mut reply = asked(web, "/api/v1/live", &parameters)?;
    let mut left = search.limit.unwrap_or(u64::MAX);
    while let Some(frame) = next_frame(&mut reply)? {
        if frame["k"] == "ev" {
            printer.limit(left);
            printer.events(&frame)?;
            left = search.limit.unwrap_or(u64::MAX).saturating_sub(printer.printed);
            printer.flush()?;
        }
        note_gaps(&frame);
        if left == 0 {
            return Ok(Outcome::Done);
        }
    }
    bail!("{web}: the live tail ended")
}

fn note_gaps(frame: &Value) {
    if let Some(dropped) = frame["drop"].as_u64().filter(|dropped| *dropped > 0) {
        say(&format!("{dropped} events came too fast and were left out"));
    }
    if frame["k"] == "gap" {
        say(&format!("nothing is heard from {}", frame["node"].as_str().unwrap_or("a node")));
    }
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
            return ended(&frame, total, u64::MAX);
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

/// Asks, and turns a refusal into the web's own words.
fn asked(web: &Web, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Reply> {
    let mut reply =
        web.get(path, parameters, "application/x-ndjson").with_context(|| format!("{web} does not answer"))?;
    if reply.status == 200 {
        return Ok(reply);
    }
    let text = reply.text().unwrap_or_default();
    let error: Value = serde_json::from_str(&text).unwrap_or_default();
    let said = error["error"]["msg"].as_str().unwrap_or(text.trim()).to_owned();
    match error["error"]["at"].as_u64() {
        Some(at) => bail!("{said}, at byte {at} of the query"),
        None => bail!("{web}: {said} (HTTP {})", reply.status),
    }
}

fn next_frame(reply: &mut Reply) -> anyhow::Result<Option<Value>> {
    loop {
        let Some(line) = reply.line()? else { return Ok(None) };
        if !line.is_empty() {
            return Ok(Some(serde_json::from_slice(&line).context("the answer is not JSON")?));
        }
    }
}

/// Writes events to stdout in the asked format.
struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    terminal: bool,
    left: u64,
    printed: u64,
}

impl Printer {
    fn new(format: Format) -> Self {
        let out = BufWriter::with_capacity(64 << 10, io::stdout());
        Self { out, format, terminal: io::stdout().is_terminal(), left: u64::MAX, printed: 0 }
    }

    /// At most this many from here on.
    fn limit(&mut self, left: u64) {
        self.left = left;
    }

    fn events(&mut self, frame: &Value) -> anyhow::Result<()> {
        for event in frame["e"].as_array().into_iter().flatten() {
            if self.left == 0 {
                break;
            }
            self.event(event)?;
            self.left -= 1;
            self.printed += 1;
        }
        Ok(())
    }

    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        match self.format {
            Format::Json => serde_json::to_writer(&mut self.out, event)?,
            Format::Id => self.out.write_all(event["id"].as_str().unwrap_or_default().as_bytes())?,
            Format::Raw if self.terminal => self.out.write_all(web::clean::shown(&line_of(event)?).as_bytes())?,
            Format::Raw => self.out.write_all(&line_of(event)?)?,
        }
        Ok(self.out.write_all(b"\n")?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The exact bytes: `b` in base 64 where the line is not text, else `m`.
fn line_of(event: &Value) -> anyhow::Result<Vec<u8>> {
    match event["b"].as_str() {
        Some(encoded) => from_base64(encoded).context("an event's bytes are not base 64"),
        None => Ok(event["m"].as_str().context("an event without a line")?.as_bytes().to_vec()),
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(((bits >> count) & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_gives_back_any_bytes() {
        assert_eq!(from_base64("/wAK"), Some(vec![0xff, 0, 10]));
        assert_eq!(from_base64("/wA="), Some(vec![0xff, 0]));
        assert_eq!(from_base64("/w=="), Some(vec![0xff]));
        assert_eq!(from_base64(""), Some(vec![]));
        assert_eq!(from_base64("a b"), None);
    }

    #[test]
    fn counts_add_up_however_they_nest() {
        assert_eq!(sum(&serde_json::json!([[1, 2], [3]])), 6);
        assert_eq!(sum(&Value::Null), 0);
    }
}
