//! Templates: what lines of one kind have in common, and what differs.
//!
//! A line is cut into words and the marks between them. A word with a digit becomes a cell, everything else the
//! line's template; lines of one template lie in one table, whose columns squeeze far better than lines do.
//! Words that differ although nothing about them is a number (names of users, of files) would make a template
//! each; so templates that differ only in their words are laid together, and where they differ a lot, that
//! place becomes a column too.
//!
//! In a template the byte 0x11 stands where a cell was. A word in which that byte itself stands is a cell, so
//! any line comes back to the byte.

use rustc_hash::FxHashMap;

/// Stands for a cell. Not a mark and in no literal word.
pub const CELL: u8 = 0x11;

/// Stands for a word while shapes are compared.
const WORD: u8 = 0x12;

/// A place in a shape becomes a column when at least so many different words stood there.
const WORDS_MIN: usize = 4;

const MARK: u8 = 1;
const MAKES_CELL: u8 = 2;
const KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128u8 {
        if byte.is_ascii_digit() || byte == CELL || byte == WORD {
            table[byte as usize] = MAKES_CELL;
        } else if !byte.is_ascii_alphabetic() && byte != b'.' {
            table[byte as usize] = MARK;
        }
        byte += 1;
    }
    table
}

/// A page's lines as templates and cells.
#[derive(Debug, Default)]
pub struct Split<'a> {
    /// In the order of their first line.
    pub templates: Vec<Vec<u8>>,
    /// Each line's template.
    pub of_line: Vec<u32>,
    /// The cells of lines, each line's one after another.
    cells: Vec<&'a [u8]>,
    /// Where each line's cells begin.
    starts: Vec<u32>,
}

/// How lines are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At every mark.
    Words,
    /// What stands between quotes is one cell. Right where browsers name themselves, wrong for JSON.
    Quotes,
}

impl Cut {
    /// Whether lines have text in quotes that may be better left whole.
    #[must_use]
    pub fn quotes_may_pay(lines: &[&[u8]]) -> bool {
        let some = lines.get(..SAMPLE_LINES).unwrap_or(lines);
        let quoted =
            |line: &&&[u8]| line.split(|&byte| byte == b'"').skip(1).step_by(2).any(|inside| inside.contains(&b' '));
        some.iter().filter(quoted).count() * 2 > some.len()
    }
}

/// Lines looked at to see whether quotes matter.
const SAMPLE_LINES: usize = 64;

