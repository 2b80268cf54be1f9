//! What templates tell of a query: how many lines of a page fit, without the page opened.
//!
//! A text that stands in what a template always says is in every line of it; one that can't be in a cell of the page,
//! nor half in one, is in no other line. The index says what can be in a page's cells, the tallies how many lines each
//! template has there. So three answers are known of a page's lines of one template: all fit, none does, or they must
//! be read; and answers of parts of a query make the whole's.
//!
//! Each template is asked once a block. Only ever what is certain is told: the query itself decides on lines.

use super::BlockError;
use super::alphabet::Alphabet;
use super::opened::Opened;
use super::tallies::Tallies;
use super::template::CELL;
use super::templates::TemplateTable;
use crate::plan::{Leaves, TextPages, levels_of, text_leaves};
use proto::event::Flags;
use proto::query::{ByteSet, Expr, Field, Finder, Need, Pattern, Query, Reach, Stretch, Text};
use std::collections::BTreeSet;

/// What is known of some lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    All,
    None,
    /// They must be read.
    Unknown,
}

impl Fit {
    fn of(all: bool, any: bool) -> Self {
        match (all, any) {
            (true, _) => Self::All,
            (_, false) => Self::None,
            _ => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::All => Self::None,
            Self::None => Self::All,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// What is known of a page's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// So many fit.
    pub fitting: u64,
    /// So many more may.
    pub unknown: u64,
    /// Those of these templates, in order.
    pub templates: Vec<u32>,
}

/// Tells of one block's pages.
#[derive(Debug)]
pub struct Teller<'o> {
    opened: &'o Opened,
    tallies: &'o Tallies,
    templates: &'o TemplateTable,
    root: Node,
}

/// A query's parts, each as far as templates can tell.
#[derive(Debug)]
enum Node {
    Known(Fit),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Text(Box<TextNode>),
    /// Decided by source and level: the levels that fit, for each source.
    Place(Vec<u8>),
    /// Nothing fits that lacks this, nor what the pattern can't match. All of a template's lines fit where the
    /// pattern matches what it always says.
    Needs(Box<Node>, Option<Box<PatternNode>>),
}

#[derive(Debug)]
struct TextNode {
    text: Text,
    finder: Finder,
    /// All its bytes but the last one, and but the first one, in either case.
    heads: ByteSet,
    tails: ByteSet,
    pages: TextPages,
    /// What is known of each template so far.
    known: Vec<u8>,
}

#[derive(Debug)]
struct PatternNode {
    pattern: Pattern,
    is_local: bool,
    /// Nothing when it is too large to be asked.
    reach: Option<Reach>,
    known: Vec<u8>,
}

const ASKED: u8 = 1;
/// What was looked for stands in what the template always says.
const FIXED: u8 = 2;
/// It can stand partly in that and partly in a cell.
const ACROSS: u8 = 4;
const HAS_CELLS: u8 = 8;
/// No line of the template matches.
const OUT_OF_REACH: u8 = 16;

/// The leaves of the index a teller must have.
#[must_use]
pub fn leaves(query: &Query, opened: &Opened) -> BTreeSet<usize> {
    let mut leaves = BTreeSet::new();
    each_text(&query.expr, &mut |text| text_leaves(text, opened, &mut leaves));
    leaves
}

fn each_text(expr: &Expr, visit: &mut impl FnMut(&[u8])) {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| each_text(part, visit)),
        Expr::Not(inner) => each_text(inner, visit),
        Expr::Text(text) => visit(&text.bytes),
        Expr::Pattern(pattern) => match pattern.texts() {
            Some(texts) => texts.iter().for_each(|text| visit(&text.bytes)),
            None => each_needed(&Query::from(expr.clone()).need(), visit),
        },
        Expr::Field(Field::Parsed(_), _) => each_needed(&Query::from(expr.clone()).need(), visit),
        Expr::Everything | Expr::Field(..) => {}
    }
}

fn each_needed(need: &Need, visit: &mut impl FnMut(&[u8])) {
    match need {
        Need::Anything => {}
        Need::Bytes(bytes) => visit(bytes),
        Need::All(parts) | Need::Any(parts) => parts.iter().for_each(|part| each_needed(part, visit)),
    }
}

/// Makes the tree of one block.
struct Maker<'o, 'l> {
    opened: &'o Opened,
    leaves: &'l Leaves,
    templates: usize,
}

