//! A data folder: one process has it, what is written stays written, and no name in it comes from the wire.
//!
//! A file's bytes are safe once it was synced; its name only once its folder was. So whoever makes, renames or
//! deletes a file here syncs the folder too. Paths are built from [`Part`]s, which are typed ids or words of the
//! program itself, and nothing is opened through a symbolic link below the folder.

use crate::ids::{Environment, NodeId, StreamId};
use crate::time::BucketId;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const LOCK_NAME: &str = "lock";

#[derive(Debug, thiserror::Error)]
pub enum DirError {
    #[error("{path}: another process{} works with this folder", holder_text(.holder))]
    InUse { path: PathBuf, holder: Option<u32> },
    #[error("{path}: can't {doing}: {source}")]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{path}: a symbolic link stands where the program's own files should")]
    Link { path: PathBuf },
}

fn holder_text(holder: &Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" ({pid})"))
}

fn wrong(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DirError {
    move |source| DirError::File { path: path.to_owned(), doing, source }
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A word of the program's own.
    Word(&'static str),
    Environment(&'a Environment),
    /// Two steps: all but the last two characters, then those.
    Bucket(BucketId),
    Node(NodeId),
    Stream(StreamId),
    Number(u64),
}

/// A folder nobody else works with while this is held.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none. The lock file says who has it.
    pub fn take(path: &Path) -> Result<Self, DirError> {
        make_folder(path)?;
        let lock_path = path.join(LOCK_NAME);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = options.map_err(wrong(&lock_path, "open the lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DirError::InUse { path: path.to_owned(), holder: read_holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(wrong(&lock_path, "lock it")(source)),
        }
        let name_us = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        name_us.map_err(wrong(&lock_path, "write the lock"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn path(&self, parts: &[Part<'_>]) -> PathBuf {
        let mut path = String::new();
        for part in parts {
            path.push('/');
            let written = match part {
                Part::Word(word) => write!(path, "{word}"),
                Part::Environment(environment) => write!(path, "{environment}"),
                Part::Bucket(bucket) => write!(path, "{}", bucket.path()),
                Part::Node(node) => write!(path, "{node}"),
                Part::Stream(stream) => write!(path, "{stream}"),
                Part::Number(number) => write!(path, "{number}"),
            };
            written.expect("a string takes everything");
        }
        self.path.join(path.trim_start_matches('/'))
    }

    /// Opens a file to add to it, making it and the folders above it.
    pub fn append(&self, parts: &[Part<'_>]) -> Result<Appended, DirError> {
        let path = self.checked(parts)?;
        make_folder(path.parent().unwrap_or(&self.path))?;
        let is_new = !path.exists();
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(wrong(&path, "open it"))?;
        if is_new {
            sync_folder_of(&path).map_err(wrong(&path, "sync its folder"))?;
        }
        let length = file.metadata().map_err(wrong(&path, "ask its length"))?.len();
        Ok(Appended { file, path, length })
    }

    pub fn open(&self, parts: &[Part<'_>]) -> Result<File, DirError> {
        let path = self.checked(parts)?;
        File::open(&path).map_err(wrong(&path, "open it"))
    }

    /// Puts a small file there, whole or not at all: whoever reads it sees the old bytes or the new.
    pub fn write_whole(&self, parts: &[Part<'_>], bytes: &[u8]) -> Result<(), DirError> {
        let path = self.checked(parts)?;
        make_folder(path.parent().unwrap_or(&self.path))?;
        write_whole(&path, bytes)
    }

    pub fn rename(&self, from: &[Part<'_>], to: &[Part<'_>]) -> Result<(), DirError> {
        let (from, to) = (self.checked(from)?, self.checked(to)?);
        make_folder(to.parent().unwrap_or(&self.path))?;
        fs::rename(&from, &to).map_err(wrong(&from, "rename it"))?;
        sync_folder_of(&to).and_then(|()| sync_folder_of(&from)).map_err(wrong(&to, "sync its folder"))
    }

    /// Deletes a file, and the folders above it that are empty then. Gone already is as good.
    pub fn delete(&self, parts: &[Part<'_>]) -> Result<(), DirError> {
        let path = self.checked(parts)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(wrong(&path, "delete it"))?,
        }
        sync_folder_of(&path).map_err(wrong(&path, "sync its folder"))?;
        let above = path.ancestors().skip(1).take_while(|above| *above != self.path);
        for folder in above {
            // Refused unless empty, and then it has to stay.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Names in a folder, sorted; none when there is no such folder. Names that are not text are left out.
    pub fn list(&self, parts: &[Part<'_>]) -> Result<Vec<String>, DirError> {
        let path = self.checked(parts)?;
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(wrong(&path, "list it"))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(wrong(&path, "list it"))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The path, if no step of it below the folder is a symbolic link.
    fn checked(&self, parts: &[Part<'_>]) -> Result<PathBuf, DirError> {
        let path = self.path(parts);
        for step in path.ancestors().take_while(|step| *step != self.path) {
            if step.is_symlink() {
                return Err(DirError::Link { path: step.to_owned() });
            }
        }
        Ok(path)
    }
}

fn read_holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// A file that only grows.
#[derive(Debug)]
pub struct Appended {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Appended {
    /// Adds bytes and says where they begin. After an error the file's end is unknown: open it again.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, DirError> {
        self.file.write_all(bytes).map_err(wrong(&self.path, "write to it"))?;
        let at = self.length;
        self.length += u64::try_from(bytes.len()).expect("a length in memory fits");
        Ok(at)
    }

    /// After an error nothing is known of what was written before: a second sync may succeed and mean nothing.
    pub fn sync(&self) -> Result<(), DirError> {
        self.file.sync_data().map_err(wrong(&self.path, "sync it"))
    }

    /// Cuts off a torn end.
    pub fn truncate(&mut self, length: u64) -> Result<(), DirError> {
        let cut = self.file.set_len(length).and_then(|()| self.file.sync_data());
        cut.map_err(wrong(&self.path, "cut it"))?;
        self.length = length;
        Ok(())
    }

    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// See [`Folder::write_whole`]; for files outside of a data folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DirError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = File::create(&new).map_err(wrong(&new, "make it"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong(&new, "write it"))?;
    fs::rename(&new, path).map_err(wrong(path, "put it in place"))?;
    sync_folder_of(path).map_err(wrong(path, "sync its folder"))
}

/// Makes a folder and those above it, each name synced in the one above.
fn make_folder(path: &Path) -> Result<(), DirError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_folder(above)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(wrong(path, "make the folder"))?,
    }
    sync_folder_of(path).map_err(wrong(path, "sync the folder above"))
}

/// Makes the names in a folder as safe as what they name.
pub fn sync_folder(path: &Path) -> Result<(), DirError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(wrong(path, "sync the folder"))
}

/// Makes a file's name as safe as its bytes.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    /// A folder that goes away with the test.
    pub(crate) struct Temporary(pub(crate) PathBuf);

    impl Temporary {
        pub(crate) fn new() -> Self {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("tailbuck-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).expect("a writable place");
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn prod() -> Environment {
        "prod".parse().expect("a name")
    }

    #[test]
    fn a_path_is_made_of_typed_names() {
        let temporary = Temporary::new();
        let folder = Folder::take(&temporary.0).expect("ours");
        let check = |parts: &[Part<'_>], expected: &str| {
            assert_eq!(folder.path(parts), temporary.0.join(expected));
        };
        check(&[], "");
        check(&[Part::Environment(&prod()), Part::Bucket(BucketId(5_984_184))], "prod/3k9/fc");
        check(&[Part::Word("streams"), Part::Stream(StreamId([1; 16]))], &format!("streams/{}", "01".repeat(16)));
        check(&[Part::Node(NodeId(7)), Part::Number(12)], "0000000000000007/12");
    }

    #[test]
    fn a_folder_has_one_holder() {
        let temporary = Temporary::new();
        let first = Folder::take(&temporary.0.join("data")).expect("free");
        let second = Folder::take(&temporary.0.join("data")).expect_err("taken").to_string();
        let expected = format!("another process ({}) works with this folder", std::process::id());
        assert!(second.ends_with(&expected), "{second}");
        drop(first);
        Folder::take(&temporary.0.join("data")).expect("free again");
    }

    #[test]
    fn what_is_appended_is_there_again() {
        let temporary = Temporary::new();
        let folder = Folder::take(&temporary.0).expect("ours");
        let environment = prod();
        let parts = [Part::Environment(&environment), Part::Bucket(BucketId(5_984_184))];
        let mut file = folder.append(&parts).expect("a new file");
        assert_eq!(file.append(b"one").expect("written"), 0);
        assert_eq!(file.append(b"two").expect("written"), 3);
        file.sync().expect("synced");
        drop(file);
        let mut file = folder.append(&parts).expect("an old file");
        assert_eq!(file.length(), 6);
        file.truncate(4).expect("cut");
        assert_eq!(file.append(b"!").expect("written"), 4);
        let mut text = String::new();
        folder.open(&parts).expect("a file").read_to_string(&mut text).expect("text");
        assert_eq!(text, "onet!");
        assert_eq!(folder.list(&[]).expect("a folder"), ["lock", "prod"]);
        assert_eq!(folder.list(&[Part::Word("none")]).expect("no folder"), Vec::<String>::new());
    }

    #[test]
    fn a_whole_file_is_replaced_renamed_and_deleted_with_its_empty_folders() {
        let temporary = Temporary::new();
        let folder = Folder::take(&temporary.0).expect("ours");
        let environment = prod();
        let deep = [Part::Environment(&environment), Part::Bucket(BucketId(7))];
        let state = [Part::Word("state")];
        for bytes in [&b"first, and longer"[..], b"second"] {
            folder.write_whole(&deep, bytes).expect("written");
            assert_eq!(fs::read(folder.path(&deep)).expect("a file"), bytes);
        }
        folder.rename(&deep, &state).expect("renamed");
        assert_eq!(fs::read(folder.path(&state)).expect("a file"), b"second");
        folder.write_whole(&deep, b"again").expect("written");
        folder.delete(&deep).expect("deleted");
        folder.delete(&deep).expect("gone is as good");
        assert_eq!(folder.list(&[]).expect("a folder"), ["lock", "state"]);
        let missing = folder.open(&deep).expect_err("deleted").to_string();
        assert!(missing.contains("prod/0/07: can't open it: "), "{missing}");
    }

    #[test]
    fn nothing_is_opened_through_a_link() {
        let temporary = Temporary::new();
        let outside = Temporary::new();
        let folder = Folder::take(&temporary.0).expect("ours");
        fs::write(outside.0.join("07"), b"precious").expect("a writable place");
        fs::create_dir(temporary.0.join("prod")).expect("a writable place");
        std::os::unix::fs::symlink(&outside.0, temporary.0.join("prod/0")).expect("a link");
        let environment = prod();
        let parts = [Part::Environment(&environment), Part::Bucket(BucketId(7))];
        assert!(matches!(folder.open(&parts), Err(DirError::Link { .. })));
        assert!(matches!(folder.append(&parts), Err(DirError::Link { .. })));
        assert!(matches!(folder.write_whole(&parts, b""), Err(DirError::Link { .. })));
        assert!(matches!(folder.delete(&parts), Err(DirError::Link { .. })));
        assert_eq!(fs::read(outside.0.join("07")).expect("still there"), b"precious");
    }
}
