//! The block against a model that keeps everything and looks at all of it.

use super::count::{Hands, Histogram, Steps, count, count_lines, histogram};
use super::cover::{Candidate, covered, events_in};
use super::search::hits;
use super::{Ask, BlockError, BlockHead, Candidates, Opened, Profile, Ranges, Search, Writer, Written, context};
use proptest::prelude::*;
use proto::event::{Event, Flags, Level, OwnedEvent, Source};
use proto::ids::{Environment, NodeId, StreamId};
use proto::limits::{JOINED_LINE_BYTES_MAX, LINE_BYTES_MAX};
use proto::message::SearchOrder;
use proto::query::{Query, TimeRange, parse};
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

mod damage;

static GO: AtomicBool = AtomicBool::new(false);

fn head() -> BlockHead {
    BlockHead {
        environment: Environment::default(),
        first: BucketId(5_984_184),
        last: BucketId(5_984_184),
        width: BucketWidth::default(),
        shard: 0,
        shards: 1,
    }
}

fn source(tailer: u64, stream: u8, host: &str, app: &str) -> Arc<Source> {
    Arc::new(Source {
        tailer: NodeId(tailer),
        environment: Environment::default(),
        stream: StreamId([stream; 16]),
        host: host.into(),
        app: app.into(),
        path: format!("/var/log/{app}.log"),
        generation: u32::from(stream) % 3,
        predecessor: (stream % 2 == 1).then_some(StreamId([0; 16])),
        labels: vec![("rack".into(), format!("r{stream}"))],
    })
}

fn write(events: &[OwnedEvent], page_bytes: usize) -> Written {
    let mut writer = Writer::new(head(), Profile::Recent);
    writer.page_bytes = page_bytes;
    for event in events {
        writer.add(&event.borrow()).unwrap();
    }
    writer.finish()
}

/// What should be kept, in the order of the block, by a way of its own: maps instead of sorts.
fn kept(events: &[OwnedEvent]) -> Vec<OwnedEvent> {
    type Story = (Timestamp, Level, u8, u32, Arc<Source>);
    type Stream = BTreeMap<(u64, u32, u32), OwnedEvent>;
    let mut streams: BTreeMap<(NodeId, StreamId), Stream> = BTreeMap::new();
    let story = |event: &OwnedEvent| -> Story {
        (event.time, event.level, event.flags.0, event.file_length, event.source.clone())
    };
    for event in events {
        let id = event.borrow().id();
        let stream = streams.entry((id.tailer, id.stream)).or_default();
        let known = stream.entry((id.offset, id.length, id.crc)).or_insert_with(|| event.clone());
        if story(event) < story(known) {
            *known = event.clone();
        }
    }
    let place = |events: &BTreeMap<_, OwnedEvent>| {
        let place = |event: &OwnedEvent| {
            let source = &event.source;
            (source.app.clone(), source.host.clone(), source.path.clone(), source.tailer, source.stream)
        };
        events.values().map(place).min().unwrap()
    };
    let mut streams: Vec<_> = streams.into_values().collect();
    streams.sort_by_key(place);
    streams.into_iter().flat_map(BTreeMap::into_values).collect()
}

/// Lines of kept events: pieces joined.
fn lines(kept: &[OwnedEvent]) -> Vec<OwnedEvent> {
    let mut lines: Vec<OwnedEvent> = Vec::new();
    let mut end: Option<(NodeId, StreamId, u64)> = None;
    for event in kept {
        let name = (event.source.tailer, event.source.stream, event.offset);
        match lines.last_mut() {
            Some(line)
                if end == Some(name)
                    && line.flags.has(Flags::CONTINUES)
                    && line.line.len() + event.line.len() <= JOINED_LINE_BYTES_MAX =>
            {
                line.line.extend_from_slice(&event.line);
                line.file_length = line.file_length.saturating_add(event.file_length);
                let tail = Flags::CONTINUES.0 | Flags::NEWLINE_ABSENT.0;
                line.flags.0 = line.flags.0 & !tail | event.flags.0 & tail | event.flags.0 & Flags::REDACTED.0;
            }
            _ => lines.push(OwnedEvent { flags: Flags(event.flags.0), ..event.clone() }),
        }
        end = Some((name.0, name.1, event.borrow().end()));
    }
    lines
}

