//! A file system of plain memory, that knows every byte that was ever written to it.

use proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tailer::action::{Seen, Trouble};
use tailer::files::FileNumber;
use tailer::follow::{Identity, Stat};

#[derive(Clone, Debug)]
pub struct Inode {
    pub bytes: Vec<u8>,
    pub birth: Timestamp,
    pub modified: Timestamp,
    pub denied: bool,
}

#[derive(Debug, Default)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    open: BTreeMap<FileNumber, u64>,
    births: i64,
    /// Whether the file system tells when a file was made.
    pub tells_birth: bool,
    pub time: Timestamp,
}

impl Disk {
    pub fn new() -> Self {
        Self { tells_birth: true, ..Self::default() }
    }

    fn birth(&mut self) -> Timestamp {
        self.births += 1;
        Timestamp(1_000_000_000 + self.births)
    }

    /// The lowest number that no name and no open file has: as some file systems give them.
    fn free_inode(&self) -> u64 {
        let held: BTreeSet<u64> = self.names.values().chain(self.open.values()).copied().collect();
        (10..).find(|inode| !held.contains(inode)).expect("there are enough")
    }

    pub fn create(&mut self, path: &str) {
        let inode = self.free_inode();
        let (birth, modified) = (self.birth(), self.time);
        self.inodes.insert(inode, Inode { bytes: Vec::new(), birth, modified, denied: false });
        self.names.insert(path.into(), inode);
    }

    pub fn append(&mut self, path: &str, bytes: &[u8]) {
        if !self.names.contains_key(Path::new(path)) {
            self.create(path);
        }
        let time = self.time;
        let inode = self.inode_mut(path);
        inode.bytes.extend_from_slice(bytes);
        inode.modified = time;
    }

    pub fn inode_mut(&mut self, path: &str) -> &mut Inode {
        let inode = self.names[Path::new(path)];
        self.inodes.get_mut(&inode).expect("a named inode is there")
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        self.names.get(Path::new(path)).map(|inode| self.inodes[inode].bytes.clone()).unwrap_or_default()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.names.contains_key(Path::new(path))
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let inode = self.names.remove(Path::new(from)).expect("it is there");
        self.names.insert(to.into(), inode);
    }

    pub fn link(&mut self, from: &str, to: &str) {
        self.names.insert(to.into(), self.names[Path::new(from)]);
    }

    pub fn delete(&mut self, path: &str) {
        self.names.remove(Path::new(path));
    }

    pub fn truncate(&mut self, path: &str, length: usize) {
        let time = self.time;
        let inode = self.inode_mut(path);
        inode.bytes.resize(length, 0);
        inode.modified = time;
    }

    fn stat(&self, number: u64) -> Stat {
        let inode = &self.inodes[&number];
        let birth = self.tells_birth.then_some(inode.birth);
        let identity = Identity { device: 1, inode: number, birth };
        let links = self.names.values().filter(|named| **named == number).count() as u64;
        Stat { identity, length: inode.bytes.len() as u64, modified: inode.modified, links }
    }

    pub fn listing(&self, fits: impl Fn(&Path) -> bool) -> Vec<Seen> {
        let seen = |(path, inode): (&PathBuf, &u64)| Seen { path: path.clone(), input: 0, stat: self.stat(*inode) };
        self.names.iter().filter(|(path, _)| fits(path)).map(seen).collect()
    }

    pub fn seen(&self, path: &str) -> Option<Seen> {
        let inode = self.names.get(Path::new(path))?;
        Some(Seen { path: path.into(), input: 0, stat: self.stat(*inode) })
    }

    pub fn open(&mut self, file: FileNumber, path: &Path) -> Result<(Stat, Vec<u8>), Trouble> {
        let number = *self.names.get(path).ok_or(Trouble::Gone)?;
        let inode = &self.inodes[&number];
        if inode.denied {
            return Err(Trouble::Denied);
        }
        self.open.insert(file, number);
        Ok((self.stat(number), inode.bytes[..inode.bytes.len().min(1024)].to_vec()))
    }

    pub fn close(&mut self, file: FileNumber) {
        self.open.remove(&file);
    }

    pub fn close_all(&mut self) {
        self.open.clear();
    }

    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The bytes before an offset, and those behind it.
    pub fn read(&self, file: FileNumber, from: u64, max: usize) -> Result<(Stat, Vec<u8>, Vec<u8>), Trouble> {
        let number = *self.open.get(&file).ok_or(Trouble::Gone)?;
        let bytes = &self.inodes[&number].bytes;
        let from = (from as usize).min(bytes.len());
        let before = bytes[from.saturating_sub(64)..from].to_vec();
        Ok((self.stat(number), before, bytes[from..(from + max).min(bytes.len())].to_vec()))
    }
}
