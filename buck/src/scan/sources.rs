//! The list of sources an answer's rows point into, grown as rows need it.

use proto::event::Source;
use std::collections::{BTreeMap, VecDeque};

/// What is sent at one go, of a frame's four MiB.
const PART_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct SourceList {
    numbers: BTreeMap<Source, u32>,
    bytes: usize,
    /// Not yet sent.
    new: VecDeque<Source>,
}

impl SourceList {
    pub fn number_of(&mut self, source: &Source) -> u32 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).expect("sources of an answer fit memory, so they fit a u32");
        self.numbers.insert(source.clone(), number);
        self.bytes += bytes_of(source);
        self.new.push_back(source.clone());
        number
    }

    /// What the list takes, each name counted once.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn knows(&self, source: &Source) -> bool {
        self.numbers.contains_key(source)
    }

    /// What must be sent before the rows made since the last call, until there is no more.
    pub fn take_new(&mut self) -> Option<Vec<Source>> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART_BYTES
            && let Some(source) = self.new.pop_front()
        {
            bytes += bytes_of(&source);
            part.push(source);
        }
        (!part.is_empty()).then_some(part)
    }
}

fn bytes_of(source: &Source) -> usize {
    let labels: usize = source.labels.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    source.path.len() + source.host.len() + source.app.len() + labels + 64
}
