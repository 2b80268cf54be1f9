//! How small: pages, index and directory beside what zstd and xz make of the same lines.

use crate::corpus::{Corpus, LogFile, events_of, write};
use crate::row;
use porter::block::Profile;
use proto::squeeze::squeeze;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

pub fn run(corpus: &Corpus) {
    by_format(corpus);
    whole(corpus);
}

fn by_format(corpus: &Corpus) {
    let mut formats: BTreeMap<&str, Vec<&LogFile>> = BTreeMap::new();
    for file in &corpus.files {
        formats.entry(&file.format).or_default().push(file);
    }
    println!("format | raw | zstd -19 | xz -6 | recent | archive | archive pages / zstd -19");
    let (mut better, mut worst, mut formats_of_loghub) = (0, f64::MAX, 0);
    for (format, files) in formats {
        let raw: usize = files.iter().map(|file| file.bytes.len()).sum();
        let zstd: usize = files.iter().map(|file| squeeze(&file.bytes, 19).len()).sum();
        let xz: usize = files.iter().map(|file| piped("xz", &["-6", "-c"], &file.bytes)).sum();
        let events: Vec<_> =
            files.iter().enumerate().flat_map(|(number, file)| events_of(file, number as u32)).collect();
        let recent = write(&events, Profile::Recent);
        let archive = write(&events, Profile::Archive);
        let gain = zstd as f64 / archive.summary.page_bytes as f64;
        let ratio = |bytes: u64| raw as f64 / bytes.max(1) as f64;
        println!(
            "{format} | {raw} | {:.2} | {:.2} | {:.2} | {:.2} | {gain:.3}",
            ratio(zstd as u64),
            ratio(xz as u64),
            ratio(recent.bytes.len() as u64),
            ratio(archive.bytes.len() as u64),
        );
        if format.starts_with("loghub") || corpus.made_up {
            formats_of_loghub += 1;
            better += usize::from(gain >= 1.25);
            worst = worst.min(gain);
        }
    }
    let wanted = formats_of_loghub * 3 / 4;
    row(
        "archive pages >= 1.25x zstd -19 on three quarters of the formats",
        &format!("{better} of {formats_of_loghub}"),
        better >= wanted,
    );
    row("archive pages never < 0.98x zstd -19", &format!("{worst:.3}x"), worst >= 0.98);
}

/// Bytes a program makes of its input.
fn piped(program: &str, args: &[&str], input: &[u8]) -> usize {
    let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return 0 };
    let mut stdin = child.stdin.take().expect("it was piped");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().map_or(0, |output| output.stdout.len())
    })
}

/// Everything in one block, beside zstd -19 over mebibytes of it in the order of time.
fn whole(corpus: &Corpus) {
    let mut events = corpus.events();
    let recent = write(&events, Profile::Recent);
    events.sort_by_key(|event| event.borrow().order());
    let mut page = Vec::new();
    let mut zstd = 0;
    for event in &events {
        page.extend_from_slice(&event.line);
        page.push(b'\n');
        if page.len() >= 1 << 20 {
            zstd += squeeze(&page, 19).len();
            page.clear();
        }
    }
    zstd += squeeze(&page, 19).len();
    let raw = recent.summary.raw_bytes as f64;
    row(
        "recent block with index <= zstd -19 over 1 MiB in time order",
        &format!("{:.2}x against {:.2}x", raw / recent.bytes.len() as f64, raw / zstd as f64),
        recent.bytes.len() <= zstd,
    );
    let share = 100.0 * recent.summary.index_bytes as f64 / raw;
    row("index <= 3.5 % of raw, recent", &format!("{share:.2} %"), share <= 3.5);
    let archive = write(&events, Profile::Archive);
    let share = 100.0 * archive.summary.index_bytes as f64 / raw;
    row("index <= 2 % of raw, archive", &format!("{share:.2} %"), share <= 2.0);
    let directory = (recent.bytes.len() as u64).saturating_sub(recent.summary.page_bytes + recent.summary.index_bytes);
    println!(
        "recent: pages {}, index {}, directory {directory} bytes; archive: pages {}, index {}",
        recent.summary.page_bytes, recent.summary.index_bytes, archive.summary.page_bytes, archive.summary.index_bytes
    );
}
