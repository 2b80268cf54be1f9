//! The machine in a small world: bucks with real packets, a shelf in memory, faults on demand.

use super::*;
use crate::block::{Opened, cover};
use crate::build::{build, names_in, ranges_of};
use crate::check;
use crate::dedup::{Cover, Earlier};
use crate::names::{Object, parse_path};
use crate::sample::{closing, keys, packet, width};
use proptest::prelude::*;
use proto::closed::Closed;
use proto::ids::{EventId, PacketId};
use proto::message::{Holding, Inventory, InventoryItem};
use proto::packet::Packet;
use proto::roster::{Peer, Role, Roster};
use proto::seal::Domain;

const BUCKET: BucketId = BucketId(5_984_184);

fn at(bucket: BucketId) -> BucketAt {
    BucketAt { environment: Environment::default(), bucket }
}

#[derive(Clone, Debug, Default)]
struct Buck {
    packets: BTreeMap<PacketId, Vec<u8>>,
    closings: BTreeSet<(BucketId, Vec<u8>)>,
    away: bool,
}

/// Everything around machines. Porters are given by number; they share bucks and shelf.
#[derive(Clone, Debug)]
struct World {
    bucks: BTreeMap<NodeId, Buck>,
    shelf: BTreeMap<String, Arc<[u8]>>,
    roster: Arc<Roster>,
    peers: Peers,
    now: Now,
    rules: Rules,
}

impl World {
    fn new(tailers: &[u64]) -> Self {
        let lines: String = [1, 2, 9]
            .iter()
            .map(|id| format!("{}\n", Peer::new(Role::Tailer, keys(*id).public(), NodeId(*id))))
            .collect();
        let tailers = tailers.iter().copied().map(NodeId).collect();
        let rules = Rules { block_bytes: 4096, ..Rules::default() };
        Self {
            bucks: [10, 11, 12].map(|id| (NodeId(id), Buck::default())).into(),
            shelf: BTreeMap::new(),
            roster: Arc::new(Roster::parse(lines.as_bytes()).unwrap()),
            peers: Peers {
                bucks: [10, 11, 12].map(NodeId).into(),
                tailers: [(Environment::default(), tailers)].into(),
                porters: 1,
            },
            now: Now { mono: Duration::from_secs(1000), wall: width().end_of(BUCKET).after(Duration::from_secs(6)) },
            rules,
        }
    }

    fn keep(&mut self, bucks: &[u64], (id, bytes): &(PacketId, Vec<u8>)) {
        for buck in bucks {
            self.bucks.get_mut(&NodeId(*buck)).unwrap().packets.insert(id.clone(), bytes.clone());
        }
    }

    fn close(&mut self, bucks: &[u64], bucket: BucketId, bytes: &[u8]) {
        for buck in bucks {
            self.bucks.get_mut(&NodeId(*buck)).unwrap().closings.insert((bucket, bytes.to_vec()));
        }
    }

