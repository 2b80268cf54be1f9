//! How complete an answer is: who is away, which hosts were not heard, what the shelf is known to lack.
//!
//! Every acknowledged packet is on two bucks or on the shelf. So one buck away hides nothing that two acknowledged,
//! and is a remark; two away may. A tailer says in each beat up to when everything it filed is on two bucks: one
//! whose word does not reach the end of the question was not heard. What a porter found missing when it ported may
//! have come since; where the tailer's word and all bucks stand for it, it is in this answer already.
//!
//! A sentence for people and the data behind it; nothing is asked here.

use crate::fleet;
use crate::merge::{Away, Fate};
use proto::ids::{Environment, NodeId};
use proto::message::{End, SearchOrder, SeqRange, Shard};
use proto::query::TimeRange;
use proto::roster::{Environments, Roster};
use proto::time::{BucketWidth, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far a tailer's last word may lie behind the end of the question: three of its beats.
const QUIET: Duration = Duration::from_secs(15);

/// A packet that came after its bucket was ported is ported again within ten minutes; by then a porter knows.
const PORTED_AGAIN: Duration = Duration::from_secs(15 * 60);

/// Things a sentence names before it counts the rest.
const NAMED_MAX: usize = 4;

/// What was asked, and of whom.
#[derive(Debug)]
pub struct Question<'a> {
    pub roster: &'a Roster,
    pub environments: &'a [Environment],
    /// The part of the range that the answer claims to cover; empty when it is about keepers alone.
    pub range: TimeRange,
    pub order: SearchOrder,
    pub now: Timestamp,
    pub width: BucketWidth,
}

/// What stands on the shelf, as far as anyone told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// The cluster has no porter.
    None,
    /// No porter answered; why, of the last one asked.
    Away(NodeId, Away),
    Catalog {
        porter: NodeId,
        shards: Vec<Shard>,
    },
}

impl Shelf {
    /// Of an answer that was asked of all porters at once: one that answers is enough, for the shelf is one.
    #[must_use]
    pub fn among(roster: &Roster, fates: &BTreeMap<NodeId, Fate>) -> Self {
        let mut shelf = Self::None;
        for porter in fleet::porters(roster) {
            match fates.get(&porter) {
                Some(Fate::Away { why, .. }) => shelf = Self::Away(porter, why.clone()),
                Some(_) => return Self::Catalog { porter, shards: Vec::new() },
                None => {}
            }
        }
        shelf
    }
}

/// Something an answer lacks, or may lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub node: NodeId,
    /// It is a host whose lines are missing, not a keeper of others' lines.
    pub is_host: bool,
    pub name: String,
    pub range: TimeRange,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub missing: Vec<Missing>,
    /// Nodes that did not answer, each with why; not all of them make an answer incomplete.
    pub away: BTreeMap<String, String>,
    pub sentence: String,
}

impl Verdict {
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

#[must_use]
pub fn judge(question: &Question<'_>, shelf: &Shelf, fates: &BTreeMap<NodeId, Fate>) -> Verdict {
    let bench = Bench::new(question, shelf, fates);
    let mut missing = bench.keepers_missing();
    missing.extend(bench.hosts_missing());
    let away = bench.away_names();
    let sentence = sentence(question, &missing, &away);
    Verdict { missing, away, sentence }
}

/// The evidence, laid out.
struct Bench<'a> {
    question: &'a Question<'a>,
    shelf: &'a Shelf,
    fates: &'a BTreeMap<NodeId, Fate>,
    porter: Option<NodeId>,
    bucks_away: Vec<NodeId>,
    bucks: usize,
    /// Up to when each tailer's lines are on two bucks, as any buck heard it.
    filed: BTreeMap<NodeId, Timestamp>,
    /// Some buck said whom it has heard.
    anyone_told: bool,
    /// The end of the newest bucket of each environment that all who write into it have closed.
    closed: BTreeMap<&'a Environment, Timestamp>,
}

impl<'a> Bench<'a> {
    fn new(question: &'a Question<'a>, shelf: &'a Shelf, fates: &'a BTreeMap<NodeId, Fate>) -> Self {
        let porter = match shelf {
            Shelf::Catalog { porter, .. } => Some(*porter),
            Shelf::None | Shelf::Away(..) => None,
        };
        let bucks: Vec<NodeId> = fleet::bucks(question.roster).collect();
        let bucks_away = bucks.iter().copied().filter(|buck| fates.get(buck).is_none_or(fell_short)).collect();
        let mut bench = Self {
            question,
            shelf,
            fates,
            porter,
            bucks_away,
            bucks: bucks.len(),
            filed: BTreeMap::new(),
            anyone_told: false,
            closed: closed(question, shelf),
        };
        for end in bucks.iter().filter_map(|buck| end_of(fates.get(buck)?)) {
            bench.hear(end);
        }
        bench
    }

