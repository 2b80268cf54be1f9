//! From the spool to the bucks.
//!
//! A record is sent when it is in the spool, not before. What finds no room in flight, or no buck, lies there and
//! is read again when there is one; nothing is held in memory because the network is down. What no buck allows by
//! what it knows now is left alone for a while, and the others go on.

use super::{Asked, Machine, Stage, Writing, Written};
use crate::action::{Action, Ticket, Trouble, Warning};
use crate::fill::Fill;
use crate::flight::{Exchange, Outcome, RecordNumber, Step};
use crate::spool::{Item, PARKED_FIRST, Place};
use proto::ids::NodeId;
use proto::message::{Answer, PutAnswer, PutOutcome, Refusal};
use proto::packet::Packet;
use proto::time::{Now, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How often a disk that said no is asked again.
const APPEND_AGAIN: Duration = Duration::from_secs(1);
/// How often records that found no buck are looked at again.
const WAITING_AGAIN: Duration = Duration::from_millis(200);
/// Waiting records that are looked at in one go for one whose bucks have come back.
const WAITING_LOOKED_AT: usize = 64;
/// Records that no buck allowed and that wait again at a time, so that trying them holds up nothing else.
const UNPARKED_AT_ONCE: usize = 16;
/// Different reasons of bucks that are said between two turns of the bucket.
const REASONS_MAX: usize = 16;
/// How long lines gather at most while something is in flight.
const GATHER: Duration = Duration::from_millis(200);
/// The same while no buck can be reached: nobody waits for them, and each packet costs a place in the index.
const GATHER_ALONE: Duration = Duration::from_secs(1);
/// The same while a long line is not whole yet: its pieces can be searched together only in one packet.
const GATHER_LINE: Duration = Duration::from_secs(1);

/// How long this one's lines may gather.
fn gather(fill: &Fill, alone: bool) -> Duration {
    if alone {
        GATHER_ALONE
    } else if fill.is_in_line() {
        GATHER_LINE
    } else {
        GATHER
    }
}

impl Machine {
    /// Packets go when nothing is on its way: quick when idle, full under load.
    pub(super) fn settle_fills(&mut self, now: Now) {
        let stopping = matches!(self.stage, Stage::Stopping { .. });
        let alone = !self.any_buck_healthy(now);
        let idle = self.flight.is_empty() && self.writing.is_empty() && !self.files.any_ready() && self.reads == 0;
        let mut finished = Vec::new();
        for fill in self.fills.values_mut() {
            let Some(began) = fill.began() else { continue };
            let gathered = began + gather(fill, alone) <= now.mono;
            if stopping || gathered || idle && !alone && !fill.is_in_line() || fill.is_full() {
                finished.extend(fill.finish(&mut self.squeezer, &self.sign));
            }
        }
        for filled in finished {
            self.write_packet(filled);
        }
    }

    pub(super) fn fills_due(&self) -> Option<Duration> {
        let alone = !self.any_buck_healthy(self.latest);
        self.fills.values().filter_map(|fill| Some(fill.began()? + gather(fill, alone))).min()
    }

    pub(super) fn write(&mut self, place: Place, bytes: Arc<[u8]>, what: Written) {
        let ticket = self.ticket();
        if self.spool_trouble.is_none() {
            self.act(Action::AppendSpool { ticket, place: place.clone(), bytes: Arc::clone(&bytes) });
        }
        self.writing.push_back(Writing { ticket, place, what, bytes });
    }

    pub(super) fn spooled(&mut self, now: Now, ticket: Ticket, at: Result<u64, Trouble>) {
        let Some(front) = self.writing.front().filter(|front| front.ticket == ticket) else { return };
        match at {
            Err(why) => {
                let said = self.spool_trouble.replace(why).is_some();
                self.due.append = now.mono + APPEND_AGAIN;
                if !said {
                    self.warn(Warning::Spool { why });
                }
            }
            Ok(at) => {
                let length = u32::try_from(front.bytes.len()).unwrap_or(u32::MAX);
                let Some(writing) = self.writing.pop_front() else { return };
                let again = self.spool_trouble.take().is_some();
                self.in_spool(now, writing, at, length);
                if again {
                    self.append_again();
                }
            }
        }
    }

    /// After trouble everything that was to be written is written, under new tickets.
    fn append_again(&mut self) {
        for index in 0..self.writing.len() {
            let ticket = self.ticket();
            let Some(writing) = self.writing.get_mut(index) else { break };
            writing.ticket = ticket;
            let append =
                Action::AppendSpool { ticket, place: writing.place.clone(), bytes: Arc::clone(&writing.bytes) };
            self.act(append);
        }
    }

    /// A record is in the spool: its lines are safe from this process, and it may be sent.
    fn in_spool(&mut self, now: Now, writing: Writing, at: u64, length: u32) {
        let Writing { place, what, bytes, .. } = writing;
        let (item, filed) = match what {
            Written::Packet(filled) => {
                self.counters.packet_bytes += u64::from(length);
                for (stream, mark) in &filled.ends {
                    self.kept(*stream, *mark);
                }
                (Item::Packet { run: filled.id.run, seq: filled.id.seq }, filled.filed.first)
            }
            Written::Closing => (Item::Closing, Timestamp::default()),
        };
        let number = self.spool.add(&place, item, at, length, filed);
        if self.flight.has_room() && self.any_buck_healthy(now) {
            self.spool.take(number);
            self.launch(now, number, bytes, Vec::new());
        }
    }

    /// The spool has a stream up to here.
    fn kept(&mut self, stream: proto::ids::StreamId, mark: crate::follow::Mark) {
        let Some(number) = self.files.of_stream(stream) else { return };
        let Some(file) = self.files.get_mut(number) else { return };
        if file.kept.offset <= mark.offset {
            file.kept = mark;
            self.changed.insert(number);
        }
    }

    pub(super) fn launch(&mut self, now: Now, number: RecordNumber, record: Arc<[u8]>, kept: Vec<NodeId>) {
        let steps = self.flight.launch(now.mono, number, record, kept, &mut self.pick);
        self.take_steps(now, steps);
    }

    fn take_steps(&mut self, now: Now, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Put { exchange, buck, record } => self.act(Action::Put { exchange, buck, record }),
                Step::Arrived(number) => self.has_arrived(now, number),
                Step::Stranded(number, kept) => self.is_stranded(now, number, kept),
                Step::Parked(number, kept) => self.is_parked(now, number, kept),
                Step::Spurned(number, record) => self.is_spurned(number, &record),
            }
        }
    }

    fn has_arrived(&mut self, now: Now, number: RecordNumber) {
        self.last_arrival = now.mono;
        self.counters.arrived += 1;
        if self.idle_closings.remove(&number).is_none() {
            self.spool.arrived(number);
        }
    }

    fn is_stranded(&mut self, now: Now, number: RecordNumber, kept: Vec<NodeId>) {
        self.counters.stranded += 1;
        self.due.waiting = self.due.waiting.max(now.mono + WAITING_AGAIN);
        if self.idle_closings.contains_key(&number) {
            self.idle_waiting.insert(number, now.mono);
        } else {
            self.spool.stranded(number, kept);
        }
    }

    fn is_parked(&mut self, now: Now, number: RecordNumber, kept: Vec<NodeId>) {
        self.counters.parked += 1;
        if self.idle_closings.contains_key(&number) {
            self.idle_waiting.insert(number, now.mono + PARKED_FIRST);
        } else {
            self.spool.park(now.mono, number, kept);
        }
    }

    /// Nobody will ever take it: what it holds is lost, and the next closing says so.
    fn is_spurned(&mut self, number: RecordNumber, record: &[u8]) {
        if self.idle_closings.remove(&number).is_some() || self.spool.lost(number).is_none() {
            return;
        }
        let Ok(Packet { head, .. }) = Packet::parse(record) else { return };
        for stream in &head.streams {
            for extent in &stream.extents {
                self.counters.lost_bytes += extent.to - extent.from;
                self.note_loss(&head.id.environment, stream.id, extent.from, extent.to);
            }
        }
    }

    /// The roster changed, and with it what bucks allow.
    pub(super) fn unpark_all(&mut self, now: Now) {
        self.spool.unpark_all();
        self.idle_waiting.values_mut().for_each(|due| *due = (*due).min(now.mono));
    }

    pub(super) fn settle_flight(&mut self, now: Now) {
        if self.flight.next_timeout().is_some_and(|at| at <= now.mono) {
            let steps = self.flight.on_timeout(now.mono, &mut self.pick);
            self.counters.hedges += steps.iter().filter(|step| matches!(step, Step::Put { .. })).count() as u64;
            self.take_steps(now, steps);
        }
        if self.spool_trouble.is_some() && self.due.append <= now.mono {
            self.due.append = now.mono + APPEND_AGAIN;
            let ticket = self.ticket();
            if let Some(front) = self.writing.front_mut() {
                front.ticket = ticket;
                let (place, bytes) = (front.place.clone(), Arc::clone(&front.bytes));
                self.act(Action::AppendSpool { ticket, place, bytes });
            } else {
                self.spool_trouble = None;
            }
        }
    }

    /// Records that wait in the spool are fetched, oldest first, while there is much room in flight.
    pub(super) fn settle_waiting(&mut self, now: Now) {
        if self.due.waiting > now.mono || matches!(self.stage, Stage::New) {
            return;
        }
        let idle: Vec<RecordNumber> =
            self.idle_waiting.iter().filter(|(_, due)| **due <= now.mono).map(|(number, _)| *number).collect();
        for number in idle {
            self.idle_waiting.remove(&number);
            self.launch_idle(now, number);
        }
        if self.due.parked <= now.mono && self.spool.next_unparked().is_some_and(|due| due <= now.mono) {
            self.due.parked = now.mono + WAITING_AGAIN;
            self.spool.unpark_due(now.mono, UNPARKED_AT_ONCE);
        }
        if self.unspooling.is_some() || !self.flight.has_much_room() || !self.any_buck_healthy(now) {
            return;
        }
        let Some(number) = self.next_launchable(now) else { return };
        let Some(record) = self.spool.take(number) else { return };
        let ticket = self.ticket();
        self.unspooling = Some((ticket, number));
        self.act(Action::ReadSpool { ticket, place: record.place, at: record.at, length: record.length });
    }

    /// The oldest waiting record that some healthy buck does not have.
    fn next_launchable(&mut self, now: Now) -> Option<RecordNumber> {
        let mut after = None;
        for _ in 0..WAITING_LOOKED_AT {
            let Some(number) = self.spool.next_waiting(after) else { break };
            let kept = self.spool.get(number).map(|record| record.kept.as_slice()).unwrap_or_default();
            if self.pick.next_healthy(kept).is_some_and(|at| at <= now.mono) {
                return Some(number);
            }
            after = Some(number);
        }
        self.due.waiting = now.mono + WAITING_AGAIN;
        None
    }

    pub(super) fn unspooled(&mut self, now: Now, ticket: Ticket, record: Result<Vec<u8>, Trouble>) {
        let Some((_, number)) = self.unspooling.take_if(|(asked, _)| *asked == ticket) else { return };
        let Some(kept) = self.spool.get(number).map(|record| record.kept.clone()) else { return };
        match record {
            Ok(bytes) if proto::record::Record::parse(&bytes).is_ok() => self.launch(now, number, bytes.into(), kept),
            Ok(_) | Err(Trouble::Gone) => self.is_unreadable(number),
            // A disk that fails, or too many open files: it may be there yet.
            Err(why) => {
                self.say(Warning::SpoolUnread { why });
                self.spool.stranded(number, kept);
                self.due.waiting = self.due.waiting.max(now.mono + APPEND_AGAIN);
            }
        }
    }

    /// The spool does not hold it any more. What was in it can't be told; the closing of its bucket counts it.
    fn is_unreadable(&mut self, number: RecordNumber) {
        let Some(lost) = self.spool.lost(number) else { return };
        if lost.item == Item::Closing {
            self.closings.push_back(lost.place.clone());
        }
        let Place { environment, bucket } = lost.place;
        self.warn(Warning::Unspooled { environment, bucket, at: lost.at });
    }

    pub(super) fn waiting_due(&self) -> Option<Duration> {
        let healthy = self.pick.next_healthy(&[])?;
        let possible = self.unspooling.is_none() && self.flight.has_much_room();
        let waiting = self.spool.next_waiting(None).filter(|_| possible).map(|_| Duration::ZERO);
        let parked = self.spool.next_unparked().filter(|_| possible).map(|due| due.max(self.due.parked));
        let idle = self.idle_waiting.values().min().copied();
        [waiting, parked, idle].into_iter().flatten().min().map(|due| due.max(self.due.waiting).max(healthy))
    }

    pub(super) fn answered(&mut self, now: Now, exchange: Exchange, answer: Answer) {
        match (self.asked.remove(&exchange), answer) {
            (None, Answer::Put(answer)) => self.put_answered(now, exchange, answer),
            (None, Answer::Refused(Refusal::NotAllowed(why))) => {
                self.say(Warning::NotAllowed { why });
                self.put_outcome(now, exchange, Outcome::NotAllowed);
            }
            (None, _) => self.put_outcome(now, exchange, Outcome::Away),
            (Some(Asked::Beat(buck)), Answer::Beat { clock }) => {
                self.clock.heard(now, buck, clock);
                self.pick.works(buck);
            }
            (Some(Asked::Known(peer)), Answer::Known(known)) => self.on_known(peer, &known),
            (Some(Asked::Receipts), Answer::Receipts(receipts)) => {
                receipts.iter().for_each(|receipt| self.spool.receipted(self.node, receipt));
            }
            (Some(Asked::Known(peer)), _) => self.on_known_away(now, peer),
            (Some(Asked::Beat(_) | Asked::Receipts), _) => {}
        }
    }

    fn put_answered(&mut self, now: Now, exchange: Exchange, answer: PutAnswer) {
        if let Some(buck) = self.flight.asked(exchange) {
            self.clock.heard(now, buck, answer.clock);
        }
        let outcome = match answer.outcome {
            PutOutcome::Kept => Outcome::Kept,
            PutOutcome::Busy => Outcome::Busy,
            PutOutcome::Full => Outcome::Full,
            PutOutcome::NotAllowed(why) => {
                self.say(Warning::NotAllowed { why });
                Outcome::NotAllowed
            }
            PutOutcome::Refused(why) => {
                self.say(Warning::Refused { why });
                Outcome::Refused
            }
        };
        self.put_outcome(now, exchange, outcome);
    }

    /// Says it once between two turns of the bucket, not for each record.
    fn say(&mut self, warning: Warning) {
        if self.said.len() < REASONS_MAX && self.said.insert(warning.to_string()) {
            self.warn(warning);
        }
    }

    fn put_outcome(&mut self, now: Now, exchange: Exchange, outcome: Outcome) {
        let steps = self.flight.on_outcome(now.mono, exchange, outcome, &mut self.pick);
        self.take_steps(now, steps);
    }

    pub(super) fn unanswered(&mut self, now: Now, exchange: Exchange) {
        match self.asked.remove(&exchange) {
            None => self.put_outcome(now, exchange, Outcome::Away),
            Some(Asked::Beat(buck)) => {
                if !matches!(self.stage, Stage::Starting(_)) {
                    self.pick.failed(now.mono, buck);
                }
            }
            Some(Asked::Known(peer)) => self.on_known_away(now, peer),
            Some(Asked::Receipts) => {}
        }
    }
}
