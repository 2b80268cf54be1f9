//! The one meaning of a query: whether an event fits it.
//!
//! A tree is compiled once, with its needles prepared and what is cheap put before what is dear, and then
//! asked of many events without allocating for any of them.

use super::expr::{Expr, Field, Order, Test};
use super::finder::Finder;
use super::line_field;
use super::pattern::Pattern;
use super::value::{Glob, ValueTest};
use crate::event::{Event, Level, Source};
use crate::ids::{EventId, StreamId};
use std::ops::Range;

/// An [`Expr`], ready to be asked.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Everything,
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Text(Finder),
    Pattern(Pattern),
    Place(Place, ValueTest),
    /// A bit per level.
    Level(u8),
    Stream(StreamId),
    Id(Box<EventId>),
    /// An id that was asked for in part.
    IdText(ValueTest),
    Parsed(Vec<String>, Finder, ValueTest),
}

/// Where a line came from, as text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Env,
    Host,
    App,
    File,
    /// The path, or its last part alone.
    FileName,
    Stream,
}

impl Node {
    pub(super) fn new(expr: &Expr) -> Self {
        match expr {
            Expr::Everything => Self::Everything,
            Expr::And(all) => Self::All(cheapest_first(all)),
            Expr::Or(any) => Self::Any(cheapest_first(any)),
            Expr::Not(inner) => Self::Not(Box::new(Self::new(inner))),
            Expr::Text(text) => Self::Text(Finder::new(&text.bytes, text.exact)),
            Expr::Pattern(pattern) => Self::Pattern(pattern.clone()),
            Expr::Field(field, test) => Self::of_field(field, test),
        }
    }

    fn of_field(field: &Field, test: &Test) -> Self {
        match field {
            Field::Env => Self::Place(Place::Env, ValueTest::new(test)),
            Field::Host => Self::Place(Place::Host, ValueTest::new(test)),
            Field::App => Self::Place(Place::App, ValueTest::new(test)),
            Field::File => Self::Place(place_of_file(test), ValueTest::new(test)),
            Field::Level => Self::Level(levels(test)),
            Field::Stream => match whole(test).and_then(|id| id.parse().ok()) {
                Some(id) => Self::Stream(id),
                None => Self::Place(Place::Stream, ValueTest::new(test)),
            },
            Field::Id => match whole(test).and_then(|id| id.parse().ok()) {
                Some(id) => Self::Id(Box::new(id)),
                None => Self::IdText(ValueTest::new(test)),
            },
            Field::Parsed(path) => {
                let rarest = path.iter().max_by_key(|part| part.len()).map_or("", String::as_str);
                Self::Parsed(path.clone(), Finder::new(rarest.as_bytes(), true), ValueTest::new(test))
            }
        }
    }

    pub(super) fn matches(&self, event: &Event<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::All(all) => all.iter().all(|node| node.matches(event)),
            Self::Any(any) => any.iter().any(|node| node.matches(event)),
            Self::Not(inner) => !inner.matches(event),
            Self::Text(finder) => finder.is_in(event.line),
            Self::Pattern(pattern) => pattern.is_match(event.line),
            Self::Place(place, test) => place.holds(event.source, test),
            Self::Level(levels) => levels & bit(event.level) != 0,
            Self::Stream(stream) => event.source.stream == *stream,
            Self::Id(id) => is_named(event, id),
            Self::IdText(test) => test.holds(event.id().to_string().as_bytes()),
            Self::Parsed(path, key, test) => {
                key.is_in(event.line) && line_field::any_value(event.line, path, &mut |value| test.holds(value))
            }
        }
    }

    /// What the source alone decides; `None` where the line must be asked.
    pub(super) fn of_source(&self, source: &Source) -> Option<bool> {
        match self {
            Self::Everything => Some(true),
            Self::All(all) => decided(all.iter().map(|node| node.of_source(source)), false),
            Self::Any(any) => decided(any.iter().map(|node| node.of_source(source)), true),
            Self::Not(inner) => inner.of_source(source).map(|holds| !holds),
            Self::Place(place, test) => Some(place.holds(source, test)),
            Self::Stream(stream) => Some(source.stream == *stream),
            Self::Id(id) => (source.tailer != id.tailer || source.stream != id.stream).then_some(false),
            Self::Level(0) => Some(false),
            Self::Text(_) | Self::Pattern(_) | Self::Level(_) | Self::IdText(_) | Self::Parsed(..) => None,
        }
    }

    /// Adds where the line fits what was asked to be in it. What was asked to be absent is not marked.
    pub(super) fn mark(&self, line: &[u8], marks: &mut Vec<Range<usize>>, marks_max: usize) {
        let room = marks_max.saturating_sub(marks.len());
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.mark(line, marks, marks_max)),
            Self::Text(finder) => marks.extend(occurrences(finder, line).take(room)),
            Self::Pattern(pattern) => marks.extend(pattern.ranges(line, room)),
            _ => {}
        }
    }

    /// Roughly nanoseconds on a line of a hundred bytes; only the order matters.
    fn cost(&self) -> usize {
        match self {
            Self::Everything | Self::Level(_) | Self::Stream(_) | Self::Id(_) => 1,
            Self::Place(_, ValueTest::Pattern(_)) => 100,
            Self::Place(..) => 10,
            Self::Text(finder) => 30_usize.saturating_sub(finder.needle_len()).max(15),
            Self::Not(inner) => inner.cost(),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().map(Self::cost).sum(),
            Self::Pattern(_) => 150,
            Self::Parsed(..) => 300,
            Self::IdText(_) => 500,
        }
    }
}