    fn hear(&mut self, end: &End) {
        self.anyone_told = true;
        for heard in end.heard.iter().filter(|heard| self.question.environments.contains(&heard.environment)) {
            let filed = self.filed.entry(heard.tailer).or_insert(heard.filed);
            *filed = (*filed).max(heard.filed);
        }
    }

    /// Bucks and porters whose silence may hide something.
    fn keepers_missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        if let Shelf::Away(porter, why) = self.shelf {
            missing.push(self.keeper(
                *porter,
                self.question.range,
                format!("{why}; what only the shelf holds is missing"),
            ));
        }
        if let Some(porter) = self.porter
            && let Some(why) = self.fates.get(&porter).and_then(shortfall)
        {
            missing.push(self.keeper(porter, self.not_reached(porter), why));
        }
        if !self.bucks_cover() {
            for buck in &self.bucks_away {
                let why = self.fates.get(buck).and_then(shortfall).unwrap_or_else(|| "was not asked".into());
                missing.push(self.keeper(*buck, self.not_reached(*buck), why));
            }
        }
        missing
    }

    /// Whether the bucks that answered hold everything that two bucks acknowledged.
    fn bucks_cover(&self) -> bool {
        self.bucks_away.len() < self.bucks.clamp(1, 2)
    }

    fn keeper(&self, node: NodeId, range: TimeRange, why: String) -> Missing {
        Missing { node, is_host: false, name: fleet::name(self.question.roster, node), range, why }
    }

    /// The part of the range that a node had not told of when it left.
    fn not_reached(&self, node: NodeId) -> TimeRange {
        let range = self.question.range;
        let Some(Fate::Away { reached: Some(reached), .. }) = self.fates.get(&node) else { return range };
        match self.question.order {
            SearchOrder::Newest => TimeRange { to: range.to.min(*reached), ..range },
            SearchOrder::Oldest => TimeRange { from: range.from.max(*reached), ..range },
            SearchOrder::File => range,
        }
    }

    fn hosts_missing(&self) -> Vec<Missing> {
        let mut hosts: BTreeMap<NodeId, Missing> = BTreeMap::new();
        let mut add = |node: NodeId, range: TimeRange, why: String| {
            let name = fleet::name(self.question.roster, node);
            let known = hosts.entry(node).or_insert(Missing { node, is_host: true, name, range, why });
            known.range = TimeRange { from: known.range.from.min(range.from), to: known.range.to.max(range.to) };
        };
        for (node, since) in self.tailers_unheard() {
            let why = since.map_or("never heard".to_owned(), |since| format!("not heard since {}", seconds(since)));
            let range = self.question.range;
            add(node, TimeRange { from: range.from.max(since.unwrap_or(range.from)), to: self.needed() }, why);
        }
        for (node, range, why) in self.shelf_lacks() {
            add(node, range, why);
        }
        hosts.into_values().collect()
    }

    /// Up to when tailers must have been heard for the answer to be whole.
    fn needed(&self) -> Timestamp {
        self.question.range.to.min(self.question.now)
    }

    /// Tailers whose word does not reach the end of the question, and up to when it does.
    fn tailers_unheard(&self) -> Vec<(NodeId, Option<Timestamp>)> {
        if !self.anyone_told || self.question.range.is_empty() {
            return Vec::new();
        }
        let reaches = |node: NodeId| {
            let known = self.filed.get(&node).copied().max(self.closed_to(node));
            (known.is_none_or(|filed| filed.after(QUIET) < self.needed())).then_some((node, known))
        };
        fleet::tailers(self.question.roster, self.question.environments).filter_map(|peer| reaches(peer.id)).collect()
    }

    /// The end of the newest bucket that this tailer has closed like all others, in each of its environments. One that
    /// may write into any is expected in none.
    fn closed_to(&self, tailer: NodeId) -> Option<Timestamp> {
        let Environments::Only(writes) = &self.question.roster.by_id(tailer)?.environments else { return None };
        let asked = self.question.environments.iter().filter(|environment| writes.contains(environment));
        let closed = asked.map(|environment| self.closed.get(environment).copied());
        closed.min().flatten()
    }

    /// What porters knew to be missing when they ported, and has not come since.
    fn shelf_lacks(&self) -> Vec<(NodeId, TimeRange, String)> {
        let Shelf::Catalog { shards, .. } = self.shelf else { return Vec::new() };
        let mut lacks = Vec::new();
        for shard in shards {
            let width = self.question.width;
            let bucket = TimeRange { from: width.start_of(shard.at.bucket), to: width.end_of(shard.at.bucket) };
            let range = bucket.and(self.question.range);
            let open = |node: &NodeId| fleet::is_tailer(self.question.roster, *node) && !range.is_empty();
            for node in shard.completeness.unheard.iter().filter(|node| open(node)) {
                if !self.stands_for(*node, bucket.to) {
                    lacks.push((*node, range, "was away when this was put on the shelf".to_owned()));
                }
            }
            for gap in shard.completeness.missing.iter().filter(|gap| open(&gap.tailer)) {
                if !self.came_since(shard, gap, bucket.to) {
                    lacks.push((
                        gap.tailer,
                        range,
                        format!("{} packets are missing", u64::from(gap.last - gap.first.min(gap.last)) + 1),
                    ));
                }
            }
        }
        lacks
    }

    /// The tailer says that all it filed before `end` is on two bucks, and bucks told what they have.
    fn stands_for(&self, tailer: NodeId, end: Timestamp) -> bool {
        self.bucks_cover() && self.filed.get(&tailer).is_some_and(|filed| *filed >= end)
    }

    /// Packets that no buck had when the porter asked, and some buck must have now.
    fn came_since(&self, shard: &Shard, gap: &SeqRange, end: Timestamp) -> bool {
        let were_away = &shard.completeness.bucks_away;
        let back = !were_away.is_empty() && were_away.iter().all(|buck| !self.bucks_away.contains(buck));
        let soon = self.question.now.since(end) < PORTED_AGAIN;
        self.bucks_away.is_empty() && self.stands_for(gap.tailer, end) && (back || soon)
    }

    fn away_names(&self) -> BTreeMap<String, String> {
        let nodes = self.bucks_away.iter().copied().chain(self.porter);
        let short = nodes.filter_map(|node| Some((node, shortfall(self.fates.get(&node)?)?)));
        let mut away: BTreeMap<_, _> =
            short.map(|(node, why)| (fleet::name(self.question.roster, node), why)).collect();
        if let Shelf::Away(porter, why) = self.shelf {
            away.insert(fleet::name(self.question.roster, *porter), why.to_string());
        }
        away
    }
}

