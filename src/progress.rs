//! A bar on stderr that says how far long work is; nothing at all unless stderr is a terminal, and nothing either
//! where lines are printed on the same terminal.
//!
//! Drawn ten times a second at most, first when the work has taken that long, and wiped when it is over.

use proto::io::clock::Clock;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

const BETWEEN_DRAWINGS: Duration = Duration::from_millis(100);
const CELLS: u64 = 30;

/// Work under way.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    clock: Clock,
    is_shown: bool,
    drawn: Option<Duration>,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Self { what, clock: Clock::real(), is_shown: stderr().is_terminal(), drawn: None }
    }

    /// For work that prints lines all the while; on a terminal they say how far it is.
    pub fn of_printing(what: &'static str) -> Self {
        let mut progress = Self::new(what);
        progress.is_shown &= !stdout().is_terminal();
        progress
    }

    /// So much of all of it is done.
    pub fn at(&mut self, done: u64, all: u64) {
        if !self.is_shown {
            return;
        }
        let now = self.clock.mono();
        if now.saturating_sub(self.drawn.unwrap_or_default()) >= BETWEEN_DRAWINGS {
            self.drawn = Some(now);
            draw(&bar(self.what, done, all));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("");
        }
    }
}

/// Over what stands on the terminal's line. A bar that can't be drawn is no reason to stop.
fn draw(text: &str) {
    let _ = write!(stderr(), "\r\x1b[K{text}");
}

fn bar(what: &str, done: u64, all: u64) -> String {
    let done = done.min(all);
    let share = |of: u64| u128::from(done) * u128::from(of) / u128::from(all.max(1));
    let filled = usize::try_from(share(CELLS)).unwrap_or(0);
    let empty = usize::try_from(CELLS).unwrap_or(0).saturating_sub(filled);
    format!("{what} [{}{}] {:3} % of {} MB", "#".repeat(filled), " ".repeat(empty), share(100), all / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_left_to_right() {
        assert_eq!(bar("packs", 0, 0), format!("packs [{}]   0 % of 0 MB", " ".repeat(30)));
        let half = format!("packs [{}{}]  50 % of 8 MB", "#".repeat(15), " ".repeat(15));
        assert_eq!(bar("packs", 4_000_000, 8_000_000), half);
        assert!(bar("packs", 9, 8).contains("100 %"));
    }
}
