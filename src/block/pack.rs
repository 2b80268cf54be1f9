//! `block pack`: log files become the streams of one block.
//!
//! Lines are cut as a tailer cuts them, except that a run of NULs is a line like any other: nothing here was
//! truncated under a reader. Times and levels are read off the lines; a line without one has the file's own time.
//! The block is a pure function of the files' paths, bytes and times.

use crate::args::Pack;
use crate::exit::Outcome;
use crate::progress::Progress;
use anyhow::{Context, bail, ensure};
use porter::block::{BlockError, BlockHead, Profile, Writer, Written};
use proto::event::{Event, Flags, Source};
use proto::ids::{Environment, NodeId, StreamId};
use proto::limits::{LINE_BYTES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
use proto::seal::{Domain, Hash};
use proto::time::{BucketWidth, Timestamp};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tailer::parse::{Habit, Rules};

/// A file that will be a stream.
struct Input {
    path: PathBuf,
    bytes: u64,
    written: Timestamp,
}

pub fn run(pack: &Pack) -> anyhow::Result<Outcome> {
    let mut files = pack.files.clone();
    files.sort();
    files.dedup();
    let inputs = files.into_iter().map(Input::of).collect::<anyhow::Result<Vec<_>>>()?;
    let all: u64 = inputs.iter().map(|input| input.bytes).sum();
    let profile = if pack.archive { Profile::Archive } else { Profile::Recent };
    let mut writer = Writer::new(head_of(&inputs), profile);
    let (mut progress, mut done) = (Progress::new("packing"), 0);
    for input in &inputs {
        input.put(&mut writer, |bytes| {
            done += bytes;
            progress.at(done, all);
        })?;
    }
    let written = writer.finish();
    drop(progress);
    put_file(&pack.out, &written).with_context(|| pack.out.display().to_string())?;
    say(&written)?;
    Ok(Outcome::Done)
}

/// Whole or not at all: under another name first.
fn put_file(path: &Path, written: &Written) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    fs::write(&part, &written.bytes)?;
    fs::rename(&part, path)
}

fn say(written: &Written) -> io::Result<()> {
    let (raw, bytes) = (written.summary.raw_bytes, written.bytes.len() as u64);
    let tenths = u128::from(raw) * 10 / u128::from(bytes.max(1));
    let lines = written.summary.lines;
    writeln!(io::stdout(), "{lines} lines, {raw} bytes in {bytes}: {}.{} to 1", tenths / 10, tenths % 10)
}

fn head_of(inputs: &[Input]) -> BlockHead {
    let width = BucketWidth::default();
    let buckets = || inputs.iter().map(|input| width.bucket_of(input.written));
    BlockHead {
        environment: Environment::default(),
        first: buckets().min().unwrap_or_default(),
        last: buckets().max().unwrap_or_default(),
        width,
        shard: 0,
        shards: 1,
    }
}

impl Input {
    fn of(path: PathBuf) -> anyhow::Result<Self> {
        let about = fs::metadata(&path).with_context(|| path.display().to_string())?;
        ensure!(about.is_file(), "{}: not a file", path.display());
        let since = about.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { bytes: about.len(), written: Timestamp(0).after(since), path })
    }

    fn source(&self) -> Source {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&name);
        Source {
            tailer: NodeId(0),
            environment: Environment::default(),
            stream: StreamId(Hash::new(Domain::STREAM).with(self.path.as_os_str().as_encoded_bytes()).finish128()),
            host: String::new(),
            app: cut(stem, NAME_BYTES_MAX).to_owned(),
            path: cut(&self.path.to_string_lossy(), PATH_BYTES_MAX).to_owned(),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
        }
    }

    /// Every line of the file; `read` is told how many bytes went by.
    fn put(&self, writer: &mut Writer, mut read: impl FnMut(u64)) -> anyhow::Result<()> {
        let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        let (mut reader, source) = (BufReader::with_capacity(1 << 18, file), Arc::new(self.source()));
        let rules = Rules { zone_seconds: None, nearest_to: self.written };
        let (mut habit, mut offset, mut inside, mut piece) = (Habit::default(), 0, false, Vec::new());
        while let Some(flags) = next_piece(&mut reader, &mut piece).with_context(|| self.path.display().to_string())? {
            let line = piece.get(..piece.len().min(LINE_BYTES_MAX)).unwrap_or_default();
            let said = if inside { habit.read_on(self.written) } else { habit.read(line, self.written, &rules) };
            let event = Event {
                source: &source,
                offset,
                time: said.time,
                level: said.level,
                flags: said.flags.with(flags),
                file_length: u32::try_from(line.len())?,
                line,
            };
            let end = event.end();
            match writer.add(&event) {
                Err(BlockError::Full) => bail!("{}: more than one block holds; pack fewer files", self.path.display()),
                added => added.with_context(|| self.path.display().to_string())?,
            }
            read(end - offset);
            (offset, inside) = (end, flags.has(Flags::CONTINUES));
            let kept = line.len();
            piece.drain(..kept);
        }
        Ok(())
    }
}

/// Reads on until `piece` holds a line without its newline, or the first bytes of a long one and one byte more, which
/// is left for the next. `None` at the end.
fn next_piece(reader: &mut impl BufRead, piece: &mut Vec<u8>) -> io::Result<Option<Flags>> {
    let room = (LINE_BYTES_MAX + 1).saturating_sub(piece.len());
    io::Read::take(&mut *reader, room as u64).read_until(b'\n', piece)?;
    if piece.last() == Some(&b'\n') {
        piece.pop();
        return Ok(Some(Flags::NONE));
    }
    Ok(match piece.len() {
        0 => None,
        length if length > LINE_BYTES_MAX => Some(Flags::CONTINUES),
        _ => Some(Flags::NEWLINE_ABSENT),
    })
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_as_a_tailer_cuts_them() {
        let check = |input: &[u8], expected: &[(usize, Flags)]| {
            let (mut reader, mut piece, mut cuts) = (input, Vec::new(), Vec::new());
            while let Some(flags) = next_piece(&mut reader, &mut piece).expect("memory can be read") {
                let length = piece.len().min(LINE_BYTES_MAX);
                cuts.push((length, flags));
                piece.drain(..length);
            }
            assert_eq!(cuts, expected);
        };
        let (full, more) = (vec![b'x'; LINE_BYTES_MAX], vec![b'x'; 2 * LINE_BYTES_MAX + 3]);
        check(b"", &[]);
        check(b"a\n\nb", &[(1, Flags::NONE), (0, Flags::NONE), (1, Flags::NEWLINE_ABSENT)]);
        check(&[&full[..], b"\n"].concat(), &[(LINE_BYTES_MAX, Flags::NONE)]);
        check(&full, &[(LINE_BYTES_MAX, Flags::NEWLINE_ABSENT)]);
        let piece = (LINE_BYTES_MAX, Flags::CONTINUES);
        check(&[&full[..], b"y\n"].concat(), &[piece, (1, Flags::NONE)]);
        check(&more, &[piece, piece, (3, Flags::NEWLINE_ABSENT)]);
    }
}
