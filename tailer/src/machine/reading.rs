//! Bytes of files become packets.
//!
//! One read is asked for at a time, of the file whose turn it is, and only while what was read before has
//! somewhere to go: the spool takes it, or the bucks do.

use super::watching::GONE_WAIT;
use super::{Machine, Written};
use crate::action::{Action, Chunk, Trouble, Warning};
use crate::files::{Claim, Ended, FileNumber, Handle, Phase};
use crate::fill::{Fill, Stream};
use crate::follow::{Change, agrees, first_line, judge};
use crate::lines::{Cursor, Span};
use crate::parse::{Reading, Rules};
use crate::spool::Place;
use proto::event::Flags;
use proto::ids::Environment;
use proto::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, TAIL_MARK_BYTES};
use proto::packet::{Extent, Fate, TailMark};
use proto::seal::stream_id;
use proto::time::{BucketId, Now, Timestamp};
use std::path::Path;
use std::time::Duration;

/// What one read asks for: one packet's worth, so that every file's turn is short.
const READ_BYTES: usize = 256 << 10;
/// Reads under way. The hands do one after another anyway.
const READS_MAX: usize = 1;
/// Lives that ended and are remembered for their copies' sake.
const ENDED_MAX: usize = 64;
/// How long a copy is waited for after the original began again.
const COPY_WAIT: Duration = Duration::from_secs(15);
/// How long a file that no glob names any more is kept open after its last byte, while it has a name: a quiet program
/// may write to the log it opened hours ago. One that was deleted would keep its bytes on a disk that may be full.
const LINGER: Duration = Duration::from_secs(300);
/// While bucks answered so recently, they and not the spool set the pace.
const BUCKS_SET_THE_PACE: Duration = Duration::from_secs(2);

impl Machine {
    /// There is room for what a read would bring.
    fn may_read(&self, now: Now) -> bool {
        let paced = self.last_arrival + BUCKS_SET_THE_PACE > now.mono && self.last_arrival > Duration::ZERO;
        let bucks_behind = paced && !self.flight.has_room();
        self.reads < READS_MAX
            && self.writing.len() < super::WRITING_MAX
            && self.spool_trouble.is_none()
            && !self.spool_full
            && !bucks_behind
    }

    /// Gives the files that have something to read their turns.
    pub(super) fn settle_reads(&mut self, now: Now) {
        self.settle_opens(now);
        while self.may_read(now) {
            let Some(number) = self.files.next_ready() else { break };
            let Some(file) = self.files.get(number) else { continue };
            match file.handle {
                Handle::Opening => {}
                Handle::Shut => self.files.wake(number),
                Handle::Open if file.reading || matches!(file.phase, Phase::Held { .. } | Phase::New) => {}
                Handle::Open => self.read(number),
            }
        }
    }

    /// Opens those that have something to read, as far as descriptors go.
    fn settle_opens(&mut self, now: Now) {
        while self.may_read(now) {
            let Some(number) = self.files.next_unopened() else { break };
            let is_shut = self.files.get(number).is_some_and(|file| file.handle == Handle::Shut);
            if !is_shut {
                self.files.wake(number);
            } else if !self.open(number) {
                // All are busy; it gets its turn when one of them is not.
                self.files.wake(number);
                break;
            }
        }
    }

    fn open(&mut self, number: FileNumber) -> bool {
        if self.files.open_count() >= self.config.open_files_max {
            let Some(idle) = self.files.idlest() else { return false };
            if self.files.get(idle).is_some_and(|file| file.gone_since.is_some()) {
                self.let_go(idle);
            } else {
                self.shut(idle);
            }
        }
        let Some(file) = self.files.get_mut(number) else { return true };
        file.handle = Handle::Opening;
        let path = file.path.clone();
        self.act(Action::Open { file: number, path });
        true
    }

    pub(super) fn shut(&mut self, number: FileNumber) {
        if let Some(file) = self.files.get_mut(number) {
            file.handle = Handle::Shut;
            self.act(Action::Close { file: number });
        }
    }

    fn read(&mut self, number: FileNumber) {
        let Some(file) = self.files.get_mut(number) else { return };
        file.reading = true;
        let from = file.read_from();
        let bytes_max = if matches!(file.phase, Phase::Claiming(_)) { 0 } else { READ_BYTES };
        self.reads += 1;
        self.act(Action::Read { file: number, from, bytes_max });
    }

    pub(super) fn not_read(&mut self, now: Now, number: FileNumber, trouble: Trouble) {
        let Some(file) = self.files.get_mut(number) else { return };
        file.reading = false;
        let said = std::mem::replace(&mut file.unreadable, true);
        let path = file.shown_path();
        self.shut(number);
        self.due.scan = self.due.scan.min(now.mono + self.config.rescan);
        if !said {
            self.warn(Warning::Unreadable { path, why: trouble });
        }
    }

