//! The whole tailer on the real file system, with bucks that only keep what they are given, over real QUIC.

#![cfg(feature = "hands")]
#![allow(clippy::cast_possible_truncation, reason = "tests use small numbers")]

#[path = "world/bucks.rs"]
mod bucks;

use bucks::Bucks;
use proto::codec::{decode_ask, encode_answer};
use proto::ids::NodeId;
use proto::io::clock::Clock;
use proto::io::keys::NodeKeys;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, Link};
use proto::io::stop::Stop;
use proto::message::{Answer, Ask, PutAnswer, PutOutcome};
use proto::roster::{Peer, Role, Roster};
use proto::seal::{Domain, Keys, PeerBox, Seed, verify};
use proto::time::BucketWidth;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tailer::config::{Config, Input};
use tailer::run::{RunError, run};
use tokio::task::JoinHandle;

const TAILER: NodeId = NodeId(100);

fn keys(node: NodeId) -> Keys {
    Keys::from_seed(&Seed::from_bytes([node.0 as u8; 32]))
}

/// A folder that is gone when the test is.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tailbuck-real-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("logs")).expect("a folder");
        Self(path)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Cluster {
    dir: Dir,
    members: Arc<Members>,
    roster: Roster,
    clock: Clock,
    kept: Arc<Mutex<Bucks>>,
    _bucks: Vec<Endpoint>,
    tailer: Option<(Stop, JoinHandle<Result<(), RunError>>)>,
}

impl Cluster {
    fn new() -> Self {
        let clock = Clock::real();
        let tailer = Peer::new(Role::Tailer, keys(TAILER).public(), TAILER);
        let peers: Vec<Peer> = (1..=3).map(|id| Peer::new(Role::Buck, keys(NodeId(id)).public(), NodeId(id))).collect();
        let roster = |ports: &[u16]| {
            let mut text = format!("{tailer}\n");
            for (peer, port) in peers.iter().zip(ports) {
                let mut peer = peer.clone();
                peer.address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)).into());
                text += &format!("{peer}\n");
            }
            Roster::parse(text.as_bytes()).expect("a good roster")
        };
        let members = Arc::new(Members::new(roster(&[1, 2, 3])));
        let kept = Arc::new(Mutex::new(Bucks::default()));
        let (mut bucks, mut ports) = (Vec::new(), Vec::new());
        for peer in &peers {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let (endpoint, mut arrivals) =
                Endpoint::listen(any, &keys(peer.id), Arc::clone(&members), clock).expect("a socket");
            ports.push(endpoint.local_address().expect("bound").port());
            bucks.push(endpoint);
            let (me, kept) = (peer.id, Arc::clone(&kept));
            tokio::spawn(async move {
                while let Some(link) = arrivals.next().await {
                    tokio::spawn(serve(me, link, Arc::clone(&kept), clock));
                }
            });
        }
        let roster = roster(&ports);
        members.replace(roster.clone());
        Self { dir: Dir::new(), members, roster, clock, kept, _bucks: bucks, tailer: None }
    }

    fn config(&self, paths: &[PathBuf]) -> Config {
        let paths = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let input = Input { paths, ..Input::default() };
        let width = BucketWidth::from_seconds(60).expect("a width");
        Config {
            data: self.dir.0.join("data"),
            inputs: vec![input],
            width,
            rescan: Duration::from_secs(1),
            ..Config::default()
        }
    }

    fn start(&mut self) {
        self.start_with(self.config(&[self.dir.0.join("logs/**/*")]));
    }

    fn start_with(&mut self, config: Config) {
        let stop = Stop::default();
        let me = Arc::new(NodeKeys { id: TAILER, keys: keys(TAILER) });
        let task = tokio::spawn(run(config, me, Arc::clone(&self.members), self.clock, stop.token("tailer")));
        self.tailer = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.tailer.take().expect("it runs");
        stop.ask();
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("in time").expect("no panic").expect("well");
    }

    /// Waits until exactly these lines are there, each once, whatever their order.
    async fn expect(&self, mut expected: Vec<String>) {
        expected.sort();
        let mut found = Vec::new();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                found = self.lines();
                if found == expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "{} of {} lines are there", found.len(), expected.len());
        let fewest = self.kept.lock().expect("no panic").fewest_copies();
        assert!(fewest >= 1, "every packet has a home");
    }

    fn lines(&self) -> Vec<String> {
        let events = self.kept.lock().expect("no panic").events();
        let mut lines: Vec<_> =
            events.into_values().map(|found| String::from_utf8_lossy(&found.line).into_owned()).collect();
        lines.sort();
        lines
    }
}