    fn buck(&mut self, id: u64) -> &mut Buck {
        self.bucks.get_mut(&NodeId(id)).unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.after(time) };
    }

    /// A porter that starts and reads what stands.
    fn machine(&self, id: u64) -> Machine {
        let mut machine = Machine::new(NodeId(id), self.rules.clone(), width());
        machine.on_manifests(self.now, &self.newest());
        machine.on_peers(self.now, self.peers.clone());
        machine
    }

    fn newest(&self) -> Vec<Arc<Manifest>> {
        let mut standing = Standing::default();
        for manifest in self.manifests() {
            standing.insert(Arc::new(manifest));
        }
        standing.iter().cloned().collect()
    }

    fn manifests(&self) -> Vec<Manifest> {
        let is_manifest = |path: &String| matches!(parse_path(path), Some((_, Object::Manifest(_))));
        self.shelf
            .iter()
            .filter(|(path, _)| is_manifest(path))
            .filter_map(|(_, bytes)| Manifest::parse(bytes).ok())
            .collect()
    }

    fn standing(&self, bucket: BucketId) -> Option<Arc<Manifest>> {
        self.newest().into_iter().find(|manifest| manifest.at.bucket == bucket)
    }

    /// Every event of every block a newest manifest names, in order of streams and offsets, with its line.
    fn events(&self) -> Vec<(EventId, String)> {
        let mut events = Vec::new();
        for manifest in self.newest() {
            for block in &manifest.blocks {
                let bytes = &self.shelf[&manifest.at.block(block.name).path()];
                let opened = Opened::open(&bytes[..]).unwrap();
                for number in 0..opened.page_count() {
                    let page = opened.read_page(&bytes[..], number).unwrap();
                    let found = cover::events_in(&opened, &page);
                    events.extend(found.map(|event| (event.id(), String::from_utf8_lossy(event.line).into_owned())));
                }
            }
        }
        events.sort();
        events
    }

    fn lines(&self) -> Vec<String> {
        self.events().into_iter().map(|(_, line)| line).collect()
    }

    fn receipted(&self, packet: &PacketId) -> bool {
        self.newest().iter().any(|manifest| manifest.receipt().covers(packet))
    }

    /// Does one action; nothing for those nobody answers.
    fn perform(&mut self, action: Action) -> Option<(AskId, Reply)> {
        Some(match action {
            Action::AskHoldings { ask, buck, .. } => (ask, self.holdings(buck)),
            Action::AskInventory { ask, buck, bucket, .. } => (ask, self.inventory(buck, bucket)),
            Action::Fetch { ask, buck, packets } => (ask, self.fetch(buck, &packets)),
            Action::Earlier { ask, streams, also, .. } => (ask, Reply::Earlier(self.earlier(&streams, &also))),
            Action::Build(work) => {
                let built = build(&work.of, &work.earlier, width());
                (work.ask, built.map_or_else(|why| Reply::Failed(why.to_string()), Reply::Built))
            }
            Action::List { ask, prefix } => {
                (ask, Reply::Listed(self.shelf.keys().filter(|path| path.starts_with(&prefix)).cloned().collect()))
            }
            Action::Get { ask, path } => (ask, Reply::Got(self.shelf.get(&path).cloned())),
            Action::PutIfAbsent { ask, path, bytes } => {
                let outcome = if self.shelf.contains_key(&path) { PutOutcome::Exists } else { PutOutcome::Done };
                self.shelf.entry(path).or_insert(bytes);
                (ask, Reply::Put(outcome))
            }
            Action::Delete { ask, path } => {
                self.shelf.remove(&path);
                (ask, Reply::Deleted)
            }
            Action::Stands(_) => return None,
        })
    }

    fn holdings(&self, buck: NodeId) -> Reply {
        let buck = &self.bucks[&buck];
        if buck.away {
            return Reply::Failed("away".to_owned());
        }
        let mut holdings: BTreeMap<BucketId, Holding> = BTreeMap::new();
        for (id, bytes) in buck.packets.iter().filter(|(id, _)| !self.receipted(id)) {
            let empty = Holding { environment: id.environment.clone(), bucket: id.bucket, packets: 0, bytes: 0 };
            let holding = holdings.entry(id.bucket).or_insert(empty);
            holding.packets += 1;
            holding.bytes += bytes.len() as u64;
        }
        Reply::Holdings { holdings: holdings.into_values().collect(), more: false }
    }

    fn inventory(&self, buck: NodeId, bucket: BucketId) -> Reply {
        let buck = &self.bucks[&buck];
        if buck.away {
            return Reply::Failed("away".to_owned());
        }
        let item = |(id, bytes): (&PacketId, &Vec<u8>)| InventoryItem {
            packet: id.clone(),
            bytes: u32::try_from(bytes.len()).unwrap(),
            crc: crc32c::crc32c(bytes),
            backlog: false,
        };
        let closed = buck.closings.iter().filter_map(|(_, bytes)| Closed::parse(bytes).ok()).map(|(closed, _)| {
            let (tailer, environment) = (closed.tailer, closed.environment);
            proto::message::ClosedTo { tailer, environment, bucket: closed.bucket, previous: closed.previous }
        });
        let page = Inventory {
            items: buck.packets.iter().filter(|(id, _)| id.bucket == bucket).map(item).collect(),
            closings: buck.closings.iter().filter(|(of, _)| *of == bucket).map(|(_, bytes)| bytes.clone()).collect(),
            closed: closed.collect(),
            more: false,
        };
        Reply::Inventory(check::inventory(page, &self.roster))
    }

    fn fetch(&self, buck: NodeId, packets: &[PacketId]) -> Reply {
        let buck = &self.bucks[&buck];
        if buck.away {
            return Reply::Failed("away".to_owned());
        }
        let records = packets.iter().filter_map(|id| buck.packets.get(id).cloned()).collect();
        Reply::Fetched(check::packets(packets, records, &self.roster))
    }

    fn earlier(&self, streams: &[StreamRange], also: &[BlockAt]) -> Earlier {
        let named = self
            .newest()
            .into_iter()
            .flat_map(|manifest| manifest.blocks.iter().map(|block| manifest.at.block(block.name)).collect::<Vec<_>>());
        let mut cover = Cover::default();
        let blocks: BTreeSet<BlockAt> = named.chain(also.iter().cloned()).collect();
        for block in &blocks {
            let opened = Opened::open(&self.shelf[&block.path()][..]).unwrap();
            ranges_of(&opened).into_iter().for_each(|range| cover.add(range, block));
        }
        let names = cover.overlapping(streams).into_iter().flat_map(|(block, ranges)| {
            let bytes = &self.shelf[&block.path()];
            names_in(&Opened::open(&bytes[..]).unwrap(), &bytes[..], &ranges).unwrap()
        });
        Earlier::of(names)
    }

    /// Runs one porter until it waits for time to pass. Returns how many actions it took.
    fn settle(&mut self, machine: &mut Machine) -> usize {
        let mut steps = 0;
        machine.on_timeout(self.now);
        while let Some(action) = machine.poll_action() {
            steps += 1;
            assert!(steps < 10_000, "no end of it: {action:?}");
            if let Some((ask, reply)) = self.perform(action) {
                machine.on_reply(self.now, ask, reply);
            }
        }
        steps
    }

    fn run_for(&mut self, machine: &mut Machine, time: Duration) {
        let until = self.now.mono + time;
        while self.now.mono < until {
            self.settle(machine);
            let next = machine.next_timeout().unwrap_or(until).max(self.now.mono + Duration::from_millis(10));
            self.pass(next.min(until) - self.now.mono);
        }
        self.settle(machine);
    }
}

