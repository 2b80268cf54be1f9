//! Bucks, a shelf in memory, and time, around one machine or two.

use super::*;
use crate::names::BlockAt;

#[derive(Clone, Debug, Default)]
pub struct Buck {
    pub packets: BTreeMap<PacketId, Vec<u8>>,
    pub closings: BTreeSet<(BucketId, Vec<u8>)>,
    pub away: bool,
}

/// Everything around machines. Porters are given by number; they share bucks and shelf.
#[derive(Clone, Debug)]
pub struct World {
    pub bucks: BTreeMap<NodeId, Buck>,
    pub shelf: BTreeMap<String, Arc<[u8]>>,
    pub roster: Arc<Roster>,
    pub peers: Peers,
    pub now: Now,
    pub rules: Rules,
    /// Objects that can't be deleted, each so often, and how often it was tried.
    pub stuck: BTreeMap<String, (u32, u32)>,
}

impl World {
    pub fn new(tailers: &[u64]) -> Self {
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
            stuck: BTreeMap::new(),
        }
    }

    pub fn keep(&mut self, bucks: &[u64], (id, bytes): &(PacketId, Vec<u8>)) {
        for buck in bucks {
            self.bucks.get_mut(&NodeId(*buck)).unwrap().packets.insert(id.clone(), bytes.clone());
        }
    }

    pub fn close(&mut self, bucks: &[u64], bucket: BucketId, bytes: &[u8]) {
        for buck in bucks {
            self.bucks.get_mut(&NodeId(*buck)).unwrap().closings.insert((bucket, bytes.to_vec()));
        }
    }

    pub fn buck(&mut self, id: u64) -> &mut Buck {
        self.bucks.get_mut(&NodeId(id)).unwrap()
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.after(time) };
    }

    /// A porter that starts and reads what stands.
    pub fn machine(&self, id: u64) -> Machine {
        let mut machine = Machine::new(NodeId(id), self.rules.clone(), width());
        machine.on_manifests(self.now, &self.newest());
        machine.on_peers(self.now, self.peers.clone());
        machine
    }

    pub fn newest(&self) -> Vec<Arc<Manifest>> {
        let mut standing = Standing::default();
        for manifest in self.manifests() {
            standing.insert(Arc::new(manifest));
        }
        standing.iter().cloned().collect()
    }

    pub fn manifests(&self) -> Vec<Manifest> {
        let is_manifest = |path: &String| matches!(parse_path(path), Some((_, Object::Manifest(_))));
        self.shelf
            .iter()
            .filter(|(path, _)| is_manifest(path))
            .filter_map(|(_, bytes)| Manifest::parse(bytes).ok())
            .collect()
    }

    pub fn standing(&self, bucket: BucketId) -> Option<Arc<Manifest>> {
        self.newest().into_iter().find(|manifest| manifest.at.bucket == bucket)
    }

    /// Every event of every block a newest manifest names, in order of streams and offsets, with its line.
    pub fn events(&self) -> Vec<(EventId, String)> {
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

    pub fn lines(&self) -> Vec<String> {
        self.events().into_iter().map(|(_, line)| line).collect()
    }

    pub fn receipted(&self, packet: &PacketId) -> bool {
        self.newest().iter().any(|manifest| manifest.receipt().covers(packet))
    }

    /// Does one action; nothing for those nobody answers.
    pub fn perform(&mut self, action: Action) -> Option<(AskId, Reply)> {
        Some(match action {
            Action::AskHoldings { ask, buck, .. } => (ask, self.holdings(buck)),
            Action::AskInventory { ask, buck, bucket, .. } => (ask, self.inventory(buck, bucket)),
            Action::Fetch { ask, buck, packets } => (ask, self.fetch(buck, &packets)),
            Action::Earlier { ask, streams, also, .. } => (ask, Reply::Earlier(self.earlier(&streams, &also))),
            Action::Doubles { ask } => (ask, Reply::Doubles(self.doubles())),
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
                if let Some((times, tried)) = self.stuck.get_mut(&path) {
                    *tried += 1;
                    if *tried <= *times {
                        return Some((ask, Reply::Failed("it hangs".to_owned())));
                    }
                }
                self.shelf.remove(&path);
                (ask, Reply::Deleted)
            }
            Action::Stands(_) => return None,
        })
    }

    pub fn holdings(&self, buck: NodeId) -> Reply {
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

    pub fn inventory(&self, buck: NodeId, bucket: BucketId) -> Reply {
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

    pub fn fetch(&self, buck: NodeId, packets: &[PacketId]) -> Reply {
        let buck = &self.bucks[&buck];
        if buck.away {
            return Reply::Failed("away".to_owned());
        }
        let records = packets.iter().filter_map(|id| buck.packets.get(id).cloned()).collect();
        Reply::Fetched(check::packets(packets, records, &self.roster))
    }

    pub fn earlier(&self, streams: &[StreamRange], also: &[BlockAt]) -> Earlier {
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

    pub fn doubles(&self) -> Vec<Double> {
        let mut places = Places::default();
        for manifest in self.newest() {
            for block in manifest.blocks.iter().map(|block| manifest.at.block(block.name)) {
                places.add(&block, &ranges_of(&Opened::open(&self.shelf[&block.path()][..]).unwrap()));
            }
        }
        let names = |block: &BlockAt| {
            let bytes = &self.shelf[&block.path()][..];
            let opened = Opened::open(bytes).unwrap();
            names_in(&opened, bytes, &ranges_of(&opened)).unwrap()
        };
        while let Some(pair) = places.doubt().cloned() {
            places.compared(&pair, in_both(names(&pair.stays), names(&pair.yields)));
        }
        places.doubles()
    }

    /// Runs one porter until it waits for time to pass. Returns how many actions it took.
    pub fn settle(&mut self, machine: &mut Machine) -> usize {
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

    pub fn run_for(&mut self, machine: &mut Machine, time: Duration) {
        let until = self.now.mono + time;
        while self.now.mono < until {
            self.settle(machine);
            let next = machine.next_timeout().unwrap_or(until).max(self.now.mono + Duration::from_millis(10));
            self.pass(next.min(until) - self.now.mono);
        }
        self.settle(machine);
    }
}
