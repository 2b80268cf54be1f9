//! How much each tailer sends, held against what its line in the roster allows.
//!
//! A tailer that may send five megabytes a second has a store of ten seconds' worth; each packet takes its bytes out
//! of it, and it fills again by the second. A packet that finds too little waits at the tailer, where it is safe: it
//! is told that we are busy. Each buck counts for itself what is sent to it.
//!
//! Pure: the time is handed in.

use proto::ids::NodeId;
use proto::limits::PACKET_BYTES_MAX;
use std::collections::BTreeMap;
use std::time::Duration;

/// What may come at once, in seconds of the rate.
const BURST_SECONDS: u64 = 10;

/// What every tailer may send at once, however slow its rate: otherwise its largest packet would never be taken.
const BURST_BYTES_MIN: u64 = PACKET_BYTES_MAX as u64;

const MICROS: u128 = 1_000_000;

/// What was taken and has not filled again, by tailer. Only those with a rate are in it, and they are in the roster.
#[derive(Debug, Default)]
pub struct Rates(BTreeMap<NodeId, Taken>);

#[derive(Clone, Copy, Debug)]
struct Taken {
    bytes: u64,
    at: Duration,
}

impl Rates {
    /// Whether so many bytes may come now; if so they are counted.
    pub fn take(&mut self, now: Duration, tailer: NodeId, per_second: Option<u64>, bytes: usize) -> bool {
        let Some(per_second) = per_second else {
            self.0.remove(&tailer);
            return true;
        };
        let taken = self.0.entry(tailer).or_insert(Taken { bytes: 0, at: now });
        let per_second = per_second.max(1);
        let filled = u128::from(per_second) * now.saturating_sub(taken.at).as_micros() / MICROS;
        taken.bytes = taken.bytes.saturating_sub(u64::try_from(filled).unwrap_or(u64::MAX));
        // Only the time of whole bytes is used up, so that many small packets fill as one large does.
        let used = filled * MICROS / u128::from(per_second);
        taken.at += Duration::from_micros(u64::try_from(used).unwrap_or(u64::MAX));
        let more = taken.bytes.saturating_add(bytes as u64);
        let fits = more <= per_second.saturating_mul(BURST_SECONDS).max(BURST_BYTES_MIN);
        if fits {
            taken.bytes = more;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: NodeId = NodeId(1);
    const FREE: NodeId = NodeId(2);
    const PACKET: usize = 1 << 20;

    /// Packets of a mebibyte that are taken when one comes every tenth of a second.
    fn taken(rates: &mut Rates, tailer: NodeId, per_second: Option<u64>, seconds: u32) -> usize {
        let times = (0..seconds * 10).map(|tenth| Duration::from_millis(100) * tenth);
        times.filter(|at| rates.take(*at, tailer, per_second, PACKET)).count()
    }

    #[test]
    fn a_tailer_gets_its_rate_and_a_burst() {
        let mut rates = Rates::default();
        // Ten a second come; two a second and a burst of twenty are taken.
        let count = taken(&mut rates, FAST, Some(2 << 20), 100);
        assert!((218..=220).contains(&count), "{count}");
        assert_eq!(taken(&mut rates, FREE, None, 100), 1000, "who has no rate is not held up, nor by another's");
    }

    #[test]
    fn the_largest_packet_comes_through_at_any_rate() {
        let mut rates = Rates::default();
        assert!(rates.take(Duration::ZERO, FAST, Some(1), PACKET_BYTES_MAX));
        assert!(!rates.take(Duration::from_secs(1), FAST, Some(1), 10));
        assert!(rates.take(Duration::from_secs(30), FAST, Some(1), 10), "thirty bytes have filled again");
        assert!(!rates.take(Duration::from_secs(30), FAST, Some(1), 100));
    }

    #[test]
    fn many_small_packets_fill_like_one_large() {
        let mut rates = Rates::default();
        assert!(rates.take(Duration::ZERO, FAST, Some(1000), PACKET_BYTES_MAX));
        let asks = (1..=100_000_u64).map(|number| Duration::from_micros(number * 100));
        let count = asks.filter(|at| rates.take(*at, FAST, Some(1000), 1)).count();
        assert!((9_990..=10_000).contains(&count), "ten seconds' worth: {count}");
    }
}
