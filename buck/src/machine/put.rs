//! A record arrives: is it whole, is it the sender's to send, is it new, and which disk takes it.

use super::{HeardAt, Machine};
use crate::action::Action;
use crate::config::Ack;
use crate::job::crc_of;
use crate::pending::{Coming, Content, RecordName};
use crate::place::{DiskId, ExchangeId};
use bytes::Bytes;
use proto::closed::Closed;
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, PutAnswer, PutOutcome};
use proto::packet::{Packet, PacketHead};
use proto::record::{Kind, Record};
use proto::roster::Action as Right;
use proto::time::{BucketId, Now};
use std::time::Duration;

/// Unsynced bytes of one tailer, and of all together. A disk that takes 100 MB/s syncs the first in a sixth of a
/// second; what is over it waits at the tailer, where it is safe.
const PEER_BYTES_MAX: usize = 16 << 20;
const PENDING_BYTES_MAX: usize = 256 << 20;

/// Buckets in which one tailer may have packets that no porter has taken: three days and a half. More is a clock
/// gone wild or a cluster without a porter; the rest waits in the tailer's spool.
const OPEN_BUCKETS_MAX: usize = 1000;

/// A packet's filing time may lie this far from its bucket. Clocks are corrected to seconds; another width
/// numbers its buckets millions away.
const FILED_AWAY_MAX: Duration = Duration::from_secs(3600);

impl Machine {
    /// A record, taken out of its box, from the node at the other end of the exchange.
    pub fn on_put(&mut self, now: Now, exchange: ExchangeId, peer: NodeId, bytes: Bytes) {
        match self.take(now, exchange, peer, bytes) {
            Ok(()) => self.ask_for_syncs(now),
            Err(outcome) => {
                self.count_refusal(&outcome);
                self.answer_put(now, exchange, outcome);
            }
        }
    }

    pub(super) fn answer_put(&mut self, now: Now, exchange: ExchangeId, outcome: PutOutcome) {
        self.answer(exchange, Answer::Put(PutAnswer { outcome, clock: now.wall }));
    }

    fn count_refusal(&mut self, outcome: &PutOutcome) {
        match outcome {
            PutOutcome::Kept => self.counters.repeats += 1,
            PutOutcome::Full => self.counters.refused_full += 1,
            PutOutcome::Busy => self.counters.refused_busy += 1,
            PutOutcome::Refused(_) | PutOutcome::NotAllowed(_) => self.counters.refused += 1,
        }
    }

    /// `Err` is an answer that can be given at once.
    fn take(&mut self, now: Now, exchange: ExchangeId, peer: NodeId, bytes: Bytes) -> Result<(), PutOutcome> {
        let content = read(&bytes).map_err(PutOutcome::Refused)?;
        self.check_author(peer, &content)?;
        self.check_bucket(now, &content)?;
        self.hear(now, &content);
        let crc = crc_of(&bytes);
        let name = content.name(crc);
        if self.is_repeat(now, exchange, &name, crc)? {
            return Ok(());
        }
        self.check_room(&content, bytes.len())?;
        self.check_rate(now, peer, bytes.len())?;
        let disk = self.disks.choose(&self.rules, bytes.len() as u64).ok_or(PutOutcome::Full)?;
        if let Content::Packet(head) = &content {
            self.actions.push_back(Action::Publish { id: head.id.clone(), events: head.events, bytes: bytes.clone() });
        }
        self.append(now, disk, Coming { content, bytes, crc, disk, at: None, waiting: vec![exchange] });
        Ok(())
    }

    pub(super) fn append(&mut self, now: Now, disk: DiskId, coming: Coming) {
        let ticket = self.pending.next_ticket();
        self.disks.on_append(now.mono, disk, ticket, coming.bytes.len() as u64);
        self.actions.push_back(Action::Append {
            disk,
            environment: coming.content.environment().clone(),
            bucket: coming.content.bucket(),
            bytes: coming.bytes.clone(),
            ticket,
        });
        self.pending.insert(ticket, Coming { disk, at: None, ..coming });
    }

