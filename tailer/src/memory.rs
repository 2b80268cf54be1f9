//! What a tailer remembers between runs, in sled; the only file of this crate that names it.
//!
//! Nothing here is promised to last: all of it can be had again from the spool, the bucks and the files. So a
//! folder that sled can't open is put aside and a new one begun, and an entry that can't be read is passed over.
//!
//! ```text
//! files    device u64, inode u64, birth u8 0|1 and i64
//!          -> version u8 1, stream 16 bytes, generation u32, predecessor u8 0|1 and 16 bytes,
//!             offset u64, mark: length u8, crc u32, path (the rest)
//! arrived  environment, NUL, bucket u64, run u64 -> first and last seq, u32 each, again and again
//! closed   environment -> bucket u64, then the last that had packets u64 + 1, or 0
//! gone     as in files -> when it was first not found, seconds u64
//! self     "clean", "boot", "spool" -> see `Memory::recover`
//! ```

use crate::action::{ClosedTo, Memory, Remembered};
use crate::follow::{Identity, Mark};
use crate::spool::{ArrivedRun, Place};
use proto::field::{BadField, Fields, put_u32, put_u64};
use proto::ids::{Environment, RunId, StreamId};
use proto::limits::PATH_BYTES_MAX;
use proto::packet::TailMark;
use proto::time::{BucketId, Timestamp};
use sled::{Batch, Db, Tree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const VERSION: u8 = 1;
/// sled's own cache. What is looked up is looked up once, when a file is opened.
const CACHE_BYTES: u64 = 4 << 20;
/// How long a file must be gone before it is forgotten: a disk may not be mounted, a host may be restored.
const GONE_KEPT_SECONDS: u64 = 30 * 86_400;
/// How often sled writes by itself; a process that is killed loses no more than the time since.
const FLUSH_MS: u64 = 500;

#[derive(Debug, thiserror::Error)]
#[error("{path}: the memory can't be opened: {why}")]
pub struct NoMemory {
    pub path: PathBuf,
    pub why: String,
}

#[derive(Debug)]
pub struct Store {
    db: Db,
    files: Tree,
    gone: Tree,
    arrived: Tree,
    closed: Tree,
}

/// What the last run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub clean: bool,
    pub same_boot: bool,
    /// It belongs to the spool that is there now.
    pub same_spool: bool,
    pub arrived: Vec<ArrivedRun>,
    pub closed: Vec<ClosedTo>,
}

