//! Which files there are, and which stream each of them is.
//!
//! A listing names every file; what is new in it is opened, what is gone from it is read to its end and let go,
//! and what was renamed goes on under its new name. A new file is first asked who it is: remembered, known to
//! the spool or the bucks, the copy of one that was emptied, or really new.

use super::Machine;
use crate::action::{Action, Opened, Remembered, Seen, Trouble, Warning};
use crate::files::{Claim, File, FileNumber, Handle, Phase};
use crate::follow::{Identity, Mark, first_line, may_be_copy_of};
use crate::known::Past;
use proto::packet::TailMark;
use proto::time::Now;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a file that may be a copy in the making is left alone, each time it grew: time for its original to be
/// emptied, and for a listing to find that out where the system tells of no changes.
const HELD: Duration = Duration::from_secs(6);
/// How long a file that is gone must be quiet before what stands behind its last newline is taken for a line: its
/// writer may not have noticed yet. Also how often it is looked into from then on.
pub(super) const GONE_WAIT: Duration = Duration::from_secs(10);
/// How often files that are waited for are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn list(&mut self, now: Now, seen: Vec<Seen>) {
        (self.scanning, self.listed) = (false, true);
        self.due.scan = now.mono + self.config.rescan;
        let mut there = BTreeSet::new();
        for seen in seen {
            // One file under several names is followed once, under the first.
            if there.insert(seen.stat.identity) {
                self.see(now, seen);
            } else if let Some(number) = self.files.of_identity(&seen.stat.identity) {
                self.keep_name(number, &seen);
            }
        }
        for number in self.files.numbers() {
            let Some(file) = self.files.get_mut(number) else { continue };
            if !there.contains(&file.identity) && file.gone_since.is_none() {
                file.gone_since = Some(now.mono);
                if file.handle == Handle::Shut {
                    self.vanish(now, number);
                } else {
                    self.files.wake(number);
                }
            }
        }
    }

    /// Of two names of one file the one it had keeps it.
    fn keep_name(&mut self, number: FileNumber, seen: &Seen) {
        let Some(file) = self.files.get_mut(number) else { return };
        let known = file.stream.as_ref().is_some_and(|stream| stream.path == seen.path.to_string_lossy());
        if known && file.path != seen.path {
            file.path.clone_from(&seen.path);
            file.renamed = false;
        }
    }

    /// A file that is gone and was not open. What was seen in it and not read is lost.
    fn vanish(&mut self, now: Now, number: FileNumber) {
        let Some(file) = self.files.get(number) else { return };
        let unread = file.seen.saturating_sub(file.cursor.read_from());
        if matches!(file.phase, Phase::New) {
            if file.seen > 0 && !file.unreadable {
                self.missed(number);
            }
        } else if unread > 0 && matches!(file.phase, Phase::Following) {
            self.report_lost(now, number, unread);
        }
        self.remember_now(number);
        self.files.remove(number);
    }

    fn missed(&mut self, number: FileNumber) {
        let Some(file) = self.files.get(number) else { return };
        let path = file.shown_path();
        self.counters.missed_files += 1;
        self.warn(Warning::Missed { path });
    }

    pub(super) fn see(&mut self, now: Now, seen: Seen) {
        if let Some(number) = self.files.of_identity(&seen.stat.identity) {
            self.see_again(number, seen);
            return;
        }
        let number = self.files.add(File::new(seen.path, seen.input, seen.stat, now.mono));
        self.files.wake(number);
    }

    fn see_again(&mut self, number: FileNumber, seen: Seen) {
        let Some(file) = self.files.get_mut(number) else { return };
        if file.path != seen.path {
            file.renamed = true;
            file.path = seen.path;
        }
        file.gone_since = None;
        let changed = file.stat.length != seen.stat.length || file.stat.modified != seen.stat.modified;
        file.stat = seen.stat;
        file.listed = file.listed.max(seen.stat.length);
        if changed || !file.at_end || !matches!(file.phase, Phase::Following) {
            self.files.wake(number);
        }
    }

    pub(super) fn opened(&mut self, now: Now, number: FileNumber, opened: Opened) {
        let Some(file) = self.files.get_mut(number) else {
            self.act(Action::Close { file: number });
            return;
        };
        if file.identity != opened.stat.identity {
            // Another file has taken the name meanwhile. It is found as a new one by the next listing.
            let gone = file.gone_since.is_some();
            file.handle = Handle::Shut;
            self.act(Action::Close { file: number });
            if gone {
                self.vanish(now, number);
            }
            self.due.scan = self.due.scan.min(now.mono + LOOK_AGAIN);
            return;
        }
        (file.handle, file.unreadable) = (Handle::Open, false);
        file.active = now.mono;
        file.stat = opened.stat;
        if matches!(file.phase, Phase::New) {
            file.first_line = first_line(&opened.head, false).map(<[u8]>::to_vec);
            let phase = self.who_is(now, number, opened.remembered);
            self.set_phase(number, phase);
        }
        self.files.wake(number);
    }

    pub(super) fn set_phase(&mut self, number: FileNumber, phase: Phase) {
        if let Some(file) = self.files.get_mut(number) {
            file.phase = phase;
        }
    }

    /// What a file that was just opened is: remembered, known elsewhere, a copy, or new.
    fn who_is(&self, now: Now, number: FileNumber, remembered: Option<Remembered>) -> Phase {
        if let Some(remembered) = remembered {
            return Phase::Claiming(self.claim_of_memory(remembered));
        }
        self.who_else(now, number)
    }

    /// What a file is that the memory does not know, or knows wrongly.
    pub(super) fn who_else(&self, now: Now, number: FileNumber) -> Phase {
        let Some(file) = self.files.get(number) else { return Phase::New };
        let Some(line) = file.first_line.as_deref() else { return Phase::Following };
        if let Some(claim) = self.claim_of_known(&file.identity, line) {
            return Phase::Claiming(claim);
        }
        if let Some(claim) = self.claim_of_copy(number) {
            return Phase::Claiming(claim);
        }
        match self.original_of(number) {
            Some(original) => Phase::Held { original, until: now.mono + HELD },
            None => Phase::Following,
        }
    }

    /// The last life of a file that the spool or the bucks know of.
    pub(super) fn claim_of_known(&self, identity: &Identity, first_line: &[u8]) -> Option<Claim> {
        let (stream, past) = self.knowledge.last_life(self.node, identity, first_line)?;
        let resume = if self.sure { past.resume() } else { past.resume_surely() };
        let (generation, end) = (past.generation, past.end());
        Some(Claim { stream, generation, predecessor: None, path: None, end, resume, copied: false })
    }

    /// The spool may know more than the memory, which is written less often.
    fn claim_of_memory(&self, remembered: Remembered) -> Claim {
        let Remembered { stream, generation, path, predecessor, mark } = remembered;
        let past = self.knowledge.of(stream);
        let end = past.map(Past::end).filter(|end| end.offset > mark.offset).unwrap_or(mark);
        // A memory that may be ahead of a spool that lost its end says which stream it is, but not how far.
        let resume = if self.sure {
            past.map_or(mark.offset, |past| past.resume_after(mark.offset))
        } else {
            past.map_or(0, Past::resume_surely)
        };
        Claim { stream, generation, predecessor, path: Some(path), end, resume, copied: false }
    }

    /// A life that ended, and of which this file may be the copy.
    fn claim_of_copy(&self, number: FileNumber) -> Option<Claim> {
        let file = self.files.get(number)?;
        let line = file.first_line.as_deref()?;
        let ended = self.ended.iter().find(|ended| {
            ended.first_line == line
                && file.stat.length >= ended.mark.offset
                && may_be_copy_of(&file.path, &ended.path)
                && ended.mark.offset > 0
        })?;
        Some(Claim {
            stream: ended.stream.id,
            generation: ended.stream.generation,
            predecessor: ended.stream.predecessor,
            path: Some(ended.stream.path.clone()),
            end: ended.mark,
            resume: ended.mark.offset,
            copied: true,
        })
    }

    /// A file being followed that this one may be in the middle of being copied from.
    fn original_of(&self, number: FileNumber) -> Option<FileNumber> {
        let file = self.files.get(number)?;
        let line = file.first_line.as_deref()?;
        let is_original = |other: &File| {
            matches!(other.phase, Phase::Following)
                && other.gone_since.is_none()
                && other.first_line.as_deref() == Some(line)
                && may_be_copy_of(&file.path, &other.path)
                && file.stat.length <= other.seen.max(other.stat.length)
        };
        self.files.iter().find(|(at, other)| *at != number && is_original(other)).map(|(at, _)| at)
    }

    pub(super) fn not_opened(&mut self, now: Now, number: FileNumber, trouble: Trouble) {
        let Some(file) = self.files.get_mut(number) else { return };
        file.handle = Handle::Shut;
        let said = std::mem::replace(&mut file.unreadable, trouble != Trouble::Gone);
        if trouble == Trouble::Gone {
            if matches!(file.phase, Phase::New) {
                self.missed(number);
            }
            self.vanish_unsaid(now, number);
        } else if !said {
            let path = file.shown_path();
            self.warn(Warning::Unreadable { path, why: trouble });
        }
    }

    /// Like [`Self::vanish`], for a file whose loss was said already or has no size to name.
    fn vanish_unsaid(&mut self, now: Now, number: FileNumber) {
        if self.files.get(number).is_some_and(|file| matches!(file.phase, Phase::New)) {
            self.files.remove(number);
        } else {
            self.vanish(now, number);
        }
    }

    /// Files that wait for something: copies in the making, files that are gone, listings.
    pub(super) fn settle_files(&mut self, now: Now) {
        if !self.scanning && self.due.scan <= now.mono {
            self.scanning = true;
            self.act(Action::Scan);
        }
        if self.due.look > now.mono {
            return;
        }
        self.due.look = now.mono + LOOK_AGAIN;
        for number in self.files.numbers() {
            self.look_again(now, number);
        }
        self.settle_ended(now);
    }

    fn look_again(&mut self, now: Now, number: FileNumber) {
        let Some(file) = self.files.get_mut(number) else { return };
        match file.phase {
            Phase::Held { original, until } => self.look_at_held(now, number, original, until),
            _ if file
                .gone_since
                .is_some_and(|since| since.max(file.active).max(file.looked) + GONE_WAIT <= now.mono) =>
            {
                file.looked = now.mono;
                self.files.wake(number);
            }
            _ if file.renamed && file.active + GONE_WAIT <= now.mono && file.mark.offset < file.stat.length => {
                self.files.wake(number);
            }
            _ => {}
        }
    }

    /// A file that may be a copy: its original has begun again, or has not for long enough.
    fn look_at_held(&mut self, now: Now, number: FileNumber, original: FileNumber, until: Duration) {
        if let Some(claim) = self.claim_of_copy(number) {
            self.set_phase(number, Phase::Claiming(claim));
            self.files.wake(number);
            return;
        }
        let Some(file) = self.files.get_mut(number) else { return };
        if file.stat.length > file.seen {
            file.seen = file.stat.length;
            file.phase = Phase::Held { original, until: now.mono + HELD };
        } else if until <= now.mono {
            file.phase = Phase::Following;
            self.files.wake(number);
        }
    }

    /// Lives that ended and of which no copy turned up: what was unread in them is lost.
    fn settle_ended(&mut self, now: Now) {
        let (over, still): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ended).into_iter().partition(|ended| ended.until <= now.mono);
        self.ended = still;
        for ended in over {
            self.lose(now, &ended);
        }
    }

    pub(super) fn files_due(&self) -> Option<Duration> {
        if !matches!(self.stage, super::Stage::Running) {
            return None;
        }
        let scan = (!self.scanning).then_some(self.due.scan);
        let waited_for = |file: &File| {
            matches!(file.phase, Phase::Held { .. })
                || file.gone_since.is_some()
                || file.renamed && file.mark.offset < file.stat.length
        };
        let look = !self.ended.is_empty() || self.files.iter().any(|(_, file)| waited_for(file));
        [scan, look.then_some(self.due.look)].into_iter().flatten().min()
    }

    /// A mark without bytes agrees with anything: for places that are known only by number.
    pub(super) fn unproven(offset: u64) -> Mark {
        Mark { offset, tail: TailMark::default() }
    }
}
