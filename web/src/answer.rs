//! Requests to replies: which path is answered by what, and what every request must pass first.
//!
//! A request is refused unless it names this machine as its host, so that a page of elsewhere can't reach the API
//! by having its own name point here; unless it comes from a page of this origin, or from no page; and when it is
//! too long. Nothing but `POST …/stop` changes anything.

use crate::api::{self, Complaint, ContextQuestion, ExportFormat, ExportQuestion, HitsQuestion, LiveQuestion, Params};
use crate::api::{Reader, SearchQuestion};
use crate::cluster::{self, hex};
use crate::feed::{self, Style};
use crate::reply::{self, Body, Reply};
use crate::site::{Kind, Site};
use crate::{assets, context, fleet, hits, live};
use bytes::Bytes;
use proto::ids::Environment;
use proto::query::parse_with_spans;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An address with its query: a query's text three times encoded, a cursor, and room.
const TARGET_BYTES_MAX: usize = 64 << 10;

/// No route reads a body.
const BODY_BYTES_MAX: u64 = 4 << 10;

/// What is known of a request once its head was read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// The query's parameters; none when they can't be read.
    pub pairs: Option<Vec<(String, String)>>,
    /// The host it names, without the port.
    pub host: Option<String>,
    /// The host it names, as written.
    pub authority: Option<String>,
    pub origin: Option<String>,
    /// What the browser says of where the request came from.
    pub fetch_site: Option<String>,
    pub accept: Option<String>,
    pub accept_encoding: Option<String>,
    pub if_none_match: Option<String>,
    /// The header that no form and no foreign page can send.
    pub is_marked: bool,
    pub body_bytes: Option<u64>,
}

