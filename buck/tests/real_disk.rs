//! A buck on a real disk and a real socket: put, end without stopping, start again, find everything that was acked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use buck::config::{Config, Rules};
use buck::run::{RunError, run};
use proto::codec::{decode_answer, encode_ask};
use proto::ids::Environment;
use proto::io::clock::{Clock, generator};
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::Endpoint;
use proto::io::stop::Stop;
use proto::message::{Answer, Ask, LiveAsk, Part, PutOutcome, SearchOrder};
use proto::seal::{Domain, PeerBox};
use proto::squeeze::Squeezer;
use proto::time::BucketWidth;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{BUCK, ENOUGH, Filling, TAILER, WEB, keys, roster, search};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A folder that goes away with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tailbuck-buck-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Running {
    task: JoinHandle<Result<(), RunError>>,
    stop: Stop,
    tailer: Links,
    web: Links,
    clock: Clock,
}

fn config(folder: &Path) -> Config {
    let rules = Rules { reserve_bytes: 1 << 20, ..Rules::default() };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config { listen, disks: vec![folder.join("one"), folder.join("two")], rules }
}

/// Tries again while the one before still holds its folders.
async fn start(config: Config) -> Running {
    loop {
        match try_start(config.clone()).await {
            Ok(running) => return running,
            Err(RunError::Files(error)) if error.to_string().contains("another process") => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn try_start(config: Config) -> Result<Running, RunError> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let members = Arc::new(Members::new(roster(nowhere)));
    let (clock, stop) = (Clock::real(), Stop::default());
    let (bound, address) = oneshot::channel();
    let me = Arc::new(NodeKeys { id: BUCK, keys: keys(BUCK) });
    let task = tokio::spawn(run(config, me, Arc::clone(&members), clock, stop.token("buck"), bound));
    let Ok(address) = address.await else { return Err(task.await.unwrap().unwrap_err()) };
    members.replace(roster(address));
    let links = |node| {
        let endpoint = Arc::new(Endpoint::dialler(&keys(node), Arc::clone(&members), clock).unwrap());
        Links::new(endpoint, Arc::clone(&members), clock)
    };
    Ok(Running { task, stop, tailer: links(TAILER), web: links(WEB), clock })
}

impl Running {
    async fn put(&self, record: &[u8]) -> PutOutcome {
        let mut boxed = Vec::new();
        let peer_box = PeerBox::new(TAILER, &keys(TAILER), BUCK, &keys(BUCK).public());
        peer_box.seal_into(&mut generator().unwrap(), record, &mut boxed);
        let answer = self.tailer.ask(BUCK, encode_ask(&Ask::Put { boxed }).unwrap(), ENOUGH).await.unwrap();
        match decode_answer(&answer).unwrap() {
            Answer::Put(answer) => answer.outcome,
            other => panic!("{other:?}"),
        }
    }

    async fn search(&self, query: &str) -> Vec<String> {
        let ask = search(query, SearchOrder::File, 100_000);
        let link = self.web.to(BUCK).await.unwrap();
        let mut answers = link.ask_for_many(encode_ask(&Ask::Search(ask)).unwrap(), ENOUGH).await.unwrap();
        let mut lines = Vec::new();
        while let Some(answer) = timeout(ENOUGH, answers.next()).await.unwrap().unwrap() {
            match decode_answer(&answer).unwrap() {
                Answer::Part(Part::Rows(rows)) => {
                    lines.extend(rows.into_iter().map(|row| String::from_utf8(row.line).unwrap()));
                }
                Answer::Part(Part::End(end)) => assert!(end.exhausted && end.trouble.is_empty(), "{end:?}"),
                Answer::Part(_) => {}
                other => panic!("{other:?}"),
            }
        }
        lines
    }

    /// Without any of the things a stop does.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Lines of one stream, each as long as the others.
fn packet(clock: Clock, seq: u32, lines: &[String]) -> Vec<u8> {
    let mut filling = Filling::new(clock.wall(), seq, u64::from(seq) * 1_000_000);
    lines.iter().for_each(|line| filling.push(line));
    filling.builder.finish(&mut Squeezer::new(3), |content| keys(TAILER).sign(Domain::RECORD, content))
}

fn lines(seq: u32) -> Vec<String> {
    (0..20).map(|line| format!("packet {seq:04} line {line:02}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acked_is_there_after_an_end_without_a_stop() {
    let folder = Temporary::new("kill");
    let mut expected = Vec::new();
    for round in 0..3u32 {
        let running = start(config(&folder.0)).await;
        assert_eq!(running.search("packet").await, expected, "before round {round}");
        for seq in round * 30..round * 30 + 30 {
            assert_eq!(running.put(&packet(running.clock, seq, &lines(seq))).await, PutOutcome::Kept);
            expected.extend(lines(seq));
        }
        assert_eq!(running.search("packet").await, expected);
        running.kill().await;
        tear_every_file(&folder.0);
    }
    let running = start(config(&folder.0)).await;
    assert_eq!(running.search("packet").await, expected);
    assert_eq!(running.search("\"0050 line 07\"").await, ["packet 0050 line 07"]);
    running.stop.ask();
    assert!(timeout(ENOUGH, running.task).await.unwrap().unwrap().is_ok());
}

/// Half a record at the end of every bucket file, as a crash leaves it.
fn tear_every_file(folder: &Path) {
    let mut found = 0;
    for disk in ["one", "two"] {
        for upper in entries(&folder.join(disk).join("packets/main")) {
            for file in entries(&upper) {
                let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
                file.write_all(b"TBP1 half a record").unwrap();
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

fn entries(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_tail_sees_what_comes() {
    let folder = Temporary::new("live");
    let running = start(config(&folder.0)).await;
    let ask = LiveAsk { query: "\"line 07\"".into(), environments: vec![Environment::default()] };
    let link = running.web.to(BUCK).await.unwrap();
    let mut answers = link.ask_for_many(encode_ask(&Ask::Live(ask)).unwrap(), ENOUGH).await.unwrap();
    // A first beat says that it has begun.
    let mut seen = Vec::new();
    let mut put = false;
    while seen.is_empty() {
        let answer = timeout(ENOUGH, answers.next()).await.unwrap().unwrap().unwrap();
        match decode_answer(&answer).unwrap() {
            Answer::Part(Part::Rows(rows)) => seen.extend(rows.into_iter().map(|row| row.line)),
            Answer::Part(Part::Beat { .. }) if !put => {
                put = true;
                assert_eq!(running.put(&packet(running.clock, 0, &lines(0))).await, PutOutcome::Kept);
            }
            Answer::Part(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [b"packet 0000 line 07"]);
    drop(answers);
    running.stop.ask();
    assert!(timeout(ENOUGH, running.task).await.unwrap().unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_width_and_a_taken_folder_are_refused_with_a_sentence() {
    let folder = Temporary::new("width");
    let running = start(config(&folder.0)).await;
    let taken = try_start(config(&folder.0)).await.err().unwrap().to_string();
    assert!(taken.contains("another process"), "{taken}");
    running.stop.ask();
    assert!(timeout(ENOUGH, running.task).await.unwrap().unwrap().is_ok());
    let mut other = config(&folder.0);
    other.rules.width = BucketWidth::from_seconds(10).unwrap();
    let refused = try_start(other).await.err().unwrap().to_string();
    assert!(refused.ends_with("packets lie here in buckets of 300 s, and this node is set to 10 s"), "{refused}");
}
