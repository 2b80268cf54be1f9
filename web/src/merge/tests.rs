use super::*;
use proptest::prelude::*;
use proto::event::{Flags, Level, Source};
use proto::ids::{Environment, StreamId};
use proto::message::{End, Heard, Row};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

const PATIENCE: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(100);

pub(crate) fn source(tailer: u64, stream: u8) -> Source {
    Source {
        tailer: NodeId(tailer),
        environment: Environment::default(),
        stream: StreamId([stream; 16]),
        host: format!("host-{tailer}"),
        app: "app".into(),
        path: "/var/log/app.log".into(),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
    }
}

pub(crate) fn event(time: i64, tailer: u64, stream: u8, offset: u64) -> OwnedEvent {
    OwnedEvent {
        source: Arc::new(source(tailer, stream)),
        offset,
        time: Timestamp(time),
        level: Level::Info,
        flags: Flags::NONE,
        file_length: 4,
        line: format!("{offset:04}").into_bytes(),
    }
}

pub(crate) fn row(event: &OwnedEvent, source: u32) -> Row {
    Row {
        source,
        offset: event.offset,
        time: event.time,
        level: event.level,
        flags: event.flags,
        file_length: event.file_length,
        line: event.line.clone(),
    }
}

fn end(exhausted: bool) -> Part {
    Part::End(End { exhausted, progress: Progress::default(), heard: Vec::new(), trouble: Vec::new() })
}

/// What a node would send for its next page of `page` rows, cut into parts of `cut` rows.
fn parts(
    events: &[OwnedEvent],
    order: SearchOrder,
    after: Option<TimeOrder>,
    page: usize,
    cut: usize,
) -> VecDeque<Part> {
    let mut sorted: Vec<&OwnedEvent> = events.iter().collect();
    sorted.sort_by(|one, other| before(order, one, other));
    sorted.retain(|e| after.is_none_or(|after| order.compare(&e.borrow().order(), &after) == Ordering::Greater));
    let exhausted = sorted.len() <= page;
    let mut out = VecDeque::new();
    let mut named = 0;
    for few in sorted[..sorted.len().min(page)].chunks(cut) {
        out.push_back(Part::Sources(few.iter().map(|e| Source::clone(&e.source)).collect()));
        out.push_back(Part::Rows(few.iter().zip(named..).map(|(e, index)| row(e, index)).collect()));
        named += few.len() as u32;
        let settled = few.last().map(|e| e.time);
        out.push_back(Part::Progress(Progress { settled, ..Progress::default() }));
    }
    out.push_back(end(exhausted));
    out
}

#[derive(Clone, Debug)]
struct Planted {
    time: i64,
    tailer: u64,
    stream: u8,
    offset: u64,
    /// Which nodes hold it, a bit each; never none.
    holders: u8,
}

fn planted() -> impl Strategy<Value = Planted> {
    (-5..5i64, 0..3u64, 0..2u8, 0..40u64, 1..16u8).prop_map(|(time, tailer, stream, offset, holders)| Planted {
        // An event has one time, whoever holds it.
        time: time.wrapping_mul(i64::try_from(offset % 7).unwrap_or(0)),
        tailer,
        stream,
        offset,
        holders,
    })
}