/// Three packets of tailer 1 on two bucks each, closed.
fn usual() -> (World, Vec<PacketId>) {
    let mut world = World::new(&[1]);
    let packets = [
        packet(1, 7, BUCKET, 0, 0, &["one", "two"]),
        packet(1, 7, BUCKET, 1, 8, &["three"]),
        packet(1, 7, BUCKET, 2, 14, &["four", "two"]),
    ];
    world.keep(&[10, 11], &packets[0]);
    world.keep(&[11, 12], &packets[1]);
    world.keep(&[12, 10], &packets[2]);
    world.close(&[10, 11], BUCKET, &closing(1, BUCKET, None, &[(7, 3)]));
    (world, packets.into_iter().map(|(id, _)| id).collect())
}

const ALL: [&str; 5] = ["one", "two", "three", "four", "two"];

#[test]
fn a_closed_bucket_is_ported_once_and_receipted() {
    let (mut world, packets) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines(), ALL);
    let manifest = world.standing(BUCKET).unwrap();
    assert!(manifest.completeness.is_complete(), "{:?}", manifest.completeness);
    assert_eq!((manifest.version, manifest.blocks.len(), manifest.packets.packets()), (1, 1, 3));
    let receipts = porter.receipts(&[(Environment::default(), BUCKET)]);
    assert!(packets.iter().all(|packet| receipts[0].covers(packet)));
    world.run_for(&mut porter, Duration::from_secs(3600));
    assert_eq!(world.manifests().len(), 1, "nothing new, nothing written");
    assert!(world.shelf.keys().all(|path| !path.contains("/l-")), "one porter needs no lease");
}

#[test]
fn a_bucket_is_not_touched_before_it_is_over() {
    let (mut world, _) = usual();
    world.now.wall = width().end_of(BUCKET).before(Duration::from_secs(3));
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(7));
    assert!(world.shelf.is_empty());
    world.run_for(&mut porter, Duration::from_secs(3));
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_buck_that_is_away_is_named_and_what_it_has_is_added_when_it_is_back() {
    let (mut world, packets) = usual();
    world.buck(11).away = true;
    world.buck(12).packets.remove(&packets[1]);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(30));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(manifest.completeness.bucks_away, [NodeId(11)]);
    assert_eq!((manifest.completeness.missing.len(), manifest.completeness.missing[0].first), (1, 1));
    assert_eq!(world.lines(), ["one", "two", "four", "two"]);
    assert!(!world.receipted(&packets[1]));
    world.buck(11).away = false;
    world.run_for(&mut porter, Duration::from_secs(40));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert_eq!(world.lines(), ALL);
    assert!(world.receipted(&packets[1]));
}

