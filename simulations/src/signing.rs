//! Signatures that cost little: a hash under the tailer's name. One seed in sixteen signs and verifies as the program
//! does; in the others that would be a third of all the work, and nobody there tries to forge any.

use porter::check::is_signed;
use proto::ids::NodeId;
use proto::record::Record;
use proto::roster::Roster;
use proto::seal::{Domain, Keys, SIGNATURE_BYTES};
use std::hash::{DefaultHasher, Hasher};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    Real,
    Cheap,
}

impl Signing {
    #[must_use]
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(16) { Self::Real } else { Self::Cheap }
    }

    #[must_use]
    pub fn sign(self, id: NodeId, keys: &Keys, content: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match self {
            Self::Real => keys.sign(Domain::RECORD, content),
            Self::Cheap => cheap(id, content),
        }
    }

    #[must_use]
    pub fn is_by(self, roster: &Roster, tailer: NodeId, record: &Record<'_>) -> bool {
        match self {
            Self::Real => is_signed(roster, tailer, record),
            Self::Cheap => cheap(tailer, record.content) == *record.signature,
        }
    }
}

fn cheap(id: NodeId, content: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(id.0);
    hasher.write(content);
    let mut signature = [0; SIGNATURE_BYTES];
    for part in signature.chunks_mut(8) {
        hasher.write_u8(1);
        part.copy_from_slice(&hasher.finish().to_le_bytes()[..part.len()]);
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_signature_is_of_one_tailer_and_one_content() {
        let of = |id, content: &[u8]| cheap(NodeId(id), content);
        assert_eq!(of(1, b"a"), of(1, b"a"));
        assert_ne!(of(1, b"a"), of(2, b"a"));
        assert_ne!(of(1, b"a"), of(1, b"b"));
    }
}