    pub(super) fn chunk(&mut self, now: Now, number: FileNumber, chunk: Chunk<'_>) {
        let Some(file) = self.files.get_mut(number) else { return };
        file.reading = false;
        file.stat = chunk.stat;
        if chunk.from != file.read_from() {
            // It was asked for before the file began again.
            self.files.wake(number);
            return;
        }
        match file.phase.clone() {
            Phase::New | Phase::Held { .. } => {}
            Phase::Claiming(claim) => self.prove(now, number, &claim, chunk),
            Phase::Resuming(mark) if mark.tail == TailMark::default() && inside_a_line(mark.offset, chunk.before) => {
                file.phase = Phase::Resuming(Self::unproven(0));
                self.files.wake(number);
            }
            Phase::Resuming(mark) => {
                file.cursor = Cursor::resume(mark.offset, chunk.before);
                file.phase = Phase::Following;
                (file.mark, file.kept) = (mark, mark);
                self.follow(now, number, chunk);
            }
            Phase::Following => self.follow(now, number, chunk),
        }
    }

    /// Is this file the stream it may be? The bytes before the end of what is known of it tell.
    fn prove(&mut self, now: Now, number: FileNumber, claim: &Claim, chunk: Chunk<'_>) {
        let Some(file) = self.files.get_mut(number) else { return };
        let proven = chunk.stat.length >= claim.end.offset && agrees(&claim.end, chunk.before);
        file.seen = chunk.stat.length;
        self.files.wake(number);
        if !proven {
            self.not_proven(now, number, claim);
            return;
        }
        let mark = if claim.resume == claim.end.offset { claim.end } else { Self::unproven(claim.resume) };
        if let Some(file) = self.files.get_mut(number) {
            file.phase = Phase::Resuming(mark);
            file.kept = mark;
            (file.generation, file.predecessor) = (claim.generation, claim.predecessor);
        }
        if claim.copied {
            self.ended.retain(|ended| ended.stream.id != claim.stream);
        }
        let described = self.describe(number, claim.stream, claim.path.as_deref());
        self.set_stream(number, described);
        self.changed.insert(number);
    }

    /// It is a later life of its file; or, if it was thought a copy, a file of its own.
    fn not_proven(&mut self, now: Now, number: FileNumber, claim: &Claim) {
        if claim.copied {
            self.files.begin(number, 0);
            return;
        }
        let first_line = self.files.get_mut(number).and_then(|file| file.first_line.take());
        self.files.begin(number, claim.generation.saturating_add(1));
        let Some(file) = self.files.get_mut(number) else { return };
        file.predecessor = Some(claim.stream);
        // A memory may be older than the life that is there now, or of an earlier file with this number.
        file.first_line = first_line;
        match self.who_else(now, number) {
            Phase::Claiming(later) if later.stream != claim.stream => self.set_phase(number, Phase::Claiming(later)),
            held @ Phase::Held { .. } => self.set_phase(number, held),
            _ => {
                let Some(file) = self.files.get(number) else { return };
                let path = file.shown_path();
                self.counters.restarts += 1;
                self.warn(Warning::Restarted { path });
            }
        }
    }

    fn follow(&mut self, now: Now, number: FileNumber, chunk: Chunk<'_>) {
        let Some(file) = self.files.get_mut(number) else { return };
        if file.stream.is_none() && file.first_line.is_none() && chunk.stat.length < file.seen {
            // It has no name to tell the loss by, so it is counted and said alone.
            let (path, bytes) = (file.shown_path(), file.seen);
            file.seen = chunk.stat.length;
            self.lose_unnamed(path, bytes);
        }
        let Some(file) = self.files.get_mut(number) else { return };
        let in_hole = file.cursor.read_from() > file.mark.offset;
        let change = if in_hole {
            let grown = chunk.stat.length >= file.cursor.read_from() && chunk.before.iter().all(|byte| *byte == 0);
            if grown { Change::Grew } else { Change::Restarted { unread: 0 } }
        } else {
            judge(&file.mark, file.greatest(chunk.stat.length), &chunk.stat, chunk.before)
        };
        if let Change::Restarted { unread } = change {
            self.restarted(now, number, unread);
            return;
        }
        if chunk.stat.length > file.seen {
            (file.seen, file.active) = (chunk.stat.length, now.mono);
        }
        self.take(now, number, chunk);
    }

