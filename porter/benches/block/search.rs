//! How quickly found: candidate rates of what is absent; and a store of a gibibyte and more is searched, by us and,
//! in turn, by what Debian has for the same lines as plain or squeezed files.
//!
//! `cargo bench -p porter --bench block -- search 10` makes and searches ten gibibytes, `search 0.2` a fifth of one;
//! `search 1 alone` leaves the other programs out, and `search 10 make 8` makes eight more parts of such a store and
//! ends there. `rates` is of what is absent. Files are in the page cache, blocks'
//! directories in memory, as a porter holds them. Times are of the clock on two threads, medians; beside them
//! processor seconds, ours and of programs that were run.

use crate::corpus::{Corpus, Dice, commit, write};
use crate::row;
use crate::store::{Held, NEEDLE, Store, words_near};
use porter::block::beside::side_by_side_with;
use porter::block::count::{Hands, Steps, count_lines, histograms};
use porter::block::page::PageReader;
use porter::block::search::{Step, Uncounted, hits};
use porter::block::{Ask, Candidates, Opened, Profile, Search, context};
use proto::event::OwnedEvent;
use proto::message::SearchOrder;
use proto::query::{Query, TimeRange, parse};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

static GO: AtomicBool = AtomicBool::new(false);
const HANDS: Hands<'static> = Hands { threads: 2, cancel: &GO };
const RUNS: usize = 5;

/// Pages that are opened in vain.
pub fn rates(corpus: &Corpus) {
    let events = corpus.events();
    let events = &events[..events.len().min(400_000)];
    absent(&write(events, Profile::Recent).bytes, "128 KiB pages", [0.1, 2.0, 1.0]);
    absent(&write(events, Profile::Archive).bytes, "1 MiB pages", [1.0, 10.0, 5.0]);
}

/// Makes parts of a store in which nobody else is to search.
pub fn make(corpus: &Corpus, gibibytes: f64, parts: usize) {
    let is_whole = Store::make(corpus, tenths(gibibytes), parts, false).is_some();
    println!("{}", if is_whole { "the store is whole" } else { "parts are missing" });
}

fn tenths(gibibytes: f64) -> u64 {
    (gibibytes * 10.0) as u64
}

pub fn run(corpus: &Corpus, gibibytes: f64, beside_others: bool) {
    let Some(store) = Store::make(corpus, tenths(gibibytes), usize::MAX, beside_others) else { return };
    let (held, took) = clocked(|| store.parts.iter().map(crate::store::Part::open).collect::<Vec<_>>());
    let (raw, lines) = held
        .iter()
        .fold((0, 0), |(raw, lines), held| (raw + held.opened.head.raw_bytes, lines + held.opened.head.lines));
    let length: u64 = held.iter().map(|held| held.opened.length).sum();
    println!("store: {} blocks, {lines} lines, {raw} bytes raw, {length} as blocks; opened in {took}", held.len());
    let race = Race { store: &store, held: &held, lines, scale: (gibibytes).max(1.0), beside_others };
    race.counts();
    race.others();
}

fn absent(bytes: &[u8], pages: &str, targets: [f64; 3]) {
    let opened = Opened::open(bytes).expect("just written");
    let mut dice = Dice(9);
    let mut needles: [Vec<String>; 3] = [const { Vec::new() }; 3];
    for _ in 0..100 {
        needles[0].push(format!("{:012x}", dice.below(1 << 48)));
        needles[1].push(format!("{}", 100_000_000 + dice.below(900_000_000)));
        let mut byte = |below: u64| dice.below(below);
        needles[2].push(format!("{}.{}.{}.{}", 10 + byte(200), byte(256), byte(256), 1 + byte(254)));
    }
    for ((needles, target), what) in needles.iter().zip(targets).zip(["hex-12", "9-digit", "IPv4"]) {
        let candidates = |needle: &String| {
            Candidates::find(&opened, bytes, &query(needle), TimeRange::ALL).map_or(0, |found| found.pages.len())
        };
        let found: usize = needles.iter().map(candidates).sum();
        let share = 100.0 * found as f64 / (needles.len() * opened.pages.len()) as f64;
        let name = format!("candidate pages, absent {what}, {pages} <= {target} %");
        row(&name, &format!("{share:.3} %"), share <= target);
    }
}

fn query(text: &str) -> Query {
    parse(text).expect("a query")
}

/// Clock milliseconds and processor seconds of one run.
#[derive(Clone, Copy, Default)]
struct Took {
    ms: f64,
    cpu: f64,
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms {:.3} cpu-s", self.ms, self.cpu)
    }
}

fn clocked<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (begun, before) = (Instant::now(), process_seconds());
    let result = work();
    (result, Took { ms: begun.elapsed().as_secs_f64() * 1e3, cpu: process_seconds() - before })
}

