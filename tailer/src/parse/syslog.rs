//! Syslog: the priority before the stamp, and the program's name behind it.

use super::digits::number;

/// `<13>` at the front: its value and its length.
pub fn priority(line: &[u8]) -> Option<(i64, usize)> {
    if line.first() != Some(&b'<') {
        return None;
    }
    let (value, digits) = number(line.get(1..)?)?;
    (value <= 191 && digits <= 3 && line.get(1 + digits) == Some(&b'>')).then_some((value, digits + 2))
}

/// The program's name in `host name[pid]: text`, given what stands behind the stamp.
#[inline]
pub fn app(behind: &[u8]) -> Option<&str> {
    let rest = word_behind(behind)?;
    let window = rest.get(..64).unwrap_or(rest);
    let end = window.iter().position(|b| matches!(b, b'[' | b':' | b' ' | b'('))?;
    let tagged = match window.get(end)? {
        b':' => true,
        b'[' => closes(window.get(end + 1..)?),
        b'(' => window.get(end..)?.windows(2).any(|pair| pair == b")["),
        _ => false,
    };
    name(tagged.then(|| window.get(..end))??)
}

/// The same where it is less sure that this is syslog at all: only with a process number.
#[inline]
pub fn app_with_pid(behind: &[u8]) -> Option<&str> {
    let name = app(behind)?;
    let rest = word_behind(behind)?;
    (rest.get(name.len()) == Some(&b'[')).then_some(name)
}

/// The third field of a header after the new standard: `host name pid msgid`.
pub fn app_of_fields(behind: &[u8]) -> Option<&str> {
    let rest = word_behind(behind)?;
    let end = rest.iter().position(|b| *b == b' ')?;
    name(rest.get(..end)?).filter(|name| *name != "-")
}

/// What follows the host.
#[inline]
fn word_behind(behind: &[u8]) -> Option<&[u8]> {
    let host = behind.strip_prefix(b" ")?;
    let end = host.get(..256).unwrap_or(host).iter().position(|b| *b == b' ')?;
    host.get(end + 1..)
}

/// A pid and the bracket and colon behind it.
#[inline]
fn closes(bytes: &[u8]) -> bool {
    let digits = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    digits > 0 && bytes.get(digits) == Some(&b']')
}

#[inline]
fn name(bytes: &[u8]) -> Option<&str> {
    let plain = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(plain.then_some(bytes)?).ok()
}
