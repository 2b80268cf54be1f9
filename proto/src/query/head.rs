//! The names of fields, and the notes on words that only look like something else.

use super::expr::{Field, Order};
use super::scan::is_space;
use crate::limits::QUERY_DEPTH_MAX;

/// `host:`, `@status>=`: a field's name and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) field: Field,
    pub(super) name_len: usize,
    pub(super) asks: Asks,
    pub(super) operator_len: usize,
}

/// What stands between a field and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Value,
    NotValue,
    Compared(Order),
}

const KNOWN: [(&str, Field); 7] = [
    ("env", Field::Env),
    ("host", Field::Host),
    ("app", Field::App),
    ("level", Field::Level),
    ("file", Field::File),
    ("stream", Field::Stream),
    ("id", Field::Id),
];

/// Longer before shorter.
const OPERATORS: [(&str, Asks); 5] = [
    (":", Asks::Value),
    (">=", Asks::Compared(Order::AtLeast)),
    ("<=", Asks::Compared(Order::AtMost)),
    (">", Asks::Compared(Order::More)),
    ("<", Asks::Compared(Order::Less)),
];

/// Only after an `@name`: lines are full of `level=error`, and who types that looks for just this text.
const OF_PARSED: [(&str, Asks); 2] = [("=", Asks::Value), ("!=", Asks::NotValue)];

impl Head {
    /// Reads one at the start of `text`. Names are in lower case, so that a `Host:` of some header is text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (field, name_len) = known_name(text).or_else(|| parsed_name(text))?;
        let rest = text.get(name_len..)?;
        let more = if matches!(field, Field::Parsed(_)) { OF_PARSED.as_slice() } else { &[] };
        let (operator, asks) = OPERATORS.iter().chain(more).find(|(operator, _)| rest.starts_with(operator))?;
        Some(Self { field, name_len, asks: *asks, operator_len: operator.len() })
    }

    pub(super) fn len(&self) -> usize {
        self.name_len + self.operator_len
    }
}

fn known_name(text: &str) -> Option<(Field, usize)> {
    let name_len = text.find(|letter: char| !letter.is_ascii_lowercase())?;
    let name = text.get(..name_len)?;
    KNOWN.into_iter().find(|(known, _)| *known == name).map(|(_, field)| (field, name_len))
}

/// `@a.b-c.d`
fn parsed_name(text: &str) -> Option<(Field, usize)> {
    let path = text.strip_prefix('@')?;
    let len = path.find(|letter| !is_ident(letter) && letter != '.').unwrap_or(path.len());
    let parts: Vec<String> = path.get(..len)?.split('.').map(str::to_owned).collect();
    let fits = parts.len() <= QUERY_DEPTH_MAX && parts.iter().all(|part| !part.is_empty());
    fits.then_some((Field::Parsed(parts), len + 1))
}

/// Letters of a key: what JSON and logfmt commonly write, `@timestamp` and other scripts included.
fn is_ident(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-@$".contains(letter) || !letter.is_ascii() && !is_space(letter)
}

/// What to tell who typed a word that was taken as text; empty where nothing is to be told.
pub(super) fn note_on_word(word: &str) -> &'static str {
    if word.starts_with(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) {
        return "text: only straight quotes group words";
    }
    if word.starts_with('-') && word.len() > 1 {
        return "text: a - before another -, a > or a = excludes nothing";
    }
    if matches!(word, "AND" | "OR" | "NOT") {
        return "text: there is nothing here to join";
    }
    if word.ends_with(')') && word.matches(')').count() > word.matches('(').count() {
        return "text: no group is open here";
    }
    note_on_field(word)
}

fn note_on_field(word: &str) -> &'static str {
    if let Some((field, len)) = known_name(word).or_else(|| parsed_name(word)) {
        let rest = word.get(len..).unwrap_or("");
        if !matches!(field, Field::Parsed(_)) && (rest.starts_with('=') || rest.starts_with("!=")) {
            return "text: a field's value comes after a :, and a - before the field excludes it";
        }
        if OPERATORS.iter().chain(&OF_PARSED).any(|(operator, _)| rest == *operator) {
            return "text until a value stands after it";
        }
    }
    match word.split_once(':') {
        Some((before, after)) if !before.is_empty() && !after.is_empty() => {
            "text: fields are env, host, app, level, file, stream, id and @name"
        }
        _ => "",
    }
}
