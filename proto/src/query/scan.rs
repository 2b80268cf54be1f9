//! Where a query's tokens begin and end. What they mean together is the parser's business.
//!
//! Nothing here fails but an unclosed quote. Spaces are ASCII white space and the no-break space that comes
//! along when text is copied from a page.

use super::span::{ParseError, Span, SpanKind};

/// Reads a query's text from left to right and notes what it saw.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Groups opened and not yet closed; only within one does a `)` end a word.
    open_groups: usize,
    pub(super) spans: Vec<Span>,
}

/// Words in upper case that are not text, where they have something to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
}

impl Keyword {
    const ALL: [(Self, &'static str); 3] = [(Self::And, "AND"), (Self::Or, "OR"), (Self::Not, "NOT")];
}

/// A regex as it stands in the text, its slashes taken off.
#[derive(Clone, Debug)]
pub(super) struct RegexToken {
    pub(super) source: String,
    pub(super) ignore_case: bool,
    pub(super) len: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open_groups: 0, spans: Vec::new() }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn open_groups(&self) -> usize {
        self.open_groups
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - skip_space(self.rest()).len();
    }

    /// Nothing more stands in this group, or in the text.
    pub(super) fn is_group_done(&self) -> bool {
        self.ends_group(self.rest())
    }

    fn ends_group(&self, rest: &str) -> bool {
        rest.is_empty() || self.open_groups > 0 && rest.starts_with(')')
    }

    /// A term can't go on here.
    pub(super) fn ends_term(&self, rest: &str) -> bool {
        rest.starts_with(is_space) || self.ends_group(rest)
    }

    /// The next `len` bytes are a token of this kind.
    pub(super) fn take(&mut self, len: usize, kind: SpanKind, note: &'static str) -> &'a str {
        let taken = self.rest().get(..len).unwrap_or("");
        self.spans.push(Span { at: self.at, len: taken.len(), kind, note });
        self.at += taken.len();
        taken
    }

    pub(super) fn open_group(&mut self) {
        self.take(1, SpanKind::Paren, "");
        self.open_groups += 1;
    }

    pub(super) fn close_group(&mut self) {
        self.take(1, SpanKind::Paren, "");
        self.open_groups = self.open_groups.saturating_sub(1);
    }

    /// The keyword that stands here, if something it can join stands after it.
    pub(super) fn keyword(&self) -> Option<Keyword> {
        Keyword::ALL.into_iter().find_map(|(keyword, name)| {
            let rest = self.rest().strip_prefix(name)?;
            let ends = rest.starts_with('(') || self.ends_term(rest);
            (ends && !self.ends_group(skip_space(rest))).then_some(keyword)
        })
    }

    pub(super) fn take_keyword(&mut self, keyword: Keyword) {
        let len = if keyword == Keyword::Or { 2 } else { 3 };
        self.take(len, SpanKind::Operator, "");
    }

    /// A `-` that excludes what follows it: at a term's start, before a term. Not in `--flag`, `->` or `-=`.
    pub(super) fn is_minus(&self) -> bool {
        let Some(rest) = self.rest().strip_prefix('-') else { return false };
        !self.ends_term(rest) && !rest.starts_with(['-', '>', '='])
    }

    /// How long the bare word here is. Parentheses that pair up within it belong to it: `main()`, `f(x)`.
    pub(super) fn word_len(&self) -> usize {
        let rest = self.rest();
        let mut open_in_word = 0_usize;
        for (at, letter) in rest.char_indices() {
            match letter {
                _ if is_space(letter) => return at,
                '(' => open_in_word += 1,
                ')' if open_in_word > 0 => open_in_word -= 1,
                ')' if self.open_groups > 0 => return at,
                _ => {}
            }
        }
        rest.len()
    }

    /// What stands between the quotes that open here, and how long it is with them. Within, a backslash takes
    /// the meaning from a quote of that kind and from a backslash; before anything else it is itself.
    pub(super) fn quoted(&self) -> Result<(String, usize), ParseError> {
        let mut letters = self.rest().char_indices();
        let quote = letters.next().map_or('"', |(_, quote)| quote);
        let mut inside = String::new();
        while let Some((at, letter)) = letters.next() {
            if letter == quote {
                return Ok((inside, at + letter.len_utf8()));
            }
            let escaped = letters.clone().next().map(|(_, next)| next);
            match escaped.filter(|&next| letter == '\\' && (next == quote || next == '\\')) {
                Some(next) => {
                    inside.push(next);
                    letters.next();
                }
                None => inside.push(letter),
            }
        }
        Err(self.unclosed_quote(quote))
    }

    fn unclosed_quote(&self, quote: char) -> ParseError {
        let hint = if self.rest().ends_with(&format!("\\{quote}")) {
            "a backslash takes the meaning from a quote; write \\\\ for a backslash before the closing quote"
        } else {
            "close the quote, or put a letter of the word before it"
        };
        ParseError { at: self.at, len: 1, message: format!("no closing {quote}"), hint }
    }

    /// The regex here, unless what stands here is a path: a regex has no bare slash inside and ends a term.
    pub(super) fn regex(&self) -> Option<RegexToken> {
        let inside = self.rest().strip_prefix('/')?;
        let source_len = unescaped_slash(inside).filter(|&len| len > 0)?;
        let source = inside.get(..source_len)?.replace("\\/", "/");
        let after = inside.get(source_len + 1..)?;
        let (ignore_case, after) = after.strip_prefix('i').map_or((false, after), |after| (true, after));
        let ends = after.is_empty() || after.starts_with(')') || after.starts_with(is_space);
        let len = 1 + source_len + 1 + usize::from(ignore_case);
        ends.then_some(RegexToken { source, ignore_case, len })
    }
}

/// Where the first slash without a backslash stands.
fn unescaped_slash(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'/' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

pub(super) fn is_space(letter: char) -> bool {
    letter.is_ascii_whitespace() || letter == '\u{a0}'
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}
