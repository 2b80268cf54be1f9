//! From a query to the pages that can hold a match, before any of them is opened.
//!
//! A plan is a tree of what an answer needs: grams that must stand in its page, or something about where the line
//! came from, decided from the tables. What says nothing about pages (an exclusion, a term under three bytes, a
//! pattern without a literal) lets every page through; when that leaves nothing to narrow the search by, the plan
//! says so and the answer must too. A plan only ever lets too much through; the query itself decides on lines.

use crate::block::directory::PageEntry;
use crate::block::index::{Found, find_in_leaf};
use crate::block::postings::PageSet;
use crate::block::{BlockError, Opened};
use proto::event::{Event, Flags, Level, Source};
use proto::grams::{Gram, GramFilter, Needed, needed};
use proto::ids::EventId;
use proto::query::{Expr, Field, Need, Query, Test};
use proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Grams looked up for one text; the first ones of a long text have told the pages apart.
const GRAMS_MAX: usize = 48;

/// A query, as an index sees it.
#[derive(Clone, Debug)]
pub struct Plan {
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    /// Any line may fit.
    Everything,
    /// The text's grams are in the page.
    Text(Needed),
    /// Decided by source and level alone; the query is that part of the whole.
    Place(Query),
    /// This one event.
    Event(EventId),
    All(Vec<Node>),
    Any(Vec<Node>),
}

/// Leaves of the index, fetched and checked, by number.
pub type Leaves = BTreeMap<usize, Vec<u8>>;

impl Plan {
    #[must_use]
    pub fn of(query: &Query) -> Self {
        Self { root: of_expr(&query.expr) }
    }

    /// Nothing in the query narrows the search: all pages of its time are read.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        matches!(self.root, Node::Everything)
    }

    /// The query asks only about sources and levels, so tables can answer what is counted.
    #[must_use]
    pub fn is_of_places(&self, query: &Query) -> bool {
        is_place(&query.expr)
    }

    /// Whether a block with this filter can hold a match.
    #[must_use]
    pub fn may_match(&self, filter: &GramFilter) -> bool {
        may_match(&self.root, filter)
    }

    /// Which leaves of the index are needed.
    #[must_use]
    pub fn leaves(&self, opened: &Opened) -> BTreeSet<usize> {
        let mut leaves = BTreeSet::new();
        collect_leaves(&self.root, opened, &mut leaves);
        leaves
    }

    /// The pages that can hold a match; `leaves` are those [`Self::leaves`] named.
    pub fn pages(&self, opened: &Opened, leaves: &Leaves) -> Result<PageSet, BlockError> {
        pages_of(&self.root, opened, leaves)
    }
}

fn of_expr(expr: &Expr) -> Node {
    if is_place(expr) {
        return Node::Place(Query::from(expr.clone()));
    }
    match expr {
        Expr::And(all) => all_of(all.iter().map(of_expr).collect()),
        Expr::Or(any) => any_of(any.iter().map(of_expr).collect()),
        Expr::Field(Field::Id, Test::Glob(text) | Test::Exact(text)) => {
            text.parse().map_or(Node::Everything, Node::Event)
        }
        Expr::Everything | Expr::Not(_) => Node::Everything,
        leaf => of_need(&Query::from(leaf.clone()).need()),
    }
}

fn of_need(need: &Need) -> Node {
    match need {
        Need::Anything => Node::Everything,
        Need::Bytes(bytes) => of_text(bytes),
        Need::All(all) => all_of(all.iter().map(of_need).collect()),
        Need::Any(any) => any_of(any.iter().map(of_need).collect()),
    }
}

fn of_text(text: &[u8]) -> Node {
    match needed(text) {
        Needed::Nothing => Node::Everything,
        Needed::All(mut grams) => {
            grams.truncate(GRAMS_MAX);
            Node::Text(Needed::All(grams))
        }
        range => Node::Text(range),
    }
}

fn all_of(mut nodes: Vec<Node>) -> Node {
    nodes.retain(|node| !matches!(node, Node::Everything));
    if nodes.len() > 1 { Node::All(nodes) } else { nodes.pop().unwrap_or(Node::Everything) }
}

fn any_of(mut nodes: Vec<Node>) -> Node {
    if nodes.iter().any(|node| matches!(node, Node::Everything)) {
        return Node::Everything;
    }
    if nodes.len() > 1 { Node::Any(nodes) } else { nodes.pop().unwrap_or(Node::Everything) }
}

/// Whether source and level decide it.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().all(is_place),
        Expr::Not(inner) => is_place(inner),
        Expr::Field(field, _) => !matches!(field, Field::Id | Field::Parsed(_)),
        Expr::Everything | Expr::Text(_) | Expr::Pattern(_) => false,
    }
}

fn may_match(node: &Node, filter: &GramFilter) -> bool {
    match node {
        Node::Text(needed) => filter.may_hold_all(needed),
        Node::All(all) => all.iter().all(|node| may_match(node, filter)),
        Node::Any(any) => any.iter().any(|node| may_match(node, filter)),
        Node::Everything | Node::Place(_) | Node::Event(_) => true,
    }
}

