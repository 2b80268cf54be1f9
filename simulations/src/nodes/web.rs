//! A web: asks a porter what stands, then that porter and every buck at once, and makes one answer of what they say
//! with the program's own parts. What it finds is judged when the run is over.

use crate::needles::Needle;
use crate::nodes::{BUCKS, PORTERS};
use crate::world::{Process, What, World};
use proto::event::{OwnedEvent, TimeOrder};
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, CatalogAsk, Part, SearchAsk, SearchOrder, ShardVersion, Want};
use proto::query::TimeRange;
use proto::time::{BucketId, Timestamp};
use rand::RngExt;
use std::collections::BTreeMap;
use std::time::Duration;
use web::complete::{Question, Shelf, judge};
use web::counts::Tally;
use web::merge::{Away, Merge, Step};

/// A node that says nothing for so long is set aside; silence itself comes from the asking hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, as its reader has it.
#[derive(Debug)]
pub struct Found {
    pub needle: Needle,
    pub began: Duration,
    pub order: SearchOrder,
    pub rows: Vec<OwnedEvent>,
    /// It says that it lacks nothing.
    pub complete: bool,
    pub sentence: String,
    /// How many there are by counting, and whether that claims to be exact.
    pub count: (u64, bool),
    /// Asked when all was in order.
    pub last: bool,
}

#[derive(Debug)]
struct Look {
    needle: Needle,
    began: Duration,
    order: SearchOrder,
    page_rows: u32,
    last: bool,
    shelf: Shelf,
    snapshot: Vec<ShardVersion>,
    merge: Merge,
    rows: Vec<OwnedEvent>,
    rows_done: bool,
    tally: Tally,
    counting: usize,
}

/// What a question is for.
#[derive(Clone, Debug)]
enum Errand {
    /// Of the porter with this number.
    Catalog(u64),
    Rows(NodeId),
    Counts(NodeId),
    Receipts(Vec<(Environment, BucketId)>),
}

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    looks: BTreeMap<u64, Look>,
    asked: BTreeMap<u64, (u64, Errand)>,
    pub found: Vec<Found>,
}

