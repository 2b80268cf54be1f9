//! Which bucket is due for a look, and when a bucket that was looked at is looked at again.
//!
//! A bucket is looked at because a buck holds packets of it without a receipt, because it is not complete, or
//! because it has events that stand in another one too.
//! What was found at the last look is remembered, so that a bucket is let alone until something has changed: a
//! buck holds other packets than then, one that was away is back, a tailer that was not heard has closed some
//! bucket since. Whatever this remembers is only about when; a look itself starts from the shelf.

use super::bucks::{Bucks, Held};
use super::desk::Desk;
use crate::names::BucketAt;
use proto::ids::NodeId;
use proto::time::{BucketId, Now, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is remembered of the last look at a bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// When it began and ended.
    pub began: Duration,
    pub at: Duration,
    /// Looks in a row after which the bucket was not complete.
    pub tries: u32,
    /// The look ended early: the shelf or all bucks were away, or another porter was at work.
    pub failed: bool,
    /// What bucks held without a receipt before the look.
    pub held: BTreeMap<NodeId, Held>,
    pub away: BTreeSet<NodeId>,
    /// Tailers that were not heard.
    pub unheard: BTreeMap<NodeId, Unheard>,
    pub complete: bool,
    /// Another porter's lease.
    pub not_before: Option<Timestamp>,
}

/// A bucket that so many looks did not complete, though its tailers go on closing others, has lost a closing for
/// good. It is looked at now and then.
const PATIENT_AFTER: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unheard {
    /// The newest bucket it was said to have closed.
    pub newest: Option<BucketId>,
    /// By the roster; a stranger whose packets were seen is not.
    pub expected: bool,
}

#[derive(Debug, Default)]
pub(super) struct Looks {
    looks: BTreeMap<BucketAt, Look>,
    /// Buckets that stand and are not complete.
    partial: BTreeSet<BucketAt>,
}

/// When a bucket is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Now,
    At(Duration),
    /// Not before something changes.
    Never,
}

impl Looks {
    pub fn get(&self, at: &BucketAt) -> Option<&Look> {
        self.looks.get(at)
    }

    pub fn done(&mut self, at: &BucketAt, look: Look) {
        self.looks.insert(at.clone(), look);
    }

    /// A manifest of the bucket became known.
    pub fn stands(&mut self, at: &BucketAt, complete: bool) {
        if complete {
            self.partial.remove(at);
        } else {
            self.partial.insert(at.clone());
        }
    }

    /// Whether some bucket waits for a tailer to be heard.
    pub fn wait_for_tailers(&self) -> impl Iterator<Item = &BucketAt> {
        self.looks.iter().filter(|(_, look)| !look.unheard.is_empty()).map(|(at, _)| at)
    }

    /// The bucket to look at now: the oldest that is due.
    pub fn next(&self, now: Now, bucks: &Bucks, desk: &Desk) -> Option<BucketAt> {
        let due = |at: &BucketAt| self.due(at, now, bucks, desk) == Due::Now;
        self.candidates(bucks, desk).into_iter().filter(|at| due(at)).min_by_key(|at| at.bucket)
    }

    /// When the next bucket becomes due if nothing changes until then.
    pub fn next_due(&self, now: Now, bucks: &Bucks, desk: &Desk) -> Option<Duration> {
        let times = self.candidates(bucks, desk).into_iter().filter_map(|at| match self.due(&at, now, bucks, desk) {
            Due::Now => Some(now.mono),
            Due::At(time) => Some(time),
            Due::Never => None,
        });
        times.min()
    }

    fn candidates(&self, bucks: &Bucks, desk: &Desk) -> BTreeSet<BucketAt> {
        let mut all: BTreeSet<BucketAt> = bucks.held().into_iter().cloned().collect();
        all.extend(self.partial.iter().cloned());
        all.extend(desk.doubles.iter().map(|double| double.block.at.bucket_at()).filter(|at| desk.is_doubled(at)));
        all
    }

    fn due(&self, at: &BucketAt, now: Now, bucks: &Bucks, desk: &Desk) -> Due {
        let ready = desk.width.end_of(at.bucket).after(desk.rules.port_after);
        if now.wall < ready {
            return Due::At(now.mono + ready.since(now.wall));
        }
        let Some(look) = self.looks.get(at) else { return Due::Now };
        if let Some(until) = look.not_before.filter(|until| now.wall < *until) {
            // A clock that was set back must not keep a bucket waiting longer than a lease lasts.
            let again = (now.mono + until.since(now.wall)).min(look.at + desk.rules.lease * 2);
            return if again <= now.mono { Due::Now } else { Due::At(again) };
        }
        let late = look.at.saturating_add(desk.rules.late_every);
        let soon = look.at.saturating_add(backoff(desk, look.tries)).min(late);
        let doubled = desk.is_doubled(at);
        if look.complete && !bucks.is_held(at) && !doubled {
            return Due::Never;
        }
        let heard = look.tries < PATIENT_AFTER && tailers_changed(at, look, desk);
        let reason = look.failed || bucks_changed(at, look, bucks, desk) || heard;
        let again = if reason && !look.complete || doubled { soon } else { late };
        if again <= now.mono { Due::Now } else { Due::At(again) }
    }

    /// Forgets what is complete and held by nobody.
    pub fn tidy(&mut self, bucks: &Bucks) {
        self.looks.retain(|at, look| !look.complete || bucks.is_held(at));
    }
}

/// Whether some buck has other packets than at the last look, or one that was away may have some.
fn bucks_changed(at: &BucketAt, look: &Look, bucks: &Bucks, desk: &Desk) -> bool {
    let holds_other = bucks.of(at).iter().any(|(buck, held)| look.held.get(buck) != Some(held));
    let back = look.away.iter().any(|buck| bucks.here_since(*buck).is_some_and(|since| since >= look.began));
    let gone = look.away.iter().any(|buck| !desk.peers.bucks.contains(buck));
    holds_other || back || gone
}

/// Whether a tailer that was not heard closed some bucket since, or is not waited for any more.
fn tailers_changed(at: &BucketAt, look: &Look, desk: &Desk) -> bool {
    look.unheard.iter().any(|(tailer, then)| {
        desk.closings.newest(&at.environment, *tailer) != then.newest || then.expected && !desk.is_expected(at, *tailer)
    })
}

fn backoff(desk: &Desk, tries: u32) -> Duration {
    let doubled = desk.rules.retry_first.saturating_mul(1 << tries.min(16));
    doubled.min(desk.rules.retry_last)
}
