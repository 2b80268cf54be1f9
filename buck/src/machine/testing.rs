//! What tests of this crate make packets with, and a buck whose disks are vectors.

use crate::action::Action;
use crate::config::Rules;
use crate::job::{Job, Step};
use crate::machine::Machine;
use crate::place::{DiskId, ExchangeId, Place, Ticket};
use bytes::Bytes;
use proto::closed::{Closed, RunCount};
use proto::event::{Flags, Level};
use proto::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use proto::message::{Answer, Ask, Part, PutOutcome, SearchAsk, SearchOrder, Want};
use proto::packet::{NewEvent, PacketBuilder, PacketSource, PacketStream, TailMark};
use proto::roster::Roster;
use proto::seal::{Keys, Seed};
use proto::squeeze::Squeezer;
use proto::time::{BucketId, Now, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-21T10:00:00Z, the start of a bucket of five minutes.
pub const START: i64 = 1_795_255_200;
pub const BUCKET: BucketId = BucketId(5_984_184);
pub const TAILER: NodeId = NodeId(1);
pub const OTHER: NodeId = NodeId(2);
pub const PORTER: NodeId = NodeId(90);
pub const WEB: NodeId = NodeId(91);
pub const ELSE: NodeId = NodeId(99);

pub fn now(millis: u64) -> Now {
    let since = Duration::from_millis(millis);
    Now { mono: Duration::from_secs(1000) + since, wall: Timestamp::from_seconds(START).after(since) }
}

/// Two tailers, of which the second has a host of its own, a porter and a web.
pub fn roster() -> Arc<Roster> {
    let line = |role: &str, id: NodeId, rest: &str| {
        let seed = u8::try_from(id.0).expect("small ids");
        format!("{role} {} id={id} {rest}\n", Keys::from_seed(&Seed::from_bytes([seed; 32])).public())
    };
    let text = [
        line("tailer", TAILER, ""),
        line("tailer", OTHER, "env=main,test host=db1"),
        line("porter", PORTER, ""),
        line("web", WEB, "env=main"),
    ];
    Arc::new(Roster::parse(text.concat().as_bytes()).expect("a good roster"))
}

pub fn packet_id(tailer: NodeId, seq: u32) -> PacketId {
    PacketId { tailer, environment: Environment::default(), bucket: BUCKET, run: RunId(7), seq }
}

pub fn event_of(line: &[u8], flags: Flags) -> NewEvent<'_> {
    NewEvent {
        source: 0,
        time: Timestamp::from_seconds(START),
        level: Level::Info,
        flags,
        file_length: line.len() as u32,
        line,
    }
}

/// Makes packets of lines, each stream's bytes one after another.
#[derive(Clone)]
pub struct PacketMaker {
    builder: PacketBuilder,
    /// By name: index and where its next line begins.
    streams: BTreeMap<String, (u16, u64)>,
    host: String,
}

impl PacketMaker {
    pub fn new(tailer: u64, seq: u32) -> Self {
        Self::with(packet_id(NodeId(tailer), seq), "web1")
    }

    pub fn with(id: PacketId, host: &str) -> Self {
        let mut builder = PacketBuilder::new(id, false);
        builder.filed(Timestamp::from_seconds(START));
        Self { builder, streams: BTreeMap::new(), host: host.to_owned() }
    }

    /// The stream's next line begins here.
    pub fn at(&mut self, stream: &str, offset: u64) -> &mut Self {
        let index = self.index_of(stream);
        self.streams.insert(stream.to_owned(), (index, offset));
        self
    }

    pub fn line(&mut self, stream: &str, line: &[u8]) -> &mut Self {
        self.push(stream, event_of(line, Flags::NONE))
    }

    pub fn push(&mut self, stream: &str, event: NewEvent<'_>) -> &mut Self {
        let index = self.index_of(stream);
        let offset = self.streams[stream].1;
        let to = proto::event::end_of(offset, event.file_length, event.flags);
        self.builder.push(offset, NewEvent { source: index, ..event });
        self.builder.mark(index, TailMark::of(event.line));
        self.streams.insert(stream.to_owned(), (index, to));
        self
    }

    pub fn end_of(&self, stream: &str) -> u64 {
        self.streams[stream].1
    }

