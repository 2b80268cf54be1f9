//! What a porter's machine asks of the world, and what it is told.
//!
//! Every question has a number, and its answer bears it. A question that is not answered in time counts as
//! failed; an answer that comes later is not heard. What changes nothing but a shelf may be repeated, so an
//! answer "failed" never means that nothing happened.

use crate::dedup::Earlier;
use crate::manifest::{Block, Manifest};
use crate::names::BlockAt;
use crate::places::Double;
use proto::closed::Closed;
use proto::ids::{Environment, NodeId, PacketId, StreamId};
use proto::message::{ClosedTo, Holding, InventoryItem};
use proto::time::BucketId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A question's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Who there is, by the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// That are not lost.
    pub bucks: BTreeSet<NodeId>,
    /// Tailers that close buckets in an environment, without those declared gone.
    pub tailers: BTreeMap<Environment, BTreeSet<NodeId>>,
    /// Leases are for when there are several.
    pub porters: usize,
}

/// What the machine wants done. All but `Stands` are questions.
#[derive(Clone, Debug)]
pub enum Action {
    AskHoldings {
        ask: AskId,
        buck: NodeId,
        after: Option<(Environment, BucketId)>,
    },
    AskInventory {
        ask: AskId,
        buck: NodeId,
        environment: Environment,
        bucket: BucketId,
        after: Option<PacketId>,
    },
    Fetch {
        ask: AskId,
        buck: NodeId,
        packets: Vec<PacketId>,
    },
    /// What do blocks on the shelf hold of these streams? Asked of everything that stands in the environment and
    /// of the blocks in `also`, which no manifest names yet.
    Earlier {
        ask: AskId,
        environment: Environment,
        streams: Vec<StreamRange>,
        also: Vec<BlockAt>,
    },
    /// Which blocks that stand hold events that stand in lower ones?
    Doubles {
        ask: AskId,
    },
    Build(Box<Build>),
    /// All names that begin with this.
    List {
        ask: AskId,
        prefix: String,
    },
    Get {
        ask: AskId,
        path: String,
    },
    PutIfAbsent {
        ask: AskId,
        path: String,
        bytes: Arc<[u8]>,
    },
    Delete {
        ask: AskId,
        path: String,
    },
    /// This is what the shelf holds of a shard from now on: answer searches and receipts from it.
    Stands(Arc<Manifest>),
}

/// Make a block of these packets, or of these blocks, without what is there already.
#[derive(Clone, Debug)]
pub struct Build {
    pub ask: AskId,
    pub of: BuildOf,
    pub earlier: Arc<Earlier>,
}

#[derive(Clone, Debug)]
pub struct BuildOf {
    pub at: crate::names::ShardAt,
    pub shards: u16,
    /// In order of their names.
    pub packets: Vec<(PacketId, Arc<[u8]>)>,
    /// Whole blocks to merge, as they lie on the shelf.
    pub blocks: Vec<Arc<[u8]>>,
}

/// A range of a stream's bytes, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamRange {
    pub tailer: NodeId,
    pub stream: StreamId,
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Holdings {
        holdings: Vec<Holding>,
        more: bool,
    },
    Inventory(CheckedInventory),
    /// Those of the packets asked for that came; the others this buck does not have any more.
    Fetched(Vec<(PacketId, Result<CheckedPacket, BadCopy>)>),
    Earlier(Earlier),
    Doubles(Vec<Double>),
    Built(Built),
    Listed(Vec<String>),
    Got(Option<Arc<[u8]>>),
    Put(PutOutcome),
    Deleted,
    /// Nobody answered, or not so that it could be used. Whether it was done is not known.
    Failed(String),
}

/// A page of an inventory, its closings verified.
#[derive(Clone, Debug, Default)]
pub struct CheckedInventory {
    pub items: Vec<InventoryItem>,
    /// With right signatures only.
    pub closings: Vec<Closed>,
    pub closed: Vec<ClosedTo>,
    pub more: bool,
    /// Closings that were damaged or not signed by whom they name.
    pub bad_closings: u64,
}

/// A packet that is what it should be, up to what is inside its squeezed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedPacket {
    pub bytes: Arc<[u8]>,
    /// Of its lines when stretched, and what they cost in memory.
    pub cost: usize,
    /// How many (stream, host, app) it names, and the bytes of what they say.
    pub sources: usize,
    pub source_bytes: usize,
    /// Extents of events it holds.
    pub streams: Vec<StreamRange>,
}

/// Why a buck's copy of a packet can't be used; another's may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCopy {
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is another packet than was asked for")]
    Another,
    #[error("its signature is not that of its tailer")]
    Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    Done,
    /// Something of that name was there.
    Exists,
}

#[derive(Clone, Debug, Default)]
pub struct Built {
    /// None when no event was new.
    pub block: Option<BuiltBlock>,
    /// Packets whose body can't be read, and why: nothing of them is in the block.
    pub bad: Vec<(PacketId, String)>,
}

#[derive(Clone, Debug)]
pub struct BuiltBlock {
    pub block: Block,
    pub bytes: Arc<[u8]>,
}
