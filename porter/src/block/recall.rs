//! A million times: is a page that holds a needle among those the index names?
//!
//! Lines are of every kind that could slip through: none, one byte, no text, made of digits alone, cut in pieces.
//! Needles are taken from anywhere in them, most often from where a page begins or ends, in either case.

use super::{BlockHead, Candidates, Opened, Profile, Writer};
use memchr::memmem;
use proto::event::{Flags, Level, OwnedEvent, Source};
use proto::ids::{Environment, NodeId, StreamId};
use proto::query::{Expr, Query, Text, TimeRange};
use proto::time::{BucketId, BucketWidth, Timestamp};
use std::sync::Arc;

const CHECKS: usize = 1_000_000;

pub(super) struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }

    fn line(&mut self) -> Vec<u8> {
        let length = self.below(60);
        match self.below(8) {
            0 => vec![[b'a', b'7', 0, 0xff, b' ', b'\r'][self.below(6)]],
            1 => Vec::new(),
            2 => (0..length).map(|_| self.below(256) as u8).filter(|&byte| byte != b'\n').collect(),
            3 => format!("{}", self.below(1 << 31) * self.below(1 << 31)).into_bytes(),
            4 => format!("GET /Items/{} HTTP/1.1 {}", self.below(5000), [200, 404][self.below(2)]).into_bytes(),
            5 => format!("10.{}.{}.7 - Zoë\u{300} said {:x}", self.below(4), self.below(250), self.below(1 << 31))
                .into_bytes(),
            6 => b"user root logged in, session opened".to_vec(),
            _ => (0..length).map(|_| b"abc12: "[self.below(7)]).collect(),
        }
    }
}

/// These lines in four streams; some are pieces of the next.
pub(super) fn events_of(lines: &[Vec<u8>], mut is_piece: impl FnMut(usize) -> bool) -> Vec<OwnedEvent> {
    let source = |stream: u8| {
        Arc::new(Source {
            tailer: NodeId(1),
            environment: Environment::default(),
            stream: StreamId([stream; 16]),
            host: "web".into(),
            app: format!("app{stream}"),
            path: "/x.log".into(),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
        })
    };
    let mut events = Vec::new();
    for (stream, lines) in (0..).zip(lines.chunks(lines.len().div_ceil(4).max(1))) {
        let (source, mut offset) = (source(stream), 0);
        for (at, line) in lines.iter().enumerate() {
            let event = OwnedEvent {
                source: source.clone(),
                offset,
                time: Timestamp(1_795_255_200_000_000_000),
                level: Level::Info,
                flags: if is_piece(at) { Flags::CONTINUES } else { Flags::NONE },
                file_length: line.len() as u32,
                line: line.clone(),
            };
            offset = event.borrow().end();
            events.push(event);
        }
    }
    events
}

/// Up to thirty bytes of one line, near the page's edge two times of three.
fn needle(draw: &mut Draw, text: &[u8]) -> Vec<u8> {
    let at = match draw.below(3) {
        0 => draw.below(40),
        1 => text.len().saturating_sub(draw.below(40) + 2),
        _ => draw.below(text.len()),
    };
    let rest = text.get(at..).unwrap_or_default();
    let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let needle = &line[..line.len().min(draw.below(30) + 1)];
    if draw.below(2) == 0 { needle.to_ascii_uppercase() } else { needle.to_vec() }
}

pub(super) fn head() -> BlockHead {
    BlockHead {
        environment: Environment::default(),
        first: BucketId(1),
        last: BucketId(1),
        width: BucketWidth::default(),
        shard: 0,
        shards: 1,
    }
}

#[test]
fn no_page_that_holds_a_needle_is_passed_over() {
    let mut draw = Draw(11);
    let mut writer = Writer::new(head(), Profile::Recent);
    writer.page_bytes = 500;
    let lines: Vec<Vec<u8>> = (0..2800).map(|_| draw.line()).collect();
    events_of(&lines, |_| draw.below(9) == 0).iter().for_each(|event| writer.add(&event.borrow()).unwrap());
    let bytes = writer.finish().bytes;
    let opened = Opened::open(&bytes[..]).unwrap();
    let pages: Vec<Vec<u8>> = (0..opened.page_count())
        .map(|number| opened.read_page(&bytes[..], number).unwrap().text().to_ascii_lowercase())
        .collect();
    assert!(pages.len() > 100);
    let (mut checks, mut held) = (0, 0);
    while checks < CHECKS {
        let page = draw.below(pages.len());
        let needle = needle(&mut draw, &pages[page]);
        if needle.is_empty() {
            continue;
        }
        let query = Query::from(Expr::Text(Text::new(&needle, false)));
        let candidates = Candidates::find(&opened, &bytes[..], &query, TimeRange::ALL).unwrap().pages;
        let folded = needle.to_ascii_lowercase();
        let finder = memmem::Finder::new(&folded);
        for (number, text) in (0u32..).zip(&pages) {
            let holds = finder.find(text).is_some();
            assert!(!holds || candidates.binary_search(&number).is_ok(), "{needle:?} is in page {number}");
            held += usize::from(holds);
        }
        checks += pages.len();
    }
    assert!(held > CHECKS / 300, "needles were to be found: {held}");
}
