//! Questions: answered at once from the index, or made a job that reads packets.

use super::{HEARD_MAX, HeardAt, JOBS_MAX, Machine, PEER_JOBS_MAX, TAILS_MAX};
use crate::action::Action;
use crate::context::Context;
use crate::fetch::Fetch;
use crate::job::Job;
use crate::place::ExchangeId;
use crate::plan::{Plan, Question};
use crate::scan::Scan;
use proto::ids::{Environment, NodeId, PacketId};
use proto::message::{Answer, Ask, ContextAsk, Heard, Known, LiveAsk, Receipt, Refusal, SearchAsk, Status};
use proto::packet::TimeSpan;
use proto::query::{Query, parse};
use proto::roster::Peer;
use proto::time::{BucketId, Now, Timestamp};
use std::sync::Arc;

/// Packets in one fetch: a frame full of names.
const FETCH_MAX: usize = 65_536;

/// Receipts in one answer: a frame holds a few hundred bytes of ranges for each.
const RECEIPTS_MAX: usize = 1024;

impl Machine {
    /// Any question but a Put, whose box is opened before it comes here.
    pub fn on_ask(&mut self, now: Now, exchange: ExchangeId, peer: NodeId, ask: Ask) {
        let roster = Arc::clone(&self.roster);
        let allowed = match roster.by_id(peer) {
            Some(peer) => peer.may_ask(&ask).map(|()| peer).map_err(|denied| denied.to_string()),
            None => Err(format!("node {peer} is not in the roster")),
        };
        let answer = match allowed {
            Ok(peer) => self.answer_of(now, exchange, peer, ask),
            Err(why) => Err(Refusal::NotAllowed(why)),
        };
        match answer {
            Ok(Some(answer)) => self.answer(exchange, answer),
            Ok(None) => {}
            Err(refusal) => self.answer(exchange, Answer::Refused(refusal)),
        }
    }

    /// `None` when the answer comes in parts.
    fn answer_of(&mut self, now: Now, exchange: ExchangeId, peer: &Peer, ask: Ask) -> Result<Option<Answer>, Refusal> {
        let answer = match ask {
            Ask::Put { .. } => return Err(Refusal::Nonsense("a box that nobody opened".to_owned())),
            Ask::Catalog(_) => return Err(Refusal::Nonsense("a buck has no shelf".to_owned())),
            Ask::Beat { filed } => self.beat(now, peer.id, filed),
            Ask::Known { after } => Answer::Known(self.known(peer.id, after)),
            Ask::Receipts { buckets } => Answer::Receipts(self.receipts_for(peer.id, &buckets)),
            Ask::Holdings { after } => {
                let (holdings, more) = self.index.holdings(after.as_ref());
                Answer::Holdings { holdings, more }
            }
            Ask::Inventory { environment, bucket, after } => {
                Answer::Inventory(self.index.inventory(&environment, bucket, after.as_ref()))
            }
            Ask::Status => Answer::Status(self.status(now)),
            Ask::Fetch { packets } => return self.fetch(exchange, peer.id, &packets).map(|()| None),
            Ask::Search(ask) => return self.search(exchange, peer.id, &ask).map(|()| None),
            Ask::Live(ask) => return self.live(exchange, peer.id, ask).map(|()| None),
            Ask::Context(ask) => return self.context(exchange, peer.id, &ask).map(|()| None),
        };
        Ok(Some(answer))
    }

    fn beat(&mut self, now: Now, tailer: NodeId, filed: Vec<(Environment, Timestamp)>) -> Answer {
        for (environment, filed) in filed {
            let key = (tailer, environment);
            if self.heard.len() >= HEARD_MAX && !self.heard.contains_key(&key) {
                continue;
            }
            let heard = self.heard.entry(key).or_insert(HeardAt { at: now.wall, filed });
            *heard = HeardAt { at: now.wall, filed: heard.filed.max(filed) };
        }
        Answer::Beat { clock: now.wall }
    }

    fn known(&self, tailer: NodeId, after: Option<proto::ids::StreamId>) -> Known {
        self.index.tailer(tailer).map(|tailer| tailer.page(after)).unwrap_or_default()
    }

    /// Of its own packets: those of all tailers would not fit a frame. What is not known here is asked for, so that
    /// the next time it is.
    fn receipts_for(&mut self, tailer: NodeId, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for (environment, bucket) in buckets.iter().take(RECEIPTS_MAX) {
            let known = self.index.receipts_of(environment, *bucket);
            if known.is_empty() {
                self.asking.want((environment.clone(), *bucket));
            }
            let own = |mut receipt: Receipt| {
                receipt.ranges.retain(|range| range.tailer == tailer);
                receipt
            };
            receipts.extend(known.into_iter().map(own));
            if receipts.len() >= RECEIPTS_MAX {
                break;
            }
        }
        receipts
    }