/// It is silent at the survey and says what it holds before the look is over.
#[test]
fn a_buck_that_is_back_before_the_look_ends_is_not_forgotten() {
    let (mut world, _) = usual();
    world.buck(12).packets.clear();
    world.now.wall = width().end_of(BUCKET).before(Duration::from_secs(3));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    world.buck(11).away = true;
    world.pass(Duration::from_secs(9));
    porter.on_timeout(world.now);
    while let Some(action) = porter.poll_action() {
        if matches!(action, Action::Build(_)) {
            world.pass(Duration::from_secs(3));
            world.buck(11).away = false;
            porter.on_timeout(world.now);
        }
        if matches!(action, Action::PutIfAbsent { .. }) {
            world.pass(Duration::from_secs(1));
        }
        if let Some((ask, reply)) = world.perform(action) {
            porter.on_reply(world.now, ask, reply);
        }
    }
    assert!(!world.standing(BUCKET).unwrap().completeness.is_complete());
    world.run_for(&mut porter, Duration::from_secs(40));
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_buck_that_is_away_for_long_costs_little() {
    let (mut world, packets) = usual();
    world.buck(12).away = true;
    world.buck(11).packets.remove(&packets[1]);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    let looks = porter.counters().looks;
    world.run_for(&mut porter, Duration::from_secs(3600));
    assert!(porter.counters().looks - looks <= 7, "{}", porter.counters().looks);
    assert_eq!(world.manifests().len(), 1);
}

#[test]
fn a_tailer_that_was_cut_off_is_named_and_heard_later() {
    let (mut world, _) = usual();
    world.peers.tailers = [(Environment::default(), [NodeId(1), NodeId(2)].into())].into();
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert_eq!(world.standing(BUCKET).unwrap().completeness.unheard, [NodeId(2)]);
    // It was idle then and says so, three buckets later, through a chain of closings.
    let later = BucketId(BUCKET.0 + 2);
    world.close(&[12], BucketId(BUCKET.0 + 3), &closing(2, BucketId(BUCKET.0 + 3), Some(later), &[]));
    world.close(&[11], later, &closing(2, later, Some(BucketId(BUCKET.0 - 9)), &[(3, 1)]));
    world.run_for(&mut porter, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert!(manifest.completeness.is_complete(), "{:?}", manifest.completeness);
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_tailer_declared_gone_is_not_waited_for() {
    let (mut world, _) = usual();
    world.peers.tailers = [(Environment::default(), [NodeId(1), NodeId(2)].into())].into();
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(!world.standing(BUCKET).unwrap().completeness.is_complete());
    world.peers.tailers = [(Environment::default(), [NodeId(1)].into())].into();
    porter.on_peers(world.now, world.peers.clone());
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
}

#[test]
fn a_forged_closing_closes_nothing() {
    let (mut world, _) = usual();
    for buck in world.bucks.values_mut() {
        buck.closings.clear();
    }
    let mut forged = Closed::parse(&closing(1, BUCKET, None, &[(7, 2)])).unwrap().0;
    forged.runs[0].packets = 1;
    world.close(&[10], BUCKET, &forged.write(|content| keys(9).sign(Domain::RECORD, content)));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.standing(BUCKET).unwrap().completeness.unheard, [NodeId(1)]);
    assert!(porter.counters().bad_closings > 0);
}

#[test]
fn a_number_that_was_named_and_is_nowhere_is_missing() {
    let (mut world, packets) = usual();
    for buck in world.bucks.values_mut() {
        buck.packets.remove(&packets[1]);
    }
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(
        manifest.completeness.missing.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(),
        [(1, 1)]
    );
    assert_eq!(manifest.completeness.bucks_away, []);
    world.keep(&[11], &packet(1, 7, BUCKET, 1, 8, &["three"]));
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert_eq!(world.lines(), ALL);
}

#[test]
fn late_packets_of_a_complete_bucket_wait_for_company() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    world.keep(&[10, 11], &packet(1, 8, BUCKET, 0, 23, &["late"]));
    world.run_for(&mut porter, Duration::from_secs(590));
    assert_eq!(world.manifests().len(), 1);
    world.run_for(&mut porter, Duration::from_secs(30));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!((manifest.version, manifest.blocks.len()), (2, 2), "a further part, no rewriting");
    assert_eq!(world.lines(), ["one", "two", "three", "four", "two", "late"]);
}

#[test]
fn a_bad_copy_is_passed_over_for_a_good_one() {
    let (mut world, packets) = usual();
    // The buck that is asked first alters a line and mends the checksums; it has no key to sign with.
    let (_, altered) = packet(1, 7, BUCKET, 0, 0, &["one", "TWO"]);
    let forged = Packet::parse(&altered).unwrap().record;
    let bytes = proto::record::write(forged.kind, forged.header, forged.body, forged.stretched_bytes, |_| [7; 64]);
    world.buck(11).packets.insert(packets[0].clone(), bytes);
    // Another's copy is torn, and one answers with another packet.
    let torn = world.bucks[&NodeId(12)].packets[&packets[1]][..100].to_vec();
    let other = world.bucks[&NodeId(11)].packets[&packets[1]].clone();
    world.buck(12).packets.insert(packets[1].clone(), torn);
    world.buck(12).packets.insert(packets[2].clone(), other);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(30));
    assert_eq!(world.lines(), ALL);
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert!(porter.counters().bad_copies >= 2, "{:?}", porter.counters());
}

