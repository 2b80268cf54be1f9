//! A store of any size to search in: blocks, and beside them the same lines as plain files and squeezed by zstd.
//!
//! Made from the corpus, again and again with other numbers in its lines, part by part so that memory stays bounded,
//! once: it is kept under `target` and made anew when the corpus, the size or the format is another. Where no other
//! program is to search it, only blocks are kept: ten gibibytes of lines take less than one of disk.

use crate::corpus::{Corpus, Dice, LogFile, cut_line, source_of, write};
use porter::block::{BlockError, Opened, Profile, Ranges};
use proto::event::{Flags, Level, OwnedEvent, Source};
use proto::limits::LINE_BYTES_MAX;
use proto::time::Timestamp;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Raw bytes of a part: a shard as it is usual.
const PART_BYTES: usize = 128 << 20;
const NANOS: i64 = 1_000_000_000;
const BEGINNING: i64 = 1_795_255_200 * NANOS;

/// Three lines of the whole store end with this.
pub const NEEDLE: &str = "zqneedle7f3a9c";

pub struct Store {
    pub parts: Vec<Part>,
}

/// One block, and its lines in files of other programs' kinds.
pub struct Part {
    pub block: PathBuf,
    pub raw: PathBuf,
    pub squeezed: PathBuf,
}

/// A block file, read by ranges.
pub struct Held {
    pub opened: Opened,
    pub file: BlockFile,
}

pub struct BlockFile(File, u64);

impl Ranges for BlockFile {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        let range = self.1.saturating_sub(bytes)..self.1;
        Ok((self.ranges(&[range])?.pop().unwrap_or_default(), self.1))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        let read = |range: &Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            let unread = |why: std::io::Error| BlockError::Unread { range: range.clone(), why: why.to_string() };
            self.0.read_exact_at(&mut bytes, range.start).map_err(unread)?;
            Ok(bytes)
        };
        ranges.iter().map(read).collect()
    }
}

impl Part {
    /// The block is put in its place last.
    fn is_there(&self) -> bool {
        self.block.is_file()
    }

    pub fn open(&self) -> Held {
        let file = File::open(&self.block).expect("the store was just made");
        let length = file.metadata().expect("an open file").len();
        let file = BlockFile(file, length);
        Held { opened: Opened::open(&file).expect("a good block"), file }
    }
}

impl Store {
    /// `tenths` of a gibibyte of raw lines, of which at most so many parts are made now; with the files that other
    /// programs search if `beside_others`. Nothing while parts are missing.
    pub fn make(corpus: &Corpus, tenths: u64, parts_now: usize, beside_others: bool) -> Option<Self> {
        let bytes = (tenths << 30) / 10;
        let parts = (bytes as usize).div_ceil(PART_BYTES).max(1);
        let golden = crc32c::crc32c(include_bytes!("../../src/testdata/block-1.tbk"));
        let kept = if beside_others { "" } else { "-blocks" };
        let name = format!("{tenths}{kept}-{:08x}-{golden:08x}", crc32c::crc32c(corpus.to_string().as_bytes()));
        let folder = target().join("block-bench").join(name);
        fs::create_dir_all(&folder).expect("a folder under target");
        let all: Vec<Part> = (0..parts)
            .map(|number| {
                let path = |kind: &str| folder.join(format!("part-{number:03}.{kind}"));
                Part { block: path("tbk"), raw: path("log"), squeezed: path("log.zst") }
            })
            .collect();
        let missing = all.iter().filter(|part| !part.is_there()).count();
        if missing > 0 {
            let mut maker = Maker::new(corpus, parts);
            let mut left = parts_now.min(missing);
            for (number, part) in all.iter().enumerate() {
                if left == 0 {
                    break;
                }
                let events = maker.part(number, bytes as usize / parts, part.is_there());
                if !part.is_there() {
                    eprintln!("making {} of {parts}", number + 1);
                    part.write(&events, beside_others || number == 0, beside_others);
                    left -= 1;
                }
            }
        }
        (missing <= parts_now).then_some(Self { parts: all })
    }

    pub fn raws(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.raw.display().to_string()).collect()
    }

    pub fn squeezed(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.squeezed.display().to_string()).collect()
    }
}

fn target() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(here, PathBuf::from)
}

impl Part {
    /// The first part's lines are always kept: the words that are looked for come from them.
    fn write(&self, events: &[OwnedEvent], keep_lines: bool, squeeze_lines: bool) {
        if keep_lines {
            let mut raw = std::io::BufWriter::new(File::create(&self.raw).expect("a file under target"));
            for event in events {
                raw.write_all(&event.line).expect("room on the disk");
                if !event.flags.has(Flags::CONTINUES) {
                    raw.write_all(b"\n").expect("room on the disk");
                }
            }
            raw.flush().expect("room on the disk");
        }
        if squeeze_lines {
            let _ = Command::new("zstd").args(["-3", "-q", "-f", "-o"]).arg(&self.squeezed).arg(&self.raw).status();
        }
        let new = self.block.with_extension("new");
        fs::write(&new, write(events, Profile::Recent).bytes).expect("room on the disk");
        fs::rename(new, &self.block).expect("the same folder");
    }
}

