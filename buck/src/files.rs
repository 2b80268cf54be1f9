//! How a disk's folder is laid out.
//!
//! ```text
//! lock                  whose it is, as long as the process lives
//! width                 "tailbuck disk 1", then "bucket_seconds 300": written once, never changed
//! packets/prod/3k9/fc   a bucket file: environment, then the bucket's name
//! ledger/               sled; may be deleted while the buck is stopped (first disk only)
//! ```

use proto::ids::Environment;
use proto::io::dir::{DirError, Folder, Part};
use proto::time::{BucketId, BucketWidth};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One bucket file on a disk.
pub type FileKey = (Environment, BucketId);

const WIDTH: [Part<'static>; 1] = [Part::Word("width")];
const FIRST_LINE: &str = "tailbuck disk 1";

/// A width file's bytes; whatever is longer is none.
const WIDTH_BYTES_MAX: u64 = 256;

#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: not a disk of a buck: its first line is not \"{FIRST_LINE}\"")]
    Foreign { path: PathBuf },
    #[error("{path}: packets lie here in buckets of {here} s, and this node is set to {wanted} s")]
    Width { path: PathBuf, here: u32, wanted: u32 },
}

/// Takes the folder for this process, and makes sure that its buckets are as wide as ours.
pub fn open_disk(path: &Path, width: BucketWidth) -> Result<Folder, FilesError> {
    let folder = Folder::take(path)?;
    let width_path = folder.path(&WIDTH);
    if !width_path.exists() {
        folder.write_whole(&WIDTH, format!("{FIRST_LINE}\nbucket_seconds {}\n", width.seconds()).as_bytes())?;
        return Ok(folder);
    }
    let here = read_width(&folder)?;
    if here == width.seconds() {
        return Ok(folder);
    }
    Err(FilesError::Width { path: path.to_owned(), here, wanted: width.seconds() })
}

fn read_width(folder: &Folder) -> Result<u32, FilesError> {
    let path = folder.path(&WIDTH);
    let mut text = String::new();
    let read = folder.open(&WIDTH)?.take(WIDTH_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|source| FilesError::Read { path: path.clone(), source })?;
    let mut lines = text.lines();
    let first = lines.next() == Some(FIRST_LINE);
    let seconds = lines.next().and_then(|line| line.strip_prefix("bucket_seconds ")?.parse().ok());
    seconds.filter(|_| first).ok_or(FilesError::Foreign { path })
}

/// Where a bucket file lies.
pub fn parts(key: &FileKey) -> [Part<'_>; 3] {
    [Part::Word("packets"), Part::Environment(&key.0), Part::Bucket(key.1)]
}

/// Every bucket file of a disk, in order. What has no name of ours is left alone.
pub fn bucket_files(folder: &Folder) -> Result<Vec<FileKey>, FilesError> {
    let root = folder.path(&[Part::Word("packets")]);
    let mut found = Vec::new();
    for environment in names(&root)? {
        let Ok(name) = environment.parse::<Environment>() else { continue };
        for upper in names(&root.join(&environment))? {
            for lower in names(&root.join(&environment).join(&upper))? {
                found.extend(BucketId::from_path(&upper, &lower).map(|bucket| (name.clone(), bucket)));
            }
        }
    }
    Ok(found)
}

/// Sorted; none when there is no such folder.
fn names(path: &Path) -> Result<Vec<String>, FilesError> {
    let refuse = |source| FilesError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other.map_err(refuse)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(refuse)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}
