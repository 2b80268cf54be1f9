//! How quickly found: candidate rates of what is absent, and the time of searches and counts.

use crate::corpus::{Corpus, Dice, write};
use crate::{row, timed};
use porter::block::search::{Steps, count, histogram};
use porter::block::{Ask, Candidates, Opened, Profile, Search, context};
use proto::message::SearchOrder;
use proto::query::{Query, TimeRange, parse};
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

pub fn run(corpus: &Corpus) {
    let events = corpus.events();
    let recent = write(&events, Profile::Recent).bytes;
    let archive = write(&events, Profile::Archive).bytes;
    absent(&recent, "128 KiB pages", [0.1, 2.0, 1.0]);
    absent(&archive, "1 MiB pages", [1.0, 10.0, 5.0]);
    times(&recent);
}

fn absent(bytes: &[u8], pages: &str, targets: [f64; 3]) {
    let opened = Opened::open(bytes).expect("just written");
    let mut dice = Dice(9);
    let mut needles: [Vec<String>; 3] = [const { Vec::new() }; 3];
    for _ in 0..100 {
        needles[0].push(format!("{:012x}", dice.below(1 << 48)));
        needles[1].push(format!("{}", 100_000_000 + dice.below(900_000_000)));
        needles[2].push(format!(
            "{}.{}.{}.{}",
            10 + dice.below(200),
            dice.below(256),
            dice.below(256),
            1 + dice.below(254)
        ));
    }
    for ((needles, target), what) in needles.iter().zip(targets).zip(["hex-12", "9-digit", "IPv4"]) {
        let found: usize = needles.iter().map(|needle| candidates(&opened, bytes, needle)).sum();
        let share = 100.0 * found as f64 / (needles.len() * opened.pages.len()) as f64;
        let name = format!("candidate pages, absent {what}, {pages} <= {target} %");
        row(&name, &format!("{share:.3} %"), share <= target);
    }
}

fn query(text: &str) -> Query {
    parse(text).expect("a query")
}

fn candidates(opened: &Opened, bytes: &[u8], text: &str) -> usize {
    Candidates::find(opened, bytes, &query(text), TimeRange::ALL).map_or(0, |found| found.pages.len())
}

/// Times are for what the corpus has, and beside them for a gibibyte of the same on two cores.
fn times(bytes: &[u8]) {
    let (opened, seconds) = timed(|| Opened::open(bytes).expect("just written"));
    let gib = (1u64 << 30) as f64 / opened.head.raw_bytes as f64;
    println!("open: {:.2} ms for {} bytes of file", seconds * 1e3, bytes.len());
    let show = |name: &str, limit: f64, seconds: f64, cores: f64, what: String| {
        let whole = seconds * 1e3 * gib / cores;
        row(
            &format!("{name} <= {limit} ms on 1 GiB"),
            &format!("{whole:.1} ms ({:.2} cpu-ms here; {what})", seconds * 1e3),
            whole <= limit,
        );
    };
    let counted = |text: &str| timed(|| count(&opened, bytes, &query(text), TimeRange::ALL, &GO).unwrap_or(0));
    for (name, limit, text) in [
        ("absent substring", 10.0, "6f1ed002ab5595"),
        ("absent word", 10.0, "qzxjvkw"),
        ("count of a word", 120.0, "failed"),
        ("alternation", 250.0, "/refused|timed? ?out/"),
        ("regex without a literal", 2000.0, r"/\d\d:\d\d [^ ]+x/"),
        ("word in many lines", 1000.0, "info"),
    ] {
        let (found, seconds) = counted(text);
        show(name, limit, seconds, 2.0, format!("{text}: {found} of {} lines", opened.head.lines));
    }
    let steps = Steps { range: TimeRange::ALL, nanos: 60_000_000_000 };
    let (counts, seconds) = timed(|| histogram(&opened, bytes, &query(""), steps, &GO).unwrap_or_default());
    show("histogram of everything", 5.0, seconds, 1.0, format!("{} bars", counts.len()));
    let ask = Ask { order: SearchOrder::Newest, limit: Some(100), ..Ask::all(query("error")) };
    let (found, seconds) = timed(|| last(&opened, bytes, ask));
    row("last 100 of a word <= 10 ms", &format!("{:.2} cpu-ms, {found} lines", seconds * 1e3), seconds <= 0.01);
    let name = opened.streams[opened.streams.len() / 2];
    let (lines, seconds) = timed(|| context::context(&opened, bytes, name, 5000, 5, 5).map_or(0, |c| c.after.len()));
    row("five lines around a hit <= 5 ms", &format!("{:.2} cpu-ms, {lines} after", seconds * 1e3), seconds <= 0.005);
}

fn last(opened: &Opened, bytes: &[u8], ask: Ask) -> usize {
    let Ok(candidates) = Candidates::find(opened, bytes, &ask.query, ask.range) else { return 0 };
    let mut search = Search::new(opened, ask, &candidates);
    let mut found = 0;
    while let Ok(Some(_)) = search.next(opened, bytes, &GO) {
        found += 1;
    }
    found
}