/// Of this process and the children it waited for, in hundredths.
fn process_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(4);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The median of the clock, the mean of the processor.
fn middle(mut runs: Vec<Took>) -> Took {
    runs.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    let cpu = runs.iter().map(|run| run.cpu).sum::<f64>() / runs.len().max(1) as f64;
    Took { ms: runs.get(runs.len() / 2).map_or(0.0, |run| run.ms), cpu }
}

fn repeated<T>(runs: usize, mut work: impl FnMut() -> T) -> (T, Took) {
    let (mut result, first) = clocked(&mut work);
    let mut took = vec![first];
    for _ in 1..runs {
        let (again, run) = clocked(&mut work);
        result = again;
        took.push(run);
    }
    (result, middle(took))
}

/// What other programs are given: a needle to the byte, or a pattern.
enum Other {
    Fixed(String),
    Pattern(&'static str),
}

struct Race<'a> {
    store: &'a Store,
    held: &'a [Held],
    lines: u64,
    /// Targets are for a gibibyte; what grows may grow so many times.
    scale: f64,
    beside_others: bool,
}

impl Race<'_> {
    fn row(&self, name: &str, limit: f64, took: Took, more: &str, is_right: bool) {
        let wrong = if is_right { "" } else { ", COUNTS DIFFER" };
        let good = is_right && took.ms <= limit;
        let verdict = if good { "PASS" } else { "MISS" };
        println!("{name} <= {limit} ms | {took}{wrong}; {more} | {verdict} | {}", commit());
    }

    fn counts(&self) {
        let words = words_near(&self.store.parts[0].raw, &[0.04, 0.3]);
        let fixed = |text: &str| (format!("'{text}'"), Other::Fixed(text.to_owned()));
        let (rare, absent) = (fixed(NEEDLE), fixed("6f1ed002ab5595"));
        let (some, many) = (fixed(&words[0]), fixed(&words[1]));
        let either = ("/refused|timed? ?out/".to_owned(), Other::Pattern("refused|timed? ?out"));
        let bare = (r"/\d\d:\d\d [^ ]+x/".to_owned(), Other::Pattern("[0-9][0-9]:[0-9][0-9] [^ ]+x"));
        let scale = self.scale;
        self.count("rare substring", 10.0 * scale.sqrt(), &rare);
        self.count("absent substring", 10.0 * scale.sqrt(), &absent);
        self.count("absent number", 10.0 * scale, &fixed("731905824"));
        self.count("a word of about 4 % of lines, counted", 120.0 * scale, &some);
        self.count("a word of about 30 % of lines, counted", 1000.0 * scale, &many);
        self.count("two-way alternation", 250.0 * scale, &either);
        self.count("regex without a literal", 2000.0 * scale, &bare);
    }

    fn count(&self, name: &str, limit: f64, (text, other): &(String, Other)) {
        let query = query(text);
        let blocks: Vec<_> = self.held.iter().map(|held| (&held.opened, &held.file)).collect();
        let (pages, bytes) = blocks
            .iter()
            .filter_map(|(opened, file)| Uncounted::find(opened, *file, &query, TimeRange::ALL).ok())
            .map(|left| left.candidates)
            .fold((0, 0), |(pages, bytes), found| (pages + found.pages.len(), bytes + found.bytes));
        let (counted, took) = repeated(RUNS, || count_lines(&blocks, &query, TimeRange::ALL, HANDS));
        let mut more =
            format!("{text}: {} of {} lines, {pages} pages of {bytes} bytes read", counted.counts, self.lines);
        let mut is_right = counted.trouble.is_empty();
        let commands = if self.beside_others { self.commands(other) } else { Vec::new() };
        for (program, command) in commands {
            let is_there =
                |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
            if !program.split(" | ").all(is_there) {
                more += &format!("; {program} NOT THERE");
                continue;
            }
            let (lines, took) = repeated(3, || lines_of(&command));
            more += &format!("; {program} {took}");
            is_right &= lines == counted.counts;
        }
        self.row(name, limit, took, &more, is_right);
    }

    /// Shell commands that print how many lines of all parts fit.
    fn commands(&self, other: &Other) -> Vec<(&'static str, String)> {
        let quoted = |files: Vec<String>| files.iter().map(|file| format!(" '{file}'")).collect::<String>();
        let (raw, squeezed) = (quoted(self.store.raws()), quoted(self.store.squeezed()));
        let (rg, grep) = match other {
            Other::Fixed(text) => (format!("rg -a -c -F -e '{text}'"), format!("LC_ALL=C grep -a -c -F -e '{text}'")),
            Other::Pattern(text) => {
                (format!("rg -a -c -e '(?-u){text}'"), format!("LC_ALL=C grep -a -c -E -e '{text}'"))
            }
        };
        vec![
            ("rg", format!("{rg} --no-filename{raw}")),
            ("grep", format!("{grep} -h{raw}")),
            ("zstd | rg", format!("zstd -dcq{squeezed} | {rg}")),
            ("zstd | grep", format!("zstd -dcq{squeezed} | {grep}")),
        ]
    }

    fn others(&self) {
        let blocks: Vec<_> = self.held.iter().map(|held| (&held.opened, &held.file)).collect();
        let steps = Steps { range: TimeRange::ALL, nanos: 60_000_000_000 };
        let (counted, took) = repeated(RUNS, || histograms(&blocks, &query(""), steps, HANDS));
        let total: u64 = counted.counts.values().sum();
        let more = format!("{} bars", counted.counts.len());
        self.row("histogram of everything", 5.0 * self.scale, took, &more, total == self.lines);
        let common = &words_near(&self.store.parts[0].raw, &[0.3])[0];
        let ask = Ask { order: SearchOrder::Newest, limit: Some(100), ..Ask::all(query(common)) };
        let (found, took) = repeated(RUNS, || self.newest(&ask));
        self.row("last 100 lines of a common word", 10.0, took, common, found.len() == 100);
        let needles = self.all(&Ask::all(query(NEEDLE)));
        let (lines, took) =
            repeated(RUNS, || needles.iter().map(|(at, needle)| self.around(*at, needle)).sum::<usize>());
        let one = Took { ms: took.ms / needles.len().max(1) as f64, cpu: took.cpu / needles.len().max(1) as f64 };
        let more = format!("{} hits", needles.len());
        self.row("five lines around a hit", 5.0, one, &more, needles.len() == 3 && lines == 30);
        self.read_back();
    }

    /// Blocks of later times are asked first; the next only when there were too few.
    fn newest(&self, ask: &Ask) -> Vec<OwnedEvent> {
        let mut found = Vec::new();
        for held in self.held.iter().rev() {
            let limit = ask.limit.map(|limit| limit - found.len());
            found.extend(search(held, Ask { limit, ..ask.clone() }));
            if ask.limit.is_some_and(|limit| found.len() >= limit) {
                break;
            }
        }
        found
    }

    fn all(&self, ask: &Ask) -> Vec<(usize, OwnedEvent)> {
        let found = |(at, held)| search(held, ask.clone()).into_iter().map(move |event| (at, event));
        self.held.iter().enumerate().flat_map(found).collect()
    }

    fn around(&self, at: usize, event: &OwnedEvent) -> usize {
        let (held, name) = (&self.held[at], (event.source.tailer, event.source.stream));
        context::context(&held.opened, &held.file, name, event.offset, 5, 5)
            .map_or(0, |c| c.before.len() + c.after.len())
    }

    fn read_back(&self) {
        let (text, seconds) = crate::timed(|| {
            let mut reader = PageReader::default();
            let mut text = 0;
            for held in self.held {
                for number in 0..held.opened.page_count() {
                    let bytes = held.opened.fetch_pages(&held.file, &[number]).expect("a good block");
                    text += reader.read(&held.opened, number, &bytes[0]).map_or(0, |page| page.text().len());
                }
            }
            text
        });
        let speed = text as f64 / 1e6 / seconds;
        println!(
            "read everything back >= 400 MB/s/core | {speed:.0} MB/s | {} | {}",
            if speed >= 400.0 { "PASS" } else { "MISS" },
            commit()
        );
    }
}

/// One block searched to the end, pages side by side.
fn search(held: &Held, ask: Ask) -> Vec<OwnedEvent> {
    let (opened, file) = (&held.opened, &held.file);
    let candidates = Candidates::find(opened, file, &ask.query, ask.range).expect("a good block");
    let mut search = Search::new(opened, ask, &candidates);
    let mut found = Vec::new();
    loop {
        match search.step() {
            Step::Event(event) => found.push(*event),
            Step::Done => return found,
            Step::Pages(numbers) => {
                let ask = search.ask();
                let read = side_by_side_with(HANDS.threads, &numbers, PageReader::default, |reader, &number| {
                    let bytes = opened.fetch_pages(file, &[number])?.pop().unwrap_or_default();
                    hits(opened, number, reader.read(opened, number, &bytes)?, ask, &GO)
                });
                for (&number, hits) in numbers.iter().zip(read) {
                    search.give(number, hits.expect("a good block"));
                }
            }
        }
    }
}

/// The sum of the counts a shell command prints.
fn lines_of(command: &str) -> u64 {
    let output = Command::new("sh").args(["-c", command]).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(|line| line.parse::<u64>().ok()).sum()
}
