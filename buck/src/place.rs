//! Small names: a disk, an exchange, a ticket, and the place where a record lies.

use proto::ids::Environment;
use proto::time::BucketId;
use std::fmt;

/// One of this buck's disks, by its place in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub u16);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {}", self.0)
    }
}

/// One question and its answer. Given by whoever carries them; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Names one append; later appends have higher tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where a record lies. There is one file for each disk, environment and bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub disk: DiskId,
    pub environment: Environment,
    pub bucket: BucketId,
    /// Of the record's first byte in its file.
    pub at: u64,
    pub length: u32,
    /// crc32c of the record but its last four bytes, to be sure that what is read is what was written here.
    pub crc: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}/{}, byte {}", self.disk, self.environment, self.bucket.path(), self.at)
    }
}
