//! One seed, one story: a cluster is run and judged.

use crate::checks::{READABLE, clock, conserve, honest, invention, loss, once, search};
use crate::cluster::Cluster;
use crate::faults::{Bug, Options, Preset};
use crate::ghost::Violation;
use crate::truth::Truth;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// How big a run must be to count.
pub const LINES_MIN: u64 = 2000;
pub const FAULTS_MIN: u64 = 20;
pub const BUCKETS_MIN: u64 = 6;

#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub preset: Preset,
    pub simulated: Duration,
    pub account: conserve::Account,
    pub faults: BTreeMap<&'static str, u64>,
    pub buckets: u64,
    pub complete: u64,
    pub packets: u64,
    /// Things that happened.
    pub steps: u64,
    pub evaluated: BTreeMap<&'static str, u64>,
    pub violations: Vec<Violation>,
    pub hash: u64,
}

impl Outcome {
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Big enough to prove something.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.account.born >= LINES_MIN && self.struck() >= FAULTS_MIN && self.buckets >= BUCKETS_MIN
    }

    /// Simulated hours in which at least so much happened an hour.
    #[must_use]
    pub fn hours(&self) -> f64 {
        if !self.counts() {
            return 0.0;
        }
        let least = [self.account.born / LINES_MIN, self.struck() / FAULTS_MIN, self.buckets / BUCKETS_MIN];
        let dense = Duration::from_secs(3600 * least.into_iter().min().unwrap_or(0));
        self.simulated.min(dense).as_secs_f64() / 3600.0
    }
}

#[must_use]
pub fn options_of(seed: u64, bug: Option<Bug>) -> Options {
    let mut options = Options::draw(&mut StdRng::seed_from_u64(seed));
    options = options.with_relapse(&mut StdRng::seed_from_u64(seed ^ 0x7265_6c61));
    options = options.with_small_spools(&mut StdRng::seed_from_u64(seed ^ 0x7370_6f6f));
    options.bug = bug;
    if let Some(bug) = bug {
        options.call_for(bug, seed);
    }
    options
}

#[must_use]
pub fn tell(seed: u64, bug: Option<Bug>, trace: bool) -> Outcome {
    tell_with(seed, options_of(seed, bug), trace)
}

#[must_use]
pub fn tell_with(seed: u64, options: Options, trace: bool) -> Outcome {
    let preset = options.preset;
    let mut cluster = Cluster::new(seed, options, trace);
    cluster.run();
    judge(seed, preset, cluster)
}

fn judge(seed: u64, preset: Preset, cluster: Cluster) -> Outcome {
    let Cluster { mut world, hosts, web, .. } = cluster;
    let read = world.objects.archived();
    world.check(READABLE, read.is_ok(), || read.as_ref().err().cloned().unwrap_or_default());
    let mut archived = read.unwrap_or_default();
    archived.sort_unstable();
    let (lines, losses): (Vec<_>, Vec<_>) = archived.iter().cloned().partition(|event| event.lost_to.is_none());
    let truth = Truth::of(&world, &hosts, &lines);
    invention::check(&mut world, &truth, &lines);
    once::check(&mut world, &archived);
    once::check_lives(&mut world, &truth);
    honest::check(&mut world);
    clock::check(&mut world);
    loss::check(&mut world, &truth);
    loss::check_named(&mut world, &truth, &losses);
    let account = conserve::check(&mut world, &truth, &lines);
    search::check(&mut world, &truth, &archived, &web.found);
    for event in &archived {
        let what = format!("{} {} {}", event.stream, event.offset, event.line.len());
        world.note(event.tailer, &what);
    }
    let manifests = world.objects.newest("");
    let mut faults = world.ghost.faults;
    faults.insert("lost or repeated messages", world.net.struck);
    Outcome {
        seed,
        preset,
        simulated: world.timeline.now(),
        account,
        faults,
        buckets: manifests.len() as u64,
        complete: manifests.iter().filter(|manifest| manifest.completeness.is_complete()).count() as u64,
        packets: world.ghost.filed.len() as u64,
        steps: world.timeline.planned_ever(),
        evaluated: world.ghost.evaluated,
        violations: world.ghost.violations,
        hash: world.trace.hash,
    }
}