fn search(opened: &Opened, bytes: &[u8], ask: Ask) -> Vec<OwnedEvent> {
    let candidates = Candidates::find(opened, bytes, &ask.query, ask.range).unwrap();
    let mut search = Search::new(opened, ask, &candidates);
    std::iter::from_fn(|| search.next(opened, bytes, &GO).unwrap()).collect()
}

/// The model's answer: events of one name in the order of the block.
fn expected(lines: &[OwnedEvent], ask: &Ask) -> Vec<OwnedEvent> {
    let mut found: Vec<OwnedEvent> = lines
        .iter()
        .filter(|event| ask.range.contains(event.time) && ask.query.matches(&event.borrow()))
        .cloned()
        .collect();
    if ask.order == SearchOrder::Newest {
        found.reverse();
    }
    found.sort_by(|a, b| ask.order.compare(&a.borrow().order(), &b.borrow().order()));
    if let Some(after) = ask.after {
        found.retain(|event| ask.order.compare(&after, &event.borrow().order()).is_lt());
    }
    if let Some(limit) = ask.limit {
        let last = found.get(limit.wrapping_sub(1)).map(|event| event.borrow().order());
        let mut at = 0;
        found.retain(|event| {
            at += 1;
            let same = last.is_some_and(|last| ask.order.compare(&last, &event.borrow().order()).is_eq());
            at <= limit || same
        });
    }
    found
}

fn sources() -> Vec<Arc<Source>> {
    vec![
        source(1, 1, "web1", "nginx"),
        source(1, 2, "web1", "cron"),
        source(2, 1, "web2", "nginx"),
        source(2, 3, "db", "postgres"),
        // The same stream, read as another app.
        source(1, 2, "web1", "anacron"),
    ]
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "(GET|POST|put) /[a-d]{1,3}/[0-9]{1,4} (200|404|500)( took [0-9]{1,3}ms)?".prop_map(String::into_bytes),
        4 => "user (ann|bob|eve|Zoë) from 10\\.0\\.[0-9]\\.[0-9]{1,2}:[0-9]{4}".prop_map(String::into_bytes),
        2 => "[a-e0-4 :]{0,12}\r?".prop_map(String::into_bytes),
        1 => Just(Vec::new()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => Just(b"nul \0 and \xff\xfe bad".to_vec()),
    ]
}

prop_compose! {
    /// Streams of lines end to end, some in pieces, some twice, some with a different line in the same place.
    fn any_events()(
        lines in proptest::collection::vec(
            (any_line(), 0usize..5, 0i64..4, 0u8..8, 0u8..64, 0u8..40, any::<u16>()), 0..60),
    ) -> Vec<OwnedEvent> {
        let sources = sources();
        let mut ends: BTreeMap<(NodeId, StreamId), u64> = BTreeMap::new();
        let mut events = Vec::new();
        let mut time = 1_795_255_200_000_000_000i64;
        for (line, which, step, level, flags, oddity, shuffle) in lines {
            let source = &sources[which];
            let end = ends.entry((source.tailer, source.stream)).or_insert(u64::from(which as u32) * 1000);
            time += [0, 1_000_000, 40_000_000_000, -100_000_000_000][step as usize];
            let time = if oddity == 39 { i64::MAX - 5 } else { time };
            let redacted = oddity % 9 == 1;
            let flags = Flags::from_u8(if redacted { flags | 16 } else { flags & !18 }).unwrap();
            let cut = (shuffle as usize) % (line.len() + 1);
            let pieces: Vec<&[u8]> = if oddity % 5 == 0 { vec![&line[..cut], &line[cut..]] } else { vec![&line] };
            let many = pieces.len();
            for (number, piece) in pieces.into_iter().enumerate() {
                let flags = if number + 1 < many { flags.with(Flags::CONTINUES) } else { flags };
                let event = OwnedEvent {
                    source: source.clone(),
                    offset: *end,
                    time: Timestamp(time),
                    level: Level::from_u8(level).unwrap(),
                    flags,
                    file_length: piece.len() as u32 + if redacted { 3 } else { 0 },
                    line: piece.to_vec(),
                };
                *end = event.borrow().end() + u64::from(oddity == 7) * 5;
                match oddity {
                    3 => events.push(event.clone()),
                    4 => events.push(OwnedEvent { line: b"another".to_vec(), file_length: 7, ..event.clone() }),
                    6 => events.push(OwnedEvent { time: Timestamp(time + 9), ..event.clone() }),
                    _ => {}
                }
                events.push(event);
            }
        }
        events
    }
}