    fn index_of(&mut self, stream: &str) -> u16 {
        if let Some((index, _)) = self.streams.get(stream) {
            return *index;
        }
        let index = self.builder.stream(PacketStream {
            id: stream_id(stream),
            path: format!("/var/log/{stream}.log"),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
            extents: Vec::new(),
            tail: TailMark::default(),
        });
        self.builder.source(PacketSource { stream: index, host: self.host.clone(), app: stream.to_owned() });
        self.streams.insert(stream.to_owned(), (index, 0));
        index
    }

    pub fn finish(&self) -> Bytes {
        self.builder.finish(&mut Squeezer::new(3), |_| [0; 64]).into()
    }
}

pub fn stream_id(name: &str) -> StreamId {
    let mut id = [0; 16];
    id.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    StreamId(id)
}

/// A packet of one line.
pub fn packet(tailer: NodeId, seq: u32, line: &str) -> Bytes {
    PacketMaker::new(tailer.0, seq).at("a", u64::from(seq) * 1000).line("a", line.as_bytes()).finish()
}

pub fn closing(tailer: NodeId, bucket: BucketId, packets: u32) -> Bytes {
    let closed = Closed {
        tailer,
        environment: Environment::default(),
        bucket,
        previous: None,
        runs: vec![RunCount { run: RunId(7), packets }],
        losses: Vec::new(),
    };
    closed.write(|_| [0; 64]).into()
}

/// For everything there is, the oldest first.
pub fn search(query: &str) -> SearchAsk {
    SearchAsk {
        query: query.to_owned(),
        environments: vec![Environment::default()],
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        order: SearchOrder::Oldest,
        want: Want::Rows { limit: 1000 },
        after: None,
        snapshot: Vec::new(),
    }
}

/// A buck and its disks. Appends are done at once; syncs and failures when the test says so.
pub struct Buck {
    pub machine: Machine,
    pub now: Now,
    pub files: BTreeMap<(DiskId, Environment, BucketId), Vec<u8>>,
    pub answers: BTreeMap<ExchangeId, Vec<Answer>>,
    /// Asked for and not done.
    pub syncs: Vec<(DiskId, Ticket)>,
    pub appended: Vec<(DiskId, Ticket)>,
    pub others: Vec<Action>,
    pub broken: Vec<DiskId>,
    pub auto_sync: bool,
    pub next_exchange: u64,
}

impl Buck {
    pub fn new(rules: Rules, disks: u16) -> Self {
        let mut buck = Self {
            machine: Machine::new(rules, roster(), disks, 5),
            now: now(0),
            files: BTreeMap::new(),
            answers: BTreeMap::new(),
            syncs: Vec::new(),
            appended: Vec::new(),
            others: Vec::new(),
            broken: Vec::new(),
            auto_sync: true,
            next_exchange: 0,
        };
        buck.machine.start(buck.now);
        buck.run();
        buck
    }

