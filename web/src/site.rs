//! The web as one thing: whom it asks, what runs now, what was counted, and whether it is about to stop.

use crate::api::Complaint;
use crate::config::Config;
use crate::nodes::Nodes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub struct Site {
    pub nodes: Arc<dyn Nodes>,
    pub config: Arc<Config>,
    searches: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    running: Arc<Mutex<BTreeMap<String, watch::Sender<bool>>>>,
    names: AtomicU64,
    stopping: watch::Sender<bool>,
    pub counters: Arc<Counters>,
}

/// Since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub refused: AtomicU64,
    pub searches: AtomicU64,
    pub histograms: AtomicU64,
    pub tails: AtomicU64,
    pub events: AtomicU64,
    pub events_dropped: AtomicU64,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a request takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Search,
    Tail,
}

impl Site {
    #[must_use]
    pub fn new(nodes: Arc<dyn Nodes>, config: Config) -> Self {
        let first_name = nodes.now().wall.0.unsigned_abs();
        Self {
            searches: Arc::new(Semaphore::new(config.limits.searches_max)),
            tails: Arc::new(Semaphore::new(config.limits.tails_max)),
            running: Arc::default(),
            names: AtomicU64::new(first_name),
            stopping: watch::Sender::new(false),
            counters: Arc::default(),
            config: Arc::new(config),
            nodes,
        }
    }

    /// A place among what runs; refused when too much does.
    pub fn start(&self, kind: Kind) -> Result<Running, Complaint> {
        let (places, what) = match kind {
            Kind::Search => (&self.searches, "searches"),
            Kind::Tail => (&self.tails, "live tails"),
        };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| Complaint::busy(what))?;
        let name = format!("{:016x}", self.names.fetch_add(1, Ordering::Relaxed));
        let asked = watch::Sender::new(false);
        let stop = asked.subscribe();
        lock(&self.running).insert(name.clone(), asked);
        Ok(Running {
            name,
            all: Arc::clone(&self.running),
            stop,
            stopping: self.stopping.subscribe(),
            counters: Arc::clone(&self.counters),
            _place: place,
        })
    }

    /// Ends one search and keeps what it found; false when there is none of that name.
    #[must_use]
    pub fn stop(&self, name: &str) -> bool {
        lock(&self.running).get(name).is_some_and(|asked| asked.send(true).is_ok())
    }

    /// Ends everything that runs.
    pub fn stop_all(&self) {
        self.stopping.send_replace(true);
    }

    #[must_use]
    pub fn running(&self) -> usize {
        lock(&self.running).len()
    }

    /// In the text format Prometheus reads.
    #[must_use]
    pub fn metrics(&self) -> String {
        let counters = &self.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let running = u64::try_from(self.running()).unwrap_or(u64::MAX);
        let lines = [
            ("requests_total", "counter", "HTTP requests", count(&counters.requests)),
            ("requests_refused_total", "counter", "HTTP requests answered with an error", count(&counters.refused)),
            ("searches_total", "counter", "searches and exports begun", count(&counters.searches)),
            ("histograms_total", "counter", "histograms begun", count(&counters.histograms)),
            ("tails_total", "counter", "live tails begun", count(&counters.tails)),
            ("events_total", "counter", "events sent to readers", count(&counters.events)),
            ("events_dropped_total", "counter", "events of live tails left out", count(&counters.events_dropped)),
            ("running", "gauge", "searches, histograms and live tails at work", running),
        ];
        let text = lines.map(|(name, kind, help, value)| {
            format!(
                "# HELP tailbuck_web_{name} {help}\n# TYPE tailbuck_web_{name} {kind}\ntailbuck_web_{name} {value}\n"
            )
        });
        text.concat()
    }
}

/// A place held by something that runs; let go of when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    all: Arc<Mutex<BTreeMap<String, watch::Sender<bool>>>>,
    stop: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    counters: Arc<Counters>,
    _place: OwnedSemaphorePermit,
}

impl Running {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when somebody wants this to end. Cancel-safe.
    pub async fn stopped(&mut self) {
        tokio::select! {
            _ = self.stop.wait_for(|asked| *asked) => {}
            _ = self.stopping.wait_for(|asked| *asked) => {}
        }
    }

    pub fn sent(&self, events: usize) {
        self.counters.events.fetch_add(u64::try_from(events).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn dropped(&self, events: u64) {
        self.counters.events_dropped.fetch_add(events, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
