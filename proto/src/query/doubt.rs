//! Field terms that can be asked but hardly ever answered, and what to tell who typed them.

use super::expr::{Expr, Field, Test};
use crate::event::Level;
use crate::ids::EventId;

/// Why this term is likely not what was meant.
pub(super) fn about(field: &Field, test: &Test) -> Option<&'static str> {
    let whole = match test {
        Test::Glob(glob) if !glob.contains(['*', '?']) => Some(glob),
        Test::Exact(text) | Test::Compare(_, text) => Some(text),
        Test::Glob(_) | Test::Pattern(_) => None,
    }?;
    match field {
        _ if matches!(test, Test::Glob(_)) && whole.starts_with(['>', '<', '=']) => {
            Some("taken as the value itself; to compare write name>=value, without a : or = before it")
        }
        Field::Level if whole.parse::<Level>().is_err() => {
            Some("no such level: unknown, trace, debug, info, notice, warn, error and critical are")
        }
        Field::Id if whole.parse::<EventId>().is_err() => {
            Some("an event's id is 80 hex digits; put quotes around the whole to search for it as text")
        }
        Field::Stream if whole.len() != 32 => {
            Some("a stream's id is 32 hex digits; put quotes around the whole to search for it as text")
        }
        _ => None,
    }
}

/// One field is asked to have two values at once. Those of `@fields` may, in an array.
pub(super) fn asks_two_values(expr: &Expr) -> bool {
    let Expr::And(all) = expr else { return false };
    let mut asked: Vec<&Field> = all.iter().filter_map(field_of_one_value).collect();
    let many = asked.len();
    asked.dedup();
    asked.len() < many
}

fn field_of_one_value(expr: &Expr) -> Option<&Field> {
    match expr {
        Expr::Field(Field::Parsed(_), _) => None,
        Expr::Field(field, Test::Exact(_)) => Some(field),
        Expr::Field(field, Test::Glob(glob)) if !glob.contains(['*', '?']) => Some(field),
        _ => None,
    }
}
