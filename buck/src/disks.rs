//! Which disk takes what, when it must sync, and what becomes of one that is full or failed.
//!
//! Of two disks drawn at random with room above the reserve, the one with less unsynced; so a slow disk gets less
//! without anybody measuring it. A disk that failed once takes nothing more until the buck is started again: after
//! a failed sync the kernel may call lost pages clean. It is still read.

use crate::config::{Ack, Rules};
use crate::place::{DiskId, Ticket};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// As much may gather before a sync is asked for without waiting any longer.
const SYNC_BYTES: u64 = 2 << 20;

/// With `Ack::Written` nobody waits for a sync, and there is one a second.
const WRITTEN_SYNC_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Disks {
    disks: Vec<Disk>,
    rng: StdRng,
}

#[derive(Debug)]
struct Disk {
    state: DiskState,
    free: u64,
    /// Asked to be written since the last sync was asked for.
    dirty: u64,
    dirty_since: Option<Duration>,
    /// Asked to be synced and not yet reported.
    syncing: Option<Ticket>,
    syncing_bytes: u64,
    last: Ticket,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskState {
    Writable,
    /// With the sentence that says why.
    ReadOnly(String),
}

impl Disks {
    pub fn new(count: u16, seed: u64) -> Self {
        let disk = || Disk {
            state: DiskState::Writable,
            free: u64::MAX,
            dirty: 0,
            dirty_since: None,
            syncing: None,
            syncing_bytes: 0,
            last: Ticket(0),
        };
        Self { disks: (0..count).map(|_| disk()).collect(), rng: StdRng::seed_from_u64(seed) }
    }

    pub fn ids(&self) -> impl Iterator<Item = DiskId> + use<> {
        (0..u16::try_from(self.disks.len()).unwrap_or(u16::MAX)).map(DiskId)
    }

    fn get(&self, id: DiskId) -> Option<&Disk> {
        self.disks.get(usize::from(id.0))
    }

    fn get_mut(&mut self, id: DiskId) -> Option<&mut Disk> {
        self.disks.get_mut(usize::from(id.0))
    }

    pub fn state(&self, id: DiskId) -> Option<&DiskState> {
        self.get(id).map(|disk| &disk.state)
    }

    pub fn is_writable(&self, id: DiskId) -> bool {
        self.state(id) == Some(&DiskState::Writable)
    }

    /// Where a record of this many bytes goes; none when no disk that works has room.
    pub fn choose(&mut self, rules: &Rules, bytes: u64) -> Option<DiskId> {
        let fit: Vec<DiskId> = self.ids().filter(|id| self.has_room(*id, rules, bytes)).collect();
        let draw = |rng: &mut StdRng| fit.get(rng.random_range(0..fit.len())).copied();
        match fit.len() {
            0 | 1 => fit.first().copied(),
            _ => [draw(&mut self.rng)?, draw(&mut self.rng)?].into_iter().min_by_key(|id| self.busy(*id)),
        }
    }

    fn has_room(&self, id: DiskId, rules: &Rules, bytes: u64) -> bool {
        let fits = |disk: &Disk| disk.free >= rules.reserve_bytes.saturating_add(bytes);
        self.is_writable(id) && self.get(id).is_some_and(fits)
    }

    fn busy(&self, id: DiskId) -> (u64, u64) {
        self.get(id).map_or((u64::MAX, 0), |disk| (disk.dirty + disk.syncing_bytes, u64::MAX - disk.free))
    }

    pub fn on_append(&mut self, now: Duration, id: DiskId, ticket: Ticket, bytes: u64) {
        if let Some(disk) = self.get_mut(id) {
            disk.free = disk.free.saturating_sub(bytes);
            disk.dirty += bytes;
            disk.dirty_since.get_or_insert(now);
            disk.last = ticket;
        }
    }

    /// What lies there already may never have been synced; have it synced before any of it is acked again.
    pub fn on_recovered(&mut self, now: Duration, id: DiskId, bytes: u64) {
        if let Some(disk) = self.get_mut(id) {
            disk.dirty += bytes;
            disk.dirty_since.get_or_insert(now);
        }
    }

    pub fn on_room(&mut self, id: DiskId, free: u64) {
        if let Some(disk) = self.get_mut(id) {
            disk.free = free.saturating_sub(disk.dirty);
        }
    }

