//! A whole porter over real connections: a buck that holds a closed bucket, a web that searches, a tailer that
//! wants its receipt.

use super::*;
use crate::sample::{closing, keys, packet};
use proto::codec::{decode_answer, decode_ask, encode_answer, encode_ask};
use proto::ids::{NodeId, PacketId};
use proto::io::quic::{Arrivals, Exchange};
use proto::io::stop::Stop;
use proto::message::{
    Answer, Ask, CatalogAsk, ContextAsk, End, Holding, Inventory, InventoryItem, Part, Progress, Refusal, Row,
    SearchAsk, SearchOrder, Want,
};
use proto::roster::Peer;
use proto::time::{BucketId, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::time::timeout;

const BUCKET: BucketId = BucketId(5_984_184);
const TAILER: u64 = 1;
const BUCK: u64 = 3;
const PORTER: u64 = 4;
const WEB: u64 = 5;
const ENOUGH: Duration = Duration::from_secs(60);

type Packets = BTreeMap<PacketId, Vec<u8>>;

fn line(role: Role, who: u64, address: Option<SocketAddr>) -> String {
    let mut peer = Peer::new(role, keys(who).public(), NodeId(who));
    peer.address = address.map(Into::into);
    format!("{peer}\n")
}

fn roster(buck: SocketAddr, porter: SocketAddr) -> Roster {
    let lines = [
        line(Role::Tailer, TAILER, None),
        line(Role::Buck, BUCK, Some(buck)),
        line(Role::Porter, PORTER, Some(porter)),
        line(Role::Web, WEB, None),
    ];
    Roster::parse(lines.concat().as_bytes()).unwrap()
}

fn part(part: Part) -> Vec<u8> {
    encode_answer(&Answer::Part(part)).unwrap()
}

/// What a buck says, without receipts.
async fn answer_as_buck(exchange: Exchange, packets: Arc<Packets>) {
    let environment = Environment::default();
    let answer = match decode_ask(&exchange.question).unwrap() {
        Ask::Holdings { .. } => {
            let holding = Holding { environment, bucket: BUCKET, packets: 2, bytes: 9 };
            Answer::Holdings { holdings: vec![holding], more: false }
        }
        Ask::Inventory { bucket, .. } => {
            let item = |(packet, bytes): (&PacketId, &Vec<u8>)| InventoryItem {
                packet: packet.clone(),
                bytes: u32::try_from(bytes.len()).unwrap(),
                crc: 0,
                backlog: false,
            };
            let items = packets.iter().filter(|(id, _)| id.bucket == bucket).map(item).collect();
            let closings = vec![closing(TAILER, BUCKET, None, &[(7, 2)])];
            Answer::Inventory(Inventory { items, closings, ..Inventory::default() })
        }
        Ask::Fetch { packets: asked } => {
            let mut replies = exchange.replies();
            for bytes in asked.iter().filter_map(|id| packets.get(id)) {
                replies.send(part(Part::Record(bytes.clone()))).await.unwrap();
            }
            let end = End { exhausted: true, progress: Progress::default(), heard: Vec::new(), trouble: Vec::new() };
            replies.send(part(Part::End(end))).await.unwrap();
            replies.finish().await.unwrap();
            return;
        }
        _ => Answer::Refused(Refusal::Busy),
    };
    exchange.reply(encode_answer(&answer).unwrap()).await.unwrap();
}

async fn be_a_buck(mut arrivals: Arrivals, packets: Arc<Packets>) {
    let mut answering = JoinSet::new();
    while let Some(link) = arrivals.next().await {
        let mut asks = link.asks();
        while let Some(exchange) = asks.next().await {
            answering.spawn(answer_as_buck(exchange, Arc::clone(&packets)));
        }
    }
}

/// Someone who asks the porter.
struct Asker(Links, #[expect(dead_code, reason = "it keeps the connection")] Arc<Endpoint>);

impl Asker {
    fn new(who: u64, members: &Arc<Members>, clock: Clock) -> Self {
        let endpoint = Arc::new(Endpoint::dialler(&keys(who), Arc::clone(members), clock).unwrap());
        Self(Links::new(Arc::clone(&endpoint), Arc::clone(members), clock), endpoint)
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        let answer = self.0.ask(NodeId(PORTER), encode_ask(ask).unwrap(), ENOUGH).await.unwrap();
        decode_answer(&answer).unwrap()
    }

    async fn parts(&self, ask: &Ask) -> Vec<Part> {
        let link = self.0.to(NodeId(PORTER)).await.unwrap();
        let mut answers = link.ask_for_many(encode_ask(ask).unwrap(), ENOUGH).await.unwrap();
        let mut parts = Vec::new();
        while let Some(answer) = timeout(ENOUGH, answers.next()).await.unwrap().unwrap() {
            match decode_answer(&answer).unwrap() {
                Answer::Part(part) => parts.push(part),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(parts.last(), Some(Part::End(_))), "{parts:?}");
        parts
    }

    async fn rows(&self, ask: &Ask) -> Vec<String> {
        let row = |row: Row| String::from_utf8(row.line).unwrap();
        let rows = self.parts(ask).await.into_iter().filter_map(|part| match part {
            Part::Rows(rows) => Some(rows),
            _ => None,
        });
        rows.flatten().map(row).collect()
    }
}

struct Cluster {
    root: PathBuf,
    stop: Stop,
    clock: Clock,
    members: Arc<Members>,
    porter: tokio::task::JoinHandle<Result<(), RunError>>,
    _buck: Endpoint,
    _tasks: JoinSet<()>,
}

async fn cluster(name: &str) -> Cluster {
    let root = std::env::temp_dir().join(format!("tailbuck-porter-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let width = BucketWidth::default();
    let clock = Clock::starting_at(width.end_of(BUCKET).after(Duration::from_secs(6)));
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let members = Arc::new(Members::new(roster(nowhere, "127.0.0.1:2".parse().unwrap())));
    let packets: Packets = [
        packet(TAILER, 7, BUCKET, 0, 0, &["first of all", "a needle here"]),
        packet(TAILER, 7, BUCKET, 1, 27, &["and the last"]),
    ]
    .into();
    let (buck, arrivals) = Endpoint::listen(any, &keys(BUCK), Arc::clone(&members), clock).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(be_a_buck(arrivals, Arc::new(packets)));
    let config = Config::new(any, root.display().to_string(), width);
    let stop = Stop::default();
    let me = Arc::new(NodeKeys { id: NodeId(PORTER), keys: keys(PORTER) });
    let (bound, address) = oneshot::channel();
    let token = stop.token("porter");
    let porter = tokio::spawn(run(config, me, Arc::clone(&members), clock, bound, token));
    let address = timeout(ENOUGH, address).await.unwrap().unwrap();
    members.replace(roster(buck.local_address().unwrap(), address));
    Cluster { root, stop, clock, members, porter, _buck: buck, _tasks: tasks }
}

fn search(snapshot: Vec<proto::message::ShardVersion>, query: &str, want: Want) -> Ask {
    Ask::Search(SearchAsk {
        query: query.to_owned(),
        environments: vec![Environment::default()],
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        order: SearchOrder::File,
        want,
        after: None,
        snapshot,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_bucket_is_fetched_ported_found_and_receipted() {
    let cluster = cluster("whole").await;
    let (web, tailer) =
        (Asker::new(WEB, &cluster.members, cluster.clock), Asker::new(TAILER, &cluster.members, cluster.clock));
    let buckets = vec![(Environment::default(), BUCKET)];
    let receipt = timeout(ENOUGH, async {
        loop {
            match tailer.ask(&Ask::Receipts { buckets: buckets.clone() }).await {
                Answer::Receipts(receipts) if !receipts.is_empty() => return receipts,
                Answer::Receipts(_) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    });
    let receipts = receipt.await.unwrap();
    assert_eq!((receipts[0].ranges.len(), receipts[0].ranges[0].last, receipts[0].copies), (1, 1, 1));

    let environments = vec![Environment::default()];
    let ask = CatalogAsk { environments, from: Timestamp::MIN, to: Timestamp::MAX };
    let Answer::Catalog(catalog) = web.ask(&Ask::Catalog(ask)).await else { panic!("a catalog") };
    assert_eq!(catalog.shards.len(), 1);
    assert!(catalog.shards[0].completeness.is_complete(), "{catalog:?}");
    let snapshot = vec![catalog.shards[0].at.clone()];
    let rows = Want::Rows { limit: 10 };
    assert_eq!(web.rows(&search(snapshot.clone(), "", rows)).await, ["first of all", "a needle here", "and the last"]);
    assert_eq!(web.rows(&search(snapshot.clone(), "needle", rows)).await, ["a needle here"]);
    let parts = web.parts(&search(snapshot.clone(), "first", Want::Counts { step_nanos: 0 })).await;
    assert!(matches!(&parts[0], Part::Counts(counts) if counts[0].cells[0].count == 1), "{parts:?}");
    let Part::Rows(needle) = web.parts(&search(snapshot, "needle", rows)).await.remove(1) else { panic!("rows") };
    let event = proto::ids::EventId {
        tailer: NodeId(TAILER),
        stream: proto::ids::StreamId([1; 16]),
        offset: needle[0].offset,
        length: 13,
        crc: crc32c::crc32c(b"a needle here"),
    };
    let around = ContextAsk { event, environment: Environment::default(), before: 1, after: 1 };
    assert_eq!(web.rows(&Ask::Context(around)).await, ["first of all", "a needle here", "and the last"]);

    let Answer::Known(known) = tailer.ask(&Ask::Known { after: None }).await else { panic!("what is known") };
    assert_eq!((known.streams[0].extents.clone(), known.closed[0].1), (vec![(0, 40)], BUCKET));
    let Answer::Status(status) = web.ask(&Ask::Status).await else { panic!("a status") };
    assert!(status.counters.contains(&("shelf_events".to_owned(), 3)), "{status:?}");
    let denied = web.ask(&Ask::Known { after: None }).await;
    assert!(matches!(denied, Answer::Refused(Refusal::NotAllowed(_))), "{denied:?}");

    cluster.stop.ask();
    timeout(ENOUGH, cluster.porter).await.unwrap().unwrap().unwrap();
    assert_eq!(cluster.stop.all_done(ENOUGH).await, Ok(()));
    let other = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        cluster.root.display().to_string(),
        BucketWidth::from_seconds(10).unwrap(),
    );
    let refused = open_shelf(&other).await;
    assert!(matches!(refused, Err(RunError::Width { found: 300, asked: 10 })), "{refused:?}");
    std::fs::remove_dir_all(&cluster.root).unwrap();
}
