//! What nodes say to each other. One question, then one answer or a row of parts with an end.
//!
//! | asked by | of | question | comes back |
//! |---|---|---|---|
//! | tailer | buck | Put | Put |
//! | tailer | buck | Beat | Beat |
//! | tailer | buck, porter | Known | Known |
//! | tailer, buck | buck, porter | Receipts | Receipts |
//! | porter | buck | Holdings | Holdings |
//! | porter | buck | Inventory | Inventory |
//! | porter | buck | Fetch | parts: Record, End |
//! | web | porter | Catalog | Catalog |
//! | web | buck, porter | Search | parts: Sources, Rows, Counts, Progress, End |
//! | web | buck | Live | parts: Sources, Rows, Dropped, Beat |
//! | web | buck, porter | Context | parts: Sources, Rows, End |
//! | anyone | anyone | Status | Status |
//!
//! Who may ask what is the roster's business. Nothing here is kept: what lies on disk has formats of its own.
//! Long lists come in pages, so that an answer fits a frame.

use crate::event::{Flags, Level, Source, TimeOrder};
use crate::ids::{Environment, EventId, NodeId, PacketId, RunId, StreamId};
use crate::packet::{TailMark, TimeSpan};
use crate::time::{BucketId, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Keep this record. It is in a box from the tailer to this buck.
    Put {
        #[serde(with = "serde_bytes")]
        boxed: Vec<u8>,
    },
    /// I am alive, and everything I filed before these moments is acknowledged by two of you.
    Beat {
        filed: Vec<(Environment, Timestamp)>,
    },
    /// What do you know of my streams? In order of their ids, those after `after`.
    Known {
        after: Option<StreamId>,
    },
    /// Is any of this on a shelf?
    Receipts {
        buckets: Vec<(Environment, BucketId)>,
    },
    /// In which buckets do you hold packets without a receipt?
    Holdings {
        after: Option<(Environment, BucketId)>,
    },
    /// What do you hold of this bucket? In order of names, after `after`.
    Inventory {
        environment: Environment,
        bucket: BucketId,
        after: Option<PacketId>,
    },
    /// These packets, as they were put.
    Fetch {
        packets: Vec<PacketId>,
    },
    Catalog(CatalogAsk),
    Search(SearchAsk),
    Live(LiveAsk),
    Context(ContextAsk),
    Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Put(PutAnswer),
    Beat {
        clock: Timestamp,
    },
    Known(Known),
    Receipts(Vec<Receipt>),
    Holdings {
        holdings: Vec<Holding>,
        more: bool,
    },
    Inventory(Inventory),
    Catalog(Catalog),
    Status(Status),
    /// One of many; the last is `Part::End`, or the stream just stops for a live tail.
    Part(Part),
    Refused(Refusal),
}

/// Why a question gets no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("not allowed: {0}")]
    NotAllowed(String),
    #[error("the message makes no sense here: {0}")]
    Nonsense(String),
    #[error("the query can't be read: {0}")]
    BadQuery(String),
    #[error("too much at once, ask again")]
    Busy,
    #[error("what the snapshot names is gone, take a new one")]
    Stale,
    #[error("trouble of its own: {0}")]
    Trouble(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutAnswer {
    pub outcome: PutOutcome,
    /// The buck's clock, for the median that corrects the tailer's.
    pub clock: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutOutcome {
    /// On disk, and synced when the cluster asks for that; also when it was there before.
    Kept,
    /// No disk has room above its reserve; another buck may.
    Full,
    /// Too much at once; try another buck, or later.
    Busy,
    /// Never good, here or elsewhere: damaged, or another record of its name is kept.
    Refused(String),
    /// Not by what this buck knows now: its roster, its key, its width. Another buck may know better, or this one later.
    NotAllowed(String),
}

/// A page of what is known of a tailer's streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub streams: Vec<KnownStream>,
    /// The newest bucket this tailer has closed, by environment.
    pub closed: Vec<(Environment, BucketId)>,
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownStream {
    pub stream: StreamId,
    pub generation: u32,
    pub path: String,
    /// Passed bytes, whatever their fate; merged and in order.
    pub extents: Vec<(u64, u64)>,
    /// Of the bytes before the end of the last extent.
    pub tail: TailMark,
}

/// What a manifest holds of a bucket: proof that packets are on a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub environment: Environment,
    pub bucket: BucketId,
    pub shard: u16,
    pub version: u64,
    pub ranges: Vec<SeqRange>,
    /// How many copies of an object the shelf keeps.
    pub copies: u8,
}

impl Receipt {
    #[must_use]
    pub fn covers(&self, packet: &PacketId) -> bool {
        self.environment == packet.environment
            && self.bucket == packet.bucket
            && self.ranges.iter().any(|range| range.holds(packet))
    }
}

/// Packets `first` to `last`, both included, of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeqRange {
    pub tailer: NodeId,
    pub run: RunId,
    pub first: u32,
    pub last: u32,
}

impl SeqRange {
    #[must_use]
    pub fn holds(&self, packet: &PacketId) -> bool {
        self.tailer == packet.tailer && self.run == packet.run && (self.first..=self.last).contains(&packet.seq)
    }
}

/// A bucket in which a buck holds packets that have no receipt yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub environment: Environment,
    pub bucket: BucketId,
    pub packets: u32,
    pub bytes: u64,
}

