//! A lease: one porter's word that it is at work on a bucket, so that the others need not be.
//!
//! It saves work and nothing else. Whoever holds none, or thinks it still holds one that has run out, does no
//! harm: blocks are named by content and a manifest's version can be put only once. So a lease is never renewed
//! or released in a hurry, clocks may disagree, and a damaged lease counts as none.
//!
//! The object `l-<epoch>` of shard 0, put if absent; the highest epoch is the one that counts:
//!
//! ```text
//!  0  4  "TBL1"
//!  4  8  the porter that holds it
//! 12  8  epoch
//! 20  8  until: nanoseconds since 1970
//! 28  4  crc32c of bytes 0..28
//! ```

use proto::field::{Fields, put_u32, put_u64};
use proto::ids::NodeId;
use proto::time::Timestamp;
use std::time::Duration;

const MAGIC: [u8; 4] = *b"TBL1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: NodeId,
    pub epoch: u64,
    pub until: Timestamp,
}

/// What a porter may do about a bucket, from the lease with the highest epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is ours for a while yet.
    Hold,
    /// Nobody holds it: put a lease of this epoch, and whoever is first has it.
    TakeOver { epoch: u64 },
    /// Another porter is at work; look again then.
    Lost { until: Timestamp },
}

impl Lease {
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u64(&mut out, self.holder.0);
        put_u64(&mut out, self.epoch);
        put_u64(&mut out, self.until.0.cast_unsigned());
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        out
    }

    /// `None` for damaged bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.split_last_chunk::<4>()?;
        if *crc != crc32c::crc32c(checked).to_le_bytes() {
            return None;
        }
        let mut fields = Fields::new(checked.strip_prefix(&MAGIC)?);
        let holder = NodeId(fields.u64().ok()?);
        let epoch = fields.u64().ok()?;
        let until = Timestamp(fields.u64().ok()?.cast_signed());
        fields.end().ok()?;
        Some(Self { holder, epoch, until })
    }
}

/// `highest` is the highest epoch there is an object of, and what it says if it can be read.
///
/// A lease that claims to last longer than any of ours would is a clock gone wrong, and is not waited for.
#[must_use]
pub fn decide(highest: Option<(u64, Option<Lease>)>, me: NodeId, wall: Timestamp, length: Duration) -> Decision {
    let Some((epoch, lease)) = highest else { return Decision::TakeOver { epoch: 1 } };
    let next = Decision::TakeOver { epoch: epoch.saturating_add(1) };
    let Some(lease) = lease else { return next };
    let believable = lease.epoch == epoch && lease.until > wall && lease.until <= wall.after(length * 2);
    match (believable, lease.holder == me) {
        (true, true) => Decision::Hold,
        (true, false) => Decision::Lost { until: lease.until },
        (false, _) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    fn lease() -> Lease {
        Lease { holder: NodeId(7), epoch: 3, until: Timestamp::from_seconds(1000) }
    }

    #[test]
    fn golden_lease() {
        let bytes = lease().write();
        assert_eq!(bytes[..28], *b"TBL1\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x00\x10\xa5\xd4\xe8\0\0\0");
        assert_eq!(Lease::parse(&bytes), Some(lease()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Lease::parse(&bad), None, "byte {at}");
            assert_eq!(Lease::parse(&bytes[..at]), None);
        }
    }

    #[test]
    fn a_lease_is_held_lost_or_taken_over() {
        let check = |highest, me, second, expected| {
            let decision = decide(highest, NodeId(me), Timestamp::from_seconds(second), LENGTH);
            assert_eq!(decision, expected, "{highest:?} for {me} at {second}");
        };
        let until = lease().until;
        check(None, 7, 950, Decision::TakeOver { epoch: 1 });
        check(Some((3, Some(lease()))), 7, 950, Decision::Hold);
        check(Some((3, Some(lease()))), 8, 950, Decision::Lost { until });
        check(Some((3, Some(lease()))), 8, 1000, Decision::TakeOver { epoch: 4 });
        check(Some((3, Some(lease()))), 7, 1000, Decision::TakeOver { epoch: 4 });
        check(Some((3, None)), 8, 950, Decision::TakeOver { epoch: 4 });
        // A clock an hour ahead, or a record copied to another name, keeps nobody waiting.
        check(Some((3, Some(lease()))), 8, 1, Decision::TakeOver { epoch: 4 });
        check(Some((4, Some(lease()))), 8, 950, Decision::TakeOver { epoch: 5 });
    }
}