impl Maker<'_, '_> {
    fn node(&self, expr: &Expr) -> Result<Node, BlockError> {
        let each = |parts: &[Expr]| parts.iter().map(|part| self.node(part)).collect::<Result<Vec<_>, _>>();
        Ok(match expr {
            Expr::Everything => Node::Known(Fit::All),
            Expr::And(all) => Node::All(each(all)?),
            Expr::Or(any) => Node::Any(each(any)?),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner)?)),
            Expr::Text(text) => self.text(text.clone())?,
            Expr::Pattern(pattern) => self.pattern(expr, pattern)?,
            Expr::Field(Field::Parsed(_), _) => {
                Node::Needs(Box::new(self.need(&Query::from(expr.clone()).need())?), None)
            }
            Expr::Field(Field::Id, _) => Node::Known(Fit::Unknown),
            Expr::Field(..) => {
                let query = Query::from(expr.clone());
                Node::Place(self.opened.sources.iter().map(|source| levels_of(&query, source)).collect())
            }
        })
    }

    fn text(&self, text: Text) -> Result<Node, BlockError> {
        Ok(Node::Text(Box::new(TextNode {
            finder: Finder::new(&text.bytes, text.exact),
            heads: either_case(text.bytes.split_last().map_or(&[], |(_, heads)| heads)),
            tails: either_case(text.bytes.split_first().map_or(&[], |(_, tails)| tails)),
            pages: TextPages::of(&text.bytes, self.opened, self.leaves)?,
            known: vec![0; self.templates],
            text,
        })))
    }

    fn pattern(&self, expr: &Expr, pattern: &Pattern) -> Result<Node, BlockError> {
        if let Some(texts) = pattern.texts() {
            return Ok(Node::Any(texts.into_iter().map(|text| self.text(text)).collect::<Result<_, _>>()?));
        }
        let need = self.need(&Query::from(expr.clone()).need())?;
        Ok(Node::Needs(
            Box::new(need),
            Some(Box::new(PatternNode {
                is_local: pattern.is_local(),
                reach: pattern.reach(),
                known: vec![0; self.templates],
                pattern: pattern.clone(),
            })),
        ))
    }

    fn need(&self, need: &Need) -> Result<Node, BlockError> {
        let each = |parts: &[Need]| parts.iter().map(|part| self.need(part)).collect::<Result<Vec<_>, _>>();
        Ok(match need {
            Need::Anything => Node::Known(Fit::Unknown),
            Need::Bytes(bytes) => self.text(Text::new(bytes, false))?,
            Need::All(all) => Node::All(each(all)?),
            Need::Any(any) => Node::Any(each(any)?),
        })
    }
}

impl<'o> Teller<'o> {
    /// `None` where the block has nothing to tell by. `leaves` has at least those of [`leaves`].
    pub fn new(query: &Query, opened: &'o Opened, leaves: &Leaves) -> Result<Option<Self>, BlockError> {
        let (Ok(tallies), Ok(templates)) = (&opened.tallies, &opened.templates) else { return Ok(None) };
        let maker = Maker { opened, leaves, templates: templates.count() };
        Ok(Some(Self { opened, tallies, templates, root: maker.node(&query.expr)? }))
    }

    /// What is known of a page's lines, whatever their time; `None` where it has no templates or lines were cut.
    pub fn page(&mut self, number: u32) -> Option<Told> {
        let page = self.opened.pages.get(number as usize)?;
        let tallies = self.tallies.of(number);
        if tallies.is_empty() || Flags(page.flags).has(Flags::CONTINUES) {
            return None;
        }
        let mut told = Told::default();
        let (tallies_of, templates) = (self.tallies, self.templates);
        let asked = Asked { number, sources: &page.sources, levels: page.levels, templates, tallies: tallies_of };
        for tally in tallies {
            match self.root.fit(&asked, tally.template)? {
                Fit::All => told.fitting += u64::from(tally.events),
                Fit::None => {}
                Fit::Unknown => {
                    told.unknown += u64::from(tally.events);
                    told.templates.push(tally.template);
                }
            }
        }
        Some(told)
    }
}

/// A page that is asked about.
struct Asked<'a> {
    number: u32,
    sources: &'a [u32],
    levels: u8,
    templates: &'a TemplateTable,
    tallies: &'a Tallies,
}

impl Node {
    /// What is known of a page's lines of one template; `None` when there is no such template.
    fn fit(&mut self, asked: &Asked<'_>, template: u32) -> Option<Fit> {
        match self {
            Self::Known(fit) => Some(*fit),
            Self::All(all) => joined(all, asked, template, Fit::None),
            Self::Any(any) => joined(any, asked, template, Fit::All),
            Self::Not(inner) => Some(inner.fit(asked, template)?.not()),
            Self::Text(text) => text.fit(asked, template),
            Self::Place(levels) => {
                let fitting = |source: &u32| levels.get(*source as usize).copied().unwrap_or(0) & asked.levels;
                let all = asked.sources.iter().all(|source| fitting(source) == asked.levels);
                Some(Fit::of(all, asked.sources.iter().any(|source| fitting(source) != 0)))
            }
            Self::Needs(need, pattern) => match (need.fit(asked, template)?, pattern) {
                (Fit::None, _) => Some(Fit::None),
                (_, Some(pattern)) => pattern.fit(asked, template),
                (_, None) => Some(Fit::Unknown),
            },
        }
    }
}