    /// A host can only speak for itself.
    fn check_author(&mut self, peer: NodeId, content: &Content) -> Result<(), PutOutcome> {
        let roster = std::sync::Arc::clone(&self.roster);
        let allowed = match (roster.by_id(peer), content) {
            (None, _) => Err("not in the roster".to_owned()),
            (Some(peer), Content::Packet(head)) => {
                let hosts = head.sources.iter().map(|source| source.host.as_str());
                roster.may_put(peer, &head.id, hosts).map_err(|denied| denied.to_string())
            }
            (Some(peer), Content::Closing(closed)) if closed.tailer != peer.id => {
                Err(format!("tailer {} may not close for tailer {}", peer.id, closed.tailer))
            }
            (Some(peer), Content::Closing(closed)) => {
                peer.allows(Right::Put, Some(&closed.environment)).map_err(|denied| denied.to_string())
            }
        };
        allowed.map_err(|why| {
            self.counters.refused_foreign += 1;
            PutOutcome::NotAllowed(why)
        })
    }

    /// Another width would number the bucket quite differently.
    fn check_bucket(&self, now: Now, content: &Content) -> Result<(), PutOutcome> {
        let head = match content {
            Content::Packet(head) => head,
            Content::Closing(closed) => return self.check_closed(now, closed),
        };
        if head.filed.is_empty() {
            return Ok(());
        }
        let width = self.rules.width;
        let (start, end) = (width.start_of(head.id.bucket), width.end_of(head.id.bucket));
        let near = head.filed.first.after(FILED_AWAY_MAX) >= start && head.filed.first <= end.after(FILED_AWAY_MAX);
        let seconds = width.seconds();
        let why = || format!("bucket {} is not when it was filed; buckets last {seconds} s here", head.id.bucket);
        if near { Ok(()) } else { Err(PutOutcome::NotAllowed(why())) }
    }

    /// Nobody can have closed what has not begun: with that, buckets would pass for empty that are not.
    fn check_closed(&self, now: Now, closed: &Closed) -> Result<(), PutOutcome> {
        let (bucket, start) = (closed.bucket, self.rules.width.start_of(closed.bucket));
        if start <= now.wall.after(FILED_AWAY_MAX) {
            return Ok(());
        }
        let seconds = self.rules.width.seconds();
        Err(PutOutcome::NotAllowed(format!("bucket {bucket} has not begun; buckets last {seconds} s here")))
    }

    fn hear(&mut self, now: Now, content: &Content) {
        let key = (content.tailer(), content.environment().clone());
        if self.heard.len() >= super::HEARD_MAX && !self.heard.contains_key(&key) {
            return;
        }
        let heard = self.heard.entry(key).or_insert(HeardAt { at: now.wall, filed: proto::time::Timestamp::MIN });
        heard.at = now.wall;
    }

    /// Known already: durable, then that is the answer; on its way, then this one waits too.
    fn is_repeat(&mut self, now: Now, exchange: ExchangeId, name: &RecordName, crc: u32) -> Result<bool, PutOutcome> {
        if let Some(coming) = self.pending.find(name) {
            if coming.crc != crc {
                return Err(another_of_this_name());
            }
            coming.waiting.push(exchange);
            self.counters.repeats += 1;
            return Ok(true);
        }
        let durable = match name {
            RecordName::Packet(id) => match self.index.packet(id) {
                Some(entry) if entry.crc != crc => return Err(another_of_this_name()),
                entry => entry.map(|entry| (entry.disk(), entry.durable)),
            },
            RecordName::Closing { tailer, environment, bucket, crc } => {
                self.index.closing(*tailer, &(environment.clone(), *bucket), *crc)
            }
        };
        match durable {
            None => Ok(false),
            Some((_, true)) => Err(PutOutcome::Kept),
            // Found at the start and not synced since; the sync is on its way.
            Some((disk, false)) if self.disks.is_writable(disk) => Err(PutOutcome::Busy),
            Some((_, false)) => {
                self.forget(now, name);
                Ok(false)
            }
        }
    }

    /// What was found on a disk that then failed: it may be gone with the next power cut, so it is taken anew.
    fn forget(&mut self, now: Now, name: &RecordName) {
        match name {
            RecordName::Packet(id) => self.index.remove_packet(now.wall, id),
            RecordName::Closing { tailer, environment, bucket, crc } => {
                self.index.remove_closing(*tailer, &(environment.clone(), *bucket), *crc);
            }
        }
    }

