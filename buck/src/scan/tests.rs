//! A scan says what a look at every event would say, in the order asked for, page by page.

use super::*;
use crate::job::{Job, crc_of};
use crate::machine::testing::{PacketMaker, event_of, run_job};
use crate::place::{DiskId, Place};
use crate::plan::Segment;
use proptest::prelude::*;
use proto::event::{Flags, TimeOrder};
use proto::limits::LINE_BYTES_MAX;
use proto::message::SearchOrder;
use proto::packet::{NewEvent, Packet};
use proto::query::parse;
use proto::time::Timestamp;

/// Packets as they lie somewhere.
struct Lying {
    packets: Vec<(Planned, Bytes)>,
}

impl Lying {
    fn new(packets: Vec<Bytes>) -> Self {
        Self {
            packets: packets.into_iter().enumerate().map(|(at, bytes)| (planned(at as u64, &bytes), bytes)).collect(),
        }
    }

    fn read(&self, place: &Place) -> Result<Bytes, String> {
        self.packets.get(place.at as usize).map(|(_, bytes)| bytes.clone()).ok_or("nothing there".into())
    }

    fn ask(&self, question: &Question) -> (Vec<Part>, usize) {
        let packets = self.packets.iter().map(|(packet, _)| packet.clone()).collect();
        let plan = Plan { question: question.clone(), packets, heard: Vec::new() };
        let mut reads = 0;
        let (parts, _) = run_job(Job::Scan(Box::new(Scan::new(plan))), |place| {
            reads += 1;
            self.read(place)
        });
        (parts, reads)
    }

    /// All pages, each going on from the last row of the one before.
    fn pages(&self, question: &Question) -> Vec<(TimeOrder, Vec<u8>)> {
        let mut all: Vec<(TimeOrder, Vec<u8>)> = Vec::new();
        let mut settled = None;
        loop {
            let after = all.last().map(|(at, _)| *at);
            let (parts, _) = self.ask(&Question { after, ..question.clone() });
            parts.iter().for_each(|part| check_settled(question.order, &mut settled, part));
            let (rows, end) = rows_of(parts);
            let got_none = rows.is_empty();
            all.extend(rows);
            if end.exhausted {
                return all;
            }
            assert!(!got_none, "an empty page that is not the last");
        }
    }

    /// Every event there is, looked at one by one.
    fn by_hand(&self, question: &Question) -> Vec<(TimeOrder, Vec<u8>)> {
        let mut opener = Opener::default();
        let mut found = Vec::new();
        for (_, bytes) in &self.packets {
            let opened = opener.open(bytes).expect("a whole packet");
            let read = opened.for_each(|_, event| {
                let fits = event.time >= question.from && event.time < question.to && question.query.matches(event);
                if fits {
                    found.push((event.order(), event.line.to_vec()));
                }
            });
            assert_eq!(read, Ok(()));
        }
        found.sort_by(|one, other| question.order.compare(&one.0, &other.0));
        found.dedup();
        found
    }
}

fn planned(at: u64, bytes: &Bytes) -> Planned {
    let head = Packet::parse(bytes).expect("a whole packet").head;
    let segment = |stream: &proto::packet::PacketStream| Segment {
        stream: stream.id,
        from: stream.extents[0].from,
        to: stream.extents[stream.extents.len() - 1].to,
    };
    let place = Place {
        disk: DiskId(0),
        environment: head.id.environment.clone(),
        bucket: head.id.bucket,
        at,
        length: bytes.len() as u32,
        crc: crc_of(bytes),
    };
    let segments = head.streams.iter().map(segment).collect();
    Planned { id: head.id, place, times: head.times, segments, filter: None }
}

/// Whatever is said to be settled, no row of this page or a later one comes before it.
fn check_settled(order: SearchOrder, settled: &mut Option<Timestamp>, part: &Part) {
    let told = match part {
        Part::Rows(rows) => {
            let before = |row: &Row| match (order, *settled) {
                (SearchOrder::Newest, Some(settled)) => row.time > settled,
                (SearchOrder::Oldest, Some(settled)) => row.time < settled,
                _ => false,
            };
            return assert!(!rows.iter().any(before), "{order:?}: {settled:?} was settled, and then came {rows:?}");
        }
        Part::Progress(progress) => progress.settled,
        Part::End(end) => end.progress.settled,
        _ => None,
    };
    *settled = told.or(*settled);
}

