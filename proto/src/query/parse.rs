//! From a query's text to its tree.
//!
//! ```text
//! query = or ;                 or = and { "OR" and } ;      and = unary { [ "AND" ] unary } ;
//! unary = { "NOT" } [ "-" ] prim ;
//! prim  = "(" or ")" | field | regex | phrase | exact | word ;
//! field = name ( ":" | ">=" | "<=" | ">" | "<" ) ( value | phrase | exact | regex | "(" or of values ")" ) ;
//! ```
//!
//! After an `@name`, `=` is `:`, and `!=` is that with a `-` before the field. Values of `env`, `host` and `level`,
//! in which no comma can stand, may be a list: `level:error,warn`.
//!
//! Whoever types is never stopped: what can't be what it looks like is text. Only an unclosed quote or group, a
//! bad regex and what is over a limit are errors.

use super::expr::{Expr, Field, Order, Test, Text};
use super::head::{Asks, Head, note_on_word};
use super::pattern::{BadPattern, Pattern};
use super::scan::{Keyword, Scanner};
use super::span::{ParseError, Parsed, SpanKind, Warning};
use super::{Query, doubt};
use crate::event::Level;
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_PATTERNS_MAX, QUERY_TERMS_MAX, REGEX_BYTES_MAX};

/// Reads a query and says what stood where in its text.
pub fn parse_with_spans(text: &str) -> Result<Parsed, ParseError> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("query has {} bytes, at most {QUERY_BYTES_MAX} are read", text.len());
        return Err(ParseError { at: 0, len: text.len(), message, hint: "" });
    }
    let mut parser = Parser { scanner: Scanner::new(text), warnings: Vec::new(), terms: 0, patterns: 0 };
    let expr = parser.or(None)?.unwrap_or(Expr::Everything);
    Ok(Parsed { query: Query::from(expr), spans: parser.scanner.spans, warnings: parser.warnings })
}

/// Nothing was asked: an empty group or empty quotes.
type Asked = Option<Expr>;

struct Parser<'a> {
    scanner: Scanner<'a>,
    warnings: Vec<Warning>,
    terms: usize,
    patterns: usize,
}

