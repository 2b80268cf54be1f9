//! A live tail of many bucks: events are held a moment, sorted, each shown once, and let go.
//!
//! Two bucks send each event, a little apart; holding for some milliseconds puts most of them into order and costs
//! that much. An event that comes later than that is shown late rather than not at all. Every event that came is
//! in exactly one of the counts: shown, dropped, a copy, or still held.

use crate::merge::Seen;
use proto::event::{OwnedEvent, TimeOrder};
use proto::ids::EventId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Long enough that two bucks' copies of a packet meet, as they are sent at one time; short enough that a line is
/// on the page within 20 ms of being written.
const HOLD: Duration = Duration::from_millis(8);

/// Events held at once: half a second at 40,000 a second. What comes beyond it is dropped and counted.
const HELD_MAX: usize = 20_000;

/// Names remembered: some seconds of the busiest tail. A copy that comes later than that is shown twice.
const NAMES_MAX: usize = 1 << 17;

/// How many of each since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    pub came: u64,
    pub shown: u64,
    pub dropped: u64,
    pub copies: u64,
}

/// By time and name; two contents that claim one name are two.
type Place = (TimeOrder, EventId);

#[derive(Debug)]
pub struct Window {
    /// Events a second that are shown; none means all.
    rows_per_second: Option<u32>,
    /// What may be shown now, in millionths of an event, so that short spans add up.
    allowance: u64,
    refilled: Duration,
    held: BTreeMap<Place, OwnedEvent>,
    by_arrival: VecDeque<(Duration, Place)>,
    seen: Seen,
    accounts: Accounts,
}

const MILLIONTHS: u64 = 1_000_000;

impl Window {
    #[must_use]
    pub fn new(rows_per_second: Option<u32>, now: Duration) -> Self {
        Self {
            rows_per_second,
            allowance: u64::from(rows_per_second.unwrap_or(0)) * MILLIONTHS,
            refilled: now,
            held: BTreeMap::new(),
            by_arrival: VecDeque::new(),
            seen: Seen::of(NAMES_MAX),
            accounts: Accounts::default(),
        }
    }

    pub fn push(&mut self, now: Duration, event: OwnedEvent) {
        self.accounts.came += 1;
        let id = event.borrow().id();
        if !self.seen.is_new(id) {
            self.accounts.copies += 1;
        } else if self.held.len() >= HELD_MAX {
            self.accounts.dropped += 1;
        } else {
            let key = (event.borrow().order(), id);
            self.held.insert(key, event);
            self.by_arrival.push_back((now, key));
        }
    }

    /// When something is to be let go.
    #[must_use]
    pub fn next_release(&self) -> Option<Duration> {
        self.by_arrival.front().map(|(came, _)| came.saturating_add(HOLD))
    }

    /// What was held long enough, with everything that sorts before it; thinned evenly when it is too much.
    pub fn release(&mut self, now: Duration) -> Vec<OwnedEvent> {
        let due = self.by_arrival.iter().take_while(|(came, _)| came.saturating_add(HOLD) <= now);
        let Some(last) = due.map(|(_, key)| *key).max() else { return Vec::new() };
        let later = self.held.split_off(&last);
        let mut out: Vec<OwnedEvent> = std::mem::replace(&mut self.held, later).into_values().collect();
        out.extend(self.held.remove(&last));
        let held = &self.held;
        self.by_arrival.retain(|(_, key)| held.contains_key(key));
        self.thin(now, out)
    }

