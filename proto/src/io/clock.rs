//! The only place that reads a clock or asks the operating system for randomness.
//!
//! A program makes one [`Clock`] at its start and hands its readings to whatever decides by time. Everything that
//! is drawn at random comes from a generator seeded here once and handed on.

use crate::time::{Now, Timestamp};
use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Tells machines the present. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// What the wall showed at the start, when it is not the real wall.
    wall_at_start: Option<Timestamp>,
}

impl Clock {
    #[must_use]
    pub fn real() -> Self {
        Self { start: instant(), wall_at_start: None }
    }

    /// A wall clock that shows `wall` now and goes on with the runtime's time, which a simulation may hold still.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { start: instant(), wall_at_start: Some(wall) }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: self.wall() }
    }

    #[must_use]
    pub fn mono(&self) -> Duration {
        self.start.elapsed()
    }

    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.wall_at_start.map_or_else(system_wall, |wall| wall.after(self.mono()))
    }
}

/// Tokio's instant rather than the standard one: it stands still when a test pauses time.
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]
fn system_wall() -> Timestamp {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp::default().after(since),
        Err(before) => Timestamp::default().before(before.duration()),
    }
}

/// The operating system gave no randomness; nothing that draws keys or nonces may go on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// 32 bytes nobody can guess.
pub fn seed() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(bytes)
}

/// A generator fit for keys and nonces, begun where nobody can guess.
pub fn generator() -> Result<StdRng, NoRandomness> {
    seed().map(StdRng::from_seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_shows_this_century_and_time_goes_forward() {
        let clock = Clock::real();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.wall > Timestamp::from_seconds(1_700_000_000));
        assert!(second.mono >= first.mono);
    }

    #[test]
    fn a_set_wall_starts_where_it_was_set() {
        let wall = Timestamp::from_seconds(1_795_255_200);
        let clock = Clock::starting_at(wall);
        assert!(clock.wall().since(wall) < Duration::from_secs(60));
        assert!(clock.wall() >= wall);
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(seed().expect("random bytes"), seed().expect("random bytes"));
        assert!(generator().is_ok());
    }
}
