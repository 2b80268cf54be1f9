//! What whole-program tests stand on: a folder of their own, the real binary, and waiting for a condition.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test panics when it is red, says so, and measures its patience"
)]

pub mod cut;
pub mod fleet;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test is red. Long, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that goes when the test passes, and stays to be looked at when it fails.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tailbuck-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder to test in");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The program under test.
pub fn tailbuck() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailbuck"));
    command.env_remove("TAILBUCK_LOG").stdin(Stdio::null());
    command
}

/// Runs to the end and gives back everything it said.
pub fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `done` gives something; panics with `what` when that takes too long.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A running program that is killed with its test.
pub struct Running {
    child: Child,
    command: Vec<String>,
    log: PathBuf,
}

impl Running {
    /// Its stderr is added to `log`.
    pub fn start(words: &[&str], log: &Path) -> Self {
        let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Self { child: spawn(&command, log), command, log: log.to_owned() }
    }

    /// SIGKILL, and the same again.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(&self.command, &self.log);
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGINT, as Ctrl-C sends it; gives back the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
        wait_for("the program stops on SIGINT", || self.child.try_wait().expect("its own child")).code()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The exit code, if it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("its own child").map(|status| status.code().unwrap_or(-1))
    }

    /// Its stdout from now on, line by line as they come.
    pub fn lines(&mut self) -> Lines {
        let mut lines = BufReader::new(self.child.stdout.take().expect("piped")).lines();
        let (found, next) = mpsc::channel();
        // Ends with the program, or when nobody listens any more.
        thread::spawn(move || lines.by_ref().map_while(Result::ok).try_for_each(|line| found.send(line)));
        Lines(next)
    }

    /// The first line of its stdout that `wanted` takes.
    pub fn wait_for_line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut lines = BufReader::new(self.child.stdout.take().expect("piped")).lines();
        loop {
            match lines.next() {
                Some(line) => {
                    let line = line.expect("text");
                    if let Some(value) = wanted(&line) {
                        // The pipe must stay open, or the program's next word would end it.
                        thread::spawn(move || lines.for_each(drop));
                        return value;
                    }
                }
                None => panic!("it ended before it said so:\n{}", self.log()),
            }
        }
    }
}

/// What a program says.
pub struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub fn try_next(&mut self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// The next line; `None` when the program says nothing more or nothing for so long.
    pub fn next_within(&mut self, patience: Duration) -> Option<String> {
        self.0.recv_timeout(patience).ok()
    }
}

fn spawn(words: &[String], log: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log to write");
    let mut command = tailbuck();
    command.args(words).stdout(Stdio::piped()).stderr(log);
    command.spawn().expect("the program starts")
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let mut log = String::new();
            let _ = fs::File::open(&self.log).map(|mut file| file.read_to_string(&mut log));
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- {} said:", self.command.join(" "));
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Whether a file with this ending lies anywhere below.
pub fn find_file(folder: &Path, ending: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|found| found == ending) || path.is_dir() && find_file(&path, ending)
    })
}
