//! What may be lost on disk without losing or repeating an event, and a host that can't be heard.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use support::fleet::{Fleet, NODES};
use support::{Dir, wait_for};

fn append(log: &Path, from: usize, to: usize) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    (from..to).for_each(|number| writeln!(file, "line {number} of a life").expect("room"));
}

/// A fleet that follows one log, every line of which is found.
fn start(dir: &Dir, lines: usize) -> (PathBuf, Fleet) {
    fs::create_dir_all(dir.join("logs")).expect("a folder");
    let log = dir.join("logs/app.log");
    append(&log, 0, lines);
    let fleet = Fleet::start(dir, &log.display().to_string(), "2s");
    fleet.wait_for_all("", lines);
    (log, fleet)
}

/// A first line of its own makes each life of the file another stream, an equal one does not: both are tried.
fn begin_again(log: &Path, first: &str) {
    let mut file = File::create(log).expect("a log");
    writeln!(file, "{first}").expect("room");
}

#[test]
fn spool_and_sled_may_vanish_after_truncations_and_a_port() {
    let dir = Dir::new("memory");
    let (log, mut fleet) = start(&dir, 500);
    begin_again(&log, "line 0 of a life");
    append(&log, 1, 300);
    fleet.wait_for_all("", 800);
    begin_again(&log, "another first line");
    append(&log, 0, 200);
    fleet.wait_for_all("", 1001);
    wait_for("a block of every bucket", || support::find_file(&dir.join("fleet"), "tbk").then_some(()));
    fleet.stop("host-1");
    let data = fleet.data_of("host-1");
    fs::remove_dir_all(&data).expect("the tailer's spool and memory");
    fs::create_dir_all(&data).expect("an empty folder");
    append(&log, 200, 250);
    fleet.begin("host-1");
    fleet.wait_for_all("", 1051);
    fleet.wait_for_all("another", 1);
    // Long enough for repeats to come, were there any: a later line is found behind them.
    append(&log, 250, 251);
    fleet.wait_for_all("", 1052);
}

#[test]
fn every_sled_folder_may_be_deleted() {
    let dir = Dir::new("sled");
    let (log, mut fleet) = start(&dir, 1000);
    let nodes = ["host-1", "buck-1", "buck-2", "buck-3", "porter-1"];
    nodes.iter().for_each(|node| fleet.stop(node));
    let deleted: usize = nodes.iter().map(|node| delete_sleds(&fleet.data_of(node))).sum();
    assert!(deleted >= 4, "the tailer and each buck have one: {deleted}");
    append(&log, 1000, 1100);
    nodes.iter().for_each(|node| fleet.begin(node));
    fleet.wait_for_all("", 1100);
}

/// sled's own files give its folders away.
fn delete_sleds(folder: &Path) -> usize {
    if folder.join("conf").is_file() && folder.join("db").is_file() {
        fs::remove_dir_all(folder).expect("a folder of sled's");
        return 1;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| delete_sleds(&entry.path())).sum()
}

#[test]
fn a_host_that_is_cut_off_is_named_until_it_is_heard_again() {
    let dir = Dir::new("unheard");
    fs::create_dir_all(dir.join("logs")).expect("a folder");
    let log = dir.join("logs/app.log");
    append(&log, 0, 10);
    let mut fleet = Fleet::laid_out(&dir, &log.display().to_string(), "2s");
    let cuts = fleet.cuts_of("host-1");
    assert_eq!(cuts.len(), 4, "three bucks and a porter");
    NODES.iter().for_each(|node| fleet.begin(node));
    fleet.wait_for_all("", 10);
    cuts.iter().for_each(|cut| cut.set(true));
    append(&log, 10, 20);
    wait_for("the host to be missed", || {
        let (events, said) = fleet.find("");
        assert_eq!(events.len(), 10, "what was written behind the cut can't be known");
        said.contains("host-1").then_some(())
    });
    cuts.iter().for_each(|cut| cut.set(false));
    fleet.wait_for_all("", 20);
}
