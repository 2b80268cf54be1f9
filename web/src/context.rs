//! The lines around one event in its file, by offset, whatever their times say; and one event alone.
//!
//! Every buck and porter holds some of a stream's lines and gives the nearest it has; all together are the nearest
//! there are. Where the file has bytes between two of them that no line accounts for, the answer says so.

use crate::api::{Complaint, ContextQuestion};
use crate::complete::{Question, Shelf, judge};
use crate::config::Config;
use crate::fleet;
use crate::frames::{self, EventJson};
use crate::merge::Away;
use crate::nodes::{Nodes, Wires, Word};
use crate::reply::Reply;
use crate::roll::Roll;
use proto::event::{OwnedEvent, Source};
use proto::ids::{Environment, EventId, NodeId};
use proto::message::{Ask, ContextAsk, Part, Row, SearchOrder};
use proto::query::TimeRange;
use proto::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where a line stands in its file; two contents that claim one place are two lines.
type Place = (u64, u32, u32);

struct Gathering {
    event: EventId,
    lines: BTreeMap<Place, OwnedEvent>,
    sources: BTreeMap<NodeId, Vec<Arc<Source>>>,
    roll: Roll,
    wires: Wires,
}

#[derive(Serialize)]
struct Around<'a> {
    before: Vec<EventJson<'a>>,
    event: EventJson<'a>,
    after: Vec<EventJson<'a>>,
    /// Bytes of the file, from and to, that no line between the first and the last here has.
    holes: Vec<[u64; 2]>,
    complete: &'a str,
    missing: Vec<frames::MissingJson<'a>>,
}

/// Asks for the lines around an event, in each environment until one has it.
pub async fn around(nodes: &Arc<dyn Nodes>, config: &Config, question: &ContextQuestion) -> Result<Reply, Complaint> {
    let mut away = String::new();
    for environment in &question.environments {
        let gathering = gather(nodes, config, question, environment).await;
        match gathering.reply(nodes, config, question, environment) {
            Ok(reply) => return Ok(reply),
            Err(sentence) => away = sentence,
        }
    }
    Err(Complaint::not_found(&format!("no node that answered has this event. {away}")))
}

async fn gather(
    nodes: &Arc<dyn Nodes>,
    config: &Config,
    question: &ContextQuestion,
    environment: &Environment,
) -> Gathering {
    let mut gathering = Gathering {
        event: question.event,
        lines: BTreeMap::new(),
        sources: BTreeMap::new(),
        roll: Roll::new(config.limits.patience),
        wires: Wires::default(),
    };
    let ask = ContextAsk {
        event: question.event,
        environment: environment.clone(),
        before: question.before,
        after: question.after,
    };
    let roster = nodes.roster();
    for node in fleet::bucks(&roster).chain(fleet::porters(&roster)) {
        gathering.roll.asked(node, nodes.now().mono);
        gathering.wires.put(node, nodes.ask(node, Ask::Context(ask.clone())));
    }
    while !gathering.roll.is_done() {
        let now = nodes.now().mono;
        let wait = gathering.roll.next_timeout().unwrap_or(now).saturating_sub(now);
        match tokio::time::timeout(wait, gathering.wires.next(|_| true)).await {
            Ok((node, word)) => gathering.take(node, word, nodes.now().mono),
            Err(_) => gathering.roll.on_timeout(nodes.now().mono),
        }
        let roll = &gathering.roll;
        gathering.wires.retain(|node| roll.is_waiting_for(node));
    }
    gathering
}

impl Gathering {
    fn take(&mut self, node: NodeId, word: Word, now: Duration) {
        self.roll.on_word(node, now);
        match word {
            Word::Part(Part::Sources(sources)) => {
                self.sources.entry(node).or_default().extend(sources.into_iter().map(Arc::new));
            }
            Word::Part(Part::Rows(rows)) => self.take_rows(node, rows),
            Word::Part(Part::End(end)) => self.roll.on_end(node, end),
            Word::Part(Part::Progress(_)) => {}
            Word::Part(_) => self.roll.on_away(node, Away::Nonsense("a part that is no part of this")),
            Word::Refused(refusal) => self.roll.on_away(node, Away::Refused(refusal.to_string())),
            Word::Away(away) => self.roll.on_away(node, away),
        }
    }

    fn take_rows(&mut self, node: NodeId, rows: Vec<Row>) {
        let sources = self.sources.get(&node).map(Vec::as_slice).unwrap_or_default();
        for row in rows {
            let source = usize::try_from(row.source).ok().and_then(|index| sources.get(index));
            let Some(source) = source.filter(|source| source.stream == self.event.stream) else {
                return self.roll.on_away(node, Away::Nonsense("a line of another file"));
            };
            let event = crate::merge::owned(row, Arc::clone(source));
            let id = event.borrow().id();
            self.lines.insert((event.offset, id.length, id.crc), event);
        }
    }

    /// What was found, or who was away when nothing was.
    fn reply(
        &self,
        nodes: &Arc<dyn Nodes>,
        config: &Config,
        question: &ContextQuestion,
        environment: &Environment,
    ) -> Result<Reply, String> {
        let place = (self.event.offset, self.event.length, self.event.crc);
        let roster = nodes.roster();
        let now = nodes.now().wall;
        let asked = Question {
            roster: &roster,
            environments: std::slice::from_ref(environment),
            // Who was heard lately says nothing of a file's old lines; only keepers matter here.
            range: TimeRange { from: Timestamp::MIN, to: Timestamp::MIN },
            order: SearchOrder::File,
            now,
            width: config.width,
        };
        let verdict = judge(&asked, &Shelf::among(&roster, self.roll.fates()), self.roll.fates());
        let Some(event) = self.lines.get(&place) else { return Err(verdict.sentence) };
        let count = |lines: u32| usize::try_from(lines).unwrap_or(usize::MAX);
        let mut before: Vec<_> = self.lines.range(..place).rev().map(|(_, event)| event).collect();
        before.truncate(count(question.before));
        before.reverse();
        let after = self.lines.range(place..).skip(1).map(|(_, event)| event).take(count(question.after));
        let after: Vec<_> = after.collect();
        let holes = holes(before.iter().chain([&event]).chain(&after).copied());
        let answer = Around {
            before: before.into_iter().map(EventJson::from).collect(),
            event: EventJson::from(event),
            after: after.into_iter().map(EventJson::from).collect(),
            holes,
            complete: &verdict.sentence,
            missing: frames::missing(&verdict),
        };
        Ok(Reply::json(&answer))
    }
}

/// Between lines in the order of their file. They were left out by a rule, lost, or lie where nobody answered.
fn holes<'a>(lines: impl Iterator<Item = &'a OwnedEvent>) -> Vec<[u64; 2]> {
    let mut holes = Vec::new();
    let mut end: Option<u64> = None;
    for line in lines {
        holes.extend(end.filter(|end| *end < line.offset).map(|end| [end, line.offset]));
        end = end.max(Some(line.borrow().end()));
    }
    holes
}
