//! What goes into the tailer's machine and what comes out of it.
//!
//! The machine sees no file, disk or network: it is told of them with these inputs, and asks for what it wants
//! with [`Action`]. Every question of its own comes back under the number it was asked with.

use crate::files::FileNumber;
use crate::flight::Exchange;
use crate::follow::{Identity, Mark, Stat};
use crate::spool::{ArrivedRun, Place};
use proto::ids::{Environment, NodeId, StreamId};
use proto::message::Ask;
use proto::time::BucketId;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that one of the inputs' globs names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub path: PathBuf,
    /// Which of the config's inputs.
    pub input: usize,
    pub stat: Stat,
}

/// A file that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub stat: Stat,
    /// Its first kilobyte, or less.
    pub head: Vec<u8>,
    /// What the memory holds under its identity.
    pub remembered: Option<Remembered>,
}

/// Bytes read from an open file, all at one go.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Taken just before the bytes.
    pub stat: Stat,
    pub from: u64,
    /// Up to 64 bytes that stand before `from`.
    pub before: &'a [u8],
    pub bytes: &'a [u8],
}

/// Why something could not be done with a file, or with the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("it is not there")]
    Gone,
    #[error("permission denied")]
    Denied,
    #[error("no space is left on the disk")]
    Full,
    #[error("the disk failed")]
    Failed,
}

/// No answer came, and none will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

/// What is kept of a file between runs. All of it can be had again from the spool, the bucks and the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub stream: StreamId,
    pub generation: u32,
    pub path: String,
    pub predecessor: Option<StreamId>,
    pub mark: Mark,
}

/// What is kept of an environment's buckets between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedTo {
    pub environment: Environment,
    pub closed: BucketId,
    /// The last bucket that had packets.
    pub filled: Option<BucketId>,
}

/// Changes for the memory, to be written together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub files: Vec<(Identity, Remembered)>,
    pub arrived: Vec<ArrivedRun>,
    pub closed: Vec<ClosedTo>,
    /// From here on the memory knows every file that is followed, so the next run may believe it if the system did
    /// not go down meanwhile. To be on disk before it counts; not before, and taken back at the next start.
    pub settled: bool,
    /// The last words of an orderly stop. The hands take them back at the next start.
    pub clean: bool,
}

/// What the hands found at the start, besides the spool's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// There is a memory, and it ended with an orderly stop.
    pub clean: bool,
    /// There is a memory that was settled by a process of this same boot: nothing a disk was told was lost.
    pub same_boot: bool,
    pub arrived: Vec<ArrivedRun>,
    pub closed: Vec<ClosedTo>,
    /// Bytes of the spool that belong to no record.
    pub skipped: u64,
}

/// Names one append to the spool, or one read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// List every file the globs name: [`Machine::on_listing`](crate::machine::Machine::on_listing).
    Scan,
    /// Comes back as `on_opened`, with the first kilobyte.
    Open {
        file: FileNumber,
        path: PathBuf,
    },
    /// Comes back as `on_chunk`.
    Read {
        file: FileNumber,
        from: u64,
        bytes_max: usize,
    },
    Close {
        file: FileNumber,
    },
    /// Append to a bucket file, which is made where there is none. Comes back as `on_spooled`, in order.
    AppendSpool {
        ticket: Ticket,
        place: Place,
        bytes: Arc<[u8]>,
    },
    /// Comes back as `on_spool_read`.
    ReadSpool {
        ticket: Ticket,
        place: Place,
        at: u64,
        length: u32,
    },
    /// The memory is on disk before the file is gone.
    DeleteSpool {
        place: Place,
    },
    /// A signed record, to be sealed for this buck. Comes back as `on_answer`, or as `on_away`.
    Put {
        exchange: Exchange,
        buck: NodeId,
        record: Arc<[u8]>,
    },
    /// Comes back likewise.
    Ask {
        exchange: Exchange,
        peer: NodeId,
        ask: Ask,
    },
    SaveMemory(Memory),
    Warn(Warning),
    /// The last action: nothing more will be asked for.
    Stopped,
}

/// What a person should know. Said once, not again and again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{path} can't be read: {why}; it is tried again")]
    Unreadable { path: String, why: Trouble },
    #[error("{path} begins again")]
    Restarted { path: String },
    #[error("{path} lost {bytes} bytes before they were read")]
    Lost { path: String, bytes: u64 },
    #[error("a file was gone before it could be opened: {path}")]
    Missed { path: String },
    #[error("the spool can't be written: {why}; nothing is read until it can")]
    Spool { why: Trouble },
    #[error("the spool is full of what no buck has taken yet; nothing is read until one does")]
    SpoolFull,
    #[error("the spool can't be read: {why}; it is tried again")]
    SpoolUnread { why: Trouble },
    #[error("a record of the spool can't be read again and is given up: {environment}/{bucket} at {at}")]
    Unspooled { environment: Environment, bucket: BucketId, at: u64 },
    #[error("a buck refuses a record for good: {why}; what no other buck has of it is given up")]
    Refused { why: String },
    #[error("buck {buck} does not answer or takes nothing; what is read goes to the others")]
    BuckLost { buck: NodeId },
    #[error("buck {buck} is back")]
    BuckBack { buck: NodeId },
    #[error("a buck does not allow a record: {why}; the spool keeps it until one does")]
    NotAllowed { why: String },
    #[error("not every peer said what it knows of this tailer within ten seconds; reading on without")]
    Unheard,
}
