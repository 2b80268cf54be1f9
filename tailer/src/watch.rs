//! Finds the files the globs name, and hears of changes to them.
//!
//! A walk lists every file; the system tells of changes in between, folder by folder. Where it can't tell of more
//! folders, the walks alone find what happens there. Only regular files are taken, links to them too; what the
//! tailer writes itself is left out, by device and inode.

use crate::action::Seen;
use crate::follow::{Identity, Stat};
use crate::globs::{Globs, Pattern};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::io::unix::AsyncFd;

/// Folders deep that a walk goes; links can make a tree endless.
const DEPTH_MAX: usize = 64;
/// Folders watched at most; the system has a limit of its own, usually lower.
const FOLDERS_MAX: usize = 65_536;
/// Changes come in bursts; those that come together are told once.
const BURST: Duration = Duration::from_millis(2);
/// Bytes of events read at a time.
const EVENT_BYTES: usize = 64 << 10;

/// Walks the file system for the globs.
#[derive(Debug)]
pub struct Walker {
    globs: Globs,
    /// Files and folders that are the tailer's own.
    own: BTreeSet<(u64, u64)>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    pub seen: Vec<Seen>,
    /// Every folder looked into.
    pub folders: BTreeSet<PathBuf>,
    visited: BTreeSet<(usize, u64, u64)>,
}

/// What the system says of an open or named file.
#[must_use]
pub fn stat_of(metadata: &Metadata) -> Stat {
    let moment = |time: io::Result<SystemTime>| {
        let since = time.ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Timestamp::default().after(since))
    };
    let identity = Identity { device: metadata.dev(), inode: metadata.ino(), birth: moment(metadata.created()) };
    let modified = moment(metadata.modified()).unwrap_or_default();
    Stat { identity, length: metadata.len(), modified, links: metadata.nlink() }
}

impl Walker {
    /// `own` are paths the tailer itself writes to.
    #[must_use]
    pub fn new(globs: Globs, own: &[PathBuf]) -> Self {
        let identity = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        // What its own output goes to may be a file that some glob names.
        let outputs = ["/proc/self/fd/1", "/proc/self/fd/2"].map(PathBuf::from);
        let own = own.iter().chain(&outputs).filter_map(identity).collect();
        Self { globs, own }
    }

    #[must_use]
    pub fn globs(&self) -> &Globs {
        &self.globs
    }

    #[must_use]
    pub fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        for (input, pattern) in self.globs.patterns() {
            if pattern.is_plain() {
                walk.folders.extend(pattern.base.parent().map(Path::to_owned));
                walk.seen.extend(self.file(input, &pattern.base));
            } else {
                self.folder(input, pattern, &pattern.base, 1, &mut walk);
            }
        }
        walk.seen.sort_by(|a, b| (a.input, &a.path).cmp(&(b.input, &b.path)));
        walk
    }

    fn folder(&self, input: usize, pattern: &Pattern, path: &Path, depth: usize, walk: &mut Walk) {
        let Ok(metadata) = fs::metadata(path) else { return };
        let own = self.own.contains(&(metadata.dev(), metadata.ino()));
        let plain_twice = depth > DEPTH_MAX || !metadata.is_dir() || own || self.globs.excludes(input, path);
        // Each folder once for each pattern, whatever links lead to it.
        let pattern_number = std::ptr::from_ref(pattern).addr();
        if plain_twice || !walk.visited.insert((pattern_number, metadata.dev(), metadata.ino())) {
            return;
        }
        walk.folders.insert(path.to_owned());
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && path.is_dir());
            if is_folder {
                if pattern.depth.is_none_or(|most| depth < most) {
                    self.folder(input, pattern, &path, depth + 1, walk);
                }
            } else if pattern.fits(&path) {
                walk.seen.extend(self.file(input, &path));
            }
        }
    }

    /// A regular file that is not left out and not the tailer's own.
    fn file(&self, input: usize, path: &Path) -> Option<Seen> {
        let metadata = fs::metadata(path).ok()?;
        let own = self.own.contains(&(metadata.dev(), metadata.ino()));
        let taken = metadata.is_file() && !own && !self.globs.excludes(input, path);
        taken.then(|| Seen { path: path.to_owned(), input, stat: stat_of(&metadata) })
    }

    /// A path the system told of, if a glob names it.
    #[must_use]
    pub fn look(&self, path: &Path) -> Option<Seen> {
        self.file(self.globs.input_of(path)?, path)
    }
}

