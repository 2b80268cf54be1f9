//! Nodes, started from their settings: keys and roster read, the role run until told to stop.

use crate::settings::{BuckSettings, PorterSettings, Settings, TailerSettings, WebSettings};
use anyhow::{Context, bail};
use proto::io::clock::Clock;
use proto::io::keys::NodeKeys;
use proto::io::members::Members;
use proto::io::stop::{Stop, Token};
use proto::roster::Role;
use proto::time::BucketWidth;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long everything together may take to stop; a tailer drains for 5 s of it.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The nodes that run in this process.
#[derive(Default)]
pub struct Nodes {
    pub stop: Stop,
    work: JoinSet<anyhow::Result<()>>,
}

/// What every role is given.
struct Given {
    name: String,
    settings: Settings,
    me: Arc<NodeKeys>,
    members: Arc<Members>,
    width: BucketWidth,
    stop: Token,
}

impl Nodes {
    /// Comes back once the node listens, with where, or with why it can't. A tailer does not listen.
    pub async fn start(&mut self, role: Role, name: &str, settings: Settings) -> anyhow::Result<Option<SocketAddr>> {
        let width = BucketWidth::from_seconds(settings.bucket_seconds).with_context(|| {
            format!("bucket_seconds = {}: a bucket lasts 1 second to 1 day", settings.bucket_seconds)
        })?;
        let me = Arc::new(NodeKeys::read(&settings.keys)?);
        let members = Arc::new(Members::read(&settings.roster)?);
        self.follow_roster(name, Arc::clone(&members), settings.roster.clone());
        let given = Given { name: name.to_owned(), settings, me, members, width, stop: self.stop.token(name) };
        let (bound, listening) = oneshot::channel();
        match role {
            Role::Tailer => {
                self.tailer(given)?;
                return Ok(None);
            }
            Role::Buck => self.buck(given, bound)?,
            Role::Porter => self.porter(given, bound)?,
            Role::Web => self.web(given, bound)?,
            Role::Reader | Role::Admin => bail!("{name}: a person's key runs nothing"),
        }
        match listening.await {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(self.next_ended().await.and_then(Result::err).context("it ended at once")?),
        }
    }

    /// Waits for a signal, or for a node that ends by itself; then everybody stops, each in its written order.
    pub async fn until_stopped(mut self) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let first = tokio::select! {
            signal = stop.on_signals() => signal.map_err(anyhow::Error::from),
            Some(ended) = self.next_ended() => ended.and_then(|()| bail!("a node ended by itself")),
        };
        let rest = self.end().await;
        first.and(rest)
    }

    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.ask();
        let mut outcome = Ok(());
        while let Some(ended) = self.next_ended().await {
            outcome = outcome.and(ended);
        }
        outcome.and(self.stop.all_done(STOP_WITHIN).await.map_err(anyhow::Error::from))
    }

    async fn next_ended(&mut self) -> Option<anyhow::Result<()>> {
        Some(self.work.join_next().await?.unwrap_or_else(|panic| bail!("a node broke: {panic}")))
    }

    /// The roster is read again when it changes, for as long as the node lives.
    fn follow_roster(&self, name: &str, members: Arc<Members>, path: PathBuf) {
        let mut stop = self.stop.token(&format!("roster of {name}"));
        tokio::spawn(async move {
            tokio::select! {
                () = members.follow(&path) => {}
                () = stop.asked() => {}
            }
        });
    }

    fn spawn<E>(&mut self, name: String, run: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        self.work.spawn(async move { run.await.with_context(|| name) });
    }

    fn tailer(&mut self, given: Given) -> anyhow::Result<()> {
        let TailerSettings { paths, exclude, environment, host, spool_mib } =
            settings_of(given.settings.tailer, "tailer")?;
        let environment = environment.parse().context("[tailer] environment")?;
        let input = tailer::config::Input { paths, excludes: exclude, environment, ..Default::default() };
        let mut config = tailer::config::Config {
            data: given.settings.data,
            host,
            inputs: vec![input],
            width: given.width,
            ..Default::default()
        };
        if let Some(mib) = spool_mib {
            config.spool_bytes_max = mib << 20;
        }
        self.spawn(given.name, tailer::run::run(config, given.me, given.members, Clock::real(), given.stop));
        Ok(())
    }

    fn buck(&mut self, given: Given, bound: oneshot::Sender<SocketAddr>) -> anyhow::Result<()> {
        let BuckSettings { listen, mut disks, ack, reserve_mib } = settings_of(given.settings.buck, "buck")?;
        if disks.is_empty() {
            disks.push(given.settings.data);
        }
        let ack = match ack.as_deref() {
            None | Some("durable") => buck::config::Ack::Durable,
            Some("written") => buck::config::Ack::Written,
            Some(other) => bail!("[buck] ack = {other:?}: it is durable or written"),
        };
        let mut rules = buck::config::Rules { width: given.width, ack, ..Default::default() };
        if let Some(mib) = reserve_mib {
            rules.reserve_bytes = mib << 20;
        }
        let config = buck::config::Config { listen, disks, rules };
        self.spawn(given.name, buck::run::run(config, given.me, given.members, Clock::real(), given.stop, bound));
        Ok(())
    }

    fn porter(&mut self, given: Given, bound: oneshot::Sender<SocketAddr>) -> anyhow::Result<()> {
        let PorterSettings { listen, shelf } = settings_of(given.settings.porter, "porter")?;
        let config = porter::config::Config::new(listen, shelf.display().to_string(), given.width);
        self.spawn(given.name, porter::run::run(config, given.me, given.members, Clock::real(), bound, given.stop));
        Ok(())
    }

    fn web(&mut self, given: Given, bound: oneshot::Sender<SocketAddr>) -> anyhow::Result<()> {
        let WebSettings { listen } = settings_of(given.settings.web, "web")?;
        let config = web::config::Config::new(listen, given.width);
        let Given { name, me, members, stop, .. } = given;
        let listens = |address| {
            // Whoever waited for it has given up; the node ends with the rest.
            let _ = bound.send(address);
        };
        self.spawn(name, async move { web::run::run(config, &me, members, Clock::real(), stop, listens).await });
        Ok(())
    }
}

fn settings_of<T>(table: Option<T>, role: &str) -> anyhow::Result<T> {
    table.with_context(|| format!("the settings have no [{role}]"))
}
