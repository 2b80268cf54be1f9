//! What a line says about itself: when, how grave, which program, whether it goes with the line before.
//!
//! Never fails: a line that says nothing has the time it was filed, flagged so. Each stream has a [`Habit`], which
//! remembers how its lines are written, so that most lines are read by one attempt at one place.
//!
//! Left to others: cutting lines (`lines`), what host and file a line is from (`files`).

mod digits;
mod find;
mod keys;
mod level;
mod stamp;
mod syslog;

pub use stamp::Rules;

use find::{Place, Shape};
use proto::event::{Flags, Level};
use proto::limits::TIME_AHEAD_MAX;
use proto::time::Timestamp;
use stamp::Stamp;
use std::time::Duration;

/// A line without a stamp that is read so much later than the stamp above it has nothing to do with it. Whoever looks
/// at the last minutes would never see it at that stamp's time.
const JOINS_WITHIN: Duration = Duration::from_secs(10);

/// How the lines of one stream are written, as far as was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habit {
    place: Option<Place>,
    level_at: usize,
    last: Option<Last>,
}

/// The last line with a stamp: its time, and when it was filed.
#[derive(Clone, Copy, Debug)]
struct Last {
    time: Timestamp,
    filed: Timestamp,
}

/// What one line said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    pub time: Timestamp,
    pub level: Level,
    pub flags: Flags,
    /// The program, where the line names one.
    pub app: Option<&'a str>,
}

impl Habit {
    /// Reads a line that is being filed now.
    #[inline]
    pub fn read<'a>(&mut self, line: &'a [u8], filed: Timestamp, rules: &Rules) -> Reading<'a> {
        let hit = self.place.and_then(|place| Some((place, place.again(line, rules)?)));
        let Some((place, stamp)) = hit.or_else(|| find::search(line, rules)) else {
            return self.unstamped(line, filed);
        };
        self.place = Some(place);
        let (level, app) = self.around(line, &place, &stamp);
        let believed = stamp.time <= filed.after(TIME_AHEAD_MAX);
        let time = if believed { stamp.time } else { filed };
        self.last = Some(Last { time, filed });
        let mut flags = Flags::NONE;
        if !believed {
            flags = flags.with(Flags::TIME_FILED);
        } else if stamp.guessed {
            flags = flags.with(Flags::TIME_GUESSED);
        }
        Reading { time, level, flags, app }
    }

    /// A piece of a line behind its first: everything is as it was there.
    pub fn read_on(&self, filed: Timestamp) -> Reading<'static> {
        let flags = if self.last.is_some() { Flags::NONE } else { Flags::TIME_FILED };
        Reading { time: self.last.map_or(filed, |last| last.time), level: Level::Unknown, flags, app: None }
    }

    /// A line without a stamp that is read soon after one that has a stamp goes with it, and has its time.
    fn unstamped<'a>(&mut self, line: &'a [u8], filed: Timestamp) -> Reading<'a> {
        self.last = self.last.filter(|last| filed.since(last.filed) <= JOINS_WITHIN);
        let joins = continues_a_thought(line) || self.last.is_some() && !line.is_empty();
        let mut flags = if joins { Flags::JOINS_PREVIOUS } else { Flags::NONE };
        if self.last.is_none() {
            flags = flags.with(Flags::TIME_FILED);
        }
        let level = self.level_without_stamp(line);
        Reading { time: self.last.map_or(filed, |last| last.time), level, flags, app: None }
    }

    fn level_without_stamp(&mut self, line: &[u8]) -> Level {
        if line.first() == Some(&b'{') {
            return keys::json(line).level.map_or(Level::Unknown, level_of_value);
        }
        self.level_behind(line, 0)
    }

    fn level_behind(&mut self, line: &[u8], end: usize) -> Level {
        let Some(found) = level::find(line, end, self.level_at) else { return Level::Unknown };
        self.level_at = found.at;
        found.level
    }

    /// What stands around a stamp: the level, and the program's name.
    #[inline]
    fn around<'a>(&mut self, line: &'a [u8], place: &Place, stamp: &Stamp) -> (Level, Option<&'a str>) {
        let end = place.at + stamp.length;
        let behind = line.get(end..).unwrap_or_default();
        let priority = || syslog::priority(line).map(|(value, _)| level::of_priority(value));
        match place.shape {
            Shape::Plain if place.form == stamp::Form::Letter => {
                (level::of_letter(line.get(place.at).copied().unwrap_or(0)), None)
            }
            Shape::Plain => {
                let relayed = place.at == 0 && line.get(10) == Some(&b'T');
                let app = if relayed { syslog::app_with_pid(behind) } else { None };
                (self.level_behind(line, end), app)
            }
            Shape::Syslog => {
                let level = priority().unwrap_or_else(|| self.level_behind(line, end));
                (level, syslog::app(behind))
            }
            Shape::SyslogFields => (priority().unwrap_or_default(), syslog::app_of_fields(behind)),
            Shape::Json => (keys::json(line).level.map_or(Level::Unknown, level_of_value), None),
            Shape::Logfmt => (keys::logfmt(line).level.map_or(Level::Unknown, level_of_value), None),
        }
    }
}

fn level_of_value(value: &[u8]) -> Level {
    level::of_word(value)
        .or_else(|| digits::number(value).map(|(number, _)| level::of_number(number)))
        .unwrap_or_default()
}

/// Lines that are written below another: indented, or the next cause of a stack trace.
fn continues_a_thought(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t')) || line.starts_with(b"Caused by:") || line.starts_with(b"Suppressed:")
}

#[cfg(test)]
mod tests;
