//! `tailbuck porter block`: makes, reads and checks block files without a cluster.
//!
//! For people who want to see what a block does with their lines, and for tests. Lines go to a pipe byte for byte;
//! on a terminal control characters are shown, never obeyed. What is damaged is named and the rest goes on.

mod file;
mod pack;
mod stat;

use crate::args::{BlockCommand, BlockSearch};
use crate::exit::Outcome;
use crate::progress::Progress;
use anyhow::{Context, anyhow, bail};
use file::BlockFile;
use porter::block::beside::side_by_side_with;
use porter::block::count::{Hands, count_lines};
use porter::block::page::{Page, PageReader};
use porter::block::search::{Hits, Step, hits};
use porter::block::verify::damages;
use porter::block::{Ask, BlockError, Candidates, Opened, Search};
use proto::event::Flags;
use proto::query::{TimeRange, parse};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Pages read at once by `cat`: a few for each thread.
const PAGES_AT_ONCE: usize = 16;

pub fn run(command: &BlockCommand) -> anyhow::Result<Outcome> {
    match command {
        BlockCommand::Pack(pack) => pack::run(pack),
        BlockCommand::Cat(one) => cat(&one.block),
        BlockCommand::Search(search) if search.count => count(search),
        BlockCommand::Search(search) => find(search),
        BlockCommand::Stat(one) => stat::run(&one.block),
        BlockCommand::Verify(one) => verify(&one.block),
    }
}

fn open(path: &Path) -> anyhow::Result<(Opened, BlockFile)> {
    let file = BlockFile::open(path)?;
    let opened = Opened::open(&file).with_context(|| path.display().to_string())?;
    Ok((opened, file))
}

/// Reads pages side by side, with what `look` makes of each.
fn read_pages<T: Send>(
    (opened, file): &(Opened, BlockFile),
    numbers: &[u32],
    look: impl Fn(u32, &Page) -> Result<T, BlockError> + Sync,
) -> Vec<Result<T, BlockError>> {
    side_by_side_with(threads(), numbers, PageReader::default, |reader, &number| {
        let bytes = opened.fetch_pages(file, &[number])?.pop().unwrap_or_default();
        look(number, reader.read(opened, number, &bytes)?)
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Complains of what is damaged as it is met; in the end it makes the exit code.
#[derive(Default)]
struct Trouble {
    count: usize,
}

impl Trouble {
    #[expect(clippy::print_stderr, reason = "answers go to stdout, what is said about them to stderr")]
    fn note(&mut self, path: &Path, why: &BlockError) {
        self.count += 1;
        eprintln!("tailbuck: {}: {why}", path.display());
    }

    fn end(&self, path: &Path, outcome: Outcome) -> anyhow::Result<Outcome> {
        match self.count {
            0 => Ok(outcome),
            count => bail!("{}: {count} damaged pages were left out", path.display()),
        }
    }
}

fn cat(path: &Path) -> anyhow::Result<Outcome> {
    let block = open(path)?;
    let mut out = BufWriter::with_capacity(1 << 18, io::stdout());
    let (mut trouble, mut progress) = (Trouble::default(), Progress::of_printing("reading"));
    let numbers: Vec<u32> = (0..block.0.page_count()).collect();
    for numbers in numbers.chunks(PAGES_AT_ONCE) {
        for (number, bytes) in numbers.iter().zip(read_pages(&block, numbers, |_, page| Ok(bytes_of(page)))) {
            match bytes {
                Ok(bytes) => put(&mut out, &bytes)?,
                Err(why) => trouble.note(path, &why),
            }
            let end = block.0.pages.get(*number as usize).map_or(0, |page| page.range().end);
            progress.at(end, block.0.footer.leaves.start);
        }
    }
    out.flush()?;
    trouble.end(path, Outcome::Done)
}

/// Every event's bytes, and a newline where one stood.
fn bytes_of(page: &Page) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(page.text().len());
    for (row, line) in page.events() {
        bytes.extend_from_slice(line);
        if !row.flags.has(Flags::CONTINUES) && !row.flags.has(Flags::NEWLINE_ABSENT) {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// To a pipe as it is; to a terminal line by line, nothing in them obeyed.
fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return out.write_all(bytes);
    }
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let shown = line.strip_suffix(b"\n").unwrap_or(line);
        out.write_all(web::clean::shown(shown).as_bytes())?;
        out.write_all(if shown.len() < line.len() { b"\n" } else { b"" })?;
    }
    Ok(())
}

fn ask_of(search: &BlockSearch) -> anyhow::Result<Ask> {
    let query = parse(&search.query).map_err(|why| anyhow!("query: {why}"))?;
    Ok(Ask { limit: search.limit, order: proto::message::SearchOrder::File, ..Ask::all(query) })
}

fn find(typed: &BlockSearch) -> anyhow::Result<Outcome> {
    let ask = ask_of(typed)?;
    let block = open(&typed.block)?;
    let (opened, file) = &block;
    let candidates =
        Candidates::find(opened, file, &ask.query, ask.range).with_context(|| typed.block.display().to_string())?;
    let mut search = Search::new(opened, ask.clone(), &candidates);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    let mut printed = 0u64;
    let (mut trouble, mut progress, mut done) = (Trouble::default(), Progress::of_printing("searching"), 0);
    let go = AtomicBool::new(false);
    loop {
        match search.step() {
            Step::Done => break,
            Step::Event(event) => {
                put(&mut out, &event.line)?;
                out.write_all(b"\n")?;
                printed += 1;
            }
            Step::Pages(numbers) => {
                let found = read_pages(&block, &numbers, |number, page| hits(opened, number, page, &ask, &go));
                for (&number, found) in numbers.iter().zip(found) {
                    let found = found.unwrap_or_else(|why| {
                        trouble.note(&typed.block, &why);
                        Hits::default()
                    });
                    search.give(number, found);
                    done += opened.pages.get(number as usize).map_or(0, |page| u64::from(page.length));
                }
                progress.at(done, candidates.bytes);
            }
        }
    }
    out.flush()?;
    trouble.end(&typed.block, if printed > 0 { Outcome::Done } else { Outcome::Nothing })
}

fn count(typed: &BlockSearch) -> anyhow::Result<Outcome> {
    let ask = ask_of(typed)?;
    let block = open(&typed.block)?;
    let (opened, file) = &block;
    let (go, mut trouble) = (AtomicBool::new(false), Trouble::default());
    let hands = Hands { threads: threads(), cancel: &go };
    let counted = count_lines(&[(opened, file)], &ask.query, TimeRange::ALL, hands);
    counted.trouble.iter().for_each(|why| trouble.note(&typed.block, why));
    let counted = counted.counts;
    let counted = typed.limit.map_or(counted, |limit| counted.min(limit as u64));
    writeln!(io::stdout(), "{counted}")?;
    trouble.end(&typed.block, if counted > 0 { Outcome::Done } else { Outcome::Nothing })
}

fn verify(path: &Path) -> anyhow::Result<Outcome> {
    let file = BlockFile::open(path)?;
    let mut progress = Progress::new("checking");
    let damages = damages(&file, |done, all| progress.at(done, all)).with_context(|| path.display().to_string())?;
    drop(progress);
    for damage in &damages {
        writeln!(io::stdout(), "{damage}")?;
    }
    Ok(if damages.is_empty() { Outcome::Done } else { Outcome::Nothing })
}
