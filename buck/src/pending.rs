//! Records on their way to a disk, and who waits to hear that they are kept.
//!
//! Once a record is synced the index knows it and a repeat is answered from there. Until then it is here: a repeat
//! waits beside the first, and nothing is written twice. Bytes stay until the sync, so that a record whose disk
//! fails can go to another.

use crate::place::{DiskId, ExchangeId, Ticket};
use bytes::Bytes;
use proto::closed::Closed;
use proto::ids::{Environment, NodeId, PacketId};
use proto::packet::PacketHead;
use proto::time::BucketId;
use std::collections::BTreeMap;

/// What a record is, once read.
#[derive(Debug)]
pub enum Content {
    Packet(Box<PacketHead>),
    Closing(Closed),
}

/// What two records are the same by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordName {
    Packet(PacketId),
    /// A tailer may close a bucket again when it finds that more was put into it; hence the checksum.
    Closing {
        tailer: NodeId,
        environment: Environment,
        bucket: BucketId,
        crc: u32,
    },
}

impl Content {
    pub fn name(&self, crc: u32) -> RecordName {
        match self {
            Self::Packet(head) => RecordName::Packet(head.id.clone()),
            Self::Closing(closed) => RecordName::Closing {
                tailer: closed.tailer,
                environment: closed.environment.clone(),
                bucket: closed.bucket,
                crc,
            },
        }
    }

    pub fn tailer(&self) -> NodeId {
        match self {
            Self::Packet(head) => head.id.tailer,
            Self::Closing(closed) => closed.tailer,
        }
    }

    pub fn environment(&self) -> &Environment {
        match self {
            Self::Packet(head) => &head.id.environment,
            Self::Closing(closed) => &closed.environment,
        }
    }

    pub fn bucket(&self) -> BucketId {
        match self {
            Self::Packet(head) => head.id.bucket,
            Self::Closing(closed) => closed.bucket,
        }
    }
}

/// One record that is not yet synced.
#[derive(Debug)]
pub struct Coming {
    pub content: Content,
    pub bytes: Bytes,
    pub crc: u32,
    pub disk: DiskId,
    /// Written, at this byte of its file; not yet synced.
    pub at: Option<u64>,
    pub waiting: Vec<ExchangeId>,
}

/// What a record takes beside its bytes: its head read, its names, its place here. Counted with it, so that a
/// flood of tiny records is no way around the caps.
const RECORD_BYTES: usize = 1024;

#[derive(Debug, Default)]
pub struct Pending {
    records: BTreeMap<Ticket, Coming>,
    by_name: BTreeMap<RecordName, Ticket>,
    bytes_of: BTreeMap<NodeId, usize>,
    bytes: usize,
    last: Ticket,
}

impl Pending {
    /// Of memory, not of records alone.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn bytes_of(&self, peer: NodeId) -> usize {
        self.bytes_of.get(&peer).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn find(&mut self, name: &RecordName) -> Option<&mut Coming> {
        self.by_name.get(name).and_then(|ticket| self.records.get_mut(ticket))
    }

    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Coming> {
        self.records.get_mut(&ticket)
    }

    pub fn next_ticket(&mut self) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        self.last
    }

    pub fn insert(&mut self, ticket: Ticket, coming: Coming) {
        let size = coming.bytes.len() + RECORD_BYTES;
        self.bytes += size;
        *self.bytes_of.entry(coming.content.tailer()).or_default() += size;
        self.by_name.insert(coming.content.name(coming.crc), ticket);
        self.records.insert(ticket, coming);
    }

    pub fn remove(&mut self, ticket: Ticket) -> Option<Coming> {
        let coming = self.records.remove(&ticket)?;
        self.by_name.remove(&coming.content.name(coming.crc));
        let (peer, size) = (coming.content.tailer(), coming.bytes.len() + RECORD_BYTES);
        self.bytes = self.bytes.saturating_sub(size);
        if let Some(bytes) = self.bytes_of.get_mut(&peer) {
            *bytes = bytes.saturating_sub(size);
            if *bytes == 0 {
                self.bytes_of.remove(&peer);
            }
        }
        Some(coming)
    }

    /// Everything of a disk that was appended up to this ticket.
    pub fn take_synced(&mut self, disk: DiskId, ticket: Ticket) -> Vec<Coming> {
        let tickets = self.tickets(|of, coming| of <= ticket && coming.disk == disk && coming.at.is_some());
        tickets.into_iter().filter_map(|ticket| self.remove(ticket)).collect()
    }

    /// Everything that was meant for a disk and is not known to be durable there.
    pub fn take_of_disk(&mut self, disk: DiskId) -> Vec<Coming> {
        let tickets = self.tickets(|_, coming| coming.disk == disk);
        tickets.into_iter().filter_map(|ticket| self.remove(ticket)).collect()
    }

    fn tickets(&self, wanted: impl Fn(Ticket, &Coming) -> bool) -> Vec<Ticket> {
        self.records.iter().filter(|(ticket, coming)| wanted(**ticket, coming)).map(|(ticket, _)| *ticket).collect()
    }

    pub fn has_bucket(&self, environment: &Environment, bucket: BucketId) -> bool {
        let of_bucket =
            |coming: &Coming| coming.content.bucket() == bucket && coming.content.environment() == environment;
        self.records.values().any(of_bucket)
    }
}
