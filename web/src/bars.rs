//! The bars of a histogram: how wide, where the first begins, how many.
//!
//! Bars begin at multiples of their width since 1970, whoever counts, so that nodes' counts fall into the same
//! bars. Widths are those people read off a clock.

use proto::query::TimeRange;

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Seconds people count in; below a second, 1, 2 and 5 of each power of ten; beyond a week, weeks.
const ROUND_SECONDS: [i128; 21] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600,
    604_800,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bars {
    /// The first moment of the first bar, in nanoseconds since 1970; at or before the range's beginning.
    pub from: i128,
    /// 0 when everything is one bar, whatever its times.
    pub step_nanos: u64,
    pub count: usize,
    width: i128,
}

impl Bars {
    /// At most about `wanted` bars over the range.
    #[must_use]
    pub fn of(range: TimeRange, wanted: u64) -> Self {
        let (from, to) = (i128::from(range.from.0), i128::from(range.to.0));
        let length = (to - from).max(1);
        if wanted <= 1 {
            return Self { from, step_nanos: 0, count: 1, width: length };
        }
        let width = round_up((length + i128::from(wanted) - 1) / i128::from(wanted));
        let first = from.div_euclid(width) * width;
        let count = usize::try_from((to - first + width - 1) / width).unwrap_or(1).max(1);
        Self { from: first, step_nanos: u64::try_from(width).unwrap_or(u64::MAX), count, width }
    }

    /// Nanoseconds from one bar to the next.
    #[must_use]
    pub fn width_nanos(&self) -> i128 {
        self.width
    }

    /// The bar a node's step belongs to.
    #[must_use]
    pub fn index(&self, step: i64) -> Option<usize> {
        if self.step_nanos == 0 {
            return Some(0);
        }
        let index = i128::from(step) - self.from.div_euclid(self.width);
        usize::try_from(index).ok().filter(|index| *index < self.count)
    }
}

fn round_up(nanos: i128) -> i128 {
    let mut power = 1;
    while power < SECOND {
        if let Some(round) = [1, 2, 5].into_iter().map(|n| n * power).find(|round| *round >= nanos) {
            return round;
        }
        power *= 10;
    }
    let round = ROUND_SECONDS.into_iter().map(|seconds| seconds * SECOND).find(|round| *round >= nanos);
    round.unwrap_or_else(|| (nanos + 7 * DAY - 1) / (7 * DAY) * (7 * DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::time::Timestamp;

    fn range(from: i64, seconds: i64) -> TimeRange {
        TimeRange { from: Timestamp::from_seconds(from), to: Timestamp::from_seconds(from + seconds) }
    }

    #[test]
    fn widths_are_those_of_a_clock() {
        for (seconds, wanted, width_seconds, count) in
            [(3600, 300, 15, 240), (3600, 60, 60, 60), (900, 300, 5, 180), (86_400, 300, 300, 288), (600, 2, 300, 2)]
        {
            let bars = Bars::of(range(1_795_255_200, seconds), wanted);
            assert_eq!((bars.width / SECOND, bars.count), (width_seconds, count), "{seconds} s in {wanted}");
        }
        assert_eq!(Bars::of(range(0, 1), 300).width, 5_000_000);
        assert_eq!(Bars::of(TimeRange::ALL, 300).width % (7 * DAY), 0);
    }

    #[test]
    fn every_moment_of_the_range_has_a_bar_and_no_other() {
        for (from, seconds, wanted) in [(7, 3600, 300), (-100, 250, 7), (1_795_255_201, 61, 13)] {
            let range = range(from, seconds);
            let bars = Bars::of(range, wanted);
            let step = |time: i64| time.div_euclid(i64::try_from(bars.step_nanos).expect("small"));
            assert_eq!(bars.index(step(range.from.0)), Some(0));
            assert_eq!(bars.index(step(range.to.0 - 1)), Some(bars.count - 1));
            assert_eq!(bars.index(step(range.from.0) - 1), None);
            assert_eq!(bars.index(step(range.to.0 - 1) + 1), None);
        }
        assert_eq!(Bars::of(range(0, 9), 1).index(i64::MIN), Some(0));
    }
}
