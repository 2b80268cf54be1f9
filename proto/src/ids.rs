//! Who and what things are called: nodes, runs, environments, streams, packets, events.
//!
//! A name is short to read and has exactly one spelling; whatever arrives as text is parsed here once.

use crate::limits::ENVIRONMENT_BYTES_MAX;
use crate::time::BucketId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One process of the cluster, whatever its role. Drawn with its first key and kept when the key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// One start of a tailer. Drawn at random, so that a tailer that lost all it knew never repeats a [`PacketId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// One life of one file on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub [u8; 16]);

/// Text that is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct NotAName {
    pub what: &'static str,
    pub text: String,
}

impl NotAName {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(64).collect() }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for NodeId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text.len() != 16 || !is_lower_hex(text) {
            return Err(NotAName::new("a node's id", text));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAName::new("a node's id", text))
    }
}

impl FromStr for StreamId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text.len() != 32 || !is_lower_hex(text) {
            return Err(NotAName::new("a stream's id", text));
        }
        u128::from_str_radix(text, 16)
            .map(|id| Self(id.to_be_bytes()))
            .map_err(|_| NotAName::new("a stream's id", text))
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A name that keeps production apart from the rest. The first part of every path on spool, disk and shelf,
/// so it is a plain file name: lower case letters, digits, `-` and `_`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Environment(Arc<str>);

impl Environment {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self("main".into())
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Environment {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Environment> for String {
    fn from(environment: Environment) -> Self {
        environment.0.as_ref().to_owned()
    }
}

impl FromStr for Environment {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = text.len() <= ENVIRONMENT_BYTES_MAX
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || b == b'-' || b == b'_');
        if fits { Ok(Self(text.into())) } else { Err(NotAName::new("an environment's name", text)) }
    }
}

/// What travels, by name. `seq` counts from 0 within the rest, so a missing packet is a missing number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PacketId {
    pub tailer: NodeId,
    pub environment: Environment,
    pub bucket: BucketId,
    pub run: RunId,
    pub seq: u32,
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.environment, self.bucket, self.tailer, self.run, self.seq)
    }
}

/// An event, by where it was written. Two events are the same when all of this agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    pub tailer: NodeId,
    pub stream: StreamId,
    pub offset: u64,
    /// Of the bytes kept.
    pub length: u32,
    /// crc32c of the bytes kept.
    pub crc: u32,
}

/// Opaque to everyone else: 40 bytes, each as two letters of lower-case hex.
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:016x}{:08x}{:08x}", self.tailer, self.stream, self.offset, self.length, self.crc)
    }
}

impl FromStr for EventId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let refuse = || NotAName::new("an event's id", text);
        if text.len() != 80 || !is_lower_hex(text) {
            return Err(refuse());
        }
        let part = |from: usize, to: usize| u64::from_str_radix(&text[from..to], 16).map_err(|_| refuse());
        let small = |n: u64| u32::try_from(n).map_err(|_| refuse());
        Ok(Self {
            tailer: NodeId(part(0, 16)?),
            stream: text[16..48].parse().map_err(|_: NotAName| refuse())?,
            offset: part(48, 64)?,
            length: small(part(64, 72)?)?,
            crc: small(part(72, 80)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let node = NodeId(0x00ab_0000_0000_00ff);
        assert_eq!(node.to_string(), "00ab0000000000ff");
        assert_eq!(node.to_string().parse(), Ok(node));
        for bad in ["", "00AB0000000000ff", "ab", "+0ab0000000000ff", "00ab0000000000ff0"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_environment_is_a_plain_file_name() {
        for good in ["main", "prod", "eu-west_1", "7"] {
            assert_eq!(good.parse::<Environment>().map(|e| e.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "a/b", "-x", "_x", "Prod", "a b", "é", &"a".repeat(33)] {
            assert!(bad.parse::<Environment>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_event_id_goes_there_and_back() {
        let id =
            EventId { tailer: NodeId(7), stream: StreamId([9; 16]), offset: 1 << 40, length: 65_535, crc: 0xdead_beef };
        assert_eq!(id.to_string().len(), 80);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("x".repeat(80).parse::<EventId>().is_err());
        assert!("é".repeat(40).parse::<EventId>().is_err());
    }
}
