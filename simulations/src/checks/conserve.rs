//! S7: each line that was born has one fate, and the shelf holds just those that are archived.
//!
//! Counted from both sides: from the lines, and from what stands.

use crate::nodes::shelf::Archived;
use crate::truth::{Fate, Truth};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

pub const RULE: &str = "S7 what was born is archived or accounted for";

/// How many lines became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub born: u64,
    /// Lines that stand on the shelf, however often.
    pub archived: u64,
    /// Emptied or unlinked before the tailer had filed them.
    pub vanished: u64,
    /// Lost with a host's power, and kept by fewer than two bucks.
    pub host_lost: u64,
}

pub fn check(world: &mut World, truth: &Truth, archived: &[Archived]) -> Account {
    let stands: BTreeSet<_> = archived.iter().filter_map(|event| truth.place_of(event)).collect();
    // A line that was lost with the end of its file and written again where it was is one.
    let mut fates = BTreeMap::new();
    for line in &truth.lines {
        let fate = fates.entry((line.host, line.life, line.offset, line.bytes.as_slice())).or_insert(line.fate);
        *fate = line.fate.min(*fate);
    }
    let count = |wanted| fates.values().filter(|fate| **fate == wanted).count() as u64;
    let account = Account {
        born: fates.len() as u64,
        archived: stands.len() as u64,
        vanished: count(Fate::Vanished),
        host_lost: count(Fate::HostLost),
    };
    let Account { born, archived, vanished, host_lost } = account;
    world.check(RULE, born == archived + vanished + host_lost, || {
        format!("{born} born, {archived} archived, {vanished} vanished unread, {host_lost} lost with a host")
    });
    account
}
