//! What one query has to look at: packets, by where they lie and what is known of them without opening.

use crate::filter::{Filter, Sieve};
use crate::place::Place;
use proto::event::TimeOrder;
use proto::ids::{NodeId, PacketId, StreamId};
use proto::message::{Heard, SearchOrder, Want};
use proto::packet::TimeSpan;
use proto::query::Query;
use proto::time::Timestamp;
use std::sync::Arc;

/// A question, read and checked, and the packets that may hold its answer.
#[derive(Debug)]
pub struct Plan {
    pub question: Question,
    pub packets: Vec<Planned>,
    /// Whom this buck has heard, for the end of the answer.
    pub heard: Vec<Heard>,
}

#[derive(Clone, Debug)]
pub struct Question {
    pub query: Query,
    /// Of event time, the end not included.
    pub from: Timestamp,
    pub to: Timestamp,
    pub order: SearchOrder,
    pub want: Want,
    pub after: Option<TimeOrder>,
}

/// One packet, as the index knows it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub id: PacketId,
    pub place: Place,
    pub times: TimeSpan,
    /// The streams it holds a part of.
    pub segments: Arc<[Segment]>,
    pub filter: Option<Arc<Filter>>,
}

/// A packet's part of one stream, from its first byte to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub stream: StreamId,
    pub from: u64,
    /// Not included.
    pub to: u64,
}

/// A place in an answer: what has the lower rank comes first. Newest first is the same order with every part of it
/// turned around, so that one comparison does for all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(i64, u64, u128, u64);

impl Rank {
    #[must_use]
    pub fn of(order: SearchOrder, at: &TimeOrder) -> Self {
        let stream = u128::from_be_bytes(at.stream.0);
        match order {
            SearchOrder::Newest => Self(!at.time.0, !at.tailer.0, !stream, !at.offset),
            SearchOrder::Oldest => Self(at.time.0, at.tailer.0, stream, at.offset),
            SearchOrder::File => Self(0, at.tailer.0, stream, at.offset),
        }
    }

    /// The time all ranks from here on are at or after, in the order asked for.
    #[must_use]
    pub fn time(self, order: SearchOrder) -> Option<Timestamp> {
        match order {
            SearchOrder::Newest => Some(Timestamp(!self.0)),
            SearchOrder::Oldest => Some(Timestamp(self.0)),
            SearchOrder::File => None,
        }
    }
}

impl Planned {
    /// No event of this packet comes before the first, none after the second.
    #[must_use]
    pub fn ranks(&self, order: SearchOrder) -> (Rank, Rank) {
        match order {
            SearchOrder::Newest => (Rank(!self.times.last.0, 0, 0, 0), most(!self.times.first.0)),
            SearchOrder::Oldest => (Rank(self.times.first.0, 0, 0, 0), most(self.times.last.0)),
            SearchOrder::File => self.file_ranks(self.id.tailer),
        }
    }

    fn file_ranks(&self, tailer: NodeId) -> (Rank, Rank) {
        let rank = |stream: StreamId, offset| Rank(0, tailer.0, u128::from_be_bytes(stream.0), offset);
        let first = self.segments.iter().map(|segment| rank(segment.stream, segment.from)).min();
        let last = self.segments.iter().map(|segment| rank(segment.stream, segment.to)).max();
        (first.unwrap_or(Rank(0, 0, 0, 0)), last.unwrap_or(most(0)))
    }

    /// Whether anything of it can be in the answer, as far as can be told without opening it.
    #[must_use]
    pub fn may_hold(&self, question: &Question, sieve: &Sieve, after: Option<Rank>) -> bool {
        let in_time = self.times.last >= question.from && self.times.first < question.to;
        let not_past = after.is_none_or(|after| self.ranks(question.order).1 > after);
        let sifted = self.filter.as_ref().is_none_or(|filter| sieve.lets_through(filter));
        in_time && not_past && sifted
    }
}

fn most(first: i64) -> Rank {
    Rank(first, u64::MAX, u128::MAX, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_place() -> impl Strategy<Value = TimeOrder> {
        let time = prop_oneof![Just(i64::MIN), Just(i64::MAX), -2i64..2];
        (time, 0u64..3, 0u8..3, 0u64..3).prop_map(|(time, tailer, stream, offset)| TimeOrder {
            time: Timestamp(time),
            tailer: NodeId(tailer),
            stream: StreamId([stream; 16]),
            offset,
        })
    }

    proptest! {
        #[test]
        fn ranks_are_the_order_answers_have(one in any_place(), other in any_place()) {
            for order in [SearchOrder::Newest, SearchOrder::Oldest, SearchOrder::File] {
                let ranks = Rank::of(order, &one).cmp(&Rank::of(order, &other));
                prop_assert_eq!(ranks, order.compare(&one, &other));
            }
        }
    }
}
