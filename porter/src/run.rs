//! A porter at work: one task owns the machine, and everything it asks for is done beside it.
//!
//! Stopping, in this order: the machine is asked nothing more, what is under way ends or is left (a port can be
//! left anywhere), the endpoint says goodbye, and answers that are being given end with it.

use crate::build::build;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::fetch::{Bucks, blocking};
use crate::machine::{Action, AskId, Build, Machine, Peers, Reply};
use crate::manifest::Manifest;
use crate::objects::{Shelf, ShelfError};
use crate::serve::{Desk, Work, serve};
use proto::ids::Environment;
use proto::io::clock::Clock;
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::{Endpoint, LinkError};
use proto::io::stop::Token;
use proto::roster::{Environments, Role, Roster, Standing};
use proto::time::BucketWidth;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// How often the buckets of late are looked through for what other porters wrote, and the whole shelf.
const REFRESH_LATE_EVERY: Duration = Duration::from_secs(5);
const REFRESH_ALL_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("this shelf holds buckets of {found} s, and the settings say {asked} s")]
    Width { found: u32, asked: u32 },
    #[error("can't tell the address it listens on: {0}")]
    Address(std::io::Error),
    #[error("a thread ended early: {0}")]
    Panicked(String),
}

impl RunError {
    /// What was asked for can't be done, as against something going wrong on the way.
    #[must_use]
    pub fn is_asked_wrongly(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Width { .. } | Self::Shelf(ShelfError::Place { .. }))
    }
}

/// Runs until it is told to stop. Says where it listens as soon as it does.
pub async fn run(
    config: Config,
    me: Arc<NodeKeys>,
    members: Arc<Members>,
    clock: Clock,
    bound: oneshot::Sender<SocketAddr>,
    mut stop: Token,
) -> Result<(), RunError> {
    config.validate().map_err(RunError::Config)?;
    let catalog = open_shelf(&config).await?;
    let (endpoint, arrivals) = Endpoint::listen(config.listen, &me.keys, Arc::clone(&members), clock)?;
    let endpoint = Arc::new(endpoint);
    let address = endpoint.local_address().map_err(RunError::Address)?;
    info!(%address, shelf = ?catalog.shelf(), "the porter answers");
    // Who started us may not care to know.
    let _ = bound.send(address);

    let desk = Arc::new(Desk::new(Arc::clone(&catalog), Arc::clone(&members), clock, config.searches_max));
    let mut serving = tokio::spawn(serve(arrivals, Arc::clone(&desk)));
    let links = Arc::new(Links::new(Arc::clone(&endpoint), Arc::clone(&members), clock));
    let bucks = Bucks { links, members: Arc::clone(&members), patience: config.rules.buck_patience };
    let mut worker = Worker::new(&config, &me, clock, catalog, bucks, desk);
    let ended = tokio::select! {
        ended = worker.work(members.watch()) => ended,
        ended = &mut serving => Err(RunError::Panicked(ended.map_or_else(|why| why.to_string(), |()| "serve".to_owned()))),
        () = stop.asked() => Ok(()),
    };
    worker.tasks.shutdown().await;
    endpoint.close().await;
    serving.abort();
    ended
}

/// Opens the shelf, and reads all that stands on it.
async fn open_shelf(config: &Config) -> Result<Arc<Catalog>, RunError> {
    let (place, width) = (config.shelf.clone(), config.width);
    let runtime = tokio::runtime::Handle::current();
    let opened = tokio::task::spawn_blocking(move || {
        let catalog = Catalog::new(Shelf::open(&place, &runtime)?, width);
        let new = catalog.refresh("")?;
        info!(shards = new.len(), "the shelf is read");
        check_width(&catalog, &new, width)?;
        Ok(Arc::new(catalog))
    });
    opened.await.unwrap_or_else(|why| Err(RunError::Panicked(why.to_string())))
}

/// A shelf of another width would hold the same bucket twice under two names.
fn check_width(catalog: &Catalog, manifests: &[Arc<Manifest>], width: BucketWidth) -> Result<(), RunError> {
    let blocks =
        manifests.iter().flat_map(|manifest| manifest.blocks.iter().map(|block| manifest.at.block(block.name)));
    let found = blocks.filter_map(|block| catalog.open(&block).ok()).map(|opened| opened.head.head.width).next();
    match found {
        Some(found) if found != width => Err(RunError::Width { found: found.seconds(), asked: width.seconds() }),
        _ => Ok(()),
    }
}

/// What comes back to the machine.
enum Told {
    Reply(AskId, Reply),
    Refreshed,
}

