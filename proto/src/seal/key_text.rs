//! What a node's key file says.
//!
//! ```text
//! tailbuck key 1
//! id 1122334455667788
//! seed 64 digits of lower-case hex
//! check 8 digits of lower-case hex
//! ```
//!
//! The check is the CRC-32C of everything before its line: a digit that flipped on disk would still be a key, only
//! nobody's.
//!
//! The id is drawn together with the first seed. A node that changes its key writes a new file with the old id.

use super::Seed;
use crate::ids::NodeId;
use zeroize::Zeroizing;

const FIRST_LINE: &str = "tailbuck key 1";

/// A key file's bytes; whatever is larger is none.
pub const KEY_TEXT_BYTES_MAX: usize = 1024;

/// What a key file says.
#[must_use]
pub fn key_text(id: NodeId, seed: &Seed) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str(&format!("{FIRST_LINE}\nid {id}\nseed "));
    for byte in seed.bytes() {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).expect("half a byte is a digit"));
        }
    }
    text.push('\n');
    let check = crc32c::crc32c(text.as_bytes());
    text.push_str(&format!("check {check:08x}\n"));
    text
}

/// The error is what is wrong with it, for a sentence that names the file.
pub fn parse_key_text(bytes: &[u8]) -> Result<(NodeId, Seed), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.split('\n');
    if lines.next() != Some(FIRST_LINE) {
        return Err("its first line is not \"tailbuck key 1\"");
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id ")?.parse().ok()).ok_or("its second line is no id")?;
    let seed = lines.next().and_then(|line| hex(line.strip_prefix("seed ")?)).ok_or("its third line is no seed")?;
    // There is one way to write a key, so what follows the third line is right when all of it is.
    if key_text(id, &seed).as_bytes() == bytes { Ok((id, seed)) } else { Err("its check is not that of its lines") }
}

fn hex(digits: &str) -> Option<Seed> {
    let mut seed = Zeroizing::new([0; 32]);
    let pairs = digits.as_bytes().chunks_exact(2);
    if pairs.len() != seed.len() || digits.len() != 64 {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(pairs) {
        let [high, low] = [pair.first()?, pair.get(1)?].map(|digit| digit_value(*digit));
        *byte = high? << 4 | low?;
    }
    Some(Seed::from_bytes(*seed))
}

fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
