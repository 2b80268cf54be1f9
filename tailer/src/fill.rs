//! Lines become packets.
//!
//! One fill gathers the lines of one environment for the bucket that is open. It promises that a packet holds the
//! lines of one bucket, that every byte passed is accounted for, and that the mark at a stream's end in a packet
//! is that of the bytes before it. When a packet is to go is decided by the machine; when it must, here.

use crate::follow::Mark;
use crate::parse::Reading;
use proto::event::{Flags, Level, end_of};
use proto::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use proto::limits::{
    JOINED_LINE_BYTES_MAX, PACKET_BODY_BYTES_MAX, PACKET_EVENTS_MAX, PACKET_HEADER_BYTES_MAX, PACKET_RAW_BYTES,
    PACKET_SOURCES_MAX, PACKET_STREAMS_MAX,
};
use proto::packet::{Extent, Fate, NewEvent, PacketBuilder, PacketSource, PacketStream, TailMark, TimeSpan};
use proto::record::Signature;
use proto::squeeze::Squeezer;
use proto::time::{BucketId, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The body of a packet of very short lines grows with what stands around each; it is closed here at the latest.
const BODY_BYTES: usize = 768 << 10;
/// A long line's pieces stay in one packet, for only together can they be searched: a full packet stays open for
/// the rest of such a line, up to here.
const BODY_BYTES_IN_LINE: usize = PACKET_BODY_BYTES_MAX - (128 << 10);
/// Long paths, many programs and many holes make a long header; likewise.
const HEADER_BYTES: usize = PACKET_HEADER_BYTES_MAX / 2;
/// What an extent takes at most: three varints and a rule.
const EXTENT_BYTES: usize = 24;

/// Everything a packet says of a stream but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub id: StreamId,
    pub path: String,
    pub generation: u32,
    pub predecessor: Option<StreamId>,
    pub labels: Vec<(String, String)>,
    pub host: String,
    /// The program, for lines that name none.
    pub app: String,
}

/// A finished packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    pub id: PacketId,
    pub bytes: Vec<u8>,
    pub events: u32,
    pub line_bytes: u64,
    pub filed: TimeSpan,
    /// Where each of its streams ends in it.
    pub ends: Vec<(StreamId, Mark)>,
}

/// A stream's place in the packet being filled. Good until the packet is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(usize);

#[derive(Clone, Debug)]
struct LaneState {
    stream: u16,
    /// Programs seen, each with its source; the stream's own first.
    sources: Vec<(String, u16)>,
    host: String,
    end: u64,
    /// Bytes here of a line that goes on.
    in_line: usize,
}

/// Makes the signature under a packet.
pub type Sign = Box<dyn Fn(&[u8]) -> Signature + Send + Sync>;

/// What every packet of one environment has in common.
pub struct Fill {
    tailer: NodeId,
    run: RunId,
    environment: Environment,
    bucket: BucketId,
    seq: u32,
    builder: PacketBuilder,
    lanes: Vec<LaneState>,
    lane_of: BTreeMap<StreamId, Lane>,
    raw_bytes: usize,
    header_bytes: usize,
    began: Option<Duration>,
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fill({}/{} {} with {} bytes)", self.environment, self.bucket, self.seq, self.raw_bytes)
    }
}

impl Fill {
    #[must_use]
    pub fn new(tailer: NodeId, run: RunId, environment: Environment, bucket: BucketId) -> Self {
        let id = PacketId { tailer, environment: environment.clone(), bucket, run, seq: 0 };
        Self {
            tailer,
            run,
            environment,
            bucket,
            seq: 0,
            builder: PacketBuilder::new(id, false),
            lanes: Vec::new(),
            lane_of: BTreeMap::new(),
            raw_bytes: 0,
            header_bytes: 0,
            began: None,
        }
    }

    /// When its first line came; `None` while it is empty.
    #[must_use]
    pub fn began(&self) -> Option<Duration> {
        self.began
    }

