//! Damaged blocks: what is wrong is named, and what is not damaged stays readable. And the first block ever written.

use super::super::search::event_of;
use super::super::{BlockError, Part};
use super::*;

/// A block of everything there is in little.
fn small() -> Vec<OwnedEvent> {
    let sources = sources();
    let mut events = Vec::new();
    for (number, source) in (0u32..).zip(sources.iter().cycle().take(60)) {
        let line = match number % 6 {
            0 => format!("GET /a/{number} 200 took {}ms", number * 7).into_bytes(),
            1 => format!("user eve from 10.0.0.{number}:4{number:03}").into_bytes(),
            2 => format!("id {:016x}", u64::from(number) * 0x1234_5678_9abc).into_bytes(),
            3 => b"nul \0, bad \xff\xfe and a return\r".to_vec(),
            4 => Vec::new(),
            _ => b"a\nb".to_vec(),
        };
        events.push(OwnedEvent {
            source: source.clone(),
            offset: u64::from(number) * 100,
            time: Timestamp(1_795_255_200_000_000_000 + i64::from(number) * 1_500_000_000),
            level: Level::from_u8((number % 8) as u8).unwrap(),
            flags: if number % 7 == 0 { Flags::REDACTED } else { Flags::NONE },
            file_length: if number % 7 == 0 { 99 } else { line.len() as u32 },
            line,
        });
    }
    events
}

pub(super) fn everything(bytes: &[u8]) -> Result<Vec<OwnedEvent>, BlockError> {
    let opened = Opened::open(bytes)?;
    let ask = Ask::all(parse("took OR eve OR bad OR level>=trace").unwrap());
    let candidates = Candidates::find(&opened, bytes, &ask.query, ask.range)?;
    let mut search = Search::new(&opened, ask, &candidates);
    let mut found = Vec::new();
    while let Some(event) = search.next(&opened, bytes, &GO)? {
        found.push(event);
    }
    Ok(found)
}

#[test]
fn every_damaged_byte_is_named_or_does_no_harm() {
    let written = write(&small(), 400);
    let whole = everything(&written.bytes).unwrap();
    let mut parts = std::collections::BTreeSet::new();
    for at in 0..written.bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= flip;
            match everything(&bytes) {
                Ok(found) => assert_eq!(found, whole, "byte {at}"),
                Err(BlockError::Damaged { part, .. }) => {
                    parts.insert(part.to_string());
                }
                Err(BlockError::Foreign | BlockError::Version(_)) => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
            let verified = Opened::open(&bytes[..]).and_then(|opened| opened.verify(&bytes[..]));
            assert!(verified.is_err(), "byte {at} is not covered by any checksum");
        }
    }
    for part in
        ["footer", "head", "page 0", "page table", "index leaf 0", "extents", "counts", "filter", "template table"]
    {
        assert!(parts.contains(part), "{part} in {parts:?}");
    }
}

#[test]
fn a_block_cut_short_is_an_error() {
    let written = write(&small(), 400);
    for length in 0..written.bytes.len() {
        assert!(everything(&written.bytes[..length]).is_err());
    }
}

/// A block of version 1 as it was once written. It must be readable for ever; how it was squeezed may change.
const GOLDEN: &[u8] = include_bytes!("../../testdata/block-1.tbk");

#[test]
fn the_first_block_ever_written_opens() {
    let opened = Opened::open(GOLDEN).unwrap();
    opened.verify(GOLDEN).unwrap();
    assert_eq!(opened.head.name, write(&small(), 400).name);
    let kept = kept(&small());
    let mut expected = lines(&kept);
    expected.sort_by_key(|event| event.borrow().order());
    assert_eq!(search(&opened, GOLDEN, Ask::all(Query::default())), expected);
    assert_eq!(search(&opened, GOLDEN, Ask::all(parse("0.0.19:4019").unwrap())).len(), 1);
}

#[test]
fn a_page_that_lies_under_a_good_checksum_is_read_or_refused() {
    let written = write(&small(), 4000);
    let opened = Opened::open(&written.bytes[..]).unwrap();
    for number in 0..opened.page_count() {
        let page = opened.fetch_pages(&written.bytes[..], &[number]).unwrap().pop().unwrap();
        let (body, _) = page.split_at(page.len() - 4);
        for at in 0..body.len() {
            for flip in [1, 2, 0x40, 0x80, 0xff] {
                let mut lie = body.to_vec();
                lie[at] ^= flip;
                let crc = crc32c::crc32c_append(crc32c::crc32c(&lie), &number.to_le_bytes());
                lie.extend_from_slice(&crc.to_le_bytes());
                if let Ok(page) = opened.page(number, &lie) {
                    assert!(page.text().len() <= super::super::limits::PAGE_TEXT_BYTES_MAX);
                    assert_eq!(page.lines().map(|line| line.rows.len()).sum::<usize>(), page.rows.len());
                }
            }
        }
    }
}

fn in_zoo(source: &Arc<Source>, number: u32, line: Vec<u8>) -> OwnedEvent {
    OwnedEvent {
        source: source.clone(),
        offset: u64::from(number) * 100,
        time: Timestamp(0),
        level: Level::Info,
        flags: Flags::NONE,
        file_length: line.len() as u32,
        line,
    }
}

#[test]
fn without_its_templates_a_block_gives_what_is_left() {
    let mut events = small();
    // Bytes no template is found in: a page of plain lines.
    events.extend((0u32..200).map(|number| {
        let mut state = number.wrapping_mul(2_654_435_761);
        let mut byte = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            Some((state >> 16) as u8).filter(|&byte| byte != b'\n').unwrap_or(0)
        };
        in_zoo(&source(9, 9, "zoo", "zebra"), number, (0..40).map(|_| byte()).collect())
    }));
    // And lines that are told by templates.
    events.extend((0u32..400).map(|number| {
        let line = format!("user {} went to 10.0.{}.7 and came back after {} ms", number % 7, number % 11, number * 31);
        in_zoo(&source(8, 8, "zoo", "yak"), number, line.into_bytes())
    }));
    let written = write(&events, 4000);
    let whole = Opened::open(&written.bytes[..]).unwrap();
    for part in [Part::Templates, Part::Tallies] {
        let mut bytes = written.bytes.clone();
        let place = super::super::footer::SECTIONS.iter().position(|&section| section == part).unwrap();
        let section = whole.footer.sections[place];
        bytes[section.at as usize + section.packed as usize / 2] ^= 1;
        let opened = Opened::open(&bytes[..]).unwrap();
        let named = |why: &BlockError| matches!(why, BlockError::Damaged { part: named, .. } if *named == part);
        assert!(named(&opened.verify(&bytes[..]).unwrap_err()));
        let (mut read, mut refused) = (0, 0);
        for number in 0..opened.page_count() {
            match opened.read_page(&bytes[..], number) {
                Ok(page) => {
                    read += 1;
                    assert!(page.lines().all(|line| event_of(&opened, &page, &line).is_some()));
                }
                Err(why) => {
                    refused += 1;
                    assert!(named(&why), "{why}");
                }
            }
        }
        assert!(read > 0 && (refused > 0) == (part == Part::Templates), "{part}: {read} read, {refused} not");
        let counted = count(&opened, &bytes[..], &parse("zebra OR took").unwrap(), TimeRange::ALL, &GO);
        match part {
            Part::Tallies => assert_eq!(counted, Ok(10)),
            _ => assert!(named(&counted.unwrap_err())),
        }
    }
}
