//! A porter: its machine, what it knows of the shelf, and errands to the shelf that take their time and may fail.

use crate::bugs;
use crate::faults::Bug;
use crate::nodes::catalogue::Catalogue;
use crate::nodes::desk::search;
use crate::nodes::life::Life;
use crate::world::{Event, Process, Question, What, World};
use porter::build::build;
use porter::check;
use porter::dedup::Earlier;
use porter::machine::{Action, AskId, Build, BuildOf, Machine, Peers, PutOutcome, Reply};
use porter::manifest::Manifest;
use porter::names::{Object, parse_path};
use porter::rules::Rules;
use proto::ids::{Environment, NodeId, PacketId};
use proto::message::{Answer, Ask, Catalog, Part, Refusal};
use proto::query::TimeRange;
use proto::record::Record;
use proto::time::BucketId;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often what other porters wrote is looked for.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// Something that takes a while. Carried out when that is over, and then told.
#[derive(Debug)]
pub struct Errand {
    ask: AskId,
    what: Action,
}

#[derive(Debug)]
enum Asked {
    Holdings(AskId),
    Inventory(AskId, BucketId),
    Fetch(AskId, Vec<PacketId>),
}

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub machine: Option<Machine>,
    pub life: Life,
    /// What answers are given from.
    catalog: Catalogue,
    asked: BTreeMap<u64, Asked>,
}

