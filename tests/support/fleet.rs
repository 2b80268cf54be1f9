//! A fleet of separate processes on loopback, laid out by `tailbuck init`.

use super::cut::Cut;
use super::{Dir, Running, run, tailbuck, text, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

/// In the order they are started.
pub const NODES: [&str; 6] = ["buck-1", "buck-2", "buck-3", "porter-1", "web-1", "host-1"];

pub struct Fleet {
    folder: PathBuf,
    pub nodes: BTreeMap<String, Running>,
    web: String,
}

impl Fleet {
    /// Three bucks, a tailer on `paths`, a porter and a web, all running.
    pub fn start(dir: &Dir, paths: &str, bucket: &str) -> Self {
        // Nodes find each other by name as well as by address.
        let mut fleet = Self::of(dir, paths, bucket, "localhost");
        NODES.iter().for_each(|node| fleet.begin(node));
        fleet
    }

    /// The same, with none of them running yet.
    pub fn laid_out(dir: &Dir, paths: &str, bucket: &str) -> Self {
        Self::of(dir, paths, bucket, "127.0.0.1")
    }

    fn of(dir: &Dir, paths: &str, bucket: &str, host: &str) -> Self {
        let folder = dir.join("fleet");
        let bucks: Vec<String> = (0..3).map(|_| free_udp().replace("127.0.0.1", host)).collect();
        let (porter, web) = (free_udp(), free_tcp());
        let out = folder.display().to_string();
        let made = run(tailbuck()
            .args(["init", "--bucks", &bucks.join(","), "--porters", &porter, "--web", &web])
            .args(["--tailers", "host-1", "--paths", paths, "--bucket", bucket, "--out", &out]));
        assert!(made.status.success(), "{}", text(&made.stderr));
        Self { folder, nodes: BTreeMap::new(), web: format!("http://{web}") }
    }

    pub fn begin(&mut self, node: &str) {
        let config = self.folder.join(node).join("settings.toml").display().to_string();
        let role: &[&str] = match node.split('-').next() {
            Some("buck") => &["buck"],
            Some("porter") => &["porter", "run"],
            Some("web") => &["web"],
            _ => &["tailer"],
        };
        let words = [role, &["--config", &config, "--log", "info"]].concat();
        let log = self.folder.join(format!("{node}.log"));
        self.nodes.insert(node.to_owned(), Running::start(&words, &log));
    }

    pub fn kill_and_restart(&mut self, node: &str) {
        self.nodes.get_mut(node).expect("one of the fleet").kill_and_restart();
    }

    pub fn stop(&mut self, node: &str) {
        self.nodes.remove(node);
    }

    /// Puts a network that can be cut between this node and all others it dials; before it begins.
    pub fn cuts_of(&self, node: &str) -> Vec<Cut> {
        let path = self.folder.join(node).join("roster");
        let mut roster = fs::read_to_string(&path).expect("every node has its own");
        let others: Vec<SocketAddr> = addresses(&roster);
        let cuts: Vec<Cut> = others.iter().map(|address| Cut::before(*address)).collect();
        for (other, cut) in others.iter().zip(&cuts) {
            roster = roster.replace(&other.to_string(), &cut.address.to_string());
        }
        fs::write(&path, roster).expect("room");
        cuts
    }

    pub fn data_of(&self, node: &str) -> PathBuf {
        self.folder.join(node).join("data")
    }

    /// What a command says that asks the fleet's web.
    pub fn ask(&self, words: &[&str]) -> (String, String, Option<i32>) {
        let output = run(tailbuck().args(words).args(["--web", &self.web]));
        (text(&output.stdout), text(&output.stderr), output.status.code())
    }

    /// Every event of all time that fits, file by file, and what was said on stderr.
    pub fn find(&self, query: &str) -> (Vec<Value>, String) {
        let output = run(tailbuck()
            .args(["search", query, "--from", "1971-01-01", "--to", "2200-01-01"])
            .args(["--order", "file", "--format", "json", "--web", &self.web]));
        let events = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        (events.map(|line| serde_json::from_slice(line).expect("JSON")).collect(), text(&output.stderr))
    }

    /// How many events of all time fit, as far as is known right now.
    pub fn count(&self, query: &str) -> usize {
        let output = run(tailbuck()
            .args(["search", query, "--count", "--from", "1971-01-01", "--to", "2200-01-01"])
            .args(["--web", &self.web]));
        text(&output.stdout).trim().parse().unwrap_or(0)
    }

    /// Waits until everything that fits is `count` events and the answer is complete.
    pub fn wait_for_all(&self, query: &str, count: usize) -> Vec<Value> {
        let mut last = String::new();
        wait_for(&format!("{count} events"), || {
            let (events, said) = self.find(query);
            let line = format!("{} of {count}, {}", events.len(), said.trim());
            if line != last {
                eprintln!("{line}");
                last = line;
            }
            assert!(events.len() <= count, "more than there are: {}", events.len());
            (events.len() == count && said.is_empty()).then_some(events)
        })
    }
}

/// Where a roster says that nodes listen.
fn addresses(roster: &str) -> Vec<SocketAddr> {
    roster.split_whitespace().filter_map(|word| word.rsplit('=').next()?.parse().ok()).collect()
}

/// A port nobody listens on right now.
pub fn free_udp() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").to_string()
}

pub fn free_tcp() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").to_string()
}
