//! Gathers lines into parts of an answer, each source said once before the first line that has it.

use super::Say;
use proto::event::{OwnedEvent, Source};
use proto::message::{Part, Row};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A part is sent when it has so many lines or bytes; what a browser draws at once.
const ROWS_MAX: usize = 500;
const BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Rows {
    numbers: FxHashMap<Arc<Source>, u32>,
    new: Vec<Source>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Rows {
    /// False when nobody wants more.
    pub fn push(&mut self, event: OwnedEvent, say: &Say) -> bool {
        let source = self.number(&event.source);
        self.bytes += event.line.len() + 32;
        self.rows.push(Row {
            source,
            offset: event.offset,
            time: event.time,
            level: event.level,
            flags: event.flags,
            file_length: event.file_length,
            line: event.line,
        });
        if self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX { self.send(say) } else { true }
    }

    fn number(&mut self, source: &Arc<Source>) -> u32 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(Arc::clone(source), number);
        self.new.push((**source).clone());
        number
    }

    pub fn send(&mut self, say: &Say) -> bool {
        if self.rows.is_empty() {
            return true;
        }
        self.bytes = 0;
        let (sources, rows) = (std::mem::take(&mut self.new), std::mem::take(&mut self.rows));
        (sources.is_empty() || say.part(Part::Sources(sources))) && say.part(Part::Rows(rows))
    }
}
