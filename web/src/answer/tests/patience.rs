//! Who connects and then stands still: nobody holds a place for nothing.

use super::*;

/// Short enough for a test, long enough for a busy machine to say a few words in.
const BRIEF: Duration = Duration::from_millis(300);

async fn closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("it is closed soon").expect("readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Events of some megabytes, more than sockets hold.
fn many() -> Vec<OwnedEvent> {
    let mut events = lately(3000);
    events.iter_mut().for_each(|event| event.line = vec![b'x'; 8000]);
    events
}

/// Waits until nothing runs, as another reader sees it.
async fn until_nothing_runs(server: &Server) {
    let nothing = async {
        while !server.get("/metrics", "").await.body.contains("tailbuck_web_running 0") {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, nothing).await.expect("what nobody takes is let go");
}

#[tokio::test]
async fn the_head_of_a_request_comes_in_time_or_the_connection_is_closed() {
    let server = server_with([holds(&[]), holds(&[])], |limits| limits.head = BRIEF).await;
    for head in ["", "GET / HT", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        assert!(!closed(stream).await.contains("200 OK"), "{head:?}");
    }
    let mut kept = TcpStream::connect(server.address).await.expect("it listens");
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it reads");
    assert!(closed(kept).await.contains("200 OK"), "answered, and closed when no other request comes");
}

#[tokio::test]
async fn who_comes_beyond_all_places_waits_for_one() {
    let server = server_with([holds(&[]), holds(&[])], |limits| limits.connections_max = 2).await;
    let (_, first) = server.lines_until("/api/v1/live", "", "\"k\":\"hb\"").await;
    let (_, _second) = server.lines_until("/api/v1/live", "", "\"k\":\"hb\"").await;
    let mut third = server.request("GET", "/healthz", "").await;
    let mut one = [0];
    assert!(timeout(BRIEF, third.read(&mut one)).await.is_err(), "no third connection is served");
    drop(first);
    assert!(closed(third).await.contains("200 OK"));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_cut_off() {
    let events = many();
    let server = server_with([holds(&events), holds(&[])], |limits| limits.untaken = BRIEF).await;
    let untaken = server.request("GET", "/api/v1/export?order=oldest&fmt=ndjson", "").await;
    until_nothing_runs(&server).await;
    let mut bytes = Vec::new();
    let read = timeout(SOON, BufReader::new(untaken).read_to_end(&mut bytes)).await.expect("soon");
    assert!(read.is_err() || !bytes.ends_with(b"0\r\n\r\n"), "it does not end as a whole one");
}

#[tokio::test]
async fn a_live_tail_that_nobody_takes_is_let_go_and_its_reader_hears_why() {
    let events = many();
    let server = server_with([holds(&events), holds(&[])], |limits| limits.stall = BRIEF).await;
    let untaken = server.request("GET", "/api/v1/live?since=-3h", "").await;
    until_nothing_runs(&server).await;
    assert!(closed(untaken).await.contains("\"why\":\"slow\""));
}