    /// The file begins again. What was read of it was one life; what it holds now is the next.
    fn restarted(&mut self, now: Now, number: FileNumber, unread: u64) {
        let Some(file) = self.files.get(number) else { return };
        let (generation, mark, path) = (file.generation.saturating_add(1), file.mark, file.path.clone());
        let (first_line, input, shown) = (file.first_line.clone(), file.input, file.shown_path());
        let old = self.files.begin(number, generation);
        self.files.wake(number);
        self.counters.restarts += 1;
        if mark.offset > 0 || unread > 0 {
            self.warn(Warning::Restarted { path: shown });
        }
        let Some(stream) = old else { return };
        if let Some(file) = self.files.get_mut(number) {
            file.predecessor = Some(stream.id);
        }
        if self.ended.len() >= ENDED_MAX {
            let ended = self.ended.remove(0);
            self.lose(now, &ended);
        }
        let first_line = first_line.unwrap_or_default();
        let until = now.mono + COPY_WAIT;
        self.ended.push(Ended { stream, file: number, path, first_line, mark, unread, until, input });
    }

    pub(super) fn environment_of(&self, number: FileNumber) -> Environment {
        let input = self.files.get(number).and_then(|file| self.config.inputs.get(file.input));
        input.map(|input| input.environment.clone()).unwrap_or_default()
    }

    /// Filing time, with the environment's fill on the bucket it belongs to.
    pub(super) fn file_in(&mut self, now: Now, environment: &Environment) -> Timestamp {
        let filed = self.clock.file(now);
        self.turn_to(filed);
        let bucket = self.config.width.bucket_of(filed);
        self.fills
            .entry(environment.clone())
            .or_insert_with(|| Fill::new(self.node, self.run, environment.clone(), bucket));
        filed
    }

    /// The lines of a chunk that follow on what was read of the file.
    fn take(&mut self, now: Now, number: FileNumber, chunk: Chunk<'_>) {
        let Some(file) = self.files.get_mut(number) else { return };
        let asked_all = chunk.bytes.len() >= READ_BYTES;
        let at_end = chunk.from.saturating_add(chunk.bytes.len() as u64) >= chunk.stat.length;
        file.at_end = at_end && !asked_all;
        let quiet = |since: Duration, wait: Duration| since.max(file.active) + wait <= now.mono;
        let gone = file.gone_since.is_some_and(|since| quiet(since, GONE_WAIT));
        let ended = at_end && (gone || file.renamed && quiet(file.active, GONE_WAIT));
        let nameless = chunk.stat.links == 0;
        let over = gone && (nameless || file.gone_since.is_some_and(|since| quiet(since, LINGER)));
        if file.stream.is_none() && !self.mint(number, chunk, ended) {
            if over && at_end {
                self.let_go(number);
            }
            return;
        }
        self.pack(now, number, chunk, ended);
        if asked_all || !at_end {
            self.files.wake(number);
        } else if over {
            self.let_go(number);
        }
    }

    fn let_go(&mut self, number: FileNumber) {
        self.shut(number);
        self.remember_now(number);
        self.files.remove(number);
    }

    /// Names the file's life, once its first line is known. False while it is not.
    fn mint(&mut self, number: FileNumber, chunk: Chunk<'_>, ended: bool) -> bool {
        let Some(file) = self.files.get_mut(number) else { return false };
        // A life without a name has not been read past its beginning, so this is its beginning.
        let Some(line) = first_line(chunk.bytes, ended).map(<[u8]>::to_vec) else { return false };
        file.first_line = Some(line.clone());
        let identity = file.identity;
        if let Some((_, past)) = self.knowledge.last_life(self.node, &identity, &line) {
            file.generation = file.generation.max(past.generation.saturating_add(1));
        }
        let id = stream_id(self.node, identity.inode, identity.origin(), &line, file.generation);
        let described = self.describe(number, id, None);
        self.set_stream(number, described);
        true
    }

    fn describe(&self, number: FileNumber, id: proto::ids::StreamId, path: Option<&str>) -> Option<Stream> {
        let file = self.files.get(number)?;
        let input = self.config.inputs.get(file.input)?;
        let path = path.map_or_else(|| cut(&file.shown_path(), PATH_BYTES_MAX), str::to_owned);
        Some(Stream {
            id,
            app: input.app.clone().unwrap_or_else(|| app_of(Path::new(&path))),
            path,
            generation: file.generation,
            predecessor: file.predecessor.or_else(|| self.stood_before(number)),
            labels: input.labels.clone(),
            host: self.config.host.clone(),
        })
    }