    fn check_room(&self, content: &Content, bytes: usize) -> Result<(), PutOutcome> {
        let (tailer, environment) = (content.tailer(), content.environment());
        let key = (environment.clone(), content.bucket());
        let much =
            self.pending.bytes_of(tailer) + bytes > PEER_BYTES_MAX || self.pending.bytes() + bytes > PENDING_BYTES_MAX;
        let many = match content {
            Content::Packet(_) => {
                !self.index.holds_of(tailer, &key) && self.index.open_buckets(tailer, environment) >= OPEN_BUCKETS_MAX
            }
            Content::Closing(closed) => !self.index.has_room_for_closing(closed),
        };
        if much || many { Err(PutOutcome::Busy) } else { Ok(()) }
    }

    /// What is over a tailer's rate waits where it is.
    fn check_rate(&mut self, now: Now, peer: NodeId, bytes: usize) -> Result<(), PutOutcome> {
        let rate = self.roster.by_id(peer).and_then(|peer| peer.bytes_per_second);
        if self.rates.take(now.mono, peer, rate, bytes) { Ok(()) } else { Err(PutOutcome::Busy) }
    }

    /// A record found at the start, in the file of this disk, environment and bucket. One that belongs elsewhere,
    /// or makes no sense, is counted as torn.
    pub fn on_recovered(
        &mut self,
        now: Now,
        disk: DiskId,
        (environment, bucket): (&Environment, BucketId),
        at: u64,
        bytes: &Bytes,
    ) {
        let of_file = |content: &Content| content.environment() == environment && content.bucket() == bucket;
        let Some(content) = read(bytes).ok().filter(of_file) else {
            return self.on_torn(bytes.len() as u64);
        };
        let crc = crc_of(bytes);
        self.counters.recovered += 1;
        self.disks.on_recovered(now.mono, disk, bytes.len() as u64);
        let durable = self.rules.ack == Ack::Written;
        self.index_record(now, disk, at, &content, bytes, crc, durable);
        if let Content::Packet(head) = &content {
            // The sync comes before any tailer can ask.
            self.index.learn(head);
        }
    }

    /// Bytes that belong to no record, found on a disk at the start: torn tails, mostly.
    pub fn on_torn(&mut self, bytes: u64) {
        self.counters.torn_bytes += bytes;
    }

    #[expect(clippy::too_many_arguments, reason = "each is one fact about one record")]
    pub(super) fn index_record(
        &mut self,
        now: Now,
        disk: DiskId,
        at: u64,
        content: &Content,
        bytes: &Bytes,
        crc: u32,
        durable: bool,
    ) {
        match content {
            Content::Packet(head) => self.index_packet(now, disk, at, head, bytes, crc, durable),
            Content::Closing(closed) => self.index.add_closing(closed, disk, crc, bytes.clone(), durable),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is one fact about one record")]
    fn index_packet(
        &mut self,
        now: Now,
        disk: DiskId,
        at: u64,
        head: &PacketHead,
        bytes: &Bytes,
        crc: u32,
        durable: bool,
    ) {
        let (environment, bucket) = (head.id.environment.clone(), head.id.bucket);
        let length = u32::try_from(bytes.len()).expect("a record's own limit is far below 4 GiB");
        let place = crate::place::Place { disk, environment, bucket, at, length, crc };
        self.index.add_packet(head, &place, durable);
        self.index.update_safe(now.wall, &(place.environment, bucket));
    }
}

fn another_of_this_name() -> PutOutcome {
    PutOutcome::Refused("another record of this name is kept".to_owned())
}

/// What the bytes are, or a sentence on why they are nothing.
fn read(bytes: &[u8]) -> Result<Content, String> {
    let record = Record::parse(bytes).map_err(|error| error.to_string())?;
    match record.kind {
        Kind::Packet => {
            Packet::parse(bytes).map(|packet| Content::Packet(Box::new(packet.head))).map_err(|error| error.to_string())
        }
        Kind::Closed => {
            Closed::parse(bytes).map(|(closed, _)| Content::Closing(closed)).map_err(|error| error.to_string())
        }
    }
}