impl<'a> Split<'a> {
    #[must_use]
    pub fn of(lines: &[&'a [u8]], how: Cut) -> Self {
        let mut split = Self::default();
        split.of_line.reserve(lines.len());
        split.starts.reserve(lines.len());
        let mut known: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
        let (mut template, mut before) = (Vec::new(), (Vec::new(), 0));
        for line in lines {
            split.starts.push(count_u32(split.cells.len()));
            template.clear();
            cut(line, how, &mut template, &mut split.cells);
            // Lines of one kind come in runs.
            if template != before.0 || split.of_line.is_empty() {
                let next = count_u32(known.len());
                let id = known.get(&template).copied().unwrap_or_else(|| {
                    known.insert(template.clone(), next);
                    next
                });
                std::mem::swap(&mut template, &mut before.0);
                before.1 = id;
            }
            split.of_line.push(before.1);
        }
        split.templates.resize_with(known.len(), Vec::new);
        for (template, id) in known {
            split.templates[id as usize] = template;
        }
        split
    }

    /// The lines of each template, in order.
    #[must_use]
    pub fn lines_of_templates(&self) -> LinesOf {
        let mut ends = vec![0u32; self.templates.len() + 1];
        for &template in &self.of_line {
            ends[template as usize + 1] += 1;
        }
        for at in 1..ends.len() {
            ends[at] += ends[at - 1];
        }
        let mut lines = vec![0; self.of_line.len()];
        for (line, &template) in self.of_line.iter().enumerate() {
            let next = &mut ends[template as usize];
            lines[*next as usize] = count_u32(line);
            *next += 1;
        }
        LinesOf { lines, ends }
    }

    /// The first `count` cells of a line.
    #[must_use]
    pub fn cells_of(&self, line: usize, count: usize) -> &[&'a [u8]] {
        &self.cells[self.starts[line] as usize..][..count]
    }

    /// Appends one column of a template: a cell of each of its lines.
    pub fn column(&self, lines: &[u32], slot: usize, column: &mut Vec<&'a [u8]>) {
        column.extend(lines.iter().map(|&line| self.cells[self.starts[line as usize] as usize + slot]));
    }
}

/// The lines of each template.
#[derive(Debug)]
pub struct LinesOf {
    lines: Vec<u32>,
    /// Where each template's lines end.
    ends: Vec<u32>,
}

impl LinesOf {
    #[must_use]
    pub fn template(&self, template: usize) -> &[u32] {
        let start = template.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.lines[start as usize..self.ends[template] as usize]
    }
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("lines of a page are capped")
}

/// How many cells a template has.
#[must_use]
pub fn cells_in(template: &[u8]) -> usize {
    template.iter().filter(|&&byte| byte == CELL).count()
}

/// Appends a line's template and its cells.
fn cut<'a>(line: &'a [u8], how: Cut, template: &mut Vec<u8>, cells: &mut Vec<&'a [u8]>) {
    // Up to here all is in the template or in a cell.
    let mut done = 0;
    let mut cell = |from: usize, to: usize| {
        template.extend_from_slice(&line[done..from]);
        template.push(CELL);
        cells.push(&line[from..to]);
        done = to;
    };
    let mut at = 0;
    while at < line.len() {
        let start = at;
        let mut kinds = 0;
        for &byte in &line[start..] {
            let kind = KINDS[usize::from(byte)];
            if kind == MARK {
                break;
            }
            kinds |= kind;
            at += 1;
        }
        if at == start + 8 && is_uuid(&line[start..]) {
            (at, kinds) = (start + UUID_BYTES, MAKES_CELL);
        }
        if kinds != 0 {
            cell(start, at);
        }
        while at < line.len() && KINDS[usize::from(line[at])] == MARK {
            at += 1;
            if how == Cut::Quotes
                && line[at - 1] == b'"'
                && let Some(inside) = memchr::memchr(b'"', &line[at..])
            {
                if inside > 0 {
                    cell(at, at + inside);
                }
                at += inside + 1;
            }
        }
    }
    template.extend_from_slice(&line[done..]);
}

/// Eight hexadecimal digits, three times four, and twelve, with dashes between.
pub const UUID_BYTES: usize = 36;

