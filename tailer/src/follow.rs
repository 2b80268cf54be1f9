//! Is this still the file I was reading, and is what I read of it still there?
//!
//! A file is told from others by device, inode and birth. That it is the same file says little about its content:
//! it may have been emptied and written anew between two looks, with a size that never seemed to shrink. So each
//! look also compares the bytes just before the offset with what stood there when they were read.
//!
//! Also decided here: whether a new file may be the copy that `copytruncate` makes of one being followed.

use proto::packet::TailMark;
use proto::seal::FileBirth;
use proto::time::Timestamp;
use std::path::Path;

/// Which file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    /// Where the file system remembers it. Tells a file from a later one that was given its inode.
    pub birth: Option<Timestamp>,
}

impl Identity {
    /// What goes into the names of its streams.
    #[must_use]
    pub fn origin(&self) -> FileBirth {
        self.birth.map_or(FileBirth::OnDevice(self.device), FileBirth::At)
    }
}

/// What a look at a file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub identity: Identity,
    pub length: u64,
    pub modified: Timestamp,
    /// How many names it has. Without one nobody can open it any more.
    pub links: u64,
}

/// Where a stream was last read to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub offset: u64,
    /// Of the bytes before the offset.
    pub tail: TailMark,
}

/// What became of a file since it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is more to read.
    Grew,
    /// It is as it was.
    Idle,
    /// It begins again: shorter than it was, or other bytes where we had read. This many bytes that were seen
    /// in it are gone unread.
    Restarted { unread: u64 },
}

/// Compares a look at a file with where we were. `before` is what now stands just before the offset, at least as
/// much as the mark is long; `seen` is the greatest length it was ever seen to have.
#[must_use]
pub fn judge(mark: &Mark, seen: u64, stat: &Stat, before: &[u8]) -> Change {
    if stat.length < mark.offset || !agrees(mark, before) {
        return Change::Restarted { unread: seen.saturating_sub(mark.offset) };
    }
    if stat.length > mark.offset { Change::Grew } else { Change::Idle }
}

/// Whether the bytes before an offset are those the mark was made of.
#[must_use]
pub fn agrees(mark: &Mark, before: &[u8]) -> bool {
    let length = usize::from(mark.tail.length);
    before.len() >= length && TailMark::of(before.get(before.len() - length..).unwrap_or_default()) == mark.tail
}

/// The first line as it goes into a stream's name, once it is known: up to its newline or to where names end.
#[must_use]
pub fn first_line(head: &[u8], ended: bool) -> Option<&[u8]> {
    let window = head.get(..proto::limits::FIRST_LINE_BYTES_MAX).unwrap_or(head);
    match memchr::memchr(b'\n', window) {
        Some(end) => window.get(..end),
        None if window.len() == proto::limits::FIRST_LINE_BYTES_MAX || ended && !window.is_empty() => Some(window),
        None => None,
    }
}

/// Whether a file of this name may be a copy that was made of that one before it was emptied: in the same folder,
/// with a longer name made from the other's, as `app.log.1`, `app.log-20261121` or `app-20261121.log` of `app.log`.
#[must_use]
pub fn may_be_copy_of(copy: &Path, original: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = original.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    copy.parent() == original.parent() && name(copy).len() > name(original).len() && name(copy).starts_with(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(length: u64) -> Stat {
        let identity = Identity { device: 1, inode: 2, birth: None };
        Stat { identity, length, modified: Timestamp::default(), links: 1 }
    }

    fn mark(read: &[u8]) -> Mark {
        Mark { offset: read.len() as u64, tail: TailMark::of(read) }
    }

    fn check(read: &str, seen: u64, now: &str, expected: Change) {
        let mark = mark(read.as_bytes());
        let before = &now.as_bytes()[..read.len().min(now.len())];
        assert_eq!(judge(&mark, seen, &stat(now.len() as u64), before), expected, "{read:?} then {now:?}");
    }

    #[test]
    fn a_look_tells_what_became_of_a_file() {
        check("one\n", 4, "one\n", Change::Idle);
        check("one\n", 4, "one\ntwo\n", Change::Grew);
        check("one\n", 4, "", Change::Restarted { unread: 0 });
        check("one\ntwo\n", 20, "one\n", Change::Restarted { unread: 12 });
        check("one\n", 4, "two\n", Change::Restarted { unread: 0 });
        check("one\n", 4, "two\nthree\nfour\n", Change::Restarted { unread: 0 });
        check("", 0, "", Change::Idle);
        check("", 0, "a", Change::Grew);
        let (long, header) = ("header\n".repeat(200), "header\n".repeat(199));
        check(&format!("{header}one\n"), 9, &format!("{header}two\n{long}"), Change::Restarted { unread: 0 });
    }

    #[test]
    fn a_first_line_is_known_once_it_cannot_change() {
        assert_eq!(first_line(b"", false), None);
        assert_eq!(first_line(b"", true), None);
        assert_eq!(first_line(b"half", false), None);
        assert_eq!(first_line(b"half", true), Some(&b"half"[..]));
        assert_eq!(first_line(b"\n", false), Some(&b""[..]));
        assert_eq!(first_line(b"one\ntwo", false), Some(&b"one"[..]));
        assert_eq!(first_line(&[b'x'; 1023], false), None);
        assert_eq!(first_line(&[b'x'; 2000], false), Some(&[b'x'; 1024][..]));
    }

    #[test]
    fn copies_have_longer_names() {
        let copy = |copy: &str, of: &str| may_be_copy_of(Path::new(copy), Path::new(of));
        for name in ["/l/app.log.1", "/l/app.log-20261121", "/l/app-20261121.log", "/l/app.1.log"] {
            assert!(copy(name, "/l/app.log"), "{name}");
        }
        for name in ["/l/app.log", "/k/app.log.1", "/l/web.log.1", "/l/a"] {
            assert!(!copy(name, "/l/app.log"), "{name}");
        }
        assert!(!copy("/l/app.log", "/l/app.log.1"));
    }
}
