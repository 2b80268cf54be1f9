//! Random scripts of everything that is done to log files, to tailers and to bucks, against a model that knows
//! every byte. A script that fails names its seed; `TAILBUCK_SEED=n cargo test -p tailer --test scripts` runs it alone.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers")]
#![allow(dead_code, reason = "the world is shared with other tests")]

mod world;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use world::World;

const SEEDS: u64 = 60;
const STEPS: usize = 40;

/// What is done and what must be found.
struct Script {
    world: World,
    rng: StdRng,
    /// Every line ever finished, and how often it was written.
    written: BTreeMap<String, usize>,
    /// A line begun and not finished, by file.
    begun: BTreeMap<String, String>,
    next: u64,
    /// Memories are lost in this script. In the others files are copied and emptied: a copy is known by its
    /// original, which a tailer that forgot no longer has.
    forgets: bool,
    forgot: bool,
    log: String,
}

const FILES: [&str; 3] = ["/l/app.log", "/l/web.log", "/l/db.log"];

impl Script {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.disk.tells_birth = rng.random_bool(0.7);
        world.tells = rng.random_bool(0.7);
        if rng.random_bool(0.3) {
            world.config.open_files_max = 8;
        }
        world.start(true);
        Self {
            world,
            rng,
            written: BTreeMap::new(),
            begun: BTreeMap::new(),
            next: 0,
            forgets: seed.is_multiple_of(2),
            forgot: false,
            log: String::new(),
        }
    }

    fn note(&mut self, what: &str) {
        writeln!(self.log, "{what}").expect("a string takes everything");
    }

    fn file(&mut self) -> String {
        FILES[self.rng.random_range(0..FILES.len())].to_owned()
    }

    fn line(&mut self) -> String {
        self.next += 1;
        let number = self.next;
        match self.rng.random_range(0..10) {
            0 => format!("no stamp {number}"),
            1 => format!("2026-11-21T09:0{}:00Z ERROR {number} {}", number % 10, "long ".repeat(300)),
            2 => format!("\tat deep.in.a.Trace{number}"),
            _ => format!("2026-11-21T10:00:00Z INFO request {number} done"),
        }
    }

    fn write(&mut self, path: &str, count: usize) {
        let mut text = String::new();
        for _ in 0..count {
            let begun = self.begun.remove(path);
            let line = begun.is_none().then(|| self.line());
            let rest = line.clone().unwrap_or_else(|| " ended".to_owned());
            let whole = begun.map_or(rest.clone(), |begun| begun + &rest);
            // Now and then two equal lines, one after the other.
            let twice = line.is_some() && self.rng.random_bool(0.05);
            for _ in 0..=usize::from(twice) {
                text += &rest;
                text.push('\n');
                *self.written.entry(whole.clone()).or_default() += 1;
            }
        }
        self.world.write(path, text.as_bytes());
    }

    fn begin(&mut self, path: &str) {
        if !self.begun.contains_key(path) {
            let half = self.line();
            self.world.write(path, half.as_bytes());
            self.begun.insert(path.to_owned(), half);
        }
    }

    /// Everything is read: what is destroyed now was seen.
    fn quiet(&mut self, path: &str) {
        if self.begun.contains_key(path) {
            self.write(path, 1);
        }
        (self.world.full, self.world.down) = (false, std::collections::BTreeSet::new());
        self.world.settle();
    }

    fn rotate(&mut self, path: &str) {
        if self.begun.contains_key(path) {
            self.write(path, 1);
        }
        for n in (1..4).rev() {
            let (from, to) = (format!("{path}.{n}"), format!("{path}.{}", n + 1));
            if self.world.disk.exists(&from) {
                if n == 3 && self.world.disk.exists(&to) {
                    self.quiet(path);
                }
                self.world.rename(&from, &to);
            }
        }
        self.world.rename(path, &format!("{path}.1"));
    }

    fn copytruncate(&mut self, path: &str) {
        self.quiet(path);
        let bytes = self.world.disk.bytes(path);
        let copy = format!("{path}.copy{}", self.next);
        self.world.write(&copy, &bytes);
        if self.rng.random_bool(0.5) {
            self.pause();
        }
        // The copy may have taken longer than it is waited for; then it is a file like any other.
        self.world.truncate(path);
        self.world.run_seconds(20);
    }

    fn pause(&mut self) {
        let millis = [1, 30, 300, 2000, 2500][self.rng.random_range(0..5)];
        self.world.run(Duration::from_millis(millis));
    }

    fn step(&mut self) {
        let path = self.file();
        let there = self.world.disk.exists(&path);
        let choice = self.rng.random_range(0..100);
        self.note(&format!("{choice} {path}"));
        match choice {
            0..35 => {
                let count = [1, 3, 50, 3000][self.rng.random_range(0..4)];
                self.write(&path, count);
            }
            35..40 => self.begin(&path),
            40..55 => self.pause(),
            55..60 => self.world.run_seconds(70),
            60..66 if there => self.rotate(&path),
            66..70 if there && !self.forgets => self.copytruncate(&path),
            70..75 if there => {
                self.quiet(&path);
                self.world.disk.truncate(&path, 0);
                let count = [1, 100, 2000][self.rng.random_range(0..3)];
                self.write(&path, count);
            }
            75..79 if there => {
                self.quiet(&path);
                self.world.disk.delete(&path);
                if !self.world.disk.tells_birth {
                    // Without a birth time only time, or other bytes, tell two files with one number apart.
                    self.world.run_seconds(30);
                }
            }
            79..84 => self.crash(),
            84..87 => {
                self.world.stop();
                self.world.start(true);
            }
            87..90 if self.forgets => self.lose_everything(&path),
            90..95 => {
                let all = self.world.machine_bucks();
                self.world.down = all.into_iter().filter(|_| self.rng.random_bool(0.6)).collect();
            }
            95..97 => self.world.down.clear(),
            97..98 => self.world.full = true,
            _ => self.world.full = false,
        }
    }

    fn crash(&mut self) {
        if self.forgets && self.rng.random_bool(0.5) {
            self.world.kill_with_old_memory();
        } else {
            self.world.kill();
        }
        self.world.full = false;
        if self.forgets && self.rng.random_bool(0.3) {
            // Who has forgotten and can't ask begins again; that is said, and is no part of this.
            self.world.down.clear();
            self.world.wipe_memory();
        }
        if self.rng.random_bool(0.3) {
            let path = self.file();
            self.write(&path, 20);
        }
        let same_boot = !self.forgets || self.rng.random_bool(0.7);
        self.note(&format!("crash, boot {same_boot}, memory {}", self.world.memory.files.len()));
        self.world.start(same_boot);
    }

    /// Spool and memory are gone, when all they held has arrived.
    fn lose_everything(&mut self, path: &str) {
        FILES.iter().for_each(|path| self.quiet(path));
        self.world.kill();
        self.world.wipe_spool();
        self.forgot = true;
        if self.rng.random_bool(0.5) && self.world.disk.exists(path) {
            self.world.disk.truncate(path, 0);
        }
        self.write(path, 10);
        self.world.start(false);
    }

    fn check(&mut self) {
        FILES.iter().for_each(|path| self.quiet(path));
        self.world.run_seconds(200);
        self.world.settle();
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.world.all_lines() {
            *found.entry(line).or_default() += 1;
        }
        let wrong: Vec<_> = self
            .written
            .iter()
            .map(|(line, count)| (line, *count, found.get(line).copied().unwrap_or(0)))
            .filter(|(_, wanted, had)| wanted != had)
            .take(5)
            .collect();
        if let Some((line, ..)) = wrong.first() {
            let places = self.world.bucks.events().into_iter().filter(|(_, found)| found.line == line.as_bytes());
            let places: Vec<_> =
                places.map(|(id, found)| (found.path, found.generation, id.stream, id.offset)).collect();
            writeln!(self.log, "found at {places:?}, births told: {}", self.world.disk.tells_birth).expect("text");
        }
        assert!(wrong.is_empty(), "written and found: {wrong:?}\n{:?}\n{}", self.world.warnings, self.log);
        let invented: Vec<_> = found.keys().filter(|line| !self.written.contains_key(*line)).take(5).collect();
        assert!(invented.is_empty(), "{invented:?}");
        assert_eq!(self.world.bucks.fewest_copies(), 2);
        assert_eq!(self.world.lost_warnings(), 0, "{:?}", self.world.warnings);
        self.check_closings();
    }

    /// Every packet on a buck is in its bucket's closing, by its run and number. A tailer that lost its spool knows
    /// nothing of what it put into the bucket that was open then.
    fn check_closings(&self) {
        if self.forgot {
            return;
        }
        let open = self.world.bucks.all().keys().map(|id| id.bucket).max();
        for id in self.world.bucks.all().keys().filter(|id| Some(id.bucket) != open) {
            let closed = self.world.bucks.closed.get(&(id.environment.clone(), id.bucket));
            let counted =
                closed.is_some_and(|closed| closed.runs.iter().any(|run| run.run == id.run && run.packets > id.seq));
            assert!(counted, "{id} is not in {closed:?}");
        }
    }
}

fn run(seed: u64) {
    let mut script = Script::new(seed);
    for _ in 0..STEPS {
        script.step();
    }
    script.check();
}

#[test]
fn random_scripts_lose_nothing_and_invent_nothing() {
    let one = std::env::var("TAILBUCK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut failed = Vec::new();
    for seed in seeds {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "TAILBUCK_SEED={} cargo test -p tailer --test scripts; of {failed:?}", failed[0]);
}