fn any_query() -> impl Strategy<Value = Query> {
    prop_oneof![
        4 => "[a-e0-4/ ]{1,5}",
        4 => "(GET|took|user|404|Zoë|1[0-9]ms|/[a-d]/[0-9])",
        2 => "(host:web1|app:nginx|level>=warn|-took|-level:info|file:/var/log/c*|host:web1 -level:error)",
        2 => "'(Bob|bob|GET)'",
        2 => "/(GET|user).*[0-9]{2}/i?",
        2 => "(user|GET) (404|bob|-200|app:nginx)",
        2 => "(took OR bob|404 OR app:cron|\"10.0.\" OR xyz)",
        1 => Just(String::new()),
    ]
    .prop_filter_map("a query", |text| parse(&text).ok())
}

prop_compose! {
    fn any_ask()(
        query in any_query(),
        order in prop_oneof![Just(SearchOrder::Newest), Just(SearchOrder::Oldest), Just(SearchOrder::File)],
        limit in prop_oneof![Just(None), (1usize..9).prop_map(Some)],
        narrow: bool,
        from in 0i64..200, span in 0i64..400,
    ) -> Ask {
        let second = |second: i64| Timestamp(1_795_255_100_000_000_000 + second * 1_000_000_000);
        let range = if narrow { TimeRange { from: second(from), to: second(from + span) } } else { TimeRange::ALL };
        Ask { query, range, order, after: None, limit }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn search_is_scan(events in any_events(), asks in proptest::collection::vec(any_ask(), 6), page in 40usize..900) {
        let written = write(&events, page);
        let opened = Opened::open(&written.bytes[..]).unwrap();
        opened.verify(&written.bytes[..]).unwrap();
        let kept = kept(&events);
        let lines = lines(&kept);
        let mut back = Vec::new();
        for number in 0..opened.page_count() {
            let page = opened.read_page(&written.bytes[..], number).unwrap();
            back.extend(events_in(&opened, &page).map(|event| event.to_owned(Arc::new(event.source.clone()))));
        }
        prop_assert_eq!(&back, &kept);
        prop_assert_eq!(opened.head.lines, lines.len() as u64);
        for ask in asks {
            let expected = expected(&lines, &ask);
            let found = search(&opened, &written.bytes, ask.clone());
            prop_assert_eq!(&found, &expected, "{:?}", ask);
            if ask.limit.is_none() {
                let counted = count(&opened, &written.bytes[..], &ask.query, ask.range, &GO).unwrap();
                prop_assert_eq!(counted, expected.len() as u64, "{:?}", ask);
            } else if let Some(last) = expected.last() {
                let rest = Ask { after: Some(last.borrow().order()), limit: None, ..ask.clone() };
                let both = [expected.clone(), search(&opened, &written.bytes, rest)].concat();
                let whole = Ask { limit: None, ..ask };
                prop_assert_eq!(both, search(&opened, &written.bytes, whole));
            }
        }
    }

    #[test]
    fn histograms_count_what_a_scan_counts(
        events in any_events(), ask in any_ask(), step in prop_oneof![Just(0), Just(60), Just(300), Just(7)],
    ) {
        let written = write(&events, 300);
        let opened = Opened::open(&written.bytes[..]).unwrap();
        let steps = Steps { range: ask.range, nanos: step * 1_000_000_000 };
        let mut counts = Histogram::new();
        for event in lines(&kept(&events)) {
            if ask.range.contains(event.time) && ask.query.matches(&event.borrow()) {
                *counts.entry((steps.step_of(event.time), event.level)).or_default() += 1;
            }
        }
        prop_assert_eq!(histogram(&opened, &written.bytes[..], &ask.query, steps, &GO).unwrap(), counts);
    }

    #[test]
    fn a_set_of_events_has_one_block(events in any_events(), seed in any::<u64>(), twice in 0usize..5) {
        let written = write(&events, 300);
        let mut shuffled = events.clone();
        shuffled.extend(events.iter().take(events.len() * twice / 5).cloned());
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        let again = write(&shuffled, 300);
        prop_assert_eq!(&again.bytes, &written.bytes);
        prop_assert_eq!(again.name, written.name);
        // And what a block gives back makes it again.
        let opened = Opened::open(&written.bytes[..]).unwrap();
        let mut writer = Writer::new(head(), Profile::Archive);
        for number in 0..opened.page_count() {
            let page = opened.read_page(&written.bytes[..], number).unwrap();
            events_in(&opened, &page).for_each(|event| writer.add(&event).unwrap());
        }
        prop_assert_eq!(writer.finish().name, written.name);
    }

    #[test]
    fn what_is_covered_is_what_is_there(events in any_events(), keep in proptest::collection::vec(any::<bool>(), 60)) {
        let some: Vec<OwnedEvent> =
            events.iter().zip(keep.iter().cycle()).filter(|(_, keep)| **keep).map(|(event, _)| event.clone()).collect();
        let written = write(&some, 300);
        let opened = Opened::open(&written.bytes[..]).unwrap();
        let mut streams: BTreeMap<(NodeId, StreamId), Vec<Candidate>> = BTreeMap::new();
        for event in kept(&events) {
            let name = (event.source.tailer, event.source.stream);
            streams.entry(name).or_default().push(Candidate::of(&event.borrow()));
        }
        let there: Vec<_> = kept(&some).iter().map(|event| event.borrow().id()).collect();
        for (name, asked) in streams {
            let answers = covered(&opened, &written.bytes[..], name, &asked).unwrap();
            for (asked, answer) in asked.iter().zip(answers) {
                prop_assert_eq!(answer, there.contains(&asked.id));
            }
        }
    }

    #[test]
    fn context_is_what_stands_beside(events in any_events(), pick in any::<u16>(), before in 0usize..5, after in 0usize..5) {
        let written = write(&events, 120);
        let opened = Opened::open(&written.bytes[..]).unwrap();
        let lines = lines(&kept(&events));
        if lines.is_empty() { return Ok(()); }
        let at = pick as usize % lines.len();
        let name = (lines[at].source.tailer, lines[at].source.stream);
        let found = context::context(&opened, &written.bytes[..], name, lines[at].offset, before, after).unwrap();
        // Two events may have one offset; the first is the line, the other stands beside it.
        let stream: Vec<_> = lines.iter().filter(|line| (line.source.tailer, line.source.stream) == name).collect();
        let here = found.line.clone().unwrap();
        let place = stream.iter().position(|line| **line == here).unwrap();
        prop_assert!(here.offset <= lines[at].offset);
        if stream.iter().filter(|line| line.offset == lines[at].offset).count() == 1 && here == lines[at] {
            let clean = stream.windows(2).all(|two| two[0].borrow().end() <= two[1].offset);
            if clean {
                prop_assert_eq!(found.before.iter().collect::<Vec<_>>(), &stream[place.saturating_sub(before)..place]);
                let end = (place + 1 + after).min(stream.len());
                prop_assert_eq!(found.after.iter().collect::<Vec<_>>(), &stream[place + 1..end]);
            }
        }
    }
}

/// Sets a flag with the fetch of so many, and counts those that come after.
struct Cancelling<'a> {
    bytes: &'a [u8],
    left: AtomicUsize,
    cancel: &'a AtomicBool,
    after: AtomicUsize,
}

