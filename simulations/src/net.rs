//! The network between nodes: how long a message takes, whether it comes, and how often.
//!
//! Nodes talk in exchanges over QUIC. What that leaves of a bad network is modelled here: a question or its answer
//! may never come, come late, or be carried out twice because the asker asked again; a link may be cut one way or
//! both, for a while.

use proto::ids::NodeId;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// How bad every link is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss: f64,
    pub repeat: f64,
    pub delay_min: Duration,
    pub delay_max: Duration,
    /// One message in a hundred takes up to this long.
    pub straggle_max: Duration,
}

impl Weather {
    /// A good network.
    pub const CALM: Self = Self {
        loss: 0.0,
        repeat: 0.0,
        delay_min: Duration::from_micros(200),
        delay_max: Duration::from_millis(2),
        straggle_max: Duration::from_millis(20),
    };
}

#[derive(Debug)]
pub struct Net {
    pub weather: Weather,
    /// From, to: until when nothing passes.
    cuts: BTreeMap<(NodeId, NodeId), Duration>,
    /// Messages that did not come, or came again: faults that struck.
    pub struck: u64,
}

impl Net {
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        Self { weather, cuts: BTreeMap::new(), struck: 0 }
    }

    /// When copies of a message arrive: none, one or two moments from now.
    pub fn carry(&mut self, now: Duration, from: NodeId, to: NodeId, rng: &mut StdRng) -> Vec<Duration> {
        if self.is_cut(now, from, to) || rng.random_bool(self.weather.loss) {
            self.struck += 1;
            return Vec::new();
        }
        let mut arrivals = vec![self.delay(rng)];
        if rng.random_bool(self.weather.repeat) {
            self.struck += 1;
            arrivals.push(self.delay(rng));
        }
        arrivals
    }

    fn delay(&self, rng: &mut StdRng) -> Duration {
        if rng.random_bool(0.01) {
            return rng.random_range(self.weather.delay_max..=self.weather.straggle_max);
        }
        rng.random_range(self.weather.delay_min..=self.weather.delay_max)
    }

    #[must_use]
    pub fn is_cut(&self, now: Duration, from: NodeId, to: NodeId) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| *until > now)
    }

    /// Nothing passes from one to the other until then.
    pub fn cut(&mut self, from: NodeId, to: NodeId, until: Duration) {
        self.struck += 1;
        let cut = self.cuts.entry((from, to)).or_default();
        *cut = until.max(*cut);
    }

    /// Nothing passes between this node and any of the others.
    pub fn isolate(&mut self, node: NodeId, others: &[NodeId], until: Duration) {
        for other in others.iter().filter(|other| **other != node) {
            self.cut(node, *other, until);
            self.cut(*other, node, until);
        }
    }

    /// Every cut is healed, and the weather is good.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.weather = Weather::CALM;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn cuts_have_a_direction_and_an_end() {
        let (a, b, second) = (NodeId(1), NodeId(2), Duration::from_secs(1));
        let mut rng = StdRng::seed_from_u64(1);
        let mut net = Net::new(Weather::CALM);
        net.cut(a, b, second);
        assert!(net.carry(Duration::ZERO, a, b, &mut rng).is_empty());
        assert_eq!(net.carry(Duration::ZERO, b, a, &mut rng).len(), 1);
        assert_eq!(net.carry(second, a, b, &mut rng).len(), 1);
        net.isolate(a, &[a, b], second);
        assert!(net.is_cut(Duration::ZERO, b, a) && !net.is_cut(Duration::ZERO, a, a));
        net.heal();
        assert!(!net.is_cut(Duration::ZERO, b, a));
    }

    #[test]
    fn bad_weather_loses_and_repeats() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut net = Net::new(Weather { loss: 0.3, repeat: 0.3, ..Weather::CALM });
        let mut counts = [0u32; 3];
        for _ in 0..1000 {
            counts[net.carry(Duration::ZERO, NodeId(1), NodeId(2), &mut rng).len()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 150), "{counts:?}");
        assert_eq!(net.struck, u64::from(counts[0] + counts[2]));
    }
}
