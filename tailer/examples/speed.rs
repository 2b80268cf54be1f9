//! How fast the tailer's own work is: `cargo run --release -p tailer --example speed`.
//!
//! The real machine reads files from memory, cuts, parses, packs and compresses, writes its spool to memory and is
//! told at once that two bucks have everything. What it leaves out is the kernel's share: reads, writes, QUIC and
//! the boxes. A line of the table is a kind of log; MB are raw bytes of the file, seconds those of one core.

use proto::ids::NodeId;
use proto::message::{Answer, Ask, Known, PutAnswer, PutOutcome};
use proto::time::{Now, Timestamp};
use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tailer::action::{Action, Chunk, Opened, Recovered, Seen};
use tailer::config::{Config, Input};
use tailer::follow::{Identity, Stat};
use tailer::machine::{Identity as Me, Machine};
use tailer::pick::Buck;

const BYTES: usize = 64 << 20;
const ROUNDS: usize = 3;

/// What writes line number so and so of a kind of log.
type Line = fn(u64) -> String;

fn main() {
    let kinds: [(&str, Line); 5] =
        [("application", application), ("access", access), ("syslog", syslog), ("json", json), ("no stamps", plain)];
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<12} {:>9} {:>11} {:>8}", "kind", "MB/cpu-s", "M lines/s", "ratio").expect("a terminal");
    for (name, line) in kinds {
        let mut text = String::with_capacity(BYTES + 256);
        let mut number = 0;
        while text.len() < BYTES {
            number += 1;
            writeln!(text, "{}", line(number)).expect("a string takes everything");
        }
        let (mut best, mut packed) = (f64::MAX, 0);
        for _ in 0..ROUNDS {
            let before = cpu_seconds();
            packed = tail(text.as_bytes());
            best = best.min(cpu_seconds() - before);
        }
        let (megabytes, lines) = (text.len() as f64 / 1e6, number as f64 / 1e6);
        let ratio = text.len() as f64 / packed as f64;
        writeln!(out, "{name:<12} {:>9.0} {:>11.2} {ratio:>8.1}", megabytes / best, lines / best).expect("a terminal");
    }
}

/// Minute, second and millisecond of a line.
fn moment(n: u64) -> (u64, u64, u64) {
    (n / 60_000 % 60, n / 1000 % 60, n % 1000)
}

fn application(n: u64) -> String {
    let ((m, s, ms), worker, order, took) = (moment(n), n % 8, n * 7919 % 1_000_003, n * 31 % 250);
    format!(
        "2026-11-21T10:{m:02}:{s:02}.{ms:03}Z INFO  [worker-{worker}] c.e.orders.Service - order {order} accepted in {took} ms"
    )
}

fn access(n: u64) -> String {
    let ((m, s, _), a, b, c, d) = (moment(n), n % 5, n % 77, n % 251, n % 255);
    let (item, page, bytes) = (n * 7919 % 100_003, n % 9, n * 31 % 9000);
    format!(
        "10.{a}.{b}.{c}{d} - - [21/Nov/2026:10:{m:02}:{s:02} +0000] \"GET /item/{item}?page={page} HTTP/1.1\" 200 {bytes} \"-\" \"Mozilla/5.0\""
    )
}

fn syslog(n: u64) -> String {
    let ((m, s, _), host, pid, net, port) = (moment(n), n % 3, n % 30_000, n % 200, 1024 + n * 31 % 60_000);
    format!(
        "Nov 21 10:{m:02}:{s:02} web-{host} sshd[{pid}]: Accepted publickey for deploy from 10.0.{net}.7 port {port}"
    )
}

fn json(n: u64) -> String {
    let ((m, s, ms), item, took) = (moment(n), n * 7919 % 100_003, n * 31 % 250);
    format!(
        "{{\"time\":\"2026-11-21T10:{m:02}:{s:02}.{ms:03}Z\",\"level\":\"info\",\"msg\":\"request done\",\"path\":\"/v1/items/{item}\",\"ms\":{took}}}"
    )
}

fn plain(n: u64) -> String {
    let (worker, job, steps) = (n % 16, n * 7919 % 1_000_003, n * 31 % 77);
    format!("worker {worker} took job {job} from the queue and finished it after {steps} steps")
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos: f64 = stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0);
    nanos / 1e9
}

/// Reads a whole file, and says how many bytes its packets have.
fn tail(file: &[u8]) -> u64 {
    let input = Input { paths: vec!["/l/app.log".into()], ..Input::default() };
    let config = Config { inputs: vec![input], spool_bytes_max: 1 << 40, ..Config::default() };
    let bucks = [1, 2, 3].map(|id| Buck { id: NodeId(id), domain: String::new() }).to_vec();
    let keys = proto::seal::Keys::from_seed(&proto::seal::Seed::from_bytes([7; 32]));
    let sign = Box::new(move |content: &[u8]| keys.sign(proto::seal::Domain::RECORD, content));
    let mut machine = Machine::new(config, Me { node: NodeId(9), seed: 1, sign, bucks, porters: Vec::new() });
    let mut mono = Duration::from_secs(1000);
    let now = |mono| Now { mono, wall: Timestamp::from_seconds(1_795_255_200).after(mono) };
    let identity = Identity { device: 1, inode: 2, birth: None };
    let stat = Stat { identity, length: file.len() as u64, modified: now(mono).wall, links: 1 };
    machine.start(now(mono), &Recovered::default());
    while machine.counters().bytes < file.len() as u64 || !machine.all_arrived() {
        let Some(action) = machine.poll_action() else {
            mono = machine.next_timeout().unwrap_or(mono).max(mono + Duration::from_micros(1));
            machine.on_timeout(now(mono));
            continue;
        };
        let time = now(mono);
        match action {
            Action::Scan => machine.on_listing(time, vec![Seen { path: PathBuf::from("/l/app.log"), input: 0, stat }]),
            Action::Open { file: number, .. } => {
                let head = file.get(..1024).unwrap_or(file).to_vec();
                machine.on_opened(time, number, Ok(Opened { stat, head, remembered: None }));
            }
            Action::Read { file: number, from, bytes_max } => {
                let at = usize::try_from(from).expect("it fits");
                let before = file.get(at.saturating_sub(64)..at).unwrap_or_default();
                let bytes = file.get(at..file.len().min(at + bytes_max)).unwrap_or_default();
                machine.on_chunk(time, number, Ok(Chunk { stat, from, before, bytes }));
            }
            Action::AppendSpool { ticket, .. } => machine.on_spooled(time, ticket, Ok(53)),
            Action::Put { exchange, .. } => {
                let answer = PutAnswer { outcome: PutOutcome::Kept, clock: time.wall };
                machine.on_answer(time, exchange, Answer::Put(answer));
            }
            Action::Ask { exchange, ask, .. } => {
                let answer = match ask {
                    Ask::Known { .. } => Answer::Known(Known::default()),
                    Ask::Receipts { .. } => Answer::Receipts(Vec::new()),
                    _ => Answer::Beat { clock: time.wall },
                };
                machine.on_answer(time, exchange, answer);
            }
            _ => {}
        }
    }
    machine.counters().packet_bytes
}
