//! S20 and what answers promise: a search finds what a scan of all that was written finds, each event once and in
//! order, a count is that of the rows, and an answer that says it is complete is.

use super::once::shown;
use crate::nodes::shelf::Archived;
use crate::nodes::web::Found;
use crate::truth::{Line, Truth};
use crate::world::World;
use proto::event::OwnedEvent;
use std::cmp::Ordering;
use std::collections::BTreeSet;

pub const INVENTED: &str = "S4 an answer holds what was written and fits";
pub const ONCE: &str = "S5 an answer holds each event once";
pub const ORDER: &str = "S15 an answer is in the order asked for";
pub const COMPLETE: &str = "S10 an answer that says it is complete is";
pub const SCAN: &str = "S20 a search finds what a scan finds";
pub const COUNT: &str = "S20 a count is that of the rows";

pub fn check(world: &mut World, truth: &Truth, archived: &[Archived], found: &[Found]) {
    for answer in found {
        let rows: Vec<Archived> = answer.rows.iter().map(Archived::of).collect();
        check_rows(world, truth, answer, &rows);
        let distinct: BTreeSet<&Archived> = rows.iter().collect();
        let query = answer.needle.query();
        world.check(ONCE, distinct.len() == rows.len(), || format!("{query}: a row stands twice"));
        let wrong = answer.rows.windows(2).find(|pair| !is_before(answer, pair));
        world.check(ORDER, wrong.is_none(), || {
            let places = wrong.into_iter().flatten().map(|event| format!("{:?}", event.borrow().order()));
            format!("{query} at {:?}, {:?}: {}", answer.began, answer.order, places.collect::<Vec<_>>().join(", then "))
        });
        if answer.complete {
            check_complete(world, truth, answer, &distinct);
        }
        if answer.last {
            check_last(world, archived, answer, &distinct);
        }
    }
}

fn is_before(answer: &Found, pair: &[OwnedEvent]) -> bool {
    let [one, other] = pair else { return true };
    answer.order.compare(&one.borrow().order(), &other.borrow().order()) != Ordering::Greater
}

fn check_rows(world: &mut World, truth: &Truth, answer: &Found, rows: &[Archived]) {
    for row in rows {
        let told = row.lost_to.is_some() && row.line.starts_with(b"tailbuck: ") || truth.was_born(row);
        let right = told && answer.needle.is_in(&row.line);
        world.check(INVENTED, right, || format!("{}: {:?} at {}", answer.needle.query(), shown(&row.line), row.offset));
    }
}

/// What two bucks kept before the question was asked.
fn check_complete(world: &mut World, truth: &Truth, answer: &Found, rows: &BTreeSet<&Archived>) {
    let there: BTreeSet<_> = rows.iter().filter_map(|row| truth.place_of(row)).collect();
    let promised = |line: &&Line| line.kept_since.is_some_and(|since| since < answer.began);
    for line in truth.lines.iter().filter(promised).filter(|line| answer.needle.is_in(&line.bytes)) {
        let is_there = there.contains(&(line.host, line.life, line.offset, line.bytes.as_slice()));
        world.check(COMPLETE, is_there, || {
            let (host, life, offset) = (line.host, line.life, line.offset);
            let (query, began, says) = (answer.needle.query(), answer.began, &answer.sentence);
            let order = answer.order;
            format!("{query} at {began:?}, {order:?}, lacks {host} {life:?} at {offset} and says: {says}")
        });
    }
}

/// All is in order: everything that stands and fits is found, and nothing else.
fn check_last(world: &mut World, archived: &[Archived], answer: &Found, rows: &BTreeSet<&Archived>) {
    let query = answer.needle.query();
    let expected: BTreeSet<&Archived> = archived.iter().filter(|event| answer.needle.is_in(&event.line)).collect();
    world.check(SCAN, *rows == expected, || format!("{query}: {} rows of {}", rows.len(), expected.len()));
    let (count, exact) = answer.count;
    world.check(COUNT, !exact || count == rows.len() as u64, || {
        format!("{query}: {count} counted, {} rows", rows.len())
    });
}
