//! A block's name: a hash over what it holds, whatever it was squeezed with. The only file here that names sha2.
//!
//! Hashed are the format's version, the head, every source, and every event with its line, in the block's order
//! and with lengths before everything of changing length; pages, levels of zstd and the index have no part in it.
//! So blocks of the same events have one name on every machine and shelf.

use super::events::Row;
use proto::field::{put_counted, put_signed, put_varint};
use sha2::{Digest, Sha256};
use std::fmt;

/// 32 bytes, shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockName(pub [u8; 32]);

impl fmt::Display for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes in a block's content and names it.
#[derive(Default)]
pub struct Namer {
    hash: Sha256,
    fields: Vec<u8>,
}

impl fmt::Debug for Namer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Namer")
    }
}

impl Namer {
    pub fn section(&mut self, bytes: &[u8]) {
        self.fields.clear();
        put_counted(&mut self.fields, bytes);
        self.hash.update(&self.fields);
    }

    pub fn event(&mut self, row: &Row, line: &[u8]) {
        self.fields.clear();
        put_varint(&mut self.fields, u64::from(row.source));
        put_varint(&mut self.fields, row.offset);
        put_signed(&mut self.fields, row.time);
        self.fields.push(row.level as u8);
        self.fields.push(row.flags.0);
        put_varint(&mut self.fields, u64::from(row.file_length));
        put_varint(&mut self.fields, u64::from(row.length));
        self.hash.update(&self.fields);
        self.hash.update(line);
    }

    #[must_use]
    pub fn finish(self) -> BlockName {
        BlockName(self.hash.finalize().into())
    }
}
