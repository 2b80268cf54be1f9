//! A tree as one line of text, the same for the same tree; test vectors and debugging read it.
//!
//! `and(text("error"), not(exact("Health")))`, `or(host:glob("web*"), @a.b:>=("500"), regex("5\d\d", i))`.
//! Within quotes only `"` and `\` are escaped, and bytes that are no UTF-8 are written `\xff`.

use super::expr::{Expr, Field, Order, Test, Text};
use super::pattern::Pattern;
use std::fmt;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::And(all) => write_list(f, "and", all),
            Self::Or(any) => write_list(f, "or", any),
            Self::Not(inner) => write!(f, "not({inner})"),
            Self::Text(text) => write!(f, "{text}"),
            Self::Pattern(pattern) => write!(f, "{pattern}"),
            Self::Field(field, test) => write!(f, "{field}:{test}"),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, name: &str, exprs: &[Expr]) -> fmt::Result {
    write!(f, "{name}(")?;
    for (at, expr) in exprs.iter().enumerate() {
        write!(f, "{}{expr}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str(")")
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", if self.exact { "exact" } else { "text" }, Quoted(&self.bytes))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regex({}{})", Quoted(self.source.as_bytes()), if self.ignore_case { ", i" } else { "" })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env => "env",
            Self::Host => "host",
            Self::App => "app",
            Self::Level => "level",
            Self::File => "file",
            Self::Stream => "stream",
            Self::Id => "id",
            Self::Parsed(path) => return write!(f, "@{}", path.join(".")),
        })
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(glob) => write!(f, "glob({})", Quoted(glob.as_bytes())),
            Self::Exact(text) => write!(f, "exact({})", Quoted(text.as_bytes())),
            Self::Pattern(pattern) => write!(f, "{pattern}"),
            Self::Compare(order, bound) => write!(f, "{order}({})", Quoted(bound.as_bytes())),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::Less => "<",
        })
    }
}

struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            f.write_str(&chunk.valid().replace('\\', "\\\\").replace('"', "\\\""))?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}
