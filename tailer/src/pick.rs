//! Which bucks a packet goes to.
//!
//! Of three random healthy bucks the least loaded, in domains that hold no copy yet where there are such. A buck
//! that fails is set aside for ten seconds, doubling to two minutes; then one packet may try it again.

use proto::ids::NodeId;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many are looked at for each copy: with three the busiest buck has 1.12 times the mean, with one 1.49.
const SAMPLE: usize = 3;
const ASIDE_FIRST: Duration = Duration::from_secs(10);
const ASIDE_MAX: Duration = Duration::from_secs(120);

/// A buck as the roster names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buck {
    pub id: NodeId,
    /// What fails together: a rack, a site. Empty when nobody said.
    pub domain: String,
}

#[derive(Debug)]
pub struct Pick {
    bucks: BTreeMap<NodeId, State>,
    rng: StdRng,
    /// What a person should hear, once: at most one a buck until it is told.
    changes: BTreeMap<NodeId, Change>,
}

/// A buck that worked fails, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Lost,
    Back,
}

#[derive(Clone, Debug, Default)]
struct State {
    domain: String,
    /// Bytes sent and not answered.
    load: u64,
    aside_until: Duration,
    /// Failures in a row.
    failures: u32,
}

impl Pick {
    #[must_use]
    pub fn new(bucks: &[Buck], rng: StdRng) -> Self {
        let mut pick = Self { bucks: BTreeMap::new(), rng, changes: BTreeMap::new() };
        pick.set_bucks(bucks);
        pick
    }

