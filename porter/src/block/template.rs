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
    /// All lines' cells one after another.
    cells: Vec<&'a [u8]>,
    /// Where each line's cells begin.
    starts: Vec<usize>,
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
        let mut known: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
        let mut template = Vec::new();
        for line in lines {
            split.starts.push(split.cells.len());
            template.clear();
            cut(line, how, &mut template, &mut split.cells);
            let id = known.get(&template).copied().unwrap_or_else(|| {
                let id = count_u32(known.len());
                known.insert(template.clone(), id);
                split.templates.push(template.clone());
                id
            });
            split.of_line.push(id);
        }
        split
    }

    /// The lines of each template, in order.
    #[must_use]
    pub fn lines_of_templates(&self) -> Vec<Vec<u32>> {
        let mut lines = vec![Vec::new(); self.templates.len()];
        for (line, &template) in self.of_line.iter().enumerate() {
            lines[template as usize].push(count_u32(line));
        }
        lines
    }

    /// The first `count` cells of a line.
    #[must_use]
    pub fn cells_of(&self, line: usize, count: usize) -> &[&'a [u8]] {
        &self.cells[self.starts[line]..][..count]
    }

    /// One column of a template: a cell of each of its lines.
    #[must_use]
    pub fn column(&self, lines: &[u32], slot: usize) -> Vec<&'a [u8]> {
        lines.iter().map(|&line| self.cells[self.starts[line as usize] + slot]).collect()
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
    let mut at = 0;
    while at < line.len() {
        let start = at;
        let mut kinds = 0;
        while at < line.len() && KINDS[usize::from(line[at])] != MARK {
            kinds |= KINDS[usize::from(line[at])];
            at += 1;
        }
        if at == start + 8 && is_uuid(&line[start..]) {
            (at, kinds) = (start + UUID_BYTES, MAKES_CELL);
        }
        if kinds == 0 {
            template.extend_from_slice(&line[start..at]);
        } else {
            template.push(CELL);
            cells.push(&line[start..at]);
        }
        while at < line.len() && KINDS[usize::from(line[at])] == MARK {
            template.push(line[at]);
            at += 1;
            if how == Cut::Quotes
                && line[at - 1] == b'"'
                && let Some(inside) = memchr::memchr(b'"', &line[at..])
            {
                if inside > 0 {
                    template.push(CELL);
                    cells.push(&line[at..at + inside]);
                }
                template.push(b'"');
                at += inside + 1;
            }
        }
    }
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

/// Lays together templates that differ only in their words. `templates` must outlive the result, because words
/// taken out of templates become cells.
#[must_use]
pub fn merge<'a>(split: &Split<'a>, templates: &'a [Vec<u8>]) -> Split<'a> {
    let plans = plans_of(templates);
    let mut merged = Split::default();
    let mut known: FxHashMap<&[u8], u32> = FxHashMap::default();
    for (line, &template) in split.of_line.iter().enumerate() {
        let plan = &plans[template as usize];
        merged.starts.push(merged.cells.len());
        let first = split.starts[line];
        merged.cells.extend(plan.cells.iter().map(|cell| match cell {
            CellFrom::Line(slot) => split.cells[first + slot],
            CellFrom::Template(word) => word,
        }));
        let id = *known.entry(&plan.template).or_insert_with(|| {
            merged.templates.push(plan.template.clone());
            count_u32(merged.templates.len() - 1)
        });
        merged.of_line.push(id);
    }
    merged
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

fn plans_of(templates: &[Vec<u8>]) -> Vec<Plan<'_>> {
    let mut shapes: FxHashMap<Vec<u8>, Vec<usize>> = FxHashMap::default();
    let parts: Vec<Vec<Part<'_>>> = templates.iter().map(|template| parts_of(template)).collect();
    for (id, parts) in parts.iter().enumerate() {
        shapes.entry(shape_of(parts)).or_default().push(id);
    }
    let mut plans: Vec<Option<Plan<'_>>> = templates.iter().map(|_| None).collect();
    for ids in shapes.values() {
        let opened = opened_places(ids, &parts);
        for &id in ids {
            plans[id] = Some(plan_of(&parts[id], &opened));
        }
    }
    plans.into_iter().map(|plan| plan.expect("every template has a shape")).collect()
}

enum Part<'a> {
    Marks(&'a [u8]),
    Word(&'a [u8]),
    Cell,
}

fn parts_of(template: &[u8]) -> Vec<Part<'_>> {
    let kind = |byte: u8| (KINDS[usize::from(byte)] == MARK, byte == CELL);
    template
        .chunk_by(|&a, &b| kind(a) == kind(b))
        .map(|part| match kind(part[0]) {
            (_, true) => Part::Cell,
            (true, _) => Part::Marks(part),
            _ => Part::Word(part),
        })
        .collect()
}

fn shape_of(parts: &[Part<'_>]) -> Vec<u8> {
    let mut shape = Vec::new();
    for part in parts {
        match part {
            Part::Marks(marks) => shape.extend_from_slice(marks),
            Part::Word(_) => shape.push(WORD),
            Part::Cell => shape.push(CELL),
        }
    }
    shape
}

/// For templates of one shape: at which parts words differ so much that they should be a column.
fn opened_places(ids: &[usize], parts: &[Vec<Part<'_>>]) -> Vec<bool> {
    let count = parts[ids[0]].len();
    if ids.len() < WORDS_MIN {
        return vec![false; count];
    }
    (0..count)
        .map(|place| {
            let mut words: Vec<&[u8]> = ids
                .iter()
                .filter_map(|&id| match parts[id][place] {
                    Part::Word(word) => Some(word),
                    _ => None,
                })
                .collect();
            words.sort_unstable();
            words.dedup();
            words.len() >= WORDS_MIN && words.len() * words.len() >= ids.len()
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
                let mut cells = split.cells[split.starts[line]..][..slots[template]].iter();
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
        let merged = merge(&split, &split.templates);
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
            let merged = merge(&split, &split.templates);
            prop_assert_eq!(&lines_of(&merged), &lines);
        }
    }
}
