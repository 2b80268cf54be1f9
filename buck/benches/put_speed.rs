//! How many raw bytes of lines a buck makes durable for each second of its processor time, and how long a search
//! over what it then holds takes.
//!
//! `cargo bench -p buck --features hands --bench put_speed -- [DIR] [MIB]`. The buck is a process of its own,
//! so that the sealing and sending on this side do not count. Prints a table.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement: it prints, and ends when it can't go on"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use buck::config::{Config, Rules};
use buck::run::run;
use proto::codec::{decode_answer, encode_ask};
use proto::ids::NodeId;
use proto::io::clock::{Clock, generator};
use proto::io::keys::NodeKeys;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, Link};
use proto::io::stop::Stop;
use proto::message::{Answer, Ask, Part, PutOutcome, SearchOrder};
use proto::packet::PacketBuilder;
use proto::seal::{Domain, PeerBox};
use proto::squeeze::Squeezer;
use proto::time::Timestamp;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use support::{BUCK, ENOUGH, Filling, TAILER, WEB, keys, roster, search};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// As a tailer fills them.
const PACKET_BYTES: usize = 256 << 10;
/// Puts in flight: sixteen tailers' worth.
const AT_ONCE: usize = 64;
/// Different packets that are sent under many names.
const KINDS: u64 = 64;

fn members(address: SocketAddr) -> Arc<Members> {
    Arc::new(Members::new(roster(address)))
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(PathBuf::from(&arguments[1])).await,
        folder => {
            let folder = folder.map_or_else(|| std::env::temp_dir().join("tailbuck-put-speed"), PathBuf::from);
            let mib = arguments.get(1).map_or(1024, |text| text.parse().unwrap());
            measure(&folder, mib).await;
        }
    }
}

async fn serve(folder: PathBuf) {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let rules = Rules { reserve_bytes: 64 << 20, ..Rules::default() };
    let (bound, address) = oneshot::channel();
    let (clock, stop) = (Clock::real(), Stop::default());
    let me = Arc::new(NodeKeys { id: BUCK, keys: keys(BUCK) });
    let token = stop.token("buck");
    let config = Config { listen, disks: vec![folder], rules };
    let running =
        tokio::spawn(run(config, me, members(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))), clock, token, bound));
    println!("{}", address.await.unwrap());
    running.await.unwrap().unwrap();
}

fn start(folder: &Path) -> (Child, SocketAddr) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program).arg("serve").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

/// Processor seconds a process has used.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

async fn dial(node: NodeId, members: &Arc<Members>, address: SocketAddr) -> (Endpoint, Link) {
    let endpoint = Endpoint::dialler(&keys(node), Arc::clone(members), Clock::real()).unwrap();
    let link = endpoint.dial(address, BUCK).await.unwrap();
    (endpoint, link)
}

