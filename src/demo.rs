//! `up --demo`: a made-up shop that logs, so that a person with nothing to tail sees something.
//!
//! Three programs on one host write to files of their own: an access log, JSON from the shop itself, and a worker
//! that now and then fails with a stack trace. Load swells and ebbs over minutes; files are rotated at 4 MiB.

use proto::io::clock::{self, Clock};
use proto::io::stop::{Stop, Token};
use proto::time::{Timestamp, civil_from_days};
use rand::RngExt;
use rand::rngs::StdRng;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROTATE_BYTES: u64 = 4 << 20;
const ROTATED_KEPT: u32 = 3;
const TURN: Duration = Duration::from_millis(250);

const PATHS: [&str; 8] =
    ["/", "/cart", "/checkout", "/item/4711", "/item/90210", "/search?q=lamp", "/healthz", "/login"];
const AGENTS: [&str; 3] = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "ShopApp/3.2 (iPhone)"];
const JOBS: [&str; 4] = ["send-receipt", "resize-image", "rebuild-index", "sync-stock"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Opens the shop; it writes until everybody stops. The folder is made.
pub fn start(folder: PathBuf, stop: &Stop) {
    let token = stop.token("demo");
    tokio::spawn(async move {
        if let Err(error) = run(&folder, token).await {
            tracing::error!(folder = %folder.display(), %error, "the demo can't go on");
        }
    });
}

async fn run(folder: &Path, mut stop: Token) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut shop = Shop::open(folder)?;
    let clock = Clock::real();
    let mut turn = tokio::time::interval(TURN);
    loop {
        tokio::select! {
            _ = turn.tick() => shop.turn(clock.wall())?,
            () = stop.asked() => return Ok(()),
        }
    }
}

/// What `up` follows when the demo runs.
pub fn glob(folder: &Path) -> String {
    folder.join("*.log").display().to_string()
}

struct Shop {
    rng: StdRng,
    access: Log,
    app: Log,
    worker: Log,
    turns: u32,
}

impl Shop {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let log = |name: &str| Log::open(folder.join(name));
        let rng = clock::generator()?;
        Ok(Self { rng, access: log("access.log")?, app: log("shop.log")?, worker: log("worker.log")?, turns: 0 })
    }

    fn turn(&mut self, now: Timestamp) -> io::Result<()> {
        self.turns = self.turns.wrapping_add(1);
        // A wave of about two minutes between 2 and 22 requests a turn.
        let wave = f64::from(self.turns % 480) / 480.0 * std::f64::consts::TAU;
        let busy = 12.0 - 10.0 * wave.cos();
        for _ in 0..(0..24).filter(|_| self.rng.random_bool(busy / 24.0)).count() {
            self.request(now)?;
        }
        if self.rng.random_bool(0.4) {
            self.job(now)?;
        }
        Ok(())
    }

    fn request(&mut self, now: Timestamp) -> io::Result<()> {
        let rng = &mut self.rng;
        let path = PATHS[rng.random_range(0..PATHS.len())];
        let millis = rng.random_range(1..40u32) + if rng.random_bool(0.03) { rng.random_range(400..3000) } else { 0 };
        let status = if millis > 2000 {
            504
        } else if rng.random_bool(0.02) {
            500
        } else if rng.random_bool(0.03) {
            404
        } else {
            200
        };
        let (a, b) = (rng.random_range(0..256u32), rng.random_range(1..255u32));
        let agent = AGENTS[rng.random_range(0..AGENTS.len())];
        let trace: u64 = rng.random();
        let (day, clock) = common_log_time(now);
        let bytes = rng.random_range(200..30_000u32);
        self.access.line(&format!(
            "10.0.{a}.{b} - - [{day}:{clock} +0000] \"GET {path} HTTP/1.1\" {status} {bytes} \"-\" \"{agent}\""
        ))?;
        let level = if status >= 500 {
            "error"
        } else if status == 404 || millis > 400 {
            "warn"
        } else {
            "info"
        };
        let message = if status == 504 {
            "upstream timed out"
        } else if status == 500 {
            "connection reset by peer"
        } else {
            "request done"
        };
        self.app.line(&format!(
            "{{\"time\":\"{now}\",\"level\":\"{level}\",\"msg\":\"{message}\",\"path\":\"{path}\",\"status\":{status},\"ms\":{millis},\"trace\":\"{trace:016x}\"}}"
        ))
    }

    fn job(&mut self, now: Timestamp) -> io::Result<()> {
        let job = JOBS[self.rng.random_range(0..JOBS.len())];
        let number = self.rng.random_range(100_000..1_000_000u32);
        if self.rng.random_bool(0.05) {
            self.worker.line(&format!("{now} ERROR worker: job {job} #{number} failed"))?;
            self.worker.line("java.lang.IllegalStateException: stock went below zero")?;
            self.worker.line("    at shop.stock.Ledger.take(Ledger.java:118)")?;
            return self.worker.line("    at shop.worker.Main.run(Main.java:42)");
        }
        let millis = self.rng.random_range(5..900u32);
        self.worker.line(&format!("{now} INFO worker: job {job} #{number} done in {millis} ms"))
    }
}

/// `21/Nov/2026` and `10:04:22`.
fn common_log_time(time: Timestamp) -> (String, String) {
    let (year, month, day) = civil_from_days(time.seconds().div_euclid(86_400));
    let of_day = time.seconds().rem_euclid(86_400);
    let name = MONTHS[(month.clamp(1, 12) - 1) as usize];
    (format!("{day:02}/{name}/{year}"), format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60))
}

/// A file that rotates itself by renaming, as logrotate does.
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > ROTATE_BYTES {
            self.rotate()?;
        }
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.bytes += line.len() as u64 + 1;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..ROTATED_KEPT).rev() {
            let _ = std::fs::rename(numbered(number), numbered(number + 1));
        }
        std::fs::rename(&self.path, numbered(1))?;
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_log_has_the_usual_time() {
        let (day, clock) = common_log_time(Timestamp::from_seconds(1_795_255_262));
        assert_eq!((day.as_str(), clock.as_str()), ("21/Nov/2026", "10:01:02"));
    }
}
