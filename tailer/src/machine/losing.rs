//! What was gone before it was read: counted, warned of, and written where its bytes would stand, as an event that is
//! kept, found and ported like a line.
//!
//! The closing of the bucket names it, too. A file that had no whole line yet has no name to tell its loss by.

use super::Machine;
use crate::action::Warning;
use crate::files::{Ended, FileNumber};
use crate::fill::Stream;
use proto::ids::Environment;
use proto::packet::TailMark;
use proto::time::Now;
use std::ops::Range;

impl Machine {
    /// Bytes that were seen in a file that is gone, and never read.
    pub(super) fn report_lost(&mut self, now: Now, number: FileNumber, unread: u64) {
        let Some(file) = self.files.get(number) else { return };
        let (path, from, stream) = (file.shown_path(), file.mark.offset, file.stream.clone());
        let environment = self.environment_of(number);
        match stream {
            Some(stream) => self.lose_bytes(now, &environment, &stream, from..from.saturating_add(unread)),
            None => self.lose_unnamed(path, unread),
        }
    }

    /// The same for a life that ended.
    pub(super) fn lose(&mut self, now: Now, ended: &Ended) {
        let Some(input) = self.config.inputs.get(ended.input).filter(|_| ended.unread > 0) else { return };
        let environment = input.environment.clone();
        let (from, to) = (ended.mark.offset, ended.mark.offset.saturating_add(ended.unread));
        self.lose_bytes(now, &environment, &ended.stream, from..to);
    }

    pub(super) fn lose_unnamed(&mut self, path: String, bytes: u64) {
        self.counters.lost_bytes += bytes;
        self.warn(Warning::Lost { path, bytes });
    }

    fn lose_bytes(&mut self, now: Now, environment: &Environment, stream: &Stream, lost: Range<u64>) {
        let bytes = lost.end.saturating_sub(lost.start);
        self.lose_unnamed(stream.path.clone(), bytes);
        self.note_loss(environment, stream.id, lost.start, lost.end);
        let words = format!("tailbuck: {bytes} bytes are lost here: they were gone before they were read");
        let filed = self.file_in(now, environment);
        let Some(fill) = self.fills.get_mut(environment) else { return };
        let full = if fill.is_full() { fill.finish(&mut self.squeezer, &self.sign) } else { None };
        let lane = fill.enter(stream, now.mono, filed);
        fill.lost(lane, lost.start, lost.end, words.as_bytes(), filed);
        fill.mark(lane, TailMark::default());
        full.into_iter().for_each(|filled| self.write_packet(filled));
    }
}