    /// Does what the machine asks for until it asks for nothing.
    pub fn run(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Append { disk, ticket, .. } if self.broken.contains(&disk) => {
                let _ = ticket;
                self.machine.on_disk_failed(self.now, disk, "broken by the test".into());
            }
            Action::Append { disk, environment, bucket, bytes, ticket } => {
                let file = self.files.entry((disk, environment, bucket)).or_default();
                let at = file.len() as u64;
                file.extend_from_slice(&bytes);
                self.appended.push((disk, ticket));
                self.machine.on_appended(self.now, disk, ticket, at);
            }
            Action::Sync { disk, ticket } if self.auto_sync => self.machine.on_synced(self.now, disk, ticket),
            Action::Sync { disk, ticket } => self.syncs.push((disk, ticket)),
            Action::Delete { disk, ref environment, bucket } => {
                self.files.remove(&(disk, environment.clone(), bucket));
                self.others.push(action);
            }
            Action::Answer { exchange, answer } => self.answers.entry(exchange).or_default().push(answer),
            Action::Run { exchange, job } => {
                let (parts, job) = run_job(job, |place| self.read(place));
                self.answers.entry(exchange).or_default().extend(parts.into_iter().map(Answer::Part));
                self.machine.on_job_done(exchange, job.filters());
            }
            other => self.others.push(other),
        }
    }

    pub fn read(&self, place: &Place) -> Result<Bytes, String> {
        let file = self.files.get(&(place.disk, place.environment.clone(), place.bucket)).ok_or("no such file")?;
        let at = place.at as usize;
        let bytes = file.get(at..at + place.length as usize).ok_or("the file is too short")?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    pub fn exchange(&mut self) -> ExchangeId {
        self.next_exchange += 1;
        ExchangeId(self.next_exchange)
    }

    /// The answer so far; `None` while it waits.
    pub fn put(&mut self, peer: NodeId, bytes: Bytes) -> ExchangeId {
        let exchange = self.exchange();
        self.machine.on_put(self.now, exchange, peer, bytes);
        self.run();
        exchange
    }

    pub fn outcome(&self, exchange: ExchangeId) -> Option<PutOutcome> {
        match self.answers.get(&exchange).map(Vec::as_slice) {
            None => None,
            Some([Answer::Put(answer)]) => Some(answer.outcome.clone()),
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Lets time pass, with every timeout in it.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        while let Some(due) = self.machine.next_timeout().filter(|due| *due <= end) {
            self.step_to(due.max(self.now.mono));
        }
        self.step_to(end);
    }

    fn step_to(&mut self, mono: Duration) {
        let span = mono - self.now.mono;
        self.now = Now { mono, wall: self.now.wall.after(span) };
        self.machine.on_timeout(self.now);
        self.run();
    }

    /// Puts, and waits until it is kept.
    pub fn keep(&mut self, peer: NodeId, bytes: Bytes) {
        let exchange = self.put(peer, bytes);
        self.pass(Duration::from_millis(20));
        assert_eq!(self.outcome(exchange), Some(PutOutcome::Kept));
    }

    pub fn ask(&mut self, peer: NodeId, ask: Ask) -> Vec<Answer> {
        let exchange = self.exchange();
        self.machine.on_ask(self.now, exchange, peer, ask);
        self.run();
        self.answers.remove(&exchange).unwrap_or_default()
    }

    pub fn parts(&mut self, peer: NodeId, ask: Ask) -> Vec<Part> {
        let part = |answer| match answer {
            Answer::Part(part) => part,
            other => panic!("{other:?}"),
        };
        self.ask(peer, ask).into_iter().map(part).collect()
    }

    /// The lines of an answer.
    pub fn lines(&mut self, peer: NodeId, ask: Ask) -> Vec<String> {
        let rows = |part| if let Part::Rows(rows) = part { rows } else { Vec::new() };
        let rows = self.parts(peer, ask).into_iter().flat_map(rows);
        rows.map(|row| String::from_utf8_lossy(&row.line).into_owned()).collect()
    }

    /// Another buck that finds what this one's disks hold.
    pub fn restart(self, rules: Rules, disks: u16) -> Self {
        let mut buck = Self::new(rules, disks);
        let mut machine = Machine::new(buck.rules(), roster(), disks, 5);
        buck.now = self.now;
        for ((disk, environment, bucket), file) in &self.files {
            let mut records = proto::bucket::Records::new(file);
            for (at, _, bytes) in records.by_ref() {
                let bytes = Bytes::copy_from_slice(bytes);
                machine.on_recovered(buck.now, *disk, (environment, *bucket), at as u64, &bytes);
            }
            machine.on_torn(records.skipped as u64);
        }
        buck.machine = machine;
        buck.files = self.files;
        buck.auto_sync = self.auto_sync;
        buck.machine.start(buck.now);
        buck.run();
        buck
    }

    fn rules(&self) -> Rules {
        self.machine.rules.clone()
    }

    /// Cuts bytes off a file's end, as a crash does.
    pub fn tear(&mut self, bytes: usize) {
        for file in self.files.values_mut() {
            file.truncate(file.len().saturating_sub(bytes));
        }
    }

    pub fn flip(&mut self, at: usize) {
        for file in self.files.values_mut() {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= 0x10;
            }
        }
    }

    pub fn file_count(&self) -> usize {
        self.files.len()
    }
}

/// Runs a job to its end over whatever `read` gives.
pub fn run_job(mut job: Job, mut read: impl FnMut(&Place) -> Result<Bytes, String>) -> (Vec<Part>, Job) {
    let mut parts = Vec::new();
    loop {
        match job.step() {
            Step::Read(place) => job.on_read(read(&place)),
            Step::Part(part) => parts.push(part),
            Step::Done => return (parts, job),
        }
    }
}
