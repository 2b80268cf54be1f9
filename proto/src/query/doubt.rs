//! Field terms that can be asked but hardly ever answered, and what to tell who typed them.

use super::expr::{Field, Test};
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
        Field::Level if whole.parse::<Level>().is_err() => {
            Some("no such level: unknown, trace, debug, info, notice, warn, error and critical are")
        }
        Field::Id if whole.parse::<EventId>().is_err() => {
            Some("an event's id is 80 hex digits; put quotes around the whole to search for it as text")
        }
        Field::Stream if whole.len() != 32 => {
            Some("a stream's id is 32 hex digits; put quotes around the whole to search for it as text")
        }
        Field::File if !whole.contains('/') => Some("the whole path is compared; write file:*name for any folder"),
        Field::Parsed(_) if matches!(test, Test::Glob(_)) && whole.starts_with(['>', '<']) => {
            Some("compared as text; for numbers leave out the :")
        }
        _ => None,
    }
}