fn order() -> impl Strategy<Value = SearchOrder> {
    prop_oneof![Just(SearchOrder::Newest), Just(SearchOrder::Oldest), Just(SearchOrder::File)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_interleaving_of_copies_and_cuts_gives_the_sorted_set(
        plants in prop::collection::vec(planted(), 0..120),
        order in order(),
        page in 1..50usize,
        cut in 1..9usize,
        turns in prop::collection::vec(any::<u8>(), 1..64),
        resume_at in prop::option::of(0..60usize),
    ) {
        let mut wanted: Vec<OwnedEvent> = Vec::new();
        let mut held: Vec<Vec<OwnedEvent>> = vec![Vec::new(); 4];
        let mut names = BTreeSet::new();
        for plant in &plants {
            let event = event(plant.time, plant.tailer, plant.stream, plant.offset);
            if !names.insert(event.borrow().id()) { continue; }
            for (node, events) in held.iter_mut().enumerate() {
                if plant.holders & (1 << node) != 0 { events.push(event.clone()); }
            }
            wanted.push(event);
        }
        wanted.sort_by(|one, other| before(order, one, other));
        let skipped = resume_at.unwrap_or(0).min(wanted.len());
        let after = skipped.checked_sub(1).map(|at| wanted[at].borrow().order());
        let got = drive(&held, order, after, page, cut, &turns);
        prop_assert_eq!(got, wanted[skipped..].to_vec());
    }
}

/// Delivers parts node by node as `turns` says until the merge is finished.
fn drive(
    held: &[Vec<OwnedEvent>],
    order: SearchOrder,
    after: Option<TimeOrder>,
    page: usize,
    cut: usize,
    turns: &[u8],
) -> Vec<OwnedEvent> {
    let mut merge = Merge::new(order, after, PATIENCE);
    let mut wires: Vec<VecDeque<Part>> = Vec::new();
    for (node, events) in held.iter().enumerate() {
        merge.add(NodeId(node as u64), START);
        wires.push(parts(events, order, after, page, cut));
    }
    let mut got = Vec::new();
    let mut turn = 0;
    loop {
        match merge.step(START) {
            Step::Event(event) => got.push(event),
            Step::Ask { node, after } => {
                wires[node.0 as usize] = parts(&held[node.0 as usize], order, after, page, cut);
            }
            Step::Finished => return got,
            Step::Wait => {
                let node = usize::from(turns[turn % turns.len()]) % wires.len();
                turn += 1;
                let next = (0..wires.len()).map(|by| (node + by) % wires.len()).find(|node| !wires[*node].is_empty());
                let node = next.expect("a merge that waits has somebody to wait for");
                let part = wires[node].pop_front().expect("not empty");
                merge.on_part(START, NodeId(node as u64), part);
            }
        }
    }
}

fn two_nodes() -> Merge {
    let mut merge = Merge::new(SearchOrder::Newest, None, PATIENCE);
    merge.add(NodeId(1), START);
    merge.add(NodeId(2), START);
    let one = event(7, 1, 1, 0);
    merge.on_part(START, NodeId(1), Part::Sources(vec![source(1, 1)]));
    merge.on_part(START, NodeId(1), Part::Rows(vec![row(&one, 0)]));
    merge.on_part(START, NodeId(1), end(true));
    merge
}

#[test]
fn a_silent_node_is_waited_for_and_then_set_aside() {
    let mut merge = two_nodes();
    assert_eq!(merge.step(START), Step::Wait);
    assert_eq!(merge.next_timeout(), Some(START + PATIENCE));
    merge.on_timeout(START + PATIENCE - Duration::from_nanos(1));
    assert_eq!(merge.step(START), Step::Wait);
    merge.on_timeout(START + PATIENCE);
    assert!(matches!(merge.step(START + PATIENCE), Step::Event(_)));
    assert_eq!(merge.step(START + PATIENCE), Step::Finished);
    let fates = merge.fates();
    assert_eq!(fates[&NodeId(2)], Fate::Away { why: Away::Silent, reached: None });
    assert!(matches!(fates[&NodeId(1)], Fate::Answered(_)));
}

#[test]
fn a_node_that_settled_further_on_blocks_nobody() {
    let mut merge = two_nodes();
    let progress = |settled| Part::Progress(Progress { settled: Some(Timestamp(settled)), ..Progress::default() });
    merge.on_part(START, NodeId(2), progress(7));
    assert_eq!(merge.step(START), Step::Wait, "it may still bring one at 7 itself");
    merge.on_part(START, NodeId(2), progress(6));
    assert!(matches!(merge.step(START), Step::Event(_)));
    assert_eq!(merge.settled(), Some(Timestamp(6)));
    merge.on_part(START, NodeId(2), end(true));
    assert_eq!(merge.step(START), Step::Finished);
}

#[test]
fn whom_a_node_has_heard_is_known_before_its_end() {
    let mut merge = two_nodes();
    let fate = |merge: &Merge| merge.fates().remove(&NodeId(2));
    assert_eq!(fate(&merge), Some(Fate::Cut { end: None }));
    let heard = Heard { tailer: NodeId(7), environment: Environment::default(), at: Timestamp(1), filed: Timestamp(2) };
    merge.on_part(START, NodeId(2), Part::Heard(vec![heard.clone()]));
    assert!(matches!(fate(&merge), Some(Fate::Cut { end: Some(end) }) if end.heard == [heard.clone()]));
    merge.on_part(START, NodeId(2), end(true));
    assert!(matches!(fate(&merge), Some(Fate::Answered(end)) if end.heard == [heard]));
}

#[test]
fn nonsense_sets_a_node_aside_and_is_named() {
    let older = row(&event(3, 1, 1, 9), 0);
    let newer = row(&event(4, 1, 1, 9), 0);
    for (parts, why) in [
        (vec![Part::Rows(vec![older.clone()])], "a row from a source it did not name"),
        (vec![Part::Sources(vec![source(1, 1)]), Part::Rows(vec![older, newer])], "rows out of order"),
        (vec![Part::Dropped(1)], "a part that is no part of a search"),
        (vec![end(false)], "a page that brought nothing and is not the last"),
    ] {
        let mut merge = Merge::new(SearchOrder::Newest, None, PATIENCE);
        merge.add(NodeId(1), START);
        for part in parts {
            merge.on_part(START, NodeId(1), part);
        }
        let Fate::Away { why: Away::Nonsense(said), .. } = &merge.fates()[&NodeId(1)] else { panic!("{why}") };
        assert_eq!(*said, why);
    }
}

#[test]
fn a_copy_filed_again_at_another_time_is_still_a_copy() {
    let mut merge = Merge::new(SearchOrder::Oldest, None, PATIENCE);
    merge.add(NodeId(1), START);
    let (first, again, other) = (event(1, 1, 1, 0), event(2, 1, 1, 0), event(2, 1, 1, 5));
    merge.on_part(START, NodeId(1), Part::Sources(vec![source(1, 1)]));
    merge.on_part(START, NodeId(1), Part::Rows(vec![row(&first, 0), row(&again, 0), row(&other, 0)]));
    merge.on_part(START, NodeId(1), end(true));
    assert_eq!(merge.step(START), Step::Event(first));
    assert_eq!(merge.step(START), Step::Event(other));
    assert_eq!(merge.step(START), Step::Finished);
}

#[test]
fn one_place_with_two_contents_shows_both() {
    let mut merge = Merge::new(SearchOrder::Newest, None, PATIENCE);
    let one = event(1, 1, 1, 0);
    let other = OwnedEvent { line: b"else".to_vec(), ..one.clone() };
    for (node, event) in [(1, &one), (2, &other)] {
        merge.add(NodeId(node), START);
        merge.on_part(START, NodeId(node), Part::Sources(vec![source(1, 1)]));
        merge.on_part(START, NodeId(node), Part::Rows(vec![row(event, 0)]));
        merge.on_part(START, NodeId(node), end(true));
    }
    assert!(matches!(merge.step(START), Step::Event(_)));
    assert!(matches!(merge.step(START), Step::Event(_)));
    assert_eq!(merge.step(START), Step::Finished);
}
