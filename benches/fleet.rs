//! The numbers of the whole program, on loopback: `cargo bench --bench fleet [acks|follow|idle]`.
//!
//! Every row reads: what, figure, PASS or MISS of its target. Real processes, real QUIC, real syncs; processor time is
//! user and system time of the tailer's process alone, from its start until every packet is acknowledged as durable
//! by two bucks, its own pauses included.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "ratios")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};
use support::fleet::Fleet;
use support::{Dir, Lines, Running, wait_for};

/// The raw lines of a kind that are tailed.
const BYTES: usize = 256 << 20;
/// Lines appended one by one while they are followed.
const FOLLOWED: usize = 500;
/// How long `up` is left alone before it is weighed.
const IDLE: Duration = Duration::from_secs(30);

fn main() {
    let only = std::env::args().nth(1).filter(|word| !word.starts_with('-')).unwrap_or_default();
    let asked = |name: &str| only.is_empty() || only == name;
    if asked("acks") {
        acks();
    }
    if asked("follow") {
        follow();
    }
    if asked("idle") {
        idle();
    }
}

fn row(what: &str, figure: &str, good: bool) {
    println!("{what} | {figure} | {}", if good { "PASS" } else { "MISS" });
}

/// Writes line number so and so of a kind of log.
type Line = fn(u64) -> String;

/// From a file to two durable acks.
fn acks() {
    let kinds: [(&str, Line); 3] = [("application", application), ("access", access), ("syslog", syslog)];
    let mut rates = Vec::new();
    for (kind, line) in kinds {
        let dir = Dir::new("bench-acks");
        let (bytes, lines) = write_lines(&dir, line);
        let tailed = tail(&dir, lines);
        let rate = bytes as f64 / 1e6 / tailed.cpu;
        let wall = bytes as f64 / 1e6 / tailed.wall;
        println!(
            "{kind}: {lines} lines, {:.0} MB, {:.2} cpu-s of the tailer, {wall:.0} MB/s by the clock, {} MiB at most",
            bytes as f64 / 1e6,
            tailed.cpu,
            tailed.peak_kib >> 10,
        );
        rates.push(rate);
        row(&format!("{kind}, file to two durable acks >= 100 MB/cpu-s"), &format!("{rate:.0}"), rate >= 100.0);
    }
    let mean = rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>();
    row("file to two durable acks, all kinds, >= 100 MB/cpu-s", &format!("{mean:.0}"), mean >= 100.0);
}

fn write_lines(dir: &Dir, line: Line) -> (usize, usize) {
    let (mut text, mut lines) = (String::with_capacity(BYTES + 512), 0);
    while text.len() < BYTES {
        lines += 1;
        writeln!(text, "{}", line(lines)).expect("a string takes everything");
    }
    fs::write(dir.join("app.log"), &text).expect("room for the lines");
    (text.len(), usize::try_from(lines).expect("few"))
}

struct Tailed {
    cpu: f64,
    wall: f64,
    peak_kib: u64,
}

/// Ends when the tailer has said that every packet arrived.
fn tail(dir: &Dir, lines: usize) -> Tailed {
    let mut fleet = Fleet::laid_out(dir, &dir.join("app.log").display().to_string(), "300s");
    for node in ["buck-1", "buck-2", "buck-3", "porter-1"] {
        fleet.begin(node);
    }
    let begun = Instant::now();
    fleet.begin("host-1");
    let tailer = fleet.nodes.get_mut("host-1").expect("just begun");
    let mut samples = vec![(0.0, 0.0)];
    // Nothing left to do: next to no work for a second, after some was done.
    let (used, wall) = wait_for("the tailer is done", || {
        samples.push((cpu_seconds(tailer.pid()), begun.elapsed().as_secs_f64()));
        let (used, now) = *samples.last()?;
        let (before, _) = *samples.iter().rev().find(|(_, at)| now - at >= 1.0)?;
        let (_, busy_until) = *samples.iter().find(|(cpu, _)| *cpu >= before - 0.02)?;
        (used > 0.2 && used - before < 0.03).then_some((used, busy_until))
    });
    let peak_kib = status_of(tailer.pid(), "VmHWM:");
    assert_eq!(tailer.interrupt(), Some(0), "{}", tailer.log());
    let log = tailer.log();
    assert!(log.contains("everything_arrived=true"), "not everything arrived: {log}");
    assert!(log.contains(&format!("lines={lines} ")), "{lines} lines, but {log}");
    Tailed { cpu: used, wall, peak_kib }
}

