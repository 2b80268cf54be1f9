//! When a block of a search could be next: the first moment, or the first place in the files, that anything of it has.

use super::Blocks;
use crate::block::Ask;
use crate::manifest::Block;
use crate::names::BlockAt;
use proto::event::TimeOrder;
use proto::ids::{NodeId, StreamId};
use proto::message::SearchOrder;
use proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The blocks of a search, the one that could be next first. Those that have nothing to say are left out.
pub(super) fn waiting<C: Blocks>(
    catalog: &C,
    blocks: Vec<(BlockAt, Block)>,
    ask: &Ask,
) -> VecDeque<(TimeOrder, BlockAt)> {
    let places = match ask.order {
        SearchOrder::Newest | SearchOrder::Oldest => BTreeMap::new(),
        SearchOrder::File => {
            let names: BTreeSet<BlockAt> = blocks.iter().map(|(at, _)| at.clone()).collect();
            catalog.file_places(&names, ask.after.as_ref())
        }
    };
    let bound = |(at, block): (BlockAt, Block)| {
        let bound = match places.get(&at) {
            Some(place) => file_place(place.as_ref()?),
            None => TimeOrder { time: time_bound(&block, ask.order), ..FIRST },
        };
        Some((bound, at))
    };
    let mut waiting: Vec<_> = blocks.into_iter().filter_map(bound).collect();
    waiting.sort_unstable();
    waiting.dedup();
    if ask.order == SearchOrder::Newest {
        waiting.reverse();
    }
    waiting.into()
}

/// Before all others.
const FIRST: TimeOrder = TimeOrder { time: Timestamp::MIN, tailer: NodeId(0), stream: StreamId([0; 16]), offset: 0 };

/// The first moment anything of a block can have in this order.
fn time_bound(block: &Block, order: SearchOrder) -> Timestamp {
    match order {
        SearchOrder::Newest => block.times.iter().map(|span| span.last).max().unwrap_or(Timestamp::MAX),
        SearchOrder::Oldest => block.times.iter().map(|span| span.first).min().unwrap_or(Timestamp::MIN),
        SearchOrder::File => Timestamp::MIN,
    }
}

/// A place in the order of files, in which time says nothing.
pub(super) fn file_place(order: &TimeOrder) -> TimeOrder {
    TimeOrder { time: Timestamp::MIN, ..*order }
}

/// The place in the order of files right before this one; none before the first of all.
pub(super) fn just_before(place: &TimeOrder) -> Option<TimeOrder> {
    let last = StreamId([u8::MAX; 16]);
    if let Some(offset) = place.offset.checked_sub(1) {
        return Some(TimeOrder { offset, ..*place });
    }
    if let Some(stream) = u128::from_be_bytes(place.stream.0).checked_sub(1) {
        return Some(TimeOrder { offset: u64::MAX, stream: StreamId(stream.to_be_bytes()), ..*place });
    }
    let tailer = NodeId(place.tailer.0.checked_sub(1)?);
    Some(TimeOrder { offset: u64::MAX, stream: last, tailer, ..*place })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tailer: u64, stream: u8, offset: u64) -> TimeOrder {
        let mut id = [0; 16];
        id[15] = stream;
        TimeOrder { tailer: NodeId(tailer), stream: StreamId(id), offset, ..FIRST }
    }

    #[test]
    fn the_place_before_is_the_last_that_comes_before() {
        let check = |place: TimeOrder, expected: Option<TimeOrder>| assert_eq!(just_before(&place), expected);
        check(at(3, 2, 9), Some(at(3, 2, 8)));
        check(at(3, 2, 0), Some(at(3, 1, u64::MAX)));
        check(at(3, 0, 0), Some(TimeOrder { stream: StreamId([u8::MAX; 16]), ..at(2, 0, u64::MAX) }));
        check(FIRST, None);
    }
}
