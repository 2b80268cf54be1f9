//! Time, as the machines are told it: a monotonic and a wall reading, timestamps, and time buckets.
//!
//! Nothing here reads a clock. A [`BucketId`] counts widths since 1970, so every node that agrees on the
//! width agrees on the bucket; the width is written once where data is kept.

use crate::limits::{BUCKET_SECONDS_MAX, BUCKET_SECONDS_MIN};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What a machine is told about the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Since some fixed moment; never steps. Timeouts are measured with it.
    pub mono: Duration,
    /// The calendar's reading; may jump. Only names and stamps come from it.
    pub wall: Timestamp,
}

/// Nanoseconds since 1970, UTC. Reaches from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const MIN: Self = Self(i64::MIN);
    pub const MAX: Self = Self(i64::MAX);

    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Whole seconds, rounded down also before 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// The part of a second that [`Self::seconds`] leaves out.
    #[must_use]
    pub fn subsecond_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).expect("a remainder below 1e9 fits")
    }

    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with nine digits, so that text order is time order.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let nanos = self.subsecond_nanos();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// Days since 1970 of a date of the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last; 400 years are 146,097 days.
#[must_use]
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day since 1970; the inverse of [`days_from_civil`].
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let small = |n: i64| u32::try_from(n).expect("a day or month is below 32");
    let day = small(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    let month = small((month_from_march + 2) % 12 + 1);
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// How long a bucket lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketWidth(u32);

impl Default for BucketWidth {
    /// Five minutes: long enough that a quiet host fills a page, short enough that a day is 288 objects.
    fn default() -> Self {
        Self(300)
    }
}

impl BucketWidth {
    /// `None` outside of one second to one day.
    #[must_use]
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        (BUCKET_SECONDS_MIN..=BUCKET_SECONDS_MAX).contains(&seconds).then_some(Self(seconds))
    }

    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// The bucket a moment belongs to. Moments before 1970 belong to the first.
    #[must_use]
    pub fn bucket_of(self, time: Timestamp) -> BucketId {
        BucketId(u64::try_from(time.seconds().div_euclid(i64::from(self.0))).unwrap_or(0))
    }

    /// A bucket's first moment.
    #[must_use]
    pub fn start_of(self, bucket: BucketId) -> Timestamp {
        let seconds = bucket.0.saturating_mul(u64::from(self.0));
        Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// The first moment after a bucket.
    #[must_use]
    pub fn end_of(self, bucket: BucketId) -> Timestamp {
        self.start_of(bucket.next())
    }
}

/// A span of filing time: unix seconds divided by the width. Written in base 36.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BucketId(pub u64);

impl BucketId {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// Where it lies on a disk or shelf: all but the last two characters, then those two. `tim/es`.
    #[must_use]
    pub fn path(self) -> String {
        let name = format!("{self:0>3}");
        let (folder, file) = name.split_at(name.len() - 2);
        format!("{folder}/{file}")
    }

    /// The inverse of [`Self::path`]; `None` for any text `path` would not have written.
    #[must_use]
    pub fn from_path(folder: &str, file: &str) -> Option<Self> {
        let digits = format!("{folder}{file}");
        let id = match digits.trim_start_matches('0') {
            "" => Self(0),
            digits => digits.parse().ok()?,
        };
        (id.path() == format!("{folder}/{file}")).then_some(id)
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut text = Vec::with_capacity(13);
        let mut rest = self.0;
        loop {
            text.push(DIGITS[usize::try_from(rest % 36).expect("below 36")]);
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        text.reverse();
        f.pad(std::str::from_utf8(&text).expect("base 36 digits are ASCII"))
    }
}

/// Text that is no bucket's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a bucket's name")]
pub struct NotABucket(pub String);

impl FromStr for BucketId {
    type Err = NotABucket;

    /// Strict: lower case, no sign, no leading zero, so that a bucket has one name.
    fn from_str(text: &str) -> Result<Self, NotABucket> {
        let refuse = || NotABucket(text.chars().take(32).collect());
        if text.starts_with('0') && text != "0" || text.bytes().any(|b| !b.is_ascii_digit() && !b.is_ascii_lowercase())
        {
            return Err(refuse());
        }
        u64::from_str_radix(text, 36).map(Self).map_err(|_| refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 2, 29), 11_016);
        assert_eq!(days_from_civil(2026, 11, 21), 20_778);
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn a_timestamp_reads_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Timestamp::from_seconds(1_795_255_200).to_string(), "2026-11-21T10:00:00.000000000Z");
    }

    #[test]
    fn a_bucket_has_one_name_and_one_place() {
        let width = BucketWidth::default();
        let bucket = width.bucket_of(Timestamp::from_seconds(1_795_255_201));
        assert_eq!(bucket, BucketId(5_984_184));
        assert_eq!(bucket.to_string(), "3k9fc");
        assert_eq!(bucket.path(), "3k9/fc");
        assert_eq!(BucketId(7).path(), "0/07");
        for id in [0, 1, 35, 36, 1295, 1296, 46_655, 46_656, 5_984_184, u64::MAX] {
            let id = BucketId(id);
            assert_eq!(id.to_string().parse(), Ok(id));
            let path = id.path();
            let (folder, file) = path.split_once('/').expect("two parts");
            assert_eq!(BucketId::from_path(folder, file), Some(id));
        }
        for bad in ["", "-1", "+1", "01", "A", "..", "3k9fc ", "zzzzzzzzzzzzzzz"] {
            assert!(bad.parse::<BucketId>().is_err(), "{bad:?}");
        }
        assert_eq!(BucketId::from_path("00", "01"), None);
        assert_eq!(BucketId::from_path("..", "aa"), None);
    }

    #[test]
    fn a_bucket_holds_its_first_moment_and_not_its_end() {
        let width = BucketWidth::from_seconds(10).expect("in range");
        let bucket = width.bucket_of(Timestamp::from_seconds(1_000));
        assert_eq!(width.start_of(bucket), Timestamp::from_seconds(1_000));
        assert_eq!(width.bucket_of(width.end_of(bucket)), bucket.next());
        assert_eq!(width.bucket_of(Timestamp(width.end_of(bucket).0 - 1)), bucket);
        assert_eq!(width.bucket_of(Timestamp(-5)), BucketId(0));
    }
}