impl Node {
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self { id, machine: None, life: Life::new(id), catalog: Catalogue::default(), asked: BTreeMap::new() }
    }

    pub fn start(&mut self, world: &mut World) {
        if self.machine.is_some() {
            return;
        }
        self.life.rise(world);
        // Late parts, merges and deletions come sooner than in the program, so that a short run sees them.
        let rules = Rules {
            copies: 2,
            late_every: Duration::from_secs(60),
            replaced_keep: Duration::from_secs(120),
            ..Rules::default()
        };
        let mut machine = Machine::new(self.id, rules, world.width());
        let now = world.now(self.id);
        self.catalog = Catalogue::default();
        self.catalog.refresh(&mut world.objects, "");
        machine.on_manifests(now, &self.catalog.take_news());
        let tailers: BTreeSet<NodeId> = (1..=world.options.hosts).map(|n| NodeId(super::TAILERS + n)).collect();
        machine.on_peers(
            now,
            Peers {
                bucks: (1..=world.options.bucks).map(|n| NodeId(super::BUCKS + n)).collect(),
                tailers: BTreeMap::from([(Environment::default(), tailers)]),
                porters: usize::try_from(world.options.porters).unwrap_or(1),
            },
        );
        self.machine = Some(machine);
        world.timeline.plan(REFRESH_EVERY, Event::Refresh(self.life.process()));
        self.perform(world);
    }

    pub fn crash(&mut self, world: &mut World, how: &str) {
        if self.machine.take().is_none() {
            return;
        }
        self.life.fall(world, how, "porter crash");
        self.asked.clear();
    }

    pub fn on_wake(&mut self, world: &mut World, process: Process) {
        if !self.life.is_woken(world, process) {
            return;
        }
        let now = world.now(self.id);
        if let Some(machine) = &mut self.machine {
            machine.on_timeout(now);
            self.perform(world);
        }
    }

    pub fn on_refresh(&mut self, world: &mut World, process: Process) {
        if process != self.life.process() || self.machine.is_none() {
            return;
        }
        if world.options.porters > 1 {
            self.catalog.refresh(&mut world.objects, "");
        }
        world.timeline.plan(REFRESH_EVERY, Event::Refresh(process));
        self.perform(world);
    }

    // What it is asked.

    pub fn on_question(&mut self, world: &mut World, question: &Question) {
        if self.machine.is_none() {
            return;
        }
        let What::Ask(ask) = &question.what else { return };
        let answer = match ask {
            Ask::Search(ask) => {
                let mut answers = search(&mut self.catalog, &mut world.objects, ask);
                bugs::spoil_shelf(world.options.bug, &mut answers);
                return world.answer(self.id, question.from, question.number, answers);
            }
            Ask::Catalog(ask) => {
                let range = TimeRange { from: ask.from, to: ask.to };
                let shards = self.catalog.standing.catalog(&ask.environments, range, world.width());
                Answer::Catalog(Catalog { shards })
            }
            Ask::Receipts { buckets } if world.has_bug(Bug::PruneBeforeReceipt) => {
                Answer::Receipts(bugs::forged(&world.ghost, buckets))
            }
            Ask::Receipts { buckets } => {
                let mut receipts = self.catalog.standing.receipts(buckets);
                if world.has_bug(Bug::ReceiptsTooWide) {
                    receipts.iter_mut().flat_map(|receipt| &mut receipt.ranges).for_each(|range| range.last += 1);
                }
                Answer::Receipts(receipts)
            }
            Ask::Known { .. } => Answer::Known(self.catalog.known(&mut world.objects, question.from.node)),
            _ => Answer::Refused(Refusal::Busy),
        };
        world.answer(self.id, question.from, question.number, vec![answer]);
    }

    // What it asks.

    fn perform(&mut self, world: &mut World) {
        let (now, news) = (world.now(self.id), self.catalog.take_news());
        if let Some(machine) = self.machine.as_mut().filter(|_| !news.is_empty()) {
            machine.on_manifests(now, &news);
        }
        while let Some(action) = self.machine.as_mut().and_then(Machine::poll_action) {
            self.act(world, action);
            if self.life.ends(world) {
                self.crash(world, "is killed between two actions");
            }
        }
        self.life.plan_wake(world, self.machine.as_ref().and_then(Machine::next_timeout));
    }

    fn act(&mut self, world: &mut World, action: Action) {
        match action {
            Action::AskHoldings { ask, buck, after } => {
                self.ask(world, buck, Ask::Holdings { after }, Asked::Holdings(ask));
            }
            Action::AskInventory { ask, buck, environment, bucket, after } => {
                self.ask(world, buck, Ask::Inventory { environment, bucket, after }, Asked::Inventory(ask, bucket));
            }
            Action::Fetch { ask, buck, packets } => {
                self.ask(world, buck, Ask::Fetch { packets: packets.clone() }, Asked::Fetch(ask, packets));
            }
            Action::Stands(manifest) => {
                world.note(self.id, &format!("{} version {} stands", manifest.at, manifest.version));
                self.catalog.add(&mut world.objects, &manifest);
            }
            what => {
                let Some(ask) = ask_of(&what) else { return };
                if world.has_bug(Bug::DeleteBeforeCommit) {
                    delete_early(world, &what);
                }
                let took = Duration::from_micros(world.rng.random_range(500..60_000));
                world.timeline.plan(took, Event::Shelf { of: self.life.process(), errand: Errand { ask, what } });
            }
        }
    }

    fn ask(&mut self, world: &mut World, buck: NodeId, ask: Ask, asked: Asked) {
        let number = world.ask(self.life.process(), buck, &What::Ask(ask));
        self.asked.insert(number, asked);
    }

    pub fn on_answer(&mut self, world: &mut World, to: Process, number: u64, answers: Vec<Answer>) {
        if to != self.life.process() {
            return;
        }
        let Some(asked) = self.asked.remove(&number) else { return };
        let (ask, reply) = reply_of(world, asked, answers);
        self.reply(world, ask, reply);
    }

    pub fn on_silence(&mut self, world: &mut World, to: Process, number: u64) {
        if to != self.life.process() {
            return;
        }
        if let Some(Asked::Holdings(ask) | Asked::Inventory(ask, _) | Asked::Fetch(ask, _)) = self.asked.remove(&number)
        {
            self.reply(world, ask, Reply::Failed("no answer".to_owned()));
        }
    }

    fn reply(&mut self, world: &mut World, ask: AskId, reply: Reply) {
        let now = world.now(self.id);
        if let Some(machine) = &mut self.machine {
            machine.on_reply(now, ask, reply);
            self.perform(world);
        }
    }

    /// An errand of a dead process may still be carried out.
    pub fn on_errand(&mut self, world: &mut World, of: Process, errand: Errand) {
        let alive = of == self.life.process() && self.machine.is_some();
        let Errand { ask, what } = errand;
        if !alive && (!matches!(what, Action::PutIfAbsent { .. }) || world.rng.random_bool(0.5)) {
            return;
        }
        world.note(self.id, &told(&what));
        let on_shelf = !matches!(what, Action::Build(_));
        let fails = on_shelf && world.rng.random_bool(world.options.shelf_trouble);
        if fails {
            world.ghost.struck("shelf trouble");
        }
        let reply = if fails && world.rng.random_bool(0.5) { None } else { Some(self.run_errand(world, what)) };
        if alive {
            let reply = reply.filter(|_| !fails).unwrap_or_else(|| Reply::Failed("503".to_owned()));
            self.reply(world, ask, reply);
        }
    }

    fn run_errand(&mut self, world: &mut World, what: Action) -> Reply {
        match what {
            Action::Earlier { environment, streams, also, .. } => {
                if world.options.porters > 1 && !world.has_bug(Bug::DoublesUnseen) {
                    self.catalog.refresh(&mut world.objects, "");
                }
                let earlier = self.catalog.earlier(&mut world.objects, &environment, &streams, &also);
                earlier.map_or_else(Reply::Failed, Reply::Earlier)
            }
            Action::Doubles { .. } if world.has_bug(Bug::DoublesUnseen) => Reply::Doubles(Vec::new()),
            Action::Doubles { .. } => {
                self.catalog.doubles(&mut world.objects).map_or_else(Reply::Failed, Reply::Doubles)
            }
            Action::List { prefix, .. } => {
                if world.options.porters > 1 {
                    self.catalog.refresh(&mut world.objects, &prefix);
                }
                Reply::Listed(world.objects.list(&prefix))
            }
            Action::Get { path, .. } => Reply::Got(world.objects.read_back(&path)),
            Action::PutIfAbsent { path, bytes, .. } => Reply::Put(put(world, &path, &bytes)),
            Action::Delete { path, .. } => {
                crate::checks::prune::block_deleted(world, &path);
                world.objects.delete(&path);
                Reply::Deleted
            }
            Action::Build(work) => built(world, &work),
            _ => Reply::Failed("no errand".to_owned()),
        }
    }
}

