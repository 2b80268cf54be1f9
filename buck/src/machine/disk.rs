//! What the disks did: appended, synced, refused, failed.

use super::Machine;
use crate::config::Ack;
use crate::pending::{Coming, Content};
use crate::place::{DiskId, Ticket};
use proto::message::PutOutcome;
use proto::time::Now;

impl Machine {
    /// The append of this ticket was written at this byte of its file.
    pub fn on_appended(&mut self, now: Now, disk: DiskId, ticket: Ticket, at: u64) {
        if !self.disks.is_writable(disk) {
            return;
        }
        let Some(coming) = self.pending.get_mut(ticket) else { return };
        coming.at = Some(at);
        let written = self.rules.ack == Ack::Written;
        if written {
            if let Some(coming) = self.pending.remove(ticket) {
                self.index_coming(now, &coming, true);
                self.keep(now, coming);
            }
            return;
        }
        if let Some(coming) = self.pending.remove(ticket) {
            self.index_coming(now, &coming, false);
            self.pending.insert(ticket, coming);
        }
    }

    fn index_coming(&mut self, now: Now, coming: &Coming, durable: bool) {
        let at = coming.at.unwrap_or_default();
        self.index_record(now, coming.disk, at, &coming.content, &coming.bytes, coming.crc, durable);
    }

    /// Everything appended to the disk before this sync was asked for is durable.
    pub fn on_synced(&mut self, now: Now, disk: DiskId, ticket: Ticket) {
        if !self.disks.on_synced(disk, ticket) {
            return;
        }
        self.counters.syncs += 1;
        if self.recovering.remove(&disk) {
            self.index.set_disk_durable(disk);
        }
        for coming in self.pending.take_synced(disk, ticket) {
            self.set_durable(&coming);
            self.keep(now, coming);
        }
        self.ask_for_sync(now, disk);
    }

    fn set_durable(&mut self, coming: &Coming) {
        match &coming.content {
            Content::Packet(head) => self.index.set_durable(head),
            Content::Closing(closed) => {
                let key = (closed.environment.clone(), closed.bucket);
                self.index.set_closing_durable(closed.tailer, &key, coming.crc);
            }
        }
    }

    fn keep(&mut self, now: Now, coming: Coming) {
        match &coming.content {
            Content::Packet(head) => {
                self.counters.packets_kept += 1;
                self.counters.lines_kept += u64::from(head.events);
            }
            Content::Closing(_) => self.counters.closings_kept += 1,
        }
        self.counters.bytes_kept += coming.bytes.len() as u64;
        self.answer_all(now, coming, &PutOutcome::Kept);
    }

    /// The append of this ticket found no room. Nothing of it was left in the file.
    pub fn on_disk_full(&mut self, now: Now, disk: DiskId, ticket: Ticket) {
        self.disks.on_room(disk, 0);
        if let Some(coming) = self.pending.remove(ticket) {
            self.place_again(now, coming);
        }
    }

    /// A write or sync of this disk failed. Nothing on it is acked any more; what was on its way there goes to
    /// another disk. What was durable before is still read from it.
    pub fn on_disk_failed(&mut self, now: Now, disk: DiskId, why: String) {
        self.disks.on_failed(disk, why);
        for coming in self.pending.take_of_disk(disk) {
            match &coming.content {
                Content::Packet(head) => self.index.remove_packet(now.wall, &head.id),
                Content::Closing(closed) => {
                    let key = (closed.environment.clone(), closed.bucket);
                    self.index.remove_closing(closed.tailer, &key, coming.crc);
                }
            }
            self.place_again(now, coming);
        }
        self.ask_for_syncs(now);
    }

    fn place_again(&mut self, now: Now, coming: Coming) {
        match self.disks.choose(&self.rules, coming.bytes.len() as u64) {
            Some(disk) => {
                self.counters.moved += 1;
                self.append(now, disk, coming);
            }
            None => {
                self.counters.refused_full += 1;
                self.answer_all(now, coming, &PutOutcome::Full);
            }
        }
    }

    /// How much room a disk has; told every second or so.
    pub fn on_room(&mut self, disk: DiskId, free_bytes: u64) {
        self.disks.on_room(disk, free_bytes);
    }
}
