//! A cluster: hosts with tailers, bucks and porters, and what is done to them, from one seed.

use crate::checks::rules_of;
use crate::faults::{Kind, Options, weather};
use crate::needles::Needle;
use crate::net::Weather;
use crate::nodes::life::Fuse;
use crate::nodes::{BUCKS, PORTERS, TAILERS, WEBS, buck, porter, tailer::Host, web};
use crate::world::{Event, Process, Question, What, World};
use proto::ids::NodeId;
use proto::message::Answer;
use proto::roster::Roster;
use proto::seal::{Keys, Seed};
use rand::RngExt;
use rand::seq::IndexedRandom;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// How often somebody searches, and how often once all is in order.
const LOOK_EVERY: Duration = Duration::from_secs(240);
const LAST_LOOKS: usize = 4;

#[derive(Debug)]
pub struct Cluster {
    pub world: World,
    pub hosts: Vec<Host>,
    pub bucks: Vec<buck::Node>,
    pub porters: Vec<porter::Node>,
    pub web: web::Node,
    /// The one whose disks may be lost or damaged.
    victim: usize,
    /// Faults strike and programs write.
    active: bool,
}

fn keys_of(id: NodeId) -> Keys {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&id.0.to_le_bytes());
    Keys::from_seed(&Seed::from_bytes(seed))
}

fn roster(options: &Options) -> Roster {
    let mut text = String::new();
    let mut line = |role: &str, id: u64, rest: &str| {
        let id = NodeId(id);
        let _ = writeln!(text, "{role} {} id={id} {rest}", keys_of(id).public());
    };
    for n in 1..=options.hosts {
        line("tailer", TAILERS + n, "");
    }
    for n in 1..=options.bucks {
        line("buck", BUCKS + n, &format!("addr=10.0.0.{n}:4433"));
    }
    for n in 1..=options.porters {
        line("porter", PORTERS + n, &format!("addr=10.0.1.{n}:4433"));
    }
    line("web", WEBS + 1, "");
    Roster::parse(text.as_bytes()).expect("a roster of our own making")
}

impl Cluster {
    #[must_use]
    pub fn new(seed: u64, options: Options, tell: bool) -> Self {
        let roster = Arc::new(roster(&options));
        let mut world = World::new(seed, options, roster, tell);
        let options = world.options.clone();
        let host = |n: u64| Host::new(NodeId(TAILERS + n), Arc::new(keys_of(NodeId(TAILERS + n))));
        let hosts: Vec<Host> = (1..=options.hosts).map(host).collect();
        let bucks: Vec<_> = (1..=options.bucks).map(|n| buck::Node::new(NodeId(BUCKS + n), options.disks)).collect();
        let porters: Vec<_> = (1..=options.porters).map(|n| porter::Node::new(NodeId(PORTERS + n))).collect();
        let ids = hosts.iter().map(|host| host.id).chain(bucks.iter().map(|buck| buck.id));
        let ids: Vec<NodeId> = ids.chain(porters.iter().map(|porter| porter.id)).collect();
        let skew_max = i64::try_from(options.skew_max.as_nanos()).unwrap_or(0);
        for id in &ids {
            let skew = world.rng.random_range(-skew_max..=skew_max);
            world.skews.insert(*id, skew);
            world.timeline.plan(Duration::from_millis(world.rng.random_range(0..1000)), Event::Start(*id));
        }
        for host in &hosts {
            world.timeline.plan(Duration::from_secs(2), Event::Write(host.id));
        }
        world.timeline.plan(Duration::from_secs(30), Event::Fault);
        let victim = world.rng.random_range(0..bucks.len());
        world.timeline.plan(LOOK_EVERY, Event::Look);
        if let Some(at) = world.options.relapse {
            world.timeline.plan_at(at, Event::Relapse);
        }
        let web = web::Node::new(NodeId(WEBS + 1));
        world.up.insert(web.id, 0);
        Self { world, hosts, bucks, porters, web, victim, active: true }
    }

    /// Faults for a while, then none, until all is in order or has had its time.
    pub fn run(&mut self) {
        let active = self.world.options.active;
        self.pass(active);
        if self.is_caught() {
            return;
        }
        self.heal();
        let width = Duration::from_secs(u64::from(self.world.options.width_seconds));
        let mut until = active + 2 * width + Duration::from_secs(90);
        let last = active + Duration::from_secs(3600);
        self.pass(until);
        while until < last && !self.is_done() {
            until += Duration::from_secs(30);
            self.pass(until);
        }
        for _ in 0..LAST_LOOKS {
            self.look(true);
        }
        self.pass(until + Duration::from_secs(30));
    }

