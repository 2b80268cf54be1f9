//! A search over many blocks of a shelf opens those it needs, and few of them at once.

use super::*;
use crate::catalog::Catalog;
use crate::catalog::tests::filled_with;
use proto::event::TimeOrder;
use proto::query::{TimeRange, parse};
use proto::time::Timestamp;
use std::sync::Mutex;

const BUCKETS: u64 = 30;

/// A catalogue that remembers which blocks were opened.
struct Counting<'a> {
    catalog: &'a Catalog,
    opened: Mutex<BTreeSet<BlockAt>>,
}

impl Blocks for Counting<'_> {
    type Bytes = <Catalog as Blocks>::Bytes;

    fn open(&self, block: &BlockAt) -> Result<Arc<Opened>, BlockError> {
        self.opened.lock().unwrap().insert(block.clone());
        Blocks::open(self.catalog, block)
    }

    fn bytes_of(&self, block: &BlockAt) -> Self::Bytes {
        self.catalog.bytes_of(block)
    }

    fn told_apart(&self, blocks: &[(BlockAt, Block)]) -> BTreeMap<BlockAt, Earlier> {
        self.catalog.told_apart(blocks)
    }

    fn file_places(
        &self,
        blocks: &BTreeSet<BlockAt>,
        after: Option<&TimeOrder>,
    ) -> BTreeMap<BlockAt, Option<TimeOrder>> {
        self.catalog.file_places(blocks, after)
    }
}

/// Lines file by file from behind a place, at most so many; how many blocks were opened, and the most at once.
fn by_file(catalog: &Catalog, query: &str, after: Option<TimeOrder>, limit: usize) -> (Vec<OwnedEvent>, usize, usize) {
    let counting = Counting { catalog, opened: Mutex::default() };
    let versions: Vec<_> = catalog.manifests().iter().map(|manifest| manifest.shard_version()).collect();
    let blocks = catalog.snapshot(&versions, Timestamp::MIN, Timestamp::MAX).unwrap();
    let cancel = AtomicBool::new(false);
    let (query, range, order) = (parse(query).unwrap(), TimeRange::ALL, SearchOrder::File);
    let mut merged = Merged::new(&counting, blocks, Ask { query, range, order, after, limit: Some(limit) }, &cancel);
    let (mut lines, mut most) = (Vec::new(), 0);
    while lines.len() < limit {
        let Some(line) = merged.next(|| ControlFlow::Continue(())) else { break };
        most = most.max(merged.parts.len());
        lines.push(line);
    }
    assert!(merged.trouble.is_empty(), "{:?}", merged.trouble);
    assert!(merged.progress.pages_done <= merged.progress.pages, "{:?}", merged.progress);
    assert_eq!(merged.is_exhausted(), lines.len() < limit);
    drop(merged);
    (lines, counting.opened.into_inner().unwrap().len(), most)
}

#[test]
fn file_by_file_blocks_are_opened_when_they_could_be_next_and_few_at_once() {
    let here = filled_with("by-file", BUCKETS);
    let (first, opened, _) = by_file(&here.catalog, "", None, 5);
    assert_eq!(first.len(), 5);
    assert!(opened <= BEGUN_AT_ONCE, "{opened} blocks for five lines");
    let (all, opened, most) = by_file(&here.catalog, "", None, usize::MAX);
    assert_eq!((all.len() as u64, opened as u64), (BUCKETS * 203, BUCKETS));
    assert!(most <= OPEN_MAX + BEGUN_AT_ONCE, "{most} blocks open at once");
    let place = |line: &OwnedEvent| (line.source.tailer, line.source.stream, line.offset);
    assert!(all.is_sorted_by(|one, other| place(one) < place(other)), "each once, in the order of files");
    let (needles, _, _) = by_file(&here.catalog, "needle", None, usize::MAX);
    assert_eq!(needles.len() as u64, BUCKETS);
    let middle = all[all.len() / 2].borrow().order();
    let (rest, opened, _) = by_file(&here.catalog, "", Some(middle), 10);
    assert_eq!(rest, all[all.len() / 2 + 1..][..10]);
    assert!(opened <= BEGUN_AT_ONCE, "{opened} blocks for ten lines from the middle");
}