    /// The stream that had this file's name before it was renamed.
    fn stood_before(&self, number: FileNumber) -> Option<proto::ids::StreamId> {
        let path = self.files.get(number)?.shown_path();
        let renamed =
            self.files.iter().filter(|(at, file)| *at != number && (file.renamed || file.gone_since.is_some()));
        let streams = renamed.filter_map(|(at, file)| file.stream.as_ref().map(|stream| (at, stream)));
        streams.filter(|(_, stream)| stream.path == path).max_by_key(|(at, _)| *at).map(|(_, stream)| stream.id)
    }

    fn set_stream(&mut self, number: FileNumber, stream: Option<Stream>) {
        let Some(stream) = stream else { return };
        self.files.set_stream(number, stream);
    }

    /// Puts the chunk's lines into packets.
    fn pack(&mut self, now: Now, number: FileNumber, chunk: Chunk<'_>, ended: bool) {
        let environment = self.environment_of(number);
        let filed = self.file_in(now, &environment);
        let Some(file) = self.files.get_mut(number) else { return };
        let Some(stream) = &file.stream else { return };
        let Some(fill) = self.fills.get_mut(&environment) else { return };
        let zone_seconds = self.config.inputs.get(file.input).and_then(|input| input.zone_minutes).map(|m| m * 60);
        let rules = Rules { zone_seconds, nearest_to: file.stat.modified };
        let (mut habit, mut cursor) = (file.habit, file.cursor);
        let mut full = Vec::new();
        let mut lane = None;
        let mut inside = cursor.is_inside();
        let (mut lines, mut holes, mut end) = (0, 0, cursor.offset());
        for span in cursor.spans(chunk.bytes, ended) {
            if fill.is_full() {
                if let Some(lane) = lane.take() {
                    fill.mark(lane, tail_at(&chunk, end));
                }
                full.extend(fill.finish(&mut self.squeezer, &self.sign));
            }
            let lane = *lane.get_or_insert_with(|| fill.enter(stream, now.mono, filed));
            end = span.end();
            match span {
                Span::Line { offset, bytes, flags } => {
                    let reading = if inside { habit.read_on(filed) } else { habit.read(bytes, filed, &rules) };
                    fill.line(lane, offset, bytes, &Reading { flags: reading.flags.with(flags), ..reading });
                    inside = flags.has(Flags::CONTINUES);
                    lines += 1;
                }
                Span::Hole { from, to } => {
                    fill.pass(lane, Extent { from, to, fate: Fate::Nuls });
                    holes += 1;
                }
            }
        }
        let moved = lane.is_some() || !full.is_empty();
        let tail = moved.then(|| tail_at(&chunk, end));
        if let (Some(lane), Some(tail)) = (lane, tail) {
            fill.mark(lane, tail);
        }
        self.counters.lines += lines;
        self.counters.holes += holes;
        self.counters.bytes += end - file.mark.offset;
        (file.habit, file.cursor) = (habit, cursor);
        if let Some(tail) = tail {
            file.set_mark(tail);
        }
        for filled in full {
            self.write_packet(filled);
        }
    }

    pub(super) fn write_packet(&mut self, filled: crate::fill::Filled) {
        self.counters.packets += 1;
        let place = Place { environment: filled.id.environment.clone(), bucket: filled.id.bucket };
        self.write(place, filled.bytes.clone().into(), Written::Packet(Box::new(filled)));
    }

    /// The bucket of a moment.
    pub(super) fn bucket_of(&self, time: Timestamp) -> BucketId {
        self.config.width.bucket_of(time)
    }
}

/// The mark at an offset within a chunk, or at its beginning.
fn tail_at(chunk: &Chunk<'_>, offset: u64) -> TailMark {
    let into = usize::try_from(offset.saturating_sub(chunk.from)).unwrap_or(usize::MAX).min(chunk.bytes.len());
    let read = chunk.bytes.get(..into).unwrap_or_default();
    if read.len() >= TAIL_MARK_BYTES {
        return TailMark::of(read);
    }
    let mut both = Vec::with_capacity(2 * TAIL_MARK_BYTES);
    both.extend_from_slice(chunk.before);
    both.extend_from_slice(read);
    TailMark::of(&both)
}

/// A name for the program when nothing says it: the file's, without what rotation and its kind added.
fn app_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let plain = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '_');
    cut(if plain.is_empty() { &name } else { plain }, NAME_BYTES_MAX)
}

/// A gap in what is known begins where a line does, if what lies before it is still what was read. A file that lost
/// its end with its host's power and was written on may have a line across it: that file is read from its beginning,
/// and what is known of it already is told apart by name.
fn inside_a_line(offset: u64, before: &[u8]) -> bool {
    offset > 0 && before.last().is_some_and(|byte| *byte != b'\n')
}

/// At most so many bytes of a text.
fn cut(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}
