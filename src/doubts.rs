//! What a query's reader noted of it: said on stderr, so that nobody takes another question's answer for his own.
//!
//! Warnings are about terms that hardly ever fit; they are said at once. Notes are about text that only looks like
//! something else, `level=error` or `service:web`; they are said when nothing was found.

use crate::ask::say;
use proto::query::{Parsed, parse_with_spans};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl Doubts {
    /// Of a query that can't be read the web will say why.
    pub fn about(query: &str) -> Self {
        parse_with_spans(query).map_or_else(|_| Self::default(), |parsed| Self::of(query, &parsed))
    }

    fn of(query: &str, parsed: &Parsed) -> Self {
        let term = |at: usize, len: usize| {
            format!("{}, at byte {at} of the query", query.get(at..at + len).unwrap_or_default())
        };
        let warnings = parsed.warnings.iter();
        let warnings = warnings.map(|warning| format!("{}: {}", term(warning.at, warning.len), warning.message));
        let noted = parsed.spans.iter().filter(|span| !span.note.is_empty());
        let notes = noted.map(|span| format!("{}, is taken as {}", term(span.at, span.len), span.note));
        Self { warnings: warnings.collect(), notes: notes.collect() }
    }

    pub fn say_warnings(&self) {
        self.warnings.iter().for_each(|warning| say(warning));
    }

    pub fn say_notes(&self) {
        self.notes.iter().for_each(|note| say(note));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_name_the_term_and_the_right_spelling() {
        let doubts = Doubts::about("é level=error app:a,b level:loud");
        let note = "level=error, at byte 3 of the query, is taken as text: a field's value comes after a :, and a - before the field excludes it";
        assert_eq!(doubts.notes, [note]);
        assert_eq!(doubts.warnings.len(), 2);
        assert!(doubts.warnings[0].starts_with("a,b, at byte 19 of the query: the comma"), "{doubts:?}");
        assert!(doubts.warnings[1].contains("unknown, trace, debug"), "{doubts:?}");
        for plain in ["error -healthz @a=b level:error,warn file:app.log", "\"open"] {
            assert_eq!(Doubts::about(plain), Doubts::default(), "{plain}");
        }
    }
}
