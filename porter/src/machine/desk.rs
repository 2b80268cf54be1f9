//! What all parts of the machine share: the queue of actions, open questions, and what is known of the world.

use super::said::{Action, AskId, Peers};
use crate::census::Closings;
use crate::manifest::Manifest;
use crate::names::{BlockAt, BucketAt};
use crate::places::Double;
use crate::rules::{Rules, TROUBLE_MAX};
use crate::standing::Standing;
use proto::ids::NodeId;
use proto::time::{BucketWidth, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a question was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Holdings(NodeId),
    /// Only for what it says of closings.
    Probe,
    /// What stands twice.
    Doubles,
    /// To delete a block that was replaced.
    Prune(u64),
    /// Of the bucket that is being ported.
    Job(JobAsk),
    /// Nothing hangs on it.
    Loose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobAsk {
    List,
    Manifest {
        shard: u16,
        version: u64,
    },
    Lease {
        epoch: u64,
    },
    PutLease {
        epoch: u64,
    },
    Inventory(NodeId),
    /// Another bucket's inventory, for its closings.
    Closings(NodeId),
    Fetch {
        buck: NodeId,
        number: u64,
    },
    Earlier,
    Build,
    PutBlock,
    ReadBlock,
    DropBlock,
    /// Is what stands under a block's name the same content?
    Doubt,
    ReadPart,
    PutManifest,
    ReadManifest,
}

/// What has happened since the start; for `status` and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub looks: u64,
    pub packets: u64,
    pub packet_bytes: u64,
    pub blocks: u64,
    pub block_bytes: u64,
    pub manifests: u64,
    pub races_lost: u64,
    pub bad_copies: u64,
    pub bad_closings: u64,
    pub failures: u64,
    pub merges: u64,
    /// Blocks written again without what stood in another.
    pub mended: u64,
    pub deleted: u64,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub me: NodeId,
    pub rules: Rules,
    pub width: BucketWidth,
    pub peers: Peers,
    pub standing: Standing,
    pub closings: Closings,
    /// Blocks with events that stand in lower ones, as was last said.
    pub doubles: Vec<Double>,
    /// Something stands since that was asked.
    pub more_stands: bool,
    pub counters: Counters,
    pub trouble: VecDeque<String>,
    actions: VecDeque<Action>,
    open: BTreeMap<AskId, (Asked, Duration)>,
    next: u64,
}

impl Desk {
    pub fn new(me: NodeId, rules: Rules, width: BucketWidth) -> Self {
        Self {
            me,
            rules,
            width,
            peers: Peers::default(),
            standing: Standing::default(),
            closings: Closings::default(),
            doubles: Vec::new(),
            more_stands: false,
            counters: Counters::default(),
            trouble: VecDeque::new(),
            actions: VecDeque::new(),
            open: BTreeMap::new(),
            next: 0,
        }
    }

    /// Asks a buck; it is away when it has not answered in time.
    pub fn ask_buck(&mut self, now: Now, asked: Asked, action: impl FnOnce(AskId) -> Action) {
        self.ask(asked, now.mono + self.rules.buck_patience, action);
    }

    /// Asks the shelf.
    pub fn ask_shelf(&mut self, now: Now, asked: Asked, action: impl FnOnce(AskId) -> Action) {
        self.ask(asked, now.mono + self.rules.shelf_patience, action);
    }

    /// Asks for work of our own, which always ends.
    pub fn ask_own(&mut self, asked: Asked, action: impl FnOnce(AskId) -> Action) {
        self.ask(asked, Duration::MAX, action);
    }

    fn ask(&mut self, asked: Asked, until: Duration, action: impl FnOnce(AskId) -> Action) {
        let ask = AskId(self.next);
        self.next += 1;
        self.open.insert(ask, (asked, until));
        self.actions.push_back(action(ask));
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the question was for; `None` when nobody waits for its answer any more.
    pub fn answered(&mut self, ask: AskId) -> Option<Asked> {
        self.open.remove(&ask).map(|(asked, _)| asked)
    }

    pub fn take_overdue(&mut self, now: Now) -> Option<Asked> {
        let ask = *self.open.iter().find(|(_, (_, until))| *until <= now.mono)?.0;
        self.answered(ask)
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        self.open.values().map(|(_, until)| *until).filter(|until| *until < Duration::MAX).min()
    }

    /// Answers to questions of the job that ended are not waited for.
    pub fn forget_job(&mut self) {
        self.open.retain(|_, (asked, _)| !matches!(asked, Asked::Job(_)));
    }

    pub fn stands(&mut self, manifest: &Arc<Manifest>) {
        let at = &manifest.at;
        for (tailer, closing) in &manifest.census.closings {
            self.closings.learn(&at.environment, *tailer, at.bucket, closing.previous);
        }
        if self.standing.insert(manifest.clone()) {
            self.more_stands = true;
            self.actions.push_back(Action::Stands(manifest.clone()));
        }
    }

    /// A block of this shard that is to be written again, if it and those that have its events stand as far as is
    /// known. What one shard has twice is told apart within one manifest; for the rest see [`crate::places`].
    pub fn double_of(&self, manifest: &Manifest) -> Option<&Double> {
        let stands = |block: &BlockAt| manifest.blocks.iter().any(|known| known.name == block.name);
        let of_shard = |block: &BlockAt| block.at == manifest.at;
        self.doubles.iter().find(|double| {
            of_shard(&double.block) && stands(&double.block) && double.by.iter().all(|by| !of_shard(by) || stands(by))
        })
    }

    /// Whether some of a bucket stands twice and should not.
    pub fn is_doubled(&self, at: &BucketAt) -> bool {
        !self.doubles.is_empty() && self.standing.of_bucket(at).any(|manifest| self.double_of(manifest).is_some())
    }

    /// Whether the roster has this tailer close buckets of the environment.
    pub fn is_expected(&self, at: &BucketAt, tailer: NodeId) -> bool {
        self.peers.tailers.get(&at.environment).is_some_and(|tailers| tailers.contains(&tailer))
    }

    pub fn trouble(&mut self, at: &BucketAt, what: &str) {
        self.counters.failures += 1;
        if self.trouble.len() >= TROUBLE_MAX {
            self.trouble.pop_front();
        }
        self.trouble.push_back(format!("bucket {at}: {what}"));
    }
}
