//! Deletes blocks that were replaced long enough ago.
//!
//! Manifests name what they replaced for as long as they stand, so that a porter which starts anew finds what the one
//! before it left. A block is gone when the shelf says so, not when it was asked; what could not be deleted is tried
//! again, later each time.

use super::desk::{Asked, Desk};
use super::said::{Action, Reply};
use crate::names::BlockAt;
use proto::time::Now;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often it is looked for blocks that have had their time.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Asked for at once; a porter that starts anew may find thousands.
const AT_ONCE: usize = 16;

/// Between tries of one block, doubling.
const AGAIN_FIRST: Duration = Duration::from_secs(60);
const AGAIN_LAST: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Prune {
    looked: Duration,
    /// Had their time at the last look, and were not asked for since.
    due: BTreeSet<BlockAt>,
    /// Gone, as the shelf said, so that each is asked for once.
    gone: BTreeSet<BlockAt>,
    open: BTreeMap<u64, BlockAt>,
    asks: u64,
    failed: BTreeMap<BlockAt, Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    not_before: Duration,
    after: Duration,
}

impl Prune {
    pub(super) fn go_on(&mut self, now: Now, desk: &mut Desk) {
        if now.mono >= self.looked + LOOK_EVERY {
            self.looked = now.mono;
            self.look(now, desk);
        }
        while self.open.len() < AT_ONCE
            && let Some(block) = self.due.pop_first()
        {
            let (number, path) = (self.asks, block.path());
            self.asks += 1;
            self.open.insert(number, block);
            desk.ask_shelf(now, Asked::Prune(number), |ask| Action::Delete { ask, path });
        }
    }

    fn look(&mut self, now: Now, desk: &Desk) {
        let keep = desk.rules.replaced_keep;
        let mut old = BTreeSet::new();
        for manifest in desk.standing.iter() {
            let due = manifest.replaced.iter().filter(|replaced| replaced.since.after(keep) < now.wall);
            let unused = due.filter(|replaced| !manifest.blocks.iter().any(|block| block.name == replaced.name));
            old.extend(unused.map(|replaced| manifest.at.block(replaced.name)));
        }
        self.gone.retain(|block| old.contains(block));
        self.failed.retain(|block, _| old.contains(block));
        let waits = |block: &BlockAt| self.failed.get(block).is_some_and(|failed| failed.not_before > now.mono);
        let open: BTreeSet<&BlockAt> = self.open.values().collect();
        old.retain(|block| !self.gone.contains(block) && !open.contains(block) && !waits(block));
        self.due = old;
    }

    pub(super) fn on_reply(&mut self, now: Now, number: u64, reply: &Reply, desk: &mut Desk) {
        let Some(block) = self.open.remove(&number) else { return };
        let why = match reply {
            Reply::Deleted => {
                desk.counters.deleted += 1;
                self.failed.remove(&block);
                self.gone.insert(block);
                return;
            }
            Reply::Failed(why) => why.as_str(),
            _ => "an answer to something else",
        };
        desk.trouble(&block.at.bucket_at(), &format!("{} can't be deleted: {why}", block.path()));
        let after = self.failed.get(&block).map_or(AGAIN_FIRST, |failed| (failed.after * 2).min(AGAIN_LAST));
        self.failed.insert(block, Failed { not_before: now.mono + after, after });
    }
}
