//! Which bucket files of the spool may go.
//!
//! First, and always, those whose packets are all on a shelf. Over the budget, oldest first, those whose records
//! have all arrived: nothing is lost by it. What has not arrived stays; when that alone is over the budget, reading
//! stops, and the file itself is the buffer.

use crate::spool::{Place, Spool};
use proto::time::BucketId;

/// What deleting gains, and whether it is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub delete: Vec<Place>,
    /// Even so there is too much: nothing more may be read.
    pub full: bool,
}

/// `bytes_max` is the budget; `open` says whether a bucket is still being written to.
#[must_use]
pub fn judge(spool: &Spool, bytes_max: u64, open: impl Fn(&Place) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    let mut bytes = spool.bytes();
    let mut arrived: Vec<(BucketId, u64, &Place)> = Vec::new();
    for (place, bucket) in spool.buckets().filter(|(place, _)| !open(place)) {
        if bucket.is_receipted() {
            verdict.delete.push(place.clone());
            bytes -= bucket.bytes;
        } else if bucket.has_arrived() {
            arrived.push((place.bucket, bucket.bytes, place));
        }
    }
    arrived.sort_unstable();
    for (_, size, place) in arrived {
        if bytes <= bytes_max {
            break;
        }
        verdict.delete.push(place.clone());
        bytes -= size;
    }
    verdict.full = bytes > bytes_max;
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Item;
    use proto::ids::{Environment, NodeId, RunId};
    use proto::message::{Receipt, SeqRange};
    use proto::time::Timestamp;

    fn place(bucket: u64) -> Place {
        Place { environment: Environment::default(), bucket: BucketId(bucket) }
    }

    #[derive(Clone, Copy)]
    enum State {
        Waiting,
        Arrived,
        Receipted,
    }

    fn spool(states: &[State]) -> Spool {
        let mut spool = Spool::default();
        for (bucket, state) in (0..).zip(states) {
            let packet = spool.add(&place(bucket), Item::Packet { run: RunId(1), seq: 0 }, 53, 900, Timestamp(0));
            let closing = spool.add(&place(bucket), Item::Closing, 953, 47, Timestamp(0));
            if !matches!(state, State::Waiting) {
                spool.arrived(packet);
                spool.arrived(closing);
            }
            if matches!(state, State::Receipted) {
                let ranges = vec![SeqRange { tailer: NodeId(1), run: RunId(1), first: 0, last: 0 }];
                let Place { environment, bucket } = place(bucket);
                spool.receipted(NodeId(1), &Receipt { environment, bucket, shard: 0, version: 1, ranges, copies: 1 });
            }
        }
        spool
    }

    fn check(states: &[State], bytes_max: u64, delete: &[u64], full: bool) {
        let expected = Verdict { delete: delete.iter().copied().map(place).collect(), full };
        assert_eq!(judge(&spool(states), bytes_max, |_| false), expected);
    }

    #[test]
    fn what_is_on_a_shelf_goes_first_and_what_has_not_arrived_never() {
        use State::{Arrived, Receipted, Waiting};
        check(&[Waiting, Arrived, Receipted], 5_000, &[2], false);
        check(&[Waiting, Arrived, Receipted], 1_500, &[2, 1], false);
        check(&[Arrived, Arrived, Arrived], 1_999, &[0, 1], false);
        check(&[Waiting, Arrived, Waiting], 1_999, &[1], true);
        assert_eq!(judge(&spool(&[Receipted, Arrived]), 0, |_| true), Verdict { delete: Vec::new(), full: true });
    }
}
