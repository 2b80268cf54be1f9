//! Events on stdout, in the format that was asked for.
//!
//! Lines go to a pipe byte for byte as they stood in their files; on a terminal control characters and what turns text
//! around are shown, never obeyed, in JSON as well.

use crate::args::Format;
use anyhow::Context;
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Write};
use web::clean::{shown, spelled};

pub struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    terminal: bool,
    pub printed: u64,
}

impl Printer {
    pub fn new(format: Format) -> Self {
        let out = BufWriter::with_capacity(64 << 10, io::stdout());
        Self { out, format, terminal: io::stdout().is_terminal(), printed: 0 }
    }

    pub fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        self.printed += 1;
        self.out.write_all(&text_of(event, self.format, self.terminal)?)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// What stands between lines that did not stand side by side.
    pub fn gap(&mut self) -> io::Result<()> {
        self.out.write_all(b"--\n")
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The events of a frame.
pub fn events_of(frame: &Value) -> impl Iterator<Item = &Value> {
    frame["e"].as_array().into_iter().flatten()
}

/// What an event looks like, on a terminal or in a pipe.
fn text_of(event: &Value, format: Format, terminal: bool) -> anyhow::Result<Vec<u8>> {
    let text = match format {
        Format::Raw => line_of(event)?,
        Format::Json => serde_json::to_vec(event)?,
        Format::Id => event["id"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    Ok(match format {
        _ if !terminal => text,
        Format::Json => spelled(&String::from_utf8_lossy(&text)).into_owned().into_bytes(),
        Format::Raw | Format::Id => shown(&text).into_owned().into_bytes(),
    })
}

/// The exact bytes: `b` in base 64 where the line is not text, else `m`.
fn line_of(event: &Value) -> anyhow::Result<Vec<u8>> {
    match event["b"].as_str() {
        Some(encoded) => from_base64(encoded).context("an event's bytes are not base 64"),
        None => Ok(event["m"].as_str().context("an event without a line")?.as_bytes().to_vec()),
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(((bits >> count) & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_line_and_a_pipe_gets_every_byte() {
        let line = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{2066}c\u{7f}";
        let event = serde_json::json!({"id": "00", "m": line});
        let check = |format, terminal, expected: &str| {
            let text = text_of(&event, format, terminal).expect("an event");
            assert_eq!(String::from_utf8(text).expect("text"), expected);
        };
        check(Format::Raw, false, line);
        check(Format::Raw, true, "a\u{241b}[2J<U+009B>31m<U+202E>b<U+2066>c\u{2421}");
        check(Format::Json, false, &event.to_string());
        check(Format::Json, true, r#"{"id":"00","m":"a\u001b[2J\u009b31m\u202eb\u2066c\u007f"}"#);
        check(Format::Id, true, "00");
    }

    #[test]
    fn base_64_gives_back_any_bytes() {
        assert_eq!(from_base64("/wAK"), Some(vec![0xff, 0, 10]));
        assert_eq!(from_base64("/wA="), Some(vec![0xff, 0]));
        assert_eq!(from_base64("/w=="), Some(vec![0xff]));
        assert_eq!(from_base64(""), Some(vec![]));
        assert_eq!(from_base64("a b"), None);
    }
}
