//! `block stat`: where a block's bytes went.

use super::open;
use crate::exit::Outcome;
use anyhow::Context;
use porter::block::Profile;
use porter::block::parts::shares;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

pub fn run(path: &Path) -> anyhow::Result<Outcome> {
    let (opened, file) = open(path)?;
    let raw = opened.head.raw_bytes;
    let profile = match opened.footer.profile {
        Profile::Recent => "recent",
        Profile::Archive => "archive",
    };
    let mut text = format!(
        "{profile}, {} lines, {} events, {} streams, {} pages\n",
        opened.head.lines,
        opened.head.events,
        opened.streams.len(),
        opened.pages.len()
    );
    let mut row = |part: &str, count: String, bytes: u64| {
        let (of_block, of_lines) = (share(bytes, opened.length), share(bytes, raw));
        writeln!(text, "{part:<44} {count:>9} {bytes:>13} {of_block:>10} {of_lines:>10}")
    };
    for part in shares(&opened, &file).with_context(|| path.display().to_string())? {
        row(&part.name, part.count.to_string(), part.bytes)?;
    }
    row("all", String::new(), opened.length)?;
    writeln!(
        text,
        "{:<44} {:>9} {raw:>13} {:>10} {:>10}",
        "lines, with their newlines", "count", "of block", "of lines"
    )?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// In hundredths of a percent, without floating point.
fn share(bytes: u64, all: u64) -> String {
    let parts = u128::from(bytes) * 10_000 / u128::from(all.max(1));
    format!("{}.{:02} %", parts / 100, parts % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents() {
        assert_eq!(share(1, 3), "33.33 %");
        assert_eq!(share(0, 0), "0.00 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.00 %");
    }
}
