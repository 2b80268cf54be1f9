//! Live tails: who follows what, and a bounded queue for each.
//!
//! A machine of its own, so that matching lines delays no ack: the buck's machine says `Publish` when a packet
//! has come, before any disk has it, and whoever runs this one calls [`Tails::on_packet`]. Each subscriber's
//! queue is taken when the subscriber has room. A full queue drops, and where lines were dropped stands how many.
//! Lines that are no news, filed over [`FRESH`] ago or backlog, are counted as dropped and not shown.

use crate::context::row_of;
use crate::filter::{Filter, FilterBuilder};
use crate::opened::{Opened, Opener};
use crate::place::ExchangeId;
use crate::scan::sources::SourceList;
use proto::event::Event;
use proto::ids::Environment;
use proto::message::{Part, Row};
use proto::packet::PacketError;
use proto::query::Query;
use proto::time::Now;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Older packets are catching up, not happening.
pub const FRESH: Duration = Duration::from_secs(30);

/// A word of life, so that a subscriber can tell silence from a dead link.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Lines queued for one subscriber: about what a browser shows in ten seconds at its busiest.
const QUEUE_ROWS_MAX: usize = 20_000;
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Lines sent in one part.
const PART_ROWS: usize = 500;
const PART_BYTES: usize = 256 << 10;

/// Names of sources one subscriber is told; lines of more sources than that are dropped.
const SOURCE_BYTES_MAX: usize = 4 << 20;

/// What a row takes beside its line.
const ROW_BYTES: usize = 64;

#[derive(Debug, Default)]
pub struct Tails {
    tails: BTreeMap<ExchangeId, Tail>,
    opener: Opener,
    builder: FilterBuilder,
    next_beat: Option<Duration>,
}

#[derive(Debug)]
struct Tail {
    query: Query,
    environments: Vec<Environment>,
    sources: SourceList,
    queue: VecDeque<Item>,
    rows: usize,
    bytes: usize,
    /// Events looked at, whether they matched or not.
    seen: u64,
    /// The last beat was said and not taken yet.
    beat: Option<Part>,
}

#[derive(Debug)]
enum Item {
    Row(Row),
    /// In the place of so many rows.
    Dropped(u64),
}

impl Tails {
    pub fn subscribe(&mut self, now: Now, exchange: ExchangeId, query: Query, environments: Vec<Environment>) {
        let tail = Tail {
            query,
            environments,
            sources: SourceList::default(),
            queue: VecDeque::new(),
            rows: 0,
            bytes: 0,
            seen: 0,
            beat: None,
        };
        self.tails.insert(exchange, tail);
        self.next_beat.get_or_insert(now.mono + BEAT_EVERY);
    }

