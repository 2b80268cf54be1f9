//! The files being followed, each with the stream it is read as.
//!
//! Found by number, by identity and by stream. Which of them has something to read stands in a queue, so that
//! each gets its turn and a busy one cannot starve the rest; those that must be opened first stand in another, so that
//! waiting for a descriptor holds up nobody who has one.

use crate::fill::Stream;
use crate::follow::{Identity, Mark, Stat};
use crate::lines::Cursor;
use crate::parse::Habit;
use proto::ids::StreamId;
use proto::packet::TailMark;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// Names a file within this run of the tailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileNumber(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    Shut,
    Opening,
    Open,
}

/// A stream that this file may be going on with, to be proven by the bytes before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub stream: StreamId,
    pub generation: u32,
    pub predecessor: Option<StreamId>,
    /// The path the stream is known by, where it is another's.
    pub path: Option<String>,
    /// Where the bytes are compared.
    pub end: Mark,
    /// Where reading goes on.
    pub resume: u64,
    /// Of a stream whose own file began again: this may be the copy that was made of it.
    pub copied: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is known of it yet.
    New,
    /// It may be a copy in the making; wait and see until then.
    Held {
        original: FileNumber,
        until: Duration,
    },
    /// It may be this stream.
    Claiming(Claim),
    /// It is; the next read begins here.
    Resuming(Mark),
    Following,
}

#[derive(Clone, Debug)]
pub struct File {
    pub identity: Identity,
    pub path: PathBuf,
    pub input: usize,
    pub handle: Handle,
    pub phase: Phase,
    /// A read of it is under way.
    pub reading: bool,
    /// It stands in the queue.
    pub queued: bool,
    pub stat: Stat,
    /// The greatest length it was seen to have in this life, with what was read before still there.
    pub seen: u64,
    /// The same, by listings: whether what was there then was this life or the next is not known.
    pub listed: u64,
    pub generation: u32,
    /// Of which life of the file its lines are; none until the first line is complete.
    pub stream: Option<Stream>,
    pub predecessor: Option<StreamId>,
    pub cursor: Cursor,
    /// Where the cursor's finished lines end.
    pub mark: Mark,
    /// Up to where the spool has it.
    pub kept: Mark,
    pub habit: Habit,
    pub first_line: Option<Vec<u8>>,
    /// No glob names it any more, since then.
    pub gone_since: Option<Duration>,
    /// It has been renamed since it was first read.
    pub renamed: bool,
    /// When it last had something to read, or was opened.
    pub active: Duration,
    /// The last read went to its end, as it was then.
    pub at_end: bool,
    /// When it was last looked into although nothing told that it had changed.
    pub looked: Duration,
    /// It was said already that it can't be read.
    pub unreadable: bool,
}

impl File {
    #[must_use]
    pub fn new(path: PathBuf, input: usize, stat: Stat, now: Duration) -> Self {
        Self {
            identity: stat.identity,
            path,
            input,
            handle: Handle::Shut,
            phase: Phase::New,
            reading: false,
            queued: false,
            stat,
            seen: stat.length,
            listed: stat.length,
            generation: 0,
            stream: None,
            predecessor: None,
            cursor: Cursor::default(),
            mark: Mark::default(),
            kept: Mark::default(),
            habit: Habit::default(),
            first_line: None,
            gone_since: None,
            renamed: false,
            active: now,
            at_end: false,
            looked: now,
            unreadable: false,
        }
    }

    #[must_use]
    pub fn shown_path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Begins a life of the file from its first byte.
    pub fn begin(&mut self, generation: u32) {
        self.phase = Phase::Following;
        self.generation = generation;
        self.stream = None;
        self.cursor = Cursor::default();
        (self.mark, self.kept) = (Mark::default(), Mark::default());
        self.habit = Habit::default();
        self.first_line = None;
        self.at_end = false;
        (self.seen, self.listed) = (self.stat.length, self.stat.length);
    }

    /// The greatest length this life is believed to have had, now that the file has this one.
    #[must_use]
    pub fn greatest(&self, length: u64) -> u64 {
        if length < self.listed { self.seen.max(self.listed) } else { self.seen }
    }

    /// Where its next read begins.
    #[must_use]
    pub fn read_from(&self) -> u64 {
        match &self.phase {
            Phase::Claiming(claim) => claim.end.offset,
            Phase::Resuming(mark) => mark.offset,
            Phase::New | Phase::Held { .. } | Phase::Following => self.cursor.read_from(),
        }
    }

    /// It was read to its end, as far as was seen.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        matches!(self.phase, Phase::Following) && self.cursor.read_from() >= self.stat.length && !self.queued
    }

    /// There was nothing more to read; what stands behind its last newline is no line yet.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Following) && self.at_end && !self.queued && !self.reading
    }

    /// A mark at its cursor, from the bytes that were read before it.
    pub fn set_mark(&mut self, tail: TailMark) {
        self.mark = Mark { offset: self.cursor.offset(), tail };
    }
}

