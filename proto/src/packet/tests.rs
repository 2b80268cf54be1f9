//! Golden bytes, exactness for any lines, and what damage does.

use super::*;
use crate::event::OwnedEvent;
use crate::record::{Signature, write};
use crate::squeeze::Squeezer;
use proptest::prelude::*;
use std::sync::Arc;

const GOLDEN: &[u8] = include_bytes!("../testdata/packet-1.tbp");

fn id() -> PacketId {
    PacketId {
        tailer: NodeId(0x1122_3344_5566_7788),
        environment: "prod".parse().expect("a name"),
        bucket: BucketId(5_984_184),
        run: RunId(0xaabb),
        seq: 3,
    }
}

fn stream(number: u8) -> PacketStream {
    PacketStream {
        id: StreamId([number; 16]),
        path: format!("/var/log/app-{number}.log"),
        generation: 1,
        predecessor: (number == 2).then_some(StreamId([9; 16])),
        labels: vec![("team".into(), "db".into())],
        extents: Vec::new(),
        tail: TailMark::default(),
    }
}

/// Two streams, a hole, a filtered range, a cut line, a redacted one and one without a newline.
fn sample() -> PacketBuilder {
    let mut packet = PacketBuilder::new(id(), false);
    let (one, two) = (packet.stream(stream(1)), packet.stream(stream(2)));
    let web = packet.source(PacketSource { stream: one, host: "web1".into(), app: "nginx".into() });
    let app = packet.source(PacketSource { stream: two, host: "web1".into(), app: "app".into() });
    let event = |source, seconds, flags, line: &'static [u8]| NewEvent {
        source,
        time: Timestamp::from_seconds(seconds),
        level: Level::Error,
        flags,
        file_length: line.len() as u32,
        line,
    };
    packet.filed(Timestamp::from_seconds(1_795_255_201));
    packet.push(100, event(web, 1_795_255_200, Flags::NONE, b"GET /index.html 200\r"));
    packet.push(5, event(app, 1_795_255_100, Flags::CONTINUES, b"first half "));
    packet.push(16, event(app, 1_795_255_100, Flags::JOINS_PREVIOUS, b"second half"));
    packet.pass(one, Extent { from: 121, to: 200, fate: Fate::Filtered(7) });
    packet.pass(one, Extent { from: 200, to: 4296, fate: Fate::Nuls });
    let secret = NewEvent { file_length: 40, ..event(web, 1_795_255_203, Flags::REDACTED, b"key=[redacted]") };
    packet.push(4296, secret);
    packet.push(4337, event(web, 1_795_255_203, Flags::NEWLINE_ABSENT, b"$"));
    packet.push(28, event(app, 1_795_255_204, Flags::NEWLINE_ABSENT, b"\xff\0end"));
    packet.mark(one, TailMark::of(b"key=[redacted]"));
    packet.mark(two, TailMark::of(&[b'x'; 100]));
    packet
}

fn sign(content: &[u8]) -> Signature {
    [crc32c::crc32c(content) as u8; 64]
}

fn events_of(bytes: &[u8]) -> Result<Vec<OwnedEvent>, PacketError> {
    let packet = Packet::parse(bytes)?;
    let sources = packet.sources();
    let mut body = Vec::new();
    packet.stretch_into(&mut Stretcher::default(), &mut body)?;
    let shared: Vec<Arc<Source>> = sources.iter().cloned().map(Arc::new).collect();
    Events::new(&packet.head, &sources, &body)
        .map(|event| {
            event.map(|event| {
                let index = sources.iter().position(|source| source == event.source).expect("one of them");
                event.to_owned(Arc::clone(&shared[index]))
            })
        })
        .collect()
}

#[test]
fn golden_packet() {
    let packet = Packet::parse(GOLDEN).expect("the first packet ever written stays readable");
    assert_eq!(packet.head, *sample().head());
    let written = sample().finish(&mut Squeezer::new(1), sign);
    assert_eq!(events_of(GOLDEN).expect("whole"), events_of(&written).expect("whole"));
    assert_eq!(Record::parse(&written).expect("whole").header, packet.record.header, "the header's bytes are fixed");
}