/// Goes round and round through the corpus.
struct Maker<'a> {
    corpus: &'a Corpus,
    streams: Vec<Stream<'a>>,
    dice: Dice,
    parts: usize,
}

struct Stream<'a> {
    file: &'a LogFile,
    source: Arc<Source>,
    /// Where in the file, how often it was gone through, and where in the stream.
    at: usize,
    rounds: u64,
    offset: u64,
}

impl<'a> Maker<'a> {
    fn new(corpus: &'a Corpus, parts: usize) -> Self {
        let files = corpus.files.iter().enumerate().filter(|(_, file)| !file.bytes.is_empty());
        let streams = files.map(|(number, file)| {
            let source = source_of(file, number as u32);
            Stream { file, source, at: 0, rounds: 0, offset: 0 }
        });
        Self { corpus, streams: streams.collect(), dice: Dice(20), parts }
    }

    /// About so many bytes of all streams, each its share. With `skip` only the places move on.
    fn part(&mut self, number: usize, bytes: usize, skip: bool) -> Vec<OwnedEvent> {
        let all = self.corpus.bytes().max(1) as u128;
        let span = 3600 * NANOS / self.parts as i64;
        let planted = [0, self.parts / 2, self.parts - 1].iter().filter(|&&part| part == number).count();
        let mut events = Vec::new();
        for stream in &mut self.streams {
            let share = (bytes as u128 * stream.file.bytes.len() as u128 / all) as usize;
            let first = events.len();
            stream.lines(share, &mut self.dice, skip, &mut events);
            let count = (events.len() - first) as i64;
            for (at, event) in (0i64..).zip(&mut events[first..]) {
                event.time = Timestamp(BEGINNING + number as i64 * span + span / count.max(1) * at);
            }
        }
        for plant in 0..planted {
            let whole = |event: &&mut OwnedEvent| event.flags == Flags::NONE && event.line.len() < LINE_BYTES_MAX / 2;
            let place = events.len() * (plant + 1) / 4;
            if let Some(event) = events.iter_mut().skip(place).find(whole) {
                event.line.extend_from_slice(b" ");
                event.line.extend_from_slice(NEEDLE.as_bytes());
                // The file had it so: what stands behind in the stream was measured before.
                event.flags = event.flags.with(Flags::REDACTED);
            }
        }
        events
    }
}

impl Stream<'_> {
    fn lines(&mut self, bytes: usize, dice: &mut Dice, skip: bool, events: &mut Vec<OwnedEvent>) {
        let mut done = 0;
        while done < bytes {
            if self.at >= self.file.bytes.len() {
                (self.at, self.rounds) = (0, self.rounds + 1);
            }
            let rest = &self.file.bytes[self.at..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            self.at += length + 1;
            done += length + 1;
            if skip {
                self.offset += length as u64 + 1;
                continue;
            }
            let mut line = rest[..length].to_vec();
            if self.rounds > 0 {
                renumber(&mut line, dice);
            }
            let told = (Timestamp(0), level_of);
            self.offset = cut_line(&self.source, self.offset, &line, Flags::NONE, told, events);
        }
    }
}

fn level_of(line: &[u8]) -> Level {
    let is_error = line.windows(5).any(|word| word.eq_ignore_ascii_case(b"error"));
    if is_error { Level::Error } else { Level::Info }
}

/// The last two digits of every longer run of them become others, behind where a stamp would be.
fn renumber(line: &mut [u8], dice: &mut Dice) {
    let mut run = 0;
    for at in 32..line.len() {
        run = if line[at].is_ascii_digit() { run + 1 } else { 0 };
        let ends = line.get(at + 1).is_none_or(|next| !next.is_ascii_digit());
        if run >= 3 && ends {
            let drawn = dice.below(100) as u8;
            line[at - 1] = b'0' + drawn / 10;
            line[at] = b'0' + drawn % 10;
        }
    }
}

/// The words nearest to a share of the lines of a file, looked for in every 64th line.
pub fn words_near(raw: &Path, shares: &[f64]) -> Vec<String> {
    let bytes = fs::read(raw).unwrap_or_default();
    let mut lines_of: std::collections::BTreeMap<&[u8], u32> = std::collections::BTreeMap::new();
    let mut lines = 0u32;
    for line in bytes.split(|&byte| byte == b'\n').step_by(64) {
        lines += 1;
        let mut words: Vec<&[u8]> =
            line.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| word.len() >= 5).collect();
        words.sort_unstable();
        words.dedup();
        words.into_iter().for_each(|word| *lines_of.entry(word).or_default() += 1);
    }
    let distance = |count: u32, share: f64| (f64::from(count) / f64::from(lines.max(1)) - share).abs();
    let nearest = |&share: &f64| {
        let nearest = lines_of.iter().min_by(|a, b| distance(*a.1, share).total_cmp(&distance(*b.1, share)));
        nearest.map(|(word, _)| String::from_utf8_lossy(word).into_owned()).unwrap_or_default()
    };
    shares.iter().map(nearest).collect()
}
