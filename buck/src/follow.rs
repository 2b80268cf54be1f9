//! The thread that looks into packets as they come: for live tails, and to make their filters.
//!
//! It is never waited for. When it falls behind, packets first get no filter, then are not looked at at all: live
//! tails are told how many lines they missed.

use crate::filter::Filter;
use crate::place::ExchangeId;
use crate::tails::Tails;
use bytes::Bytes;
use proto::ids::{Environment, PacketId};
use proto::io::clock::Clock;
use proto::message::Answer;
use proto::query::Query;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::debug;

/// Packets waiting to be looked at. Above this they get no filter; a scan makes it when it opens them.
const FILTER_BYTES_MAX: usize = 32 << 20;

/// Above this they are not looked at.
const LOOK_BYTES_MAX: usize = 64 << 20;

/// The longest wait; there is nothing to do without a word from outside or a beat.
const WAIT_MAX: Duration = Duration::from_secs(1);

pub enum Told {
    Packet {
        id: PacketId,
        bytes: Bytes,
    },
    Skipped {
        environment: Environment,
        events: u32,
    },
    Subscribe {
        exchange: ExchangeId,
        query: Query,
        environments: Vec<Environment>,
        out: mpsc::Sender<Answer>,
    },
    Unsubscribe {
        exchange: ExchangeId,
    },
    /// A subscriber has taken something.
    Room,
}

/// How the loop and the subscribers speak to it. Clones are the same.
#[derive(Clone)]
pub struct Follower {
    told: Sender<Told>,
    waiting: Arc<AtomicUsize>,
}

impl Follower {
    pub fn publish(&self, id: PacketId, events: u32, bytes: Bytes) {
        if self.waiting.load(Ordering::Relaxed) > LOOK_BYTES_MAX {
            return self.tell(Told::Skipped { environment: id.environment, events });
        }
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        self.tell(Told::Packet { id, bytes });
    }

    /// What waits is bounded by bytes of packets, and by what subscribers and the machine's caps allow.
    pub fn tell(&self, told: Told) {
        // Fails only when the thread has ended, which the loop finds out when it joins it.
        let _ = self.told.send(told);
    }
}

/// What the thread owns.
pub struct Following {
    told: Receiver<Told>,
    waiting: Arc<AtomicUsize>,
    tails: Tails,
    outs: BTreeMap<ExchangeId, mpsc::Sender<Answer>>,
    filters: mpsc::Sender<(PacketId, Filter)>,
    clock: Clock,
}

pub fn follower(clock: Clock, filters: mpsc::Sender<(PacketId, Filter)>) -> (Follower, Following) {
    let (told, hears) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let follower = Follower { told, waiting: Arc::clone(&waiting) };
    let outs = BTreeMap::new();
    (follower, Following { told: hears, waiting, tails: Tails::default(), outs, filters, clock })
}

impl Following {
    /// Until nobody is left who could tell it anything.
    pub fn work(mut self) {
        loop {
            let now = self.clock.mono();
            let until = self.tails.next_timeout().map_or(WAIT_MAX, |due| due.saturating_sub(now).min(WAIT_MAX));
            match self.told.recv_timeout(until) {
                Ok(told) => self.take(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tails.on_timeout(self.clock.now());
            self.send();
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Packet { id, bytes } => self.look(id, &bytes),
            Told::Skipped { environment, events } => self.tails.on_skipped(&environment, events.into()),
            Told::Subscribe { exchange, query, environments, out } => {
                self.tails.subscribe(self.clock.now(), exchange, query, environments);
                self.outs.insert(exchange, out);
            }
            Told::Unsubscribe { exchange } => self.forget(exchange),
            Told::Room => {}
        }
    }

    fn look(&mut self, id: PacketId, bytes: &Bytes) {
        let waiting = self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        let filter = waiting < FILTER_BYTES_MAX;
        if !filter && self.tails.is_empty() {
            return;
        }
        match self.tails.on_packet(self.clock.now(), bytes, filter) {
            // A loop that is too busy for a filter does without it.
            Ok(Some(filter)) => drop(self.filters.try_send((id, filter))),
            Ok(None) => {}
            Err(error) => debug!(%id, %error, "a packet can't be shown"),
        }
    }

    fn forget(&mut self, exchange: ExchangeId) {
        self.tails.unsubscribe(exchange);
        self.outs.remove(&exchange);
    }

    /// As much to each subscriber as it has room for.
    fn send(&mut self) {
        let ready: Vec<ExchangeId> = self.tails.ready().collect();
        for exchange in ready {
            let Some(out) = self.outs.get(&exchange) else { continue };
            while let Ok(permit) = out.try_reserve() {
                match self.tails.take(exchange) {
                    Some(part) => permit.send(Answer::Part(part)),
                    None => break,
                }
            }
        }
    }
}
