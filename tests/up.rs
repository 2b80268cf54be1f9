//! `tailbuck up`, as a new user has it: a page, a search, Ctrl-C, and on from there.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use support::{Dir, Running, find_file, run, tailbuck, text, wait_for};

fn start(dir: &Dir, log: &Path) -> (Running, String) {
    let (log, data) = (log.display().to_string(), dir.join("data").display().to_string());
    let words = ["up", &log, "--data", &data, "--web", "127.0.0.1:0", "--bucket", "2s"];
    let mut up = Running::start(&words, &dir.join("up.log"));
    let url =
        up.wait_for_line(|line| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned));
    (up, url)
}

fn append(log: &Path, lines: &[&str]) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    lines.iter().for_each(|line| writeln!(file, "{line}").expect("room"));
}

/// What `search` prints, and its exit code.
fn search(dir: &Dir, words: &[&str]) -> (String, Option<i32>) {
    let data = dir.join("data").display().to_string();
    let output = run(tailbuck().arg("search").args(words).args(["--data", &data]));
    (text(&output.stdout), output.status.code())
}

#[test]
fn a_line_is_found_before_and_after_it_is_ported_and_over_a_restart() {
    let dir = Dir::new("up");
    let log = dir.join("app.log");
    append(&log, &["first needle-4711 line", "second line", "third NEEDLE-4711 line"]);
    let (mut up, _) = start(&dir, &log);
    let both = "first needle-4711 line\nthird NEEDLE-4711 line\n";
    wait_for("both lines are found", || (search(&dir, &["needle-4711"]).0 == both).then_some(()));
    assert_eq!(search(&dir, &["'needle-4711'"]), ("first needle-4711 line\n".to_owned(), Some(0)));
    assert_eq!(search(&dir, &["no-such-needle"]), (String::new(), Some(1)));
    assert_eq!(search(&dir, &["needle-4711", "--count"]).0, "2\n");
    wait_for("a block stands on the shelf", || {
        assert_eq!(search(&dir, &["needle-4711"]).0, both, "also while it is ported");
        find_file(&dir.join("data"), "tbk").then_some(())
    });
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
    let fewer = run(tailbuck().args(["up", "--bucks", "2", "--data"]).arg(dir.join("data")));
    assert_eq!(fewer.status.code(), Some(2));
    assert!(text(&fewer.stderr).contains("3 bucks"), "{}", text(&fewer.stderr));
    append(&log, &["fourth needle-4711 line, written while nothing ran"]);
    let (mut up, _) = start(&dir, &log);
    wait_for("the line written meanwhile is found too", || {
        let (found, _) = search(&dir, &["needle-4711"]);
        found.contains("fourth").then(|| assert_eq!(found.lines().count(), 3, "{found}"))
    });
    assert_eq!(search(&dir, &["needle-4711", "--count"]).0, "3\n", "nothing is read again");
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

#[test]
fn a_file_that_was_rotated_while_nothing_ran_is_read_to_its_end() {
    let dir = Dir::new("rotated");
    fs::create_dir_all(dir.join("logs")).expect("a folder");
    let (log, glob) = (dir.join("logs/app.log"), dir.join("logs/*.log"));
    append(&log, &["one kept line"]);
    let (mut up, _) = start(&dir, &glob);
    wait_for("the first line", || (search(&dir, &["kept"]).0.lines().count() == 1).then_some(()));
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
    append(&log, &["two kept line, read by nobody"]);
    fs::rename(&log, dir.join("logs/app.log.1")).expect("a log to rotate");
    append(&log, &["three kept line, of the new file"]);
    let (mut up, _) = start(&dir, &glob);
    wait_for("all three", || {
        let found = search(&dir, &["kept"]).0;
        ["one", "two", "three"].iter().all(|word| found.contains(word)).then(|| assert_eq!(found.lines().count(), 3))
    });
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

#[test]
fn a_thousand_identical_lines_stay_a_thousand() {
    let dir = Dir::new("identical");
    let log = dir.join("app.log");
    append(&log, &["2026-11-20T10:00:00Z the same line"; 1000]);
    let (mut up, _) = start(&dir, &log);
    let count = || search(&dir, &["same", "--count", "--from", "2026-11-01", "--to", "2026-12-01"]).0;
    wait_for("all of them", || (count() == "1000\n").then_some(()));
    wait_for("a block", || find_file(&dir.join("data"), "tbk").then_some(()));
    assert_eq!(count(), "1000\n");
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

#[test]
fn bytes_come_out_as_they_went_in() {
    let dir = Dir::new("bytes");
    let log = dir.join("app.log");
    let lines: [&[u8]; 4] = [b"plain", b"\xff\xfe not text \0 at all\r", b"", b"\xe2\x82\xac sign"];
    let content: Vec<u8> = lines.iter().flat_map(|line| [line, b"\n".as_slice()].concat()).collect();
    fs::write(&log, &content).expect("a log");
    let (mut up, _) = start(&dir, &log);
    let data = dir.join("data").display().to_string();
    wait_for("the file's exact bytes", || {
        let output = run(tailbuck().args(["search", "", "--order", "file", "--data", &data]));
        (output.stdout == content).then_some(())
    });
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

#[test]
fn a_line_appended_is_followed() {
    let dir = Dir::new("follow");
    let log = dir.join("app.log");
    append(&log, &["nothing yet"]);
    let (mut up, url) = start(&dir, &log);
    let mut follow = Running::start(&["search", "needle", "--follow", "--web", &url], &dir.join("follow.log"));
    let mut followed = follow.lines();
    // The first ones may come before the subscription stands.
    let mut number = 0..;
    wait_for("a line that is followed", || {
        append(&log, &[&format!("needle {}", number.next()?)]);
        followed.try_next().filter(|line| line.starts_with("needle "))
    });
    drop(follow);
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}
