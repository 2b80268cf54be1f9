//! A buck that dies holds up one search, not every one.

#![allow(clippy::disallowed_methods, reason = "a test that measures reads the clock")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};
use support::fleet::Fleet;
use support::{Dir, wait_for};

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
    fleet.stop("buck-3");
    let (_, said, code) = fleet.ask(&["search", "no-such-needle"]);
    assert_eq!(code, Some(2), "two away may hide it: {said}");
    assert!(said.contains("buck localhost:") && said.contains("is not known"), "{said}");
    let (table, _, code) = fleet.ask(&["status"]);
    let away = table.lines().filter(|line| line.starts_with("buck ") && line.contains("unreachable")).count();
    assert_eq!((away, code), (2, Some(1)), "{table}");
    fleet.begin("buck-2");
    fleet.begin("buck-3");
    fleet.wait_for_all("", 100);
    wait_for("there is none, and that is known", || {
        let (found, said, code) = fleet.ask(&["search", "no-such-needle"]);
        (found.is_empty() && said.is_empty() && code == Some(1)).then_some(())
    });
}