#[test]
fn a_packet_without_a_good_copy_is_missing_and_has_no_receipt() {
    let (mut world, packets) = usual();
    for buck in [10, 11] {
        let mut bad = world.bucks[&NodeId(buck)].packets[&packets[0]].clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        world.buck(buck).packets.insert(packets[0].clone(), bad);
    }
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert_eq!(world.lines(), ["three", "four", "two"]);
    assert!(!world.receipted(&packets[0]));
    assert_eq!(world.standing(BUCKET).unwrap().completeness.missing[0].first, 0);
    assert!(porter.counters().bad_copies >= 2 && porter.trouble().any(|line| line.contains("bad copy")));
}

#[test]
fn what_a_tailer_without_memory_reads_again_is_dropped_whatever_bucket_it_is_in() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let next = BUCKET.next();
    // Read again from the start, cut into packets otherwise, with one line that was rewritten and one more.
    world.keep(&[10, 12], &packet(1, 9, next, 0, 0, &["one", "two", "three", "fOUr"]));
    world.keep(&[10, 12], &packet(1, 9, next, 1, 19, &["two", "five"]));
    world.close(&[10, 12], next, &closing(1, next, Some(BUCKET), &[(9, 2)]));
    world.pass(Duration::from_secs(300));
    world.run_for(&mut porter, Duration::from_secs(10));
    assert!(world.standing(next).unwrap().completeness.is_complete());
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["fOUr", "five", "four", "one", "three", "two", "two"]);
    let again = &world.standing(next).unwrap().blocks;
    assert_eq!(again.iter().map(|block| block.events).sum::<u64>(), 2);
    // The same once more brings no block at all, but is receipted.
    let after = next.next();
    let replay = packet(1, 10, after, 0, 0, &["one", "two", "three", "four"]);
    world.keep(&[10, 12], &replay);
    world.pass(Duration::from_secs(300));
    world.run_for(&mut porter, Duration::from_secs(10));
    assert!(world.standing(after).unwrap().blocks.is_empty() && world.receipted(&replay.0));
    assert_eq!(world.lines().len(), 7);
}

#[test]
fn copies_in_two_batches_of_one_bucket_are_one() {
    let (mut world, _) = usual();
    world.rules.block_bytes = 1;
    world.keep(&[10, 11], &packet(1, 8, BUCKET, 0, 0, &["one", "two", "three"]));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines(), ALL);
    assert_eq!(world.standing(BUCKET).unwrap().blocks.len(), 3);
}

#[test]
fn a_thousand_equal_lines_stay_a_thousand() {
    let mut world = World::new(&[1]);
    for seq in 0..10 {
        world.keep(&[10, 11], &packet(1, 7, BUCKET, seq, u64::from(seq) * 500, &["same"; 100]));
    }
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines().len(), 1000);
}

