//! How every node is, for the Cluster page: asked of each, or told by those that hear the ones that can't be asked.

use crate::complete::{Question, Shelf, judge};
use crate::config::Config;
use crate::fleet;
use crate::merge::{Away, Fate};
use crate::nodes::{Nodes, ask_one};
use crate::reply::Reply;
use crate::shelf;
use futures_util::future::{join, join_all};
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, End, Heard, Progress, SearchOrder, Status};
use proto::query::TimeRange;
use proto::roster::{Peer, Roster};
use proto::time::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A status costs a node nothing; who has not said it by then is away.
const STATUS_WITHIN: Duration = Duration::from_secs(2);

/// A tailer heard this long ago is well: three of its beats.
const HEARD_LATELY: Duration = Duration::from_secs(15);

/// What the page's completeness is about.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);

/// How far back the bucket that was ported last is looked for, and how far ahead of now an event may be stamped.
const PORTED_WITHIN: Duration = Duration::from_secs(3600);
const AHEAD: Duration = Duration::from_secs(300);

type Said = BTreeMap<NodeId, Result<Status, Away>>;

pub async fn look(nodes: &Arc<dyn Nodes>, config: &Config, environments: &[Environment]) -> Reply {
    let roster = nodes.roster();
    let asked: Vec<NodeId> = fleet::bucks(&roster).chain(fleet::porters(&roster)).collect();
    let answers = asked.iter().map(|node| status_of(&**nodes, *node));
    let answers = async { (join_all(answers).await, nodes.now().wall) };
    let ((answers, now), ported) = join(answers, ported_up_to(&**nodes, config, environments)).await;
    let said: Said = asked.iter().copied().zip(answers).collect();
    let mut cards: Vec<Value> = said.iter().map(|(node, status)| keeper(&roster, *node, status, now)).collect();
    cards.push(json!({
        "role": "web", "name": fleet::name(&roster, nodes.own()), "id": nodes.own().to_string(), "state": "up",
        "version": env!("CARGO_PKG_VERSION"),
    }));
    let heard = heard_by_all(&said);
    cards.extend(fleet::tailers(&roster, environments).map(|peer| tailer(&roster, peer, heard.get(&peer.id), now)));
    let verdict = verdict(&roster, config, environments, &said, now);
    Reply::json(&json!({
        "nodes": cards,
        "now": now.0.to_string(),
        "ported_up_to": ported.map(|at| at.0.to_string()),
        "roster": hex(&roster.hash()),
        "completeness": {"text": verdict.sentence, "complete": verdict.missing.is_empty()},
    }))
}

async fn status_of(nodes: &dyn Nodes, node: NodeId) -> Result<Status, Away> {
    match ask_one(nodes, node, Ask::Status, STATUS_WITHIN).await? {
        Answer::Status(status) => Ok(status),
        Answer::Refused(refusal) => Err(Away::Refused(refusal.to_string())),
        _ => Err(Away::Nonsense("no status")),
    }
}

/// The end of the newest bucket that stands on the shelf, if some lately ported one does.
async fn ported_up_to(nodes: &dyn Nodes, config: &Config, environments: &[Environment]) -> Option<Timestamp> {
    let now = nodes.now().wall;
    let range = TimeRange { from: now.before(PORTED_WITHIN), to: now.after(AHEAD) };
    let shelf = shelf::look(nodes, &config.limits, environments, range, &[]).await;
    let newest = shelf.snapshot().into_iter().map(|at| at.bucket).max()?;
    Some(config.width.end_of(newest))
}

fn keeper(roster: &Roster, node: NodeId, status: &Result<Status, Away>, now: Timestamp) -> Value {
    let peer = roster.by_id(node);
    let mut card = Map::new();
    card.insert("role".into(), peer.map_or("", |peer| peer.role.as_str()).into());
    card.insert("name".into(), fleet::name(roster, node).into());
    card.insert("id".into(), node.to_string().into());
    match status {
        Err(why) => {
            card.insert("state".into(), "unreachable".into());
            card.insert("why".into(), why.to_string().into());
        }
        Ok(status) => describe(&mut card, status, roster, now),
    }
    Value::Object(card)
}

fn describe(card: &mut Map<String, Value>, status: &Status, roster: &Roster, now: Timestamp) {
    let ours = roster.hash().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let skew_ms = (i128::from(status.clock.0) - i128::from(now.0)) / 1_000_000;
    card.insert("state".into(), if status.trouble.is_empty() { "up" } else { "trouble" }.into());
    card.insert("version".into(), status.version.clone().into());
    card.insert("uptime_s".into(), status.up_seconds.into());
    card.insert("clock_ahead_ms".into(), i64::try_from(skew_ms).unwrap_or(0).into());
    if status.roster != ours {
        card.insert("roster".into(), "another than this web's".into());
    }
    if !status.trouble.is_empty() {
        card.insert("why".into(), status.trouble.join("; ").into());
    }
    for (name, value) in &status.counters {
        card.entry(name.clone()).or_insert((*value).into());
    }
}

/// The latest word of each tailer, whichever buck heard it.
fn heard_by_all(said: &Said) -> BTreeMap<NodeId, Heard> {
    let mut latest: BTreeMap<NodeId, Heard> = BTreeMap::new();
    for heard in said.values().flatten().flat_map(|status| &status.heard) {
        let known = latest.entry(heard.tailer).or_insert_with(|| heard.clone());
        known.at = known.at.max(heard.at);
        known.filed = known.filed.max(heard.filed);
    }
    latest
}

fn tailer(roster: &Roster, peer: &Peer, heard: Option<&Heard>, now: Timestamp) -> Value {
    let name = fleet::name(roster, peer.id);
    let mut card = json!({"role": "tailer", "name": name, "id": peer.id.to_string(), "host": peer.hosts.first()});
    match heard {
        None => {
            card["state"] = "unheard".into();
            card["why"] = "no buck has heard it".into();
        }
        Some(heard) => {
            let lately = now.since(heard.at) <= HEARD_LATELY && now.since(heard.filed) <= HEARD_LATELY;
            card["state"] = if lately { "up" } else { "unheard" }.into();
            card["heard"] = heard.at.0.to_string().into();
            card["on_two_bucks_up_to"] = heard.filed.0.to_string().into();
        }
    }
    card
}

/// What a search over the last minutes would say of itself.
fn verdict(
    roster: &Roster,
    config: &Config,
    environments: &[Environment],
    said: &Said,
    now: Timestamp,
) -> crate::complete::Verdict {
    let question = Question {
        roster,
        environments,
        range: TimeRange { from: now.before(LOOK_BACK), to: now },
        order: SearchOrder::Newest,
        now,
        width: config.width,
    };
    let fates = said.iter().map(|(node, status)| (*node, fate(status))).collect();
    judge(&question, &Shelf::among(roster, &fates), &fates)
}

fn fate(status: &Result<Status, Away>) -> Fate {
    match status {
        Err(why) => Fate::Away { why: why.clone(), reached: None },
        Ok(status) => Fate::Answered(End {
            exhausted: true,
            progress: Progress::default(),
            heard: status.heard.clone(),
            // Of the past; it stands on the node's card. It says nothing of what an answer would lack now.
            trouble: Vec::new(),
        }),
    }
}

#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
