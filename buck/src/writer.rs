//! One thread for each disk: appends and syncs in the order they were asked for.
//!
//! A write or sync that failed is the disk's last. What is not known to be on it is cut off its files, as well as
//! that can be done: after a failed sync the kernel may show bytes that never reached the disk, and a buck that
//! starts again must not take them for kept.

use crate::files::{FileKey, parts};
use crate::place::{DiskId, Ticket};
use crate::reader::Folders;
use bytes::Bytes;
use proto::bucket::BucketHead;
use proto::io::dir::{Appended, DirError, Folder, sync_folder};
use proto::time::BucketWidth;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tracing::{error, info, warn};

/// Files kept open for adding to. A buck adds to few buckets at a time; a host that was away brings more.
const OPEN_MAX: usize = 64;

/// Between two looks at how much room there is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum Work {
    Append { key: FileKey, bytes: Bytes, ticket: Ticket },
    Sync { ticket: Ticket },
    Delete { key: FileKey },
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    Appended { ticket: Ticket, at: u64 },
    Full { ticket: Ticket },
    Synced { ticket: Ticket },
    Failed { why: String },
    Room { free_bytes: u64 },
}

pub struct Writer {
    disk: DiskId,
    folders: Folders,
    width: BucketWidth,
    open: BTreeMap<FileKey, OpenFile>,
    /// Found at the start and not synced since.
    found: BTreeSet<FileKey>,
    uses: u64,
    failed: bool,
    done: Sender<(DiskId, Done)>,
}

struct OpenFile {
    file: Appended,
    /// Bytes that are known to be on the disk.
    synced: u64,
    last_use: u64,
}

/// Nobody listens any more.
struct Gone;

impl Writer {
    pub fn new(
        disk: DiskId,
        folders: Folders,
        width: BucketWidth,
        found: Vec<FileKey>,
        done: Sender<(DiskId, Done)>,
    ) -> Self {
        let found = found.into_iter().collect();
        Self { disk, folders, width, open: BTreeMap::new(), found, uses: 0, failed: false, done }
    }

    /// Until nobody asks any more.
    pub fn work(mut self, asked: &Receiver<Work>) {
        if self.tell_room().is_err() {
            return;
        }
        loop {
            let told = match asked.recv_timeout(LOOK_EVERY) {
                Ok(work) => self.perform(work),
                Err(RecvTimeoutError::Timeout) => self.tell_room(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if told.is_err() {
                return;
            }
        }
    }

    fn tell(&self, done: Done) -> Result<(), Gone> {
        self.done.blocking_send((self.disk, done)).map_err(|_| Gone)
    }

    fn tell_room(&mut self) -> Result<(), Gone> {
        let Some(folder) = self.folder() else { return Ok(()) };
        match fs2::available_space(folder.root()) {
            Ok(free_bytes) => self.tell(Done::Room { free_bytes }),
            Err(error) => {
                warn!(disk = %self.disk, %error, "the room on a disk can't be asked for");
                Ok(())
            }
        }
    }

    fn folder(&self) -> Option<&Folder> {
        self.folders.get(usize::from(self.disk.0))
    }

    fn perform(&mut self, work: Work) -> Result<(), Gone> {
        match work {
            // What was asked before the failure was known; the machine has taken it back.
            Work::Append { .. } | Work::Sync { .. } if self.failed => Ok(()),
            Work::Append { key, bytes, ticket } => self.append(&key, &bytes, ticket),
            Work::Sync { ticket } => self.sync(ticket),
            Work::Delete { key } => self.delete(&key),
        }
    }

    fn append(&mut self, key: &FileKey, bytes: &[u8], ticket: Ticket) -> Result<(), Gone> {
        let appended = self.file(key).and_then(|open| open.file.append(bytes));
        match appended {
            Ok(at) => self.tell(Done::Appended { ticket, at }),
            Err(error) if is_full(&error) && self.take_back(key) => self.tell(Done::Full { ticket }),
            Err(error) => self.fail(&error),
        }
    }

    /// The file to add to. A new one gets its head first.
    fn file(&mut self, key: &FileKey) -> Result<&mut OpenFile, DirError> {
        self.uses += 1;
        if !self.open.contains_key(key) {
            let opened = self.open_file(key)?;
            self.open.insert(key.clone(), opened);
        }
        let open = self.open.get_mut(key).expect("it was just put there");
        open.last_use = self.uses;
        Ok(open)
    }

    fn open_file(&self, key: &FileKey) -> Result<OpenFile, DirError> {
        let folder = self.folder().expect("a writer is made with its disk");
        let mut file = folder.append(&parts(key))?;
        let synced = file.length();
        if synced == 0 {
            let head = BucketHead { environment: key.0.clone(), width: self.width, bucket: key.1 };
            file.append(&head.write())?;
        }
        Ok(OpenFile { file, synced, last_use: 0 })
    }

    /// Cuts off what a full disk took of an append. False when it can't.
    fn take_back(&mut self, key: &FileKey) -> bool {
        let Some(open) = self.open.get_mut(key) else { return true };
        let length = open.file.length();
        open.file.truncate(length).is_ok()
    }

    fn sync(&mut self, ticket: Ticket) -> Result<(), Gone> {
        match self.sync_all() {
            Ok(()) => {
                self.close_some();
                self.tell(Done::Synced { ticket })
            }
            Err(error) => self.fail(&error),
        }
    }

    fn sync_all(&mut self) -> Result<(), DirError> {
        self.sync_found()?;
        for open in self.open.values_mut().filter(|open| open.synced < open.file.length()) {
            open.file.sync()?;
            open.synced = open.file.length();
        }
        Ok(())
    }

    /// What an earlier run left: it may have been ended between making a file or folder and syncing its name.
    fn sync_found(&mut self) -> Result<(), DirError> {
        let mut folders = BTreeSet::new();
        for key in std::mem::take(&mut self.found) {
            let open = self.file(&key)?;
            open.file.sync()?;
            folders.extend(open.file.path().ancestors().skip(1).map(Path::to_owned));
            self.close_some();
        }
        let Some(folder) = self.folder() else { return Ok(()) };
        folders.iter().filter(|above| above.starts_with(folder.root())).try_for_each(|above| sync_folder(above))
    }

    /// Only files without anything unsynced are closed.
    fn close_some(&mut self) {
        while self.open.len() > OPEN_MAX {
            let clean = self.open.iter().filter(|(_, open)| open.synced == open.file.length());
            let oldest = clean.min_by_key(|(_, open)| open.last_use).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.open.remove(&key);
        }
    }

    fn fail(&mut self, error: &DirError) -> Result<(), Gone> {
        error!(disk = %self.disk, %error, "a disk failed; it takes nothing more until the next start");
        self.failed = true;
        for open in self.open.values_mut() {
            // It may fail as well; then what the file holds is for the next start to find out.
            let _ = open.file.truncate(open.synced);
        }
        self.open.clear();
        self.tell(Done::Failed { why: error.to_string() })
    }

    fn delete(&mut self, key: &FileKey) -> Result<(), Gone> {
        self.open.remove(key);
        self.found.remove(key);
        let Some(folder) = self.folder() else { return Ok(()) };
        match folder.delete(&parts(key)) {
            Ok(()) => info!(disk = %self.disk, environment = %key.0, bucket = %key.1, "a bucket is let go"),
            Err(error) => warn!(disk = %self.disk, %error, "a bucket can't be deleted; it stays until the next start"),
        }
        Ok(())
    }
}

fn is_full(error: &DirError) -> bool {
    let full = |source: &io::Error| matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    matches!(error, DirError::File { source, .. } if full(source))
}
