//! Packets and closings for tests, as a tailer would sign them.

use proto::closed::{Closed, RunCount};
use proto::event::{Flags, Level};
use proto::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use proto::packet::{NewEvent, PacketBuilder, PacketSource, PacketStream, TailMark};
use proto::seal::{Domain, Keys, Seed};
use proto::squeeze::Squeezer;
use proto::time::{BucketId, BucketWidth, Timestamp};

pub fn width() -> BucketWidth {
    BucketWidth::default()
}

pub fn keys(node: u64) -> Keys {
    Keys::from_seed(&Seed::from_bytes([u8::try_from(node).unwrap(); 32]))
}

/// One packet of tailer 1 or 2: so many lines from this offset on.
pub fn packet(tailer: u64, run: u64, bucket: BucketId, seq: u32, offset: u64, lines: &[&str]) -> (PacketId, Vec<u8>) {
    let id = PacketId { tailer: NodeId(tailer), environment: Environment::default(), bucket, run: RunId(run), seq };
    let mut builder = PacketBuilder::new(id.clone(), false);
    let stream = builder.stream(PacketStream {
        id: StreamId([u8::try_from(tailer).unwrap(); 16]),
        path: "/var/log/a.log".to_owned(),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
        extents: Vec::new(),
        tail: TailMark::default(),
    });
    let source = builder.source(PacketSource { stream, host: "web-1".to_owned(), app: "a".to_owned() });
    let start = width().start_of(bucket);
    builder.filed(start);
    let mut at = offset;
    for line in lines {
        let file_length = u32::try_from(line.len()).unwrap();
        let (level, flags) = (Level::Info, Flags::NONE);
        let time = Timestamp(start.0 + i64::try_from(at).unwrap());
        builder.push(at, NewEvent { source, time, level, flags, file_length, line: line.as_bytes() });
        at += u64::from(file_length) + 1;
    }
    let sign = |content: &[u8]| keys(tailer).sign(Domain::RECORD, content);
    (id, builder.finish(&mut Squeezer::new(1), sign))
}

pub fn closing(tailer: u64, bucket: BucketId, previous: Option<BucketId>, runs: &[(u64, u32)]) -> Vec<u8> {
    let runs = runs.iter().map(|(run, packets)| RunCount { run: RunId(*run), packets: *packets }).collect();
    let closed = Closed {
        tailer: NodeId(tailer),
        environment: Environment::default(),
        bucket,
        previous,
        runs,
        losses: Vec::new(),
    };
    closed.write(|content| keys(tailer).sign(Domain::RECORD, content))
}
