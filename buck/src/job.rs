//! Work that reads packets: a search, the lines around a line, a fetch.
//!
//! A job is run off the loop, step by step: it asks for one record, is given its bytes, and gives parts of an
//! answer. Each step does a bounded amount of work (one packet's), so whoever runs it can send what there is,
//! wait for a slow asker, or stop.

use crate::context::Context;
use crate::fetch::Fetch;
use crate::filter::Filter;
use crate::place::Place;
use crate::scan::Scan;
use bytes::Bytes;
use proto::ids::PacketId;
use proto::message::Part;

#[derive(Debug)]
pub enum Step {
    /// Read this and give it to [`Job::on_read`].
    Read(Place),
    /// Send this.
    Part(Part),
    /// The last part was given.
    Done,
}

#[derive(Debug)]
pub enum Job {
    Scan(Box<Scan>),
    Context(Box<Context>),
    Fetch(Fetch),
}

impl Job {
    pub fn step(&mut self) -> Step {
        match self {
            Self::Scan(scan) => scan.step(),
            Self::Context(context) => context.step(),
            Self::Fetch(fetch) => fetch.step(),
        }
    }

    /// What was read, or why it could not be, as a sentence. Bytes that are not those that were written there are
    /// found out here.
    pub fn on_read(&mut self, read: Result<Bytes, String>) {
        match self {
            Self::Scan(scan) => scan.on_read(read),
            Self::Context(context) => context.on_read(read),
            Self::Fetch(fetch) => fetch.on_read(read),
        }
    }

    /// Filters made on the way, for packets that had none.
    #[must_use]
    pub fn filters(self) -> Vec<(PacketId, Filter)> {
        match self {
            Self::Scan(scan) => scan.filters(),
            Self::Context(_) | Self::Fetch(_) => Vec::new(),
        }
    }
}

/// The bytes, if they are those the index knows by this checksum.
pub(crate) fn checked(place: &Place, read: Result<Bytes, String>) -> Result<Bytes, String> {
    let bytes = read?;
    if crc_of(&bytes) == place.crc {
        Ok(bytes)
    } else {
        Err(format!("{place}: the bytes there are not what was written"))
    }
}

/// What the index and the inventory know a record by: crc32c of all but its last four bytes. Those are a checksum
/// themselves, and a checksum over bytes and their checksum is the same for all records of one length.
#[must_use]
pub fn crc_of(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes.get(..bytes.len().saturating_sub(4)).unwrap_or_default())
}

/// Sentences about what went wrong, not more of them than anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    sentences: Vec<String>,
    left_out: usize,
}

impl Trouble {
    const SENTENCES_MAX: usize = 20;

    pub(crate) fn say(&mut self, sentence: String) {
        if self.sentences.len() < Self::SENTENCES_MAX { self.sentences.push(sentence) } else { self.left_out += 1 }
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut sentences = std::mem::take(&mut self.sentences);
        if self.left_out > 0 {
            sentences.push(format!("and {} more like these", self.left_out));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::record::{Kind, write};

    #[test]
    fn records_of_one_length_are_told_apart() {
        let record = |header: &[u8]| write(Kind::Closed, header, b"", 0, |_| [7; 64]);
        assert_ne!(crc_of(&record(b"one")), crc_of(&record(b"two")));
    }
}
