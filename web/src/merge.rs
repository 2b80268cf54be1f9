//! Many nodes' rows become one answer, in exact order, each event once.
//!
//! Every node is a lane: its rows come in the order asked for, in pages. An event is given out when no lane can
//! still bring one before it, so what was given out never moves. Copies are known by their names and collapse.
//! A node that falls silent, leaves, or breaks its own order is set aside, and what it had brought so far counts;
//! saying what that means for the answer is for `complete`. Nothing here waits: time and parts are handed in.

mod lane;
mod seen;

pub use lane::{Away, Fate, owned};
pub use seen::Seen;

use lane::{Lane, State};
use proto::event::{OwnedEvent, TimeOrder};
use proto::ids::NodeId;
use proto::message::{Part, Progress, SearchOrder};
use proto::time::Timestamp;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next event of the answer.
    Event(OwnedEvent),
    /// Ask this node for its next page, from behind `after`.
    Ask { node: NodeId, after: Option<TimeOrder> },
    /// Nothing can be said until some node says more.
    Wait,
    /// Every node has said all it had, or was set aside.
    Finished,
}

#[derive(Debug)]
pub struct Merge {
    order: SearchOrder,
    /// How long a node may say nothing while it is waited for.
    patience: Duration,
    lanes: BTreeMap<NodeId, Lane>,
    seen: Seen,
    /// Where the answer stands: what comes is behind this.
    after: Option<TimeOrder>,
}

impl Merge {
    /// An answer that begins behind `after`.
    #[must_use]
    pub fn new(order: SearchOrder, after: Option<TimeOrder>, patience: Duration) -> Self {
        Self { order, patience, lanes: BTreeMap::new(), seen: Seen::default(), after }
    }

    /// This node is about to be asked for its first page, from behind [`Self::after`].
    pub fn add(&mut self, node: NodeId, now: Duration) {
        self.lanes.insert(node, Lane::asked(self.after, now));
    }

    /// Forgets every lane and goes on behind the last event given out, for a new snapshot.
    pub fn restart(&mut self) {
        self.lanes.clear();
    }

    /// The place of the last event given out, or where the answer began.
    #[must_use]
    pub fn after(&self) -> Option<TimeOrder> {
        self.after
    }

    pub fn on_part(&mut self, now: Duration, node: NodeId, part: Part) {
        if let Some(lane) = self.lanes.get_mut(&node) {
            lane.on_part(self.order, now, part);
        }
    }

    pub fn on_away(&mut self, node: NodeId, why: Away) {
        if let Some(lane) = self.lanes.get_mut(&node) {
            lane.set_aside(why);
        }
    }

    /// Whether more of this node's rows should be taken in now. While not, its stream is left to fill.
    #[must_use]
    pub fn is_hungry(&self, node: NodeId) -> bool {
        self.lanes.get(&node).is_some_and(Lane::is_hungry)
    }

    /// Whether parts of this node are still awaited; when not, it can be told to stop.
    #[must_use]
    pub fn is_asked(&self, node: NodeId) -> bool {
        self.lanes.get(&node).is_some_and(|lane| lane.state == State::Asked)
    }

    /// The reader was slow and nobody was listened to meanwhile: silence is counted from now.
    pub fn forgive(&mut self, now: Duration) {
        for lane in self.lanes.values_mut() {
            lane.heard = lane.heard.max(now);
        }
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let waited_for = self.lanes.values().filter(|lane| lane.is_hungry());
        waited_for.map(|lane| lane.heard.saturating_add(self.patience)).min()
    }

    /// Sets aside whoever was silent for too long.
    pub fn on_timeout(&mut self, now: Duration) {
        for lane in self.lanes.values_mut() {
            if lane.is_hungry() && lane.heard.saturating_add(self.patience) <= now {
                lane.set_aside(Away::Silent);
            }
        }
    }

    pub fn step(&mut self, now: Duration) -> Step {
        loop {
            let first = self.first();
            let place = first.and_then(|node| self.lanes.get(&node)?.head()).map(|event| event.borrow().order());
            if let Some(step) = self.blocked(place, now) {
                return step;
            }
            let Some(event) = first.and_then(|node| self.lanes.get_mut(&node)?.pop(now)) else {
                return Step::Finished;
            };
            if self.seen.is_new(event.borrow().id()) {
                self.after = place;
                return Step::Event(event);
            }
        }
    }

    /// The lane whose next row comes first.
    fn first(&self) -> Option<NodeId> {
        let heads = self.lanes.iter().filter_map(|(node, lane)| Some((*node, lane.head()?)));
        heads.min_by(|(_, one), (_, other)| before(self.order, one, other)).map(|(node, _)| node)
    }

    /// What must happen before a row at `place` may be given out, or before the answer may end.
    fn blocked(&mut self, place: Option<TimeOrder>, now: Duration) -> Option<Step> {
        let order = self.order;
        let mut step = None;
        for (node, lane) in &mut self.lanes {
            if !lane.is_empty_and_open() || place.is_some_and(|place| lane.has_passed(order, &place)) {
                continue;
            }
            if lane.state == State::PageEnded {
                lane.ask_again(now);
                return Some(Step::Ask { node: *node, after: lane.last });
            }
            step = Some(Step::Wait);
        }
        step
    }

    /// Nothing before this in the order asked for is still to come; nobody knows while it is `None`.
    #[must_use]
    pub fn settled(&self) -> Option<Timestamp> {
        let mut open = self.lanes.values().filter(|lane| lane.may_bring_more());
        let bound = |lane: &Lane| lane.bound(self.order);
        let first = bound(open.next()?)?;
        open.try_fold(first, |least, lane| {
            let bound = bound(lane)?;
            Some(if self.order == SearchOrder::Newest { least.max(bound) } else { least.min(bound) })
        })
    }

    /// All nodes' work together.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut sum = Progress { settled: self.settled(), ..Progress::default() };
        for lane in self.lanes.values() {
            sum.pages_done += lane.progress.pages_done;
            sum.pages += lane.progress.pages;
            sum.bytes_done += lane.progress.bytes_done;
            sum.bytes += lane.progress.bytes;
        }
        sum
    }

    /// How each node fared so far.
    #[must_use]
    pub fn fates(&self) -> BTreeMap<NodeId, Fate> {
        self.lanes.iter().map(|(node, lane)| (*node, lane.fate())).collect()
    }
}

/// By the order asked for; where two events claim one place, by their bytes, so that every reader sees the same.
fn before(order: SearchOrder, one: &OwnedEvent, other: &OwnedEvent) -> Ordering {
    let (one, other) = (one.borrow(), other.borrow());
    order.compare(&one.order(), &other.order()).then_with(|| {
        let name = |id: proto::ids::EventId| (id.length, id.crc);
        name(one.id()).cmp(&name(other.id()))
    })
}

#[cfg(test)]
pub(crate) mod tests;
