//! When and how a porter works: every delay and size of its machine, each with its reason.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often bucks are asked in which buckets they hold packets without a receipt.
    pub look_every: Duration,
    /// From a bucket's end to its first port. Waiting a minute instead moves late events only from 0.21 % to
    /// 0.06 %, and until the port events stand on two disks alone.
    pub port_after: Duration,
    /// Between further parts of a complete bucket, and the longest a bucket that can't be completed is let alone.
    pub late_every: Duration,
    /// Between looks at a bucket that is not complete, when there is reason to look: doubling from the first to
    /// the last.
    pub retry_first: Duration,
    pub retry_last: Duration,
    /// How often it is asked which tailers closed what, while some bucket waits for a tailer.
    pub probe_every: Duration,
    /// A buck that has not answered by then is away.
    pub buck_patience: Duration,
    /// A shelf that has not answered by then is tried again.
    pub shelf_patience: Duration,
    /// How long a lease is for: longer than nearly all ports take.
    pub lease: Duration,
    /// Parts of a shard that are merged into one.
    pub parts_max: usize,
    /// How long a block that was replaced stands on, for searches that began before.
    pub replaced_keep: Duration,
    /// Shards of a bucket that nobody has ported yet.
    pub shards: u16,
    /// How many copies of an object the shelf keeps; said in receipts.
    pub copies: u8,
    /// Raw bytes gathered for one block, each event with what it costs in memory.
    pub block_bytes: usize,
    /// Bytes of packets asked for and not used yet.
    pub window_bytes: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(2),
            port_after: Duration::from_secs(5),
            late_every: Duration::from_secs(600),
            retry_first: Duration::from_secs(5),
            retry_last: Duration::from_secs(30),
            probe_every: Duration::from_secs(10),
            buck_patience: Duration::from_secs(10),
            shelf_patience: Duration::from_secs(60),
            lease: Duration::from_secs(60),
            parts_max: 4,
            replaced_keep: Duration::from_secs(3600),
            shards: 1,
            copies: 1,
            block_bytes: 128 << 20,
            window_bytes: 32 << 20,
        }
    }
}

/// Packets in one question to a buck, and their bytes: an answer of a few frames.
pub const FETCH_PACKETS_MAX: usize = 256;
/// See [`FETCH_PACKETS_MAX`].
pub const FETCH_BYTES_MAX: u64 = 4 << 20;

/// Questions of that kind open at one buck.
pub const FETCHES_PER_BUCK: usize = 2;

/// What an event takes in memory beside its line while a block is gathered.
pub const EVENT_COST_BYTES: usize = 48;

/// Packets of one bucket a porter keeps in mind. Beyond that the rest waits for the next look.
pub const BUCKET_PACKETS_MAX: usize = 4 << 20;

/// Buckets waiting to be looked at; beyond that the newest wait until older ones are done.
pub const WAITING_MAX: usize = 1 << 17;

/// Rounds of asking for earlier closings at one look; the next look goes on where this one ended.
pub const CLOSING_ROUNDS_MAX: u32 = 8;

/// How often one object is tried before the whole bucket is left for later.
pub const PUT_TRIES_MAX: u32 = 4;

/// How often in a row another porter may be first with a manifest before a bucket is left for later.
pub const RACES_MAX: u32 = 8;

/// Sentences of trouble kept for the status page.
pub const TROUBLE_MAX: usize = 32;