    fn thin(&mut self, now: Duration, events: Vec<OwnedEvent>) -> Vec<OwnedEvent> {
        let allowed = self.allowed(now).min(events.len());
        let count = events.len();
        // Event i is kept where i * allowed / count steps up: evenly, and `allowed` times in all.
        let kept = |index: usize| (index + 1) * allowed / count > index * allowed / count;
        let out: Vec<_> = events.into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, event)| event).collect();
        self.accounts.shown += out.len() as u64;
        self.accounts.dropped += (count - out.len()) as u64;
        self.allowance = self.allowance.saturating_sub(out.len() as u64 * MILLIONTHS);
        out
    }

    /// How many events may be shown now. At most a second's worth gathers.
    fn allowed(&mut self, now: Duration) -> usize {
        let Some(rate) = self.rows_per_second else { return usize::MAX };
        let micros = u64::try_from(now.saturating_sub(self.refilled).as_micros()).unwrap_or(u64::MAX);
        self.refilled = self.refilled.max(now);
        let most = u64::from(rate) * MILLIONTHS;
        self.allowance = self.allowance.saturating_add(micros.saturating_mul(u64::from(rate))).min(most);
        usize::try_from(self.allowance / MILLIONTHS).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn accounts(&self) -> Accounts {
        self.accounts
    }

    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether what can wait need not: half of the room is for what can't.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.held.len() < HELD_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::tests::event;
    use proptest::prelude::*;

    const START: Duration = Duration::from_secs(1);

    fn offsets(events: &[OwnedEvent]) -> Vec<u64> {
        events.iter().map(|event| event.offset).collect()
    }

    #[test]
    fn what_comes_within_the_hold_is_sorted_and_each_shown_once() {
        let mut window = Window::new(None, START);
        for (time, offset) in [(3, 30), (1, 10), (2, 20), (3, 30)] {
            window.push(START, event(time, 1, 1, offset));
        }
        assert_eq!(window.next_release(), Some(START + HOLD));
        assert!(window.release(START + HOLD / 2).is_empty());
        assert_eq!(offsets(&window.release(START + HOLD)), [10, 20, 30]);
        window.push(START + HOLD, event(1, 1, 1, 10));
        assert_eq!(window.next_release(), None, "a late copy is a copy");
        let accounts = Accounts { came: 5, shown: 3, dropped: 0, copies: 2 };
        assert_eq!(window.accounts(), accounts);
    }

    #[test]
    fn too_much_is_thinned_evenly_and_counted() {
        let mut window = Window::new(Some(10), START);
        for offset in 0..100 {
            window.push(START, event(1, 1, 1, offset));
        }
        let shown = offsets(&window.release(START + HOLD));
        assert_eq!(shown, [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
        assert_eq!(window.accounts().dropped, 90);
        window.push(START + HOLD, event(2, 1, 1, 500));
        assert!(window.release(START + HOLD * 2).is_empty(), "the second's worth is spent");
        window.push(START + Duration::from_secs(2), event(2, 1, 1, 501));
        assert_eq!(offsets(&window.release(START + Duration::from_secs(3))), [501]);
    }

    #[test]
    fn an_overfull_window_drops_and_counts() {
        let mut window = Window::new(None, START);
        let count = HELD_MAX as u64 + 5;
        for offset in 0..count {
            window.push(START, event(1, 1, 1, offset));
        }
        assert_eq!(window.release(START + HOLD).len(), HELD_MAX);
        assert_eq!(window.accounts(), Accounts { came: count, shown: HELD_MAX as u64, dropped: 5, copies: 0 });
    }

    proptest! {
        #[test]
        fn every_event_is_in_exactly_one_count(
            steps in prop::collection::vec((0..30u64, 0..20i64, 0..8u64), 0..200),
            rate in prop::option::of(1..400u32),
        ) {
            let mut window = Window::new(rate, START);
            let mut now = START;
            let mut shown = Vec::new();
            for (offset, time, millis) in steps {
                now += Duration::from_millis(millis);
                window.push(now, event(time - time % (1 + i64::try_from(offset % 3).unwrap_or(0)), 1, 1, offset));
                shown.extend(window.release(now));
            }
            let accounts = window.accounts();
            let held = window.held() as u64;
            prop_assert_eq!(accounts.came, accounts.shown + accounts.dropped + accounts.copies + held);
            prop_assert_eq!(accounts.shown, shown.len() as u64);
            let mut names: Vec<_> = shown.iter().map(|event| event.borrow().id()).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), shown.len());
        }
    }
}
