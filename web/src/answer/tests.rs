//! The whole server over real sockets, in front of a cluster that is made up.

mod document;
mod fake;
mod patience;

use super::*;
use crate::config::{Config, Limits};
use crate::merge::tests::event;
use crate::run::{Bound, bind};
use fake::{Behaviour, Fake};
use proto::event::{Level, OwnedEvent};
use proto::io::clock::Clock;
use proto::io::stop::Stop;
use proto::message::{Completeness, Shard, ShardVersion};
use proto::packet::TimeSpan;
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes longer on any machine; a test that waits for less is wrong.
const SOON: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    stop: Stop,
    serving: JoinHandle<()>,
}

async fn server(bucks: [Behaviour; 2]) -> Server {
    server_with(bucks, |_| {}).await
}

async fn server_with(bucks: [Behaviour; 2], limit: impl FnOnce(&mut Limits)) -> Server {
    let mut config = Config::new("127.0.0.1:0".parse().expect("an address"), BucketWidth::default());
    config.limits.patience = Duration::from_millis(200);
    limit(&mut config.limits);
    serve(config, Fake::new(bucks)).await
}

async fn serve(config: Config, fake: Fake) -> Server {
    let fake = Arc::new(fake);
    let bound: Bound = bind(config).await.expect("a free port");
    let (address, stop) = (bound.address(), Stop::default());
    assert_ne!(address.port(), 0);
    let serving = tokio::spawn(bound.serve(Arc::clone(&fake) as Arc<dyn crate::nodes::Nodes>, stop.token("web")));
    Server { address, fake, stop, serving }
}

/// Events of the last minutes, oldest first: `count` of them, the last a second ago.
fn lately(count: u64) -> Vec<OwnedEvent> {
    let now = Clock::real().wall();
    let one = |n: u64| {
        let mut event = event(now.before(Duration::from_secs(count - n)).0, 100, 1, n * 5);
        event.line = format!("line {n} {}", if n.is_multiple_of(3) { "fizz" } else { "" }).into_bytes();
        event.level = if n.is_multiple_of(2) { Level::Error } else { Level::Info };
        event
    };
    (0..count).map(one).collect()
}

fn holds(events: &[OwnedEvent]) -> Behaviour {
    Behaviour::Holds(events.to_vec())
}

struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    async fn request(&self, method: &str, target: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        let head = format!("{method} {target} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        stream
    }

    async fn get(&self, target: &str, headers: &str) -> Got {
        self.send("GET", target, headers).await
    }

    async fn send(&self, method: &str, target: &str, headers: &str) -> Got {
        let mut stream = self.request(method, target, headers).await;
        let mut bytes = Vec::new();
        timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("soon").expect("readable");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Got { status, head: head.to_ascii_lowercase(), body: if chunked { unchunked(body) } else { body.to_owned() } }
    }

    async fn frames(&self, target: &str) -> Vec<Value> {
        let got = self.get(target, "").await;
        assert_eq!(got.status, 200, "{}", got.body);
        got.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Asks and reads lines until one says this.
    async fn lines_until(&self, target: &str, headers: &str, word: &str) -> (Vec<String>, BufReader<TcpStream>) {
        let mut reader = BufReader::new(self.request("GET", target, headers).await);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(SOON, reader.read_line(&mut line)).await.expect("soon").expect("readable");
            assert_ne!(read, 0, "{word:?} never came: {lines:?}");
            lines.push(line.clone());
            if line.contains(word) {
                return (lines, reader);
            }
        }
    }
}

fn unchunked(body: &str) -> String {
    let (mut out, mut rest) = (String::new(), body);
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        out.push_str(&after[..length]);
        rest = after[length..].strip_prefix("\r\n").unwrap_or_default();
    }
    out
}

fn lines_of(frames: &[Value]) -> Vec<String> {
    let events = frames.iter().filter(|frame| frame["k"] == "ev").flat_map(|frame| frame["e"].as_array());
    events.flatten().map(|event| event["m"].as_str().expect("a line").trim().to_owned()).collect()
}