fn spans_of(needed: &Needed) -> Vec<(Gram, Gram)> {
    match needed {
        Needed::Nothing => Vec::new(),
        Needed::All(grams) => grams.iter().map(|&gram| (gram, gram)).collect(),
        Needed::OneFrom(first, last) => vec![(*first, *last)],
    }
}

fn collect_leaves(node: &Node, opened: &Opened, leaves: &mut BTreeSet<usize>) {
    match node {
        // What the filter already denies needs no leaf.
        Node::Text(needed) if opened.filter.may_hold_all(needed) => {
            for (from, to) in spans_of(needed) {
                leaves.extend(opened.leaf_table.holding(from, to));
            }
        }
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|node| collect_leaves(node, opened, leaves)),
        Node::Text(_) | Node::Everything | Node::Place(_) | Node::Event(_) => {}
    }
}

fn pages_of(node: &Node, opened: &Opened, leaves: &Leaves) -> Result<PageSet, BlockError> {
    let count = opened.page_count();
    match node {
        Node::Everything => Ok(PageSet::all(count)),
        Node::Text(needed) => Ok(TextPages::find(needed, opened, leaves)?.pages),
        Node::Place(query) => Ok(pages_of_place(query, opened)),
        Node::Event(id) => Ok(opened.pages_with(id.tailer, id.stream, id.offset)),
        Node::All(all) => {
            let mut pages = PageSet::all(count);
            for node in all {
                if pages.is_empty() {
                    break;
                }
                pages.keep(&pages_of(node, opened, leaves)?);
            }
            Ok(pages)
        }
        Node::Any(any) => {
            let mut pages = PageSet::none(count);
            for node in any {
                pages.join(&pages_of(node, opened, leaves)?);
            }
            Ok(pages)
        }
    }
}

/// The pages that can hold a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPages {
    pub pages: PageSet,
    /// Those where it can stand in cells alone.
    pub in_cells: PageSet,
    /// Those where any part of it can stand in a cell.
    pub at_cells: PageSet,
}

impl TextPages {
    fn none(pages: u32) -> Self {
        let none = PageSet::none(pages);
        Self { pages: none.clone(), in_cells: none.clone(), at_cells: none }
    }

    fn all(pages: u32) -> Self {
        let all = PageSet::all(pages);
        Self { pages: all.clone(), in_cells: all.clone(), at_cells: all }
    }

    /// Asks the index; `leaves` are those of [`text_leaves`].
    pub fn of(text: &[u8], opened: &Opened, leaves: &Leaves) -> Result<Self, BlockError> {
        match of_text(text) {
            Node::Text(needed) => Self::find(&needed, opened, leaves),
            _ => Ok(Self::all(opened.page_count())),
        }
    }

    fn find(needed: &Needed, opened: &Opened, leaves: &Leaves) -> Result<Self, BlockError> {
        let count = opened.page_count();
        if !opened.filter.may_hold_all(needed) {
            return Ok(Self::none(count));
        }
        let mut text = Self { at_cells: PageSet::none(count), ..Self::all(count) };
        let spans = spans_of(needed);
        for &(from, to) in &spans {
            let mut found = Found::none(count);
            for number in opened.leaf_table.holding(from, to) {
                if let (Some(leaf), Some(bytes)) = (opened.leaf_table.leaves.get(number), leaves.get(&number)) {
                    find_in_leaf(leaf, number, bytes, from, to, count, &mut found)?;
                }
            }
            text.pages.keep(&found.pages);
            text.in_cells.keep(&found.in_cells);
            text.at_cells.join(&found.in_cells);
            if text.pages.is_empty() {
                return Ok(Self::none(count));
            }
        }
        // Grams that were not looked up could be the ones in a cell.
        if spans.len() >= GRAMS_MAX {
            text.at_cells.join(&text.pages);
        }
        text.at_cells.keep(&text.pages);
        Ok(text)
    }
}

/// Adds the leaves of the index that say where this text can be.
pub fn text_leaves(text: &[u8], opened: &Opened, leaves: &mut BTreeSet<usize>) {
    collect_leaves(&of_text(text), opened, leaves);
}

fn pages_of_place(query: &Query, opened: &Opened) -> PageSet {
    let fitting: Vec<u8> = opened.sources.iter().map(|source| levels_of(query, source)).collect();
    let fits = |page: &PageEntry| {
        page.sources.iter().any(|&source| fitting.get(source as usize).is_some_and(|levels| levels & page.levels != 0))
    };
    let mut pages = PageSet::none(opened.page_count());
    for (number, page) in (0..).zip(&opened.pages) {
        if fits(page) {
            pages.insert(number);
        }
    }
    pages
}

/// For which levels a line of this source fits a query about nothing else; a bit each.
#[must_use]
pub fn levels_of(query: &Query, source: &Source) -> u8 {
    let event =
        |level| Event { source, offset: 0, time: Timestamp(0), level, flags: Flags::NONE, file_length: 0, line: b"" };
    Level::ALL
        .into_iter()
        .filter(|&level| query.matches(&event(level)))
        .fold(0, |levels, level| levels | 1 << level as u8)
}
