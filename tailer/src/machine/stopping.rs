//! An orderly stop: nothing more is read, what was read is packed and sent, and the memory has the last word.

use super::{Machine, Stage};
use crate::action::Action;
use proto::time::Now;
use std::time::Duration;

/// How long records in flight are waited for. They lie in the spool; the next run sends what did not arrive.
const DRAIN: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn stop(&mut self, now: Now) {
        match self.stage {
            Stage::New | Stage::Starting(_) | Stage::Running => self.stage = Stage::Stopping { by: now.mono + DRAIN },
            Stage::Stopping { .. } | Stage::Stopped => {}
        }
    }

    pub(super) fn settle_stop(&mut self, now: Now) {
        let Stage::Stopping { by } = self.stage else { return };
        let written = self.writing.is_empty() && self.fills.values().all(|fill| fill.began().is_none());
        let sent = self.flight.is_empty() && self.unspooling.is_none();
        let nothing_to_do = self.spool.next_waiting(None).is_none() || !self.any_buck_healthy(now);
        if by > now.mono && !(written && sent && nothing_to_do) {
            return;
        }
        for number in self.files.numbers() {
            if self.files.get(number).is_some_and(|file| file.handle != crate::files::Handle::Shut) {
                self.shut(number);
            }
        }
        // The memory is true if the spool took everything, and if this run got so far as to know every file.
        self.save_memory(now, written && self.settled);
        self.act(Action::Stopped);
        self.stage = Stage::Stopped;
    }
}
