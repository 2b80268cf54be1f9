//! A shelf in a folder.
//!
//! A file is written beside, synced, given its name by a link (which fails when the name is taken), and its folder
//! synced. What is found there may have been left by a run that ended between two of these, so a name is relied on
//! only after its folder was synced once more, and a folder after the ones above it were.

use super::{PutOutcome, ShelfError, refuse_large};
use crate::names::{Object, parse_path};
use proto::io::clock::seed;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where files wait for their names.
const WAITING: &str = ".waiting";

/// A file that waits for longer was left by a porter that is gone.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Folder {
    root: PathBuf,
    /// Of this process alone: porters on one folder may have the same process number, in containers.
    mark: u64,
    next: AtomicU64,
    /// Folders whose own names are known to be synced.
    safe: Mutex<BTreeSet<PathBuf>>,
}

impl Folder {
    pub fn open(root: &Path) -> Result<Self, ShelfError> {
        let wrong = |doing| move |source| ShelfError::File { path: root.to_owned(), doing, source };
        let waiting = root.join(WAITING);
        fs::create_dir_all(&waiting).map_err(wrong("make the shelf"))?;
        sync(root).map_err(wrong("sync the shelf"))?;
        clear_left(&waiting);
        let drawn =
            seed().map_err(|why| ShelfError::Place { url: root.display().to_string(), why: why.to_string() })?;
        let mark = drawn.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Ok(Self { root: root.to_owned(), mark, next: AtomicU64::new(0), safe: Mutex::default() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// No name leads out of the shelf: it must be one we would give.
    fn path(&self, path: &str) -> Result<PathBuf, ShelfError> {
        if parse_path(path).is_none() {
            return Err(ShelfError::Name(path.to_owned()));
        }
        Ok(self.root.join(path))
    }

    pub fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<PutOutcome, ShelfError> {
        let full = self.path(path)?;
        let folder = full.parent().unwrap_or(&self.root);
        self.make(folder)?;
        let linked = if full.exists() { Ok(PutOutcome::Exists) } else { self.link(&full, bytes) };
        // Also when another was first: what is there may be relied on from now on.
        sync(folder).map_err(error(folder, "sync it"))?;
        linked
    }

    fn link(&self, full: &Path, bytes: &[u8]) -> Result<PutOutcome, ShelfError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let waiting = self.root.join(WAITING).join(format!("{:016x}-{number}", self.mark));
        let written = write_synced(&waiting, bytes).map_err(error(&waiting, "write it"));
        let linked = written.and_then(|()| match fs::hard_link(&waiting, full) {
            Ok(()) => Ok(PutOutcome::Done),
            Err(failed) if failed.kind() == io::ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
            Err(failed) => Err(error(full, "give it its name")(failed)),
        });
        // The file has its name or is of no use.
        let _ = fs::remove_file(&waiting);
        linked
    }

    /// Makes a folder and those above it, each synced into the one above, once by each process.
    fn make(&self, folder: &Path) -> Result<(), ShelfError> {
        if folder == self.root || self.safe().contains(folder) {
            return Ok(());
        }
        let above = folder.parent().filter(|above| above.starts_with(&self.root)).unwrap_or(&self.root);
        self.make(above)?;
        match fs::create_dir(folder) {
            Err(failed) if failed.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(error(folder, "make it"))?,
        }
        sync(above).map_err(error(above, "sync it"))?;
        self.safe().insert(folder.to_owned());
        Ok(())
    }

    fn safe(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.safe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A manifest is what bucks let go of packets for: before it is believed, its name is made to last.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, ShelfError> {
        let (mut file, full) = self.file(path)?;
        refuse_large(path, file.metadata().map_err(error(&full, "ask its length"))?.len())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(error(&full, "read it"))?;
        if matches!(parse_path(path), Some((_, Object::Manifest(_)))) {
            let folder = full.parent().unwrap_or(&self.root);
            self.make(folder)?;
            sync(folder).map_err(error(folder, "sync it"))?;
        }
        Ok(bytes)
    }

    pub fn ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, ShelfError> {
        let (mut file, full) = self.file(path)?;
        ranges.iter().map(|range| read_range(&mut file, range).map_err(error(&full, "read it"))).collect()
    }

    pub fn suffix(&self, path: &str, bytes: u64) -> Result<(Vec<u8>, u64), ShelfError> {
        let (mut file, full) = self.file(path)?;
        let length = file.metadata().map_err(error(&full, "ask its length"))?.len();
        let range = length.saturating_sub(bytes)..length;
        Ok((read_range(&mut file, &range).map_err(error(&full, "read it"))?, length))
    }

    fn file(&self, path: &str) -> Result<(File, PathBuf), ShelfError> {
        let full = self.path(path)?;
        let file = File::open(&full).map_err(error(&full, "open it"))?;
        Ok((file, full))
    }

    /// Only folders that could hold a name beginning with the prefix are opened.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, ShelfError> {
        let mut names = Vec::new();
        let mut waiting = vec![String::new()];
        while let Some(folder) = waiting.pop() {
            let full = self.root.join(&folder);
            let entries = match fs::read_dir(&full) {
                // Gone between two looks.
                Err(failed) if failed.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(error(&full, "list it"))?,
            };
            for entry in entries {
                let entry = entry.map_err(error(&full, "list it"))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && could_hold(&path, prefix) && path != WAITING {
                    waiting.push(path);
                } else if !is_folder {
                    names.push(path);
                }
            }
        }
        Ok(names)
    }

    pub fn delete(&self, path: &str) -> Result<(), ShelfError> {
        let full = self.path(path)?;
        match fs::remove_file(&full) {
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(failed) => Err(error(&full, "delete it")(failed)),
            Ok(()) => {
                let folder = full.parent().unwrap_or(&self.root);
                sync(folder).map_err(error(folder, "sync it"))
            }
        }
    }
}

fn error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => ShelfError::Absent(path.display().to_string()),
        _ => ShelfError::File { path, doing, source },
    }
}

/// What can't be asked for its age or deleted stays: it only takes room.
fn clear_left(waiting: &Path) {
    for entry in fs::read_dir(waiting).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|of| of.modified()).map(|since| since.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > LEFT_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_range(file: &mut File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(range.start))?;
    Read::by_ref(file).take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn could_hold(folder: &str, prefix: &str) -> bool {
    let folder = format!("{folder}/");
    folder.starts_with(prefix) || prefix.starts_with(&folder)
}
