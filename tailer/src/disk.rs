//! The files being read and the bucket files being written.
//!
//! Does what the machine asks, at once, and says how it went; decides nothing.

use crate::action::{Chunk, Opened, Remembered, Trouble};
use crate::files::FileNumber;
use crate::follow::Stat;
use crate::spool::Place;
use crate::watch::stat_of;
use proto::bucket::{BUCKET_HEAD_BYTES, BucketHead};
use proto::io::dir::{Appended, DirError, Folder, Part};
use proto::limits::{FIRST_LINE_BYTES_MAX, PACKET_BYTES_MAX, TAIL_MARK_BYTES};
use proto::record::{Piece, next_piece};
use proto::time::{BucketId, BucketWidth};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bucket files kept open for appending: one an environment, and one more while buckets turn.
const APPENDED_MAX: usize = 16;
/// What Linux calls `O_NONBLOCK | O_NOCTTY`: a pipe or a terminal put in a file's place is opened at once, and refused
/// then. `O_CLOEXEC` is there anyway.
const WITHOUT_WAITING: i32 = 0o4000 | 0o400;
/// How much of a bucket file is read at a time at the start.
const RECOVER_BYTES: usize = 1 << 20;

#[must_use]
pub fn trouble_of(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Gone,
        io::ErrorKind::PermissionDenied => Trouble::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
        _ => Trouble::Failed,
    }
}

fn trouble_in(error: &DirError) -> Trouble {
    match error {
        DirError::File { source, .. } => trouble_of(source),
        _ => Trouble::Failed,
    }
}

/// Files open for reading.
#[derive(Debug, Default)]
pub struct OpenFiles {
    files: BTreeMap<FileNumber, (File, PathBuf)>,
    buffer: Vec<u8>,
}

impl OpenFiles {
    pub fn open(
        &mut self,
        number: FileNumber,
        path: &Path,
        remembered: impl FnOnce(&crate::follow::Identity) -> Option<Remembered>,
    ) -> Result<Opened, Trouble> {
        let opened = || {
            let file = OpenOptions::new().read(true).custom_flags(WITHOUT_WAITING).open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                // The file that was listed is not there any more.
                return Err(io::ErrorKind::NotFound.into());
            }
            let stat = stat_of(&metadata);
            let mut head = vec![0; FIRST_LINE_BYTES_MAX];
            let length = read_at(&file, &mut head, 0)?;
            head.truncate(length);
            Ok((file, stat, head))
        };
        let (file, stat, head) = opened().map_err(|error| trouble_of(&error))?;
        self.files.insert(number, (file, path.to_owned()));
        Ok(Opened { stat, head, remembered: remembered(&stat.identity) })
    }

    /// What it was when it was closed, if it still has a name.
    pub fn close(&mut self, number: FileNumber) -> Option<(PathBuf, Stat)> {
        let (file, path) = self.files.remove(&number)?;
        let stat = stat_of(&file.metadata().ok()?);
        (stat.links > 0).then_some((path, stat))
    }

    /// The bytes before `from` and behind it, read together.
    pub fn read(&mut self, number: FileNumber, from: u64, bytes_max: usize) -> Result<Chunk<'_>, Trouble> {
        let (file, _) = self.files.get(&number).ok_or(Trouble::Gone)?;
        let before = from.min(TAIL_MARK_BYTES as u64);
        let before_bytes = usize::try_from(before).unwrap_or(TAIL_MARK_BYTES);
        if self.buffer.len() < before_bytes + bytes_max {
            self.buffer.resize(before_bytes + bytes_max, 0);
        }
        let mut read = || {
            let stat = stat_of(&file.metadata()?);
            let wanted = self.buffer.get_mut(..before_bytes + bytes_max).unwrap_or_default();
            Ok((stat, read_at(file, wanted, from - before)?))
        };
        let (stat, length) = read().map_err(|error: io::Error| trouble_of(&error))?;
        let (before, bytes) = self.buffer.get(..length).unwrap_or_default().split_at(before_bytes.min(length));
        Ok(Chunk { stat, from, before, bytes })
    }
}

