//! What a person sees who types something wrong: one clear sentence, and exit code 2.

mod support;

use std::fs;
use std::net::TcpListener;
use support::{Dir, run, tailbuck, text};

/// Runs, expects exit code 2, and gives back what was said.
fn complaint(words: &[&str]) -> String {
    let output = run(tailbuck().args(words));
    assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_bad_setting_is_named_with_its_line() {
    let dir = Dir::new("settings");
    let path = dir.join("settings.toml");
    fs::write(&path, "keys = \"keys\"\nroster = \"roster\"\ndata = \"data\"\ncolour = \"red\"\n").expect("a file");
    let said = complaint(&["buck", "--config", &path.display().to_string()]);
    assert!(said.contains("settings.toml line 4: unknown field `colour`"), "{said}");
}

#[test]
fn a_missing_folder_is_named() {
    let dir = Dir::new("missing");
    let path = dir.join("nowhere/settings.toml").display().to_string();
    let said = complaint(&["tailer", "--config", &path]);
    assert!(said.contains(&path), "{said}");
    let none = dir.join("none").display().to_string();
    for words in [vec!["search", "x"], vec!["search", "x", "--follow"], vec!["status"]] {
        let said = complaint(&[words, vec!["--data", &none]].concat());
        assert!(said.contains(&none) && said.contains("--data"), "{said}");
        assert!(said.lines().count() == 1 && !said.contains("os error"), "{said}");
    }
}

#[test]
fn a_fleet_is_laid_out_by_addresses_and_by_names() {
    let dir = Dir::new("names");
    let out = dir.join("fleet");
    let words = ["init", "--bucks", "Buck-1.example.org:4100,[FD00::0:2]:4100,10.0.0.3:4100", "--out"];
    let made = run(tailbuck().args(words).arg(&out));
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("Names are looked up when nodes connect"), "{}", text(&made.stdout));
    let roster = fs::read_to_string(out.join("web-1/roster")).expect("a roster");
    for (node, address, listens) in [
        ("buck-1", "buck-1.example.org:4100", "0.0.0.0:4100"),
        ("buck-2", "[fd00::2]:4100", "[fd00::2]:4100"),
        ("buck-3", "10.0.0.3:4100", "10.0.0.3:4100"),
    ] {
        assert!(roster.contains(&format!(" addr={address}")), "{roster}");
        let settings = fs::read_to_string(out.join(node).join("settings.toml")).expect("settings");
        assert!(settings.contains(&format!("listen = \"{listens}\"")), "{settings}");
    }
    for bad in ["buck-1", "10.0.0.300:1", "a:0"] {
        let said = complaint(&["init", "--bucks", bad, "--out", &dir.join("bad").display().to_string()]);
        assert!(said.contains(bad) && said.contains("no host name with a port"), "{said}");
    }
    let twice = complaint(&["init", "--bucks", "a:1,a:1", "--out", &dir.join("twice").display().to_string()]);
    assert!(twice.contains("two nodes would listen on a:1"), "{twice}");
}

#[test]
fn a_taken_port_is_one_sentence() {
    let dir = Dir::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let data = dir.join("data").display().to_string();
    let log = dir.join("a.log");
    fs::write(&log, "a line\n").expect("a file");
    let said = complaint(&["up", &log.display().to_string(), "--data", &data, "--web", &address]);
    assert!(said.contains(&address), "{said}");
    assert!(said.lines().count() == 1, "{said}");
}

#[test]
fn a_file_named_outright_must_be_there() {
    let dir = Dir::new("outright");
    let (data, log) = (dir.join("data").display().to_string(), dir.join("no.log").display().to_string());
    let said = complaint(&["up", &log, "--data", &data, "--web", "127.0.0.1:0"]);
    assert!(said.contains(&log), "{said}");
}

#[test]
fn words_that_make_no_sense_are_refused() {
    assert!(complaint(&["up", "--bucket", "soon"]).contains("span of time"));
    assert!(complaint(&["up", "--bucks", "0"]).contains("--bucks"));
    assert!(complaint(&["search", "x", "--web", "ftp://h"]).contains("http://"));
    assert!(complaint(&["nonsense"]).contains("nonsense"));
}

#[test]
fn a_key_file_is_never_overwritten() {
    let dir = Dir::new("keygen");
    let path = dir.join("keys").display().to_string();
    assert!(run(tailbuck().args(["keygen", "--out", &path])).status.success());
    let first = fs::read(dir.join("keys")).expect("made");
    let said = complaint(&["keygen", "--out", &path]);
    assert!(said.contains(&path), "{said}");
    assert_eq!(fs::read(dir.join("keys")).expect("still there"), first);
}