    fn start_job(&mut self, exchange: ExchangeId, peer: NodeId, job: Job) {
        self.jobs.insert(exchange, peer);
        self.actions.push_back(Action::Run { exchange, job });
    }

    fn check_jobs(&self, peer: NodeId) -> Result<(), Refusal> {
        let of_peer = self.jobs.values().filter(|other| **other == peer).count();
        if self.jobs.len() < JOBS_MAX && of_peer < PEER_JOBS_MAX { Ok(()) } else { Err(Refusal::Busy) }
    }

    fn fetch(&mut self, exchange: ExchangeId, peer: NodeId, packets: &[PacketId]) -> Result<(), Refusal> {
        if packets.len() > FETCH_MAX {
            return Err(Refusal::Nonsense(format!("a fetch of more than {FETCH_MAX} packets")));
        }
        self.check_jobs(peer)?;
        let places = packets.iter().filter_map(|id| self.index.place(id)).collect();
        self.start_job(exchange, peer, Job::Fetch(Fetch::new(places)));
        Ok(())
    }

    fn search(&mut self, exchange: ExchangeId, peer: NodeId, ask: &SearchAsk) -> Result<(), Refusal> {
        let query = read_query(&ask.query)?;
        self.check_jobs(peer)?;
        // The end is not included, and a span's last moment is.
        let times = TimeSpan { first: ask.from, last: Timestamp(ask.to.0.saturating_sub(1)) };
        let packets =
            if times.is_empty() { Vec::new() } else { self.index.plan(&ask.environments, times, &ask.snapshot) };
        let (from, to, order, want, after) = (ask.from, ask.to, ask.order, ask.want, ask.after);
        let question = Question { query, from, to, order, want, after };
        let heard = self.heard_of(&ask.environments);
        self.start_job(exchange, peer, Job::Scan(Box::new(Scan::new(Plan { question, packets, heard }))));
        Ok(())
    }

    fn context(&mut self, exchange: ExchangeId, peer: NodeId, ask: &ContextAsk) -> Result<(), Refusal> {
        self.check_jobs(peer)?;
        let packets = self.index.plan_stream(&ask.environment, &ask.event);
        self.start_job(exchange, peer, Job::Context(Box::new(Context::new(ask, packets))));
        Ok(())
    }

    fn live(&mut self, exchange: ExchangeId, peer: NodeId, ask: LiveAsk) -> Result<(), Refusal> {
        let query = read_query(&ask.query)?;
        if self.tails.len() >= TAILS_MAX {
            return Err(Refusal::Busy);
        }
        let environments = ask.environments.clone();
        self.tails.insert(exchange, (peer, Ask::Live(ask)));
        self.actions.push_back(Action::Subscribe { exchange, query, environments });
        Ok(())
    }

    fn heard_of(&self, environments: &[Environment]) -> Vec<Heard> {
        let wanted = self.heard.iter().filter(|((_, environment), _)| environments.contains(environment));
        wanted.map(|(key, heard)| heard_line(key, *heard)).collect()
    }

    fn status(&self, now: Now) -> Status {
        let gauges = [
            ("packets_unsynced", self.pending.len() as u64),
            ("memory_unsynced", self.pending.bytes() as u64),
            ("searches", self.jobs.len() as u64),
            ("live_tails", self.tails.len() as u64),
            ("buckets_held", self.index.buckets().count() as u64),
            ("packets_without_receipt", self.index.buckets().map(|(_, held)| u64::from(held.unreceipted())).sum()),
            ("buckets_without_receipt", self.index.buckets().filter(|(_, held)| held.unreceipted() > 0).count() as u64),
        ];
        let mut counters = self.counters.list();
        counters.extend(gauges.map(|(name, count)| (name.to_owned(), count)));
        let hash = self.roster.hash();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: now.wall,
            up_seconds: self.started.map_or(0, |started| now.mono.saturating_sub(started).as_secs()),
            roster: hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)),
            heard: self.heard.iter().map(|(key, heard)| heard_line(key, *heard)).collect(),
            counters,
            trouble: self.disks.trouble(&self.rules),
        }
    }
}

fn heard_line((tailer, environment): &(NodeId, Environment), heard: HeardAt) -> Heard {
    Heard { tailer: *tailer, environment: environment.clone(), at: heard.at, filed: heard.filed }
}

fn read_query(text: &str) -> Result<Query, Refusal> {
    parse(text).map_err(|error| Refusal::BadQuery(error.to_string()))
}