    /// The sync to ask for now, if it is time for one: one at a time, so that a slow disk makes larger groups.
    pub fn due_sync(&mut self, now: Duration, rules: &Rules, id: DiskId) -> Option<Ticket> {
        let due = self.sync_due_at(rules, id)?;
        let disk = self.get_mut(id)?;
        let much = rules.ack == Ack::Durable && disk.dirty >= SYNC_BYTES;
        if due > now && !much {
            return None;
        }
        disk.syncing = Some(disk.last);
        disk.syncing_bytes = std::mem::take(&mut disk.dirty);
        disk.dirty_since = None;
        disk.syncing
    }

    fn sync_due_at(&self, rules: &Rules, id: DiskId) -> Option<Duration> {
        let disk = self.get(id)?;
        let may = disk.state == DiskState::Writable && disk.syncing.is_none();
        let wait = if rules.ack == Ack::Durable { rules.sync_after } else { WRITTEN_SYNC_AFTER };
        disk.dirty_since.filter(|_| may).map(|since| since + wait)
    }

    /// False when no such sync was waited for.
    pub fn on_synced(&mut self, id: DiskId, ticket: Ticket) -> bool {
        let Some(disk) = self.get_mut(id).filter(|disk| disk.syncing == Some(ticket)) else { return false };
        disk.syncing = None;
        disk.syncing_bytes = 0;
        disk.state == DiskState::Writable
    }

    pub fn on_failed(&mut self, id: DiskId, why: String) {
        if let Some(disk) = self.get_mut(id) {
            disk.state = DiskState::ReadOnly(why);
            disk.syncing = None;
            disk.dirty = 0;
            disk.dirty_since = None;
        }
    }

    /// Sentences about disks that do not take packets.
    pub fn trouble(&self, rules: &Rules) -> Vec<String> {
        let sentence = |id: DiskId| match self.get(id) {
            Some(Disk { state: DiskState::ReadOnly(why), .. }) => {
                Some(format!("{id} is only read since it failed: {why}"))
            }
            Some(disk) if disk.free < rules.reserve_bytes => {
                Some(format!("{id} is full up to its reserve, {} bytes are free", disk.free))
            }
            _ => None,
        };
        self.ids().filter_map(sentence).collect()
    }

    pub fn next_sync(&self, rules: &Rules) -> Option<Duration> {
        self.ids().filter_map(|id| self.sync_due_at(rules, id)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rules() -> Rules {
        Rules { reserve_bytes: 100, sync_after: at(4), ..Rules::default() }
    }

    #[test]
    fn a_sync_waits_for_company_but_not_long_and_not_for_much() {
        let (mut disks, one) = (Disks::new(1, 1), DiskId(0));
        assert_eq!(disks.due_sync(at(0), &rules(), one), None);
        disks.on_append(at(0), one, Ticket(1), 10);
        assert_eq!(disks.due_sync(at(3), &rules(), one), None);
        assert_eq!(disks.next_sync(&rules()), Some(at(4)));
        assert_eq!(disks.due_sync(at(4), &rules(), one), Some(Ticket(1)));
        disks.on_append(at(5), one, Ticket(2), SYNC_BYTES);
        assert_eq!(disks.due_sync(at(20), &rules(), one), None, "one at a time");
        assert!(disks.on_synced(one, Ticket(1)));
        assert_eq!(disks.due_sync(at(5), &rules(), one), Some(Ticket(2)), "enough has gathered");
        assert!(!disks.on_synced(one, Ticket(1)));
    }

    #[test]
    fn full_and_failed_disks_take_nothing() {
        let mut disks = Disks::new(2, 1);
        disks.on_room(DiskId(0), 150);
        disks.on_room(DiskId(1), 99);
        assert_eq!(disks.choose(&rules(), 50), Some(DiskId(0)));
        assert_eq!(disks.choose(&rules(), 51), None);
        disks.on_room(DiskId(1), 1000);
        disks.on_failed(DiskId(0), "gone".into());
        for _ in 0..20 {
            assert_eq!(disks.choose(&rules(), 50), Some(DiskId(1)));
        }
        disks.on_append(at(0), DiskId(0), Ticket(1), 1);
        assert_eq!(disks.due_sync(at(100), &rules(), DiskId(0)), None);
    }

    #[test]
    fn the_disk_with_less_to_do_gets_more() {
        let mut disks = Disks::new(2, 7);
        disks.on_append(at(0), DiskId(0), Ticket(1), 1 << 20);
        let to_second = (0..100).filter(|_| disks.choose(&rules(), 1) == Some(DiskId(1))).count();
        assert!(to_second > 60, "{to_second}");
    }
}
