//! Log text made safe to look at: what cannot be seen is shown, what would turn text around does nothing.
//!
//! Promises that no control character of C0 or C1 save the tab, no direction mark and no invisible character
//! that fools the eye comes out. Markup is not its matter: the page sets text only, a terminal knows none. `assets/clean.js` holds the same table.

use std::borrow::Cow;

/// A line's bytes for a terminal: as [`visible`], and what is not UTF-8 as `\xff`, byte by byte.
#[must_use]
pub fn shown(line: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(line) {
        return visible(text);
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for chunk in line.utf8_chunks() {
        shown.push_str(&visible(chunk.valid()));
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    Cow::Owned(shown)
}

/// The text with every such character replaced by a sign: C0 by its control picture, the rest by `<U+202E>`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unseen) else {
        return Cow::Borrowed(text);
    };
    let (plain, rest) = text.split_at(first);
    let mut visible = String::with_capacity(text.len() + 16);
    visible.push_str(plain);
    for char in rest.chars() {
        push(&mut visible, char);
    }
    Cow::Owned(visible)
}

/// JSON for a terminal: the same JSON, with every such character spelled as `\u202e`. The tab stands in none.
#[must_use]
pub fn spelled(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unseen) {
        return Cow::Borrowed(json);
    }
    let mut spelled = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if is_unseen(char) {
            let units = char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            spelled.push_str(&units);
        } else {
            spelled.push(char);
        }
    }
    Cow::Owned(spelled)
}

fn push(shown: &mut String, char: char) {
    let code = u32::from(char);
    match char {
        '\0'..='\x1f' if char != '\t' => shown.extend(char::from_u32(0x2400 + code)),
        '\x7f' => shown.push('\u{2421}'),
        _ if is_unseen(char) => shown.push_str(&format!("<U+{code:04X}>")),
        _ => shown.push(char),
    }
}

/// Controls, direction marks, and what takes no room. Joiners stay: scripts and emoji need them.
fn is_unseen(char: char) -> bool {
    char != '\t'
        && matches!(char,
            '\0'..='\x1f' | '\x7f'..='\u{9f}'
            | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `in`, and what [`visible`] makes of it; the page's own table is held to the same file.
    const CASES: &str = include_str!("testdata/clean.json");

    #[test]
    fn the_cases_page_and_terminal_share() {
        let cases: Vec<serde_json::Value> = serde_json::from_str(CASES).unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let text = case["in"].as_str().unwrap();
            assert_eq!(visible(text), case["visible"].as_str().unwrap(), "of {text:?}");
        }
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(visible("GET /a\t200 größer 日本 👩‍🚒"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_no_text_are_spelled_out() {
        let check = |line: &[u8], expected| assert_eq!(shown(line), expected);
        check(b"plain", "plain");
        check(b"a\xff\xfeb", "a\\xff\\xfeb");
        check(b"\x1b[31m\xc3", "\u{241b}[31m\\xc3");
    }

    proptest! {
        #[test]
        fn spelled_json_says_the_same_and_nothing_unseen(text in any::<String>(), odd in "[\u{80}-\u{9f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{e0001}\u{7f}]{1,4}") {
            let value = serde_json::json!({ "m": format!("{text}{odd}") });
            let json = value.to_string();
            let spelled = spelled(&json);
            prop_assert!(!spelled.contains(is_unseen));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&spelled).expect("JSON"), value);
        }

        #[test]
        fn nothing_unseen_comes_out_and_nothing_seen_is_lost(text in any::<String>()) {
            let shown = visible(&text);
            prop_assert!(!shown.contains(is_unseen));
            let mut left = shown.chars();
            for char in text.chars().filter(|char| !is_unseen(*char)) {
                prop_assert!(left.any(|other| other == char));
            }
        }
    }
}
