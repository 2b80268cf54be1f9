//! Files that were followed when the tailer stopped and have a name by now that no glob names: rotated meanwhile.
//!
//! While it runs the tailer holds such a file open and reads it to its end. After a stop only the memory knows it,
//! by its inode: it is looked for once, beside where it was, and then read to its end like one renamed a moment ago.

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

/// Those of the files followed before that are not among `seen` and lie in their folder under another name.
#[must_use]
pub fn find(globs: &Globs, followed: &[Followed], seen: &[Seen]) -> Vec<Seen> {
    let there: BTreeSet<Identity> = seen.iter().map(|seen| seen.stat.identity).collect();
    let mut folders: BTreeMap<&Path, Vec<(Identity, usize)>> = BTreeMap::new();
    for (identity, path) in followed.iter().filter(|(identity, _)| !there.contains(identity)) {
        if let (Some(folder), Some(input)) = (path.parent(), globs.input_of(path)) {
            folders.entry(folder).or_default().push((*identity, input));
        }
    }
    folders.iter().flat_map(|(folder, wanted)| look_into(folder, wanted)).collect()
}

fn look_into(folder: &Path, wanted: &[(Identity, usize)]) -> Vec<Seen> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        // A file's inode is in its folder; only those that may be meant are asked for more.
        if !wanted.iter().any(|(identity, _)| identity.inode == entry.ino()) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        let stat = stat_of(&metadata);
        let input = wanted.iter().find(|(identity, _)| *identity == stat.identity).map(|(_, input)| *input);
        found.extend(input.filter(|_| metadata.is_file()).map(|input| Seen { path: entry.path(), input, stat }));
    }
    found
}