/// Whether such an identity begins here and ends with its word. Its parts mean nothing alone.
fn is_uuid(line: &[u8]) -> bool {
    let Some((head, tail)) = line.split_at_checked(UUID_BYTES) else { return false };
    let fits = |(at, byte): (usize, &u8)| {
        if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    head.iter().enumerate().all(fits) && tail.first().is_none_or(|&next| KINDS[usize::from(next)] == MARK)
}

/// Lays together templates that differ only in their words. Words taken out of templates become cells.
#[must_use]
pub fn merge<'a>(mut split: Split<'a>, lines: &[&'a [u8]]) -> Split<'a> {
    let mut plans = plans_of(&split, lines);
    if plans.is_empty() {
        return split;
    }
    let mut known: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    let mut numbers = Vec::with_capacity(split.templates.len());
    for (id, template) in (0..).zip(std::mem::take(&mut split.templates)) {
        let template = plans.get_mut(&id).map_or(template, |plan| std::mem::take(&mut plan.template));
        let next = count_u32(known.len());
        numbers.push(*known.entry(template).or_insert(next));
    }
    for line in 0..split.of_line.len() {
        if let Some(plan) = plans.get(&split.of_line[line]) {
            let first = split.starts[line] as usize;
            split.starts[line] = count_u32(split.cells.len());
            for cell in &plan.cells {
                let cell = match cell {
                    CellFrom::Line(slot) => split.cells[first + slot],
                    CellFrom::Template(word) => word,
                };
                split.cells.push(cell);
            }
        }
        split.of_line[line] = numbers[split.of_line[line] as usize];
    }
    split.templates.resize_with(known.len(), Vec::new);
    for (template, id) in known {
        split.templates[id as usize] = template;
    }
    split
}

/// What becomes of a template's lines.
struct Plan<'a> {
    template: Vec<u8>,
    cells: Vec<CellFrom<'a>>,
}

enum CellFrom<'a> {
    Line(usize),
    Template(&'a [u8]),
}

/// For the templates of which words become cells.
fn plans_of<'a>(split: &Split<'a>, lines: &[&'a [u8]]) -> FxHashMap<u32, Plan<'a>> {
    let mut plans = FxHashMap::default();
    let alike = alike(&split.templates);
    if alike.is_empty() {
        return plans;
    }
    let mut first_lines = vec![usize::MAX; split.templates.len()];
    for (line, &template) in split.of_line.iter().enumerate().rev() {
        first_lines[template as usize] = line;
    }
    for ids in alike {
        let parts_of = |&id: &u32| {
            let line = first_lines[id as usize];
            parts_of(&split.templates[id as usize], lines[line], &split.cells[split.starts[line] as usize..])
        };
        let parts: Vec<Vec<Part<'a>>> = ids.iter().map(parts_of).collect();
        let opened = opened_places(&parts);
        if opened.contains(&true) {
            plans.extend(ids.iter().zip(&parts).map(|(&id, parts)| (id, plan_of(parts, &opened))));
        }
    }
    plans
}

/// Templates that differ in nothing but words, where there are enough of them to matter.
fn alike(templates: &[Vec<u8>]) -> Vec<Vec<u32>> {
    let (mut shapes, mut ends) = (Vec::new(), Vec::with_capacity(templates.len()));
    for template in templates {
        put_shape(template, &mut shapes);
        ends.push(shapes.len());
    }
    let mut groups: FxHashMap<&[u8], usize> = FxHashMap::default();
    let (mut group_of, mut sizes) = (Vec::with_capacity(templates.len()), Vec::new());
    let mut start = 0;
    for end in ends {
        let group = *groups.entry(&shapes[start..end]).or_insert(sizes.len());
        if group == sizes.len() {
            sizes.push(0);
        }
        sizes[group] += 1;
        group_of.push(group);
        start = end;
    }
    let mut alike: Vec<Vec<u32>> = sizes.iter().map(|_| Vec::new()).collect();
    for (id, group) in group_of.into_iter().enumerate().filter(|(_, group)| sizes[*group] >= WORDS_MIN) {
        alike[group].push(count_u32(id));
    }
    alike.retain(|ids| !ids.is_empty());
    alike
}

/// A template with one byte for each word.
fn put_shape(template: &[u8], shape: &mut Vec<u8>) {
    let mut in_word = false;
    for &byte in template {
        if byte == CELL || KINDS[usize::from(byte)] == MARK {
            shape.push(byte);
            in_word = false;
        } else if !in_word {
            shape.push(WORD);
            in_word = true;
        }
    }
}

enum Part<'a> {
    Marks(&'a [u8]),
    Word(&'a [u8]),
    Cell,
}

/// The parts of a template, as they stand in a line with these cells.
fn parts_of<'a>(template: &[u8], line: &'a [u8], cells: &[&[u8]]) -> Vec<Part<'a>> {
    let kind = |byte: u8| (KINDS[usize::from(byte)] == MARK, byte == CELL);
    let mut cells = cells.iter();
    let mut at = 0;
    let mut parts = Vec::new();
    for part in template.chunk_by(|&a, &b| kind(a) == kind(b) && a != CELL) {
        let length = if part[0] == CELL { cells.next().map_or(0, |cell| cell.len()) } else { part.len() };
        let bytes = &line[at..at + length];
        at += length;
        parts.push(match kind(part[0]) {
            (_, true) => Part::Cell,
            (true, _) => Part::Marks(bytes),
            _ => Part::Word(bytes),
        });
    }
    parts
}

/// For templates of one shape: at which parts words differ so much that they should be a column.
fn opened_places(parts: &[Vec<Part<'_>>]) -> Vec<bool> {
    (0..parts[0].len())
        .map(|place| {
            let mut words: Vec<&[u8]> = parts
                .iter()
                .filter_map(|parts| match parts[place] {
                    Part::Word(word) => Some(word),
                    _ => None,
                })
                .collect();
            words.sort_unstable();
            words.dedup();
            words.len() >= WORDS_MIN && words.len() * words.len() >= parts.len()
        })
        .collect()
}

fn plan_of<'a>(parts: &[Part<'a>], opened: &[bool]) -> Plan<'a> {
    let mut plan = Plan { template: Vec::new(), cells: Vec::new() };
    let mut slot = 0;
    for (part, &open) in parts.iter().zip(opened) {
        match part {
            Part::Marks(marks) => plan.template.extend_from_slice(marks),
            Part::Cell => {
                plan.template.push(CELL);
                plan.cells.push(CellFrom::Line(slot));
                slot += 1;
            }
            Part::Word(word) if open => {
                plan.template.push(CELL);
                plan.cells.push(CellFrom::Template(word));
            }
            Part::Word(word) => plan.template.extend_from_slice(word),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Puts the lines together again.
    fn lines_of(split: &Split<'_>) -> Vec<Vec<u8>> {
        let slots: Vec<usize> = split.templates.iter().map(|template| cells_in(template)).collect();
        (0..split.of_line.len())
            .map(|line| {
                let template = split.of_line[line] as usize;
                let mut cells = split.cells[split.starts[line] as usize..][..slots[template]].iter();
                let mut out = Vec::new();
                for &byte in &split.templates[template] {
                    if byte == CELL {
                        out.extend_from_slice(cells.next().unwrap());
                    } else {
                        out.push(byte);
                    }
                }
                out
            })
            .collect()
    }

    #[test]
    fn words_with_digits_are_cells() {
        let check = |line: &[u8], template: &[u8], cells: &[&[u8]]| {
            let split = Split::of(&[line], Cut::Words);
            assert_eq!(split.templates, [template.to_vec()]);
            assert_eq!(split.cells, cells);
        };
        check(b"took 17 ms", b"took \x11 ms", &[b"17"]);
        check(b"10.0.0.7:443 up", b"\x11:\x11 up", &[b"10.0.0.7", b"443"]);
        check(b"", b"", &[]);
        check(
            b"of 0b1f9c00-12ab-4f00-9e1d-00aa11bb22cc: ok",
            b"of \x11: ok",
            &[b"0b1f9c00-12ab-4f00-9e1d-00aa11bb22cc"],
        );
        check(b"odd \x11 byte", b"odd \x11 byte", &[b"\x11"]);
    }

    #[test]
    fn what_is_quoted_can_be_one_cell() {
        let line = b"1 \"GET /a b\" \"\" \"x\" \"open".as_slice();
        let split = Split::of(&[line], Cut::Quotes);
        assert_eq!(split.templates, [b"\x11 \"\x11\" \"\" \"\x11\" \"open".to_vec()]);
        assert_eq!(split.cells, [b"1".as_slice(), b"GET /a b", b"x"]);
        assert!(Cut::quotes_may_pay(&[line]) && !Cut::quotes_may_pay(&[b"{\"a\": \"b\"}"]));
    }

    #[test]
    fn names_become_a_column() {
        let lines: Vec<Vec<u8>> =
            ["ann", "bob", "cid", "dan", "eve"].iter().map(|who| format!("user {who} went").into_bytes()).collect();
        let slices: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let split = Split::of(&slices, Cut::Words);
        assert_eq!(split.templates.len(), 5);
        let merged = merge(split, &slices);
        assert_eq!(merged.templates, [b"user \x11 went".to_vec()]);
        assert_eq!(lines_of(&merged), lines);
    }

    proptest! {
        #[test]
        fn any_lines_come_back(lines in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..30),
                "(a|b|c|d|e)(1|22|:)(x|y|\x11|\x12|\n| )".prop_map(String::into_bytes),
                "[a\" 1]{0,9}(0b1f9c00-12ab-4f00-9e1d-00aa11bb22cc)?[\" x]{0,3}".prop_map(String::into_bytes),
            ], 0..40), quotes: bool) {
            let slices: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let split = Split::of(&slices, if quotes { Cut::Quotes } else { Cut::Words });
            prop_assert_eq!(&lines_of(&split), &lines);
            let merged = merge(split, &slices);
            prop_assert_eq!(&lines_of(&merged), &lines);
        }
    }
}
