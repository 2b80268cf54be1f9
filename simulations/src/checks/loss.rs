//! S2, S3, S7: whatever was written stands on the shelf, or there is a reason, and each lost line has just one.

use super::once::shown;
use crate::truth::{Fate, Truth};
use crate::world::World;

pub const ACKED: &str = "S2 what two bucks keep is not lost";
pub const UNACKED: &str = "S3 what a host still has is not lost";
pub const CONSERVED: &str = "S7 what was born is archived or accounted for";

/// How many lines became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub born: u64,
    pub archived: u64,
    /// Emptied or unlinked before the tailer had filed them.
    pub vanished: u64,
    /// Lost with a host's power, and kept by fewer than two bucks.
    pub host_lost: u64,
}

pub fn check(world: &mut World, truth: &Truth) -> Account {
    let mut account = Account::default();
    for line in &truth.lines {
        account.born += 1;
        match line.fate {
            Fate::Archived => account.archived += 1,
            Fate::Vanished => account.vanished += 1,
            Fate::HostLost => account.host_lost += 1,
            Fate::Lost => {}
        }
        let is_lost = line.fate == Fate::Lost;
        let what = || {
            format!(
                "host {} wrote {:?} at {} of {:?}; it is nowhere",
                line.host,
                shown(&line.bytes),
                line.offset,
                line.life
            )
        };
        if line.acked {
            let not_there = line.fate != Fate::Archived;
            world.check(ACKED, !not_there, what);
        } else {
            world.check(UNACKED, !is_lost, what);
        }
    }
    let Account { born, archived, vanished, host_lost } = account;
    world.check(CONSERVED, born == archived + vanished + host_lost, || {
        format!("{born} born, {archived} archived, {vanished} vanished unread, {host_lost} lost with a host")
    });
    account
}
