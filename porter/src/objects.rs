//! A shelf: where blocks and manifests stand. The only file that names object_store.
//!
//! A folder, by default, or a prefix in an object store; alike to everyone else. What is promised: an object is put
//! whole or not at all, never replaced, and of two who put the same name one is told that it was there. That is
//! all any rule of the porter's rests on.
//!
//! object_store's own folder does not sync, so folders are done in `objects/folder`. A folder counts as one copy.
//!
//! All calls block; they belong on threads that may.

mod folder;

use crate::names::parse_path;
use folder::Folder;
use object_store::path::Path as StorePath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

pub use crate::machine::PutOutcome;

/// The largest object that is read whole.
const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// A shelf, by how it is reached.
#[derive(Clone)]
pub struct Shelf {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Folder(Arc<Folder>),
    Store { store: Arc<dyn ObjectStore>, prefix: StorePath, runtime: Handle },
}

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("{url}: no shelf: {why}")]
    Place { url: String, why: String },
    #[error("{path}: can't {doing}: {source}")]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{path}: {why}")]
    Store { path: String, why: String },
    #[error("{0}: not a name we give")]
    Name(String),
    #[error("{0}: is not there")]
    Absent(String),
    #[error("{path}: {bytes} bytes, larger than any object of ours")]
    Large { path: String, bytes: u64 },
}

impl Shelf {
    /// A folder's path, or a URL that object_store knows. A folder is made if it is not there.
    pub fn open(place: &str, runtime: &Handle) -> Result<Self, ShelfError> {
        match place.strip_prefix("file://") {
            Some(path) => Self::folder(Path::new(path)),
            None if place.contains("://") => Self::store(place, runtime.clone()),
            None => Self::folder(Path::new(place)),
        }
    }

    pub fn folder(root: &Path) -> Result<Self, ShelfError> {
        Ok(Self { place: Place::Folder(Arc::new(Folder::open(root)?)) })
    }

    fn store(url: &str, runtime: Handle) -> Result<Self, ShelfError> {
        let refuse = |why: String| ShelfError::Place { url: url.to_owned(), why };
        let parsed = url.parse().map_err(|why| refuse(format!("{why}")))?;
        let (store, prefix) = object_store::parse_url(&parsed).map_err(|why| refuse(why.to_string()))?;
        Ok(Self { place: Place::Store { store: Arc::from(store), prefix, runtime } })
    }

    /// How many disks would have to die for an object to be gone.
    #[must_use]
    pub fn copies(&self) -> u8 {
        match self.place {
            Place::Folder(_) => 1,
            Place::Store { .. } => 2,
        }
    }

