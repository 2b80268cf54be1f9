//! Finding, in a text of many lines, those that could fit a query, without asking one line after another.
//!
//! A needle is looked for in the whole text at once; a pattern is read anew so that over many lines it matches
//! within each just what it matches in that line alone. Much of a query's cost is in beginning again for every
//! line, so this is several times as fast.
//!
//! A text here is lines that hold no newline, each with one behind it.

use super::Query;
use super::expr::{Expr, Text};
use super::finder::Finder;
use super::literals::{over_lines, rare_byte};
use super::pattern::LinesPattern;
use memchr::{memchr, memchr2, memrchr};

/// A way to find lines that could fit.
#[derive(Clone, Debug)]
pub struct Sweep {
    kind: Kind,
    /// What is found fits; nothing else must be asked.
    pub is_whole: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(Box<Finder>),
    /// And a byte that every line that fits has, a letter in either case, where one is rare.
    Pattern(LinesPattern, Option<u8>),
    Any(Vec<Sweep>),
}

/// Where a sweep of one text is.
#[derive(Clone, Debug)]
pub struct Swept<'a> {
    sweep: &'a Sweep,
    text: &'a [u8],
    /// For each of any: the last place found, and from where it was looked for.
    parts: Vec<(Swept<'a>, usize, Option<usize>)>,
}

impl Sweep {
    /// `None` where every line must be asked.
    pub(super) fn new(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Text(text) => Self::of_text(text),
            Expr::Pattern(pattern) => {
                let lines = LinesPattern::new(&over_lines(pattern)?)?;
                Some(Self { kind: Kind::Pattern(lines, rare_byte(pattern)), is_whole: true })
            }
            Expr::And(all) => {
                let texts = all.iter().filter(|part| matches!(part, Expr::Text(_)));
                let best = texts.filter_map(Self::new).max_by_key(Self::needle_len);
                let best = best.or_else(|| all.iter().find_map(Self::new))?;
                Some(Self { is_whole: false, ..best })
            }
            Expr::Or(any) => {
                let parts = any.iter().map(Self::new).collect::<Option<Vec<_>>>()?;
                let is_whole = parts.iter().all(|part| part.is_whole);
                Some(Self { kind: Kind::Any(parts), is_whole })
            }
            Expr::Everything | Expr::Not(_) | Expr::Field(..) => None,
        }
    }

    fn of_text(text: &Text) -> Option<Self> {
        let finder = Finder::new(&text.bytes, text.exact);
        (!text.bytes.contains(&b'\n')).then_some(Self { kind: Kind::Text(Box::new(finder)), is_whole: true })
    }

    fn needle_len(&self) -> usize {
        if let Kind::Text(finder) = &self.kind { finder.needle_len() } else { 0 }
    }

    #[must_use]
    pub fn over<'a>(&'a self, text: &'a [u8]) -> Swept<'a> {
        let parts = match &self.kind {
            Kind::Any(any) => any.iter().map(|part| (part.over(text), 0, None)).collect(),
            Kind::Text(_) | Kind::Pattern(..) => Vec::new(),
        };
        Swept { sweep: self, text, parts }
    }
}

impl Swept<'_> {
    /// A place in the next line that could fit: of its bytes or its newline. `from` is where a line begins, and
    /// never before the one of the last call.
    pub fn next(&mut self, from: usize) -> Option<usize> {
        let place = match &self.sweep.kind {
            Kind::Text(finder) => from + finder.find(self.text.get(from..)?)?,
            Kind::Pattern(pattern, None) => pattern.find(self.text, from)?,
            Kind::Pattern(pattern, Some(byte)) => self.next_with(pattern, *byte, from)?,
            Kind::Any(_) => self.next_of_any(from)?,
        };
        (place < self.text.len()).then_some(place)
    }

    fn next_with(&self, pattern: &LinesPattern, byte: u8, mut from: usize) -> Option<usize> {
        loop {
            let place = from + memchr2(byte, byte.to_ascii_uppercase(), self.text.get(from..)?)?;
            let start = memrchr(b'\n', self.text.get(from..place)?).map_or(from, |newline| from + newline + 1);
            let end = memchr(b'\n', self.text.get(place..)?).map_or(self.text.len(), |newline| place + newline);
            if let Some(found) = pattern.find(self.text.get(..end)?, start) {
                return Some(found);
            }
            from = end + 1;
        }
    }

    fn next_of_any(&mut self, from: usize) -> Option<usize> {
        for (part, looked_from, found) in &mut self.parts {
            let is_known = *looked_from > 0 && found.is_none_or(|found| found >= from);
            if !is_known {
                *found = part.next(from);
                *looked_from = from + 1;
            }
        }
        self.parts.iter().filter_map(|(_, _, found)| *found).min()
    }
}

