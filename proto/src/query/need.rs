//! What a line must hold to fit a query, for whoever has an index of grams and wants to open few pages.
//!
//! A need is only ever necessary: every line that fits holds it, many that hold it don't fit. Bytes in it are
//! folded to ASCII lower case and stand in the line folded alike, whatever case the query asked for.

use super::expr::{Expr, Field, Test};
use super::literals;
use super::{Query, Text};

/// Bytes that must stand in the line, folded to ASCII lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Nothing can be said: any line may fit.
    Anything,
    /// Never empty.
    Bytes(Vec<u8>),
    /// All of them. Never empty, never one, and `Anything` is not among them.
    All(Vec<Need>),
    /// Any of them. As for `All`.
    Any(Vec<Need>),
}

impl Need {
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Self::Anything } else { Self::Bytes(bytes.to_ascii_lowercase()) }
    }

    #[must_use]
    pub fn all(needs: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for need in needs {
            match need {
                Self::Anything => {}
                Self::All(more) => all.extend(more),
                other => all.push(other),
            }
        }
        Self::one_or(all, Self::All)
    }

    #[must_use]
    pub fn any(needs: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Vec::new();
        for need in needs {
            match need {
                Self::Anything => return Self::Anything,
                Self::Any(more) => any.extend(more),
                other => any.push(other),
            }
        }
        Self::one_or(any, Self::Any)
    }

    /// Twice the same is once.
    fn one_or(mut needs: Vec<Self>, many: impl FnOnce(Vec<Self>) -> Self) -> Self {
        needs.sort();
        needs.dedup();
        if needs.len() > 1 { many(needs) } else { needs.pop().unwrap_or(Self::Anything) }
    }

    /// What is left when fewer than `bytes_min` bytes in a row are of no use.
    #[must_use]
    pub fn of_at_least(&self, bytes_min: usize) -> Self {
        match self {
            Self::Bytes(bytes) if bytes.len() >= bytes_min => self.clone(),
            Self::Anything | Self::Bytes(_) => Self::Anything,
            Self::All(all) => Self::all(all.iter().map(|need| need.of_at_least(bytes_min))),
            Self::Any(any) => Self::any(any.iter().map(|need| need.of_at_least(bytes_min))),
        }
    }

    /// Whether a line, folded to ASCII lower case, holds it.
    #[must_use]
    pub fn is_met_by(&self, folded_line: &[u8]) -> bool {
        match self {
            Self::Anything => true,
            Self::Bytes(bytes) => folded_line.windows(bytes.len()).any(|window| window == bytes),
            Self::All(all) => all.iter().all(|need| need.is_met_by(folded_line)),
            Self::Any(any) => any.iter().any(|need| need.is_met_by(folded_line)),
        }
    }
}

/// The shortest text an index of grams can look up.
const GRAM_BYTES_MIN: usize = 3;

impl Query {
    /// What every line that fits must hold.
    #[must_use]
    pub fn need(&self) -> Need {
        of_expr(&self.expr)
    }

    /// No index of grams narrows this: every line of every source that may match is read.
    #[must_use]
    pub fn needs_scan(&self) -> bool {
        self.need().of_at_least(GRAM_BYTES_MIN) == Need::Anything
    }

    /// The terms on a line that no gram can look up, so that an answer can say what it read everything for.
    /// Terms that exclude are not among them: they cost nothing more.
    #[must_use]
    pub fn scanned_terms(&self) -> Vec<&Expr> {
        let mut terms = Vec::new();
        collect_scanned(&self.expr, &mut terms);
        terms
    }
}

fn collect_scanned<'a>(expr: &'a Expr, terms: &mut Vec<&'a Expr>) {
    match expr {
        Expr::And(exprs) | Expr::Or(exprs) => exprs.iter().for_each(|expr| collect_scanned(expr, terms)),
        Expr::Text(_) | Expr::Pattern(_) | Expr::Field(Field::Parsed(_), _) => {
            if of_expr(expr).of_at_least(GRAM_BYTES_MIN) == Need::Anything {
                terms.push(expr);
            }
        }
        Expr::Everything | Expr::Not(_) | Expr::Field(..) => {}
    }
}

