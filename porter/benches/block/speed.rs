//! How fast: writing, indexing alone, reading everything back.

use crate::corpus::{Corpus, write};
use crate::{row, timed};
use porter::block::index::IndexBuilder;
use porter::block::page::PageReader;
use porter::block::{Opened, Profile};
use proto::event::OwnedEvent;

/// Writing a recent block, again and again: what a profiler should see, and how much the figure wavers.
pub fn write_again(corpus: &Corpus, times: usize) {
    let events = corpus.events();
    let raw = events.iter().map(|event| event.line.len() + 1).sum::<usize>() as f64 / 1e6;
    let rate = || raw / timed(|| write(&events, Profile::Recent)).1;
    let mut rates: Vec<f64> = (0..times.max(1)).map(|_| rate()).collect();
    rates.sort_by(f64::total_cmp);
    let (least, middle, most) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    let figure = format!("{middle:.1} MB/s ({least:.1} to {most:.1} of {times})");
    row("write Recent >= 40 MB/s/core", &figure, middle >= 40.0);
}

pub fn run(corpus: &Corpus) {
    let mut events = Vec::new();
    let mut bytes = 0;
    while bytes < 16 << 20 {
        events = corpus.events();
        bytes += corpus.bytes();
    }
    let raw = events.iter().map(|event| event.line.len() + 1).sum::<usize>() as f64 / 1e6;
    for (profile, target) in [(Profile::Recent, 40.0), (Profile::Archive, 15.0)] {
        let (written, seconds) = timed(|| write(&events, profile));
        let name = format!("write {profile:?} >= {target} MB/s/core");
        row(&name, &format!("{:.1} MB/s", raw / seconds), raw / seconds >= target);
        let all = written.summary.at_level.values().sum::<u64>() as f64;
        let at = |(level, bytes): (&i32, &u64)| format!("{level}: {:.1} %", 100.0 * *bytes as f64 / all);
        let shares: Vec<_> = written.summary.at_level.iter().map(at).collect();
        println!("frames are {:.1} % of raw; squeezed at level {}", all / raw / 1e4, shares.join(", "));
        let opened = Opened::open(&written.bytes[..]).expect("it was just written");
        let (read, seconds) = timed(|| {
            let mut reader = PageReader::default();
            let mut text = |number| {
                let bytes = opened.fetch_pages(&written.bytes[..], &[number]).expect("it was just written");
                reader.read(&opened, number, &bytes[0]).map_or(0, |page| page.text().len())
            };
            (0..opened.page_count()).map(&mut text).sum::<usize>()
        });
        let name = format!("read everything back, {profile:?} >= 400 MB/s/core");
        row(&name, &format!("{:.0} MB/s of {read}", raw / seconds), raw / seconds >= 400.0);
    }
    let (keys, seconds) = timed(|| index(&events));
    row("index alone >= 100 MB/s/core", &format!("{:.0} MB/s, {keys} grams", raw / seconds), raw / seconds >= 100.0);
}

fn index(events: &[OwnedEvent]) -> usize {
    let mut builder = IndexBuilder::default();
    let mut bytes = 0;
    for event in events {
        builder.piece(&event.line);
        builder.end_line();
        bytes += event.line.len();
        if bytes >= 128 << 10 {
            builder.end_page();
            bytes = 0;
        }
    }
    builder.end_page();
    builder.finish().keys
}
