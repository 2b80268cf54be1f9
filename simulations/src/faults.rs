//! What is done to a cluster: which faults a seed has, and how often they strike.
//!
//! Swarm style: each kind is on with even odds, and how often they come is drawn over two powers of ten, so that
//! some seeds know one fault only and some know all at once. One buck is the seed's victim: only its disks are lost
//! or damaged, so that one intact copy of everything that was acked by two is always left, and loss of it is
//! always somebody's mistake.

use crate::net::Weather;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed; what it told its disk stays.
    TailerCrash,
    BuckCrash,
    PorterCrash,
    /// A machine loses power; what was not synced may go.
    TailerPower,
    BuckPower,
    AllBucksPower,
    /// One way, between two nodes.
    Cut,
    /// One node from all others.
    Isolate,
    /// Loss, repeats and delays on every link for a while.
    Weather,
    /// A sync fails.
    DiskError,
    DiskFull,
    SlowDisk,
    /// The victim's.
    DiskLoss,
    BitFlip,
    /// A clock is set.
    ClockJump,
    /// The tailer's memory of files is deleted while it is down.
    MemoryLoss,
    Truncate,
    Rotate,
}

impl Kind {
    pub const ALL: [Self; 18] = [
        Self::TailerCrash,
        Self::BuckCrash,
        Self::PorterCrash,
        Self::TailerPower,
        Self::BuckPower,
        Self::AllBucksPower,
        Self::Cut,
        Self::Isolate,
        Self::Weather,
        Self::DiskError,
        Self::DiskFull,
        Self::SlowDisk,
        Self::DiskLoss,
        Self::BitFlip,
        Self::ClockJump,
        Self::MemoryLoss,
        Self::Truncate,
        Self::Rotate,
    ];
}

/// A mistake built in, to see that a checker finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A disk says that it synced and did not.
    AckBeforeSync,
    /// Porters hand out receipts for what they do not have.
    PruneBeforeReceipt,
    /// Lines of one tailer with equal bytes are taken for one.
    DedupByContent,
    /// Damaged records are believed by everyone who reads them.
    NoChecksum,
    /// Every try to send a record goes to the buck that was tried first.
    ResendToSame,
    /// The shelf says a manifest is written before it is, and it never is.
    ManifestUnwritten,
    /// Porters look neither for what others put a moment ago nor for what stands twice.
    DoublesUnseen,
    /// Tailers take for spooled what was never written there.
    SpoolUnwritten,
    /// Porters merge all parts of a shard but the last.
    MergeForgets,
    /// Closings nobody wrote say that tailers sent nothing.
    CensusForged,
    /// Bucks leave the last row of each part out of their answers.
    RowsForgotten,
    /// A record is said to be appended and is not.
    AckBeforeWrite,
    /// Half of a record is written and all of it said to be.
    ShortWrite,
    /// A disk that could not sync says that it did when it is asked again.
    SyncAgain,
    /// Files are synced, the folders that name them never.
    FolderUnsynced,
    /// Tailers take the first ack of a packet for its receipt.
    PruneOnFirstAck,
    /// A receipt's ranges go one packet too far.
    ReceiptsTooWide,
    /// Lines at one offset of one path are taken for one, whichever file was called so.
    DedupByPlace,
    /// Half of a block is put, and who reads it back is told that all of it was.
    BlockUnverified,
    /// Blocks are deleted before the manifest that replaces them is put.
    DeleteBeforeCommit,
    /// Porters leave the last row of each page out of their answers.
    ShelfRowsForgotten,
    /// Porters count everything twice.
    CountsRepeated,
    /// A memory that a run began is believed by the next, though the run did not hear yet what it had forgotten.
    MemoryUnsettled,
}

impl Bug {
    pub const ALL: [(&'static str, Self); 23] = [
        ("ack-before-write", Self::AckBeforeWrite),
        ("ack-before-sync", Self::AckBeforeSync),
        ("short-write", Self::ShortWrite),
        ("sync-again-after-error", Self::SyncAgain),
        ("folder-unsynced", Self::FolderUnsynced),
        ("prune-before-receipt", Self::PruneBeforeReceipt),
        ("prune-on-first-ack", Self::PruneOnFirstAck),
        ("receipts-too-wide", Self::ReceiptsTooWide),
        ("dedup-by-content", Self::DedupByContent),
        ("dedup-by-place", Self::DedupByPlace),
        ("no-checksum", Self::NoChecksum),
        ("resend-to-same", Self::ResendToSame),
        ("manifest-unwritten", Self::ManifestUnwritten),
        ("block-unverified", Self::BlockUnverified),
        ("delete-before-commit", Self::DeleteBeforeCommit),
        ("doubles-unseen", Self::DoublesUnseen),
        ("spool-unwritten", Self::SpoolUnwritten),
        ("merge-forgets", Self::MergeForgets),
        ("census-forged", Self::CensusForged),
        ("rows-forgotten", Self::RowsForgotten),
        ("shelf-rows-forgotten", Self::ShelfRowsForgotten),
        ("counts-repeated", Self::CountsRepeated),
        ("memory-unsettled", Self::MemoryUnsettled),
    ];

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
    }
}

