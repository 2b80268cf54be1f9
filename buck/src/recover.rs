//! The start: every record on a disk is read and told to the machine.
//!
//! This is how a buck learns what it has, after any kind of end. What no record can be made of, a torn tail above
//! all, is skipped and counted; the file is added to behind it, and readers skip it again.

use crate::files::{FileKey, FilesError, bucket_files, parts};
use crate::machine::Machine;
use crate::place::DiskId;
use bytes::{Buf, Bytes, BytesMut};
use proto::bucket::{BUCKET_HEAD_BYTES, BucketHead};
use proto::io::dir::Folder;
use proto::record::{Piece, next_piece};
use proto::time::Now;
use std::fs::File;
use std::io::{self, Read};

/// Read at one go. A record is at most four times as long.
const READ_BYTES: usize = 1 << 20;

/// Tells the machine all that lies on this disk, and says which files there are.
pub fn recover(machine: &mut Machine, now: Now, disk: DiskId, folder: &Folder) -> Result<Vec<FileKey>, FilesError> {
    let files = bucket_files(folder)?;
    for key in &files {
        let file = folder.open(&parts(key))?;
        let path = folder.path(&parts(key));
        let read = recover_file(machine, now, disk, key, file);
        read.map_err(|source| FilesError::Read { path, source })?;
    }
    Ok(files)
}

fn recover_file(machine: &mut Machine, now: Now, disk: DiskId, key: &FileKey, file: File) -> io::Result<()> {
    let mut pieces = Pieces::new(file);
    while let Some((at, piece)) = pieces.next()? {
        match piece {
            Found::Record(bytes) => machine.on_recovered(now, disk, (&key.0, key.1), at, &bytes),
            Found::Torn(bytes) => machine.on_torn(bytes),
        }
    }
    Ok(())
}

enum Found {
    Record(Bytes),
    Torn(u64),
}

/// A file's records, read a stretch at a time.
struct Pieces {
    file: File,
    buffer: BytesMut,
    /// Of the buffer's first byte in the file.
    at: u64,
    ended: bool,
}

impl Pieces {
    fn new(file: File) -> Self {
        Self { file, buffer: BytesMut::new(), at: 0, ended: false }
    }

    /// The next record or what had to be skipped, and where it begins.
    fn next(&mut self) -> io::Result<Option<(u64, Found)>> {
        if self.at == 0 {
            self.fill(BUCKET_HEAD_BYTES)?;
            if BucketHead::parse(&self.buffer).is_ok() {
                self.advance(BUCKET_HEAD_BYTES);
            }
        }
        loop {
            let at = self.at;
            match next_piece(&self.buffer, self.ended) {
                Piece::Record(_, length) => {
                    self.at += length as u64;
                    return Ok(Some((at, Found::Record(self.buffer.split_to(length).freeze()))));
                }
                Piece::Skip(length) => {
                    self.advance(length);
                    return Ok(Some((at, Found::Torn(length as u64))));
                }
                Piece::NeedMore(wanted) => self.fill(wanted)?,
                Piece::End => return Ok(None),
            }
        }
    }

    fn advance(&mut self, length: usize) {
        self.buffer.advance(length);
        self.at += length as u64;
    }

    /// Until the buffer holds as many bytes, or the file has ended.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.buffer.len() < wanted && !self.ended {
            let mut chunk = vec![0; READ_BYTES.max(wanted - self.buffer.len())];
            let read = self.file.read(&mut chunk)?;
            self.ended = read == 0;
            self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
        Ok(())
    }
}