fn closed<'a>(question: &Question<'_>, shelf: &'a Shelf) -> BTreeMap<&'a Environment, Timestamp> {
    let Shelf::Catalog { shards, .. } = shelf else { return BTreeMap::new() };
    let mut buckets: BTreeMap<_, bool> = BTreeMap::new();
    for shard in shards {
        let key = (&shard.at.environment, shard.at.bucket);
        *buckets.entry(key).or_insert(true) &= shard.completeness.unheard.is_empty();
    }
    // In order of buckets, so that the newest of each environment stays.
    let closed = buckets.into_iter().filter(|(_, closed)| *closed);
    closed.map(|((environment, bucket), _)| (environment, question.width.end_of(bucket))).collect()
}

fn end_of(fate: &Fate) -> Option<&End> {
    match fate {
        Fate::Answered(end) | Fate::Cut { end: Some(end) } => Some(end),
        Fate::Away { .. } | Fate::Cut { end: None } => None,
    }
}

fn fell_short(fate: &Fate) -> bool {
    shortfall(fate).is_some()
}

/// Why a node's answer is not all it should be.
fn shortfall(fate: &Fate) -> Option<String> {
    match fate {
        Fate::Away { why, .. } => Some(why.to_string()),
        Fate::Answered(end) | Fate::Cut { end: Some(end) } => end.trouble.first().cloned(),
        Fate::Cut { end: None } => None,
    }
}

fn sentence(question: &Question<'_>, missing: &[Missing], away: &BTreeMap<String, String>) -> String {
    if !missing.is_empty() {
        let each = missing.iter().map(|lack| match lack.is_host {
            true if lack.why.starts_with("not heard") || lack.why == "never heard" => {
                format!("{} {}", lack.name, lack.why)
            }
            _ => format!("{} ({}, {} to {})", lack.name, lack.why, seconds(lack.range.from), seconds(lack.range.to)),
        });
        return format!("Incomplete: {}.", listed(each.collect(), missing.len()));
    }
    let open = question.range.to.after(QUIET) > question.now;
    let whole = if open { "Complete, the newest second excepted" } else { "Complete" };
    if away.is_empty() {
        return format!("{whole}.");
    }
    let each = away.iter().map(|(name, why)| format!("{name} is {why}")).collect();
    format!("{whole}: {}; what two bucks acknowledged is here.", listed(each, away.len()))
}

fn listed(each: Vec<String>, count: usize) -> String {
    let named = each.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join("; ");
    if count > NAMED_MAX { format!("{named}; and {} more", count - NAMED_MAX) } else { named }
}

/// To the second: nobody reads nine digits in a sentence.
fn seconds(time: Timestamp) -> String {
    let text = Timestamp::from_seconds(time.seconds()).to_string();
    text.replace(".000000000", "")
}

#[cfg(test)]
mod tests;
