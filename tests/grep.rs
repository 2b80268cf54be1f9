//! 500 needles find what `grep` finds: before, while and after a bucket is ported.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Dir, Running, find_file, run, tailbuck, text, wait_for};

const NEEDLES: usize = 500;

/// A small generator, so that a run can be repeated; the seed is printed.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % below as u64).expect("below a usize")
    }
}

#[test]
fn needles_are_found_as_grep_finds_them() {
    let dir = Dir::new("grep");
    let log = dir.join("app.log");
    let content = content();
    fs::write(&log, &content).expect("a log");
    let seed = std::env::var("TAILBUCK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("TAILBUCK_SEED={seed}");
    let mut draw = Draw(seed);
    let needles: Vec<Vec<u8>> = (0..NEEDLES).map(|_| needle(&mut draw, &content)).collect();
    let data = dir.join("data");
    let words = ["up", &log.display().to_string(), "--data", &data.display().to_string()];
    let mut up =
        Running::start(&[&words[..], &["--web", "127.0.0.1:0", "--bucket", "15s"]].concat(), &dir.join("up.log"));
    up.wait_for_line(|line| line.contains("http://").then_some(()));
    let lines = content.iter().filter(|byte| **byte == b'\n').count();
    wait_for("every line to be found", || (found(&data, "").len() == lines).then_some(()));
    let third = NEEDLES / 3;
    needles[..third].iter().for_each(|needle| check(&data, &log, needle));
    let mut meanwhile = needles[third..2 * third].iter().cycle();
    wait_for("a block", || {
        meanwhile.by_ref().take(third / 2).for_each(|needle| check(&data, &log, needle));
        find_file(&data, "tbk").then_some(())
    });
    needles.iter().for_each(|needle| check(&data, &log, needle));
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

/// Lines of many kinds: words, numbers, bytes that are no text, and three longer than one event may be.
fn content() -> Vec<u8> {
    let mut draw = Draw(42);
    let mut content = Vec::new();
    for number in 0..6000 {
        match draw.next(12) {
            0 => content
                .extend_from_slice(format!("{} {}", draw.next(1_000_000_000), draw.next(1_000_000_000)).as_bytes()),
            1 => content.extend((0..draw.next(80)).map(|_| u8::try_from(draw.next(255)).expect("a byte").max(11))),
            2 => {}
            3 => content.extend_from_slice(b"the same line again"),
            _ => content.extend_from_slice(
                format!(
                    "2026-11-20T10:{:02}:{:02}Z web{} app[{}]: {} user={} from 10.0.{}.{} took {} ms",
                    draw.next(60),
                    draw.next(60),
                    draw.next(9),
                    draw.next(30_000),
                    ["INFO request done", "Connection RESET by peer", "ERROR upstream timed out"][draw.next(3)],
                    draw.next(5000),
                    draw.next(256),
                    draw.next(256),
                    draw.next(4000)
                )
                .as_bytes(),
            ),
        }
        if number % 2000 == 1000 {
            let length = 65_535 * 2 + draw.next(3) * 1000;
            content.extend((0..length).map(|at| b"0123456789abcdef:/ ="[(at * 7 + at / 19 + number) % 20]));
        }
        content.push(b'\n');
    }
    content
}

/// 1 to 64 bytes of one line, in some other case; or, three times in ten, bytes that are nowhere.
fn needle(draw: &mut Draw, content: &[u8]) -> Vec<u8> {
    let length = draw.next(64) + 1;
    if draw.next(10) < 3 {
        let digits = draw.next(2) == 0;
        return (0..length.max(9))
            .map(|_| {
                if digits {
                    b'0' + u8::try_from(draw.next(10)).expect("a digit")
                } else {
                    b'a' + u8::try_from(draw.next(26)).expect("a letter")
                }
            })
            .collect();
    }
    loop {
        let at = near(draw, content);
        let Some(bytes) = content.get(at..at + length) else { continue };
        if !bytes.contains(&b'\n') && !bytes.contains(&0) {
            let flip = draw.next(3) == 0;
            return bytes.iter().map(|byte| if flip { byte.to_ascii_uppercase() } else { *byte }).collect();
        }
    }
}

/// Anywhere, and one time in ten just before a cut of a long line.
fn near(draw: &mut Draw, content: &[u8]) -> usize {
    if draw.next(10) > 0 {
        return draw.next(content.len());
    }
    let long = content.split(|byte| *byte == b'\n').find(|line| line.len() > 65_535).expect("a long line");
    let start = long.as_ptr() as usize - content.as_ptr() as usize;
    start + 65_535 - draw.next(40) - 1
}

fn check(data: &Path, log: &Path, needle: &[u8]) {
    let mut expected = grep(log, needle);
    let query = query_for(needle);
    let mut found = found(data, &query);
    expected.sort();
    found.sort();
    assert!(found == expected, "{query}: {} lines, grep has {}", found.len(), expected.len());
}

fn grep(log: &Path, needle: &[u8]) -> Vec<Vec<u8>> {
    let words = [OsStr::new("-a"), OsStr::new("-F"), OsStr::new("-i"), OsStr::new("-e"), OsStr::from_bytes(needle)];
    let output = Command::new("grep").env("LC_ALL", "C").args(words).arg(log).output().expect("grep runs");
    lines(&output.stdout)
}

fn found(data: &Path, query: &str) -> Vec<Vec<u8>> {
    let times = ["--from", "1971-01-01", "--to", "2200-01-01", "--order", "file", "--data"];
    let output = run(tailbuck().args(["search", query]).args(times).arg(PathBuf::from(data)));
    // Nothing found is an error while somebody is not heard; what was found is judged here.
    let said = text(&output.stderr);
    assert!(output.status.code() != Some(2) || said.contains("is not known"), "{query}: {said}");
    lines(&output.stdout)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .strip_suffix(b"\n")
        .map_or(Vec::new(), |bytes| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}

/// A phrase where the needle is text, else a regex that spells its bytes.
fn query_for(needle: &[u8]) -> String {
    match std::str::from_utf8(needle) {
        Ok(words) if !words.chars().any(char::is_control) && words.is_ascii() => {
            format!("\"{}\"", words.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => format!("/{}/i", needle.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()),
    }
}