impl Ranges for Cancelling<'_> {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        self.bytes.suffix(bytes)
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        if self.cancel.load(Ordering::SeqCst) {
            self.after.fetch_add(1, Ordering::SeqCst);
        } else if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancel.store(true, Ordering::SeqCst);
        }
        self.bytes.ranges(ranges)
    }
}

/// A page is read in a millisecond or ten; so who stops after the one it is in, stops within a tenth of a second.
#[test]
fn a_cancelled_search_reads_no_further_page() {
    let source = source(1, 1, "web1", "nginx");
    let line = |number: u64| format!("{number} ends in {:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes();
    let events: Vec<OwnedEvent> = (0..20_000)
        .map(|number| OwnedEvent {
            source: source.clone(),
            offset: number * 100,
            time: Timestamp(0),
            level: Level::Info,
            flags: Flags::NONE,
            file_length: 0,
            line: line(number),
        })
        .collect();
    let written = write(&events, 300);
    let opened = Opened::open(&written.bytes[..]).unwrap();
    let query = parse(r"/ends.*\d\d/").unwrap();
    for (threads, at) in [(1, 2), (1, 5), (2, 4), (3, 7)] {
        let cancel = AtomicBool::new(false);
        let (left, after) = (AtomicUsize::new(at), AtomicUsize::new(0));
        let ranges = Cancelling { bytes: &written.bytes, left, cancel: &cancel, after };
        let hands = Hands { threads, cancel: &cancel };
        let counted = count_lines(&[(&opened, &ranges)], &query, TimeRange::ALL, hands);
        assert!(counted.trouble.contains(&BlockError::Cancelled) && counted.counts < 5000);
        let after = ranges.after.load(Ordering::SeqCst);
        assert!(after < threads, "{after} more fetches by {threads} threads");
    }
    let cancel = AtomicBool::new(true);
    let page = opened.read_page(&written.bytes[..], 0).unwrap();
    assert_eq!(hits(&opened, 0, &page, &Ask::all(query), &cancel).err(), Some(BlockError::Cancelled));
}

#[test]
fn text_across_a_cut_is_found() {
    let sources = sources();
    let mut line = vec![b'x'; 3 * LINE_BYTES_MAX];
    line[LINE_BYTES_MAX - 4..LINE_BYTES_MAX + 5].copy_from_slice(b"needle123");
    line[2 * LINE_BYTES_MAX - 1..2 * LINE_BYTES_MAX + 3].copy_from_slice(b"7zz9");
    let mut events = Vec::new();
    for number in 0..3u32 {
        for (piece, bytes) in line.chunks(LINE_BYTES_MAX).enumerate() {
            events.push(OwnedEvent {
                source: sources[number as usize].clone(),
                offset: (piece * LINE_BYTES_MAX) as u64,
                time: Timestamp(i64::from(number)),
                level: Level::Info,
                flags: if piece < 2 { Flags::CONTINUES } else { Flags::NONE },
                file_length: bytes.len() as u32,
                line: bytes.to_vec(),
            });
        }
    }
    let written = write(&events, 1 << 17);
    let opened = Opened::open(&written.bytes[..]).unwrap();
    assert_eq!((opened.head.events, opened.head.lines), (9, 3));
    for text in ["needle123", "dle1", "7zz9", "x7z", "/e12.*7zz/"] {
        let found = search(&opened, &written.bytes, Ask::all(parse(text).unwrap()));
        assert_eq!(found.len(), 3, "{text}");
        assert!(found.iter().all(|event| event.line == line));
    }
    assert!(search(&opened, &written.bytes, Ask::all(parse("needle124").unwrap())).is_empty());
}

#[test]
fn what_does_not_belong_is_refused() {
    let mut writer = Writer::new(head(), Profile::Recent);
    let line = vec![b'x'; LINE_BYTES_MAX + 1];
    let source = source(1, 1, "a", "b");
    let event = |line| Event {
        source: &source,
        offset: 0,
        time: Timestamp(0),
        level: Level::Info,
        flags: Flags::NONE,
        file_length: 0,
        line,
    };
    assert_eq!(writer.add(&event(&line)), Err(BlockError::LineTooLong(LINE_BYTES_MAX + 1)));
    let other = Source { environment: "test".parse().unwrap(), ..(*source).clone() };
    let stranger = Event { source: &other, ..event(b"") };
    assert!(matches!(writer.add(&stranger), Err(BlockError::OtherEnvironment(_))));
    let empty = writer.finish();
    assert_eq!((empty.summary.events, empty.summary.times), (0, None));
    assert_eq!(damage::everything(&empty.bytes), Ok(Vec::new()));
}
