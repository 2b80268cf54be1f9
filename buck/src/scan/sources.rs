//! The list of sources an answer's rows point into, grown as rows need it.

use proto::event::Source;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct SourceList {
    numbers: BTreeMap<Source, u32>,
    /// Not yet sent.
    new: Vec<Source>,
}

impl SourceList {
    pub fn number_of(&mut self, source: &Source) -> u32 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).expect("sources of an answer fit memory, so they fit a u32");
        self.numbers.insert(source.clone(), number);
        self.new.push(source.clone());
        number
    }

    /// What must be sent before the rows made since the last call.
    pub fn take_new(&mut self) -> Option<Vec<Source>> {
        (!self.new.is_empty()).then(|| std::mem::take(&mut self.new))
    }
}
