//! The lines that are measured: a folder's, or made up.

use porter::block::{BlockHead, Profile, Writer, Written};
use proto::event::{Flags, Level, OwnedEvent, Source};
use proto::ids::{Environment, NodeId, StreamId};
use proto::limits::LINE_BYTES_MAX;
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// One file, and of which format it is.
pub struct LogFile {
    pub format: String,
    pub bytes: Vec<u8>,
}

pub struct Corpus {
    pub files: Vec<LogFile>,
    pub made_up: bool,
}

const MADE_UP_BYTES: usize = 24 << 20;

impl Corpus {
    pub fn load() -> Self {
        match std::env::var_os("TAILBUCK_CORPUS") {
            Some(folder) => Self::read(Path::new(&folder)),
            None => Self { files: made_up(), made_up: true },
        }
    }

    fn read(folder: &Path) -> Self {
        let mut paths = Vec::new();
        walk(folder, &mut paths);
        paths.sort();
        let mut files: Vec<LogFile> = Vec::new();
        for path in paths {
            let format = format_of(folder, &path);
            let bytes = std::fs::read(&path).unwrap_or_default();
            files.push(LogFile { format, bytes });
        }
        Self { files, made_up: false }
    }

    pub fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.bytes.len()).sum()
    }

    /// Of all files' bytes, one file after another in the order of their paths.
    fn sha256(&self) -> String {
        let whole: Vec<u8> = self.files.iter().flat_map(|file| file.bytes.iter().copied()).collect();
        let sum = String::from_utf8_lossy(&through("sha256sum", &[], &whole)).into_owned();
        sum.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Each file's events; a stream each, a host for every four.
    pub fn events(&self) -> Vec<OwnedEvent> {
        let mut events = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            events.extend(events_of(file, number as u32));
        }
        events
    }
}

impl fmt::Display for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.made_up { "made up" } else { "from TAILBUCK_CORPUS" };
        write!(f, "{} files, {:.1} MB, {kind}, sha256 {}", self.files.len(), self.bytes() as f64 / 1e6, self.sha256())
    }
}

/// Which commit is measured, and whether something in the tree is not in it.
pub fn commit() -> String {
    let here = ["-C", env!("CARGO_MANIFEST_DIR")];
    let git = |args: &[&str]| {
        let args: Vec<&str> = here.iter().chain(args).copied().collect();
        String::from_utf8_lossy(&through("git", &args, b"")).trim().to_owned()
    };
    let changed = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { " and changes" };
    git(&["rev-parse", "--short", "HEAD"]) + changed
}

/// What a program makes of its input; nothing when there is no such program.
pub fn through(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return Vec::new() };
    let mut stdin = child.stdin.take().expect("it was piped");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().map_or(Vec::new(), |output| output.stdout)
    })
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

/// The folder below the first; files whose name ends in `_2k.log` are a format each.
fn format_of(folder: &Path, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(name) = name.strip_suffix("_2k.log") {
        return format!("loghub {name}");
    }
    let below = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = below.iter().collect();
    let part = parts.get(1).filter(|_| parts.len() > 2).or(parts.first());
    part.map_or(name, |part| part.to_string_lossy().into_owned())
}

/// A file's stream; a host for every four files.
pub fn source_of(file: &LogFile, number: u32) -> Arc<Source> {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Arc::new(Source {
        tailer: NodeId(u64::from(number / 4)),
        environment: Environment::default(),
        stream: StreamId(id),
        host: format!("host{}", number / 4),
        app: file.format.clone(),
        path: format!("/var/log/{}.{number}.log", file.format),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
    })
}

