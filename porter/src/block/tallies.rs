//! How many events of which template each page has, and of which kinds the bytes in templates' cells are: what
//! templates say is counted without a page opened.
//!
//! The section, for each page in turn (varints):
//!
//! ```text
//! templates; each: its number - the one's before, events        no templates: the page is plain lines
//! ```
//!
//! A page's templates stand in the order of their numbers, and the first one's number is as it is. Behind the last
//! page, for each template of the block and each of its cells:
//!
//! ```text
//! u8 kinds       of all bytes that stand in this cell anywhere in the block, drawn in `alphabet`
//! ```

use super::alphabet::Alphabet;
use super::directory::PageEntry;
use super::limits::TALLIES_MAX;
use super::template::cells_in;
use super::templates::TemplateTable;
use proto::field::{BadField, Fields, put_count, put_varint};

/// So many events of a page have this template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tally {
    pub template: u32,
    pub events: u32,
}

/// A template on a page, and the kinds of bytes in each of its cells there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub tally: Tally,
    pub alphabets: Vec<Alphabet>,
}

/// Gathers tallies while a block is written.
#[derive(Debug, Default)]
pub struct TallyBook {
    pages: Vec<u8>,
    /// Of each template, as they came.
    alphabets: Vec<Vec<Alphabet>>,
}

impl TallyBook {
    /// The next page; without templates when it is plain lines.
    pub fn page(&mut self, mut uses: Vec<Use>) {
        uses.sort_unstable_by_key(|of| of.tally);
        put_count(&mut self.pages, uses.len());
        let mut before = 0;
        for Use { tally, alphabets } in uses {
            put_varint(&mut self.pages, u64::from(tally.template - before));
            put_varint(&mut self.pages, u64::from(tally.events));
            before = tally.template;
            let number = tally.template as usize;
            if number >= self.alphabets.len() {
                self.alphabets.resize(number + 1, Vec::new());
            }
            let known = &mut self.alphabets[number];
            known.resize(alphabets.len(), Alphabet::default());
            known.iter_mut().zip(alphabets).for_each(|(known, more)| known.0 |= more.0);
        }
    }

    /// The section.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = self.pages;
        out.extend(self.alphabets.iter().flatten().map(|alphabet| alphabet.0));
        out
    }
}

/// The tallies of every page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    all: Vec<Tally>,
    /// Where each page's end.
    ends: Vec<u32>,
    alphabets: Vec<Alphabet>,
    /// Where each template's end.
    alphabet_ends: Vec<u32>,
}

impl Tallies {
    /// A page's tallies are as many events as it has.
    pub fn read(bytes: &[u8], pages: &[PageEntry], templates: &TemplateTable) -> Result<Self, BadField> {
        let mut fields = Fields::new(bytes);
        let mut tallies = Self::default();
        for page in pages {
            tallies.read_page(&mut fields, page.events, templates.count())?;
        }
        let alphabets = fields.rest();
        let mut cells = 0usize;
        for number in 0..templates.count() {
            cells += templates.get(number as u64).map_or(0, cells_in);
            tallies.alphabet_ends.push(u32::try_from(cells).map_err(|_| fields.bad("too many cells"))?);
        }
        if cells != alphabets.len() {
            return Err(fields.bad("another number of cells than templates have"));
        }
        tallies.alphabets = alphabets.iter().map(|&kinds| Alphabet(kinds)).collect();
        Ok(tallies)
    }

