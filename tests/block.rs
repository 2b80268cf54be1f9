//! Block files by hand: what is packed comes back to the byte, is found as `grep` finds it, and damage is named.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{Dir, run, tailbuck, text};

fn block(words: &[&str]) -> Output {
    run(tailbuck().args(["porter", "block"]).args(words))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Packs files that hold these bytes.
fn packed(dir: &Dir, files: &[(&str, Vec<u8>)], more: &[&str]) -> PathBuf {
    let out = dir.join("x.tbk");
    let paths: Vec<String> = files.iter().map(|(name, _)| shown(&dir.join(name))).collect();
    for ((_, bytes), path) in files.iter().zip(&paths) {
        fs::write(path, bytes).expect("a log file");
    }
    let mut words = vec!["pack"];
    words.extend(paths.iter().map(String::as_str));
    let out_text = shown(&out);
    words.extend(["-o", &out_text]);
    words.extend(more);
    let output = block(&words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    out
}

/// Some thousand lines of a few kinds, the same every time.
fn content(kind: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in 0..6000usize {
        let mixed = line.wrapping_mul(2_654_435_761) >> 3;
        let said = match (line + kind) % 5 {
            0 => format!("2026-11-21 10:{:02}:{:02} ERROR request {mixed:x} of Zoë failed", line / 60 % 60, line % 60),
            1 => format!("GET /items/{} HTTP/1.1 200 {}", mixed % 997, mixed % 90_000),
            2 => format!("10.0.{}.{} - refused, timed out after {} ms\r", mixed % 4, mixed % 251, mixed % 1000),
            3 => String::new(),
            _ => format!("worker {} is idle", mixed % 17),
        };
        bytes.extend_from_slice(said.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn what_is_packed_comes_back_to_the_byte() {
    let long = [vec![b'a'; 65_536], vec![b'b'; 140_000]].concat();
    let odd = [&b"\0 nul\0\0\n"[..], &[0; 40], b"\r\nbad \xff\xfe\n\n", &long, b"\nno newline at the end"].concat();
    let cases: [(&str, Vec<u8>); 6] = [
        ("odd", odd),
        ("empty", Vec::new()),
        ("newline", b"\n".to_vec()),
        ("nuls", vec![0; 100_000]),
        ("full", vec![b'x'; 65_535]),
        ("plain", content(0)),
    ];
    for (name, bytes) in cases {
        for more in [&[][..], &["--archive"]] {
            let dir = Dir::new("block-cat");
            let path = packed(&dir, &[("a.log", bytes.clone())], more);
            let output = block(&["cat", &shown(&path)]);
            assert!(output.status.success(), "{name}: {}", text(&output.stderr));
            assert!(output.stdout == bytes, "{name} {more:?}: other bytes came back");
            assert!(block(&["verify", &shown(&path)]).status.success(), "{name}");
        }
    }
}

#[test]
fn files_come_back_one_after_another() {
    let dir = Dir::new("block-many");
    let path = packed(&dir, &[("b.log", content(1)), ("a.log", content(2)), ("c.log", content(3))], &[]);
    let output = block(&["cat", &shown(&path)]);
    assert!(output.stdout == [content(2), content(1), content(3)].concat());
    let stat = text(&block(&["stat", &shown(&path)]).stdout);
    for word in ["recent", "18000 lines", "3 streams", "pages TMPL", "index, ", "filter", "100.00 %"] {
        assert!(stat.contains(word), "{word} in {stat}");
    }
}

#[test]
fn search_finds_what_grep_finds() {
    let dir = Dir::new("block-grep");
    let bytes = content(0);
    let path = packed(&dir, &[("a.log", bytes.clone())], &[]);
    let mut needles: Vec<String> =
        ["error", "GET /items/9", "timed out", "10.0.3.", "zoë", "is idle", "ms\r", "no such thing", "7", "er 1"]
            .map(str::to_owned)
            .to_vec();
    let whole = text(&bytes);
    let letters: Vec<char> = whole.chars().collect();
    for draw in 0..60usize {
        let at = draw * 7919 % (letters.len() - 20);
        let needle: String = letters[at..at + 2 + draw % 12].iter().collect();
        if !needle.contains(['\n', '"', '\\', '\r']) && !needle.trim().is_empty() {
            needles.push(needle);
        }
    }
    for needle in needles {
        let mut grep = Command::new("grep");
        grep.env("LC_ALL", "C").args(["-a", "-F", "-i", "--", &needle]).arg(dir.join("a.log"));
        let expected = run(&mut grep);
        let query = format!("\"{needle}\"");
        let found = block(&["search", &shown(&path), &query]);
        assert_eq!(found.status.code(), expected.status.code(), "{needle:?}: {}", text(&found.stderr));
        assert!(found.stdout == expected.stdout, "{needle:?}: {} is not grep's", text(&found.stdout));
        let lines = expected.stdout.iter().filter(|&&byte| byte == b'\n').count();
        let counted = block(&["search", &shown(&path), &query, "--count"]);
        assert_eq!(text(&counted.stdout), format!("{lines}\n"), "{needle:?}");
        assert_eq!(counted.status.code(), expected.status.code(), "{needle:?}");
        let some = block(&["search", &shown(&path), &query, "--limit", "3"]);
        assert_eq!(some.stdout.split(|&byte| byte == b'\n').count() - 1, lines.min(3), "{needle:?}");
    }
}

#[test]
fn a_flipped_byte_is_named_and_the_rest_is_read() {
    let dir = Dir::new("block-flip");
    let path = packed(&dir, &[("a.log", content(0)), ("b.log", content(1))], &[]);
    let good = fs::read(&path).expect("just written");
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).expect("a damaged block");
        let output = block(&["verify", &shown(&path)]);
        assert_eq!(output.status.code(), Some(1), "byte {at}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let length = good.len();
    let names = [(0, "beginning"), (20, "page 0 "), (length - 40, "footer"), (length - 300, "filter")];
    for (at, name) in names {
        let said = flipped(at);
        assert!(said.contains(name) && said.lines().count() == 1, "byte {at}: {name} in {said}");
    }
    for at in (0..length).step_by(length / 40) {
        let said = flipped(at);
        assert!(said.contains("is damaged"), "byte {at}: {said}");
    }
    flipped(20);
    let searched = block(&["search", &shown(&path), "items"]);
    let said = text(&searched.stderr);
    assert_eq!(searched.status.code(), Some(2));
    assert!(said.contains("page 0 of the block is damaged"), "{said}");
    assert!(searched.stdout.split(|&byte| byte == b'\n').count() > 1000, "the other pages are still searched");
}

#[test]
fn bad_input_is_one_clear_sentence() {
    let dir = Dir::new("block-bad");
    let path = packed(&dir, &[("a.log", content(0))], &[]);
    let check = |words: &[&str], part: &str| {
        let output = block(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(part) && said.lines().count() == 1, "{words:?}: {said}");
    };
    let (log, none, folder) = (shown(&dir.join("a.log")), shown(&dir.join("none")), shown(dir.path()));
    check(&["cat", &log], "a.log: not a block");
    check(&["verify", &log], "a.log: not a block");
    check(&["stat", &none], &none);
    check(&["cat", &folder], "not a file");
    check(&["pack", &none, "-o", &shown(&dir.join("y.tbk"))], &none);
    check(&["pack", &log, "-o", &shown(&dir.join("no/y.tbk"))], "y.tbk");
    check(&["search", &shown(&path), "\"open"], "query");
    let cut = fs::read(&path).expect("a block");
    fs::write(&path, &cut[..cut.len() / 2]).expect("half a block");
    check(&["search", &shown(&path), "x"], "not a block");
}
