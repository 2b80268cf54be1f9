//! Virtual time: what is to happen, in order. Two things at one moment happen in the order they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Plans and hands out happenings.
#[derive(Debug)]
pub struct Timeline<T> {
    now: Duration,
    planned: BinaryHeap<Reverse<Planned<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Planned<T> {
    at: Duration,
    number: u64,
    /// Large things are planned far ahead, and the heap moves what it holds.
    what: Box<T>,
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { now: Duration::ZERO, planned: BinaryHeap::new(), count: 0 }
    }
}

impl<T> Timeline<T> {
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Something that happens `after` from now.
    pub fn plan(&mut self, after: Duration, what: T) {
        self.plan_at(self.now + after, what);
    }

    /// Something that happens then, or at once when that is past.
    pub fn plan_at(&mut self, at: Duration, what: T) {
        self.count += 1;
        self.planned.push(Reverse(Planned { at: at.max(self.now), number: self.count, what: Box::new(what) }));
    }

    /// The next thing to happen, unless that is after `until`; time moves to it, or to `until`.
    pub fn next(&mut self, until: Duration) -> Option<T> {
        match self.planned.peek() {
            Some(Reverse(next)) if next.at <= until => {}
            _ => {
                self.now = self.now.max(until);
                return None;
            }
        }
        let Reverse(next) = self.planned.pop()?;
        self.now = next.at;
        Some(*next.what)
    }

    /// How many things have been planned so far; counts steps of a run.
    #[must_use]
    pub fn planned_ever(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_and_time_never_goes_back() {
        let mut timeline = Timeline::default();
        timeline.plan(Duration::from_secs(2), "later");
        timeline.plan(Duration::from_secs(1), "first");
        timeline.plan(Duration::from_secs(1), "second");
        let until = Duration::from_secs(10);
        assert_eq!(timeline.next(until), Some("first"));
        timeline.plan_at(Duration::ZERO, "past");
        assert_eq!(timeline.next(until), Some("second"));
        assert_eq!(timeline.next(until), Some("past"));
        assert_eq!(timeline.next(Duration::from_millis(1500)), None);
        assert_eq!(timeline.now(), Duration::from_millis(1500));
        assert_eq!(timeline.next(until), Some("later"));
        assert_eq!(timeline.next(until), None);
        assert_eq!(timeline.now(), until);
    }
}
