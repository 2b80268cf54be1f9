//! A small shelf in a folder, asked in every way there is.

use super::*;
use crate::block::Ask;
use crate::build::build;
use crate::dedup::Earlier;
use crate::machine::BuildOf;
use crate::manifest::Census;
use crate::names::BucketAt;
use crate::ranges::Ranges as PacketRanges;
use crate::sample::{packet, width};
use crate::search::{Merged, count};
use proto::message::{Completeness, SearchOrder};
use proto::packet::TailMark;
use proto::query::{TimeRange, parse};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

const BUCKET: BucketId = BucketId(5_984_184);

pub(crate) struct Here {
    root: PathBuf,
    pub(crate) catalog: Catalog,
}

impl Drop for Here {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn environment() -> Environment {
    Environment::default()
}

pub(crate) fn here(name: &str) -> Here {
    let root = std::env::temp_dir().join(format!("tailbuck-catalog-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let catalog = Catalog::new(Shelf::folder(&root).unwrap(), width());
    Here { root, catalog }
}

fn lines(count: usize, salt: usize) -> Vec<String> {
    (0..count).map(|at| format!("request {} took {} ms for user-{}", at + salt, at * 7 % 100, at % 13)).collect()
}

/// Puts a bucket with these packets on the shelf, as version 1.
pub(crate) fn put(shelf: &Shelf, bucket: BucketId, packets: Vec<(proto::ids::PacketId, Vec<u8>)>) -> Arc<Manifest> {
    let at = BucketAt { environment: environment(), bucket }.shard(0);
    let mut ranges = PacketRanges::default();
    packets.iter().for_each(|(id, _)| ranges.insert(id));
    let packets = packets.into_iter().map(|(id, bytes)| (id, Arc::from(bytes))).collect();
    let of = BuildOf { at: at.clone(), shards: 1, packets, blocks: Vec::new() };
    let built = build(&of, &Earlier::default(), width()).unwrap().block.unwrap();
    shelf.put_if_absent(&at.block(built.block.name).path(), &built.bytes).unwrap();
    let manifest = Manifest {
        at,
        shards: 1,
        version: 1,
        by: NodeId(50),
        written: Timestamp(0),
        copies: 1,
        blocks: vec![built.block],
        replaced: Vec::new(),
        packets: ranges,
        census: Census::default(),
        completeness: Completeness::default(),
    };
    shelf.put_if_absent(&manifest.at.object(Object::Manifest(1)), &manifest.write()).unwrap();
    Arc::new(manifest)
}

fn filled(name: &str) -> Here {
    filled_with(name, 3)
}

/// Two tailers over so many buckets, the first going on in one stream; the lines' times step with their offsets.
pub(crate) fn filled_with(name: &str, buckets: u64) -> Here {
    let here = here(name);
    let mut offset = 0;
    for number in 0..buckets {
        let bucket = BucketId(BUCKET.0 + number);
        let of_one = lines(200, usize::try_from(number).unwrap() * 200);
        let of_one: Vec<&str> = of_one.iter().map(String::as_str).collect();
        let one = packet(1, 7, bucket, 0, offset, &of_one);
        offset += of_one.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
        let other = packet(2, 8, bucket, 0, number * 1000, &["a needle here", "and nothing else", "request of two"]);
        put(here.catalog.shelf(), bucket, vec![one, other]);
    }
    assert_eq!(here.catalog.refresh("").unwrap().len() as u64, buckets);
    here
}

fn found(here: &Here, query: &str, order: SearchOrder, limit: Option<usize>) -> Vec<String> {
    let range = TimeRange::ALL;
    let ask = Ask { query: parse(query).unwrap(), range, order, after: None, limit };
    let shards = here.catalog.shards(&[environment()], range);
    let versions: Vec<_> = shards.into_iter().map(|shard| shard.at).collect();
    let blocks = here.catalog.snapshot(&versions, range.from, range.to).unwrap();
    let cancel = AtomicBool::new(false);
    let mut merged = Merged::new(&here.catalog, blocks, ask, &cancel);
    let mut lines = Vec::new();
    while limit.is_none_or(|limit| lines.len() < limit) {
        let Some(event) = merged.next(|| ControlFlow::Continue(())) else { break };
        lines.push((event.borrow().order(), String::from_utf8(event.line).unwrap()));
    }
    assert!(lines.is_sorted_by(|a, b| order.compare(&a.0, &b.0).is_le()), "{order:?}");
    assert!(merged.trouble.is_empty(), "{:?}", merged.trouble);
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn lines_of_many_blocks_come_in_one_order() {
    let here = filled("orders");
    for order in [SearchOrder::Newest, SearchOrder::Oldest, SearchOrder::File] {
        assert_eq!(found(&here, "", order, None).len(), 609, "{order:?}");
        assert_eq!(found(&here, "needle", order, None), ["a needle here"; 3]);
        assert_eq!(found(&here, "absent-thing", order, None), [""; 0]);
        assert_eq!(found(&here, "request", order, Some(5)).len(), 5);
        let all = found(&here, "user-3", order, None);
        assert_eq!(all.len(), (0..200).filter(|at| at % 13 == 3).count() * 3);
        assert_eq!(found(&here, "user-3", order, Some(7)), all[..7]);
    }
    let in_file = found(&here, "took", SearchOrder::File, None);
    let numbers: Vec<usize> = in_file.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

/// Pages of one answer, each from behind the one before it, make the whole, and only the last says that it is.
#[test]
fn a_full_page_is_not_the_last_one() {
    let here = filled("pages");
    let versions: Vec<_> = here.catalog.manifests().iter().map(|manifest| manifest.shard_version()).collect();
    let blocks = || here.catalog.snapshot(&versions, Timestamp::MIN, Timestamp::MAX).unwrap();
    let cancel = AtomicBool::new(false);
    for (order, limit) in [(SearchOrder::Newest, 7), (SearchOrder::Oldest, 50), (SearchOrder::File, 199)] {
        let (mut after, mut found) = (None, 0);
        loop {
            let ask = Ask { query: parse("took").unwrap(), range: TimeRange::ALL, order, after, limit: Some(limit) };
            let mut merged = Merged::new(&here.catalog, blocks(), ask, &cancel);
            for _ in 0..limit {
                let Some(event) = merged.next(|| ControlFlow::Continue(())) else { break };
                after = Some(event.borrow().order());
                found += 1;
            }
            assert!(after.is_none_or(|after| merged.next_beside(&after).is_none()));
            if merged.is_exhausted() {
                break;
            }
        }
        assert_eq!(found, 600, "{order:?} by {limit}");
    }
}

#[test]
fn counts_are_those_of_the_rows() {
    let here = filled("counts");
    let shards = here.catalog.shards(&[environment()], TimeRange::ALL);
    let versions: Vec<_> = shards.into_iter().map(|shard| shard.at).collect();
    let blocks = here.catalog.snapshot(&versions, Timestamp::MIN, Timestamp::MAX).unwrap();
    for (query, expected) in [("", 609), ("needle", 3), ("absent-thing", 0), ("level:info request", 603)] {
        let query = parse(query).unwrap();
        let ask = Ask { query, range: TimeRange::ALL, order: SearchOrder::Oldest, after: None, limit: None };
        for step in [0, 1_000_000_000, 60_000_000_000] {
            let (cells, trouble) = count(&here.catalog, &blocks, &BTreeMap::new(), &ask, step, &AtomicBool::new(false));
            assert!(trouble.is_empty());
            assert_eq!(cells.iter().map(|cell| cell.count).sum::<u64>(), expected);
        }
    }
}

/// A tailer without memory filed the same lines in two buckets, and two porters put both.
#[test]
fn a_line_that_stands_in_two_buckets_is_counted_once() {
    let here = filled("doubles");
    let again = lines(200, 0);
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    put(here.catalog.shelf(), BucketId(BUCKET.0 + 9), vec![packet(1, 9, BucketId(BUCKET.0 + 9), 0, 0, &again)]);
    assert_eq!(here.catalog.refresh("").unwrap().len(), 1);
    assert_eq!(here.catalog.take_news().len(), 4, "every refresh of this catalogue is news once");
    let versions: Vec<_> = here.catalog.manifests().iter().map(|manifest| manifest.shard_version()).collect();
    let blocks = here.catalog.snapshot(&versions, Timestamp::MIN, Timestamp::MAX).unwrap();
    let doubles = here.catalog.told_apart(&blocks);
    assert_eq!(doubles.keys().map(|block| block.at.bucket.0).collect::<Vec<_>>(), [BUCKET.0 + 9]);
    for (query, expected) in [("", 609), ("needle", 3), ("took", 600)] {
        let ask = Ask::all(parse(query).unwrap());
        for step in [0, 1_000_000_000, 60_000_000_000] {
            let (cells, trouble) = count(&here.catalog, &blocks, &doubles, &ask, step, &AtomicBool::new(false));
            assert!(trouble.is_empty());
            assert_eq!(cells.iter().map(|cell| cell.count).sum::<u64>(), expected, "{query} by {step}");
        }
        let rows = found(&here, query, SearchOrder::Newest, None);
        assert_eq!(rows.len(), usize::try_from(expected).unwrap(), "{query}");
    }
    assert_eq!(here.catalog.doubles().unwrap().len(), 1);
}

#[test]
fn a_block_that_could_not_be_fetched_is_not_taken_for_an_empty_one() {
    let here = filled("unread");
    let block = here.catalog.manifests()[0].clone();
    let (path, aside) = (here.root.join(block.at.block(block.blocks[0].name).path()), here.root.join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let again = Catalog::new(Shelf::folder(&here.root).unwrap(), width());
    again.refresh("").unwrap();
    let range = StreamRange { tailer: NodeId(1), stream: StreamId([1; 16]), from: 0, to: 10 };
    assert!(again.earlier(&environment(), &[range], &[]).is_err());
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    assert!(!again.earlier(&environment(), &[range], &[]).unwrap().is_empty());
    // What is gone for good keeps nobody from porting.
    std::fs::remove_file(&path).unwrap();
    let third = Catalog::new(Shelf::folder(&here.root).unwrap(), width());
    third.refresh("").unwrap();
    assert!(third.earlier(&environment(), &[range], &[]).unwrap().is_empty());
}

#[test]
fn a_span_of_time_takes_the_blocks_it_touches() {
    let here = filled("spans");
    let start = |bucket: u64| width().start_of(BucketId(bucket));
    let shards = |from, to| here.catalog.shards(&[environment()], TimeRange { from, to }).len();
    assert_eq!(shards(start(BUCKET.0), start(BUCKET.0 + 1)), 1);
    assert_eq!(shards(start(BUCKET.0), start(BUCKET.0 + 2)), 2);
    assert_eq!(shards(start(BUCKET.0 + 9), Timestamp::MAX), 0);
    assert!(here.catalog.shards(&["dev".parse().unwrap()], TimeRange::ALL).is_empty());
}

#[test]
fn an_old_version_is_read_where_it_stands() {
    let here = filled("versions");
    let old = here.catalog.manifests()[0].clone();
    let mut new = (*old).clone();
    new.version = 2;
    new.blocks.clear();
    here.catalog.shelf().put_if_absent(&new.at.object(Object::Manifest(2)), &new.write()).unwrap();
    assert_eq!(here.catalog.refresh("").unwrap().len(), 1);
    let at = |version| ShardVersion { version, ..old.shard_version() };
    let blocks = |version| here.catalog.snapshot(&[at(version)], Timestamp::MIN, Timestamp::MAX);
    assert_eq!((blocks(1).unwrap().len(), blocks(2).unwrap().len()), (1, 0));
    assert!(matches!(blocks(3), Err(CatalogError::Gone(_))));
}

#[test]
fn a_tailer_hears_what_stands_of_its_streams() {
    let here = filled("known");
    let known = here.catalog.known(NodeId(1), None);
    assert_eq!((known.streams.len(), known.more), (1, false));
    let stream = &known.streams[0];
    let all: String = (0..3).flat_map(|number| lines(200, number * 200)).map(|line| line + "\n").collect();
    assert_eq!(stream.extents, [(0, all.len() as u64)]);
    assert_eq!(stream.tail, TailMark::of(all.as_bytes()));
    assert_eq!(stream.path, "/var/log/a.log");
    assert!(here.catalog.known(NodeId(1), Some(stream.stream)).streams.is_empty());
    assert!(here.catalog.known(NodeId(9), None).streams.is_empty());
    let two = here.catalog.known(NodeId(2), None);
    let end = "a needle here\nand nothing else\nrequest of two\n".len() as u64;
    assert_eq!(two.streams[0].extents, [(0, end), (1000, 1000 + end), (2000, 2000 + end)]);
    assert_eq!(two.streams[0].tail, TailMark::default(), "the bytes before are not all here");
}

#[test]
fn what_stands_where_new_events_lie_is_found_exactly() {
    let here = filled("earlier");
    let stream = StreamId([1; 16]);
    let range = |from, to| StreamRange { tailer: NodeId(1), stream, from, to };
    let line = lines(1, 0).remove(0);
    let id = EventId {
        tailer: NodeId(1),
        stream,
        offset: 0,
        length: u32::try_from(line.len()).unwrap(),
        crc: crc32c::crc32c(line.as_bytes()),
    };
    let earlier = |from, to| here.catalog.earlier(&environment(), &[range(from, to)], &[]).unwrap();
    assert!(earlier(0, 10).holds(&id));
    assert!(!earlier(0, 10).holds(&EventId { crc: 1, ..id }));
    assert!(earlier(1 << 30, 1 << 31).is_empty());
    let block = &here.catalog.manifests()[0];
    let also = [block.at.block(block.blocks[0].name)];
    let other = here.catalog.earlier(&"dev".parse().unwrap(), &[range(0, 10)], &also).unwrap();
    assert!(other.holds(&id), "a block no manifest names yet is looked into");
}

#[test]
fn a_damaged_page_holds_no_port_back() {
    let here = filled("page");
    let block = here.catalog.manifests()[1].clone();
    let at = block.at.block(block.blocks[0].name);
    let path = here.root.join(at.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let again = Catalog::new(Shelf::folder(&here.root).unwrap(), width());
    again.refresh("").unwrap();
    let ranges = ranges_of(&again.open(&at).unwrap());
    again.earlier(&environment(), &ranges, &[]).unwrap();
    assert!(again.trouble().iter().any(|line| line.contains(&block.blocks[0].name.to_string())));
}

#[test]
fn a_damaged_block_is_named_and_the_rest_is_found() {
    let here = filled("damage");
    let block = here.catalog.manifests()[1].clone();
    let path = here.root.join(block.at.block(block.blocks[0].name).path());
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let again = Catalog::new(Shelf::folder(&here.root).unwrap(), width());
    again.refresh("").unwrap();
    assert!(again.trouble().iter().any(|line| line.contains(&block.blocks[0].name.to_string())));
    let versions: Vec<_> = again.manifests().iter().map(|manifest| manifest.shard_version()).collect();
    let blocks = again.snapshot(&versions, Timestamp::MIN, Timestamp::MAX).unwrap();
    let ask = Ask::all(parse("needle").unwrap());
    let cancel = AtomicBool::new(false);
    let mut merged = Merged::new(&again, blocks, ask, &cancel);
    let found = std::iter::from_fn(|| merged.next(|| ControlFlow::Continue(()))).count();
    assert_eq!((found, merged.trouble.len()), (2, 1));
    assert!(!again.is_stale(&merged.trouble[0]));
    std::fs::remove_file(&path).unwrap();
    assert!(again.is_stale(&merged.trouble[0]), "a block that is gone asks for another snapshot");
}
