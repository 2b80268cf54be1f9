//! What objects on a shelf are called, and the only place that puts a name together or takes one apart.
//!
//! ```text
//! <environment>/<tim>/<es>/<shard>/m-<n>          a manifest, its version in decimal
//! <environment>/<tim>/<es>/<shard>/<name>.tbk     a block, by its content
//! <environment>/<tim>/<es>/<shard>/l-<epoch>      a lease
//! ```
//!
//! Every part has one spelling: whatever does not read back to itself is no object of ours, and nothing from the
//! wire becomes a path without passing through these types.

pub use crate::block::name::BlockName;

use proto::ids::{Environment, NodeId};
use proto::time::BucketId;
use std::fmt;

/// One bucket of one environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketAt {
    pub environment: Environment,
    pub bucket: BucketId,
}

/// One shard of a bucket: what a manifest speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardAt {
    pub environment: Environment,
    pub bucket: BucketId,
    pub shard: u16,
}

/// A block, and the shard it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockAt {
    pub at: ShardAt,
    pub name: BlockName,
}

/// An object of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    Manifest(u64),
    Block(BlockName),
    Lease(u64),
}

/// Which shard of `shards` a tailer's packets belong to. Part of the format: a bucket's manifests agree on it.
///
/// The multiplication spreads ids that differ in few bits; the upper half of the product is the mixed one.
#[must_use]
pub fn shard_of(tailer: NodeId, shards: u16) -> u16 {
    let mixed = tailer.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    u16::try_from(mixed % u64::from(shards.max(1))).expect("a remainder of a u16 fits one")
}

impl BucketAt {
    /// Where all objects of the bucket stand; ends with a slash.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/{}/", self.environment, self.bucket.path())
    }

    #[must_use]
    pub fn shard(&self, shard: u16) -> ShardAt {
        ShardAt { environment: self.environment.clone(), bucket: self.bucket, shard }
    }
}

impl ShardAt {
    #[must_use]
    pub fn bucket_at(&self) -> BucketAt {
        BucketAt { environment: self.environment.clone(), bucket: self.bucket }
    }

    #[must_use]
    pub fn object(&self, object: Object) -> String {
        format!("{}/{}/{}/{object}", self.environment, self.bucket.path(), self.shard)
    }

    #[must_use]
    pub fn block(&self, name: BlockName) -> BlockAt {
        BlockAt { at: self.clone(), name }
    }
}

impl BlockAt {
    #[must_use]
    pub fn path(&self) -> String {
        self.at.object(Object::Block(self.name))
    }
}

/// The shard and object a path names; `None` for anything we would not have written.
#[must_use]
pub fn parse_path(path: &str) -> Option<(ShardAt, Object)> {
    let mut parts = path.split('/');
    let environment = parts.next()?.parse().ok()?;
    let bucket = BucketId::from_path(parts.next()?, parts.next()?)?;
    let shard = parts.next()?.parse().ok()?;
    let object = Object::parse(parts.next()?)?;
    let at = ShardAt { environment, bucket, shard };
    (parts.next().is_none() && at.object(object) == path).then_some((at, object))
}

impl Object {
    fn parse(file: &str) -> Option<Self> {
        if let Some(version) = file.strip_prefix("m-") {
            return version.parse().ok().map(Self::Manifest);
        }
        if let Some(epoch) = file.strip_prefix("l-") {
            return epoch.parse().ok().map(Self::Lease);
        }
        parse_name(file.strip_suffix(".tbk")?).map(Self::Block)
    }
}

fn parse_name(hex: &str) -> Option<BlockName> {
    let mut name = [0; 32];
    if hex.len() != 2 * name.len() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in name.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(BlockName(name))
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(version) => write!(f, "m-{version}"),
            Self::Block(name) => write!(f, "{name}.tbk"),
            Self::Lease(epoch) => write!(f, "l-{epoch}"),
        }
    }
}

impl fmt::Display for BucketAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.bucket.path())
    }
}

impl fmt::Display for ShardAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.bucket.path(), self.shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> ShardAt {
        ShardAt { environment: "prod".parse().expect("a name"), bucket: BucketId(5_984_184), shard: 3 }
    }

    #[test]
    fn paths_go_there_and_back() {
        let name = BlockName([0xab; 32]);
        for (object, path) in [
            (Object::Manifest(12), "prod/3k9/fc/3/m-12".to_owned()),
            (Object::Lease(1), "prod/3k9/fc/3/l-1".to_owned()),
            (Object::Block(name), format!("prod/3k9/fc/3/{}.tbk", "ab".repeat(32))),
        ] {
            assert_eq!(shard().object(object), path);
            assert_eq!(parse_path(&path), Some((shard(), object)));
        }
        assert_eq!(shard().bucket_at().folder(), "prod/3k9/fc/");
    }

    #[test]
    fn what_we_would_not_write_is_not_ours() {
        let upper = format!("prod/3k9/fc/3/{}.tbk", "AB".repeat(32));
        for path in [
            "",
            "prod",
            "prod/3k9/fc/3",
            "prod/3k9/fc/3/m-01",
            "prod/3k9/fc/3/m-+1",
            "prod/3k9/fc/03/m-1",
            "prod/3k9/fc/3/m-1/x",
            "prod/3k9/fc/3/m-1.part",
            "../3k9/fc/3/m-1",
            "Prod/3k9/fc/3/m-1",
            &upper,
        ] {
            assert_eq!(parse_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn shards_are_part_of_the_format() {
        let of = |id: u64, shards| shard_of(NodeId(id), shards);
        assert_eq!([of(1, 1), of(7, 0), of(1, 8), of(2, 8), of(3, 8), of(u64::MAX, 8)], [0, 0, 1, 2, 4, 6]);
    }
}