/// Kills the porter after each number of actions, done or not answered; the next one goes on.
#[test]
fn killed_at_every_step_and_started_again_the_result_is_the_same() {
    let (world, packets) = usual();
    let mut whole = world.clone();
    let mut porter = whole.machine(50);
    let steps = whole.settle(&mut porter);
    assert!(steps > 10);
    let blocks = |world: &World| world.newest().iter().map(|m| m.blocks.clone()).collect::<Vec<_>>();
    for kill in 0..steps {
        let mut world = world.clone();
        let mut porter = world.machine(50);
        porter.on_timeout(world.now);
        for _ in 0..kill {
            let action = porter.poll_action().unwrap();
            if let Some((ask, reply)) = world.perform(action) {
                porter.on_reply(world.now, ask, reply);
            }
        }
        // Receipts speak only of what can be read.
        for packet in packets.iter().filter(|packet| world.receipted(packet)) {
            assert!(world.lines().len() == ALL.len(), "{packet} has a receipt after {kill} steps");
        }
        let mut next = world.machine(51);
        world.run_for(&mut next, Duration::from_secs(20));
        assert_eq!(world.lines(), ALL, "killed after {kill}");
        assert_eq!(blocks(&world), blocks(&whole), "killed after {kill}");
        assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    }
}

/// One porter pauses at each step, another does all the work, the first goes on.
#[test]
fn a_porter_that_slept_through_anothers_work_changes_nothing() {
    let (world, _) = usual();
    for pause in 0..40 {
        let mut world = world.clone();
        world.peers.porters = 2;
        world.rules.late_every = Duration::from_secs(60);
        let (mut one, mut two) = (world.machine(50), world.machine(51));
        one.on_timeout(world.now);
        for _ in 0..pause {
            let Some(action) = one.poll_action() else { break };
            if let Some((ask, reply)) = world.perform(action) {
                one.on_reply(world.now, ask, reply);
            }
        }
        let held = one.poll_action();
        // Longer than any lease; a late packet comes, so that there are two versions.
        world.pass(Duration::from_secs(100));
        world.run_for(&mut two, Duration::from_secs(10));
        world.keep(&[10, 12], &packet(1, 8, BUCKET, 0, 23, &["late"]));
        world.run_for(&mut two, Duration::from_secs(70));
        let stands = world.standing(BUCKET).unwrap();
        if let Some((ask, reply)) = held.and_then(|action| world.perform(action)) {
            one.on_reply(world.now, ask, reply);
        }
        world.run_for(&mut one, Duration::from_secs(65));
        assert_eq!(world.lines(), ["one", "two", "three", "four", "two", "late"], "paused at {pause}");
        assert_eq!(world.standing(BUCKET).unwrap(), stands, "paused at {pause}");
        // What it would give receipts by is what the shelf has under that number.
        if let Some(believed) = one.standing().get(&stands.at) {
            let path = believed.at.object(Object::Manifest(believed.version));
            assert_eq!(world.shelf[&path][..], believed.write(), "paused at {pause}");
        }
    }
}

#[test]
fn a_damaged_manifest_keeps_its_number_and_loses_nothing() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let path = at(BUCKET).shard(0).object(Object::Manifest(1));
    let mut bad = world.shelf[&path].to_vec();
    bad[40] ^= 1;
    world.shelf.insert(path, bad.into());
    let mut next = world.machine(51);
    world.run_for(&mut next, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(manifest.version, 2);
    assert!(manifest.completeness.is_complete());
    assert_eq!(world.lines(), ALL);
    assert!(next.trouble().any(|line| line.contains("m-1")));
}

#[test]
fn a_damaged_block_of_the_same_name_is_replaced_before_it_is_named() {
    let (world, _) = usual();
    let mut whole = world.clone();
    let mut porter = whole.machine(50);
    whole.settle(&mut porter);
    let path = whole.shelf.keys().find(|path| path.ends_with(".tbk")).unwrap().clone();
    let mut world = world;
    let mut bad = whole.shelf[&path].to_vec();
    bad[20] ^= 1;
    world.shelf.insert(path.clone(), bad.into());
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.shelf[&path], whole.shelf[&path]);
    assert_eq!(world.lines(), ALL);
}

