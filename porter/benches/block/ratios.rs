//! How small: pages, index and directory beside what zstd and xz make of the same lines.

use crate::corpus::{Corpus, LogFile, events_of, through, write};
use crate::row;
use porter::block::parts::shares;
use porter::block::{Opened, Profile, Written};
use proto::squeeze::squeeze;
use std::collections::BTreeMap;

pub fn run(corpus: &Corpus) {
    by_format(corpus);
    by_file(corpus);
    whole(corpus);
}

fn by_format(corpus: &Corpus) {
    let mut formats: BTreeMap<&str, Vec<&LogFile>> = BTreeMap::new();
    for file in &corpus.files {
        formats.entry(&file.format).or_default().push(file);
    }
    println!("format | raw | zstd -3 --long | zstd -19 | xz -6 | recent | archive | archive pages / zstd -19");
    for (format, files) in formats {
        let raw: usize = files.iter().map(|file| file.bytes.len()).sum();
        let of = |squeezed: fn(&[u8]) -> usize| files.iter().map(|file| squeezed(&file.bytes)).sum::<usize>();
        let zstd = of(|bytes| squeeze(bytes, 19).len());
        let quick = of(|bytes| through("zstd", &["-3", "--long", "-c"], bytes).len());
        let xz = of(|bytes| through("xz", &["-6", "-c"], bytes).len());
        let events: Vec<_> =
            files.iter().enumerate().flat_map(|(number, file)| events_of(file, number as u32)).collect();
        let recent = write(&events, Profile::Recent);
        let archive = write(&events, Profile::Archive);
        let ratio = |bytes: usize| raw as f64 / bytes.max(1) as f64;
        println!(
            "{format} | {raw} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.3}",
            ratio(quick),
            ratio(zstd),
            ratio(xz),
            ratio(recent.bytes.len()),
            ratio(archive.bytes.len()),
            zstd as f64 / archive.summary.page_bytes as f64,
        );
    }
}

/// Files below this are a page's worth of nothing: what a page says of its events outweighs them.
const SMALL_BYTES: usize = 64 << 10;

/// Each file in a block of its own, beside zstd -19 of the whole file.
pub fn by_file(corpus: &Corpus) {
    let gain = |file| {
        let pages = write(&events_of(file, 0), Profile::Archive).summary.page_bytes;
        (squeeze(&file.bytes, 19).len() as f64 / pages.max(1) as f64, file)
    };
    let mut gains: Vec<(f64, &LogFile)> = corpus.files.iter().map(gain).collect();
    gains.sort_by(|a, b| a.0.total_cmp(&b.0));
    let counted = |file: &LogFile| file.format.starts_with("loghub ") || corpus.made_up;
    let of_loghub: Vec<f64> = gains.iter().filter(|(_, file)| counted(file)).map(|(gain, _)| *gain).collect();
    let better = of_loghub.iter().filter(|gain| **gain >= 1.25).count();
    row(
        "archive pages >= 1.25x zstd -19 on three quarters of the formats of loghub",
        &format!("{better} of {}", of_loghub.len()),
        better >= of_loghub.len() * 3 / 4,
    );
    let worst = of_loghub.first().copied().unwrap_or(1.0);
    row("archive pages never < 0.98x zstd -19, loghub", &format!("{worst:.3}x"), worst >= 0.98);
    let large = |file: &LogFile| file.bytes.len() >= SMALL_BYTES;
    for (name, of) in [("of 64 KiB and more", true), ("smaller", false)] {
        let some: Vec<_> = gains.iter().filter(|(_, file)| large(file) == of).collect();
        let Some((worst, file)) = some.first() else { continue };
        let below = some.iter().filter(|(gain, _)| *gain < 0.98).count();
        let middle = some[some.len() / 2].0;
        row(
            &format!("archive pages never < 0.98x zstd -19, files {name}"),
            &format!(
                "{worst:.3}x ({} of {} KiB), {below} of {} below, median {middle:.3}x",
                file.format,
                file.bytes.len() >> 10,
                some.len()
            ),
            *worst >= 0.98,
        );
        for (gain, file) in some.iter().take(if of { below } else { 0 }) {
            println!("  {gain:.3}x: {} of {} KiB", file.format, file.bytes.len() >> 10);
        }
    }
}

/// Everything in one block, beside zstd -19 over mebibytes of it in the order of time.
pub fn whole(corpus: &Corpus) {
    let mut events = corpus.events();
    let recent = write(&events, Profile::Recent);
    let archive = write(&events, Profile::Archive);
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
    parts(&[(&recent, "recent", 3.5), (&archive, "archive", 2.0)]);
}

/// Sizes alone, with nothing beside them.
pub fn sizes(corpus: &Corpus) {
    let events = corpus.events();
    parts(&[(&write(&events, Profile::Recent), "recent", 3.5), (&write(&events, Profile::Archive), "archive", 2.0)]);
}

fn parts(blocks: &[(&Written, &str, f64)]) {
    for (written, name, most) in blocks {
        let raw = written.summary.raw_bytes as f64;
        println!("{name} block with index: {:.2}x, {} bytes", raw / written.bytes.len() as f64, written.bytes.len());
        let share = 100.0 * written.summary.index_bytes as f64 / raw;
        row(&format!("index <= {most} % of raw, {name}"), &format!("{share:.2} %"), share <= *most);
    }
    for (written, name, _) in blocks {
        where_it_went(written, name, written.summary.raw_bytes as f64);
    }
}

fn where_it_went(written: &Written, name: &str, raw: f64) {
    println!("where the bytes of the {name} block went | count | bytes | % of raw");
    let opened = Opened::open(&written.bytes[..]).expect("just written");
    for share in shares(&opened, &written.bytes[..]).expect("just written") {
        println!("{} | {} | {} | {:.3}", share.name, share.count, share.bytes, 100.0 * share.bytes as f64 / raw);
    }
}
