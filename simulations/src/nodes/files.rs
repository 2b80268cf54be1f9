//! Bucket files on a simulated disk, named alike by tailers and bucks.

use proto::ids::Environment;
use proto::time::BucketId;

#[must_use]
pub fn path_of(environment: &Environment, bucket: BucketId) -> String {
    format!("{environment}/{}", bucket.0)
}

#[must_use]
pub fn bucket_of(path: &str) -> Option<(Environment, BucketId)> {
    let (environment, bucket) = path.split_once('/')?;
    Some((environment.parse().ok()?, BucketId(bucket.parse().ok()?)))
}