    /// When the lines in it were filed.
    #[must_use]
    pub fn filed(&self) -> TimeSpan {
        self.builder.head().filed
    }

    /// Goes on to another bucket. What was gathered for the last one is finished before.
    pub fn open(&mut self, bucket: BucketId) {
        debug_assert!(self.began.is_none(), "a bucket is left only when its lines are packed");
        (self.bucket, self.seq) = (bucket, 0);
        self.restart();
    }

    /// The place of a stream; made when it has none. `now` and `filed` are when its lines are read.
    pub fn enter(&mut self, stream: &Stream, now: Duration, filed: Timestamp) -> Lane {
        self.began.get_or_insert(now);
        self.builder.filed(filed);
        if let Some(lane) = self.lane_of.get(&stream.id) {
            return *lane;
        }
        let lane = Lane(self.lanes.len());
        let index = self.builder.stream(described(stream));
        let source = self.builder.source(source(index, &stream.host, &stream.app));
        let labels = stream.labels.iter().map(|(key, value)| key.len() + value.len() + 4).sum::<usize>();
        self.header_bytes += 64 + stream.path.len() + labels + 8 + stream.host.len() + stream.app.len() + EXTENT_BYTES;
        let sources = vec![(stream.app.clone(), source)];
        self.lanes.push(LaneState { stream: index, sources, host: stream.host.clone(), end: 0, in_line: 0 });
        self.lane_of.insert(stream.id, lane);
        lane
    }

    /// Adds a line that begins at `offset`.
    #[inline]
    pub fn line(&mut self, lane: Lane, offset: u64, line: &[u8], reading: &Reading<'_>) {
        let source = self.source_of(lane, reading.app);
        let file_length = u32::try_from(line.len()).expect("longer lines are cut before they come here");
        let Reading { time, level, flags, .. } = *reading;
        self.builder.push(offset, NewEvent { source, time, level, flags, file_length, line });
        self.raw_bytes += line.len() + 1;
        let state = &mut self.lanes[lane.0];
        if state.end != offset {
            self.header_bytes += EXTENT_BYTES;
        }
        state.end = end_of(offset, file_length, flags);
        let goes_on = flags.has(Flags::CONTINUES);
        state.in_line = if goes_on { state.in_line + line.len() } else { 0 };
    }

    /// A line that is not whole yet, of which more would be joined to what is here.
    #[inline]
    #[must_use]
    pub fn is_in_line(&self) -> bool {
        let joined = 1..JOINED_LINE_BYTES_MAX;
        self.builder.body_bytes() < BODY_BYTES_IN_LINE && self.lanes.iter().any(|lane| joined.contains(&lane.in_line))
    }

    /// Accounts for bytes that are no line.
    pub fn pass(&mut self, lane: Lane, extent: Extent) {
        let state = &mut self.lanes[lane.0];
        state.end = extent.to;
        self.header_bytes += EXTENT_BYTES;
        self.builder.pass(state.stream, extent);
    }

    /// Says in words, where the bytes from here to there would stand, that they are lost.
    pub fn lost(&mut self, lane: Lane, from: u64, to: u64, words: &[u8], filed: Timestamp) {
        let source = self.source_of(lane, None);
        let flags = Flags::LOST.with(Flags::NEWLINE_ABSENT).with(Flags::TIME_FILED);
        let file_length = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
        let event = NewEvent { source, time: filed, level: Level::Error, flags, file_length, line: words };
        self.builder.push(from, event);
        self.raw_bytes += words.len();
        let named = from.saturating_add(u64::from(file_length));
        self.pass(lane, Extent { from: named, to, fate: Fate::Lost });
    }

    /// Says what stands before the end of a stream's part; before leaving it, or the packet.
    pub fn mark(&mut self, lane: Lane, tail: TailMark) {
        self.builder.mark(self.lanes[lane.0].stream, tail);
    }