fn ask_of(action: &Action) -> Option<AskId> {
    match action {
        Action::Earlier { ask, .. }
        | Action::Doubles { ask }
        | Action::List { ask, .. }
        | Action::Get { ask, .. }
        | Action::PutIfAbsent { ask, .. }
        | Action::Delete { ask, .. } => Some(*ask),
        Action::Build(work) => Some(work.ask),
        _ => None,
    }
}

/// An errand in a trace.
fn told(what: &Action) -> String {
    match what {
        Action::Earlier { streams, .. } => format!("looks for what stands of {} ranges", streams.len()),
        Action::Doubles { .. } => "looks for what stands twice".to_owned(),
        Action::List { prefix, .. } => format!("lists {prefix}"),
        Action::Get { path, .. } => format!("gets {path}"),
        Action::PutIfAbsent { path, .. } => format!("puts {path}"),
        Action::Delete { path, .. } => format!("deletes {path}"),
        Action::Build(work) => {
            let BuildOf { at, packets, blocks, .. } = &work.of;
            format!("builds {at} of {} packets and {} blocks", packets.len(), blocks.len())
        }
        _ => String::new(),
    }
}

/// Deletes what a manifest replaces before it is put.
fn delete_early(world: &mut World, what: &Action) {
    let Action::PutIfAbsent { path, bytes, .. } = what else { return };
    let Some(manifest) = manifest_of(path, bytes) else { return };
    for path in manifest.replaced.iter().map(|replaced| manifest.at.block(replaced.name).path()) {
        if world.objects.get(&path).is_some() {
            crate::checks::prune::block_deleted(world, &path);
            world.objects.delete(&path);
        }
    }
}

fn manifest_of(path: &str, bytes: &[u8]) -> Option<Manifest> {
    parse_path(path).filter(|(_, object)| matches!(object, Object::Manifest(_)))?;
    Manifest::parse(bytes).ok()
}

fn put(world: &mut World, path: &str, bytes: &Arc<[u8]>) -> PutOutcome {
    let manifest = manifest_of(path, bytes);
    if let Some(manifest) = &manifest {
        crate::checks::honest::manifest_put(world, manifest);
    }
    let is_block = parse_path(path).is_some_and(|(_, object)| matches!(object, Object::Block(_)));
    match world.options.bug {
        Some(Bug::ManifestUnwritten) if manifest.is_some() => world.objects.pretend(path, bytes),
        Some(Bug::BlockUnverified) if is_block => world.objects.put_half(path, bytes),
        _ => return world.objects.put_if_absent(path, bytes),
    }
    PutOutcome::Done
}

fn built(world: &World, work: &Build) -> Reply {
    let mut of = work.of.clone();
    if world.has_bug(Bug::MergeForgets) && of.blocks.len() > 1 {
        of.blocks.pop();
    }
    let earlier = if world.has_bug(Bug::DedupByContent) && of.blocks.is_empty() {
        Earlier::of(bugs::with_equal_content(&work.of.packets))
    } else if world.has_bug(Bug::DedupByPlace) && of.blocks.is_empty() {
        Earlier::of(bugs::with_equal_place(&work.of.packets))
    } else {
        (*work.earlier).clone()
    };
    build(&of, &earlier, world.width()).map_or_else(|why| Reply::Failed(why.to_string()), Reply::Built)
}

fn reply_of(world: &World, asked: Asked, answers: Vec<Answer>) -> (AskId, Reply) {
    let other = || Reply::Failed("an answer of another kind".to_owned());
    let is_signed = |tailer, record: &Record<'_>| world.signing.is_by(&world.roster, tailer, record);
    match asked {
        Asked::Holdings(ask) => match answers.into_iter().next() {
            Some(Answer::Holdings { holdings, more }) => (ask, Reply::Holdings { holdings, more }),
            _ => (ask, other()),
        },
        Asked::Inventory(ask, at) => match answers.into_iter().next() {
            Some(Answer::Inventory(page)) => {
                let mut page = check::inventory_by(page, is_signed);
                if world.has_bug(Bug::CensusForged) {
                    bugs::forge_closings(&mut page, at, world.options.hosts);
                }
                (ask, Reply::Inventory(page))
            }
            _ => (ask, other()),
        },
        Asked::Fetch(ask, packets) => {
            if answers.iter().any(|answer| matches!(answer, Answer::Refused(_))) {
                return (ask, other());
            }
            let record = |answer| if let Answer::Part(Part::Record(record)) = answer { Some(record) } else { None };
            let records: Vec<Vec<u8>> = answers.into_iter().filter_map(record).collect();
            let checked = if world.has_bug(Bug::NoChecksum) {
                bugs::unchecked(&packets, records)
            } else {
                check::packets_by(&packets, records, is_signed)
            };
            (ask, Reply::Fetched(checked))
        }
    }
}
