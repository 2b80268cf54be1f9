//! The start: what the spool holds, what the memory knew, and what bucks and porters know when it knew nothing.
//!
//! A process that was merely killed finds everything in its spool and memory and begins at once. One that lost
//! either, or whose host went down, first asks every buck and a porter what they know of its streams.

use super::{Asked, Machine, Stage};
use crate::action::{Action, Recovered, Warning};
use crate::spool::{Item, Place};
use proto::closed::Closed;
use proto::ids::{NodeId, StreamId};
use proto::message::{Ask, Known};
use proto::packet::Packet;
use proto::record::{Kind, Record};
use proto::time::{Now, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long what is known elsewhere is waited for.
const KNOWN_WAIT: Duration = Duration::from_secs(10);
/// A peer that was away is asked again so often meanwhile.
const KNOWN_AGAIN: Duration = Duration::from_millis(250);
/// How long a first buck's clock is waited for.
const CLOCK_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Starting {
    clock_by: Duration,
    known_by: Duration,
    /// Peers whose knowledge is wanted.
    peers: BTreeMap<NodeId, PeerState>,
    receipts_by: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerState {
    Asked,
    /// It was away; ask again then.
    Again(Duration),
    Done,
}

impl Starting {
    pub(super) fn next_timeout(&self) -> Duration {
        let again = self.peers.values().filter_map(|state| match state {
            PeerState::Again(at) => Some(*at),
            PeerState::Asked | PeerState::Done => None,
        });
        let waiting = self.peers.values().any(|state| *state != PeerState::Done);
        again.chain([if waiting { self.known_by } else { self.clock_by }]).min().unwrap_or(self.clock_by)
    }

    /// All bucks said what they know, and a porter where there is one.
    fn is_known(&self, porters: &[NodeId]) -> bool {
        let done = |peer: &NodeId| self.peers.get(peer).is_none_or(|state| *state == PeerState::Done);
        let bucks_done = self.peers.keys().filter(|peer| !porters.contains(peer)).all(done);
        bucks_done && (porters.is_empty() || porters.iter().any(done))
    }
}

impl Machine {
    pub(super) fn recover_one(&mut self, place: &Place, at: u64, bytes: &[u8]) {
        let Ok(record) = Record::parse(bytes) else { return };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match record.kind {
            Kind::Packet => {
                let Ok(Packet { head, .. }) = Packet::parse(bytes) else { return };
                if head.id.tailer != self.node {
                    return;
                }
                let whole =
                    self.spool.runs(place).iter().all(|run| run.run != head.id.run || run.packets >= head.id.seq)
                        && (head.id.seq == 0 || self.spool.runs(place).iter().any(|run| run.run == head.id.run));
                self.knowledge.spooled_all(&head.streams, whole);
                let item = Item::Packet { run: head.id.run, seq: head.id.seq };
                self.spool.add(place, item, at, length, head.filed.first);
            }
            Kind::Closed => {
                let Ok((closed, _)) = Closed::parse(bytes) else { return };
                if closed.tailer == self.node {
                    self.spool.add(place, Item::Closing, at, length, Timestamp::default());
                }
            }
        }
    }

    pub(super) fn begin(&mut self, now: Now, recovered: &Recovered) {
        for arrived in &recovered.arrived {
            self.spool.recall(arrived);
        }
        self.recall_turns(&recovered.closed);
        let whole = recovered.skipped == 0 && self.knowledge.is_whole();
        self.sure = whole && (recovered.clean || recovered.same_boot);
        let all_peers = self.pick.ids().into_iter().chain(self.porters.iter().copied());
        let peers = if self.sure { Vec::new() } else { all_peers.collect() };
        let starting = Starting {
            clock_by: now.mono + CLOCK_WAIT,
            known_by: now.mono + KNOWN_WAIT,
            peers: peers.iter().map(|peer| (*peer, PeerState::Asked)).collect(),
            receipts_by: now.mono + CLOCK_WAIT,
        };
        self.due.waiting = starting.receipts_by;
        self.stage = Stage::Starting(starting);
        for buck in self.pick.ids() {
            self.ask(Asked::Beat(buck), buck, Ask::Beat { filed: Vec::new() });
        }
        for peer in peers {
            self.ask(Asked::Known(peer), peer, Ask::Known { after: None });
        }
        self.ask_receipts(now);
    }

    pub(super) fn ask(&mut self, about: Asked, peer: NodeId, ask: Ask) {
        let exchange = self.flight.exchange();
        self.asked.insert(exchange, about);
        self.act(Action::Ask { exchange, peer, ask });
    }

    /// A page of what a peer knows.
    pub(super) fn on_known(&mut self, peer: NodeId, known: &Known) {
        if !matches!(self.stage, Stage::Starting(_)) {
            return;
        }
        known.streams.iter().for_each(|stream| self.knowledge.heard(stream));
        let last: Option<StreamId> = known.streams.last().map(|stream| stream.stream);
        if known.more && last.is_some() {
            self.ask(Asked::Known(peer), peer, Ask::Known { after: last });
        } else {
            self.known_state(peer, PeerState::Done);
        }
    }

    pub(super) fn on_known_away(&mut self, now: Now, peer: NodeId) {
        self.known_state(peer, PeerState::Again(now.mono + KNOWN_AGAIN));
    }

    fn known_state(&mut self, peer: NodeId, state: PeerState) {
        if let Stage::Starting(starting) = &mut self.stage {
            starting.peers.insert(peer, state);
        }
    }

    /// Asks again who was away; goes on when all is known, or the wait is over.
    pub(super) fn settle_start(&mut self, now: Now) {
        let Stage::Starting(starting) = &mut self.stage else { return };
        let mut again = Vec::new();
        for (peer, state) in &mut starting.peers {
            if matches!(state, PeerState::Again(at) if *at <= now.mono) {
                *state = PeerState::Asked;
                again.push(*peer);
            }
        }
        let known = starting.is_known(&self.porters);
        let waited = starting.known_by <= now.mono;
        let beats_out = self.asked.values().any(|asked| matches!(asked, Asked::Beat(_)));
        let timed = self.clock.is_corrected() || starting.clock_by <= now.mono || !beats_out;
        for peer in again {
            self.ask(Asked::Known(peer), peer, Ask::Known { after: None });
        }
        if (known || waited) && timed {
            if !known {
                self.warn(Warning::Unheard);
            }
            self.stage = Stage::Running;
            self.open_turns(now);
        }
    }
}