/// Adds a line's events, cut as a tailer cuts; where the next line begins.
pub fn cut_line(
    source: &Arc<Source>,
    mut offset: u64,
    line: &[u8],
    last: Flags,
    (time, level_of): (Timestamp, impl Fn(&[u8]) -> Level),
    events: &mut Vec<OwnedEvent>,
) -> u64 {
    let pieces = line.len().div_ceil(LINE_BYTES_MAX).max(1);
    for piece in 0..pieces {
        let bytes = &line[piece * LINE_BYTES_MAX..line.len().min((piece + 1) * LINE_BYTES_MAX)];
        let event = OwnedEvent {
            source: source.clone(),
            offset,
            time,
            level: level_of(bytes),
            flags: if piece + 1 < pieces { Flags::CONTINUES } else { last },
            file_length: bytes.len() as u32,
            line: bytes.to_vec(),
        };
        offset = event.borrow().end();
        events.push(event);
    }
    offset
}

/// A file's lines as a tailer would send them; times are a few lines a second.
pub fn events_of(file: &LogFile, number: u32) -> Vec<OwnedEvent> {
    let source = source_of(file, number);
    let mut events = Vec::new();
    let mut offset = 0;
    for (at, line) in file.bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let whole = line.strip_suffix(b"\n");
        let last = if whole.is_some() { Flags::NONE } else { Flags::NEWLINE_ABSENT };
        let time = Timestamp(1_795_255_200_000_000_000 + at as i64 * 250_000_000);
        offset = cut_line(&source, offset, whole.unwrap_or(line), last, (time, |_| Level::Info), &mut events);
    }
    events
}

pub fn write(events: &[OwnedEvent], profile: Profile) -> Written {
    let head = BlockHead {
        environment: Environment::default(),
        first: BucketId(5_984_184),
        last: BucketId(5_984_184),
        width: BucketWidth::default(),
        shard: 0,
        shards: 1,
    };
    let mut writer = Writer::new(head, profile);
    for event in events {
        writer.add(&event.borrow()).expect("the corpus fits a block");
    }
    writer.finish()
}

/// Numbers that look random and are the same every time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound.max(1)
    }
}

fn made_up() -> Vec<LogFile> {
    let mut dice = Dice(1);
    ["web", "auth", "app", "odd"]
        .into_iter()
        .map(|format| {
            let mut bytes = Vec::new();
            let mut line = Vec::new();
            while bytes.len() < MADE_UP_BYTES / 4 {
                if dice.below(5) > 0 || line.is_empty() {
                    line = made_up_line(format, bytes.len() as u64 / 300, &mut dice);
                }
                bytes.extend_from_slice(&line);
                bytes.push(b'\n');
            }
            LogFile { format: format.to_owned(), bytes }
        })
        .collect()
}

fn made_up_line(format: &str, second: u64, dice: &mut Dice) -> Vec<u8> {
    let stamp = format!("2026-11-21 {:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60);
    let stamp = if dice.below(5) < 2 { String::new() } else { stamp + " " };
    let ip = format!("10.{}.{}.{}", dice.below(4), dice.below(30), dice.below(250));
    let user = ["ann", "bob", "carol", "dave", "root"][dice.below(5) as usize];
    match (format, dice.below(2000)) {
        ("odd", 0) => [b"long ".to_vec(), format!("{:016x}", dice.below(u64::MAX)).repeat(6000).into_bytes()].concat(),
        ("odd", 1..200) => b"nul \0 and \xff\xfe bad, then a return\r".to_vec(),
        ("odd", _) => format!("{stamp}job {} done in {}.{:03} s\r", dice.below(90_000), dice.below(9), dice.below(999))
            .into_bytes(),
        ("web", _) => format!(
            "{ip} - {user} [{stamp}] \"GET /items/{}?page={} HTTP/1.1\" {} {}",
            dice.below(5000),
            dice.below(20),
            [200, 200, 200, 404, 500][dice.below(5) as usize],
            dice.below(90_000)
        )
        .into_bytes(),
        ("auth", _) => format!(
            "{stamp}sshd[{}]: Failed password for {user} from {ip} port {} ssh2",
            dice.below(30_000),
            1024 + dice.below(60_000)
        )
        .into_bytes(),
        _ => format!("{stamp}INFO request {:016x} of {user} took {} ms", dice.below(u64::MAX), dice.below(900))
            .into_bytes(),
    }
}
