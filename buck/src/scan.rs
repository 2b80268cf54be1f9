//! A search over packets: one is read and opened a step, rows leave in the order asked for.
//!
//! Packets say which times, streams and offsets they hold, so they are opened in the order of the first row they
//! could give. A row leaves when no packet still closed could hold one before it. Rows that wait are few when
//! packets are narrow; when they are many, the last of them are given up and the answer ends before them, saying
//! that there is more: the asker goes on from its last row.
//!
//! The same event from two packets leaves once. A line whose pieces lie in several packets is judged piece by piece,
//! for the rest may be on another buck: the answer then says that a match across a cut would not be seen.

mod counts;
pub(crate) mod sources;
mod waiting;

use crate::filter::{Filter, FilterBuilder, Sieve};
use crate::job::{Step, Trouble, checked};
use crate::opened::{Opened, Opener};
use crate::plan::{Plan, Planned, Question, Rank};
use bytes::Bytes;
use counts::Counting;
use proto::event::{Event, Flags};
use proto::ids::PacketId;
use proto::message::{Counts, End, Heard, Part, Progress, Row, Want};
use sources::SourceList;
use std::cell::Cell;
use std::collections::VecDeque;
use waiting::Waiting;

/// Rows in one part, and bytes of their lines: small enough that the first leave at once, large enough that a part
/// is worth its frame.
const PART_ROWS: usize = 500;
const PART_BYTES: usize = 256 << 10;

/// Counts of packets in one part.
const PART_COUNTS: usize = 64;

/// Packets done between two words on progress; tests want to hear each.
const PROGRESS_EVERY: u64 = if cfg!(test) { 1 } else { 16 };

/// Filters made on the way and handed back, so that a first search over a restarted buck is not paid for again.
const FILTERS_MAX: usize = 4096;

#[derive(Debug)]
pub struct Scan {
    question: Question,
    sieve: Sieve,
    after: Option<Rank>,
    /// In the order of the first row they could give.
    packets: VecDeque<Planned>,
    reading: Option<Planned>,
    opener: Opener,
    waiting: Waiting,
    sources: SourceList,
    rows: Vec<Row>,
    row_bytes: usize,
    counts: Vec<Counts>,
    /// How many rows may still leave, and the place of the last that did.
    left: usize,
    last: Option<Rank>,
    out: VecDeque<Part>,
    progress: Progress,
    told: u64,
    builder: FilterBuilder,
    filters: Vec<(PacketId, Filter)>,
    /// For the end of counts.
    heard: Vec<Heard>,
    trouble: Trouble,
    /// Lines that were judged by a piece of them.
    cut_lines: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Going,
    Ended,
}

