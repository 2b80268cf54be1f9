//! Asking a web: where it is, what it answers, and its refusals in its own words.

use crate::args::Cluster;
use crate::http::{Reply, Web};
use crate::settings::Settings;
use anyhow::{Context, bail};
use serde_json::Value;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The file in a data folder in which a running `up` says where its web is.
pub const WEB_URL_FILE: &str = "web.url";

/// A web understood and does not do it.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    said: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for Refused {}

/// Where the web is: as told, as the settings say, or where a running `up` left word.
pub fn find_web(cluster: &Cluster) -> anyhow::Result<Web> {
    let url = if let Some(url) = &cluster.web {
        url.clone()
    } else if let Some(config) = &cluster.config {
        Settings::read(config)?.web_url.with_context(|| format!("settings {}: no web_url", config.display()))?
    } else {
        left_by_up(cluster.data.as_deref().unwrap_or(Path::new("tailbuck-data")))?
    };
    Web::parse(url.trim()).map_err(anyhow::Error::msg)
}

fn left_by_up(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(WEB_URL_FILE);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("no `tailbuck up` runs in {}; --data, --web and --config name another", folder.display())
        }
        read => read.with_context(|| path.display().to_string()),
    }
}

/// Asks, and turns a refusal into the web's own words.
pub fn asked(web: &Web, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Reply> {
    asked_within(web, path, parameters, None)
}

/// The same of an answer that is broken off when nothing comes for this long.
pub fn asked_within(
    web: &Web,
    path: &str,
    parameters: &[(&str, &str)],
    silence: Option<Duration>,
) -> anyhow::Result<Reply> {
    let reply = web.get(path, parameters, "application/x-ndjson", silence);
    let mut reply = reply.with_context(|| format!("{web} does not answer"))?;
    if reply.status == 200 {
        return Ok(reply);
    }
    let text = reply.text().unwrap_or_default();
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let error = &answer["error"];
    let mut said = error["msg"].as_str().unwrap_or(text.trim()).to_owned();
    match error["at"].as_u64() {
        Some(at) => said = format!("{said}, at byte {at} of the query"),
        None => said = format!("{web}: {said} (HTTP {})", reply.status),
    }
    if let Some(hint) = error["hint"].as_str() {
        said = format!("{said}; {hint}");
    }
    Err(Refused { status: reply.status, said }.into())
}

/// An answer that is one object.
pub fn whole(web: &Web, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
    let mut reply = asked(web, path, parameters)?;
    serde_json::from_str(&reply.text()?).with_context(|| format!("{web}: the answer is not JSON"))
}

/// The next object of an answer that is a stream of them; `None` at its end.
pub fn next_frame(reply: &mut Reply) -> anyhow::Result<Option<Value>> {
    loop {
        let Some(line) = reply.line()? else { return Ok(None) };
        if !line.is_empty() {
            return Ok(Some(serde_json::from_slice(&line).context("the answer is not JSON")?));
        }
    }
}

/// Answers go to stdout, what is said about them to stderr. What others wrote may be quoted in it.
#[expect(clippy::print_stderr, reason = "the one place where something is said about an answer")]
pub fn say(sentence: &str) {
    eprintln!("tailbuck: {}", web::clean::visible(sentence));
}
