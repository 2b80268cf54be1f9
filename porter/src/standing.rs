//! What stands on a shelf, as far as it is known: the newest manifest of every shard.
//!
//! Pure memory, the same for the machine that adds to it and for the hands that answer from it. A version only
//! ever rises.

use crate::manifest::Manifest;
use crate::names::{BucketAt, ShardAt};
use proto::ids::Environment;
use proto::message::{Receipt, Shard};
use proto::time::{BucketId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct Standing {
    shards: BTreeMap<ShardAt, Arc<Manifest>>,
}

impl Standing {
    /// Whether this was news.
    pub fn insert(&mut self, manifest: Arc<Manifest>) -> bool {
        let known = self.shards.get(&manifest.at).is_some_and(|known| known.version >= manifest.version);
        if !known {
            self.shards.insert(manifest.at.clone(), manifest);
        }
        !known
    }

    #[must_use]
    pub fn get(&self, at: &ShardAt) -> Option<&Arc<Manifest>> {
        self.shards.get(at)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.shards.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// All shards of one bucket.
    pub fn of_bucket(&self, at: &BucketAt) -> impl Iterator<Item = &Arc<Manifest>> {
        self.shards.range(at.shard(0)..=at.shard(u16::MAX)).map(|(_, manifest)| manifest)
    }

    /// How many shards a bucket has, if any of it stands.
    #[must_use]
    pub fn shards_of(&self, at: &BucketAt) -> Option<u16> {
        self.of_bucket(at).next().map(|manifest| manifest.shards)
    }

    /// A bucket of which something stands is complete when every shard that stands is.
    #[must_use]
    pub fn is_complete(&self, at: &BucketAt) -> bool {
        self.of_bucket(at).next().is_some() && self.of_bucket(at).all(|manifest| manifest.completeness.is_complete())
    }

    #[must_use]
    pub fn receipts(&self, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        let at = |(environment, bucket): &(Environment, BucketId)| BucketAt {
            environment: environment.clone(),
            bucket: *bucket,
        };
        let asked: BTreeSet<BucketAt> = buckets.iter().map(at).collect();
        asked.iter().flat_map(|at| self.of_bucket(at)).map(|manifest| manifest.receipt()).collect()
    }

    /// Shards that could hold an event of `from..to`, and those that are not complete and touch it by filing
    /// time: what is missing there could be of any time.
    #[must_use]
    pub fn catalog(&self, environments: &[Environment], from: Timestamp, to: Timestamp) -> Vec<Shard> {
        let asked: BTreeSet<&Environment> = environments.iter().collect();
        let of = |environment: &&Environment| {
            let bounds = |bucket, shard| ShardAt { environment: (**environment).clone(), bucket, shard };
            self.shards.range(bounds(BucketId(0), 0)..=bounds(BucketId(u64::MAX), u16::MAX))
        };
        let manifests = asked.iter().flat_map(of).map(|(_, manifest)| manifest);
        let touched = manifests.filter(|manifest| manifest.blocks.iter().any(|block| block.touches(from, to)));
        touched.map(|manifest| shard(manifest, from, to)).collect()
    }
}

fn shard(manifest: &Manifest, from: Timestamp, to: Timestamp) -> Shard {
    let touched = manifest.blocks.iter().filter(|block| block.touches(from, to));
    Shard {
        at: manifest.shard_version(),
        times: manifest.times(),
        bytes: touched.map(|block| block.bytes).sum(),
        completeness: manifest.completeness.clone(),
    }
}
