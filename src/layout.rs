//! A fleet laid out in one folder: for each node a folder with its key, its settings, its data, and the roster.
//!
//! ```text
//! DIR/roster                    who belongs to the cluster; a copy in each node's folder
//! DIR/<node>/key                made once, never overwritten
//! DIR/<node>/settings.toml      what `--config` takes
//! DIR/<node>/data/              what the node keeps
//! DIR/shelf/                    the recent shelf, when porters share this machine
//! ```
//!
//! Used by `init`, which makes folders to be carried to hosts, and by `up`, which runs all of them in one process.
//! Laying out again keeps keys and data, and writes rosters and settings anew.

use crate::settings::{BuckSettings, PorterSettings, Settings, TailerSettings, WebSettings};
use anyhow::Context;
use proto::ids::Environment;
use proto::io::clock;
use proto::io::dir::write_whole;
use proto::io::keys::NodeKeys;
use proto::roster::{Address, Environments, Peer, Role};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What a fleet is to be.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where they are reached.
    pub bucks: Vec<Address>,
    pub porters: Vec<Address>,
    pub web: SocketAddr,
    /// Host names.
    pub tailers: Vec<String>,
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub environment: Environment,
    pub bucket_seconds: u32,
    /// Relative to a node's folder, or absolute.
    pub shelf: PathBuf,
}

/// One node of it.
#[derive(Clone, Debug)]
pub struct NodePlan {
    pub name: String,
    pub role: Role,
    address: Option<Address>,
}

impl NodePlan {
    /// Where it listens; for one that is reached by its name, on all addresses of its host.
    pub fn listens(&self) -> Option<SocketAddr> {
        let address = self.address.as_ref()?.as_str();
        let port = || Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.rsplit_once(':')?.1.parse().ok()?)));
        address.parse().ok().or_else(port)
    }
}

impl Layout {
    /// Every node, in the order they are best started: who is asked before who asks.
    pub fn nodes(&self) -> Vec<NodePlan> {
        let numbered = |word: &str, at: usize| format!("{word}-{}", at + 1);
        let bucks = self.bucks.iter().enumerate();
        let bucks = bucks.map(|(at, address)| NodePlan {
            name: numbered("buck", at),
            role: Role::Buck,
            address: Some(address.clone()),
        });
        let porters = self.porters.iter().enumerate();
        let porters = porters.map(|(at, address)| NodePlan {
            name: numbered("porter", at),
            role: Role::Porter,
            address: Some(address.clone()),
        });
        let web = NodePlan { name: "web-1".to_owned(), role: Role::Web, address: None };
        let tailers =
            self.tailers.iter().map(|host| NodePlan { name: host.clone(), role: Role::Tailer, address: None });
        bucks.chain(porters).chain([web]).chain(tailers).collect()
    }

    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let nodes = self.nodes();
        let mut roster = String::from("# Who belongs to the cluster: role, key, and what each may do.\n");
        for node in &nodes {
            roster.push_str(&format!("{}\n", self.peer(folder, node)?));
        }
        write_text(&folder.join("roster"), &roster)?;
        for node in &nodes {
            let home = folder.join(&node.name);
            write_text(&home.join("roster"), &roster)?;
            let what = format!("Settings of {}, a {}", node.name, node.role);
            write_text(&home.join("settings.toml"), &self.settings(node).text(&what))?;
        }
        Ok(())
    }

    /// A node's line of the roster; makes its folder and key where there are none.
    fn peer(&self, folder: &Path, node: &NodePlan) -> anyhow::Result<Peer> {
        let home = folder.join(&node.name);
        fs::create_dir_all(home.join("data")).with_context(|| home.display().to_string())?;
        let path = home.join("key");
        let keys = if path.exists() {
            NodeKeys::read(&path)?
        } else {
            NodeKeys::generate(&path, None, &mut clock::generator()?)?
        };
        let mut peer = Peer::new(node.role, keys.keys.public(), keys.id);
        peer.address = node.address.clone();
        if matches!(node.role, Role::Tailer | Role::Web) {
            peer.environments = Environments::Only([self.environment.clone()].into());
        }
        if node.role == Role::Tailer {
            peer.hosts = [node.name.clone()].into();
        }
        Ok(peer)
    }

    fn settings(&self, node: &NodePlan) -> Settings {
        let mut settings = Settings {
            keys: "key".into(),
            roster: "roster".into(),
            data: "data".into(),
            bucket_seconds: self.bucket_seconds,
            web_url: Some(format!("http://{}", self.web)),
            ..Settings::default()
        };
        match (node.role, node.listens()) {
            (Role::Buck, Some(listen)) => {
                settings.buck = Some(BuckSettings { listen, disks: Vec::new(), ack: None, reserve_mib: None });
            }
            (Role::Porter, Some(listen)) => {
                settings.porter = Some(PorterSettings { listen, shelf: self.shelf.clone() });
            }
            (Role::Tailer, _) => settings.tailer = Some(self.tailer_settings(&node.name)),
            _ => settings.web = Some(WebSettings { listen: self.web }),
        }
        settings
    }

    fn tailer_settings(&self, host: &str) -> TailerSettings {
        TailerSettings {
            paths: self.paths.clone(),
            exclude: self.exclude.clone(),
            environment: self.environment.to_string(),
            host: host.to_owned(),
            spool_mib: None,
        }
    }
}

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(write_whole(path, text.as_bytes())?)
}