impl Store {
    /// Opens what is there. What can't be opened is put aside, once, under another name.
    pub fn open(path: &Path) -> Result<Self, NoMemory> {
        Self::try_open(path).or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the memory is damaged and begins anew");
            let aside = path.with_extension("damaged");
            let _ = fs::remove_dir_all(&aside);
            let _ = fs::rename(path, &aside);
            Self::try_open(path).map_err(|error| NoMemory { path: path.to_owned(), why: error.to_string() })
        })
    }

    fn try_open(path: &Path) -> Result<Self, sled::Error> {
        let db = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_MS)).open()?;
        let (files, arrived, closed) = (db.open_tree("files")?, db.open_tree("arrived")?, db.open_tree("closed")?);
        let gone = db.open_tree("gone")?;
        Ok(Self { db, files, gone, arrived, closed })
    }

    /// What the last run left; from now on this run is neither clean nor settled until it says otherwise. `boot` names this boot of
    /// the system, `spool` the spool that lies beside: a memory of another spool is worth nothing and forgotten.
    pub fn recover(&self, boot: &[u8], spool: &[u8]) -> Result<Left, NoMemory> {
        self.try_recover(boot, spool)
            .map_err(|error| NoMemory { path: PathBuf::from("memory"), why: error.to_string() })
    }

    fn try_recover(&self, boot: &[u8], spool: &[u8]) -> Result<Left, sled::Error> {
        let same = |key: &str, value: &[u8]| self.db.get(key).map(|found| found.is_some_and(|found| found == value));
        let mut left = Left {
            clean: self.db.get("clean")?.is_some(),
            same_boot: !boot.is_empty() && same("boot", boot)?,
            same_spool: same("spool", spool)?,
            ..Left::default()
        };
        if left.same_spool {
            left.arrived =
                self.arrived.iter().flatten().filter_map(|(key, value)| read_arrived(&key, &value)).collect();
            left.closed = self.closed.iter().flatten().filter_map(|(key, value)| read_closed(&key, &value)).collect();
        } else {
            for tree in [&self.files, &self.gone, &self.arrived, &self.closed] {
                tree.clear()?;
            }
            left = Left::default();
        }
        self.db.remove("clean")?;
        self.db.remove("boot")?;
        self.db.insert("spool", spool)?;
        self.db.flush()?;
        Ok(left)
    }

    #[must_use]
    pub fn file(&self, identity: &Identity) -> Option<Remembered> {
        let value = self.files.get(file_key(identity)).ok()??;
        read_file(&value).ok()
    }

    /// Every file that was followed, with the name it had.
    #[must_use]
    pub fn followed(&self) -> Vec<(Identity, PathBuf)> {
        let entries = self.files.iter().flatten();
        entries.filter_map(|(key, value)| Some((read_key(&key).ok()?, read_file(&value).ok()?.path.into()))).collect()
    }

    /// Forgets files that were not there for long. `there`: those that are.
    pub fn sweep(&self, there: &BTreeSet<Identity>, now: Timestamp) -> Result<usize, sled::Error> {
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let mut forgotten = 0;
        for key in self.files.iter().keys() {
            let key = key?;
            if read_key(&key).is_ok_and(|identity| there.contains(&identity)) {
                self.gone.remove(&key)?;
                continue;
            }
            let since = self.gone.get(&key)?.and_then(|value| Fields::new(&value).u64().ok());
            if since.is_some_and(|since| since.saturating_add(GONE_KEPT_SECONDS) <= seconds) {
                self.files.remove(&key)?;
                self.gone.remove(&key)?;
                forgotten += 1;
            } else if since.is_none() {
                self.gone.insert(&key, &seconds.to_le_bytes())?;
            }
        }
        Ok(forgotten)
    }

    /// Writes changes together. That they are on disk is not promised before [`Self::flush`].
    pub fn save(&self, memory: &Memory, boot: &[u8]) -> Result<(), sled::Error> {
        let mut files = Batch::default();
        for (identity, remembered) in &memory.files {
            files.insert(file_key(identity), file_value(remembered));
        }
        self.files.apply_batch(files)?;
        for arrived in &memory.arrived {
            self.arrived.insert(arrived_key(&arrived.place, arrived.run), arrived_value(arrived))?;
        }
        for closed in &memory.closed {
            self.closed.insert(closed.environment.as_str(), closed_value(closed))?;
        }
        if memory.settled || memory.clean {
            self.db.flush()?;
            self.db.insert("boot", boot)?;
            if memory.clean {
                self.db.insert("clean", &[1])?;
            }
            self.db.flush()?;
        }
        Ok(())
    }

    pub fn flush(&self) -> Result<(), sled::Error> {
        self.db.flush().map(drop)
    }

    /// Nothing of a bucket that is gone needs to be remembered.
    pub fn forget(&self, place: &Place) -> Result<(), sled::Error> {
        let keys: Vec<_> = self.arrived.scan_prefix(place_key(place)).keys().flatten().collect();
        keys.into_iter().try_for_each(|key| self.arrived.remove(key).map(drop))
    }
}

fn file_key(identity: &Identity) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    put_u64(&mut key, identity.device);
    put_u64(&mut key, identity.inode);
    key.push(u8::from(identity.birth.is_some()));
    put_u64(&mut key, identity.birth.unwrap_or_default().0.cast_unsigned());
    key
}