/// A life of a file that ended while there may be a copy of it somewhere.
#[derive(Clone, Debug)]
pub struct Ended {
    pub stream: Stream,
    pub file: FileNumber,
    pub path: PathBuf,
    pub first_line: Vec<u8>,
    pub mark: Mark,
    /// Bytes that were seen in it and never read.
    pub unread: u64,
    pub until: Duration,
    pub input: usize,
}

#[derive(Debug, Default)]
pub struct Files {
    by_number: BTreeMap<FileNumber, File>,
    by_identity: BTreeMap<Identity, FileNumber>,
    by_stream: BTreeMap<StreamId, FileNumber>,
    ready: VecDeque<FileNumber>,
    unopened: VecDeque<FileNumber>,
    next: u64,
}

impl Files {
    pub fn add(&mut self, file: File) -> FileNumber {
        self.next += 1;
        let number = FileNumber(self.next);
        self.by_identity.insert(file.identity, number);
        self.by_number.insert(number, file);
        number
    }

    pub fn remove(&mut self, number: FileNumber) -> Option<File> {
        let file = self.by_number.remove(&number)?;
        if self.by_identity.get(&file.identity) == Some(&number) {
            self.by_identity.remove(&file.identity);
        }
        if let Some(stream) = &file.stream
            && self.by_stream.get(&stream.id) == Some(&number)
        {
            self.by_stream.remove(&stream.id);
        }
        Some(file)
    }

    #[must_use]
    pub fn get(&self, number: FileNumber) -> Option<&File> {
        self.by_number.get(&number)
    }

    pub fn get_mut(&mut self, number: FileNumber) -> Option<&mut File> {
        self.by_number.get_mut(&number)
    }

    #[must_use]
    pub fn of_identity(&self, identity: &Identity) -> Option<FileNumber> {
        self.by_identity.get(identity).copied()
    }

    #[must_use]
    pub fn of_stream(&self, stream: StreamId) -> Option<FileNumber> {
        self.by_stream.get(&stream).copied()
    }

    /// From now on this file's lines are of this stream.
    pub fn set_stream(&mut self, number: FileNumber, stream: Stream) {
        let Some(file) = self.by_number.get_mut(&number) else { return };
        self.by_stream.insert(stream.id, number);
        file.stream = Some(stream);
    }

    /// A new life of the file begins; what it was read as is handed back.
    pub fn begin(&mut self, number: FileNumber, generation: u32) -> Option<Stream> {
        let file = self.by_number.get_mut(&number)?;
        let old = file.stream.take();
        file.begin(generation);
        if let Some(stream) = &old {
            self.by_stream.remove(&stream.id);
        }
        old
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileNumber, &File)> {
        self.by_number.iter().map(|(number, file)| (*number, file))
    }

    #[must_use]
    pub fn numbers(&self) -> Vec<FileNumber> {
        self.by_number.keys().copied().collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    #[must_use]
    pub fn open_count(&self) -> usize {
        self.by_number.values().filter(|file| file.handle != Handle::Shut).count()
    }

    /// The open file that had nothing to read for longest. Those that have no name to open them by come last, and
    /// only when all of them was told.
    #[must_use]
    pub fn idlest(&self) -> Option<FileNumber> {
        let idle = |file: &File| {
            file.handle == Handle::Open && file.is_at_rest() && (file.gone_since.is_none() || file.is_drained())
        };
        let idle = self.by_number.iter().filter(|(_, file)| idle(file));
        idle.min_by_key(|(number, file)| (file.gone_since.is_some(), file.active, **number)).map(|(number, _)| *number)
    }

    /// It has something to read: it gets a turn.
    pub fn wake(&mut self, number: FileNumber) {
        let Some(file) = self.by_number.get_mut(&number) else { return };
        file.at_end = false;
        if !file.queued && !file.reading {
            file.queued = true;
            let queue = if file.handle == Handle::Shut { &mut self.unopened } else { &mut self.ready };
            queue.push_back(number);
        }
    }

    /// Whose turn it is.
    pub fn next_ready(&mut self) -> Option<FileNumber> {
        Self::next(&mut self.ready, &mut self.by_number)
    }

    /// Which is to be opened next.
    pub fn next_unopened(&mut self) -> Option<FileNumber> {
        Self::next(&mut self.unopened, &mut self.by_number)
    }

    fn next(queue: &mut VecDeque<FileNumber>, files: &mut BTreeMap<FileNumber, File>) -> Option<FileNumber> {
        while let Some(number) = queue.pop_front() {
            if let Some(file) = files.get_mut(&number) {
                file.queued = false;
                return Some(number);
            }
        }
        None
    }

    #[must_use]
    pub fn any_ready(&self) -> bool {
        !self.ready.is_empty() || !self.unopened.is_empty()
    }
}