/// A buck that keeps everything, in memory.
async fn serve(me: NodeId, link: Link, kept: Arc<Mutex<Bucks>>, clock: Clock) {
    let opener = PeerBox::new(me, &keys(me), TAILER, &keys(TAILER).public());
    let mut asks = link.asks();
    while let Some(exchange) = asks.next().await {
        let ask = decode_ask(&exchange.question).expect("a good question");
        let wall = clock.wall();
        let answer = match ask {
            Ask::Put { boxed } => {
                let mut record = Vec::new();
                opener.open_into(&boxed, &mut record).expect("it is for us");
                let parsed = proto::record::Record::parse(&record).expect("whole");
                verify(&keys(TAILER).public(), Domain::RECORD, parsed.content, parsed.signature).expect("signed");
                kept.lock().expect("no panic").put(me, &record);
                Answer::Put(PutAnswer { outcome: PutOutcome::Kept, clock: wall })
            }
            Ask::Beat { .. } => Answer::Beat { clock: wall },
            Ask::Known { .. } => Answer::Known(kept.lock().expect("no panic").known(Some(me))),
            Ask::Receipts { buckets } => Answer::Receipts(kept.lock().expect("no panic").receipts(&buckets)),
            other => unreachable!("a tailer does not ask {other:?}"),
        };
        let _ = exchange.reply(encode_answer(&answer).expect("small")).await;
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opens");
    file.write_all(text.as_bytes()).expect("writes");
}

fn text(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("2026-11-21T10:00:00Z line {n:06} with some words\n")).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_through_rotation_truncation_and_restart() {
    let mut cluster = Cluster::new();
    let (app, one) = (cluster.dir.log("app.log"), cluster.dir.log("app.log.1"));
    append(&app, &text(0, 5000));
    cluster.start();
    cluster.expect(lines(&text(0, 5000))).await;

    fs::rename(&app, &one).expect("renames");
    append(&one, &text(5000, 5010));
    append(&app, &text(6000, 7000));
    let rotated = text(0, 5010) + &text(6000, 7000);
    cluster.expect(lines(&rotated)).await;

    cluster.stop().await;
    append(&app, &text(7000, 7100));
    fs::create_dir_all(cluster.dir.log("below/deeper")).expect("a folder");
    append(&cluster.dir.log("below/deeper/new.log"), &text(8000, 8010));
    cluster.start();
    let restarted = rotated + &text(7000, 7100) + &text(8000, 8010);
    cluster.expect(lines(&restarted)).await;

    OpenOptions::new().write(true).truncate(true).open(&app).expect("opens");
    append(&app, &text(9000, 9500));
    fs::create_dir_all(cluster.dir.log("later")).expect("a folder");
    append(&cluster.dir.log("later/later.log"), &text(10_000, 10_010));
    cluster.expect(lines(&(restarted + &text(9000, 9500) + &text(10_000, 10_010)))).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tailer_that_lost_everything_asks_what_is_known() {
    let mut cluster = Cluster::new();
    let app = cluster.dir.log("app.log");
    for round in 0..3 {
        OpenOptions::new().write(true).create(true).truncate(true).open(&app).expect("opens");
        append(&app, &format!("header\n{}", text(round * 100, round * 100 + 50)));
        cluster.start();
        let written: String = (0..=round).map(|n| format!("header\n{}", text(n * 100, n * 100 + 50))).collect();
        cluster.expect(lines(&written)).await;
        cluster.stop().await;
        fs::remove_dir_all(cluster.dir.0.join("data")).expect("removes");
    }
    append(&app, &text(1000, 1010));
    cluster.start();
    let written: String = (0..3).map(|n| format!("header\n{}", text(n * 100, n * 100 + 50))).collect();
    cluster.expect(lines(&(written + &text(1000, 1010)))).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_b8_a_short_line_a_link_and_a_folder_of_its_own() {
    let mut cluster = Cluster::new();
    cluster.start();
    append(&cluster.dir.log("tiny.log"), "ab\n");
    cluster.expect(vec!["ab".into()]).await;
    let (first, second, link) =
        (cluster.dir.0.join("first"), cluster.dir.0.join("second"), cluster.dir.log("link.log"));
    append(&first, "one\n");
    std::os::unix::fs::symlink(&first, &link).expect("links");
    cluster.expect(lines("ab\none\n")).await;
    append(&second, "two\n");
    append(&first, "three\n");
    fs::remove_file(&link).expect("removes");
    std::os::unix::fs::symlink(&second, &link).expect("links");
    cluster.expect(lines("ab\none\nthree\ntwo\n")).await;
    cluster.stop().await;
}

/// While a key is replaced the roster has two lines for a node, and it has only one of the keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_sealed_for_the_key_that_was_proven() {
    let mut cluster = Cluster::new();
    let mut text = String::new();
    for peer in cluster.roster.peers() {
        if peer.role == Role::Buck {
            let next = Peer { key: keys(NodeId(peer.id.0 + 50)).public(), ..peer.clone() };
            text += &format!("{next}\n");
        }
        text += &format!("{peer}\n");
    }
    cluster.members.replace(Roster::parse(text.as_bytes()).expect("a good roster"));
    cluster.start();
    append(&cluster.dir.log("app.log"), "one\ntwo\n");
    cluster.expect(lines("one\ntwo\n")).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_outright_must_be_there() {
    let cluster = Cluster::new();
    for path in [cluster.dir.log("none.log"), cluster.dir.0.join("logs")] {
        let me = Arc::new(NodeKeys { id: TAILER, keys: keys(TAILER) });
        let token = Stop::default().token("tailer");
        let ended =
            run(cluster.config(std::slice::from_ref(&path)), me, Arc::clone(&cluster.members), cluster.clock, token)
                .await;
        let error = ended.expect_err("it can't be followed");
        assert!(error.is_asked_wrongly(), "{error}");
        assert!(error.to_string().starts_with(&path.to_string_lossy().into_owned()), "{error}");
    }
}