struct Worker {
    machine: Machine,
    clock: Clock,
    width: BucketWidth,
    catalog: Arc<Catalog>,
    bucks: Bucks,
    desk: Arc<Desk>,
    tasks: JoinSet<Told>,
    refreshing: bool,
    refreshed: Duration,
    refreshed_all: Duration,
    environments: BTreeSet<Environment>,
    porters: usize,
}

impl Worker {
    fn new(config: &Config, me: &NodeKeys, clock: Clock, catalog: Arc<Catalog>, bucks: Bucks, desk: Arc<Desk>) -> Self {
        let mut rules = config.rules.clone();
        rules.copies = catalog.shelf().copies();
        Self {
            machine: Machine::new(me.id, rules, config.width),
            clock,
            width: config.width,
            catalog,
            bucks,
            desk,
            tasks: JoinSet::new(),
            refreshing: false,
            refreshed: Duration::ZERO,
            refreshed_all: Duration::ZERO,
            environments: BTreeSet::new(),
            porters: 1,
        }
    }

    async fn work(&mut self, mut roster: watch::Receiver<Arc<Roster>>) -> Result<(), RunError> {
        let stands = self.catalog.manifests();
        self.learn(&stands);
        self.meet(&roster.borrow_and_update().clone());
        loop {
            let news = self.catalog.take_news();
            if !news.is_empty() {
                self.learn(&news);
            }
            self.act().await?;
            let wake = self.machine.next_timeout().unwrap_or(Duration::MAX).min(self.next_refresh());
            let wait = wake.saturating_sub(self.clock.mono()).min(REFRESH_ALL_EVERY);
            tokio::select! {
                biased;
                changed = roster.changed() => {
                    if changed.is_ok() {
                        let roster = roster.borrow_and_update().clone();
                        self.meet(&roster);
                    }
                }
                Some(told) = self.tasks.join_next(), if !self.tasks.is_empty() => match told {
                    Ok(Told::Reply(ask, reply)) => self.machine.on_reply(self.clock.now(), ask, reply),
                    Ok(Told::Refreshed) => self.refreshing = false,
                    Err(why) if why.is_panic() => return Err(RunError::Panicked(why.to_string())),
                    Err(_) => {}
                },
                () = tokio::time::sleep(wait) => self.machine.on_timeout(self.clock.now()),
            }
        }
    }

    fn meet(&mut self, roster: &Roster) {
        let peers = peers_of(roster);
        self.porters = peers.porters;
        self.environments.extend(peers.tailers.keys().cloned());
        self.machine.on_peers(self.clock.now(), peers);
    }

    fn learn(&mut self, manifests: &[Arc<Manifest>]) {
        self.environments.extend(manifests.iter().map(|manifest| manifest.at.environment.clone()));
        self.machine.on_manifests(self.clock.now(), manifests);
    }