    /// Returns when the object is there for good, or something else was first.
    pub fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<PutOutcome, ShelfError> {
        match &self.place {
            Place::Folder(folder) => folder.put_if_absent(path, bytes),
            Place::Store { store, prefix, runtime } => {
                let options = PutOptions::from(PutMode::Create);
                let full = store_path(prefix, path)?;
                match runtime.block_on(store.put_opts(&full, bytes.to_vec().into(), options)) {
                    Ok(_) => Ok(PutOutcome::Done),
                    Err(object_store::Error::AlreadyExists { .. }) => Ok(PutOutcome::Exists),
                    Err(error) => Err(store_error(path, &error)),
                }
            }
        }
    }

    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ShelfError> {
        let whole = match &self.place {
            Place::Folder(folder) => folder.get(path),
            Place::Store { store, prefix, runtime } => {
                let get = async {
                    let got = store.get(&store_path(prefix, path)?).await.map_err(|error| store_error(path, &error))?;
                    refuse_large(path, got.meta.size)?;
                    got.bytes().await.map(|bytes| bytes.to_vec()).map_err(|error| store_error(path, &error))
                };
                runtime.block_on(get)
            }
        };
        match whole {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ShelfError::Absent(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Each range's bytes, exactly.
    pub fn ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, ShelfError> {
        match &self.place {
            Place::Folder(folder) => folder.ranges(path, ranges),
            Place::Store { store, prefix, runtime } => {
                let got = runtime.block_on(store.get_ranges(&store_path(prefix, path)?, ranges));
                let got = got.map_err(|error| store_error(path, &error))?;
                Ok(got.into_iter().map(|bytes| bytes.to_vec()).collect())
            }
        }
    }

    /// The last bytes, or all when there are fewer, and the whole length.
    pub fn suffix(&self, path: &str, bytes: u64) -> Result<(Vec<u8>, u64), ShelfError> {
        match &self.place {
            Place::Folder(folder) => folder.suffix(path, bytes),
            Place::Store { store, prefix, runtime } => {
                let options = GetOptions { range: Some(GetRange::Suffix(bytes)), ..GetOptions::default() };
                let get = async {
                    let got = store.get_opts(&store_path(prefix, path)?, options).await;
                    let got = got.map_err(|error| store_error(path, &error))?;
                    let length = got.meta.size;
                    let bytes = got.bytes().await.map_err(|error| store_error(path, &error))?;
                    Ok((bytes.to_vec(), length))
                };
                runtime.block_on(get)
            }
        }
    }

    /// Names of ours that begin with this; an empty prefix lists everything. In order.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, ShelfError> {
        let mut names = match &self.place {
            Place::Folder(folder) => folder.list(prefix)?,
            Place::Store { store, prefix: before, runtime } => list_store(store, before, prefix, runtime)?,
        };
        names.retain(|name| name.starts_with(prefix) && parse_path(name).is_some());
        names.sort_unstable();
        Ok(names)
    }

    /// It is no error when it is gone already.
    pub fn delete(&self, path: &str) -> Result<(), ShelfError> {
        match &self.place {
            Place::Folder(folder) => folder.delete(path),
            Place::Store { store, prefix, runtime } => match runtime.block_on(store.delete(&store_path(prefix, path)?))
            {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(store_error(path, &error)),
            },
        }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => write!(f, "Shelf({})", folder.root().display()),
            Place::Store { store, prefix, .. } => write!(f, "Shelf({store}/{prefix})"),
        }
    }
}

fn refuse_large(path: &str, bytes: u64) -> Result<(), ShelfError> {
    if bytes > OBJECT_BYTES_MAX { Err(ShelfError::Large { path: path.to_owned(), bytes }) } else { Ok(()) }
}

fn store_path(prefix: &StorePath, path: &str) -> Result<StorePath, ShelfError> {
    if parse_path(path).is_none() {
        return Err(ShelfError::Name(path.to_owned()));
    }
    let parts = prefix.parts().map(|part| part.as_ref().to_owned());
    Ok(parts.chain(path.split('/').map(str::to_owned)).collect())
}

fn store_error(path: &str, error: &object_store::Error) -> ShelfError {
    match error {
        object_store::Error::NotFound { .. } => ShelfError::Absent(path.to_owned()),
        error => ShelfError::Store { path: path.to_owned(), why: error.to_string() },
    }
}

fn list_store(
    store: &Arc<dyn ObjectStore>,
    before: &StorePath,
    prefix: &str,
    runtime: &Handle,
) -> Result<Vec<String>, ShelfError> {
    use futures_util::TryStreamExt;
    // A store lists by whole parts; what is beyond the last slash is sifted afterwards.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let parts = before.parts().map(|part| part.as_ref().to_owned()).collect::<Vec<_>>();
    let under: StorePath = parts.iter().cloned().chain(folder.split('/').map(str::to_owned)).collect();
    let listed: Vec<_> =
        runtime.block_on(store.list(Some(&under)).try_collect()).map_err(|error| store_error(prefix, &error))?;
    let name =
        |path: &StorePath| path.parts().skip(parts.len()).map(|part| part.as_ref().to_owned()).collect::<Vec<_>>();
    Ok(listed.iter().map(|object| name(&object.location).join("/")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const M1: &str = "prod/3k9/fc/0/m-1";

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tailbuck-shelf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn an_object_is_put_once_and_read_in_parts() {
        let root = folder("parts");
        let shelf = Shelf::folder(&root).unwrap();
        assert_eq!(shelf.get(M1).unwrap(), None);
        assert_eq!(shelf.put_if_absent(M1, b"0123456789").unwrap(), PutOutcome::Done);
        assert_eq!(shelf.put_if_absent(M1, b"other").unwrap(), PutOutcome::Exists);
        assert_eq!(shelf.get(M1).unwrap().as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(shelf.ranges(M1, &[2..4, 9..10, 5..5]).unwrap(), [&b"23"[..], b"9", b""]);
        assert!(shelf.ranges(M1, &[0..1, 8..11]).is_err(), "a range beyond the end is no shorter one");
        assert_eq!(shelf.suffix(M1, 3).unwrap(), (b"789".to_vec(), 10));
        assert_eq!(shelf.suffix(M1, 30).unwrap(), (b"0123456789".to_vec(), 10));
        let again = Shelf::folder(&root).unwrap();
        assert_eq!(again.list("").unwrap(), [M1]);
        shelf.delete(M1).unwrap();
        shelf.delete(M1).unwrap();
        assert!(matches!(shelf.suffix(M1, 1), Err(ShelfError::Absent(_))));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn of_two_who_put_a_name_one_is_first() {
        let root = folder("race");
        let shelves = [Shelf::folder(&root).unwrap(), Shelf::folder(&root).unwrap()];
        let shelf = &shelves[0];
        for version in 1..50 {
            let path = format!("prod/3k9/fc/0/m-{version}");
            let start = std::sync::Barrier::new(2);
            let put = |shelf: &Shelf, bytes: &'static [u8]| {
                start.wait();
                (shelf.put_if_absent(&path, bytes).unwrap(), bytes)
            };
            let both = std::thread::scope(|scope| {
                let (one, two) = (scope.spawn(|| put(&shelves[0], b"one")), scope.spawn(|| put(&shelves[1], b"two")));
                [one.join().unwrap(), two.join().unwrap()]
            });
            let first: Vec<_> = both.iter().filter(|(outcome, _)| *outcome == PutOutcome::Done).collect();
            assert_eq!(first.len(), 1, "{both:?}");
            assert_eq!(shelf.get(&path).unwrap().as_deref(), Some(first[0].1));
        }
        assert_eq!(fs::read_dir(root.join(".waiting")).unwrap().count(), 0);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn lists_hold_our_names_and_nothing_else() {
        let root = folder("lists");
        let shelf = Shelf::folder(&root).unwrap();
        for path in [M1, "prod/3k9/fc/0/l-1", "prod/3k9/fd/0/m-1", "dev/3k9/fc/0/m-1"] {
            shelf.put_if_absent(path, b"x").unwrap();
        }
        fs::write(root.join("prod/3k9/fc/0/m-2.part"), b"x").unwrap();
        fs::write(root.join("notes"), b"x").unwrap();
        assert_eq!(shelf.list("").unwrap().len(), 4);
        assert_eq!(shelf.list("prod/3k9/fc/").unwrap(), ["prod/3k9/fc/0/l-1", M1]);
        assert_eq!(shelf.list("prod/3k9/f").unwrap().len(), 3);
        for bad in ["../x", "/etc/passwd", "prod/../../x", "prod/3k9/fc/0/m-2.part", ""] {
            assert!(matches!(shelf.get(bad), Err(ShelfError::Name(_))), "{bad:?}");
            assert!(matches!(shelf.put_if_absent(bad, b""), Err(ShelfError::Name(_))), "{bad:?}");
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn an_object_store_is_a_shelf_like_a_folder() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let shelf = Shelf::open("memory:///logs", runtime.handle()).unwrap();
        assert_eq!(shelf.put_if_absent(M1, b"0123").unwrap(), PutOutcome::Done);
        assert_eq!(shelf.put_if_absent(M1, b"x").unwrap(), PutOutcome::Exists);
        assert_eq!(shelf.get(M1).unwrap().as_deref(), Some(&b"0123"[..]));
        assert_eq!(shelf.get("prod/3k9/fc/0/m-2").unwrap(), None);
        assert_eq!(shelf.ranges(M1, &[1..3, 0..1]).unwrap(), [&b"12"[..], b"0"]);
        assert_eq!(shelf.suffix(M1, 2).unwrap(), (b"23".to_vec(), 4));
        assert_eq!(shelf.list("prod/3k9/").unwrap(), [M1]);
        assert_eq!(shelf.list("").unwrap(), [M1]);
        shelf.delete(M1).unwrap();
        assert_eq!(shelf.list("").unwrap(), [""; 0]);
        assert!(Shelf::open("nonsense://x", runtime.handle()).is_err());
    }
}