fn last(frames: &[Value]) -> &Value {
    frames.last().expect("an end")
}

#[tokio::test]
async fn a_search_gives_each_event_once_in_order_and_says_it_is_complete() {
    let events = lately(500);
    let server = server([holds(&events), holds(&events[100..])]).await;
    let frames = server.frames("/api/v1/search?q=&limit=10000").await;
    assert_eq!(frames[0]["k"], "start");
    let newest: Vec<String> = (0..500).rev().map(|n| events[n].line.clone()).map(text).collect();
    assert_eq!(lines_of(&frames), newest);
    let end = last(&frames);
    assert_eq!((&end["why"], &end["matches"], &end["exact"]), (&"complete".into(), &500.into(), &true.into()));
    assert_eq!(end["complete"], "Complete, the newest second excepted.");
    assert_eq!(end["missing"], json!([]));
    let oldest = server.frames("/api/v1/search?q=fizz&dir=forward").await;
    assert_eq!(lines_of(&oldest).len(), 167);
    assert_eq!(lines_of(&oldest)[0], "line 0 fizz");
}

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).expect("text").trim().to_owned()
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_limit_ended() {
    let events = lately(300);
    let server = server([holds(&events[..200]), holds(&events[150..])]).await;
    let first = server.frames("/api/v1/search?q=line&limit=120").await;
    assert_eq!((last(&first)["why"].as_str(), lines_of(&first).len()), (Some("limit"), 120));
    let cursor = last(&first)["cursor"].as_str().expect("a cursor");
    let second = server.frames(&format!("/api/v1/search?q=line&limit=5000&cursor={cursor}")).await;
    assert_eq!(last(&second)["why"], "complete");
    let all: Vec<String> = lines_of(&first).into_iter().chain(lines_of(&second)).collect();
    assert_eq!(all, (0..300).rev().map(|n| text(events[n].line.clone())).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_that_never_answers_is_named_and_waited_for_no_longer() {
    let events = lately(20);
    let one_away = server([holds(&events), Behaviour::Silent]).await;
    let frames = one_away.frames("/api/v1/search?q=").await;
    let end = last(&frames);
    assert_eq!((lines_of(&frames).len(), &end["why"], &end["missing"]), (20, &"complete".into(), &json!([])));
    assert!(end["complete"].as_str().is_some_and(|said| said.contains("buck 10.0.0.2:4433 is silent")), "{end}");
    let two_away = server([Behaviour::Gone, Behaviour::Silent]).await;
    let frames = two_away.frames("/api/v1/search?q=").await;
    let missing = last(&frames)["missing"].as_array().expect("a list").clone();
    let names: Vec<_> = missing.iter().filter_map(|lack| lack["node"].as_str()).collect();
    assert_eq!(names, ["buck 10.0.0.1:4433", "buck 10.0.0.2:4433"]);
    assert_eq!(last(&frames)["exact"], false);
    let raw = two_away.request("GET", "/api/v1/export?q=", "").await;
    let mut bytes = Vec::new();
    let read = timeout(SOON, BufReader::new(raw).read_to_end(&mut bytes)).await.expect("soon");
    assert!(read.is_err() || !bytes.ends_with(b"0\r\n\r\n"), "an incomplete file does not end as a whole one");
}

#[tokio::test]
async fn a_shelf_that_changes_is_looked_at_again_and_not_for_ever() {
    let events = lately(50);
    for (stale, missing) in [(1, 0), (2, 0), (9, 1)] {
        let server = server([holds(&events), holds(&events)]).await;
        server.fake.stale.store(stale, Ordering::Relaxed);
        let frames = server.frames("/api/v1/search?q=").await;
        assert_eq!(lines_of(&frames).len(), 50, "each once, however often it began anew");
        let lacks = last(&frames)["missing"].as_array().expect("a list").clone();
        assert_eq!(lacks.len(), missing, "{lacks:?}");
        assert!(lacks.iter().all(|lack| lack["node"] == "porter 10.0.0.50:4433"), "{lacks:?}");
        server.fake.stale.store(1, Ordering::Relaxed);
        let hits = server.frames("/api/v1/hits?q=").await;
        assert_eq!((&last(&hits)["total"], &last(&hits)["exact"]), (&50.into(), &true.into()));
    }
}

fn shard(bucket: u64) -> Shard {
    let (environment, bucket) = (Environment::default(), BucketId(bucket));
    let at = ShardVersion { environment, bucket, shard: 0, version: 1 };
    let times = TimeSpan { first: Timestamp(0), last: Timestamp(1) };
    Shard { at, times, bytes: 1, completeness: Completeness::default() }
}

#[tokio::test]
async fn a_catalogue_in_parts_is_one_snapshot() {
    let config = Config::new("127.0.0.1:0".parse().expect("an address"), BucketWidth::default());
    let mut fake = Fake::new([holds(&[]), holds(&[])]);
    fake.shelf = vec![vec![shard(1), shard(2)], vec![shard(3)], Vec::new()];
    let server = serve(config, fake).await;
    assert_eq!(last(&server.frames("/api/v1/search?q=").await)["why"], "complete");
    let snapshots = server.fake.snapshots.lock().expect("no panic").clone();
    let buckets = |snapshot: &Vec<ShardVersion>| snapshot.iter().map(|at| at.bucket.0).collect::<Vec<_>>();
    assert_eq!(snapshots.iter().map(buckets).collect::<Vec<_>>(), [[1, 2, 3], [1, 2, 3], [1, 2, 3]]);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_search_at_every_node() {
    let server = server([Behaviour::Silent, Behaviour::Silent]).await;
    let (_, reader) = server.lines_until("/api/v1/search?q=", "", "start").await;
    drop(reader);
    timeout(SOON, server.fake.let_go.notified()).await.expect("the node is let go of");
}

#[tokio::test]
async fn counts_count_each_packet_once() {
    let events = lately(60);
    let server = server([holds(&events[..50]), holds(&events[10..])]).await;
    let frames = server.frames("/api/v1/hits?q=&from=now-10m&buckets=20").await;
    let end = last(&frames);
    assert_eq!(
        (&end["k"], &end["done"], &end["total"], &end["exact"]),
        (&"hits".into(), &true.into(), &60.into(), &true.into())
    );
    assert_eq!(end["levels"], json!(["error", "info", "unknown"]));
    let errors: u64 = end["counts"][0].as_array().expect("bars").iter().filter_map(Value::as_u64).sum();
    assert_eq!(errors, 30);
    let one = server.frames("/api/v1/hits?q=fizz&from=now-10m&buckets=1").await;
    assert_eq!(last(&one)["total"], 20);
}

#[tokio::test]
async fn a_live_tail_shows_each_event_once_as_lines_or_as_events() {
    let events = lately(5);
    let server = server([holds(&events), holds(&events)]).await;
    let (lines, _open) = server.lines_until("/api/v1/live?q=fizz", "", "\"k\":\"rate\"").await;
    let frames: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    assert_eq!(lines_of(&frames), ["line 0 fizz", "line 3 fizz"]);
    let accept = "Accept: text/event-stream\r\n";
    let (lines, _open) = server.lines_until("/api/v1/live?q=fizz&since=-1h", accept, "line 3").await;
    assert!(lines.iter().any(|line| line.to_ascii_lowercase().contains("content-type: text/event-stream")));
    assert!(lines.last().is_some_and(|line| line.starts_with("data: {\"k\":\"ev\"")), "{lines:?}");
}

#[tokio::test]
async fn a_live_tail_begins_with_all_of_the_past_in_order_and_says_how_whole_it_is() {
    let mut events = lately(12_000);
    let now = Clock::real().wall();
    for (n, event) in (0u32..).zip(&mut events) {
        event.time = now.before(Duration::from_secs(60) - Duration::from_millis(1) * n);
    }
    let server = server([holds(&events), Behaviour::Gone]).await;
    let (lines, _open) = server.lines_until("/api/v1/live?q=line&since=-1h", "", "\"k\":\"past\"").await;
    let frames: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    let past = last(&frames);
    assert_eq!((&past["why"], &past["matches"]), (&"complete".into(), &12_000.into()), "{past}");
    assert!(past["complete"].as_str().is_some_and(|said| said.contains("10.0.0.2")), "{past}");
    let (mut more, _open) = server.lines_until("/api/v1/live?q=line&since=-1h", "", "line 11999 ").await;
    more.retain(|line| line.starts_with('{'));
    let frames: Vec<Value> = more.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let expected: Vec<String> = events.iter().map(|event| text(event.line.clone())).collect();
    assert!(lines_of(&frames) == expected, "each once and in order, and none left out");
    let two_away = self::server([Behaviour::Gone, Behaviour::Gone]).await;
    let (lines, _open) = two_away.lines_until("/api/v1/live?since=-1h", "", "\"k\":\"past\"").await;
    assert!(lines.last().is_some_and(|line| line.contains("buck 10.0.0.2:4433")), "{lines:?}");
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_then_the_server() {
    let server = server([holds(&[]), Behaviour::Silent]).await;
    let (_, mut reader) = server.lines_until("/api/v1/live?q=", "", "\"k\":\"hb\"").await;
    server.stop.ask();
    let mut rest = String::new();
    timeout(SOON, reader.read_to_string(&mut rest)).await.expect("soon").expect("readable");
    assert!(rest.contains("\"why\":\"stopped\""), "{rest}");
    timeout(SOON, server.serving).await.expect("soon").expect("no panic");
}

#[tokio::test]
async fn a_search_can_be_stopped_by_its_name() {
    let server = server([Behaviour::Silent, Behaviour::Silent]).await;
    let (lines, mut reader) = server.lines_until("/api/v1/search?q=", "", "start").await;
    let start: Value = serde_json::from_str(lines.last().expect("a frame")).expect("JSON");
    let stop = format!("/api/v1/search/{}/stop", start["qid"].as_str().expect("a name"));
    assert_eq!(server.send("POST", &stop, "").await.status, 403);
    assert_eq!(server.send("GET", &stop, "").await.status, 405);
    let stopped = server.send("POST", &stop, "X-Tailbuck: 1\r\n").await;
    let mut rest = String::new();
    timeout(SOON, reader.read_to_string(&mut rest)).await.expect("soon").expect("readable");
    assert!(stopped.status == 200 && rest.contains("\"why\":\"stopped\"") || rest.contains("\"why\":\"complete\""));
}

#[tokio::test]
async fn lines_around_an_event_are_those_of_its_file() {
    let events = lately(40);
    let server = server([holds(&events[..25]), holds(&events[20..])]).await;
    let id = events[22].borrow().id();
    let got = server.get(&format!("/api/v1/context?id={id}&before=5&after=5"), "").await;
    let answer: Value = serde_json::from_str(&got.body).expect("JSON");
    let lines = |side: &str| {
        let events = answer[side].as_array().expect("a list");
        events.iter().map(|event| event["o"].as_u64().expect("a place")).collect::<Vec<_>>()
    };
    assert_eq!(lines("before"), [85, 90, 95, 100, 105]);
    assert_eq!(answer["event"]["id"], id.to_string());
    assert_eq!(lines("after"), [115, 120, 125, 130, 135]);
    assert_eq!((&answer["complete"], &answer["missing"]), (&"Complete.".into(), &json!([])));
    assert_eq!(answer["holes"], json!([]));
    let left = [&events[..20], &events[21..24], &events[26..]].concat();
    let holey = self::server([holds(&left), holds(&left[..25])]).await;
    let got = holey.get(&format!("/api/v1/context?id={id}&before=5&after=5"), "").await;
    let answer: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(answer["holes"], json!([[100, 105], [120, 130]]), "{answer}");
    assert_eq!(answer["after"].as_array().map(Vec::len), Some(5), "it goes on behind them");
    assert_eq!(server.get(&format!("/api/v1/event/{id}"), "").await.status, 200);
    let other = "0".repeat(80);
    assert_eq!(server.get(&format!("/api/v1/event/{other}"), "").await.status, 404);
}

#[tokio::test]
async fn every_reply_keeps_the_page_in_its_place() {
    let server = server([holds(&[]), holds(&[])]).await;
    let own = PATHS.iter().filter(|path| **path != "/api/v1/live").map(|path| (*path).to_owned());
    let others = ["/nothing", "/assets/../../etc/passwd", "/api/v1/search?limit=x", "/api/v1/search?q=%22", "/%00"];
    for path in own.chain(others.map(str::to_owned)) {
        let got = server.get(&path, "").await;
        for (name, value) in crate::routes::SECURITY_HEADERS {
            assert!(got.head.contains(&format!("{name}: {}", value.to_ascii_lowercase())), "{path} lacks {name}");
        }
        assert!(!got.head.contains("access-control"), "{path}");
    }
    let (live, _open) = server.lines_until("/api/v1/live", "", "\r\n").await;
    assert!(live[0].contains("200"));
}

#[tokio::test]
async fn requests_that_should_not_be_answered_are_not() {
    let server = server([holds(&[]), holds(&[])]).await;
    let long = format!("/api/v1/search?q={}", "a".repeat(17_000));
    for (target, headers, status, code) in [
        ("/", "Host: evil.example\r\n", 421, "wrong_host"),
        ("/api/v1/search", "Host: 127.0.0.1.evil.example\r\n", 421, "wrong_host"),
        ("/api/v1/search", "Origin: http://evil.example\r\n", 403, "foreign_page"),
        ("/api/v1/live", "Sec-Fetch-Site: cross-site\r\n", 403, "foreign_page"),
        ("/api/v1/search", "Content-Length: 9999\r\n", 413, "too_large"),
        ("/api/v1/search?q=%22open", "", 400, "bad_query"),
        ("/api/v1/search?limit=-1", "", 400, "bad_parameter"),
        ("/api/v1/search?from=then", "", 400, "bad_time"),
        ("/api/v1/hits?by=host", "", 400, "bad_parameter"),
        ("/api/v1/event/zzz", "", 400, "bad_parameter"),
        ("/api/v1/cluster?since=1", "", 400, "bad_parameter"),
        ("/metrics?x", "", 400, "bad_parameter"),
        ("/api/v1/none", "", 404, "not_found"),
        (long.as_str(), "", 400, "bad_query"),
    ] {
        let got = server.get(target, headers).await;
        let body: Value = serde_json::from_str(&got.body).unwrap_or_default();
        assert_eq!((got.status, body["error"]["code"].as_str()), (status, Some(code)), "{target:.60} {headers}");
    }
    assert_eq!(server.send("POST", "/api/v1/search", "").await.status, 405);
    assert_eq!(server.get("/", "Host: localhost:1\r\n").await.status, 200);
    assert_eq!(server.get("/", "Host: [::1]:1\r\n").await.status, 200);
}

#[tokio::test]
async fn the_page_is_asked_about_and_not_sent_twice() {
    let server = server([holds(&[]), holds(&[])]).await;
    let page = server.get("/", "").await;
    let etag = page.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an etag").to_owned();
    let again = server.get("/", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((page.status, again.status, again.body.as_str()), (200, 304, ""));
    let metrics = server.get("/metrics", "").await.body;
    assert!(metrics.contains("tailbuck_web_requests_total 3"), "{metrics}");
}

#[tokio::test]
async fn the_cluster_page_names_everyone() {
    let server = server([holds(&[]), Behaviour::Gone]).await;
    let got = server.get("/api/v1/cluster", "").await;
    let answer: Value = serde_json::from_str(&got.body).expect("JSON");
    let states: Vec<_> = answer["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (node["role"].as_str().unwrap_or(""), node["state"].as_str().unwrap_or("")))
        .collect();
    let wanted = [("buck", "up"), ("buck", "unreachable"), ("porter", "up"), ("web", "up"), ("tailer", "unheard")];
    assert_eq!(states, wanted);
}