/// What the system told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something happened to the file of this name.
    Changed(PathBuf),
    /// More happened than can be named: walk.
    Unsure,
}

/// Hears of changes in folders.
pub struct Watcher {
    inotify: AsyncFd<Inotify>,
    folders: HashMap<WatchDescriptor, PathBuf>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    buffer: Vec<u8>,
    /// The system watches no more folders; said once.
    exhausted: bool,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watcher({} folders)", self.watched.len())
    }
}

impl Watcher {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe to call; an Inotify owns its descriptor and never changes it"
    )]
    pub fn new() -> io::Result<Self> {
        let inotify = AsyncFd::new(Inotify::init()?)?;
        let buffer = vec![0; EVENT_BYTES];
        Ok(Self { inotify, folders: HashMap::new(), watched: BTreeMap::new(), buffer, exhausted: false })
    }

    /// Watches exactly these folders from now on. True when one of them was not watched before.
    pub fn set_folders(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let mut new = false;
        let gone: Vec<PathBuf> = self.watched.keys().filter(|path| !folders.contains(*path)).cloned().collect();
        for path in gone {
            if let Some(descriptor) = self.watched.remove(&path) {
                self.folders.remove(&descriptor);
                let _ = self.inotify.get_ref().watches().remove(descriptor);
            }
        }
        for path in folders.iter().take(FOLDERS_MAX) {
            if !self.watched.contains_key(path) {
                new |= self.watch(path);
            }
        }
        new
    }

    fn watch(&mut self, path: &Path) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match self.inotify.get_ref().watches().add(path, mask) {
            Ok(descriptor) => {
                self.folders.insert(descriptor.clone(), path.to_owned());
                self.watched.insert(path.to_owned(), descriptor);
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.exhausted, true) {
                    tracing::warn!(path = %path.display(), %error, "can't be watched; changes are found by looking");
                }
                false
            }
        }
    }

    /// The next changes, each path once. Cancel-safe.
    pub async fn told(&mut self) -> io::Result<Vec<Told>> {
        loop {
            let mut ready = self.inotify.readable_mut().await?;
            let events = match ready.get_inner_mut().read_events(&mut self.buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut told = BTreeSet::new();
            let mut unsure = false;
            for event in events {
                if event.mask.intersects(EventMask::IGNORED | EventMask::MOVE_SELF) {
                    // Another folder may come to have its name, and is to be watched then.
                    if let Some(path) = self.folders.remove(&event.wd) {
                        self.watched.remove(&path);
                        unsure = true;
                    }
                    if event.mask.contains(EventMask::MOVE_SELF) {
                        let _ = self.inotify.get_ref().watches().remove(event.wd);
                    }
                    continue;
                }
                let folder = self.folders.get(&event.wd);
                match (event.name, folder) {
                    _ if event.mask.intersects(EventMask::Q_OVERFLOW | EventMask::ISDIR) => unsure = true,
                    (Some(name), Some(folder)) if !event.mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) => {
                        told.insert(folder.join(name));
                    }
                    (Some(_), Some(_)) => unsure = true,
                    _ => {}
                }
            }
            let changed = told.into_iter().map(Told::Changed);
            return Ok(changed.chain(unsure.then_some(Told::Unsure)).collect());
        }
    }

    /// Lets a burst gather.
    pub async fn pause(&self) {
        tokio::time::sleep(BURST).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[tokio::test]
    async fn a_folder_that_was_made_again_is_watched_again() {
        let dir = Dir::new("watched");
        let path = dir.path().join("logs");
        let folders = BTreeSet::from([path.clone()]);
        let mut watcher = Watcher::new().expect("the system can");
        for moved in [false, true] {
            fs::create_dir(&path).expect("made");
            assert!(watcher.set_folders(&folders), "it is new");
            assert!(!watcher.set_folders(&folders), "it is watched");
            if moved {
                fs::rename(&path, dir.path().join("aside")).expect("renamed");
            } else {
                fs::remove_dir(&path).expect("removed");
            }
            while !watcher.told().await.expect("told").contains(&Told::Unsure) {}
        }
        assert!(watcher.watched.is_empty() && watcher.folders.is_empty());
    }
}