/// From the end of a line's write to its arrival at the standard output of `search --follow`.
fn follow() {
    let dir = Dir::new("bench-follow");
    let log = dir.join("app.log");
    fs::write(&log, "nothing yet\n").expect("a log");
    let (mut up, url) = start_up(&dir, &[&log.display().to_string()]);
    let mut follow = Running::start(&["search", "needle", "--follow", "--web", &url], &dir.join("follow.log"));
    let mut said = follow.lines();
    let mut file = OpenOptions::new().append(true).open(&log).expect("a log");
    wait_for("the subscription", || {
        writeln!(file, "needle before the first").expect("room");
        said.try_next()
    });
    let mut took: Vec<f64> = (0..FOLLOWED).map(|number| follow_one(number, &mut file, &mut said)).collect();
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "append to search --follow, ms: p50 {:.1}, p90 {:.1}, p99 {:.1}, most {:.1}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
    row("append to search --follow, p99 <= 100 ms", &format!("{:.1} ms", at(99)), at(99) <= 100.0);
    drop(follow);
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

/// Milliseconds from the end of its write until it is read from the standard output of `search --follow`.
fn follow_one(number: usize, file: &mut File, said: &mut Lines) -> f64 {
    // Lines come one by one, at no fixed phase of what the tailer does every so often.
    thread::sleep(Duration::from_millis(20 + number as u64 % 7));
    let line = format!("needle {number}");
    writeln!(file, "{line}").expect("room");
    let written = Instant::now();
    while said.next_within(Duration::from_secs(10)).expect("it follows") != line {}
    written.elapsed().as_secs_f64() * 1e3
}

/// What a cluster in one process weighs when nothing happens.
fn idle() {
    let dir = Dir::new("bench-idle");
    fs::write(dir.join("app.log"), "one line\n").expect("a log");
    let (mut up, _) = start_up(&dir, &[&dir.join("app.log").display().to_string()]);
    let before = cpu_seconds(up.pid());
    thread::sleep(IDLE);
    let mib = status_of(up.pid(), "VmRSS:") as f64 / 1024.0;
    let cpu = (cpu_seconds(up.pid()) - before) / IDLE.as_secs_f64() * 100.0;
    println!("up, idle: {cpu:.1} % of a core");
    row("up, idle, resident < 150 MB", &format!("{:.1} MB", mib * 1.048_576), mib * 1.048_576 < 150.0);
    assert_eq!(up.interrupt(), Some(0), "{}", up.log());
}

fn start_up(dir: &Dir, paths: &[&str]) -> (Running, String) {
    let data = dir.join("data").display().to_string();
    let words = [&["up"], paths, &["--data", &data, "--web", "127.0.0.1:0"]].concat();
    let mut up = Running::start(&words, &dir.join("up.log"));
    let url =
        up.wait_for_line(|line| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned));
    (up, url)
}

/// User and system time of a process; the kernel counts it in hundredths of a second.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A line of a process's status, in KiB.
fn status_of(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Hour, minute, second and millisecond of a line; a thousand lines a second, today.
fn moment(n: u64) -> (u64, u64, u64, u64) {
    (n / 3_600_000 % 24, n / 60_000 % 60, n / 1000 % 60, n % 1000)
}

fn application(n: u64) -> String {
    let ((h, m, s, ms), worker, order, took) = (moment(n), n % 8, n * 7919 % 1_000_003, n * 31 % 250);
    format!(
        "2026-11-21T{h:02}:{m:02}:{s:02}.{ms:03}Z INFO  [worker-{worker}] c.e.orders.Service - order {order} accepted in {took} ms"
    )
}

fn access(n: u64) -> String {
    let ((h, m, s, _), a, b, c, d) = (moment(n), n % 5, n % 77, n % 251, n % 255);
    let (item, page, bytes) = (n * 7919 % 100_003, n % 9, n * 31 % 9000);
    format!(
        "10.{a}.{b}.{c}{d} - - [21/Nov/2026:{h:02}:{m:02}:{s:02} +0000] \"GET /item/{item}?page={page} HTTP/1.1\" 200 {bytes} \"-\" \"Mozilla/5.0\""
    )
}

fn syslog(n: u64) -> String {
    let ((h, m, s, _), host, pid, net, port) = (moment(n), n % 3, n % 30_000, n % 200, 1024 + n * 31 % 60_000);
    format!(
        "Nov 21 {h:02}:{m:02}:{s:02} web-{host} sshd[{pid}]: Accepted publickey for deploy from 10.0.{net}.7 port {port}"
    )
}
