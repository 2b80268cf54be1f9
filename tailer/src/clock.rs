//! The time lines are filed under: this host's, corrected by the median of what the bucks say.
//!
//! Bucks' clocks are compared with the monotonic one, so that a step of this host's calendar changes nothing once
//! a buck was heard. A buck that was not heard for long has no vote beside those that were. Filing time never goes back: a bucket that was left is not entered again.

use proto::ids::NodeId;
use proto::time::{Now, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bucks whose clocks are remembered; a median of so many is as good as of all.
const CLOCKS_MAX: usize = 64;
/// How much longer ago than the latest a buck may have been heard. Each is heard every few seconds while it is there.
const STALE_AFTER: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What each buck's clock said at the monotonic zero, and when it was heard.
    origins: BTreeMap<NodeId, (Timestamp, Duration)>,
    filed: Option<Timestamp>,
}

impl Clock {
    /// A buck's clock, as its answer came.
    pub fn heard(&mut self, now: Now, buck: NodeId, clock: Timestamp) {
        if self.origins.len() >= CLOCKS_MAX && !self.origins.contains_key(&buck) {
            let oldest = self.origins.iter().min_by_key(|(_, (_, at))| *at).map(|(buck, _)| *buck);
            oldest.and_then(|oldest| self.origins.remove(&oldest));
        }
        self.origins.insert(buck, (clock.before(now.mono), now.mono));
    }

    /// Only these are asked from now on.
    pub fn keep(&mut self, bucks: &[NodeId]) {
        self.origins.retain(|buck, _| bucks.contains(buck));
    }

    #[must_use]
    pub fn is_corrected(&self) -> bool {
        !self.origins.is_empty()
    }

    /// The corrected time.
    #[must_use]
    pub fn corrected(&self, now: Now) -> Timestamp {
        let latest = self.origins.values().map(|(_, at)| *at).max().unwrap_or_default();
        let fresh = self.origins.values().filter(|(_, at)| *at + STALE_AFTER >= latest);
        let mut origins: Vec<Timestamp> = fresh.map(|(origin, _)| *origin).collect();
        origins.sort_unstable();
        // Of an even number the lower: the middle of two would be no buck's clock.
        let middle = origins.len().saturating_sub(1) / 2;
        origins.get(middle).map_or(now.wall, |origin| origin.after(now.mono))
    }

    /// The time a line read now is filed under.
    pub fn file(&mut self, now: Now) -> Timestamp {
        let time = self.corrected(now).max(self.filed.unwrap_or(Timestamp::MIN));
        self.filed = Some(time);
        time
    }

    /// Filing time does not go back before this.
    pub fn raise(&mut self, floor: Timestamp) {
        self.filed = self.filed.max(Some(floor));
    }

    /// When, on the monotonic clock, filing time reaches `time` if nothing changes; `now` is not needed when a buck
    /// was heard.
    #[must_use]
    pub fn due(&self, now: Now, time: Timestamp) -> Duration {
        now.mono.saturating_add(self.until(now, time))
    }

    /// How long until filing time reaches `time`; zero when it has.
    #[must_use]
    pub fn until(&self, now: Now, time: Timestamp) -> Duration {
        time.since(self.corrected(now).max(self.filed.unwrap_or(Timestamp::MIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64, wall: i64) -> Now {
        Now { mono: Duration::from_secs(mono), wall: Timestamp::from_seconds(wall) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_median_of_the_bucks_corrects_it() {
        let mut clock = Clock::default();
        assert_eq!(clock.corrected(now(5, 1_000)), at(1_000));
        clock.heard(now(5, 1_000), NodeId(1), at(2_000));
        assert_eq!(clock.corrected(now(6, 1_001)), at(2_001));
        assert_eq!(clock.corrected(now(6, 99_999)), at(2_001), "a step of the calendar is not felt");
        clock.heard(now(6, 1_001), NodeId(2), at(7_000_000));
        clock.heard(now(6, 1_001), NodeId(3), at(2_002));
        assert_eq!(clock.corrected(now(6, 1_001)), at(2_002), "one buck's wrong clock is outvoted");
    }

    #[test]
    fn who_is_not_heard_any_more_has_no_vote() {
        let mut clock = Clock::default();
        for buck in [1, 2] {
            clock.heard(now(5, 1_000), NodeId(buck), at(900));
        }
        clock.heard(now(200, 1_195), NodeId(3), at(1_195));
        assert_eq!(clock.corrected(now(200, 1_195)), at(1_095), "two against one");
        clock.heard(now(400, 1_395), NodeId(3), at(1_395));
        assert_eq!(clock.corrected(now(400, 1_395)), at(1_395), "the two are silent for too long");
        clock.heard(now(400, 1_395), NodeId(2), at(1_200));
        clock.keep(&[NodeId(3)]);
        assert_eq!(clock.corrected(now(400, 1_395)), at(1_395), "who left is forgotten");
        for buck in 10..200 {
            clock.heard(now(401 + buck, 1_396), NodeId(buck), at(2_000));
        }
        assert_eq!(clock.origins.len(), CLOCKS_MAX);
    }

    #[test]
    fn filing_time_never_goes_back() {
        let mut clock = Clock::default();
        assert_eq!(clock.file(now(5, 1_000)), at(1_000));
        clock.heard(now(5, 1_000), NodeId(1), at(990));
        assert_eq!(clock.file(now(6, 1_001)), at(1_000));
        assert_eq!(clock.file(now(20, 1_001)), at(1_005));
        assert_eq!(clock.until(now(20, 1_001), at(1_010)), Duration::from_secs(5));
        assert_eq!(clock.until(now(20, 1_001), at(1_000)), Duration::ZERO);
    }
}