impl Scan {
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let Plan { question, mut packets, heard } = plan;
        let order = question.order;
        packets.sort_by_cached_key(|packet| (packet.ranks(order).0, packet.id.clone()));
        let progress = Progress {
            pages: packets.len() as u64,
            bytes: packets.iter().map(|packet| u64::from(packet.place.length)).sum(),
            ..Progress::default()
        };
        let left = match question.want {
            Want::Rows { limit } => limit as usize,
            Want::Counts { .. } => usize::MAX,
        };
        // Whoever wants few rows may never see the end; counts are nothing before it.
        let (out, heard) = match question.want {
            Want::Rows { .. } => (VecDeque::from([Part::Heard(heard)]), Vec::new()),
            Want::Counts { .. } => (VecDeque::new(), heard),
        };
        Self {
            sieve: Sieve::of(&question.query.need()),
            after: question.after.as_ref().map(|at| Rank::of(order, at)),
            question,
            packets: packets.into(),
            reading: None,
            opener: Opener::default(),
            waiting: Waiting::new(left),
            sources: SourceList::default(),
            rows: Vec::new(),
            row_bytes: 0,
            counts: Vec::new(),
            left,
            last: None,
            out,
            progress,
            told: 0,
            builder: FilterBuilder::default(),
            filters: Vec::new(),
            heard,
            trouble: Trouble::default(),
            cut_lines: 0,
            state: State::Going,
        }
    }

    pub fn step(&mut self) -> Step {
        loop {
            if let Some(part) = self.out.pop_front() {
                return Step::Part(part);
            }
            if self.state == State::Ended {
                return Step::Done;
            }
            self.release();
            if let Some(packet) = self.next_packet() {
                let place = packet.place.clone();
                self.reading = Some(packet);
                self.flush_rows();
                self.tell_progress();
                match self.out.is_empty() {
                    true => return Step::Read(place),
                    false => self.put_back(),
                }
            } else {
                self.release();
                self.end();
            }
        }
    }

    /// What there is to send goes out before the next packet is read.
    fn put_back(&mut self) {
        if let Some(packet) = self.reading.take() {
            self.packets.push_front(packet);
        }
    }

    pub fn on_read(&mut self, read: Result<Bytes, String>) {
        let Some(packet) = self.reading.take() else { return };
        let looked = checked(&packet.place, read).and_then(|bytes| self.look_into(&packet, &bytes));
        if let Err(sentence) = looked {
            self.trouble.say(sentence);
        }
        self.pass(&packet);
    }

    /// Filters of packets that had none.
    #[must_use]
    pub fn filters(self) -> Vec<(PacketId, Filter)> {
        self.filters
    }

    /// The next packet that must be opened; those that need not be are passed.
    fn next_packet(&mut self) -> Option<Planned> {
        if self.left == 0 {
            return None;
        }
        while let Some(packet) = self.packets.pop_front() {
            let first = packet.ranks(self.question.order).0;
            if self.waiting.is_past(first) {
                self.packets.push_front(packet);
                return None;
            }
            if packet.may_hold(&self.question, &self.sieve, self.after) {
                return Some(packet);
            }
            self.pass(&packet);
        }
        None
    }

    fn pass(&mut self, packet: &Planned) {
        self.progress.pages_done += 1;
        self.progress.bytes_done += u64::from(packet.place.length);
    }

    fn look_into(&mut self, packet: &Planned, bytes: &Bytes) -> Result<(), String> {
        let mut opener = std::mem::take(&mut self.opener);
        let looked = match opener.open(bytes) {
            Ok(opened) => self.look_through(packet, &opened),
            Err(error) => Err(error),
        };
        self.opener = opener;
        looked.map_err(|error| format!("{}: {error}", packet.place))
    }

    fn look_through(&mut self, packet: &Planned, opened: &Opened<'_>) -> Result<(), proto::packet::PacketError> {
        self.make_filter(packet, opened);
        let of_sources: Vec<_> = opened.sources.iter().map(|source| self.question.query.of_source(source)).collect();
        let question = self.question.clone();
        let cut_lines = Cell::new(0);
        let judge = |event: &Event<'_>| {
            cut_lines.set(cut_lines.get() + u64::from(event.flags.has(Flags::CONTINUES)));
            question.query.matches(event)
        };
        let fits = |index: usize, event: &Event<'_>| {
            event.time >= question.from
                && event.time < question.to
                && of_sources.get(index).copied().flatten().unwrap_or_else(|| judge(event))
        };
        match question.want {
            Want::Rows { .. } => self.gather_rows(opened, fits)?,
            Want::Counts { step_nanos } => {
                let mut counting = Counting::new(step_nanos);
                opened.for_each(|index, event| {
                    if fits(index, event) {
                        counting.add(event);
                    }
                })?;
                self.add_counts(counting.finish(packet.id.clone()));
            }
        }
        self.cut_lines += cut_lines.get();
        Ok(())
    }

    fn gather_rows(
        &mut self,
        opened: &Opened<'_>,
        fits: impl Fn(usize, &Event<'_>) -> bool,
    ) -> Result<(), proto::packet::PacketError> {
        let (order, after) = (self.question.order, self.after);
        let (waiting, sources) = (&mut self.waiting, &mut self.sources);
        let mut numbers = vec![None; opened.sources.len()];
        opened.for_each(|index, event| {
            let rank = Rank::of(order, &event.order());
            let wanted = after.is_none_or(|after| rank > after) && !waiting.is_past(rank);
            if wanted && fits(index, event) {
                let known = numbers.get_mut(index);
                let source = known.map_or(0, |known| *known.get_or_insert_with(|| sources.number_of(event.source)));
                waiting.add(rank, source, event);
            }
        })
    }

    fn make_filter(&mut self, packet: &Planned, opened: &Opened<'_>) {
        if packet.filter.is_some() || self.filters.len() >= FILTERS_MAX {
            return;
        }
        for event in opened.pieces() {
            match event {
                Ok(event) => self.builder.add(&event),
                // A filter of half a packet would deny what is in the other half.
                Err(_) => return drop(self.builder.finish()),
            }
        }
        self.filters.push((packet.id.clone(), self.builder.finish()));
    }

    fn add_counts(&mut self, counts: Counts) {
        if !counts.cells.is_empty() {
            self.counts.push(counts);
        }
        if self.counts.len() >= PART_COUNTS {
            self.out.push_back(Part::Counts(std::mem::take(&mut self.counts)));
        }
    }

    /// Rows that no packet still closed could come before.
    fn release(&mut self) {
        let order = self.question.order;
        let barrier = self.packets.front().map(|packet| packet.ranks(order).0);
        while self.left > 0 || self.last.is_some() && self.waiting.first() == self.last {
            let Some((rank, row)) = self.waiting.take_before(barrier) else { break };
            self.left = self.left.saturating_sub(1);
            self.last = Some(rank);
            self.row_bytes += row.line.len();
            self.rows.push(row);
            if self.rows.len() >= PART_ROWS || self.row_bytes >= PART_BYTES {
                self.flush_rows();
            }
        }
    }

    fn flush_rows(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        self.row_bytes = 0;
        while let Some(new) = self.sources.take_new() {
            self.out.push_back(Part::Sources(new));
        }
        self.out.push_back(Part::Rows(std::mem::take(&mut self.rows)));
    }

    fn tell_progress(&mut self) {
        if self.progress.pages_done < self.told + PROGRESS_EVERY {
            return;
        }
        self.told = self.progress.pages_done;
        // What is said to be settled must have been sent.
        self.flush_rows();
        self.out.push_back(Part::Progress(self.progress_now()));
    }

    fn progress_now(&self) -> Progress {
        let order = self.question.order;
        let next = self.reading.as_ref().or(self.packets.front());
        let packets = next.map(|packet| packet.ranks(order).0);
        let first = [packets, self.waiting.first(), self.waiting.floor()].into_iter().flatten().min();
        Progress { settled: first.and_then(|rank| rank.time(order)), ..self.progress }
    }

    fn end(&mut self) {
        self.flush_rows();
        if !self.counts.is_empty() {
            self.out.push_back(Part::Counts(std::mem::take(&mut self.counts)));
        }
        if self.cut_lines > 0 {
            let sentence = "a long line lies in several packets: a match across a cut is not seen before it is ported";
            self.trouble.say(format!("{} times {sentence}", self.cut_lines));
        }
        let exhausted = self.packets.is_empty() && self.waiting.is_empty() && !self.waiting.gave_up();
        let end = End {
            exhausted,
            progress: self.progress_now(),
            heard: std::mem::take(&mut self.heard),
            trouble: self.trouble.take(),
        };
        self.out.push_back(Part::End(end));
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests;
