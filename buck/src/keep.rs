//! What may be deleted: buckets that are safe elsewhere, and have been for long enough.
//!
//! Never for want of room, and never a packet without a receipt: a full disk refuses what is new instead.

use crate::config::Rules;
use crate::index::{BucketKey, Index};
use proto::time::Timestamp;
use std::time::Duration;

/// A bucket with closings and no packets gets no receipt of its own. Its closings prove that hosts were idle; a
/// porter that was away for a month finds out from later ones.
const CLOSINGS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Buckets deleted at one go; the next go is a minute later.
const AT_ONCE: usize = 1000;

/// Buckets that may go now.
pub fn deletable(index: &Index, now: Timestamp, rules: &Rules) -> Vec<BucketKey> {
    let over = |key: &BucketKey| match index.received(key).and_then(|received| received.safe_since) {
        Some(since) => since.after(rules.keep_after_receipt) <= now,
        None => false,
    };
    let idle = |key: &BucketKey| rules.width.end_of(key.1).after(CLOSINGS_KEPT) <= now;
    let may_go =
        |held: &crate::index::Held, key: &BucketKey| if held.is_without_packets() { idle(key) } else { over(key) };
    index.buckets().filter(|(key, held)| may_go(held, key)).map(|(key, _)| key.clone()).take(AT_ONCE).collect()
}
