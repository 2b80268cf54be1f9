//! Files that were followed when the tailer stopped and have a name by now that no glob names: rotated meanwhile.
//!
//! While it runs the tailer holds such a file open and reads it to its end. After a stop only the memory knows it,
//! by its inode: it is looked for once, beside where it was, and then read to its end like one renamed a moment ago.
//! One that was let go while the tailer runs is looked for likewise: its program may write to it once more.

use crate::action::Seen;
use crate::follow::Identity;
use crate::globs::Globs;
use crate::watch::stat_of;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// A file that was followed, and its name then.
pub type Followed = (Identity, PathBuf);

/// A file that was closed, and how long it was then.
pub type Closed = (Followed, u64);

/// Those of the files followed before that are not among `seen` and lie in their folder under another name.
#[must_use]
pub fn find(globs: &Globs, followed: &[Followed], seen: &[Seen]) -> Vec<Seen> {
    let there: BTreeSet<Identity> = seen.iter().map(|seen| seen.stat.identity).collect();
    let mut folders: BTreeMap<&Path, BTreeMap<Identity, usize>> = BTreeMap::new();
    for (identity, path) in followed.iter().filter(|(identity, _)| !there.contains(identity)) {
        if let (Some(folder), Some(input)) = (path.parent(), globs.input_of(path)) {
            folders.entry(folder).or_default().insert(*identity, input);
        }
    }
    folders.iter().flat_map(|(folder, wanted)| look_into(folder, wanted)).collect()
}

/// The same of files that were closed, if they were written to since.
#[must_use]
pub fn find_grown(globs: &Globs, closed: &[Closed], seen: &[Seen]) -> Vec<Seen> {
    let lengths: BTreeMap<Identity, u64> = closed.iter().map(|((identity, _), length)| (*identity, *length)).collect();
    let followed: Vec<Followed> = closed.iter().map(|(followed, _)| followed.clone()).collect();
    let has_grown = |seen: &Seen| lengths.get(&seen.stat.identity).is_some_and(|length| seen.stat.length > *length);
    find(globs, &followed, seen).into_iter().filter(has_grown).collect()
}

fn look_into(folder: &Path, wanted: &BTreeMap<Identity, usize>) -> Vec<Seen> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let inodes: BTreeSet<u64> = wanted.keys().map(|identity| identity.inode).collect();
    let mut found = Vec::new();
    for entry in entries.flatten() {
        // A file's inode is in its folder; only those that may be meant are asked for more.
        if !inodes.contains(&entry.ino()) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let stat = stat_of(&metadata);
        let input = wanted.get(&stat.identity).copied();
        found.extend(input.filter(|_| metadata.is_file()).map(|input| Seen { path: entry.path(), input, stat }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn a_closed_file_is_found_again_when_it_has_grown() {
        let dir = Dir::new("moved");
        let (old, new) = (dir.path().join("app.log"), dir.path().join("app.old"));
        let globs = Globs::new([([dir.path().join("*.log").to_string_lossy().into_owned()].as_slice(), [].as_slice())]);
        let globs = globs.expect("good globs");
        fs::write(&new, b"one\n").expect("writes");
        let stat = stat_of(&fs::metadata(&new).expect("there"));
        let closed: [Closed; 1] = [((stat.identity, old), 4)];
        assert_eq!(find_grown(&globs, &closed, &[]), []);
        fs::write(&new, b"one\ntwo\n").expect("writes");
        let grown = find_grown(&globs, &closed, &[]);
        assert_eq!(grown.iter().map(|seen| (seen.path.clone(), seen.stat.length)).collect::<Vec<_>>(), [(new, 8)]);
        assert_eq!(find_grown(&globs, &closed, &grown), [], "it is followed already");
    }
}
