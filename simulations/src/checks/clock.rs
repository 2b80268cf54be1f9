//! S16: whatever clocks and stamps say, a line is kept, and placed no further ahead than it may be.
//!
//! A stamp is believed up to five minutes ahead of the moment its line was filed; that moment is in the bucket. A line
//! with one too far ahead stands at the moment it was filed and says so; one with none has the time of the line before
//! it, or that of its filing, which is within its bucket. A clock may be wrong by ten minutes, and so may the bucket:
//! not by more.

use super::once::shown;
use crate::world::World;
use proto::event::{Flags, OwnedEvent};
use proto::limits::TIME_AHEAD_MAX;
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::ops::Range;
use std::time::Duration;

pub const TIMES: &str = "S16 a line's time is its stamp's or that of its filing";
pub const BUCKETS: &str = "S16 a bucket is of the time it was filled";

/// Clocks are set and skewed by no more.
const WRONG_MAX: Duration = Duration::from_secs(660);

pub fn check(world: &mut World) {
    let width = world.width();
    let (from, to) = (world.began().before(WRONG_MAX), world.wall().after(WRONG_MAX));
    for manifest in world.objects.newest("") {
        let bucket = manifest.at.bucket;
        let fits = width.end_of(bucket) > from && width.start_of(bucket) < to;
        world.check(BUCKETS, fits, || format!("{}: the run went from {from} to {to}", manifest.at));
        for block in &manifest.blocks {
            let Ok(events) = world.objects.events_of(&manifest.at.block(block.name).path()) else { continue };
            events.iter().for_each(|event| check_time(world, width, bucket, event));
        }
    }
}

/// A block's events were filed in its bucket.
pub(super) fn check_time(world: &mut World, width: BucketWidth, bucket: BucketId, event: &OwnedEvent) {
    let stamp = stamp_of(&event.line);
    let (begins, ends) = (width.start_of(bucket), width.end_of(bucket));
    let right = if event.flags.has(Flags::TIME_FILED) {
        begins <= event.time && event.time < ends && stamp.is_none_or(|stamp| stamp > begins.after(TIME_AHEAD_MAX))
    } else {
        stamp.is_none_or(|stamp| stamp == event.time) && event.time <= ends.after(TIME_AHEAD_MAX)
    };
    world.check(TIMES, right, || {
        let Flags(flags) = event.flags;
        format!("{bucket} from {begins}: {:?} stands at {}, flags {flags:#b}", shown(&event.line), event.time)
    });
}

/// The stamp of a line as programs of the simulation write them.
fn stamp_of(line: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(line.get(..line.iter().position(|byte| *byte == b' ')?)?).ok()?;
    let part = |range: Range<usize>| text.get(range)?.parse::<u32>().ok();
    let year = text.get(0..4)?.parse().ok()?;
    let days = proto::time::days_from_civil(year, part(5..7)?, part(8..10)?);
    let seconds = part(11..13)? * 3600 + part(14..16)? * 60 + part(17..19)?;
    let fraction = text.get(19..)?.trim_start_matches('.').trim_end_matches('Z');
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    Some(Timestamp::from_seconds(days * 86_400 + i64::from(seconds)).after(Duration::from_nanos(nanos)))
}