    /// The roster changed. What is known of those that stay is kept.
    pub fn set_bucks(&mut self, bucks: &[Buck]) {
        let mut old = std::mem::take(&mut self.bucks);
        for buck in bucks {
            // A buck that changes its key is named twice.
            let state = old.remove(&buck.id).or_else(|| self.bucks.remove(&buck.id)).unwrap_or_default();
            self.bucks.insert(buck.id, State { domain: buck.domain.clone(), ..state });
        }
    }

    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        self.bucks.keys().copied().collect()
    }

    /// How many copies can be had: two, or fewer in a cluster of one.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.bucks.len().clamp(1, 2)
    }

    /// A buck for a copy, none of `taken`; `None` when there is no healthy one.
    pub fn pick(&mut self, now: Duration, taken: &[NodeId]) -> Option<NodeId> {
        let domains: Vec<&str> = taken.iter().filter_map(|id| self.bucks.get(id)).map(|b| b.domain.as_str()).collect();
        let healthy = |(id, state): &(&NodeId, &State)| state.aside_until <= now && !taken.contains(id);
        let (mut apart, mut near): (Vec<_>, Vec<_>) = self
            .bucks
            .iter()
            .filter(healthy)
            .partition(|(_, state)| state.domain.is_empty() || !domains.contains(&state.domain.as_str()));
        let from = if apart.is_empty() { &mut near } else { &mut apart };
        from.shuffle(&mut self.rng);
        from.iter().take(SAMPLE).min_by_key(|(_, state)| state.load).map(|(id, _)| **id)
    }

    /// A healthy buck other than these is there, or will be then.
    #[must_use]
    pub fn next_healthy(&self, taken: &[NodeId]) -> Option<Duration> {
        self.bucks.iter().filter(|(id, _)| !taken.contains(id)).map(|(_, state)| state.aside_until).min()
    }

    pub fn sent(&mut self, buck: NodeId, bytes: u64) {
        if let Some(state) = self.bucks.get_mut(&buck) {
            state.load = state.load.saturating_add(bytes);
        }
    }

    /// It answered, or will not: these bytes weigh on it no more.
    pub fn settled(&mut self, buck: NodeId, bytes: u64) {
        if let Some(state) = self.bucks.get_mut(&buck) {
            state.load = state.load.saturating_sub(bytes);
        }
    }

    pub fn works(&mut self, buck: NodeId) {
        let Some(state) = self.bucks.get_mut(&buck) else { return };
        state.aside_until = Duration::ZERO;
        if std::mem::take(&mut state.failures) > 0 {
            self.changed(buck, Change::Back);
        }
    }

    /// Set aside. Failures of what was sent before it was set aside count once.
    pub fn failed(&mut self, now: Duration, buck: NodeId) {
        let Some(state) = self.bucks.get_mut(&buck).filter(|state| state.aside_until <= now) else { return };
        let span = ASIDE_FIRST.saturating_mul(1 << state.failures.min(8)).min(ASIDE_MAX);
        state.aside_until = now.saturating_add(span);
        state.failures = state.failures.saturating_add(1);
        if state.failures == 1 {
            self.changed(buck, Change::Lost);
        }
    }

    /// Which bucks were lost or came back since this was asked last.
    pub fn take_changes(&mut self) -> BTreeMap<NodeId, Change> {
        std::mem::take(&mut self.changes)
    }

    /// Lost and back again before it was told is no news.
    fn changed(&mut self, buck: NodeId, change: Change) {
        if self.changes.remove(&buck).is_none() {
            self.changes.insert(buck, change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn bucks(domains: &[&str]) -> Vec<Buck> {
        (1..).zip(domains).map(|(id, domain)| Buck { id: NodeId(id), domain: (*domain).to_owned() }).collect()
    }

    fn pick(domains: &[&str]) -> Pick {
        Pick::new(&bucks(domains), StdRng::seed_from_u64(7))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_copies_lie_in_two_domains_where_there_are_two() {
        let mut pick = pick(&["a", "a", "a", "a", "b"]);
        for _ in 0..100 {
            let first = pick.pick(SECOND, &[]).expect("healthy");
            let second = pick.pick(SECOND, &[first]).expect("healthy");
            assert_ne!(first, second);
            assert!(first == NodeId(5) || second == NodeId(5));
        }
        let mut alone = self::pick(&["a", "a"]);
        assert_eq!(alone.pick(SECOND, &[NodeId(1)]), Some(NodeId(2)));
    }

    #[test]
    fn the_least_loaded_is_taken_and_all_are_used() {
        let mut pick = pick(&["", "", "", "", "", ""]);
        let mut load = BTreeMap::new();
        for _ in 0..600 {
            let buck = pick.pick(SECOND, &[]).expect("healthy");
            pick.sent(buck, 100);
            *load.entry(buck).or_insert(0) += 100;
        }
        assert!(load.values().all(|load| (9_000..=11_000).contains(load)), "{load:?}");
    }

    #[test]
    fn one_that_fails_is_set_aside_longer_and_longer() {
        let mut pick = pick(&["", ""]);
        let mut now = SECOND;
        for seconds in [10, 20, 40, 80, 120, 120] {
            pick.failed(now, NodeId(1));
            pick.failed(now + SECOND, NodeId(1));
            let back = now + Duration::from_secs(seconds);
            assert_eq!(pick.pick(back - SECOND, &[NodeId(2)]), None);
            assert_eq!(pick.next_healthy(&[NodeId(2)]), Some(back));
            assert_eq!(pick.pick(back, &[NodeId(2)]), Some(NodeId(1)));
            now = back;
        }
        pick.failed(now, NodeId(1));
        pick.set_bucks(&[bucks(&["", ""]), bucks(&[""])].concat());
        assert_eq!(pick.pick(now, &[NodeId(2)]), None, "a roster that names it twice forgets nothing of it");
        pick.works(NodeId(1));
        pick.failed(now, NodeId(1));
        assert_eq!(pick.next_healthy(&[NodeId(2)]), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn a_change_is_told_once() {
        let mut pick = pick(&["", ""]);
        let told = |pick: &mut Pick| pick.take_changes().into_iter().collect::<Vec<_>>();
        pick.works(NodeId(1));
        assert_eq!(told(&mut pick), []);
        pick.failed(SECOND, NodeId(1));
        assert_eq!(told(&mut pick), [(NodeId(1), Change::Lost)]);
        pick.failed(20 * SECOND, NodeId(1));
        assert_eq!(told(&mut pick), [], "it was lost before");
        pick.works(NodeId(1));
        assert_eq!(told(&mut pick), [(NodeId(1), Change::Back)]);
        pick.failed(60 * SECOND, NodeId(2));
        pick.works(NodeId(2));
        assert_eq!(told(&mut pick), [], "back before anybody heard");
    }
}