fn cheapest_first(exprs: &[Expr]) -> Vec<Node> {
    let mut nodes: Vec<Node> = exprs.iter().map(Node::new).collect();
    nodes.sort_by_key(Node::cost);
    nodes
}

/// `Some(decisive)` when one is, `Some(!decisive)` when all are that.
fn decided(mut parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let undecided = parts.try_fold(false, |undecided, part| match part {
        Some(part) if part == decisive => None,
        part => Some(undecided || part.is_none()),
    });
    match undecided {
        None => Some(decisive),
        Some(true) => None,
        Some(false) => Some(!decisive),
    }
}

/// Where the needle stands, from left to right, without overlap.
fn occurrences<'a>(finder: &'a Finder, line: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + finder.find(line.get(from..)?)?;
        from = start + finder.needle_len().max(1);
        Some(start..start + finder.needle_len())
    })
}

impl Place {
    fn holds(self, source: &Source, test: &ValueTest) -> bool {
        match self {
            Self::Env => test.holds(source.environment.as_str().as_bytes()),
            Self::Host => test.holds(source.host.as_bytes()),
            Self::App => test.holds(source.app.as_bytes()),
            Self::File => test.holds(source.path.as_bytes()),
            Self::FileName => {
                let name = source.path.rsplit(['/', '\\']).next().unwrap_or_default();
                test.holds(name.as_bytes()) || test.holds(source.path.as_bytes())
            }
            Self::Stream => test.holds(source.stream.to_string().as_bytes()),
        }
    }
}

/// What has no slash is a file's name in any folder, as people say it.
fn place_of_file(test: &Test) -> Place {
    match test {
        Test::Glob(text) | Test::Exact(text) if !text.contains(['/', '\\']) => Place::FileName,
        _ => Place::File,
    }
}

/// The whole id that is asked for, in the one case ids are written in.
fn whole(test: &Test) -> Option<String> {
    match test {
        Test::Glob(text) => Some(text.to_ascii_lowercase()),
        Test::Exact(text) => Some(text.clone()),
        Test::Pattern(_) | Test::Compare(..) => None,
    }
}

/// What is cheap first: the checksum reads the whole line.
fn is_named(event: &Event<'_>, id: &EventId) -> bool {
    event.offset == id.offset && event.source.stream == id.stream && event.id() == *id
}

fn bit(level: Level) -> u8 {
    1 << level as u8
}

/// The levels that fit. Whatever spelling was asked for; graver is more, and unknown is less than any.
fn levels(test: &Test) -> u8 {
    Level::ALL.into_iter().filter(|level| level_fits(test, *level)).map(bit).sum()
}

fn level_fits(test: &Test, level: Level) -> bool {
    match test {
        Test::Glob(text) => text
            .parse()
            .map_or_else(|()| Glob::new(text).is_match(level.as_str().as_bytes()), |asked: Level| level == asked),
        Test::Exact(text) => text.parse() == Ok(level),
        Test::Pattern(pattern) => pattern.is_match(level.as_str().as_bytes()),
        Test::Compare(order, text) => text.parse().is_ok_and(|asked| Order::allows(*order, level.cmp(&asked))),
    }
}
