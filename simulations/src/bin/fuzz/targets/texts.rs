//! What people write: rosters, key files, queries, and the lines of their logs.

use super::Target;
use proto::event::{Event, Flags, Level, Source};
use proto::ids::{Environment, NodeId, StreamId};
use proto::query::{Query, parse};
use proto::roster::Roster;
use proto::seal::{Keys, Seed, key_text, parse_key_text};
use proto::time::Timestamp;
use tailer::lines::{Cursor, Span};
use tailer::parse::{Habit, Rules};

/// Bytes of a file that are read at a time, small enough that lines lie across reads.
const READ_BYTES: usize = 700;

pub fn all() -> Vec<Target> {
    assert!(Roster::parse(&roster()).is_ok_and(|roster| roster.peers().len() == 2), "{:?}", Roster::parse(&roster()));
    assert!(parse_key_text(&a_key()).is_ok());
    assert!(queries().iter().all(|query| parse(&String::from_utf8_lossy(query)).is_ok()));
    vec![
        Target { name: "roster", seeds: vec![roster()], run: roster_text },
        Target { name: "key", seeds: vec![a_key()], run: key_file },
        Target { name: "query", seeds: queries(), run: query_text },
        Target { name: "lines", seeds: vec![LINES.to_vec()], run: lines },
    ]
}

fn roster() -> Vec<u8> {
    let key = |who| Keys::from_seed(&Seed::from_bytes([who; 32])).public();
    format!(
        "# who\nbuck {} id=0000000000000001 addr=127.0.0.1:4100 domain=rack-1\ntailer {} id=0000000000000002 env=prod,test host=web-1 rate=5MB/s\n",
        key(1),
        key(2)
    )
    .into_bytes()
}

fn roster_text(bytes: &[u8]) {
    if let Ok(roster) = Roster::parse(bytes) {
        let written: String = roster.peers().iter().map(|peer| format!("{peer}\n")).collect();
        let again = Roster::parse(written.as_bytes()).expect("what it says of itself");
        assert_eq!(again.hash(), roster.hash(), "{written}");
    }
}

fn a_key() -> Vec<u8> {
    key_text(NodeId(7), &Seed::from_bytes([7; 32])).as_bytes().to_vec()
}

fn key_file(bytes: &[u8]) {
    if let Ok((id, seed)) = parse_key_text(bytes) {
        assert_eq!(key_text(id, &seed).as_bytes(), bytes, "there is one way to write a key");
    }
}

fn queries() -> Vec<Vec<u8>> {
    [
        "error \"connection reset\" -healthz 'ExactCase'",
        "/5\\d\\d in \\d+ms/i OR (host:web* app:nginx level:error) NOT file:/var/log/*",
        "@status>=500 @took<1.5 @path:\"/v1/*\" env:prod",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn query_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(query) => use_query(&query),
        Err(error) => drop(std::hint::black_box(error.to_string())),
    }
}

fn use_query(query: &Query) {
    std::hint::black_box(query.need());
    let source = Source {
        tailer: NodeId(1),
        environment: Environment::default(),
        stream: StreamId([1; 16]),
        host: "web-1".into(),
        app: "nginx".into(),
        path: "/var/log/x.log".into(),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
    };
    for line in LINES.split(|byte| *byte == b'\n') {
        let (offset, time, level, flags) = (0, Timestamp(1), Level::Error, Flags::NONE);
        let file_length = u32::try_from(line.len()).expect("short");
        let event = Event { source: &source, offset, time, level, flags, file_length, line };
        let fits = query.matches(&event);
        let decided = query.of_source(&source);
        assert!(decided.is_none_or(|decided| decided == fits), "what the source decides, the event does not change");
        for span in query.highlight(line) {
            assert!(line.get(span.clone()).is_some(), "{span:?} of {} bytes", line.len());
        }
    }
}

/// Every byte is in a line or a hole, whatever the file holds and however it is read.
fn lines(bytes: &[u8]) {
    let rules = Rules { zone_seconds: Some(3600), nearest_to: Timestamp::from_seconds(1_795_255_200) };
    let (mut cursor, mut habit) = (Cursor::resume(0, b""), Habit::default());
    let mut end = 0;
    let reads = bytes.len().div_ceil(READ_BYTES) + 1;
    for read in 0..=2 * reads {
        let from = usize::try_from(cursor.read_from()).expect("within the bytes");
        let rest = bytes.get(from..).unwrap_or_default();
        // A line longer than one read needs more of the file at once.
        let window = rest.get(..READ_BYTES * (1 + read / reads * reads)).unwrap_or(rest);
        for span in cursor.spans(window, window.len() == rest.len()) {
            assert_eq!(begin(&span), end, "nothing is left out between spans");
            end = span.end();
            if let Span::Line { bytes: line, .. } = span {
                std::hint::black_box(habit.read(line, Timestamp::from_seconds(1_795_255_200), &rules));
            }
        }
    }
    assert_eq!(usize::try_from(end), Ok(bytes.len()), "and nothing at the end");
}

fn begin(span: &Span<'_>) -> u64 {
    match *span {
        Span::Line { offset, .. } => offset,
        Span::Hole { from, .. } => from,
    }
}

const LINES: &[u8] = b"2026-11-21T10:00:00.123456Z INFO [main] c.e.Service - order 17 accepted in 5 ms
Nov 21 10:00:01 web-1 sshd[4711]: Failed password for root from 10.0.0.7 port 22 ssh2
10.1.2.3 - - [21/Nov/2026:10:00:02 +0100] \"GET /x?y=1 HTTP/1.1\" 500 12 \"-\" \"curl\"
{\"time\":\"2026-11-21T10:00:03Z\",\"level\":\"warn\",\"msg\":\"slow \\u00e9\",\"status\":503,\"took\":1.25}
ts=1795255204.5 level=error msg=\"connection reset\" @path=/v1/x
\tat com.example.Main(Main.java:12)
<34>1 2026-11-21T10:00:05Z host app 123 ID47 - \xef\xbb\xbfmessage
1795255206123 \x1b[31mFATAL\x1b[0m \xff\xfe \0\0\0\0 odd
E1121 10:00:07.000000    7 main.go:3] broken";