fn read_key(key: &[u8]) -> Result<Identity, BadField> {
    let mut fields = Fields::new(key);
    let (device, inode, has_birth) = (fields.u64()?, fields.u64()?, fields.u8()? == 1);
    let birth = Timestamp(fields.u64()?.cast_signed());
    Ok(Identity { device, inode, birth: has_birth.then_some(birth) })
}

fn file_value(remembered: &Remembered) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&remembered.stream.0);
    put_u32(&mut value, remembered.generation);
    value.push(u8::from(remembered.predecessor.is_some()));
    value.extend_from_slice(&remembered.predecessor.unwrap_or(StreamId([0; 16])).0);
    put_u64(&mut value, remembered.mark.offset);
    value.push(remembered.mark.tail.length);
    put_u32(&mut value, remembered.mark.tail.crc);
    value.extend_from_slice(remembered.path.as_bytes());
    value
}

fn read_file(value: &[u8]) -> Result<Remembered, BadField> {
    let mut fields = Fields::new(value);
    if fields.u8()? != VERSION {
        return Err(fields.bad("another version"));
    }
    let (stream, generation) = (StreamId(fields.array()?), fields.u32()?);
    let (has_predecessor, predecessor) = (fields.u8()? == 1, StreamId(fields.array()?));
    let (offset, length, crc) = (fields.u64()?, fields.u8()?, fields.u32()?);
    let path = fields.rest().get(..fields.rest().len().min(PATH_BYTES_MAX)).unwrap_or_default();
    let path = std::str::from_utf8(path).map_err(|_| fields.bad("a path that is no text"))?.to_owned();
    let predecessor = has_predecessor.then_some(predecessor);
    let mark = Mark { offset, tail: TailMark { length, crc } };
    Ok(Remembered { stream, generation, path, predecessor, mark })
}

/// Big-endian, so that a bucket's runs lie together.
fn place_key(place: &Place) -> Vec<u8> {
    let mut key = place.environment.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&place.bucket.0.to_be_bytes());
    key
}

fn arrived_key(place: &Place, run: RunId) -> Vec<u8> {
    let mut key = place_key(place);
    key.extend_from_slice(&run.0.to_be_bytes());
    key
}

fn arrived_value(arrived: &ArrivedRun) -> Vec<u8> {
    let mut value = Vec::with_capacity(8 * arrived.arrived.len());
    for (first, last) in &arrived.arrived {
        put_u32(&mut value, *first);
        put_u32(&mut value, *last);
    }
    value
}

fn read_arrived(key: &[u8], value: &[u8]) -> Option<ArrivedRun> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let environment: Environment = std::str::from_utf8(key.get(..end)?).ok()?.parse().ok()?;
    let (bucket, run) = key.get(end + 1..)?.split_first_chunk::<8>()?;
    let run = RunId(u64::from_be_bytes(run.try_into().ok()?));
    let mut fields = Fields::new(value);
    let mut arrived = Vec::new();
    while !fields.is_empty() {
        arrived.push((fields.u32().ok()?, fields.u32().ok()?));
    }
    Some(ArrivedRun { place: Place { environment, bucket: BucketId(u64::from_be_bytes(*bucket)) }, run, arrived })
}

fn closed_value(closed: &ClosedTo) -> Vec<u8> {
    let mut value = Vec::with_capacity(16);
    put_u64(&mut value, closed.closed.0);
    put_u64(&mut value, closed.filled.map_or(0, |bucket| bucket.0.saturating_add(1)));
    value
}

