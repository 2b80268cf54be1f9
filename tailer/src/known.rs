//! What is known of streams from elsewhere than the file itself: the spool's own packets, and what bucks and
//! porters answer a tailer that lost its memory.
//!
//! A file is matched to a stream by computing what the stream's name would be: from the file's inode, birth and
//! first line, for every generation there is word of. Whether the file still holds what was read of that stream is
//! then for a look at the bytes before the end.

use crate::follow::{Identity, Mark};
use crate::ranges::Ranges;
use proto::ids::{NodeId, StreamId};
use proto::message::KnownStream;
use proto::packet::{PacketStream, TailMark};
use proto::seal::stream_id;
use std::collections::{BTreeMap, BTreeSet};

/// Streams remembered from elsewhere. A host that had more files than this reads some of them again, under the
/// names they had.
const STREAMS_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    streams: BTreeMap<StreamId, Past>,
    generations: BTreeSet<u32>,
    /// A packet of the spool is missing between others.
    torn: bool,
}

/// What is known of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    pub generation: u32,
    passed: Ranges,
    /// At the greatest end there is word of.
    end: Mark,
    /// The spool's packets follow on one another: what came before its first was receipted and deleted.
    from_spool: Option<u64>,
}

impl Past {
    /// Where the bytes are compared.
    #[must_use]
    pub fn end(&self) -> Mark {
        self.end
    }

    /// Where reading goes on: at the first byte that nobody is known to have. `sure` is how far it surely was read.
    #[must_use]
    pub fn resume_after(&self, sure: u64) -> u64 {
        self.passed.first_gap(sure).max(self.resume())
    }

    /// Where reading goes on when the host went down and files may have lost their ends: only what is told counts.
    #[must_use]
    pub fn resume_surely(&self) -> u64 {
        self.passed.first_gap(0)
    }

    /// Where reading goes on when nothing else is known.
    #[must_use]
    pub fn resume(&self) -> u64 {
        let gap = self.passed.first_gap(0);
        match self.from_spool {
            Some(first) if gap < first => self.passed.first_gap(first),
            _ => gap,
        }
    }

    fn take_in(&mut self, from: u64, to: u64, tail: TailMark, last: bool) {
        self.passed.add(from, to);
        if last && to >= self.end.offset {
            self.end = Mark { offset: to, tail };
        }
    }
}

impl Knowledge {
    fn past(&mut self, stream: StreamId, generation: u32) -> Option<&mut Past> {
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&stream) {
            return None;
        }
        self.generations.insert(generation);
        Some(self.streams.entry(stream).or_insert_with(|| Past { generation, ..Past::default() }))
    }

    fn spooled(&mut self, stream: &PacketStream, whole: bool) {
        let Some(past) = self.past(stream.id, stream.generation) else { return };
        let count = stream.extents.len();
        for (index, extent) in stream.extents.iter().enumerate() {
            if whole {
                past.from_spool.get_or_insert(extent.from);
            }
            past.take_in(extent.from, extent.to, stream.tail, index + 1 == count);
        }
    }

    /// A packet of the spool. `whole`: the one before it in its bucket and run was there.
    pub fn spooled_all(&mut self, streams: &[PacketStream], whole: bool) {
        self.torn |= !whole;
        streams.iter().for_each(|stream| self.spooled(stream, whole));
    }

    /// No packet of the spool was seen to be missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.torn
    }

    /// What a buck or porter says of a stream.
    pub fn heard(&mut self, stream: &KnownStream) {
        let Some(past) = self.past(stream.stream, stream.generation) else { return };
        let count = stream.extents.len();
        for (index, (from, to)) in stream.extents.iter().enumerate() {
            past.take_in(*from, *to, stream.tail, index + 1 == count);
        }
    }

    #[must_use]
    pub fn of(&self, stream: StreamId) -> Option<&Past> {
        self.streams.get(&stream)
    }

    /// The last life of a file there is word of.
    #[must_use]
    pub fn last_life(&self, node: NodeId, identity: &Identity, first_line: &[u8]) -> Option<(StreamId, &Past)> {
        self.generations.iter().rev().find_map(|generation| {
            let stream = stream_id(node, identity.inode, identity.origin(), first_line, *generation);
            self.streams.get(&stream).map(|past| (stream, past))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stream: u8, generation: u32, extents: &[(u64, u64)], tail: &[u8]) -> KnownStream {
        KnownStream {
            stream: StreamId([stream; 16]),
            generation,
            path: String::new(),
            extents: extents.to_vec(),
            tail: TailMark::of(tail),
        }
    }

    #[test]
    fn reading_goes_on_where_nobody_has_the_bytes() {
        let mut knowledge = Knowledge::default();
        knowledge.heard(&heard(1, 0, &[(0, 10), (20, 30)], b"thirty"));
        knowledge.heard(&heard(1, 0, &[(0, 15)], b"fifteen"));
        let past = knowledge.of(StreamId([1; 16])).expect("heard of");
        assert_eq!(past.resume(), 15);
        assert_eq!(past.end(), Mark { offset: 30, tail: TailMark::of(b"thirty") });
        knowledge.heard(&heard(1, 0, &[(15, 20)], b"twenty"));
        assert_eq!(knowledge.of(StreamId([1; 16])).map(Past::resume), Some(30));
        knowledge.heard(&heard(2, 0, &[(5, 9)], b"nine"));
        assert_eq!(knowledge.of(StreamId([2; 16])).map(Past::resume), Some(0), "what came before is not known");
    }

    #[test]
    fn the_last_life_of_a_file_is_found_by_its_name() {
        let identity = Identity { device: 1, inode: 42, birth: None };
        let node = NodeId(7);
        let mut knowledge = Knowledge::default();
        for generation in [0, 2, 1] {
            let stream = stream_id(node, 42, identity.origin(), b"header", generation);
            knowledge.heard(&KnownStream { stream, ..heard(0, generation, &[(0, 10)], b"x") });
        }
        let found = |line: &[u8]| knowledge.last_life(node, &identity, line).map(|(_, past)| past.generation);
        assert_eq!(found(b"header"), Some(2));
        assert_eq!(found(b"other"), None);
        let other = Identity { inode: 43, ..identity };
        assert!(knowledge.last_life(node, &other, b"header").is_none());
    }
}