    #[inline]
    fn source_of(&mut self, lane: Lane, app: Option<&str>) -> u16 {
        let state = &mut self.lanes[lane.0];
        let Some(app) = app else { return state.sources[0].1 };
        if let Some((_, source)) = state.sources.iter().find(|(name, _)| name == app) {
            return *source;
        }
        let added = self.builder.source(source(state.stream, &state.host, app));
        self.header_bytes += 8 + state.host.len() + app.len();
        state.sources.push((app.to_owned(), added));
        added
    }

    /// It must be finished before anything more goes in.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        let head = self.builder.head();
        let much = self.raw_bytes >= PACKET_RAW_BYTES || self.builder.body_bytes() >= BODY_BYTES;
        let many = head.sources.len() >= PACKET_SOURCES_MAX - 2
            || head.streams.len() >= PACKET_STREAMS_MAX - 1
            || head.events as usize >= PACKET_EVENTS_MAX - 1
            || self.header_bytes >= HEADER_BYTES;
        many || much && !self.is_in_line()
    }

    /// The packet, if there is anything in it.
    pub fn finish(&mut self, squeezer: &mut Squeezer<'_>, sign: &Sign) -> Option<Filled> {
        self.began?;
        if self.builder.is_empty() {
            self.restart();
            return None;
        }
        let head = self.builder.head();
        let filled = Filled {
            id: head.id.clone(),
            bytes: self.builder.finish(squeezer, sign),
            events: head.events,
            line_bytes: head.line_bytes,
            filed: head.filed,
            ends: self.ends(),
        };
        self.seq += 1;
        self.restart();
        Some(filled)
    }

    fn ends(&self) -> Vec<(StreamId, Mark)> {
        let streams = self.builder.head().streams.iter().zip(&self.lanes);
        streams.map(|(stream, lane)| (stream.id, Mark { offset: lane.end, tail: stream.tail })).collect()
    }

    fn restart(&mut self) {
        let (tailer, run, bucket, seq) = (self.tailer, self.run, self.bucket, self.seq);
        self.builder =
            PacketBuilder::new(PacketId { tailer, environment: self.environment.clone(), bucket, run, seq }, false);
        self.lanes.clear();
        self.lane_of.clear();
        self.raw_bytes = 0;
        self.header_bytes = 0;
        self.began = None;
    }
}

fn described(stream: &Stream) -> PacketStream {
    PacketStream {
        id: stream.id,
        path: stream.path.clone(),
        generation: stream.generation,
        predecessor: stream.predecessor,
        labels: stream.labels.clone(),
        extents: Vec::new(),
        tail: TailMark::default(),
    }
}

