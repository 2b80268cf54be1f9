//! One buck, one tailer and one web, as tests and measurements of a real buck name them.

use proto::event::{Flags, Level};
use proto::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use proto::message::{SearchAsk, SearchOrder, Want};
use proto::packet::{NewEvent, PacketBuilder, PacketSource, PacketStream, TailMark};
use proto::roster::Roster;
use proto::seal::{Keys, Seed};
use proto::time::{BucketWidth, Timestamp};
use std::net::SocketAddr;
use std::time::Duration;

pub const BUCK: NodeId = NodeId(1);
pub const TAILER: NodeId = NodeId(2);
pub const WEB: NodeId = NodeId(3);
pub const ENOUGH: Duration = Duration::from_secs(60);

pub fn keys(node: NodeId) -> Keys {
    Keys::from_seed(&Seed::from_bytes([u8::try_from(node.0).unwrap(); 32]))
}

pub fn roster(address: SocketAddr) -> Roster {
    let key = |node| keys(node).public();
    let (buck, tailer, web) = (key(BUCK), key(TAILER), key(WEB));
    let text = format!("buck {buck} id={BUCK} addr={address}\ntailer {tailer} id={TAILER}\nweb {web} id={WEB}\n");
    Roster::parse(text.as_bytes()).unwrap()
}

pub fn search(query: &str, order: SearchOrder, limit: u32) -> SearchAsk {
    SearchAsk {
        query: query.into(),
        environments: vec![Environment::default()],
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        order,
        want: Want::Rows { limit },
        after: None,
        snapshot: Vec::new(),
    }
}

/// Lines of one stream, filed at one moment.
pub struct Filling {
    pub builder: PacketBuilder,
    wall: Timestamp,
    source: u16,
    offset: u64,
}

impl Filling {
    pub fn new(wall: Timestamp, seq: u32, offset: u64) -> Self {
        let bucket = BucketWidth::default().bucket_of(wall);
        let id = PacketId { tailer: TAILER, environment: Environment::default(), bucket, run: RunId(1), seq };
        let mut builder = PacketBuilder::new(id, false);
        builder.filed(wall);
        let stream = builder.stream(PacketStream {
            id: StreamId([1; 16]),
            path: "/var/log/app.log".into(),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
            extents: Vec::new(),
            tail: TailMark::default(),
        });
        let source = builder.source(PacketSource { stream, host: "web1".into(), app: "app".into() });
        Self { builder, wall, source, offset }
    }

    pub fn push(&mut self, line: &str) {
        let file_length = u32::try_from(line.len()).unwrap();
        let (source, time, flags) = (self.source, self.wall, Flags::NONE);
        let event = NewEvent { source, time, level: Level::Info, flags, file_length, line: line.as_bytes() };
        self.builder.push(self.offset, event);
        self.offset += u64::from(file_length) + 1;
    }
}
