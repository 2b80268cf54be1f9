//! `tailbuck up`, as a new user has it: a page, a search, Ctrl-C, and on from there.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use support::{Dir, Lines, PATIENCE, Running, find_file, run, tailbuck, text, wait_for};

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

/// Everything a command says.
fn said(dir: &Dir, words: &[&str]) -> (String, String, Option<i32>) {
    let output = run(tailbuck().args(words).arg("--data").arg(dir.join("data")));
    (text(&output.stdout), text(&output.stderr), output.status.code())
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

fn check_lines_around(dir: &Dir) {
    let around = |words: &[&str]| {
        let (found, stderr, code) = said(dir, &[&["search"], words].concat());
        assert_eq!(code, Some(0), "{words:?}: {stderr}");
        found.lines().filter_map(|line| line.split(' ').next_back()).collect::<String>()
    };
    assert_eq!(around(&["@status!=200", "-C1"]), "abc--fg");
    assert_eq!(around(&["@status!=200", "-A", "9"]), "bcdefg");
    assert_eq!(around(&["level:error,warn", "-A1"]), "bcd--g");
    assert_eq!(around(&["-B", "2", "level:error"]), "ab--efg");
    assert_eq!(around(&["level:warn", "-B", "2", "-A1"]), "abcd");
}

fn check_status(dir: &Dir) {
    let (table, _, code) = said(dir, &["status"]);
    let of_role = |role: &str| table.lines().filter(|line| line.starts_with(role)).count();
    assert_eq!((of_role("buck "), of_role("porter "), of_role("tailer "), code), (3, 1, 1, Some(0)), "{table}");
    wait_for("a bucket is ported", || said(dir, &["status"]).0.contains("ported last: the bucket").then_some(()));
    let (json, _, _) = said(dir, &["status", "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(answer["nodes"].as_array().map(Vec::len), Some(6), "{json}");
}

/// The first things people type who know other tools.
#[test]
fn what_a_stranger_types_is_understood() {
    let dir = Dir::new("stranger");
    let (log, glob) = (dir.join("app[1].log"), dir.join("*.none").display().to_string());
    let lines = [
        "level=info status=200 took=31ms a",
        "level=error status=500 took=1.2s b",
        "level=warn status=200 took=250ms c",
        "level=info status=200 took=9ms d",
        "level=info status=200 took=10ms e",
        "level=info status=200 took=11ms f",
        "level=error status=404 took=12ms g",
    ];
    append(&log, &lines);
    append(&dir.join("app1.log"), &["of another file that the name would fit, were it a glob"]);
    let (path, data) = (log.display().to_string(), dir.join("data").display().to_string());
    let words = ["up", &path, &glob, "--data", &data, "--web", "127.0.0.1:0", "--bucket", "2s"];
    let mut up = Running::start(&words, &dir.join("up.log"));
    let last = format!("nothing is at {glob} yet");
    let mut lines = up.lines();
    let mut told: Vec<String> = Vec::new();
    while told.last() != Some(&last) {
        told.push(lines.next_within(PATIENCE).expect("it says what it follows"));
    }
    assert!(told.iter().any(|line| line == "1 file is followed"), "{told:?}");

    wait_for("all lines", || (search(&dir, &["", "--count"]).0 == "7\n").then_some(()));
    let check = |words: &[&str], expected: &str| {
        let (found, code) = search(&dir, &[words, &["--order", "file"]].concat());
        let last: Vec<&str> = found.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!((last.join(""), code), (expected.to_owned(), Some(i32::from(expected.is_empty()))), "{words:?}");
    };
    check(&["@status=500"], "b");
    check(&["@status!=200"], "bg");
    check(&["@took>100ms"], "bc");
    check(&["level:error,warn"], "bcg");
    check(&["file:app[1].log"], "abcdefg");
    check(&["level=error"], "bg");
    for (query, hint) in [
        ("level=loud", "a field's value comes after a :"),
        ("service:web", "fields are env, host, app, level, file, stream, id and @name"),
        ("level:loud", "no such level"),
        ("@status:200,404", "name:(a OR b)"),
    ] {
        for count in [&["--count"][..], &[]] {
            let (_, stderr, code) = said(&dir, &[&["search", query], count].concat());
            assert!(
                code == Some(1) && stderr.contains(hint) && stderr.contains(query.split(':').next_back().expect("one")),
                "{query}: {code:?} {stderr}"
            );
        }
    }

    check_lines_around(&dir);
    check_status(&dir);
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

/// `search needle --follow`, and all it has printed.
struct Follow {
    running: Running,
    lines: Lines,
    all: Vec<String>,
}

impl Follow {
    /// Lines that stand already are not followed; lines of `log` are from when this returns.
    fn start(dir: &Dir, place: &[&str], log: &Path) -> Self {
        let words = [&["search", "needle", "--follow"], place].concat();
        let mut running = Running::start(&words, &dir.join("follow.log"));
        let mut follow = Self { lines: running.lines(), running, all: Vec::new() };
        // The first ones may come before the subscription stands.
        let mut number = 1..;
        follow.until(
            "a line is followed",
            |_| true,
            || {
                append(log, &[&format!("needle {}", number.next().expect("more"))]);
            },
        );
        follow
    }

    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool, mut meanwhile: impl FnMut()) {
        wait_for(what, || {
            meanwhile();
            self.all.extend(std::iter::from_fn(|| self.lines.try_next()));
            self.all.iter().any(|line| wanted(line)).then_some(())
        });
    }
}

#[test]
fn a_tail_goes_on_when_the_web_is_back() {
    let dir = Dir::new("comes-back");
    let log = dir.join("app.log");
    append(&log, &["needle 0"]);
    let (mut up, _) = start(&dir, &log);
    wait_for("the first line", || (search(&dir, &["needle"]).0 == "needle 0\n").then_some(()));
    let mut follow = Follow::start(&dir, &["--data", &dir.join("data").display().to_string()], &log);
    let seen = follow.all.len();
    up.kill();
    append(&log, &["needle of the time between"]);
    wait_for("the break is told", || follow.running.log().contains("asking again until it answers").then_some(()));
    up.kill_and_restart();
    follow.until("the line between", |line| line == "needle of the time between", || {});
    append(&log, &["needle of the end"]);
    follow.until("the line after", |line| line == "needle of the end", || {});
    let once: std::collections::BTreeSet<&String> = follow.all.iter().collect();
    assert_eq!(once.len(), follow.all.len(), "nothing twice: {:?}", follow.all);
    assert!(follow.all.len() >= seen + 2);
    let told = follow.running.log();
    assert_eq!(told.matches("asking again until it answers").count(), 1, "{told}");
    assert_eq!(told.matches("without lines stamped before that").count(), 1, "{told}");
    drop(follow);
    up.interrupt();
}

#[test]
fn a_line_appended_is_followed() {
    let dir = Dir::new("follow");
    let log = dir.join("app.log");
    append(&log, &["nothing yet"]);
    let (mut up, url) = start(&dir, &log);
    let follow = Follow::start(&dir, &["--web", &url], &log);
    assert!(follow.all.iter().all(|line| line.starts_with("needle ")), "{:?}", follow.all);
    drop(follow);
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}