    fn read_page(&mut self, fields: &mut Fields<'_>, page_events: u32, templates: usize) -> Result<(), BadField> {
        let count = fields.count(TALLIES_MAX - self.all.len())?;
        let (mut template, mut events) = (0u32, 0u32);
        for at in 0..count {
            let step = fields.varint_u32()?;
            template = template.checked_add(step).ok_or(fields.bad("a template that is not there"))?;
            if template as usize >= templates || at > 0 && step == 0 {
                return Err(fields.bad("a template that is not there"));
            }
            let more = fields.varint_u32()?;
            events = events.checked_add(more).ok_or(fields.bad("more events than the page has"))?;
            self.all.push(Tally { template, events: more });
        }
        if count > 0 && events != page_events {
            return Err(fields.bad("another number of events than the page has"));
        }
        self.ends.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// A page's tallies; none when it is plain lines.
    #[must_use]
    pub fn of(&self, page: u32) -> &[Tally] {
        part(&self.all, &self.ends, page)
    }

    /// The kinds of bytes in each cell of a template.
    #[must_use]
    pub fn alphabets_of(&self, template: u32) -> &[Alphabet] {
        part(&self.alphabets, &self.alphabet_ends, template)
    }
}

fn part<'a, T>(all: &'a [T], ends: &[u32], number: u32) -> &'a [T] {
    let end_of = |number: u32| ends.get(number as usize).copied();
    let start = number.checked_sub(1).map_or(Some(0), end_of);
    let range = start.zip(end_of(number)).map(|(start, end)| start as usize..end as usize);
    range.and_then(|range| all.get(range)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::templates::TemplateBook;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn page(events: u32) -> PageEntry {
        PageEntry { events, ..PageEntry::of(std::iter::empty(), &[]) }
    }

    /// So many templates, each with a cell more than the one before; after the third none again.
    fn table(count: u32) -> TemplateBook {
        let mut book = TemplateBook::default();
        book.number(
            (0..count).map(|number| format!("{number}{}", "\x11".repeat(number as usize % 4)).into_bytes()).collect(),
        );
        book
    }

    proptest! {
        #[test]
        fn tallies_go_there_and_back(
            mut pages in proptest::collection::vec(
                proptest::collection::btree_map(0u32..20, (1u32..1000, 0u8..8), 0..9), 0..20),
        ) {
            let count = pages.iter().filter_map(|page| page.keys().next_back()).max().map_or(0, |most| most + 1);
            // Every template is on some page.
            let missing = (0..count).filter(|template| !pages.iter().any(|page| page.contains_key(template)));
            let missing: BTreeMap<u32, (u32, u8)> = missing.map(|template| (template, (1, 0))).collect();
            pages.push(missing);
            let mut book = TallyBook::default();
            let mut kinds: BTreeMap<u32, u8> = BTreeMap::new();
            for page in &pages {
                let mut uses = Vec::new();
                for (&template, &(events, own)) in page.iter().rev() {
                    *kinds.entry(template).or_default() |= 1 << own;
                    let alphabets = vec![Alphabet(1 << own); template as usize % 4];
                    uses.push(Use { tally: Tally { template, events }, alphabets });
                }
                book.page(uses);
            }
            let bytes = book.finish();
            let entries: Vec<PageEntry> =
                pages.iter().map(|tallies| page(tallies.values().map(|(events, _)| events).sum())).collect();
            let back = Tallies::read(&bytes, &entries, table(count).table()).unwrap();
            for (number, page) in (0..).zip(&pages) {
                let tallies: Vec<Tally> =
                    page.iter().map(|(&template, &(events, _))| Tally { template, events }).collect();
                prop_assert_eq!(back.of(number), tallies);
            }
            for (template, kinds) in kinds {
                prop_assert_eq!(back.alphabets_of(template), vec![Alphabet(kinds); template as usize % 4]);
            }
            prop_assert!(back.of(pages.len() as u32).is_empty() && back.alphabets_of(count).is_empty());
            prop_assert!(count == 0 || Tallies::read(&bytes, &entries, table(count - 1).table()).is_err());
            let more: Vec<PageEntry> = entries.iter().map(|entry| page(entry.events + 1)).collect();
            prop_assert_eq!(Tallies::read(&bytes, &more, table(count).table()).is_ok(), count == 0);
        }

        #[test]
        fn any_bytes_are_tallies_or_refused(bytes: Vec<u8>, pages in 0usize..9) {
            let pages = vec![page(3); pages];
            let _ = Tallies::read(&bytes, &pages, table(9).table());
        }
    }
}