    /// Does all that the machine wants done, and tells the desk how it stands.
    async fn act(&mut self) -> Result<(), RunError> {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Stands(manifest) => self.stands(manifest).await?,
                action => self.begin(action),
            }
        }
        self.refresh();
        let mut work = self.desk.work.lock().unwrap_or_else(PoisonError::into_inner);
        *work = Work {
            counters: self.machine.counters(),
            trouble: self.machine.trouble().map(str::to_owned).collect(),
            working_on: self.machine.working_on().map(ToString::to_string),
        };
        Ok(())
    }

    /// Waits until answers and the next look know of it.
    async fn stands(&self, manifest: Arc<Manifest>) -> Result<(), RunError> {
        let catalog = Arc::clone(&self.catalog);
        let at = manifest.at.clone();
        let (version, blocks, complete) =
            (manifest.version, manifest.blocks.len(), manifest.completeness.is_complete());
        let added = tokio::task::spawn_blocking(move || catalog.add(&manifest)).await;
        info!(bucket = %at, version, blocks, complete, "a bucket stands on the shelf");
        added.map_err(|why| RunError::Panicked(why.to_string()))
    }

    fn begin(&mut self, action: Action) {
        let bucks = self.bucks.clone();
        match action {
            Action::AskHoldings { ask, buck, after } => {
                self.tasks.spawn(async move { Told::Reply(ask, bucks.holdings(buck, after).await) });
            }
            Action::AskInventory { ask, buck, environment, bucket, after } => {
                let asked = async move { Told::Reply(ask, bucks.inventory(buck, environment, bucket, after).await) };
                self.tasks.spawn(asked);
            }
            Action::Fetch { ask, buck, packets } => {
                self.tasks.spawn(async move { Told::Reply(ask, bucks.fetch(buck, packets).await) });
            }
            Action::Build(work) => {
                let width = self.width;
                let ask = work.ask;
                self.tasks.spawn(async move { Told::Reply(ask, blocking(move || built(&work, width)).await) });
            }
            action => self.on_shelf(action),
        }
    }

    fn on_shelf(&mut self, action: Action) {
        let catalog = Arc::clone(&self.catalog);
        let many = self.porters > 1;
        let (ask, work): (AskId, Box<dyn FnOnce() -> Reply + Send>) = match action {
            Action::Earlier { ask, environment, streams, also } => {
                let late = if many { self.late_prefixes() } else { Vec::new() };
                let earlier = move || {
                    // What another porter put a moment ago is better known now than told apart later.
                    late.iter().try_for_each(|prefix| catalog.refresh(prefix).map(drop))?;
                    catalog.earlier(&environment, &streams, &also)
                };
                (ask, Box::new(move || reply(earlier(), Reply::Earlier)))
            }
            Action::Doubles { ask } => (ask, Box::new(move || reply(catalog.doubles(), Reply::Doubles))),
            Action::List { ask, prefix } => (
                ask,
                Box::new(move || {
                    // Another porter's work on this bucket must be known before it is built upon.
                    let refreshed = if many { catalog.refresh(&prefix).map(drop) } else { Ok(()) };
                    reply(refreshed.and_then(|()| catalog.shelf().list(&prefix)), Reply::Listed)
                }),
            ),
            Action::Get { ask, path } => {
                (ask, Box::new(move || reply(catalog.shelf().get(&path), |bytes| Reply::Got(bytes.map(Arc::from)))))
            }
            Action::PutIfAbsent { ask, path, bytes } => {
                (ask, Box::new(move || reply(catalog.shelf().put_if_absent(&path, &bytes), Reply::Put)))
            }
            Action::Delete { ask, path } => {
                (ask, Box::new(move || reply(catalog.shelf().delete(&path), |()| Reply::Deleted)))
            }
            _ => return,
        };
        self.tasks.spawn(async move { Told::Reply(ask, blocking(work).await) });
    }

    fn next_refresh(&self) -> Duration {
        if self.porters < 2 || self.refreshing { Duration::MAX } else { self.refreshed + REFRESH_LATE_EVERY }
    }

    /// Looks for what other porters wrote.
    fn refresh(&mut self) {
        let now = self.clock.now();
        if self.next_refresh() > now.mono {
            return;
        }
        self.refreshing = true;
        self.refreshed = now.mono;
        let mut prefixes = self.late_prefixes();
        if self.refreshed_all + REFRESH_ALL_EVERY <= now.mono {
            self.refreshed_all = now.mono;
            prefixes = vec![String::new()];
        }
        let catalog = Arc::clone(&self.catalog);
        self.tasks.spawn(async move {
            let read = tokio::task::spawn_blocking(move || {
                prefixes.iter().try_for_each(|prefix| catalog.refresh(prefix).map(drop))
            });
            if let Ok(Err(why)) = read.await {
                warn!(%why, "the shelf can't be listed");
            }
            Told::Refreshed
        });
    }

    /// The folders that hold the newest buckets of each environment.
    fn late_prefixes(&self) -> Vec<String> {
        let bucket = self.width.bucket_of(self.clock.wall());
        // A folder holds 36 times 36 buckets.
        let before = proto::time::BucketId(bucket.0.saturating_sub(36 * 36));
        let folder = |bucket: proto::time::BucketId| bucket.path().split('/').next().unwrap_or_default().to_owned();
        let folders = BTreeSet::from([folder(before), folder(bucket)]);
        let of = |environment: &Environment| folders.iter().map(|f| format!("{environment}/{f}/")).collect::<Vec<_>>();
        self.environments.iter().flat_map(of).collect()
    }
}

fn reply<T, E: std::fmt::Display>(result: Result<T, E>, good: impl FnOnce(T) -> Reply) -> Reply {
    result.map_or_else(|why| Reply::Failed(why.to_string()), good)
}

fn built(work: &Build, width: BucketWidth) -> Reply {
    reply(build(&work.of, &work.earlier, width), Reply::Built)
}

/// Whom the roster makes the machine reckon with.
fn peers_of(roster: &Roster) -> Peers {
    let here = |role| roster.with_role(role).filter(|peer| !matches!(peer.standing, Standing::Lost(_)));
    let mut peers = Peers {
        bucks: here(Role::Buck).map(|peer| peer.id).collect(),
        porters: here(Role::Porter).count(),
        ..Peers::default()
    };
    for tailer in here(Role::Tailer) {
        // One that may write everywhere is expected where it was seen.
        let Environments::Only(environments) = &tailer.environments else { continue };
        for environment in environments {
            peers.tailers.entry(environment.clone()).or_default().insert(tailer.id);
        }
    }
    peers
}

#[cfg(test)]
mod tests;
