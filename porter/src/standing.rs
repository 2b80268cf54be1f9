//! What stands on a shelf, as far as it is known: the newest manifest of every shard.
//!
//! Pure memory, the same for the machine that adds to it and for the hands that answer from it. A version only
//! ever rises.

use crate::manifest::Manifest;
use crate::names::{BucketAt, ShardAt};
use proto::ids::Environment;
use proto::message::{Completeness, Receipt, Shard};
use proto::query::TimeRange;
use proto::time::{BucketId, BucketWidth};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ranges in one answer; each takes up to 28 bytes, so this many stay below a frame.
const RECEIPT_RANGES_MAX: usize = 100_000;

/// Nodes and ranges named for one shard that is not complete.
const NAMES_MAX: usize = 64;

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

    /// As many as fit one answer, in the order of buckets; who has these asks for the rest.
    #[must_use]
    pub fn receipts(&self, buckets: &[(Environment, BucketId)]) -> Vec<Receipt> {
        let at = |(environment, bucket): &(Environment, BucketId)| BucketAt {
            environment: environment.clone(),
            bucket: *bucket,
        };
        let asked: BTreeSet<BucketAt> = buckets.iter().map(at).collect();
        let mut ranges = 0;
        let fits = |receipt: &Receipt| {
            let first = ranges == 0;
            ranges += receipt.ranges.len() + 1;
            first || ranges <= RECEIPT_RANGES_MAX
        };
        let receipts = asked.iter().flat_map(|at| self.of_bucket(at)).map(|manifest| manifest.receipt());
        receipts.take_while(fits).collect()
    }

    /// Shards that could hold an event of `from..to`, and those filed then that are not complete: what they lack
    /// could be of any time.
    #[must_use]
    pub fn catalog(&self, environments: &[Environment], range: TimeRange, width: BucketWidth) -> Vec<Shard> {
        let asked: BTreeSet<&Environment> = environments.iter().collect();
        let of = |environment: &&Environment| {
            let bounds = |bucket, shard| ShardAt { environment: (**environment).clone(), bucket, shard };
            self.shards.range(bounds(BucketId(0), 0)..=bounds(BucketId(u64::MAX), u16::MAX))
        };
        let manifests = asked.iter().flat_map(of).map(|(_, manifest)| manifest);
        let asked = manifests.filter(|manifest| {
            let bucket = manifest.at.bucket;
            let filed = || range.touches(width.start_of(bucket), width.end_of(bucket));
            let could_hold = manifest.blocks.iter().any(|block| block.touches(range.from, range.to));
            could_hold || !manifest.completeness.is_complete() && filed()
        });
        asked.map(|manifest| shard(manifest, range)).collect()
    }
}

fn shard(manifest: &Manifest, range: TimeRange) -> Shard {
    let touched = manifest.blocks.iter().filter(|block| block.touches(range.from, range.to));
    Shard {
        at: manifest.shard_version(),
        times: manifest.times(),
        bytes: touched.map(|block| block.bytes).sum(),
        completeness: shortened(&manifest.completeness),
    }
}

