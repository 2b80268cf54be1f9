//! What the harness knows and no node is told: the truth that checkers measure against.

use proto::closed::{Closed, RunCount};
use proto::ids::{NodeId, PacketId, StreamId};
use proto::packet::Packet;
use proto::record::Record;
use proto::seal::SIGNATURE_BYTES;
use proto::time::BucketId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names a record, whatever is in it: two records never bear one signature.
pub type Mark = [u8; SIGNATURE_BYTES];

/// A packet that a tailer has put into its spool.
#[derive(Clone, Debug)]
pub struct Filed {
    pub id: PacketId,
    pub mark: Mark,
    pub bytes: Vec<u8>,
    pub extents: Vec<(StreamId, u64, u64)>,
}

/// Violations of one rule that are told.
const VIOLATIONS_MAX: usize = 5;

/// Where a buck has put a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub disk: usize,
    pub path: String,
    pub at: usize,
    pub length: usize,
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub at: Duration,
    pub what: String,
}

#[derive(Debug, Default)]
pub struct Ghost {
    pub filed: Vec<Filed>,
    /// What each tailer first said of its packets when it closed a bucket.
    pub closings: BTreeMap<(NodeId, BucketId), Vec<RunCount>>,
    pub by_id: BTreeMap<PacketId, usize>,
    pub by_mark: BTreeMap<Mark, usize>,
    /// Bucks of which the tailer was told that they keep the packet.
    pub acked: BTreeMap<PacketId, BTreeSet<NodeId>>,
    /// Since when two bucks are known to keep it.
    pub kept_since: BTreeMap<PacketId, Duration>,
    pub puts: BTreeMap<(NodeId, Mark), Vec<Put>>,
    /// Bucks that lost or may have lost what they held, by no fault of theirs.
    pub damaged: BTreeSet<NodeId>,
    /// Hosts that lost power, with when.
    pub host_power: BTreeMap<NodeId, Vec<Duration>>,
    /// Hosts that read on without being told what is known of them.
    pub unheard: BTreeSet<NodeId>,
    /// Hosts whose log files lost their ends.
    pub tails_lost: BTreeSet<NodeId>,
    /// For each line of a host that was emptied or unlinked away: how many packets were filed by then.
    pub gone_at: BTreeMap<(NodeId, usize), usize>,
    pub evaluated: BTreeMap<&'static str, u64>,
    pub violations: Vec<Violation>,
    pub faults: BTreeMap<&'static str, u64>,
}

impl Ghost {
    /// A record goes into a spool, or out to a buck.
    pub fn close(&mut self, bytes: &[u8]) {
        if let Ok((closed, _)) = Closed::parse(bytes) {
            self.closings.entry((closed.tailer, closed.bucket)).or_insert(closed.runs);
        }
    }

    pub fn file(&mut self, bytes: &[u8]) {
        self.close(bytes);
        let Ok(packet) = Packet::parse(bytes) else { return };
        let id = packet.head.id.clone();
        let of_stream = |stream: &proto::packet::PacketStream| {
            let id = stream.id;
            stream.extents.iter().map(move |extent| (id, extent.from, extent.to)).collect::<Vec<_>>()
        };
        let extents = packet.head.streams.iter().flat_map(of_stream).collect();
        let mark = *packet.record.signature;
        self.by_id.insert(id.clone(), self.filed.len());
        self.by_mark.insert(mark, self.filed.len());
        self.filed.push(Filed { id, mark, bytes: bytes.to_vec(), extents });
    }

    /// Checks one thing once, and says so when it is not so.
    pub fn check(&mut self, rule: &'static str, at: Duration, holds: bool, what: impl FnOnce() -> String) {
        *self.evaluated.entry(rule).or_default() += 1;
        if !holds && self.violations.iter().filter(|known| known.rule == rule).count() < VIOLATIONS_MAX {
            self.violations.push(Violation { rule, at, what: what() });
        }
    }

    pub fn struck(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

/// A record's mark.
#[must_use]
pub fn mark_of(bytes: &[u8]) -> Option<Mark> {
    Record::parse(bytes).ok().map(|record| *record.signature)
}
