//! Blocks, damaged: as they are, and behind their checksums, which are made whole again around what was damaged.

use porter::block::count::count;
use porter::block::footer::{Footer, SECTIONS, Section};
use porter::block::page::PageReader;
use porter::block::verify::damages;
use porter::block::{Ask, Candidates, Opened, Search, context};
use proto::query::{TimeRange, parse};
use std::hint::black_box;
use std::sync::atomic::AtomicBool;

pub const GOLDEN: &[u8] = include_bytes!("../../../../porter/src/testdata/block-1.tbk");

static GO: AtomicBool = AtomicBool::new(false);

/// All that is done with a block.
pub fn whole(bytes: &[u8]) {
    let _ = black_box(damages(bytes, |_, _| ()));
    let Ok(opened) = Opened::open(bytes) else { return };
    for text in ["", "error", "10", "/[0-9]+ [a-z]/", "-a", "level:error OR 'GET /'", "a12"] {
        let Ok(query) = parse(text) else { continue };
        let _ = black_box(count(&opened, bytes, &query, TimeRange::ALL, &GO));
        let ask = Ask { limit: Some(50), ..Ask::all(query) };
        let Ok(candidates) = Candidates::find(&opened, bytes, &ask.query, ask.range) else { continue };
        let mut search = Search::new(&opened, ask, &candidates);
        while let Ok(Some(event)) = search.next(&opened, bytes, &GO) {
            let name = (event.source.tailer, event.source.stream);
            let _ = black_box(context::context(&opened, bytes, name, event.offset, 2, 2));
        }
    }
}

fn golden_parts() -> Option<(Footer, &'static [u8])> {
    let footer = Footer::read(GOLDEN, GOLDEN.len() as u64).ok()?;
    let directory = GOLDEN.get(usize::try_from(footer.directory_at()).ok()?..)?;
    Some((footer, directory))
}

/// Each section, unpacked, behind the number it has.
pub fn sections() -> Vec<Vec<u8>> {
    let Some((footer, directory)) = golden_parts() else { return Vec::new() };
    let section = |(number, &part): (u8, _)| Some([vec![number], footer.section(part, directory).ok()?].concat());
    (0u8..).zip(&SECTIONS).filter_map(section).collect()
}

/// A good block with one section in place of its own.
pub fn section(bytes: &[u8]) {
    let (Some((footer, directory)), Some((&number, content))) = (golden_parts(), bytes.split_first()) else { return };
    let Ok(start) = usize::try_from(footer.directory_at()) else { return };
    let mut block = GOLDEN[..start].to_vec();
    let mut sections = footer.sections;
    for (at, (part, section)) in SECTIONS.iter().zip(&mut sections).enumerate() {
        let own = footer.section(*part, directory).unwrap_or_default();
        let plain = if at == usize::from(number) % SECTIONS.len() { content } else { own.as_slice() };
        let Ok(length) = u32::try_from(plain.len()) else { return };
        *section = Section { at: block.len() as u64, packed: length, bytes: length, crc: crc32c::crc32c(plain) };
        block.extend_from_slice(plain);
    }
    Footer { sections, ..footer }.put(&mut block);
    whole(&block);
}

/// The first page of the golden block, its frames not squeezed, and without its checksum.
pub fn pages() -> Vec<Vec<u8>> {
    let Ok(opened) = Opened::open(GOLDEN) else { return Vec::new() };
    let plain = |number: u32| {
        let bytes = opened.fetch_pages(GOLDEN, &[number]).ok()?.pop()?;
        let mut reader = PageReader::default();
        let frames = reader.frames(&opened, number, &bytes).ok()?;
        let mut page = vec![*bytes.first()?];
        proto::field::put_count(&mut page, opened.pages.get(number as usize)?.events as usize);
        for frame in frames {
            proto::field::put_count(&mut page, frame.len());
            proto::field::put_count(&mut page, frame.len());
        }
        frames.iter().for_each(|frame| page.extend_from_slice(frame));
        Some(page)
    };
    (0..opened.page_count()).filter_map(plain).collect()
}

/// A page whose checksum fits whatever it holds.
pub fn page(bytes: &[u8]) {
    let Ok(opened) = Opened::open(GOLDEN) else { return };
    let mut page = bytes.to_vec();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&page), &0u32.to_le_bytes());
    page.extend_from_slice(&crc.to_le_bytes());
    let mut reader = PageReader::default();
    if let Ok(page) = reader.read(&opened, 0, &page) {
        black_box(page.lines().map(|line| line.bytes.len()).sum::<usize>());
    }
}
