//! A node's process: the run it is in, when it wants to be woken, and what kills it in the middle of things.

use crate::world::{Event, Process, World};
use proto::ids::NodeId;
use std::time::Duration;

/// How soon a process that died between two actions is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(3);

/// Counts down to a death between two actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fuse(Option<u32>);

impl Fuse {
    pub fn arm(&mut self, actions: u32) {
        self.0 = Some(actions);
    }

    /// One more action was done. Whether that was the last.
    fn burns_down(&mut self) -> bool {
        let left = self.0;
        self.0 = left.and_then(|left| left.checked_sub(1));
        left == Some(0)
    }
}

#[derive(Debug)]
pub struct Life {
    node: NodeId,
    run: u64,
    woken: Option<Duration>,
    pub fuse: Fuse,
}

impl Life {
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, run: 0, woken: None, fuse: Fuse::default() }
    }

    #[must_use]
    pub fn process(&self) -> Process {
        Process { node: self.node, run: self.run }
    }

    /// The node stands, under a new run.
    pub fn rise(&mut self, world: &mut World) {
        self.run += 1;
        world.up.insert(self.node, self.run);
        world.note(self.node, "starts");
    }

    pub fn fall(&mut self, world: &mut World, how: &str, fault: &'static str) {
        world.up.remove(&self.node);
        world.note(self.node, how);
        world.ghost.struck(fault);
        (self.fuse, self.woken) = (Fuse::default(), None);
    }

    /// The waking that was planned last; older ones are passed over.
    pub fn is_woken(&mut self, world: &World, process: Process) -> bool {
        let now = process == self.process() && self.woken == Some(world.timeline.now());
        if now {
            self.woken = None;
        }
        now
    }

    /// What its machine waits for is due then.
    pub fn plan_wake(&mut self, world: &mut World, due: Option<Duration>) {
        let Some(at) = due.map(|due| world.wake_at(due)) else { return };
        if self.woken.is_none_or(|planned| at < planned) {
            self.woken = Some(at);
            world.timeline.plan_at(at, Event::Wake(self.process()));
        }
    }

    /// One more action was done. Whether it was the last: then the process dies, and is started again soon.
    pub fn ends(&mut self, world: &mut World) -> bool {
        let ends = self.fuse.burns_down();
        if ends {
            world.timeline.plan(AGAIN_AFTER, Event::Start(self.node));
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_burns_once_after_so_many_actions() {
        let mut fuse = Fuse::default();
        assert!(!fuse.burns_down());
        fuse.arm(2);
        assert_eq!([(); 5].map(|()| fuse.burns_down()), [false, false, true, false, false]);
    }
}
