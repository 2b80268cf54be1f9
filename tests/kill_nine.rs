//! 200,000 lines in ten files with rotations going on, while the tailer, each buck and the porter are killed and
//! started again: every line is found exactly once, byte for byte, in file order.

#![allow(clippy::panic, clippy::print_stderr, reason = "a test panics when it is red, and tells what it drew")]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use support::fleet::Fleet;
use support::{Dir, wait_for};

const FILES: usize = 10;
const LINES: usize = 20_000;
const ROTATE_EVERY: usize = 4_000;
/// Kills; each after a drawn number of lines, on average so many that the last falls near the end.
const KILLS: usize = 16;

#[test]
fn every_line_is_found_once_whoever_is_killed() {
    let dir = Dir::new("kill-nine");
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).expect("a folder for logs");
    let mut fleet = Fleet::start(&dir, &logs.join("*.log*").display().to_string(), "5s");
    let mut kills = Kills::draw();
    write_all(&logs, |written, files| {
        if let Some(victim) = kills.due(written) {
            // What still lies in this program can't come through.
            files.iter_mut().for_each(|file| file.flush().expect("room"));
            // So that the kill hits a cluster at work: half of what was written has come through.
            wait_for("half of it to come through", || (fleet.count("") >= written / 2).then_some(()));
            fleet.kill_and_restart(victim);
        }
    });
    let events = fleet.wait_for_all("", FILES * LINES);
    check_exact(&events);
}

/// Who is killed, and after how many lines: everyone in turn, at moments that are drawn.
struct Kills {
    draw: RandomState,
    done: usize,
    next: usize,
}

impl Kills {
    fn draw() -> Self {
        let mut kills = Self { draw: RandomState::new(), done: 0, next: 0 };
        kills.set_next(0);
        kills
    }

    fn set_next(&mut self, written: usize) {
        let between = 2 * FILES * LINES / (KILLS + 1);
        let drawn = usize::try_from(self.draw.hash_one(self.done) % between as u64).expect("a short wait");
        self.next = written + 1 + drawn;
    }

    fn due(&mut self, written: usize) -> Option<&'static str> {
        const VICTIMS: [&str; 5] = ["host-1", "buck-1", "buck-2", "buck-3", "porter-1"];
        // Whatever was drawn, everyone is killed once.
        let at_the_latest = FILES * LINES * (self.done + 1) / (VICTIMS.len() + 1);
        if written < self.next.min(at_the_latest) || written == FILES * LINES {
            return None;
        }
        self.done += 1;
        self.set_next(written);
        eprintln!("after {written} lines {} is killed", VICTIMS[self.done % VICTIMS.len()]);
        Some(VICTIMS[self.done % VICTIMS.len()])
    }
}

/// Writes round robin, so that all files grow at once, and says how many lines there are.
fn write_all(logs: &Path, mut wrote: impl FnMut(usize, &mut [BufWriter<File>])) {
    let path = |file: usize| logs.join(format!("app-{file}.log"));
    let mut files: Vec<BufWriter<File>> = (0..FILES).map(|file| open(&path(file))).collect();
    for number in 0..LINES {
        for file in 0..FILES {
            let log = &mut files[file];
            if number > 0 && number.is_multiple_of(ROTATE_EVERY) {
                log.flush().expect("room");
                rotate(&path(file));
                *log = open(&path(file));
            }
            log.write_all(line(file, number).as_bytes()).expect("room");
            log.write_all(b"\n").expect("room");
            wrote(number * FILES + file + 1, &mut files);
        }
    }
}

fn open(path: &Path) -> BufWriter<File> {
    BufWriter::with_capacity(8 << 10, OpenOptions::new().create(true).append(true).open(path).expect("a log"))
}

fn rotate(path: &Path) {
    let numbered = |number: usize| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..LINES / ROTATE_EVERY).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    fs::rename(path, numbered(1)).expect("a log to rotate");
}

/// File 0 jumps back and forth by an hour, file 1 has no stamps, every third line of file 2 is the same.
fn line(file: usize, number: usize) -> String {
    let second = number / 100 % 60;
    let hour = if file == 0 { 10 + number % 2 } else { 10 };
    let stamp = format!("2026-11-20T{hour:02}:{:02}:{second:02}.{:03}Z", number / 6000, number % 1000);
    match file {
        1 => format!("unstamped line {number} of a program that does not care"),
        2 if number.is_multiple_of(3) => "the same line again".to_owned(),
        _ => {
            format!("{stamp} host-1 app[{}]: INFO request {file}-{number} done in {} ms", 1000 + file, number * 7 % 911)
        }
    }
}

/// Streams come one after another, offsets rise, and each file's streams together are its lines.
fn check_exact(events: &[Value]) {
    let mut streams: Vec<(String, Vec<(u64, String)>)> = Vec::new();
    for event in events {
        let id = event["s"].as_str().expect("a stream").to_owned();
        let line = (event["o"].as_u64().expect("an offset"), event["m"].as_str().expect("text").to_owned());
        match streams.last_mut() {
            Some((last, lines)) if *last == id => lines.push(line),
            _ => streams.push((id, vec![line])),
        }
    }
    let names: BTreeSet<&String> = streams.iter().map(|(id, _)| id).collect();
    assert_eq!(names.len(), streams.len(), "each stream's lines stand together");
    assert_eq!(streams.len(), FILES * LINES / ROTATE_EVERY, "one stream a life of a file");
    let mut expected = expected_streams();
    for (id, lines) in streams {
        let mut end = 0;
        for (offset, line) in &lines {
            assert_eq!(*offset, end, "stream {id} has no holes and no overlaps");
            end += line.len() as u64 + 1;
        }
        let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        let count = expected.get_mut(&text).unwrap_or_else(|| panic!("stream {id} is no file: {:?}", &text[..3]));
        assert!(*count > 0, "stream {id} came twice");
        *count -= 1;
    }
    assert!(expected.values().all(|count| *count == 0));
}

/// What each life of each file held, and how many held just that.
fn expected_streams() -> BTreeMap<Vec<String>, u32> {
    let mut expected = BTreeMap::new();
    for file in 0..FILES {
        for life in 0..LINES / ROTATE_EVERY {
            let lines = (life * ROTATE_EVERY..(life + 1) * ROTATE_EVERY).map(|number| line(file, number));
            *expected.entry(lines.collect()).or_insert(0) += 1;
        }
    }
    expected
}
