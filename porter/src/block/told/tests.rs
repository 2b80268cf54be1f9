//! What is told of pages against reading every line of them.

use super::super::count::count;
use super::super::search::event_of;
use super::super::{Opened, Profile, Writer};
use super::{Teller, leaves};
use crate::block::recall::{Draw, events_of, head};
use proto::query::{Query, TimeRange, parse};
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

/// Lines of programs: words that always come, numbers, names, paths, identities; rarely anything.
fn line(draw: &mut Draw) -> Vec<u8> {
    let word = |draw: &mut Draw| ["ann", "bob", "Carol", "error", "x9", "serror", "port", "kernel"][draw.below(8)];
    match draw.below(12) {
        0..3 => format!("user {} logged in from 10.0.{}.7 port {}", word(draw), draw.below(9), draw.below(70_000)),
        3..5 => format!(
            "kernel: [{}.{:06}] error -{} on sda{}",
            draw.below(99),
            draw.below(999_999),
            draw.below(9),
            draw.below(3)
        ),
        5 => {
            format!("GET /{}/{} HTTP/1.1\" {} {}", word(draw), word(draw), [200, 404][draw.below(2)], draw.below(9000))
        }
        6 => format!("{{\"state\":\"{}\",\"id\":\"{:08x}\"}}", word(draw), draw.below(1 << 31)),
        7 => format!("session opened for {}{}: Error", word(draw), draw.below(3)),
        8 => format!("t{}out after {}ms", draw.below(2), draw.below(99)),
        9 => format!("timed out: {} refused", word(draw)),
        10 => "session closed".to_owned(),
        _ => return (0..draw.below(20)).map(|_| b"ab 1:\x11\nE"[draw.below(8)]).collect(),
    }
    .into_bytes()
}

/// Some bytes that stand in a line, or nearly.
fn needle(draw: &mut Draw, lines: &[Vec<u8>]) -> String {
    let line = &lines[draw.below(lines.len())];
    let (at, length) = (draw.below(line.len()), draw.below(9) + 1);
    let mut text: Vec<u8> = line.iter().skip(at).take(length).copied().collect();
    if draw.below(6) == 0 {
        text.push(b"ae1 "[draw.below(4)]);
    }
    text.retain(|byte| byte.is_ascii_graphic() && !b"\"'\\/()".contains(byte) || *byte == b' ');
    if text.is_empty() { "error".to_owned() } else { String::from_utf8_lossy(&text).into_owned() }
}

fn query(draw: &mut Draw, lines: &[Vec<u8>]) -> Query {
    let quote = [('"', '"'), ('"', '"'), ('\'', '\'')][draw.below(3)];
    let mut one = || format!("{}{}{}", quote.0, needle(draw, lines), quote.1);
    let (a, b, c) = (one(), one(), one());
    let text = match draw.below(14) {
        0..4 => a,
        4 => format!("{a} {b}"),
        5 => format!("{a} OR {b}"),
        6 => format!("-{a}"),
        7 => format!("{a} -({b} OR {c})"),
        8 => format!("{a} app:app1"),
        9 => "/refused|timed? ?out/".to_owned(),
        10 => [
            "/error .*d/",
            "/^user|[Ee]rror$/",
            "/(?i)ERR[o0]R|kern/",
            r"/in\b.*\d/",
            "/e.*r/",
            "/s+i/",
            r"/\d\d:\d/",
            r"/[a-z]+ \d/",
            r"/\w+ \w+ \d+ms/",
            "/[^ ]+x/",
            r"/\d\.\d{6}\]/",
            "/[0-9a-f]{8}/",
        ][draw.below(12)]
        .to_owned(),
        11 => format!("/{}/i", ["err(or)?", "bob|ann", "k.rnel", "[aeiou]rror"][draw.below(4)]),
        12 => format!("{a} /{}/", ["o+r", "[0-9]", "^k|^u"][draw.below(3)]),
        _ => ["@state:bob", "-app:app2 error", "app:app3 OR error", "level:info port", "time*out"][draw.below(5)]
            .to_owned(),
    };
    parse(&text).unwrap_or_default()
}

#[test]
fn what_is_told_is_what_reading_finds() {
    let (mut known, mut unknown, mut sure) = (0, 0, 0);
    for seed in 0..6 {
        let mut draw = Draw(seed);
        let lines: Vec<Vec<u8>> = (0..900).map(|_| line(&mut draw)).collect();
        let events = events_of(&lines, |_| false);
        let mut writer = Writer::new(head(), if seed % 2 == 0 { Profile::Recent } else { Profile::Archive });
        writer.page_bytes = [600, 3000, 20_000][seed as usize % 3];
        events.iter().for_each(|event| writer.add(&event.borrow()).unwrap());
        let bytes = writer.finish().bytes;
        let opened = Opened::open(&bytes[..]).unwrap();
        let pages: Vec<_> =
            (0..opened.page_count()).map(|number| opened.read_page(&bytes[..], number).unwrap()).collect();
        for _ in 0..250 {
            let query = query(&mut draw, &lines);
            let leaves = opened.fetch_leaves(&bytes[..], leaves(&query, &opened)).unwrap();
            let mut teller = Teller::new(&query, &opened, &leaves).unwrap().unwrap();
            let mut all = 0;
            for (number, page) in (0..).zip(&pages) {
                let fits = |line| event_of(&opened, page, &line).is_some_and(|event| query.matches(&event));
                let fitting = page.lines().filter(|line| fits(line.clone())).count() as u64;
                all += fitting;
                let Some(told) = teller.page(number) else { continue };
                let most = told.fitting + told.unknown;
                assert!((told.fitting..=most).contains(&fitting), "{query:?}: {told:?} where there are {fitting}");
                unknown += told.unknown;
                known += page.lines().count() as u64 - told.unknown;
                sure += told.fitting;
            }
            assert_eq!(count(&opened, &bytes[..], &query, TimeRange::ALL, &GO), Ok(all), "{query:?}");
        }
    }
    assert!(known > unknown && sure > known / 20, "{known} known, {sure} of them fit; {unknown} unknown");
}