/// A page of what a buck holds of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub items: Vec<InventoryItem>,
    /// Closings of this bucket, as they were put; on the first page.
    pub closings: Vec<Vec<u8>>,
    /// The newest bucket each tailer is known to have closed, and that closing's `previous`; on the first page.
    pub closed: Vec<ClosedTo>,
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryItem {
    pub packet: PacketId,
    pub bytes: u32,
    /// crc32c of the record but its last four bytes, so that two holders can be seen to differ.
    pub crc: u32,
    pub backlog: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedTo {
    pub tailer: NodeId,
    pub environment: Environment,
    pub bucket: BucketId,
    /// The last bucket before it that had packets.
    pub previous: Option<BucketId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogAsk {
    pub environments: Vec<Environment>,
    /// Of event time, the end not included.
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What stands on the shelves for a span of event time, and how complete it is: a snapshot for one query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    pub shards: Vec<Shard>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub at: ShardVersion,
    pub times: TimeSpan,
    pub bytes: u64,
    pub completeness: Completeness,
}

/// One version of what a shelf holds of one shard of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardVersion {
    pub environment: Environment,
    pub bucket: BucketId,
    pub shard: u16,
    pub version: u64,
}

/// How much of a bucket is known to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    pub bucks_away: Vec<NodeId>,
    pub missing: Vec<SeqRange>,
    pub unheard: Vec<NodeId>,
}

impl Completeness {
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bucks_away.is_empty() && self.missing.is_empty() && self.unheard.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchAsk {
    pub query: String,
    /// The asker has checked that these may be seen.
    pub environments: Vec<Environment>,
    /// Of event time, the end not included.
    pub from: Timestamp,
    pub to: Timestamp,
    pub order: SearchOrder,
    pub want: Want,
    /// Only what comes after this in the order asked for.
    pub after: Option<TimeOrder>,
    /// What the asker's catalog holds. A buck leaves out packets whose receipt is of such a version or an older
    /// one; a porter answers from exactly these.
    pub snapshot: Vec<ShardVersion>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchOrder {
    #[default]
    Newest,
    Oldest,
    /// By tailer, stream and offset: as the files have it.
    File,
}

impl SearchOrder {
    /// Which of two events comes first in an answer of this order. Newest is oldest read backwards, names and
    /// offsets too, so that an answer can be turned around.
    #[must_use]
    pub fn compare(self, one: &TimeOrder, other: &TimeOrder) -> Ordering {
        let place = |at: &TimeOrder| (at.tailer, at.stream, at.offset);
        match self {
            Self::Newest => other.cmp(one),
            Self::Oldest => one.cmp(other),
            Self::File => place(one).cmp(&place(other)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// Up to this many events.
    Rows { limit: u32 },
    /// Matches by step of time and level. A step of 0 is one count of everything.
    Counts { step_nanos: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAsk {
    pub query: String,
    pub environments: Vec<Environment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextAsk {
    pub event: EventId,
    pub environment: Environment,
    pub before: u32,
    pub after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A packet or closing, as it was put.
    Record(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Added to the end of the list that rows point into.
    Sources(Vec<Source>),
    /// In the order asked for, across all parts of one answer.
    Rows(Vec<Row>),
    Counts(Vec<Counts>),
    /// A live tail had to leave out this many matching events.
    Dropped(u64),
    /// A live tail is alive; everything it was told of before is sent.
    Beat {
        clock: Timestamp,
        seen: u64,
    },
    Progress(Progress),
    End(End),
    /// A buck's word on whom it has heard. It comes before any row: whoever wants few rows may never see the end.
    Heard(Vec<Heard>),
}

/// An event in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub source: u32,
    pub offset: u64,
    pub time: Timestamp,
    pub level: Level,
    pub flags: Flags,
    pub file_length: u32,
    #[serde(with = "serde_bytes")]
    pub line: Vec<u8>,
}

/// Matches of one packet, or of one shard when `packet` is none. A packet counts once, whoever reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub packet: Option<PacketId>,
    pub cells: Vec<CountCell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CountCell {
    /// Time divided by the step, rounded down.
    pub step: i64,
    pub level: Level,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub pages_done: u64,
    pub pages: u64,
    pub bytes_done: u64,
    pub bytes: u64,
    /// Nothing before this in the order asked for is still to come.
    pub settled: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Nothing more would have come; false when the limit ended it.
    pub exhausted: bool,
    pub progress: Progress,
    /// A buck's word on whom it has heard, where that did not come first.
    pub heard: Vec<Heard>,
    /// What could not be read here, each a sentence with its path.
    pub trouble: Vec<String>,
}

/// When a tailer was last heard, and up to where it says that all it filed is kept by two bucks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub tailer: NodeId,
    pub environment: Environment,
    pub at: Timestamp,
    pub filed: Timestamp,
}

/// What a node says of itself, for the Cluster page and `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub clock: Timestamp,
    pub up_seconds: u64,
    /// The first bytes of the roster's hash.
    pub roster: u64,
    pub heard: Vec<Heard>,
    /// Names as in the metrics, each with its number.
    pub counters: Vec<(String, u64)>,
    /// What a person should know, each a sentence.
    pub trouble: Vec<String>,
}