/// As much as there is.
fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match file.read_at(buffer, at) {
            Ok(0) => break,
            Ok(length) => {
                (total, at) = (total + length, at + length as u64);
                buffer = buffer.get_mut(length..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} was made with buckets of {found} seconds, and the cluster's have {wanted}")]
    Width { path: PathBuf, found: u32, wanted: u32 },
}

/// The spool's folder.
#[derive(Debug)]
pub struct SpoolFiles {
    folder: Folder,
    width: BucketWidth,
    appended: BTreeMap<Place, Appended>,
}

fn parts<'a>(place: &'a Place) -> [Part<'a>; 3] {
    [Part::Word("spool"), Part::Environment(&place.environment), Part::Bucket(place.bucket)]
}

impl SpoolFiles {
    #[must_use]
    pub fn new(folder: Folder, width: BucketWidth) -> Self {
        Self { folder, width, appended: BTreeMap::new() }
    }

    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Adds a record and says where it begins. A file that could not be written is opened anew the next time.
    pub fn append(&mut self, place: &Place, bytes: &[u8]) -> Result<u64, Trouble> {
        let written = self.try_append(place, bytes);
        written.map_err(|error| {
            self.appended.remove(place);
            tracing::debug!(%error, "the spool was not written");
            trouble_in(&error)
        })
    }

    fn try_append(&mut self, place: &Place, bytes: &[u8]) -> Result<u64, DirError> {
        if !self.appended.contains_key(place) {
            while self.appended.len() >= APPENDED_MAX {
                self.appended.pop_first();
            }
            let mut file = self.folder.append(&parts(place))?;
            if file.length() < BUCKET_HEAD_BYTES as u64 {
                file.truncate(0)?;
                let (environment, bucket) = (place.environment.clone(), place.bucket);
                file.append(&BucketHead { environment, width: self.width, bucket }.write())?;
            }
            self.appended.insert(place.clone(), file);
        }
        let file = self.appended.get_mut(place).expect("it was just put there");
        let end = file.length();
        file.append(bytes).inspect_err(|_| {
            // A torn end costs nothing but space; giving it back is worth a try.
            let _ = file.truncate(end);
        })
    }

    /// What there is of the record; less than it was where the file lost its end.
    pub fn read(&self, place: &Place, at: u64, length: u32) -> Result<Vec<u8>, Trouble> {
        let file = self.folder.open(&parts(place)).map_err(|error| trouble_in(&error))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(PACKET_BYTES_MAX)];
        let read = read_at(&file, &mut bytes, at).map_err(|error| trouble_of(&error))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Every bucket file is on the disk, whatever run wrote it; its name was when it was made.
    pub fn sync(&self) -> Result<(), SpoolError> {
        for place in self.places()? {
            let path = self.folder.path(&parts(&place));
            let synced = self.folder.open(&parts(&place))?.sync_all();
            synced.map_err(|source| SpoolError::Read { path, source })?;
        }
        Ok(())
    }

    pub fn delete(&mut self, place: &Place) -> Result<(), DirError> {
        self.appended.remove(place);
        self.folder.delete(&parts(place))
    }

    /// Every bucket file there is, oldest first within its environment.
    pub fn places(&self) -> Result<Vec<Place>, DirError> {
        let mut places = Vec::new();
        for name in self.folder.list(&[Part::Word("spool")])? {
            let Ok(environment) = name.parse() else { continue };
            let above = [Part::Word("spool"), Part::Environment(&environment)];
            let root = self.folder.path(&above);
            for upper in self.folder.list(&above)? {
                let Ok(lower) = std::fs::read_dir(root.join(&upper)) else { continue };
                let names = lower.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
                let buckets = names.filter_map(|lower| BucketId::from_path(&upper, &lower));
                places.extend(buckets.map(|bucket| Place { environment: environment.clone(), bucket }));
            }
        }
        places.sort_unstable();
        Ok(places)
    }