    pub fn unsubscribe(&mut self, exchange: ExchangeId) {
        self.tails.remove(&exchange);
        if self.tails.is_empty() {
            self.next_beat = None;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// Shows a packet to whom it concerns. `filter`: also make its filter, while it is open.
    pub fn on_packet(&mut self, now: Now, bytes: &[u8], filter: bool) -> Result<Option<Filter>, PacketError> {
        let mut opener = std::mem::take(&mut self.opener);
        let shown = opener.open(bytes).and_then(|opened| self.show(now, &opened, filter));
        self.opener = opener;
        shown
    }

    fn show(&mut self, now: Now, opened: &Opened<'_>, filter: bool) -> Result<Option<Filter>, PacketError> {
        let head = &opened.packet.head;
        let fresh = !head.backlog && now.wall.since(head.filed.last) <= FRESH;
        for tail in self.tails.values_mut().filter(|tail| tail.environments.contains(&head.id.environment)) {
            tail.show(opened, fresh)?;
        }
        if !filter {
            return Ok(None);
        }
        for event in opened.pieces() {
            self.builder.add(&event?);
        }
        Ok(Some(self.builder.finish()))
    }

    /// A packet that could not be looked at in time. How many of its lines would have matched nobody knows; all
    /// are counted as dropped.
    pub fn on_skipped(&mut self, environment: &Environment, events: u64) {
        for tail in self.tails.values_mut().filter(|tail| tail.environments.contains(environment)) {
            tail.drop_many(events);
        }
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.next_beat
    }

    pub fn on_timeout(&mut self, now: Now) {
        if self.next_beat.is_none_or(|due| due > now.mono) {
            return;
        }
        self.next_beat = Some(now.mono + BEAT_EVERY);
        for tail in self.tails.values_mut() {
            tail.beat = Some(Part::Beat { clock: now.wall, seen: tail.seen });
        }
    }

    /// Who has something to be taken.
    pub fn ready(&self) -> impl Iterator<Item = ExchangeId> {
        self.tails.iter().filter(|(_, tail)| !tail.queue.is_empty() || tail.beat.is_some()).map(|(id, _)| *id)
    }

    /// What to send this subscriber next: rows, then the count of those dropped after them, then a beat.
    pub fn take(&mut self, exchange: ExchangeId) -> Option<Part> {
        self.tails.get_mut(&exchange)?.take()
    }
}

impl Tail {
    fn show(&mut self, opened: &Opened<'_>, fresh: bool) -> Result<(), PacketError> {
        let of_sources: Vec<_> = opened.sources.iter().map(|source| self.query.of_source(source)).collect();
        opened.for_each(|index, event| {
            self.seen += 1;
            let decided = of_sources.get(index).copied().flatten();
            if decided.unwrap_or_else(|| self.query.matches(event)) {
                self.add(event, fresh);
            }
        })
    }

    fn add(&mut self, event: &Event<'_>, fresh: bool) {
        let bytes = event.line.len() + ROW_BYTES;
        let many = self.sources.bytes() > SOURCE_BYTES_MAX && !self.sources.knows(event.source);
        if !fresh || many || self.rows >= QUEUE_ROWS_MAX || self.bytes + bytes > QUEUE_BYTES_MAX {
            return self.drop_many(1);
        }
        self.rows += 1;
        self.bytes += bytes;
        let source = self.sources.number_of(event.source);
        self.queue.push_back(Item::Row(row_of(source, event)));
    }

    fn drop_many(&mut self, lines: u64) {
        match self.queue.back_mut() {
            Some(Item::Dropped(count)) => *count += lines,
            _ => self.queue.push_back(Item::Dropped(lines)),
        }
    }

    fn take(&mut self) -> Option<Part> {
        if let Some(new) = self.sources.take_new() {
            return Some(Part::Sources(new));
        }
        if let Some(Item::Dropped(count)) = self.queue.front() {
            let part = Part::Dropped(*count);
            self.queue.pop_front();
            return Some(part);
        }
        let rows = self.take_rows();
        if rows.is_empty() { self.beat.take() } else { Some(Part::Rows(rows)) }
    }

    fn take_rows(&mut self) -> Vec<Row> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < PART_ROWS && bytes < PART_BYTES && matches!(self.queue.front(), Some(Item::Row(_))) {
            let Some(Item::Row(row)) = self.queue.pop_front() else { break };
            bytes += row.line.len() + ROW_BYTES;
            rows.push(row);
        }
        self.rows -= rows.len();
        self.bytes -= bytes;
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::testing::{PacketMaker, now};
    use proto::query::parse;

    const ONE: ExchangeId = ExchangeId(1);
    const TWO: ExchangeId = ExchangeId(2);

    fn tails(queries: &[(ExchangeId, &str)]) -> Tails {
        let mut tails = Tails::default();
        for (exchange, query) in queries {
            let environments = vec![Environment::default()];
            tails.subscribe(now(0), *exchange, parse(query).expect("a query"), environments);
        }
        tails
    }

    fn packet(seq: u32, lines: usize) -> bytes::Bytes {
        let mut maker = PacketMaker::new(1, seq);
        for line in 0..lines {
            maker.line(
                "a",
                format!("packet {seq} line {line} {}", if line % 2 == 0 { "even" } else { "odd" }).as_bytes(),
            );
        }
        maker.finish()
    }

    /// Lines shown and lines dropped, of everything there is to take.
    fn drain(tails: &mut Tails, exchange: ExchangeId) -> (u64, u64) {
        let (mut shown, mut dropped) = (0, 0);
        while let Some(part) = tails.take(exchange) {
            match part {
                Part::Rows(rows) => shown += rows.len() as u64,
                Part::Dropped(count) => dropped += count,
                _ => {}
            }
        }
        (shown, dropped)
    }

    #[test]
    fn each_subscriber_sees_what_it_asked_for() {
        let mut tails = tails(&[(ONE, "even"), (TWO, "")]);
        tails.on_packet(now(0), &packet(0, 10), false).expect("a whole packet");
        assert_eq!(tails.ready().collect::<Vec<_>>(), [ONE, TWO]);
        assert_eq!(drain(&mut tails, ONE), (5, 0));
        assert_eq!(drain(&mut tails, TWO), (10, 0));
        tails.unsubscribe(ONE);
        tails.on_packet(now(0), &packet(1, 10), false).expect("a whole packet");
        assert_eq!((drain(&mut tails, ONE), drain(&mut tails, TWO)), ((0, 0), (10, 0)));
    }

    #[test]
    fn a_slow_subscriber_loses_lines_and_is_told_exactly_how_many() {
        let mut tails = tails(&[(ONE, ""), (TWO, "")]);
        let (mut shown, mut dropped) = (0, 0);
        for seq in 0..60 {
            tails.on_packet(now(0), &packet(seq, 1000), false).expect("a whole packet");
            assert_eq!(drain(&mut tails, TWO), (1000, 0), "the other is not held up");
            if seq == 29 {
                let (some_shown, some_dropped) = drain(&mut tails, ONE);
                assert!(some_dropped > 0);
                (shown, dropped) = (some_shown, some_dropped);
            }
        }
        let (more_shown, more_dropped) = drain(&mut tails, ONE);
        assert_eq!(shown + dropped + more_shown + more_dropped, 60_000);
        assert!(more_shown > 0 && more_dropped > 0);
    }

    #[test]
    fn what_is_no_news_is_counted_and_not_shown() {
        let mut tails = tails(&[(ONE, "odd")]);
        tails.on_packet(now(30_000), &packet(0, 10), false).expect("a whole packet");
        assert_eq!(drain(&mut tails, ONE), (5, 0));
        tails.on_packet(now(30_001), &packet(1, 10), false).expect("a whole packet");
        assert_eq!(drain(&mut tails, ONE), (0, 5));
    }

    #[test]
    fn a_beat_each_second_says_how_much_was_seen() {
        let mut tails = tails(&[(ONE, "nothing like it")]);
        tails.on_packet(now(0), &packet(0, 10), false).expect("a whole packet");
        assert_eq!(tails.take(ONE), None);
        assert_eq!(tails.next_timeout(), Some(now(1000).mono));
        tails.on_timeout(now(1000));
        assert_eq!(tails.take(ONE), Some(Part::Beat { clock: now(1000).wall, seen: 10 }));
        assert_eq!(tails.take(ONE), None);
    }

    #[test]
    fn damage_is_an_error_and_shows_nothing_false() {
        let mut tails = tails(&[(ONE, "")]);
        let good = packet(0, 3);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(tails.on_packet(now(0), &bad, true).is_err(), "byte {at}");
        }
        assert_eq!(drain(&mut tails, ONE), (0, 0));
    }
}