/// A bucket that nearly everyone is missing from says so with its first names.
fn shortened(completeness: &Completeness) -> Completeness {
    let mut short = completeness.clone();
    short.bucks_away.truncate(NAMES_MAX);
    short.missing.truncate(NAMES_MAX);
    short.unheard.truncate(NAMES_MAX);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Block, Census};
    use crate::names::BlockName;
    use crate::ranges::Ranges;
    use proto::ids::{NodeId, RunId};
    use proto::message::SeqRange;
    use proto::packet::TimeSpan;
    use proto::time::Timestamp;

    fn manifest(bucket: u64, version: u64, seconds: (i64, i64), complete: bool) -> Arc<Manifest> {
        let times = TimeSpan { first: Timestamp::from_seconds(seconds.0), last: Timestamp::from_seconds(seconds.1) };
        let range = SeqRange { tailer: NodeId(1), run: RunId(1), first: 0, last: 9 };
        Arc::new(Manifest {
            at: ShardAt { environment: Environment::default(), bucket: BucketId(bucket), shard: 0 },
            shards: 1,
            version,
            by: NodeId(5),
            written: Timestamp(0),
            copies: 1,
            blocks: vec![Block { name: BlockName([0; 32]), bytes: 7, events: 1, line_bytes: 1, times: vec![times] }],
            replaced: Vec::new(),
            packets: Ranges::from_iter([range]),
            census: Census::default(),
            completeness: Completeness {
                unheard: if complete { Vec::new() } else { vec![NodeId(1)] },
                ..Completeness::default()
            },
        })
    }

    #[test]
    fn a_version_only_rises() {
        let mut standing = Standing::default();
        assert!(standing.insert(manifest(1, 2, (0, 1), true)));
        assert!(!standing.insert(manifest(1, 1, (0, 1), false)));
        assert!(!standing.insert(manifest(1, 2, (0, 1), false)));
        assert!(standing.is_complete(&BucketAt { environment: Environment::default(), bucket: BucketId(1) }));
        assert!(standing.insert(manifest(1, 3, (0, 1), false)));
        assert!(!standing.is_complete(&BucketAt { environment: Environment::default(), bucket: BucketId(1) }));
        assert!(!standing.is_complete(&BucketAt { environment: Environment::default(), bucket: BucketId(2) }));
    }

    #[test]
    fn a_catalog_has_what_could_hold_something_and_what_lacks_something() {
        let mut standing = Standing::default();
        // Buckets of 300 s; the second was filed at 600 and holds older lines.
        standing.insert(manifest(1, 1, (300, 310), true));
        standing.insert(manifest(2, 1, (10, 20), false));
        standing.insert(manifest(3, 1, (900, 950), true));
        let check = |from, to, expected: &[u64]| {
            let range = TimeRange { from: Timestamp::from_seconds(from), to: Timestamp::from_seconds(to) };
            let shards =
                standing.catalog(&[Environment::default(), Environment::default()], range, BucketWidth::default());
            let buckets: Vec<u64> = shards.iter().map(|shard| shard.at.bucket.0).collect();
            assert_eq!(buckets, expected, "{from}..{to}");
        };
        check(0, 1000, &[1, 2, 3]);
        check(310, 311, &[1]);
        check(311, 320, &[]);
        check(15, 16, &[2]);
        check(700, 710, &[2]);
        check(910, 2000, &[3]);
    }

    #[test]
    fn receipts_come_once_and_as_many_as_fit() {
        let mut standing = Standing::default();
        for bucket in 0..4 {
            standing.insert(manifest(bucket, 1, (0, 1), true));
        }
        let asked: Vec<_> = [2, 0, 2, 9].iter().map(|bucket| (Environment::default(), BucketId(*bucket))).collect();
        let receipts = standing.receipts(&asked);
        assert_eq!(receipts.iter().map(|receipt| receipt.bucket.0).collect::<Vec<_>>(), [0, 2]);
        let mut wide = (*manifest(1, 2, (0, 1), true)).clone();
        let range = |run| SeqRange { tailer: NodeId(1), run: RunId(run), first: 0, last: 0 };
        wide.packets = (0..RECEIPT_RANGES_MAX as u64 + 9).map(range).collect();
        standing.insert(Arc::new(wide));
        let all: Vec<_> = (0..4).map(|bucket| (Environment::default(), BucketId(bucket))).collect();
        let buckets = |asked: &[_]| standing.receipts(asked).iter().map(|receipt| receipt.bucket.0).collect::<Vec<_>>();
        assert_eq!(buckets(&all), [0], "the second would not fit beside the first");
        assert_eq!(buckets(&all[1..]), [1], "the first is given whatever its size");
    }
}