pub async fn answer(site: Arc<Site>, request: Request) -> Reply {
    bump(&site.counters.requests);
    let reply = match admit(&request) {
        Ok(()) => route(&site, &request).await,
        Err(complaint) => Err(complaint),
    };
    reply.unwrap_or_else(|complaint| {
        bump(&site.counters.refused);
        complaint.into()
    })
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn admit(request: &Request) -> Result<(), Complaint> {
    if request.path.len() + request.query.len() > TARGET_BYTES_MAX {
        return Err(Complaint::new(414, "too_long", format!("an address has at most {TARGET_BYTES_MAX} bytes")));
    }
    if request.body_bytes.is_none_or(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(Complaint::new(413, "too_large", "nothing here takes a body".into()));
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !is_this_machine(host) {
        let said = format!("{host:?} is not what this server is called; open it as 127.0.0.1 or localhost");
        return Err(Complaint::new(421, "wrong_host", said));
    }
    let foreign = |site: &str| !matches!(site, "same-origin" | "none");
    let own_origin = request.authority.as_ref().map(|authority| format!("http://{authority}"));
    let foreign_origin = request.origin.is_some() && request.origin != own_origin;
    let foreign_fetch = request.path != "/" && request.fetch_site.as_deref().is_some_and(foreign);
    if foreign_origin || foreign_fetch {
        return Err(Complaint::new(403, "foreign_page", "pages of other sites may not ask here".into()));
    }
    Ok(())
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Every path but those of the page's files, for tests that must miss none.
pub const PATHS: [&str; 13] = [
    "/healthz",
    "/metrics",
    "/api/v1/buildinfo",
    "/api/v1/parse",
    "/api/v1/search",
    "/api/v1/hits",
    "/api/v1/live",
    "/api/v1/context",
    "/api/v1/event/",
    "/api/v1/export",
    "/api/v1/cluster",
    "/api/v1/search/x/stop",
    "/",
];

async fn route(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let path = request.path.as_str();
    if let Some(name) = path.strip_prefix("/api/v1/search/").and_then(|rest| rest.strip_suffix("/stop")) {
        return stop(site, request, name);
    }
    if request.method != "GET" {
        return Err(Complaint::new(405, "wrong_method", format!("{path} is read with GET")));
    }
    if let Some(id) = path.strip_prefix("/api/v1/event/") {
        none(request)?;
        return event(site, id).await;
    }
    if matches!(path, "/healthz" | "/metrics" | "/api/v1/buildinfo" | "/api/v1/cluster") {
        none(request)?;
    }
    match path {
        "/healthz" => Ok(Reply::whole(200, reply::TEXT, "ok\n")),
        "/metrics" => Ok(Reply::whole(200, "text/plain; version=0.0.4", site.metrics())),
        "/api/v1/buildinfo" => Ok(Reply::json(&build_info(site))),
        "/api/v1/parse" => parse(request),
        "/api/v1/search" => search(site, request),
        "/api/v1/hits" => histogram(site, request),
        "/api/v1/live" => tail(site, request),
        "/api/v1/export" => export(site, request),
        "/api/v1/context" => around(site, request).await,
        "/api/v1/cluster" => Ok(cluster::look(&site.nodes, &site.config, &readable(site)).await),
        _ => file(request),
    }
}

fn file(request: &Request) -> Result<Reply, Complaint> {
    let not_found = || Complaint::not_found(&format!("there is nothing at {}", request.path));
    let asset = assets::find(&request.path).ok_or_else(not_found)?;
    let known = request.if_none_match.as_deref() == Some(asset.etag.as_str());
    let takes_gzip = request.accept_encoding.as_deref().is_some_and(|accept| accept.contains("gzip"));
    let (status, body) = match (known, takes_gzip) {
        (true, _) => (304, Bytes::new()),
        (false, true) => (200, asset.gzip.clone()),
        (false, false) => (200, asset.bytes.clone()),
    };
    Ok(Reply {
        status,
        content_type: asset.content_type,
        cache_control: asset.cache_control,
        etag: Some(asset.etag.clone()),
        is_gzip: takes_gzip && !known,
        body: Body::Whole(body),
    })
}

fn build_info(site: &Site) -> Value {
    let roster = hex(&site.nodes.roster().hash());
    json!({"version": env!("CARGO_PKG_VERSION"), "build": assets::build(), "roster": roster})
}

fn readable(site: &Site) -> Vec<Environment> {
    fleet::environments(&site.nodes.roster(), site.nodes.own())
}

fn params(request: &Request) -> Result<Params, Complaint> {
    let unreadable = || Complaint::bad("parameters", "the part behind the question mark can't be read");
    Params::new(request.pairs.clone().ok_or_else(unreadable)?)
}

/// Of a route that takes no parameters.
fn none(request: &Request) -> Result<(), Complaint> {
    match params(request)?.first() {
        Some(name) => Err(Complaint::bad(name, "not known here; nothing is")),
        None => Ok(()),
    }
}

/// Reads a question as of now, by who may see what.
fn read<T>(
    site: &Site,
    request: &Request,
    read: impl FnOnce(&Params, &Reader<'_>) -> Result<T, Complaint>,
) -> Result<T, Complaint> {
    let environments = readable(site);
    read(&params(request)?, &Reader { now: site.nodes.now().wall, environments: &environments })
}

fn parse(request: &Request) -> Result<Reply, Complaint> {
    let params = params(request)?;
    params.only(&["q"])?;
    let parsed = parse_with_spans(params.get("q").unwrap_or_default())?;
    let spans: Vec<Value> = parsed
        .spans
        .iter()
        .map(|span| json!({"at": span.at, "len": span.len, "kind": span.kind.as_str(), "note": span.note}))
        .collect();
    let warnings: Vec<Value> = parsed
        .warnings
        .iter()
        .map(|warning| json!({"at": warning.at, "len": warning.len, "msg": warning.message}))
        .collect();
    Ok(Reply::json(&json!({"spans": spans, "warnings": warnings, "reads_as": parsed.query.to_string()})))
}

fn search(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let question = read(site, request, SearchQuestion::read)?;
    let running = site.start(Kind::Search)?;
    bump(&site.counters.searches);
    let (nodes, config) = (Arc::clone(&site.nodes), Arc::clone(&site.config));
    Ok(Reply::stream(reply::NDJSON, feed::bytes(nodes, config, question, Style::Frames, running)))
}

fn export(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let question = read(site, request, ExportQuestion::read)?;
    let running = site.start(Kind::Search)?;
    bump(&site.counters.searches);
    let (nodes, config) = (Arc::clone(&site.nodes), Arc::clone(&site.config));
    let content_type = match question.format {
        ExportFormat::Raw => reply::BYTES,
        ExportFormat::Ndjson => reply::NDJSON,
    };
    let style = Style::File(question.format);
    Ok(Reply::stream(content_type, feed::bytes(nodes, config, question.search, style, running)))
}

fn histogram(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let question = read(site, request, HitsQuestion::read)?;
    let running = site.start(Kind::Search)?;
    bump(&site.counters.histograms);
    let (nodes, config) = (Arc::clone(&site.nodes), Arc::clone(&site.config));
    Ok(Reply::stream(reply::NDJSON, hits::bytes(nodes, config, question, running)))
}

fn tail(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let as_events = request.accept.as_deref().is_some_and(|accept| accept.contains(reply::EVENT_STREAM));
    let question = read(site, request, |params, reader| LiveQuestion::read(params, reader, as_events))?;
    let running = site.start(Kind::Tail)?;
    bump(&site.counters.tails);
    let (nodes, config) = (Arc::clone(&site.nodes), Arc::clone(&site.config));
    let content_type = if as_events { reply::EVENT_STREAM } else { reply::NDJSON };
    Ok(Reply::stream(content_type, live::bytes(nodes, config, question, running, as_events)))
}

async fn around(site: &Arc<Site>, request: &Request) -> Result<Reply, Complaint> {
    let question = read(site, request, ContextQuestion::read)?;
    let _running = site.start(Kind::Search)?;
    context::around(&site.nodes, &site.config, &question).await
}

/// One event alone: no lines before it and none after.
async fn event(site: &Arc<Site>, id: &str) -> Result<Reply, Complaint> {
    let question = ContextQuestion { event: api::event_id(id)?, environments: readable(site), before: 0, after: 0 };
    let _running = site.start(Kind::Search)?;
    context::around(&site.nodes, &site.config, &question).await
}

fn stop(site: &Site, request: &Request, name: &str) -> Result<Reply, Complaint> {
    if request.method != "POST" {
        return Err(Complaint::new(405, "wrong_method", "a search is stopped with POST".into()));
    }
    if !request.is_marked {
        return Err(Complaint::new(403, "foreign_page", "this needs the header X-Tailbuck: 1".into()));
    }
    if site.stop(name) {
        Ok(Reply::json(&json!({"stopped": name})))
    } else {
        Err(Complaint::not_found("no such search runs"))
    }
}

#[cfg(test)]
mod tests;