impl Query {
    /// How to find lines that could fit; `None` where each must be asked.
    #[must_use]
    pub fn sweep(&self) -> Option<&Sweep> {
        self.sweep.get_or_init(|| Sweep::new(&self.expr)).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::event::{Event, Flags, Level, Source};
    use crate::ids::{Environment, NodeId, StreamId};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn fits(query: &Query, line: &[u8]) -> bool {
        let source = Source {
            tailer: NodeId(1),
            environment: Environment::default(),
            stream: StreamId([0; 16]),
            host: "web".into(),
            app: String::new(),
            path: String::new(),
            generation: 0,
            predecessor: None,
            labels: Vec::new(),
        };
        let (time, level, flags) = (Timestamp(0), Level::Info, Flags::NONE);
        query.matches(&Event { source: &source, offset: 0, time, level, flags, file_length: 0, line })
    }

    /// The lines a sweep finds, by number.
    fn swept(sweep: &Sweep, lines: &[Vec<u8>]) -> Vec<usize> {
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
        let (mut from, mut found, mut state) = (0, Vec::new(), sweep.over(&text));
        while let Some(place) = state.next(from) {
            assert!(place >= from);
            found.push(memchr::memchr_iter(b'\n', &text[..place]).count());
            from = place + memchr(b'\n', &text[place..]).expect("every line has its newline") + 1;
        }
        found
    }

    fn check(query: &str, lines: &[Vec<u8>]) {
        let query = parse(query).expect("a query");
        let Some(sweep) = query.sweep() else { return };
        let expected: Vec<usize> = (0..lines.len()).filter(|&line| fits(&query, &lines[line])).collect();
        let found = swept(sweep, lines);
        if sweep.is_whole {
            assert_eq!(found, expected, "{query:?} in {lines:?}");
        } else {
            assert!(expected.iter().all(|line| found.contains(line)), "{query:?} in {lines:?}");
        }
    }

    #[test]
    fn edges_of_lines_are_edges_of_texts() {
        let lines: Vec<Vec<u8>> = ["", "a", "ab\r", "  ", "xa b", "b a", "a\u{e9}", "7", "\r", "AbA x"]
            .iter()
            .map(|line| line.as_bytes().to_vec())
            .collect();
        for query in [
            "/^$/",
            "/a$/",
            "/^a/",
            r"/\Aa/",
            r"/a\z/",
            r"/\s/",
            r"/\S\s/",
            "/[^a]b/",
            "/(?s).b/",
            "/a*/",
            "/$/",
            r"/\b/",
            r"/\B/",
            r"/b\B/",
            "/(?m)^b/",
            "/(?m)b$/",
            "/(?R)a$/",
            r"/\n/",
            r"/a|\n/",
            r"/a[^x]*x/",
            r"/[\s\S]{3}/",
            "/é$/",
            r"/\W\z/",
            r"/\p{L}/",
            "/x.+a/i",
            "a OR 7",
            "a b",
            "'A' OR /^b/",
            "a -b",
            "host:web a",
            "/a/ OR -b",
            "a?b",
            "b*a",
        ] {
            check(query, &lines);
        }
        assert!(parse("host:web").expect("a query").sweep().is_none());
        assert!(parse("/(?Rm)a$/").expect("a query").sweep().is_none(), "a return would end lines too");
    }

    proptest! {
        #[test]
        fn a_sweep_finds_what_asking_each_line_finds(
            lines in proptest::collection::vec(proptest::collection::vec(prop_oneof![
                Just(b'a'), Just(b'b'), Just(b'1'), Just(b' '), Just(b'\r'), any::<u8>()
            ].prop_map(|byte| if byte == b'\n' { b'x' } else { byte }), 0..8), 0..12),
            parts in proptest::collection::vec(prop_oneof![
                Just("a"), Just("b"), Just("[^a]"), Just("."), Just(r"\s"), Just(r"\w"), Just(r"\d"), Just("^"), Just("$"),
                Just(r"\b"), Just(r"\B"), Just("(a|b1)"), Just("a+"), Just("[^ ]*"), Just("x?"), Just(r"\xff"), Just(" "),
                Just(r"\W"), Just("(?i:A)"), Just("|"),
            ], 1..6),
            word in "[ab1 ]{1,2}",
        ) {
            let pattern = parts.concat();
            check(&format!("/{pattern}/"), &lines);
            check(&format!("/{pattern}/ \"{word}\""), &lines);
            check(&format!("/{pattern}/ OR \"{word}\""), &lines);
            check(&format!("\"{word}\""), &lines);
        }
    }
}
