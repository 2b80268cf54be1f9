//! Who was asked one question, and how each fares: still expected, done, or set aside for being silent too long.
//!
//! For answers whose parts need no order among nodes. Where they do, `merge` keeps its own lanes.

use crate::merge::{Away, Fate};
use proto::ids::NodeId;
use proto::message::End;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
pub struct Roll {
    patience: Duration,
    /// When each still expected one last said something.
    waiting: BTreeMap<NodeId, Duration>,
    fates: BTreeMap<NodeId, Fate>,
}

impl Roll {
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, waiting: BTreeMap::new(), fates: BTreeMap::new() }
    }

    pub fn asked(&mut self, node: NodeId, now: Duration) {
        self.waiting.insert(node, now);
        self.fates.insert(node, Fate::Cut { end: None });
    }

    pub fn on_word(&mut self, node: NodeId, now: Duration) {
        if let Some(heard) = self.waiting.get_mut(&node) {
            *heard = now;
        }
    }

    pub fn on_end(&mut self, node: NodeId, end: End) {
        if self.waiting.remove(&node).is_some() {
            self.fates.insert(node, Fate::Answered(end));
        }
    }

    pub fn on_away(&mut self, node: NodeId, why: Away) {
        if self.waiting.remove(&node).is_some() {
            self.fates.insert(node, Fate::Away { why, reached: None });
        }
    }

    #[must_use]
    pub fn is_waiting_for(&self, node: NodeId) -> bool {
        self.waiting.contains_key(&node)
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.waiting.values().min().map(|heard| heard.saturating_add(self.patience))
    }

    pub fn on_timeout(&mut self, now: Duration) {
        let silent = self.waiting.iter().filter(|(_, heard)| heard.saturating_add(self.patience) <= now);
        let silent: Vec<NodeId> = silent.map(|(node, _)| *node).collect();
        silent.into_iter().for_each(|node| self.on_away(node, Away::Silent));
    }

    #[must_use]
    pub fn fates(&self) -> &BTreeMap<NodeId, Fate> {
        &self.fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::message::Progress;

    #[test]
    fn each_is_waited_for_on_its_own() {
        let at = Duration::from_secs;
        let mut roll = Roll::new(at(5));
        roll.asked(NodeId(1), at(10));
        roll.asked(NodeId(2), at(10));
        roll.on_word(NodeId(1), at(12));
        assert_eq!(roll.next_timeout(), Some(at(15)));
        roll.on_timeout(at(15));
        assert!(roll.is_waiting_for(NodeId(1)) && !roll.is_waiting_for(NodeId(2)));
        let end = End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble: Vec::new() };
        roll.on_end(NodeId(1), end.clone());
        roll.on_end(NodeId(2), end.clone());
        assert!(roll.is_done());
        assert_eq!(roll.fates()[&NodeId(1)], Fate::Answered(end));
        assert_eq!(roll.fates()[&NodeId(2)], Fate::Away { why: Away::Silent, reached: None });
    }
}
