//! What a block costs and how fast it is, beside zstd and xz: `cargo bench -p porter --bench block`.
//!
//! Every row reads: target, figure, PASS or MISS. Times are processor time of this thread, so that a busy machine
//! changes little. With `TAILBUCK_CORPUS` naming a folder of log files, those are read (every file a stream, every
//! folder below the first a format); without, lines are made up, among them repeats, lines without a stamp, lines
//! over 64 KiB, NULs, CRLF and invalid UTF-8.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "known sizes")]

mod corpus;
mod ratios;
mod search;
mod speed;
mod store;

use corpus::Corpus;

fn main() {
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')).unwrap_or_default();
    let corpus = Corpus::load();
    println!("{corpus}, commit {}", corpus::commit());
    println!("target | figure | |");
    if only.is_empty() || only == "ratios" {
        ratios::run(&corpus);
    }
    match only.as_str() {
        "whole" => ratios::whole(&corpus),
        "files" => ratios::by_file(&corpus),
        "sizes" => ratios::sizes(&corpus),
        "write" => {
            let times = std::env::args().nth(2).and_then(|times| times.parse().ok());
            speed::write_again(&corpus, times.unwrap_or(5));
        }
        _ => {}
    }
    if only.is_empty() || only == "speed" {
        speed::run(&corpus);
    }
    if only.is_empty() || only == "rates" {
        search::rates(&corpus);
    }
    if only.is_empty() || only == "search" {
        let [size, how, parts] = [2, 3, 4].map(|place| std::env::args().nth(place));
        let size = size.and_then(|size| size.parse().ok()).unwrap_or(1.0);
        match how.as_deref() {
            Some("make") => search::make(&corpus, size, parts.and_then(|parts| parts.parse().ok()).unwrap_or(1)),
            how => search::run(&corpus, size, how != Some("alone")),
        }
    }
}

/// A row of the table. `good` says whether the target is met.
pub fn row(target: &str, figure: &str, good: bool) {
    println!("{target} | {figure} | {}", if good { "PASS" } else { "MISS" });
}

/// Seconds of processor this thread has used.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// What `work` gives, and the processor seconds it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu_seconds();
    let result = work();
    (result, (cpu_seconds() - before).max(1e-9))
}