fn of_expr(expr: &Expr) -> Need {
    match expr {
        Expr::And(all) => Need::all(all.iter().map(of_expr)),
        Expr::Or(any) => Need::any(any.iter().map(of_expr)),
        Expr::Text(Text { bytes, .. }) => Need::bytes(bytes),
        Expr::Pattern(pattern) => literals::of_pattern(pattern),
        Expr::Field(Field::Parsed(path), test) => {
            let keys = path.iter().map(|key| Need::bytes(key.as_bytes()));
            Need::all(keys.chain([of_value(test)]))
        }
        Expr::Everything | Expr::Not(_) | Expr::Field(..) => Need::Anything,
    }
}

/// The longest run of the value that stands in the line as it is, or else as `\u00xx` somewhere: no other
/// escape stands for these bytes.
fn of_value(test: &Test) -> Need {
    let runs = match test {
        Test::Glob(glob) => glob.split(|letter| matches!(letter, '*' | '?') || !is_plain(letter)),
        Test::Exact(text) => return of_value_run(text.split(|letter| !is_plain(letter))),
        Test::Pattern(_) | Test::Compare(..) => return Need::Anything,
    };
    of_value_run(runs)
}

fn of_value_run<'a>(runs: impl Iterator<Item = &'a str>) -> Need {
    let longest = runs.max_by_key(|run| run.len()).unwrap_or("");
    Need::any([Need::bytes(longest.as_bytes()), Need::bytes(br"\u00")])
}

/// Has no short escape in JSON or logfmt.
fn is_plain(letter: char) -> bool {
    (letter.is_ascii_graphic() || letter == ' ') && !matches!(letter, '"' | '\'' | '\\' | '/')
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn shown(need: &Need) -> String {
        let list = |needs: &[Need]| needs.iter().map(shown).collect::<Vec<_>>().join(" ");
        match need {
            Need::Anything => "?".to_owned(),
            Need::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Need::All(all) => format!("all({})", list(all)),
            Need::Any(any) => format!("any({})", list(any)),
        }
    }

    #[test]
    fn a_query_needs_what_every_match_holds() {
        let check = |text: &str, expected: &str| {
            assert_eq!(shown(&parse(text).expect("a query").need()), expected, "{text}");
        };
        check("", "?");
        check("Error 'TimeOut'", "all(error timeout)");
        check("a OR b c", "any(a all(b c))");
        check("a OR -b", "?");
        check("a -b", "a");
        check("host:web error", "error");
        check("host:web OR error", "?");
        check("foo*bar?baz", "all(bar baz foo)");
        check("/foo.*(bar|baz)+x/", "all(foo x any(bar baz))");
        check("/err(or|ors)?:/i", "any(err: error: errors:)");
        check(r"/5\d\d in \d+ms/", "all( in  5 ms)");
        check("/[ab]c/", "any(ac bc)");
        check("/a{3}b{2,}c*d{0}/", "all(aaa bb)");
        check("/a|.*/", "?");
        check("/^foo$/", "foo");
        check("/(?i)K/", "k");
        check(r"/\xff\xfe!/", &String::from_utf8_lossy(b"\xff\xfe!"));
        check("@status>=500", "status");
        check("@req.id:Abc-1*", r"all(id req any(\u00 abc-1))");
        check("@a:'x/yz'", r"all(a any(\u00 yz))");
        check("@a:*", "a");
    }

    #[test]
    fn a_value_is_found_however_its_line_escapes_it() {
        let path = ["a".to_owned()];
        for line in [r#"{"a":"xyz\u003c"}"#, r#"{"a":"x\u0079z<"}"#, r#"a="xyz\u003C""#, "a=xyz<"] {
            let query = parse("@a:xyz<").expect("a query");
            let fits = super::super::line_field::any_value(line.as_bytes(), &path, &mut |value| value == b"xyz<");
            assert!(fits && query.need().is_met_by(&line.as_bytes().to_ascii_lowercase()), "{line}");
        }
    }

    #[test]
    fn terms_no_gram_can_look_up_are_named() {
        let check = |text: &str, scan: bool, expected: &[&str]| {
            let query = parse(text).expect("a query");
            let terms: Vec<String> = query.scanned_terms().iter().map(ToString::to_string).collect();
            assert_eq!(terms, expected, "{text}");
            assert_eq!(query.needs_scan(), scan, "{text}");
        };
        check("error", false, &[]);
        check("error ab", false, &[r#"text("ab")"#]);
        check("error OR ab", true, &[r#"text("ab")"#]);
        check("-ab", true, &[]);
        check("/a.b/", true, &[r#"regex("a.b")"#]);
        check("host:web", true, &[]);
        check("@id:1", true, &[r#"@id:glob("1")"#]);
    }
}
