//! SHA-256 with a word in front, so that a hash made for one purpose is never taken for another's.
//!
//! What is hashed is always the domain's name, one NUL byte, then the content; no domain's name holds a NUL, so
//! no two domains can be given bytes that hash alike. Half of a SHA-256 is as good a 128-bit hash as there is.

use crate::ids::{NodeId, StreamId};
use crate::limits::FIRST_LINE_BYTES_MAX;
use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;

/// What a hash is for. A new version of a format gets a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain(pub &'static str);

impl Domain {
    /// What a tailer signs: everything in a record before its signature.
    pub const RECORD: Self = Self("tailbuck record 1");
    /// A stream's name.
    pub const STREAM: Self = Self("tailbuck stream 1");
    /// The members of a cluster, as their roster lists them.
    pub const ROSTER: Self = Self("tailbuck roster 1");
    /// What a node's resets of connections are made with.
    #[cfg(feature = "io")]
    pub(crate) const RESET: Self = Self("tailbuck reset 1");
    pub(super) const X25519: Self = Self("tailbuck x25519 1");
    pub(super) const KEY_TEXT: Self = Self("tailbuck key text 1");
    pub(super) const FINGERPRINT: Self = Self("tailbuck fingerprint 1");
}

/// A hash that is told its content piece by piece.
#[derive(Clone)]
pub struct Hash(Sha256);

impl Hash {
    #[must_use]
    pub fn new(domain: Domain) -> Self {
        Self(Sha256::new().chain_update(domain.0).chain_update([0]))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.update(bytes);
        self
    }

    #[must_use]
    pub fn finish256(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The first half.
    #[must_use]
    pub fn finish128(self) -> [u8; 16] {
        *self.finish256().first_chunk().expect("32 bytes begin with 16")
    }
}

impl fmt::Debug for Hash {
    /// Shows nothing: a seed may have gone in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

#[must_use]
pub fn hash256(domain: Domain, bytes: &[u8]) -> [u8; 32] {
    Hash::new(domain).with(bytes).finish256()
}

#[must_use]
pub fn hash128(domain: Domain, bytes: &[u8]) -> [u8; 16] {
    Hash::new(domain).with(bytes).finish128()
}

/// What tells a file from an earlier one that had its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileBirth {
    /// The file system remembers when it was made.
    At(Timestamp),
    /// It does not; the device it lies on has to do.
    OnDevice(u64),
}

/// The name of one life of one file on one host. It is hashed, numbers little-endian, from
///
/// ```text
///  0  8  node's id
///  8  8  inode
/// 16  1  0: a birth time follows; 1: a device
/// 17  8  nanoseconds since 1970, signed; or the device's number
/// 25  4  generation
/// 29  .  the first line without its newline, at most 1 KiB of it
/// ```
#[must_use]
pub fn stream_id(node: NodeId, inode: u64, birth: FileBirth, first_line: &[u8], generation: u32) -> StreamId {
    let (tag, origin) = match birth {
        FileBirth::At(time) => (0, time.0.to_le_bytes()),
        FileBirth::OnDevice(device) => (1, device.to_le_bytes()),
    };
    let first_line = &first_line[..first_line.len().min(FIRST_LINE_BYTES_MAX)];
    let hash = Hash::new(Domain::STREAM)
        .with(&node.0.to_le_bytes())
        .with(&inode.to_le_bytes())
        .with(&[tag])
        .with(&origin)
        .with(&generation.to_le_bytes())
        .with(first_line);
    StreamId(hash.finish128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sha_256_of_domain_nul_content() {
        // printf 'tailbuck record 1\0abc' | sha256sum
        let text: String = hash256(Domain::RECORD, b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "bd7da016c1419873168f21de8ebebd990c529b6ed0ac23e2648f7561d6aa1932");
        assert_eq!(hash128(Domain::RECORD, b"abc"), hash256(Domain::RECORD, b"abc")[..16]);
        assert_ne!(hash128(Domain::RECORD, b"abc"), hash128(Domain::ROSTER, b"abc"));
        assert_eq!(Hash::new(Domain::RECORD).with(b"a").with(b"bc").finish256(), hash256(Domain::RECORD, b"abc"));
    }

    #[test]
    fn a_streams_name_never_changes() {
        let birth = FileBirth::At(Timestamp::from_seconds(1_795_255_200));
        let id = stream_id(NodeId(7), 42, birth, b"first", 0);
        assert_eq!(id.to_string(), "0ff0935dd22a3e48600b720a9e162fa2");
        let others = [
            stream_id(NodeId(8), 42, birth, b"first", 0),
            stream_id(NodeId(7), 43, birth, b"first", 0),
            stream_id(NodeId(7), 42, FileBirth::OnDevice(1_795_255_200_000_000_000), b"first", 0),
            stream_id(NodeId(7), 42, birth, b"second", 0),
            stream_id(NodeId(7), 42, birth, b"first", 1),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn a_first_line_counts_up_to_its_limit() {
        let name = |line: &[u8]| stream_id(NodeId(7), 42, FileBirth::OnDevice(1), line, 0);
        let mut long = vec![b'x'; FIRST_LINE_BYTES_MAX];
        let at_limit = name(&long);
        long.push(b'y');
        assert_eq!(name(&long), at_limit);
        assert_ne!(name(&long[1..]), at_limit);
    }
}