/// How bad it may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// No faults but rotation.
    Calm,
    Stormy,
    /// As stormy, five times as often.
    Hostile,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub preset: Preset,
    pub kinds: Vec<Kind>,
    /// Between two faults, on average.
    pub every: Duration,
    /// Questions to the shelf that fail: half of them after they were carried out.
    pub shelf_trouble: f64,
    pub hosts: u64,
    pub bucks: u64,
    pub disks: u16,
    pub porters: u64,
    /// How long programs write and faults strike.
    pub active: Duration,
    pub width_seconds: u32,
    /// Between two lines of a host, on average.
    pub line_every: Duration,
    pub skew_max: Duration,
    /// When a host is wiped and heard by nobody while no porter is either, if that is to be.
    pub relapse: Option<Duration>,
    /// What a tailer may keep on its disk.
    pub spool_bytes_max: u64,
    pub bug: Option<Bug>,
}

impl Options {
    /// What a seed is to be like.
    #[must_use]
    pub fn draw(rng: &mut StdRng) -> Self {
        let preset = match rng.random_range(0..10) {
            0 => Preset::Calm,
            1..8 => Preset::Stormy,
            _ => Preset::Hostile,
        };
        Self::of(preset, rng)
    }

    #[must_use]
    pub fn of(preset: Preset, rng: &mut StdRng) -> Self {
        let drawn = |rng: &mut StdRng| Kind::ALL.into_iter().filter(|_| rng.random_bool(0.5)).collect::<Vec<_>>();
        let seconds = match preset {
            Preset::Calm => 300.0,
            Preset::Stormy => 10.0 * 10f64.powf(rng.random_range(0.0..0.9)),
            Preset::Hostile => 2.0 * 10f64.powf(rng.random_range(0.0..0.9)),
        };
        let mut kinds = if preset == Preset::Calm { Vec::new() } else { drawn(rng) };
        kinds.push(Kind::Rotate);
        Self {
            preset,
            kinds,
            every: Duration::from_secs_f64(seconds),
            shelf_trouble: if preset != Preset::Calm && rng.random_bool(0.5) {
                rng.random_range(0.0..0.2)
            } else {
                0.0
            },
            hosts: rng.random_range(2..5),
            bucks: rng.random_range(3..6),
            disks: rng.random_range(1..3),
            porters: rng.random_range(1..3),
            active: Duration::from_secs(1800),
            width_seconds: *[60, 120, 180].choose(rng).unwrap_or(&60),
            line_every: Duration::from_millis(2000),
            skew_max: Duration::from_secs(if rng.random_bool(0.5) { 1 } else { 60 }),
            relapse: None,
            spool_bytes_max: 1 << 30,
            bug: None,
        }
    }
}

impl Options {
    /// Half of the seeds with two porters know a relapse. Drawn apart, so that all else is as it would be without.
    #[must_use]
    pub fn with_relapse(mut self, rng: &mut StdRng) -> Self {
        if self.preset != Preset::Calm && self.porters > 1 && rng.random_bool(0.5) {
            self.relapse = Some(Duration::from_secs(rng.random_range(240..1200)));
        }
        self
    }

    /// One seed in four has spools that are full soon when nobody takes what is in them: then tailers stop reading, and
    /// files are emptied under them. Drawn apart, too.
    #[must_use]
    pub fn with_small_spools(mut self, rng: &mut StdRng) -> Self {
        if self.preset != Preset::Calm && rng.random_bool(0.25) {
            self.spool_bytes_max = rng.random_range(4 << 10..64 << 10);
        }
        self
    }
}

impl Options {
    /// Some bugs show only where faults meet that seldom do: a seed with such a bug has them all.
    pub fn call_for(&mut self, bug: Bug, seed: u64) {
        match bug {
            Bug::DoublesUnseen => {
                self.porters = self.porters.max(2);
                self.relapse = Some(Duration::from_secs(240 + seed % 16 * 60));
            }
            Bug::MemoryUnsettled => self.kinds = vec![Kind::MemoryLoss, Kind::TailerCrash, Kind::Truncate],
            _ => {}
        }
    }
}

/// Bad weather of one kind.
#[must_use]
pub fn weather(rng: &mut StdRng) -> Weather {
    Weather {
        loss: rng.random_range(0.0..0.3),
        repeat: rng.random_range(0.0..0.5),
        delay_min: Duration::from_millis(rng.random_range(0..20)),
        delay_max: Duration::from_millis(rng.random_range(20..300)),
        straggle_max: Duration::from_millis(rng.random_range(300..20_000)),
    }
}