/// `decisive` when one is, the contrary when all are that.
fn joined(nodes: &mut [Node], asked: &Asked<'_>, template: u32, decisive: Fit) -> Option<Fit> {
    let mut joined = decisive.not();
    for node in nodes {
        match node.fit(asked, template)? {
            fit if fit == decisive => return Some(decisive),
            Fit::Unknown => joined = Fit::Unknown,
            _ => {}
        }
    }
    Some(joined)
}

impl TextNode {
    fn fit(&mut self, asked: &Asked<'_>, template: u32) -> Option<Fit> {
        if *self.known.get(template as usize)? == 0 {
            let known = ask(self, asked.templates.get(u64::from(template))?);
            *self.known.get_mut(template as usize)? = known;
        }
        let known = *self.known.get(template as usize)?;
        let across = known & ACROSS != 0 && self.pages.at_cells.contains(asked.number);
        let inside = known & HAS_CELLS != 0 && self.pages.in_cells.contains(asked.number);
        Some(Fit::of(known & FIXED != 0, across || inside))
    }
}

impl PatternNode {
    fn fit(&mut self, asked: &Asked<'_>, template: u32) -> Option<Fit> {
        if *self.known.get(template as usize)? == 0 {
            let known = self.ask(asked.templates.get(u64::from(template))?, asked.tallies.alphabets_of(template));
            *self.known.get_mut(template as usize)? = known;
        }
        let known = *self.known.get(template as usize)?;
        Some(Fit::of(known & FIXED != 0, known & OUT_OF_REACH == 0))
    }

    fn ask(&mut self, template: &[u8], alphabets: &[Alphabet]) -> u8 {
        let mut runs = template.split(|&byte| byte == CELL);
        if self.is_local && runs.clone().any(|run| self.pattern.is_match(run)) {
            return ASKED | FIXED;
        }
        let Some(reach) = &mut self.reach else { return ASKED };
        let cells: Vec<ByteSet> = alphabets.iter().map(|alphabet| alphabet.bytes()).collect();
        let first = runs.next().map(Stretch::Fixed);
        let others = cells.iter().zip(runs).flat_map(|(cell, run)| [Stretch::Any(cell), Stretch::Fixed(run)]);
        ASKED | if reach.can_match(first.into_iter().chain(others)) { 0 } else { OUT_OF_REACH }
    }
}

/// What a template says of a text. The byte that stands for cells is in no line's fixed text.
fn ask(node: &TextNode, template: &[u8]) -> u8 {
    let text = &node.text.bytes;
    let cells = memchr::memchr_iter(CELL, template).count();
    let is_fixed = !text.contains(&CELL) && node.finder.is_in(template);
    let is_across = template.split(|&byte| byte == CELL).enumerate().any(|(at, run)| {
        // Nearly every stretch ends and begins with a byte that says no.
        let begins_in = at < cells && run.last().is_some_and(|&byte| node.heads.contains(byte));
        let ends_in = at > 0 && run.first().is_some_and(|&byte| node.tails.contains(byte));
        begins_in && overlaps(text, run, at > 0) || ends_in && is_reached(text, run, at < cells)
    });
    let mut known = ASKED;
    for (is, what) in [(is_fixed, FIXED), (is_across, ACROSS), (cells > 0, HAS_CELLS)] {
        known |= if is { what } else { 0 };
    }
    known
}

/// These bytes in either case.
fn either_case(bytes: &[u8]) -> ByteSet {
    ByteSet::of(bytes.iter().flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]))
}

/// Whether a proper beginning of the text ends where the run does; it may begin before the run if that `can_reach_back`.
fn overlaps(text: &[u8], run: &[u8], can_reach_back: bool) -> bool {
    let Some(last) = run.last() else { return false };
    (1..text.len()).any(|length| {
        let (Some(head), true) =
            (text.get(..length), text.get(length - 1).is_some_and(|byte| byte.eq_ignore_ascii_case(last)))
        else {
            return false;
        };
        ends_with(run, head) || can_reach_back && ends_with(head, run)
    })
}

/// Whether a proper end of the text begins where the run does; it may go on behind the run if that `can_reach_on`.
fn is_reached(text: &[u8], run: &[u8], can_reach_on: bool) -> bool {
    let Some(first) = run.first() else { return false };
    (1..text.len()).any(|at| {
        let Some(tail) =
            text.get(at..).filter(|tail| tail.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first)))
        else {
            return false;
        };
        starts_with(run, tail) || can_reach_on && starts_with(tail, run)
    })
}

fn ends_with(bytes: &[u8], end: &[u8]) -> bool {
    bytes.len().checked_sub(end.len()).and_then(|at| bytes.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests;