#[test]
fn events_come_back_with_their_places() {
    let events = events_of(&sample().finish(&mut Squeezer::new(1), sign)).expect("whole");
    let places: Vec<(u64, &[u8])> = events.iter().map(|event| (event.offset, event.line.as_slice())).collect();
    assert_eq!(
        places,
        [
            (100, b"GET /index.html 200\r".as_slice()),
            (5, b"first half "),
            (16, b"second half"),
            (4296, b"key=[redacted]"),
            (4337, b"$"),
            (28, b"\xff\0end"),
        ]
    );
    assert_eq!(events[3].borrow().end(), 4337);
    assert_eq!(events[5].source.predecessor, Some(StreamId([9; 16])));
}

#[test]
fn extents_that_do_not_hold_the_events_are_refused() {
    let longer = |at: usize, by: u64| {
        let mut packet = sample();
        packet.head.streams[0].extents[at].to += by;
        packet.finish(&mut Squeezer::new(1), sign)
    };
    assert_eq!(events_of(&longer(0, 0)).map(|events| events.len()), Ok(6));
    assert_eq!(events_of(&longer(3, 1)), Err(PacketError::Extents));
    let mut nothing = sample();
    nothing.body.truncate(0);
    nothing.head.events = 1;
    put_u16(&mut nothing.body, 0);
    nothing.body.extend([0, 0, Flags::NEWLINE_ABSENT.0, 0]);
    assert_eq!(events_of(&nothing.finish(&mut Squeezer::new(1), sign)), Err(PacketError::Extents));
    let mut packet = sample();
    packet.head.streams[1].extents.pop();
    assert_eq!(events_of(&packet.finish(&mut Squeezer::new(1), sign)), Err(PacketError::Extents));
}

#[test]
fn every_flipped_byte_is_found() {
    for at in 0..GOLDEN.len() {
        let mut bad = GOLDEN.to_vec();
        bad[at] ^= 0x10;
        assert!(events_of(&bad).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn any_header_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = PacketHead::parse(&bytes);
    }

    #[test]
    fn a_header_with_one_wrong_byte_is_read_or_refused(at in 0usize..400, byte: u8) {
        let mut header = Vec::new();
        sample().head.put(&mut header);
        if let Some(place) = header.get_mut(at) {
            *place = byte;
        }
        if let Ok(head) = PacketHead::parse(&header) {
            let mut again = Vec::new();
            head.put(&mut again);
            prop_assert_eq!(PacketHead::parse(&again), Ok(head));
        }
    }

    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let head = sample().head;
        let record = write(Kind::Packet, &[], &[], 0, sign);
        let packet = Packet { head, record: Record::parse(&record).expect("whole") };
        let sources = packet.sources();
        for event in Events::new(&packet.head, &sources, &body) {
            let _ = event.is_ok();
        }
    }

    #[test]
    fn any_lines_come_back(lines in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<i64>()), 1..50)) {
        let mut packet = PacketBuilder::new(id(), true);
        let stream = packet.stream(stream(1));
        let source = packet.source(PacketSource { stream, host: String::new(), app: String::new() });
        let mut offset = 7;
        let mut expected = Vec::new();
        for (line, time) in &lines {
            let event = NewEvent { source, time: Timestamp(*time), level: Level::Info, flags: Flags::NONE, file_length: line.len() as u32, line };
            packet.push(offset, event);
            expected.push((offset, *time, line.clone()));
            offset += line.len() as u64 + 1;
        }
        let events = events_of(&packet.finish(&mut Squeezer::new(3), sign)).expect("whole");
        let got: Vec<_> = events.into_iter().map(|event| (event.offset, event.time.0, event.line)).collect();
        prop_assert_eq!(got, expected);
    }
}

/// Writes the golden file anew; run by hand only when a new version of the format is made.
#[test]
fn golden_file_is_there() {
    assert!(!GOLDEN.is_empty());
    if std::env::var_os("TAILBUCK_WRITE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testdata/packet-1.tbp");
        std::fs::write(path, sample().finish(&mut Squeezer::new(1), sign)).expect("a writable checkout");
    }
}