impl Parser<'_> {
    /// `field` is the one whose values these are, in `host:(a OR b)`.
    fn or(&mut self, field: Option<&Field>) -> Result<Asked, ParseError> {
        let mut any: Vec<Expr> = self.and(field)?.into_iter().collect();
        while self.scanner.keyword() == Some(Keyword::Or) {
            self.scanner.take_keyword(Keyword::Or);
            any.extend(self.and(field)?);
        }
        Ok(Expr::any(any))
    }

    fn and(&mut self, field: Option<&Field>) -> Result<Asked, ParseError> {
        let mut all = Vec::new();
        let mut after_operand = false;
        loop {
            self.scanner.skip_space();
            if self.scanner.is_group_done() {
                break;
            }
            match self.scanner.keyword().filter(|_| after_operand) {
                Some(Keyword::Or) => break,
                Some(Keyword::And) => {
                    self.scanner.take_keyword(Keyword::And);
                    after_operand = false;
                }
                _ => {
                    all.extend(self.unary(field)?);
                    after_operand = true;
                }
            }
        }
        Ok(Expr::all(all))
    }

    fn unary(&mut self, field: Option<&Field>) -> Result<Asked, ParseError> {
        let mut negate = false;
        while self.scanner.keyword() == Some(Keyword::Not) {
            self.scanner.take_keyword(Keyword::Not);
            self.scanner.skip_space();
            negate = !negate;
        }
        if self.scanner.is_minus() {
            self.scanner.take(1, SpanKind::Operator, "");
            negate = !negate;
        }
        let asked = self.prim(field)?;
        Ok(if negate { asked.map(Expr::negated) } else { asked })
    }

    fn prim(&mut self, field: Option<&Field>) -> Result<Asked, ParseError> {
        let rest = self.scanner.rest();
        if rest.starts_with('(') && !rest.starts_with("()") {
            return self.group(field);
        }
        if let Some(field) = field {
            return self.value(field);
        }
        if rest.starts_with(['"', '\'']) {
            return self.quoted_text();
        }
        if rest.starts_with('/')
            && let Some(pattern) = self.regex()?
        {
            return Ok(Some(Expr::Pattern(pattern)));
        }
        match self.head() {
            Some(head) => self.field(head),
            None => self.word().map(Some),
        }
    }

    fn group(&mut self, field: Option<&Field>) -> Result<Asked, ParseError> {
        let at = self.scanner.at();
        if self.scanner.open_groups() == QUERY_DEPTH_MAX {
            return Err(over_limit(at, 1, format!("groups nest deeper than {QUERY_DEPTH_MAX}")));
        }
        self.scanner.open_group();
        let asked = self.or(field)?;
        if !self.scanner.rest().starts_with(')') {
            let hint = "close the group, or put quotes around the text";
            return Err(ParseError { at, len: 1, message: "no closing )".to_owned(), hint });
        }
        self.scanner.close_group();
        match &asked {
            None => self.warn(at, "nothing stands in this group; it is left out"),
            Some(expr) if doubt::asks_two_values(expr) => {
                self.warn(at, "a field has one value: put OR between them");
            }
            Some(_) => {}
        }
        Ok(asked)
    }

    /// `"…"` or `'…'`.
    fn quoted_text(&mut self) -> Result<Asked, ParseError> {
        let at = self.scanner.at();
        let (text, exact) = self.quoted()?;
        if text.is_empty() {
            self.warn(at, "nothing stands between these quotes; they are left out");
            return Ok(None);
        }
        Ok(Some(Expr::Text(Text::new(text.as_bytes(), exact))))
    }

    fn quoted(&mut self) -> Result<(String, bool), ParseError> {
        let exact = self.scanner.rest().starts_with('\'');
        let (text, len) = self.scanner.quoted()?;
        self.count_term(len)?;
        let at = self.scanner.at();
        self.scanner.take(len, if exact { SpanKind::Exact } else { SpanKind::Phrase }, "");
        if !self.scanner.ends_term(self.scanner.rest()) {
            self.warn(
                at,
                "what follows this closing quote is a term of its own; '…' may hold \", and \"…\" may hold '",
            );
        }
        Ok((text, exact))
    }

    /// `None` when what stands here is a path.
    fn regex(&mut self) -> Result<Option<Pattern>, ParseError> {
        let Some(token) = self.scanner.regex() else { return Ok(None) };
        self.count_term(token.len)?;
        let pattern = self.pattern(token.len, || Pattern::new(&token.source, token.ignore_case))?;
        self.scanner.take(token.len, SpanKind::Regex, "");
        Ok(Some(pattern))
    }

    /// A field's name, if something stands after it.
    fn head(&self) -> Option<Head> {
        let rest = self.scanner.rest();
        Head::read(rest).filter(|head| rest.get(head.len()..).is_some_and(|value| !self.scanner.ends_term(value)))
    }

    fn field(&mut self, head: Head) -> Result<Asked, ParseError> {
        self.scanner.take(head.name_len, SpanKind::Field, "");
        self.scanner.take(head.operator_len, SpanKind::Operator, "");
        let asked = match head.asks {
            Asks::Compared(order) => return self.comparison(head.field, order).map(Some),
            Asks::Value | Asks::NotValue if self.is_value_group() => self.group(Some(&head.field))?,
            Asks::Value | Asks::NotValue => self.value(&head.field)?,
        };
        Ok(if head.asks == Asks::NotValue { asked.map(Expr::negated) } else { asked })
    }

    fn is_value_group(&self) -> bool {
        let rest = self.scanner.rest();
        rest.starts_with('(') && !rest.starts_with("()")
    }

    /// What a field is asked after its `:`, or within the group there.
    fn value(&mut self, field: &Field) -> Result<Asked, ParseError> {
        let (at, rest) = (self.scanner.at(), self.scanner.rest());
        let test = if rest.starts_with(['"', '\'']) {
            self.quoted_value()?
        } else if rest.starts_with('/')
            && let Some(pattern) = self.regex()?
        {
            Test::Pattern(pattern)
        } else {
            return self.bare_values(at, field).map(Some);
        };
        Ok(Some(self.field_test(at, field.clone(), test)))
    }

    /// One value, or a list with commas where a comma can't be part of one.
    fn bare_values(&mut self, at: usize, field: &Field) -> Result<Expr, ParseError> {
        let len = self.scanner.word_len();
        let value = self.bare_value()?;
        let listed: Vec<&str> = value.split(',').filter(|part| !part.is_empty()).collect();
        if listed.len() < 2 || !matches!(field, Field::Env | Field::Host | Field::Level) {
            if listed.len() > 1 {
                self.warn(at, "the comma is part of the value; for one of several write name:(a OR b)");
            }
            return Ok(self.field_test(at, field.clone(), Test::Glob(value)));
        }
        self.count_terms(at, len, listed.len() - 1)?;
        let test = |part: &&str| self.field_test(at, field.clone(), Test::Glob((*part).to_owned()));
        Ok(Expr::any(listed.iter().map(test).collect()).unwrap_or(Expr::Everything))
    }

    fn quoted_value(&mut self) -> Result<Test, ParseError> {
        let at = self.scanner.at();
        let (text, exact) = self.quoted()?;
        if exact {
            return Ok(Test::Exact(text));
        }
        // A glob has no way to say "this very star", a pattern has.
        if text.contains(['*', '?']) {
            let len = self.scanner.at() - at;
            return self.pattern_at(at, len, || Pattern::from_whole(&text)).map(Test::Pattern);
        }
        Ok(Test::Glob(text))
    }

    fn bare_value(&mut self) -> Result<String, ParseError> {
        let len = self.scanner.word_len();
        self.count_term(len)?;
        let value = self.scanner.rest().get(..len).unwrap_or("");
        if len > REGEX_BYTES_MAX && value.contains(['*', '?']) {
            return Err(self.bad_pattern(self.scanner.at(), len, &BadPattern::TooLong(len)));
        }
        Ok(self.scanner.take(len, SpanKind::Value, "").to_owned())
    }

    fn comparison(&mut self, field: Field, order: Order) -> Result<Expr, ParseError> {
        let at = self.scanner.at();
        let bound = if self.scanner.rest().starts_with(['"', '\'']) {
            self.quoted()?.0
        } else {
            let len = self.scanner.word_len();
            self.count_term(len)?;
            self.scanner.take(len, SpanKind::Value, "").to_owned()
        };
        Ok(self.field_test(at, field, Test::Compare(order, bound)))
    }

    /// A level gets its one spelling here, so that whoever plans over the tree can count on it.
    fn field_test(&mut self, at: usize, field: Field, test: Test) -> Expr {
        let test = if field == Field::Level { with_one_spelling(test) } else { test };
        if let Some(message) = doubt::about(&field, &test) {
            self.warn(at, message);
        }
        Expr::Field(field, test)
    }

    /// All that is nothing else.
    fn word(&mut self) -> Result<Expr, ParseError> {
        let len = self.scanner.word_len();
        self.count_term(len)?;
        let word = self.scanner.rest().get(..len).unwrap_or("");
        let core = word.trim_matches('*');
        let expr = if core.is_empty() && !word.is_empty() {
            Expr::Everything
        } else if core.contains(['*', '?']) {
            Expr::Pattern(self.pattern(len, || Pattern::from_wildcards(core))?)
        } else {
            Expr::Text(Text::new(core.as_bytes(), false))
        };
        let note = note_on_word(word);
        self.scanner.take(len, if note.is_empty() { SpanKind::Word } else { SpanKind::Hint }, note);
        Ok(expr)
    }

    fn pattern(
        &mut self,
        len: usize,
        compile: impl FnOnce() -> Result<Pattern, BadPattern>,
    ) -> Result<Pattern, ParseError> {
        self.pattern_at(self.scanner.at(), len, compile)
    }

    fn pattern_at(
        &mut self,
        at: usize,
        len: usize,
        compile: impl FnOnce() -> Result<Pattern, BadPattern>,
    ) -> Result<Pattern, ParseError> {
        self.patterns += 1;
        if self.patterns > QUERY_PATTERNS_MAX {
            return Err(over_limit(at, len, format!("more than {QUERY_PATTERNS_MAX} patterns")));
        }
        compile().map_err(|bad| self.bad_pattern(at, len, &bad))
    }

    fn bad_pattern(&self, at: usize, len: usize, bad: &BadPattern) -> ParseError {
        let hint = match bad {
            BadPattern::Syntax(_) => "put quotes around it if it is text",
            BadPattern::TooLong(_) | BadPattern::TooBig => "repeat less, or search for a part of it",
        };
        ParseError { at, len, message: bad.to_string(), hint }
    }

    fn count_term(&mut self, len: usize) -> Result<(), ParseError> {
        self.count_terms(self.scanner.at(), len, 1)
    }

    fn count_terms(&mut self, at: usize, len: usize, count: usize) -> Result<(), ParseError> {
        self.terms += count;
        if self.terms <= QUERY_TERMS_MAX {
            return Ok(());
        }
        Err(over_limit(at, len, format!("more than {QUERY_TERMS_MAX} terms")))
    }

    /// About what was read since `at`.
    fn warn(&mut self, at: usize, message: &'static str) {
        self.warnings.push(Warning { at, len: self.scanner.at() - at, message });
    }
}

fn over_limit(at: usize, len: usize, message: String) -> ParseError {
    ParseError { at, len, message, hint: "ask in two queries" }
}

fn with_one_spelling(test: Test) -> Test {
    let spelled = |text: &str| text.parse::<Level>().map(|level| level.as_str().to_owned());
    match &test {
        Test::Glob(text) | Test::Exact(text) => spelled(text).map_or(test, Test::Glob),
        Test::Compare(order, text) => spelled(text).map_or(test.clone(), |level| Test::Compare(*order, level)),
        Test::Pattern(_) => test,
    }
}