fn rows_of(parts: Vec<Part>) -> (Vec<(TimeOrder, Vec<u8>)>, End) {
    let (mut sources, mut rows) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Sources(new) => sources.extend(new),
            Part::Rows(new) => rows.extend(new.into_iter().map(|row: Row| {
                let source: &proto::event::Source = &sources[row.source as usize];
                let (tailer, stream) = (source.tailer, source.stream);
                (TimeOrder { time: row.time, tailer, stream, offset: row.offset }, row.line)
            })),
            Part::End(end) => return (rows, end),
            _ => {}
        }
    }
    panic!("an answer without an end")
}

fn question(query: &str, order: SearchOrder, limit: u32) -> Question {
    Question {
        query: parse(query).expect("a query"),
        from: Timestamp(2),
        to: Timestamp(18),
        order,
        want: Want::Rows { limit },
        after: None,
    }
}

/// Tailer, and lines as stream, time, text.
type Content = (u64, Vec<(u8, i64, String)>);

fn packets(contents: &[Content]) -> Vec<Bytes> {
    let mut ends = std::collections::BTreeMap::new();
    let mut packets = Vec::new();
    for (seq, (tailer, lines)) in contents.iter().enumerate() {
        let mut maker = PacketMaker::new(*tailer, seq as u32);
        for (stream, time, text) in lines {
            let name = format!("s{stream}");
            let end = ends.entry((*tailer, name.clone())).or_insert(0);
            let event = NewEvent { time: Timestamp(*time), ..event_of(text.as_bytes(), Flags::NONE) };
            maker.at(&name, *end).push(&name, event);
            *end = maker.end_of(&name);
        }
        packets.push(maker.finish());
    }
    packets
}

fn any_contents() -> impl Strategy<Value = Vec<Content>> {
    let line = (0u8..3, 0i64..20, "[ab]{0,3}");
    prop::collection::vec((1u64..3, prop::collection::vec(line, 1..12)), 1..8)
}

const ORDERS: [SearchOrder; 3] = [SearchOrder::Newest, SearchOrder::Oldest, SearchOrder::File];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_scan_is_a_look_at_everything(contents in any_contents(), limit in 1u32..9, query in "(|a|ab|b a|-a)") {
        let lying = Lying::new(packets(&contents));
        for order in ORDERS {
            let question = question(&query, order, limit);
            prop_assert_eq!(lying.pages(&question), lying.by_hand(&question));
        }
    }

    #[test]
    fn counts_are_those_of_the_rows(contents in any_contents(), step in 0u64..7) {
        let lying = Lying::new(packets(&contents));
        let rows = lying.by_hand(&question("a", SearchOrder::Oldest, 1));
        let asked = Question { want: Want::Counts { step_nanos: step }, ..question("a", SearchOrder::Oldest, 1) };
        let (parts, _) = lying.ask(&asked);
        let cells = parts.into_iter().flat_map(|part| if let Part::Counts(counts) = part { counts } else { Vec::new() });
        let mut counted = std::collections::BTreeMap::new();
        for cell in cells.flat_map(|counts| counts.cells) {
            *counted.entry(cell.step).or_insert(0) += cell.count;
        }
        let mut expected = std::collections::BTreeMap::new();
        for (at, _) in rows {
            *expected.entry(if step == 0 { 0 } else { at.time.0 / step.cast_signed() }).or_insert(0) += 1;
        }
        prop_assert_eq!(counted, expected);
    }
}

#[test]
fn a_page_of_the_newest_opens_only_the_newest() {
    let contents: Vec<Content> = (0..10).map(|n| (1, vec![(0, n + 2, format!("line {n}"))])).collect();
    let lying = Lying::new(packets(&contents));
    let (parts, reads) = lying.ask(&question("line", SearchOrder::Newest, 2));
    let (rows, end) = rows_of(parts);
    assert_eq!(rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>(), [b"line 9".to_vec(), b"line 8".to_vec()]);
    assert!(!end.exhausted);
    assert!(reads <= 3, "{reads}");
}

