//! A disk that can lose power, fail and fill up.
//!
//! What was synced stays. What was only written may be there after a crash, or not, or in part: each page of 4 KiB
//! on its own, and the file's length anywhere between what was synced and what was written. A file whose folder was
//! not synced since it was made may be gone altogether. Until then readers see everything that was written.

use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

const PAGE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    Full,
    Failed,
    Missing,
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Writes are refused.
    pub full: bool,
    /// Writes and syncs fail.
    pub failing: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// Everything before was synced.
    synced: usize,
    /// The folder was synced since the file was made.
    named: bool,
}

impl Disk {
    /// Adds to a file's end; makes it where there is none.
    pub fn append(&mut self, path: &str, bytes: &[u8]) -> Result<u64, DiskError> {
        self.writable()?;
        let file = self.files.entry(path.to_owned()).or_default();
        let at = file.bytes.len() as u64;
        file.bytes.extend_from_slice(bytes);
        Ok(at)
    }

    /// Replaces a file at one stroke and for good, as writing beside it, syncing and renaming does.
    pub fn write_whole(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), DiskError> {
        self.writable()?;
        let synced = bytes.len();
        self.files.insert(path.to_owned(), File { bytes, synced, named: true });
        Ok(())
    }

    /// The file and its folder.
    pub fn sync(&mut self, path: &str) -> Result<(), DiskError> {
        if self.failing {
            return Err(DiskError::Failed);
        }
        let file = self.files.get_mut(path).ok_or(DiskError::Missing)?;
        file.synced = file.bytes.len();
        file.named = true;
        Ok(())
    }

    /// The file's bytes, and not the folder that names it.
    pub fn sync_bytes(&mut self, path: &str) -> Result<(), DiskError> {
        let named = self.files.get(path).is_some_and(|file| file.named);
        self.sync(path)?;
        if let Some(file) = self.files.get_mut(path) {
            file.named = named;
        }
        Ok(())
    }

    pub fn read(&self, path: &str) -> Result<&[u8], DiskError> {
        self.files.get(path).map(|file| file.bytes.as_slice()).ok_or(DiskError::Missing)
    }

    /// Cuts a file's end off.
    pub fn truncate(&mut self, path: &str, length: usize) {
        if let Some(file) = self.files.get_mut(path) {
            file.bytes.truncate(length);
            file.synced = file.synced.min(length);
        }
    }

    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Every file's path, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Files with something that was not synced.
    pub fn unsynced(&self) -> impl Iterator<Item = &str> {
        let open = self.files.iter().filter(|(_, file)| !file.named || file.synced < file.bytes.len());
        open.map(|(path, _)| path.as_str())
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes.len() as u64).sum()
    }

    /// What is certain to be there whenever the power goes: the truth an ack is measured against.
    #[must_use]
    pub fn certain(&self, path: &str) -> &[u8] {
        match self.files.get(path) {
            Some(file) if file.named => &file.bytes[..file.synced],
            _ => &[],
        }
    }

    /// The power goes.
    pub fn crash(&mut self, rng: &mut StdRng) {
        self.files.retain(|_, file| file.named || rng.random_bool(0.5));
        for file in self.files.values_mut() {
            let length = rng.random_range(file.synced..=file.bytes.len());
            file.bytes.truncate(length);
            lose_pages(&mut file.bytes, file.synced, rng);
            file.synced = file.bytes.len();
            file.named = true;
        }
    }

    /// Every byte is gone.
    pub fn lose(&mut self) {
        self.files.clear();
    }

    /// One bit of one file flips. Says which file.
    pub fn flip(&mut self, rng: &mut StdRng) -> Option<String> {
        let count = self.files.len();
        let (path, file) = self.files.iter_mut().nth(rng.random_range(0..count.max(1)))?;
        let length = file.bytes.len();
        let byte = file.bytes.get_mut(rng.random_range(0..length.max(1)))?;
        *byte ^= 1 << rng.random_range(0..8);
        Some(path.clone())
    }

    fn writable(&self) -> Result<(), DiskError> {
        if self.failing {
            Err(DiskError::Failed)
        } else if self.full {
            Err(DiskError::Full)
        } else {
            Ok(())
        }
    }
}

/// Pages behind `from` come back as they were, as zeros, or as something else.
fn lose_pages(bytes: &mut [u8], from: usize, rng: &mut StdRng) {
    let mut at = from;
    while at < bytes.len() {
        let end = bytes.len().min((at / PAGE + 1) * PAGE);
        match rng.random_range(0..4) {
            0 => bytes[at..end].fill(0),
            1 => rng.fill(&mut bytes[at..end]),
            _ => {}
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn what_was_synced_survives_any_crash_and_the_rest_may_not() {
        let mut lost = 0;
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut disk = Disk::default();
            disk.append("a", &[1; 6000]).expect("room");
            disk.sync("a").expect("a sound disk");
            disk.append("a", &[2; 6000]).expect("room");
            disk.append("new", &[3; 10]).expect("room");
            assert_eq!(disk.certain("a"), [1; 6000]);
            assert!(disk.certain("new").is_empty());
            disk.crash(&mut rng);
            let after = disk.read("a").expect("named");
            assert_eq!(after[..6000], [1; 6000]);
            assert!(after.len() <= 12_000);
            lost += usize::from(after != [[1; 6000], [2; 6000]].concat()) + usize::from(disk.read("new").is_err());
        }
        assert!(lost > 200, "crashes that cost nothing prove nothing: {lost}");
    }

    #[test]
    fn a_full_or_failing_disk_says_so() {
        let mut disk = Disk::default();
        disk.append("a", b"x").expect("room");
        disk.full = true;
        assert_eq!(disk.append("a", b"y"), Err(DiskError::Full));
        assert_eq!(disk.sync("a"), Ok(()));
        disk.failing = true;
        assert_eq!(disk.sync("a"), Err(DiskError::Failed));
        assert_eq!(disk.read("b"), Err(DiskError::Missing));
    }
}