    fn is_done(&self) -> bool {
        let manifests = self.world.objects.newest("");
        let holds = |id: &proto::ids::PacketId| {
            manifests.iter().any(|manifest| manifest.at.bucket == id.bucket && manifest.packets.holds(id))
        };
        self.hosts.iter().all(Host::is_done)
            && self.world.ghost.filed.iter().all(|filed| holds(&filed.id))
            && manifests.iter().all(|manifest| manifest.completeness.is_complete())
    }

    fn pass(&mut self, until: Duration) {
        while let Some(event) = self.world.timeline.next(until) {
            self.happen(event);
            if self.is_caught() {
                return;
            }
        }
    }

    /// A planted bug was found; the rest of the run would tell nothing more.
    fn is_caught(&self) -> bool {
        let Some(bug) = self.world.options.bug else { return false };
        self.world.ghost.violations.iter().any(|found| rules_of(bug).contains(&found.rule))
    }

    fn host(&mut self, id: NodeId) -> Option<(&mut World, &mut Host)> {
        let host = self.hosts.iter_mut().find(|host| host.id == id);
        host.map(|host| (&mut self.world, host))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(process) => self.each(
                process.node,
                |world, host| host.on_wake(world, process),
                |world, buck| buck.on_wake(world, process),
                |world, porter| porter.on_wake(world, process),
            ),
            Event::Question(question) => self.question(question),
            Event::Answers { to, number, from, answers } => self.answers(to, number, from, answers),
            Event::Silence { to, number } if to.node == self.web.id => self.web.on_silence(&mut self.world, number),
            Event::Silence { to, number } => self.each(
                to.node,
                |world, host| host.on_silence(world, to, number),
                |world, buck| buck.on_silence(world, to, number),
                |world, porter| porter.on_silence(world, to, number),
            ),
            Event::Disk { of, disk, work } => {
                if let Some(buck) = self.bucks.iter_mut().find(|buck| buck.id == of.node) {
                    buck.on_disk(&mut self.world, of, disk, work);
                }
            }
            Event::Shelf { of, errand } => {
                if let Some(porter) = self.porters.iter_mut().find(|porter| porter.id == of.node) {
                    porter.on_errand(&mut self.world, of, errand);
                }
            }
            Event::Refresh(process) => {
                if let Some(porter) = self.porters.iter_mut().find(|porter| porter.id == process.node) {
                    porter.on_refresh(&mut self.world, process);
                }
            }
            Event::Start(node) => self.start(node),
            Event::Write(node) => self.write(node),
            Event::Fault => self.fault(),
            Event::Relapse => self.relapse(),
            Event::Wipe => self.wipe(),
            Event::Look => {
                self.look(false);
                self.world.timeline.plan(LOOK_EVERY, Event::Look);
            }
            Event::DiskGood(node) => {
                if let Some(buck) = self.bucks.iter_mut().find(|buck| buck.id == node) {
                    buck.mend(&mut self.world);
                }
            }
            Event::FineWeather => self.world.net.weather = Weather::CALM,
        }
    }

    fn question(&mut self, question: Question) {
        let (to, world) = (question.to, &mut self.world);
        world.note(to, kind_of(&question.what));
        if let Some(buck) = self.bucks.iter_mut().find(|buck| buck.id == to) {
            buck.on_question(world, question);
        } else if let Some(porter) = self.porters.iter_mut().find(|porter| porter.id == to) {
            porter.on_question(world, &question);
        }
    }

    fn answers(&mut self, to: Process, number: u64, from: NodeId, answers: Vec<Answer>) {
        let world = &mut self.world;
        world.note(to.node, "is answered");
        if let Some(host) = self.hosts.iter_mut().find(|host| host.id == to.node) {
            host.on_answer(world, to, number, answers);
        } else if let Some(buck) = self.bucks.iter_mut().find(|buck| buck.id == to.node) {
            buck.on_answer(world, to, number, answers);
        } else if let Some(porter) = self.porters.iter_mut().find(|porter| porter.id == to.node) {
            porter.on_answer(world, to, number, answers);
        } else if to.node == self.web.id {
            self.web.on_answer(world, number, from, answers);
        }
    }

    fn each(
        &mut self,
        node: NodeId,
        of_host: impl FnOnce(&mut World, &mut Host),
        of_buck: impl FnOnce(&mut World, &mut buck::Node),
        of_porter: impl FnOnce(&mut World, &mut porter::Node),
    ) {
        let world = &mut self.world;
        if let Some(host) = self.hosts.iter_mut().find(|host| host.id == node) {
            of_host(world, host);
        } else if let Some(buck) = self.bucks.iter_mut().find(|buck| buck.id == node) {
            of_buck(world, buck);
        } else if let Some(porter) = self.porters.iter_mut().find(|porter| porter.id == node) {
            of_porter(world, porter);
        }
    }

    /// Somebody searches for something that was written, or was not.
    fn look(&mut self, last: bool) {
        let Self { world, hosts, web, .. } = self;
        let lines = hosts.choose(&mut world.rng).map(|host| host.files.born.as_slice()).unwrap_or_default();
        let line = lines.choose(&mut world.rng).map(|born| born.line.as_slice()).unwrap_or_default();
        let needle = Needle::draw(&mut world.rng, line);
        web.look(world, needle, last);
    }

    fn start(&mut self, node: NodeId) {
        self.each(
            node,
            |world, host| host.start(world),
            |world, buck| buck.start(world),
            |world, porter| porter.start(world),
        );
    }

    fn write(&mut self, node: NodeId) {
        if !self.active {
            return;
        }
        let mean = self.world.options.line_every.as_secs_f64();
        let after = Duration::from_secs_f64(mean * -self.world.rng.random_range(0.0001f64..1.0).ln());
        self.world.timeline.plan(after, Event::Write(node));
        if let Some((world, host)) = self.host(node) {
            host.write(world);
        }
    }

    fn fault(&mut self) {
        if !self.active {
            return;
        }
        let mean = self.world.options.every.as_secs_f64();
        let after = Duration::from_secs_f64(mean * -self.world.rng.random_range(0.0001f64..1.0).ln());
        self.world.timeline.plan(after, Event::Fault);
        let Some(kind) = self.world.options.kinds.choose(&mut self.world.rng).copied() else { return };
        let down = Duration::from_secs_f64(10f64.powf(self.world.rng.random_range(-1.0..2.3)));
        match kind {
            Kind::TailerCrash | Kind::TailerPower | Kind::MemoryLoss | Kind::Truncate | Kind::Rotate => {
                self.strike_host(kind, down);
            }
            Kind::PorterCrash => self.strike_porter(down),
            Kind::Cut | Kind::Isolate | Kind::Weather => self.strike_net(kind, down),
            Kind::ClockJump => self.strike_clock(),
            _ => self.strike_buck(kind, down),
        }
    }

    fn strike_host(&mut self, kind: Kind, down: Duration) {
        let which = self.world.rng.random_range(0..self.hosts.len());
        let (world, host) = (&mut self.world, &mut self.hosts[which]);
        match kind {
            Kind::Truncate => return host.truncate(world),
            Kind::Rotate => return host.rotate(world),
            Kind::TailerCrash if world.rng.random_bool(0.5) => {
                let actions = world.rng.random_range(0..8);
                return host.life.fuse.arm(actions);
            }
            Kind::TailerPower => host.lose_power(world),
            _ => host.crash(world, "is killed"),
        }
        if kind == Kind::MemoryLoss {
            host.lose_memory(world);
        }
        world.timeline.plan(down, Event::Start(host.id));
    }

    fn strike_porter(&mut self, down: Duration) {
        let which = self.world.rng.random_range(0..self.porters.len());
        let (world, porter) = (&mut self.world, &mut self.porters[which]);
        if world.rng.random_bool(0.5) {
            let actions = world.rng.random_range(0..8);
            return porter.life.fuse.arm(actions);
        }
        porter.crash(world, "is killed");
        world.timeline.plan(down, Event::Start(porter.id));
    }

    fn strike_buck(&mut self, kind: Kind, down: Duration) {
        let of_victim = matches!(kind, Kind::DiskLoss | Kind::BitFlip);
        let which = if of_victim { self.victim } else { self.world.rng.random_range(0..self.bucks.len()) };
        if kind == Kind::AllBucksPower {
            for buck in &mut self.bucks {
                buck.lose_power(&mut self.world);
                self.world.timeline.plan(down, Event::Start(buck.id));
            }
            return;
        }
        let (world, buck) = (&mut self.world, &mut self.bucks[which]);
        match kind {
            Kind::BuckCrash if world.rng.random_bool(0.5) => {
                let actions = world.rng.random_range(0..8);
                return buck.life.fuse.arm(actions);
            }
            Kind::BuckCrash => buck.crash(world, "is killed"),
            Kind::BuckPower => buck.lose_power(world),
            Kind::DiskLoss => buck.lose_disk(world),
            Kind::BitFlip => return buck.flip(world),
            Kind::DiskFull => buck.fill_up(world),
            Kind::DiskError => buck.fail(world),
            _ => {
                buck.slow = Duration::from_millis(world.rng.random_range(20..5000));
                world.ghost.struck("slow disk");
            }
        }
        let id = buck.id;
        if matches!(kind, Kind::DiskFull | Kind::DiskError | Kind::SlowDisk) {
            world.timeline.plan(down, Event::DiskGood(id));
        } else {
            world.timeline.plan(down, Event::Start(id));
        }
    }

    fn strike_net(&mut self, kind: Kind, down: Duration) {
        let all = self.all();
        let world = &mut self.world;
        let until = world.timeline.now() + down;
        let (Some(one), Some(other)) = (all.choose(&mut world.rng), all.choose(&mut world.rng)) else { return };
        match kind {
            Kind::Cut => {
                world.net.cut(*one, *other, until);
                world.ghost.struck("cut");
            }
            Kind::Isolate => {
                world.net.isolate(*one, &all, until);
                world.ghost.struck("isolated node");
            }
            _ => {
                world.net.weather = weather(&mut world.rng);
                world.ghost.struck("bad weather");
                world.timeline.plan(down, Event::FineWeather);
            }
        }
    }

    fn all(&self) -> Vec<NodeId> {
        let hosts = self.hosts.iter().map(|host| host.id);
        let bucks = self.bucks.iter().map(|buck| buck.id);
        let porters = self.porters.iter().map(|porter| porter.id);
        hosts.chain(bucks).chain(porters).chain([self.web.id]).collect()
    }

    /// Two buckets and more wait for their porters; what is in one of them is filed in the next once more.
    fn relapse(&mut self) {
        let width = Duration::from_secs(u64::from(self.world.options.width_seconds));
        let (all, now) = (self.all(), self.world.timeline.now());
        for porter in &self.porters {
            self.world.net.isolate(porter.id, &all, now + 2 * width + Duration::from_secs(30));
        }
        self.world.ghost.struck("no porter is heard");
        self.world.timeline.plan(width, Event::Wipe);
    }

    fn wipe(&mut self) {
        let (all, now) = (self.all(), self.world.timeline.now());
        let (world, Some(host)) = (&mut self.world, self.hosts.first_mut()) else { return };
        host.wipe(world);
        world.ghost.struck("host wiped");
        world.net.isolate(host.id, &all, now + Duration::from_secs(15));
        world.timeline.plan(Duration::from_secs(1), Event::Start(host.id));
    }

    fn strike_clock(&mut self) {
        let ids: Vec<NodeId> = self.world.skews.keys().copied().collect();
        let world = &mut self.world;
        let Some(id) = ids.choose(&mut world.rng) else { return };
        let skew = world.rng.random_range(-600_000_000_000i64..600_000_000_000);
        world.skews.insert(*id, skew);
        world.ghost.struck("clock set");
    }

    /// No more faults: everything is up, whole and on time.
    fn heal(&mut self) {
        self.active = false;
        self.world.net.heal();
        self.world.options.shelf_trouble = 0.0;
        self.world.skews.values_mut().for_each(|skew| *skew = 0);
        for host in &mut self.hosts {
            host.life.fuse = Fuse::default();
            host.start(&mut self.world);
        }
        for buck in &mut self.bucks {
            buck.life.fuse = Fuse::default();
            buck.start(&mut self.world);
            buck.mend(&mut self.world);
        }
        for porter in &mut self.porters {
            porter.life.fuse = Fuse::default();
            porter.start(&mut self.world);
        }
    }
}

fn kind_of(what: &What) -> &'static str {
    use proto::message::Ask;
    match what {
        What::Put(_) => "is given a record",
        What::Ask(Ask::Beat { .. }) => "hears a beat",
        What::Ask(Ask::Fetch { .. }) => "is asked for packets",
        What::Ask(Ask::Receipts { .. }) => "is asked for receipts",
        What::Ask(Ask::Known { .. }) => "is asked what it knows",
        What::Ask(_) => "is asked",
    }
}
