//! A buck that dies holds up one search, not every one.

#![allow(clippy::disallowed_methods, reason = "a test that measures reads the clock")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};
use support::Dir;
use support::fleet::Fleet;

/// Far below what a node that says nothing is waited for, and far above what a search takes.
const SOON: Duration = Duration::from_millis(1500);

const SEARCHES: usize = 20;
/// One finds out; a busy machine may be slow by itself.
const SLOW_MAX: usize = 5;

#[test]
fn a_dead_buck_holds_up_one_search_and_not_every_one() {
    let dir = Dir::new("dead-buck");
    fs::create_dir_all(dir.join("logs")).expect("a folder");
    let log = dir.join("logs/app.log");
    let mut file = OpenOptions::new().create(true).append(true).open(&log).expect("a log");
    (0..100).for_each(|number| writeln!(file, "line {number}").expect("room"));
    let mut fleet = Fleet::start(&dir, &log.display().to_string(), "60s");
    fleet.wait_for_all("", 100);
    fleet.stop("buck-2");
    let slow = (0..SEARCHES).filter(|_| {
        let begun = Instant::now();
        let (events, _) = fleet.find("line");
        assert_eq!(events.len(), 100, "the other copy is on another buck");
        begun.elapsed() > SOON
    });
    let slow = slow.count();
    assert!(slow <= SLOW_MAX, "{slow} of {SEARCHES} searches were held up");
    fleet.begin("buck-2");
    fleet.wait_for_all("", 100);
}
