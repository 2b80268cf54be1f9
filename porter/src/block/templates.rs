//! The templates of a block, each once; pages name them by number.
//!
//! What a program says, it says on every page. Standing together, templates squeeze to a hundredth of what their
//! lines were; on each page they cost a twentieth of it. The section:
//!
//! ```text
//! varint templates; numbers: how long each is; then they, one after another, in the order pages first had them
//! ```

use super::limits::{PAGE_TEXT_BYTES_MAX, TEMPLATES_BYTES_MAX, TEMPLATES_MAX};
use super::numbers::{put_numbers, take_numbers};
use proto::field::{BadField, Fields, put_count};
use rustc_hash::FxHashMap;

/// Gathers templates while a block is written.
#[derive(Debug, Default)]
pub struct TemplateBook {
    numbers: FxHashMap<Vec<u8>, u32>,
    table: TemplateTable,
}

impl TemplateBook {
    /// Whether all of these can be in the table.
    #[must_use]
    pub fn has_room(&self, templates: &[Vec<u8>]) -> bool {
        let more: usize = templates.iter().map(Vec::len).sum();
        self.table.bytes.len() + more <= TEMPLATES_BYTES_MAX && self.table.ends.len() + templates.len() <= TEMPLATES_MAX
    }

    /// Those that are not in the table yet, as they would stand in it: how long each is, then they.
    #[must_use]
    pub fn new_among(&self, templates: &[Vec<u8>]) -> Vec<u8> {
        let new = || templates.iter().filter(|template| !self.numbers.contains_key(*template));
        let mut bytes = Vec::new();
        put_numbers(&mut bytes, &new().map(|template| template.len() as u64).collect::<Vec<_>>());
        new().for_each(|template| bytes.extend_from_slice(template));
        bytes
    }

    /// The numbers of these, which had room.
    pub fn number(&mut self, templates: Vec<Vec<u8>>) -> Vec<u64> {
        templates.into_iter().map(|template| u64::from(self.number_of(template))).collect()
    }

    fn number_of(&mut self, template: Vec<u8>) -> u32 {
        if let Some(&number) = self.numbers.get(&template) {
            return number;
        }
        let number = count_u32(self.table.ends.len());
        self.table.bytes.extend_from_slice(&template);
        self.table.ends.push(count_u32(self.table.bytes.len()));
        self.numbers.insert(template, number);
        number
    }

    #[must_use]
    pub fn table(&self) -> &TemplateTable {
        &self.table
    }
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a block's templates are capped")
}

/// A block's templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl TemplateTable {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_count(out, self.ends.len());
        let starts = std::iter::once(&0).chain(&self.ends);
        let lengths: Vec<u64> = self.ends.iter().zip(starts).map(|(end, start)| u64::from(end - start)).collect();
        put_numbers(out, &lengths);
        out.extend_from_slice(&self.bytes);
    }

    pub fn read(bytes: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let count = fields.count(TEMPLATES_MAX)?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0u64;
        for length in take_numbers(&mut fields, count)? {
            end = end.saturating_add(length);
            ends.push(u32::try_from(end).map_err(|_| fields.bad("templates that are too long"))?);
        }
        if end == fields.rest().len() as u64 {
            Ok(Self { bytes: fields.rest().to_vec(), ends })
        } else {
            Err(fields.bad("templates that don't fill their place"))
        }
    }

    /// The templates of a page, by their numbers. Each has a line, and that is no shorter than its template, so
    /// together they are no longer than a page.
    pub fn take_some(&self, fields: &mut Fields<'_>, count: usize) -> Result<Vec<(u64, &[u8])>, BadField> {
        let mut room = PAGE_TEXT_BYTES_MAX;
        let mut some = Vec::with_capacity(count);
        for number in take_numbers(fields, count)? {
            let template = self.get(number).ok_or(fields.bad("a template that is not there"))?;
            room = room.checked_sub(template.len()).ok_or(fields.bad("templates longer than a page"))?;
            some.push((number, template));
        }
        Ok(some)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub fn get(&self, number: u64) -> Option<&[u8]> {
        let number = usize::try_from(number).ok()?;
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start as usize..*self.ends.get(number)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn templates_keep_their_numbers(pages in proptest::collection::vec(
            proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..4), 0..5), 0..9)) {
            let mut book = TemplateBook::default();
            let mut named = Vec::new();
            for page in pages {
                let templates: Vec<_> = page.into_iter().collect();
                prop_assert!(book.has_room(&templates));
                named.extend(templates.clone().into_iter().zip(book.number(templates)));
            }
            let mut out = Vec::new();
            book.table().put(&mut out);
            let table = TemplateTable::read(&out).unwrap();
            prop_assert_eq!(&table, book.table());
            for (template, number) in &named {
                prop_assert_eq!(table.get(*number), Some(template.as_slice()));
                prop_assert_eq!(book.new_among(std::slice::from_ref(template)), book.new_among(&[]));
            }
            prop_assert_eq!(table.get(table.ends.len() as u64), None);
            let different: std::collections::BTreeSet<_> = named.iter().map(|(template, _)| template).collect();
            prop_assert_eq!(different.len(), table.ends.len());
        }

        #[test]
        fn any_bytes_are_a_table_or_refused(bytes: Vec<u8>, number: u64) {
            if let Ok(table) = TemplateTable::read(&bytes) {
                let _ = table.get(number);
            }
        }
    }
}