fn source(stream: u16, host: &str, app: &str) -> PacketSource {
    PacketSource { stream, host: host.to_owned(), app: app.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::packet::{Events, Fate, Packet};
    use proto::squeeze::Stretcher;

    fn stream(number: u8) -> Stream {
        Stream {
            id: StreamId([number; 16]),
            path: format!("/l/{number}"),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
            host: "h".into(),
            app: "a".into(),
        }
    }

    fn fill() -> Fill {
        Fill::new(NodeId(1), RunId(2), Environment::default(), BucketId(3))
    }

    fn reading(app: Option<&str>) -> Reading<'_> {
        Reading { time: Timestamp(5), level: Level::Info, flags: Flags::NONE, app }
    }

    fn finish(fill: &mut Fill) -> Option<Filled> {
        let sign: Sign = Box::new(|_| [0; 64]);
        fill.finish(&mut Squeezer::new(1), &sign)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut fill = fill();
        assert_eq!(finish(&mut fill), None);
        let one = fill.enter(&stream(1), Duration::ZERO, Timestamp(7));
        fill.line(one, 0, b"first", &reading(None));
        fill.pass(one, Extent { from: 6, to: 100, fate: Fate::Nuls });
        let two = fill.enter(&stream(2), Duration::ZERO, Timestamp(8));
        fill.line(two, 50, b"other", &reading(Some("cron")));
        fill.line(two, 56, b"more", &reading(Some("cron")));
        assert_eq!(fill.enter(&stream(1), Duration::ZERO, Timestamp(9)), one);
        fill.line(one, 100, b"last", &reading(None));
        fill.mark(one, TailMark::of(b"last\n"));
        let filled = finish(&mut fill).expect("not empty");
        assert_eq!(filled.filed, TimeSpan { first: Timestamp(7), last: Timestamp(9) });
        assert_eq!(filled.ends[0], (StreamId([1; 16]), Mark { offset: 105, tail: TailMark::of(b"last\n") }));
        assert_eq!(filled.ends[1].1.offset, 61);
        let packet = Packet::parse(&filled.bytes).expect("whole");
        let (sources, mut body) = (packet.sources(), Vec::new());
        packet.stretch_into(&mut Stretcher::default(), &mut body).expect("whole");
        let events: Vec<_> = Events::new(&packet.head, &sources, &body).map(|event| event.expect("whole")).collect();
        let found: Vec<_> = events.iter().map(|e| (e.source.app.as_str(), e.offset, e.line)).collect();
        let expected: [(&str, u64, &[u8]); 4] =
            [("a", 0, b"first"), ("cron", 50, b"other"), ("cron", 56, b"more"), ("a", 100, b"last")];
        assert_eq!(found, expected);
        assert_eq!((packet.head.id.seq, fill.seq, fill.began()), (0, 1, None));
    }

    #[test]
    fn a_long_lines_pieces_stay_together() {
        let mut fill = fill();
        let lane = fill.enter(&stream(1), Duration::ZERO, Timestamp(0));
        let (piece, mut offset) = (vec![b'x'; 65_535], 0);
        for _ in 0..8 {
            let reading = Reading { flags: Flags::CONTINUES, ..reading(None) };
            fill.line(lane, offset, &piece, &reading);
            offset += piece.len() as u64;
            assert!(fill.is_in_line() && !fill.is_full(), "at {offset}");
        }
        fill.line(lane, offset, b"end", &reading(None));
        assert!(!fill.is_in_line() && fill.is_full());
    }

    #[test]
    fn a_packet_of_anything_is_full_before_it_is_too_large() {
        for length in [0, 1, 100, 65_535] {
            let mut fill = fill();
            let line = vec![b'x'; length];
            let mut offset = 0;
            let mut time = 0_i64;
            while !fill.is_full() {
                let lane = fill.enter(&stream(1), Duration::ZERO, Timestamp(7));
                time = time.wrapping_mul(-7).wrapping_add(i64::MAX / 3);
                fill.line(lane, offset, &line, &Reading { time: Timestamp(time), ..reading(None) });
                offset += length as u64 + 1;
            }
            let filled = finish(&mut fill).expect("not empty");
            assert!(Packet::parse(&filled.bytes).is_ok(), "lines of {length} bytes");
        }
        for (apps, path, step) in [(100, 10, 1), (1, 4096, 1), (0, 10, 1), (1, 10, 2)] {
            let mut many = fill();
            for number in 0..=u16::MAX {
                let mut id = StreamId([0; 16]);
                id.0[..2].copy_from_slice(&(number / 7).to_le_bytes());
                if many.is_full() {
                    break;
                }
                let lane =
                    many.enter(&Stream { id, path: "p".repeat(path), ..stream(0) }, Duration::ZERO, Timestamp(7));
                for app in 0..apps {
                    if !many.is_full() {
                        let offset = u64::from(number % 7) * 1000 + app * step;
                        many.line(lane, offset, b"", &reading(Some(&format!("{app}"))));
                    }
                }
                let from = u64::from(number % 7) * 1000 + 500;
                many.pass(lane, Extent { from, to: from + 100, fate: Fate::Nuls });
            }
            assert!(Packet::parse(&finish(&mut many).expect("not empty").bytes).is_ok(), "{apps} {path} {step}");
        }
    }
}