fn read_closed(key: &[u8], value: &[u8]) -> Option<ClosedTo> {
    let environment = std::str::from_utf8(key).ok()?.parse().ok()?;
    let mut fields = Fields::new(value);
    let (closed, filled) = (BucketId(fields.u64().ok()?), fields.u64().ok()?);
    Some(ClosedTo { environment, closed, filled: filled.checked_sub(1).map(BucketId) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered() -> Remembered {
        Remembered {
            stream: StreamId([3; 16]),
            generation: 2,
            path: "/var/log/app.log".into(),
            predecessor: Some(StreamId([4; 16])),
            mark: Mark { offset: 1 << 40, tail: TailMark::of(b"before") },
        }
    }

    fn identity() -> Identity {
        Identity { device: 1, inode: 2, birth: Some(Timestamp(3)) }
    }

    fn memory() -> Memory {
        let place = Place { environment: Environment::default(), bucket: BucketId(77) };
        Memory {
            files: vec![(identity(), remembered())],
            arrived: vec![ArrivedRun { place, run: RunId(5), arrived: vec![(0, 3), (7, 7)] }],
            closed: vec![ClosedTo { environment: Environment::default(), closed: BucketId(76), filled: None }],
            settled: true,
            clean: true,
        }
    }

    #[test]
    fn what_is_saved_is_found_again() {
        let dir = crate::testing::Dir::new("memory");
        let store = Store::open(&dir.path().join("memory")).expect("opens");
        assert_eq!(store.recover(b"boot", b"spool").expect("reads"), Left::default());
        store.save(&memory(), b"boot").expect("writes");
        drop(store);
        let store = Store::open(&dir.path().join("memory")).expect("opens");
        let left = store.recover(b"boot", b"spool").expect("reads");
        assert!(left.clean && left.same_boot && left.same_spool);
        assert_eq!((left.arrived, left.closed), (memory().arrived, memory().closed));
        assert_eq!(store.file(&identity()), Some(remembered()));
        assert_eq!(store.followed(), [(identity(), "/var/log/app.log".into())]);
        assert_eq!(store.file(&Identity { birth: None, ..identity() }), None);
        store.forget(&memory().arrived[0].place).expect("writes");
        drop(store);
        let store = Store::open(&dir.path().join("memory")).expect("opens");
        let left = store.recover(b"other", b"spool").expect("reads");
        assert_eq!((left.clean, left.same_boot, left.arrived), (false, false, Vec::new()));
        drop(store);
        let store = Store::open(&dir.path().join("memory")).expect("opens");
        assert_eq!(store.recover(b"other", b"another").expect("reads"), Left::default(), "a memory of another spool");
        assert_eq!(store.file(&identity()), None);
    }

    #[test]
    fn a_file_that_is_gone_for_a_month_is_forgotten() {
        let dir = crate::testing::Dir::new("swept");
        let store = Store::open(&dir.path().join("memory")).expect("opens");
        store.save(&memory(), b"boot").expect("writes");
        let (there, none) = (BTreeSet::from([identity()]), BTreeSet::new());
        let day = |day: i64| Timestamp::from_seconds(1_795_255_200 + day * 86_400);
        let sweep = |there: &BTreeSet<Identity>, at: i64| store.sweep(there, day(at)).expect("swept");
        assert_eq!((sweep(&none, 0), sweep(&none, 29)), (0, 0));
        assert_eq!((sweep(&there, 31), sweep(&none, 32), sweep(&none, 61)), (0, 0, 0), "it came back meanwhile");
        assert_eq!((sweep(&none, 62), store.file(&identity())), (1, None));
        assert!(store.gone.is_empty());
    }

    #[test]
    fn c4_a_memory_that_is_damaged_begins_anew() {
        let dir = crate::testing::Dir::new("damaged");
        let path = dir.path().join("memory");
        fs::write(&path, b"this is no folder").expect("writes");
        let store = Store::open(&path).expect("begins anew");
        store.save(&memory(), b"boot").expect("writes");
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn any_bytes_are_read_or_passed_over() {
        let good = file_value(&remembered());
        for cut in 0..good.len() {
            let _ = read_file(&good[..cut]);
            let _ = read_arrived(&good[..cut], &good[cut..]);
            let _ = read_closed(&good[..cut], &good[cut..]);
        }
        assert_eq!(read_file(&good), Ok(remembered()));
    }
}