impl Node {
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self { id, looks: BTreeMap::new(), asked: BTreeMap::new(), found: Vec::new() }
    }

    pub fn look(&mut self, world: &mut World, needle: Needle, last: bool) {
        let order = [SearchOrder::Newest, SearchOrder::Oldest, SearchOrder::File][world.rng.random_range(0..3)];
        let look = Look {
            needle,
            began: world.timeline.now(),
            order,
            page_rows: world.rng.random_range(100..2000),
            last,
            shelf: Shelf::None,
            snapshot: Vec::new(),
            merge: Merge::new(order, None, PATIENCE),
            rows: Vec::new(),
            rows_done: false,
            tally: Tally::default(),
            counting: 0,
        };
        let number = world.next_number();
        self.looks.insert(number, look);
        self.ask_catalog(world, number, 1);
    }

    fn ask(&mut self, world: &mut World, look: u64, to: NodeId, ask: Ask, errand: Errand) {
        let number = world.ask(Process { node: self.id, run: 0 }, to, &What::Ask(ask));
        self.asked.insert(number, (look, errand));
    }

    fn ask_catalog(&mut self, world: &mut World, look: u64, porter: u64) {
        let TimeRange { from, to } = TimeRange::ALL;
        let ask = Ask::Catalog(CatalogAsk { environments: vec![Environment::default()], from, to });
        self.ask(world, look, NodeId(PORTERS + porter), ask, Errand::Catalog(porter));
    }

    fn ask_search(&mut self, world: &mut World, number: u64, to: NodeId, want: Want, after: Option<TimeOrder>) {
        let Some(look) = self.looks.get(&number) else { return };
        let TimeRange { from, to: end } = TimeRange::ALL;
        let ask = SearchAsk {
            query: look.needle.query(),
            environments: vec![Environment::default()],
            from,
            to: end,
            order: look.order,
            want,
            after,
            snapshot: look.snapshot.clone(),
        };
        let errand = if matches!(want, Want::Rows { .. }) { Errand::Rows(to) } else { Errand::Counts(to) };
        self.ask(world, number, to, Ask::Search(ask), errand);
    }

    /// What stands is known, or nobody says it: everyone is asked.
    fn ask_all(&mut self, world: &mut World, number: u64, shelf: Shelf) {
        let now = world.timeline.now();
        let Some(look) = self.looks.get_mut(&number) else { return };
        let mut nodes: Vec<NodeId> = (1..=world.options.bucks).map(|n| NodeId(BUCKS + n)).collect();
        if let Shelf::Catalog { porter, shards } = &shelf {
            nodes.push(*porter);
            look.snapshot = shards.iter().map(|shard| shard.at.clone()).collect();
        }
        look.shelf = shelf;
        look.tally = Tally::new(&look.snapshot);
        look.counting = nodes.len();
        nodes.iter().for_each(|node| look.merge.add(*node, now));
        let limit = look.page_rows;
        for node in nodes {
            self.ask_search(world, number, node, Want::Rows { limit }, None);
            self.ask_search(world, number, node, Want::Counts { step_nanos: 0 }, None);
        }
    }

    pub fn on_answer(&mut self, world: &mut World, number: u64, from: NodeId, answers: Vec<Answer>) {
        let Some((look, errand)) = self.asked.remove(&number) else { return };
        match errand {
            Errand::Catalog(porter) => match answers.into_iter().next() {
                Some(Answer::Catalog(catalog)) => {
                    self.ask_all(world, look, Shelf::Catalog { porter: from, shards: catalog.shards });
                }
                _ => self.next_porter(world, look, porter),
            },
            Errand::Rows(node) => self.on_rows(world.timeline.now(), look, node, answers),
            Errand::Counts(node) => self.on_counts(world, look, node, Some(answers)),
            Errand::Receipts(asked) => {
                let receipts = match answers.into_iter().next() {
                    Some(Answer::Receipts(receipts)) => Some(receipts),
                    _ => None,
                };
                self.on_receipts(look, &asked, receipts.as_deref());
            }
        }
        self.go_on(world, look);
    }

    pub fn on_silence(&mut self, world: &mut World, number: u64) {
        let Some((look, errand)) = self.asked.remove(&number) else { return };
        match errand {
            Errand::Catalog(porter) => self.next_porter(world, look, porter),
            Errand::Rows(node) => {
                if let Some(look) = self.looks.get_mut(&look) {
                    look.merge.on_away(node, Away::Silent);
                }
            }
            Errand::Counts(node) => self.on_counts(world, look, node, None),
            Errand::Receipts(asked) => self.on_receipts(look, &asked, None),
        }
        self.go_on(world, look);
    }

    fn next_porter(&mut self, world: &mut World, look: u64, porter: u64) {
        if porter < world.options.porters {
            self.ask_catalog(world, look, porter + 1);
        } else {
            self.ask_all(world, look, Shelf::Away(NodeId(PORTERS + porter), Away::Silent));
        }
    }

    fn on_rows(&mut self, now: Duration, look: u64, node: NodeId, answers: Vec<Answer>) {
        let Some(look) = self.looks.get_mut(&look) else { return };
        for answer in answers {
            match answer {
                Answer::Part(part) => look.merge.on_part(now, node, part),
                Answer::Refused(why) => look.merge.on_away(node, Away::Refused(why.to_string())),
                _ => look.merge.on_away(node, Away::Nonsense("no part of a search")),
            }
        }
    }

    fn on_counts(&mut self, world: &mut World, number: u64, node: NodeId, answers: Option<Vec<Answer>>) {
        let Some(look) = self.looks.get_mut(&number) else { return };
        let mut ended = false;
        for answer in answers.into_iter().flatten() {
            match answer {
                Answer::Part(Part::Counts(counts)) if node.0 < PORTERS => look.tally.on_buck(counts),
                Answer::Part(Part::Counts(counts)) => look.tally.on_shelf(counts),
                Answer::Part(Part::End(end)) => ended = end.exhausted && end.trouble.is_empty(),
                _ => {}
            }
        }
        if !ended {
            look.tally.is_short();
        }
        look.counting = look.counting.saturating_sub(1);
        if look.counting > 0 {
            return;
        }
        let wanted = look.tally.wanted_receipts();
        if let (Shelf::Catalog { porter, .. }, false) = (&look.shelf, wanted.is_empty()) {
            let porter = *porter;
            look.counting = 1;
            let ask = Ask::Receipts { buckets: wanted.clone() };
            self.ask(world, number, porter, ask, Errand::Receipts(wanted));
        }
    }

    fn on_receipts(
        &mut self,
        look: u64,
        asked: &[(Environment, BucketId)],
        receipts: Option<&[proto::message::Receipt]>,
    ) {
        if let Some(look) = self.looks.get_mut(&look) {
            look.tally.on_receipts(asked, receipts);
            look.counting = 0;
        }
    }

    /// Gives out what can be given out, and ends the answer when there is no more of it.
    fn go_on(&mut self, world: &mut World, number: u64) {
        let now = world.timeline.now();
        while let Some(look) = self.looks.get_mut(&number).filter(|look| !look.rows_done && !look.snapshotting()) {
            match look.merge.step(now) {
                Step::Event(event) => look.rows.push(event),
                Step::Ask { node, after } => {
                    let limit = look.page_rows;
                    self.ask_search(world, number, node, Want::Rows { limit }, after);
                }
                Step::Wait => break,
                Step::Finished => look.rows_done = true,
            }
        }
        if self.looks.get(&number).is_some_and(|look| look.rows_done && look.counting == 0)
            && let Some(look) = self.looks.remove(&number)
        {
            self.end(world, look);
        }
    }

    fn end(&mut self, world: &mut World, look: Look) {
        let environments = [Environment::default()];
        let question = Question {
            roster: &world.roster,
            environments: &environments,
            range: TimeRange::ALL,
            order: look.order,
            now: wall_at(world, look.began),
            width: world.width(),
        };
        let verdict = judge(&question, &look.shelf, &look.merge.fates());
        let (cells, exact) = look.tally.total();
        let Look { needle, began, order, rows, last, .. } = look;
        let (complete, sentence) = (verdict.is_complete(), verdict.sentence);
        world.note(self.id, &format!("{} rows for {}: {sentence}", rows.len(), needle.query()));
        self.found.push(Found {
            needle,
            began,
            order,
            rows,
            complete,
            sentence,
            count: (cells.values().sum(), exact),
            last,
        });
    }
}

impl Look {
    /// Nobody was asked for rows yet.
    fn snapshotting(&self) -> bool {
        self.merge.fates().is_empty()
    }
}

/// What the web's clock said then.
fn wall_at(world: &World, at: Duration) -> Timestamp {
    world.wall().before(world.timeline.now().saturating_sub(at))
}