async fn measure(folder: &Path, mib: u64) {
    let _ = std::fs::remove_dir_all(folder);
    let (mut child, address) = start(folder);
    let members = members(address);
    let (_tailer, link) = dial(TAILER, &members, address).await;
    let (_web, web) = dial(WEB, &members, address).await;
    let clock = Clock::real();
    let count = u32::try_from(mib << 20).unwrap_or(u32::MAX) / u32::try_from(PACKET_BYTES).unwrap();
    let boxed = Arc::new(packets(clock, count));
    let sent: usize = boxed.iter().map(Vec::len).sum();
    let (before, began) = (cpu_seconds(child.id()), clock.mono());
    put_all(&link, &boxed).await;
    let (cpu, took) = (cpu_seconds(child.id()) - before, (clock.mono() - began).as_secs_f64());
    let raw = f64::from(count) * PACKET_BYTES as f64 / 1e6;
    println!(
        "put to durable      {raw:8.0} MB raw, {:.1} MB sent, ratio {:.1}",
        sent as f64 / 1e6,
        raw * 1e6 / sent as f64
    );
    println!("  of processor time {:8.0} MB raw per cpu-s ({cpu:.2} cpu-s, {took:.2} s)", raw / cpu);
    println!("  resident          {:8} MiB", resident_mib(child.id()));
    for query in ["absentneedle", "739182645", "q7f3k9", "status=503", "\"request handled\""] {
        let mut times: Vec<f64> = Vec::new();
        let mut rows = 0;
        for _ in 0..5 {
            let began = clock.mono();
            rows = found(&web, query).await;
            times.push((clock.mono() - began).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("search {query:<20} {rows:6} rows  first {:7.1} ms  median {:7.1} ms", times[4], times[2]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

async fn put_all(link: &Link, boxed: &Arc<Vec<Vec<u8>>>) {
    let mut puts = JoinSet::new();
    for at in 0..boxed.len() {
        if puts.len() >= AT_ONCE {
            puts.join_next().await.unwrap().unwrap();
        }
        let (link, boxed) = (link.clone(), Arc::clone(boxed));
        puts.spawn(async move {
            let question = encode_ask(&Ask::Put { boxed: boxed[at].clone() }).unwrap();
            loop {
                let answer = link.ask(question.clone(), ENOUGH).await.unwrap();
                match decode_answer(&answer).unwrap() {
                    Answer::Put(answer) if answer.outcome == PutOutcome::Kept => return,
                    Answer::Put(answer) if answer.outcome == PutOutcome::Busy => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap();
    }
}

async fn found(link: &Link, query: &str) -> usize {
    let ask = search(query, SearchOrder::Newest, 100);
    let mut answers = link.ask_for_many(encode_ask(&Ask::Search(ask)).unwrap(), ENOUGH).await.unwrap();
    let mut rows = 0;
    while let Some(answer) = answers.next().await.unwrap() {
        if let Answer::Part(Part::Rows(some)) = decode_answer(&answer).unwrap() {
            rows += some.len();
        }
    }
    rows
}

/// Boxes with packets of lines like those a service writes.
fn packets(clock: Clock, count: u32) -> Vec<Vec<u8>> {
    let peer_box = PeerBox::new(TAILER, &keys(TAILER), BUCK, &keys(BUCK).public());
    let (signer, mut rng) = (keys(TAILER), generator().unwrap());
    let mut squeezer = Squeezer::new(1);
    let one = |seq: u32| {
        let record = packet(clock, seq).finish(&mut squeezer, |content| signer.sign(Domain::RECORD, content));
        let mut boxed = Vec::new();
        peer_box.seal_into(&mut rng, &record, &mut boxed);
        boxed
    };
    (0..count).map(one).collect()
}

fn packet(clock: Clock, seq: u32) -> PacketBuilder {
    let wall = clock.wall();
    let mut filling = Filling::new(wall, seq, u64::from(seq) * PACKET_BYTES as u64 * 2);
    let mut draw = u64::from(seq) % KINDS + 1;
    let (mut line, mut left) = (String::new(), PACKET_BYTES);
    while left > 0 {
        write_line(&mut line, wall, &mut draw);
        left = left.saturating_sub(line.len());
        filling.push(&line);
    }
    filling.builder
}

fn write_line(line: &mut String, wall: Timestamp, draw: &mut u64) {
    let mut next = |below: u64| {
        *draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*draw >> 33) % below
    };
    let verb = ["GET", "GET", "GET", "POST", "PUT"][usize::try_from(next(5)).unwrap()];
    let path = ["users", "orders", "cart", "search", "health", "items"][usize::try_from(next(6)).unwrap()];
    let status = [200, 200, 200, 200, 304, 404, 500][usize::try_from(next(7)).unwrap()];
    let (user, took, trace) = (next(10_000), next(900), next(1 << 31));
    line.clear();
    write!(
        line,
        "{wall} info request handled method={verb} path=/api/v1/{path}/{user} status={status} took={took}ms trace={trace:08x}"
    )
    .unwrap();
}