    /// Hands over each whole record of a bucket file, and says how many bytes belong to none.
    pub fn recover(&self, place: &Place, mut record: impl FnMut(u64, &[u8])) -> Result<u64, SpoolError> {
        let path = self.folder.path(&parts(place));
        let mut file = self.folder.open(&parts(place))?;
        let refuse = |source| SpoolError::Read { path: path.clone(), source };
        let (mut buffer, mut base, mut skipped, mut last) = (Vec::new(), 0, 0, false);
        let (mut wanted, mut head_seen) = (RECOVER_BYTES, false);
        loop {
            while !last && buffer.len() < wanted {
                let before = buffer.len();
                (&mut file).take(RECOVER_BYTES as u64).read_to_end(&mut buffer).map_err(refuse)?;
                last = buffer.len() == before;
            }
            let mut used = 0;
            if !std::mem::replace(&mut head_seen, true)
                && let Ok(head) = BucketHead::parse(&buffer)
            {
                self.check_width(&path, head.width)?;
                used = BUCKET_HEAD_BYTES;
            }
            wanted = loop {
                match next_piece(buffer.get(used..).unwrap_or_default(), last) {
                    Piece::Record(_, length) => {
                        record(base + used as u64, buffer.get(used..used + length).unwrap_or_default());
                        used += length;
                    }
                    Piece::Skip(length) => {
                        skipped += length as u64;
                        used += length;
                    }
                    Piece::NeedMore(more) => break more.max(RECOVER_BYTES),
                    Piece::End => return Ok(skipped),
                }
            };
            base += used as u64;
            buffer.drain(..used);
        }
    }

    fn check_width(&self, path: &Path, found: BucketWidth) -> Result<(), SpoolError> {
        if found == self.width {
            return Ok(());
        }
        Err(SpoolError::Width { path: path.to_owned(), found: found.seconds(), wanted: self.width.seconds() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;
    use proto::ids::Environment;
    use std::process::Command;

    fn spool(dir: &Dir) -> SpoolFiles {
        SpoolFiles::new(Folder::take(dir.path()).expect("ours"), BucketWidth::default())
    }

    fn place() -> Place {
        Place { environment: Environment::default(), bucket: BucketId(77) }
    }

    #[test]
    fn a_pipe_in_a_files_place_is_refused_at_once() {
        let dir = Dir::new("pipe");
        let path = dir.path().join("app.log");
        assert!(Command::new("mkfifo").arg(&path).status().expect("runs").success());
        let opened = OpenFiles::default().open(FileNumber(1), &path, |_| None);
        assert_eq!(opened, Err(Trouble::Gone));
    }

    #[test]
    fn a_spool_that_can_not_be_read_now_is_not_gone() {
        let dir = Dir::new("spool");
        let mut spool = spool(&dir);
        let at = spool.append(&place(), b"record").expect("written");
        assert_eq!(spool.read(&place(), at, 6), Ok(b"record".to_vec()));
        assert_eq!(spool.read(&place(), at, 9), Ok(b"record".to_vec()), "what is there of it");
        let path = spool.folder.path(&parts(&place()));
        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).expect("renames");
        assert_eq!(spool.read(&place(), at, 6), Err(Trouble::Gone));
        std::os::unix::fs::symlink(&aside, &path).expect("links");
        assert_eq!(spool.read(&place(), at, 6), Err(Trouble::Failed));
        assert!(spool.sync().is_err(), "a stop that can't sync the spool is not clean");
        std::fs::remove_file(&path).expect("removes");
        std::fs::rename(&aside, &path).expect("renames");
        assert!(spool.sync().is_ok());
    }
}