#[test]
fn shards_hold_their_own_tailers_and_are_complete_apart() {
    let mut world = World::new(&[1, 2]);
    world.rules.shards = 8;
    world.keep(&[10, 11], &packet(1, 7, BUCKET, 0, 0, &["of one"]));
    world.keep(&[10, 12], &packet(2, 7, BUCKET, 0, 0, &["of two"]));
    world.close(&[10], BUCKET, &closing(1, BUCKET, None, &[(7, 1)]));
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(20));
    assert_eq!(world.lines(), ["of one", "of two"]);
    let shards: Vec<_> = world.newest().iter().map(|m| (m.at.shard, m.shards, m.completeness.is_complete())).collect();
    assert_eq!(shards, [(1, 8, true), (2, 8, false)]);
    // Another porter with other settings keeps to what the first manifest says.
    world.rules.shards = 1;
    world.close(&[10], BUCKET, &closing(2, BUCKET, None, &[(7, 1)]));
    let mut next = world.machine(51);
    world.run_for(&mut next, Duration::from_secs(20));
    assert_eq!(world.newest().iter().filter(|m| m.completeness.is_complete()).count(), 2);
}

#[test]
fn many_parts_become_one_and_are_deleted_later() {
    let (mut world, _) = usual();
    world.rules.block_bytes = 64 << 10;
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let mut expected: Vec<String> = ALL.map(str::to_owned).to_vec();
    for late in 0..3u32 {
        let line = format!("late {late}");
        world.keep(&[10, 11], &packet(1, 8, BUCKET, late, 23 + 7 * u64::from(late), &[&line]));
        expected.push(line);
        world.run_for(&mut porter, Duration::from_secs(620));
    }
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!((manifest.version, manifest.blocks.len(), manifest.replaced.len()), (5, 1, 4));
    assert_eq!(manifest.blocks[0].events, 8);
    assert_eq!(world.lines(), expected);
    let blocks = |world: &World| world.shelf.keys().filter(|path| path.ends_with(".tbk")).count();
    assert_eq!(blocks(&world), 5, "who searched before the merge still finds the parts");
    world.run_for(&mut porter, Duration::from_secs(3700));
    assert_eq!((blocks(&world), porter.counters().deleted), (1, 4));
    assert_eq!(world.lines(), expected);
    assert_eq!(world.manifests().len(), 5, "manifests stay as long as their bucket");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Two porters side by side; answers come in any order, twice, late or as failures that happened all the same.
    #[test]
    fn any_order_of_answers_makes_the_same_blocks(seed in prop::collection::vec(any::<u8>(), 1..400)) {
        let (mut world, packets) = usual();
        let mut whole = world.clone();
        let mut alone = whole.machine(50);
        whole.settle(&mut alone);
        world.peers.porters = 2;
        let mut porters = [world.machine(50), world.machine(51)];
        let mut open: Vec<(usize, AskId, Reply)> = Vec::new();
        let mut choices = seed.into_iter().cycle();
        for _ in 0..3000 {
            for (number, porter) in porters.iter_mut().enumerate() {
                porter.on_timeout(world.now);
                while let Some(action) = porter.poll_action() {
                    open.extend(world.perform(action).map(|(ask, reply)| (number, ask, reply)));
                }
            }
            if open.is_empty() {
                world.pass(Duration::from_millis(700));
                continue;
            }
            let (pick, fate) = (choices.next().unwrap(), choices.next().unwrap());
            let (number, ask, reply) = open.swap_remove(usize::from(pick) % open.len());
            if fate % 16 == 0 {
                porters[number].on_reply(world.now, ask, Reply::Failed("lost on the way".to_owned()));
            } else {
                porters[number].on_reply(world.now, ask, reply.clone());
            }
            if fate % 8 == 1 {
                porters[number].on_reply(world.now, ask, reply);
            }
            world.pass(Duration::from_millis(5));
        }
        prop_assert_eq!(world.lines(), ALL);
        prop_assert!(packets.iter().all(|packet| world.receipted(packet)));
        let names = |world: &World| {
            let blocks = world.newest().into_iter().flat_map(|m| m.blocks.clone()).map(|block| block.name);
            blocks.collect::<Vec<_>>()
        };
        if world.standing(BUCKET).unwrap().version == 1 {
            prop_assert_eq!(names(&world), names(&whole));
        }
    }
}