#[test]
fn a_needle_across_the_cut_of_a_long_line_is_found() {
    let mut line = vec![b'.'; LINE_BYTES_MAX + 10];
    line[LINE_BYTES_MAX - 3..LINE_BYTES_MAX + 3].copy_from_slice(b"needle");
    let mut maker = PacketMaker::new(1, 0);
    let timed = |line, flags| NewEvent { time: Timestamp(5), ..event_of(line, flags) };
    maker.push("a", timed(&line[..LINE_BYTES_MAX], Flags::CONTINUES));
    maker.push("a", timed(&line[LINE_BYTES_MAX..], Flags::NONE));
    let lying = Lying::new(vec![maker.finish()]);
    let found = lying.pages(&question("needle", SearchOrder::Newest, 10));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.offset, &found[0].1), (0, &line));
}

#[test]
fn a_long_line_in_two_packets_is_not_passed_over_in_silence() {
    let packet = |seq, bytes: &[u8], flags| {
        let mut maker = PacketMaker::new(1, seq);
        maker.push("a", NewEvent { time: Timestamp(5), ..event_of(bytes, flags) });
        maker.finish()
    };
    let lying = Lying::new(vec![packet(0, b"its first part: nee", Flags::CONTINUES), packet(1, b"dle", Flags::NONE)]);
    let trouble = |query: &str| rows_of(lying.ask(&question(query, SearchOrder::Newest, 10)).0).1.trouble;
    assert!(trouble("first").concat().contains("across a cut"), "{:?}", trouble("first"));
    assert!(trouble("-needle").concat().contains("across a cut"));
    assert_eq!(trouble("level:none OR app:*"), Vec::<String>::new(), "where the text does not matter");
}

#[test]
fn filters_made_on_the_way_spare_the_next_scan_its_reads() {
    let contents: Vec<Content> = (0..10).map(|n| (1, vec![(0, n + 2, format!("word{n} and more"))])).collect();
    let mut lying = Lying::new(packets(&contents));
    let asked = question("word7", SearchOrder::Newest, 10);
    let plan = Plan {
        question: asked.clone(),
        packets: lying.packets.iter().map(|(p, _)| p.clone()).collect(),
        heard: Vec::new(),
    };
    let (_, job) = run_job(Job::Scan(Box::new(Scan::new(plan))), |place| lying.read(place));
    let filters: std::collections::BTreeMap<_, _> = job.filters().into_iter().collect();
    for (packet, _) in &mut lying.packets {
        packet.filter = filters.get(&packet.id).cloned().map(std::sync::Arc::new);
    }
    let (parts, reads) = lying.ask(&asked);
    assert_eq!((rows_of(parts).0.len(), reads), (1, 1));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_found() {
    let contents: Vec<Content> = (0..3).map(|n| (1, vec![(0, n + 2, format!("line {n}"))])).collect();
    let mut lying = Lying::new(packets(&contents));
    let mut damaged = lying.packets[1].1.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    lying.packets[1].1 = damaged.into();
    let (rows, end) = rows_of(lying.ask(&question("line", SearchOrder::Oldest, 10)).0);
    assert_eq!(rows.len(), 2);
    assert_eq!(end.trouble.len(), 1);
    assert!(end.trouble[0].starts_with("disk 0, main/3k9/fc, byte 1: "), "{:?}", end.trouble);
}

#[test]
fn rows_over_the_memory_of_a_search_make_pages_without_gaps() {
    let mut waiting = Waiting::with_bytes_max(100, 600);
    let lying = Lying::new(packets(&[(1, (0..20).map(|n| (0, 19 - n, "x".to_owned())).collect())]));
    let mut opener = Opener::default();
    let opened = opener.open(&lying.packets[0].1).expect("a whole packet");
    let read = opened.for_each(|_, event| {
        let rank = Rank::of(SearchOrder::Oldest, &event.order());
        if !waiting.is_past(rank) {
            waiting.add(rank, 0, event);
        }
    });
    assert_eq!(read, Ok(()));
    let mut times = Vec::new();
    while let Some((_, row)) = waiting.take_before(None) {
        times.push(row.time.0);
    }
    assert_eq!(times, [0, 1, 2]);
    assert!(waiting.gave_up());
}
