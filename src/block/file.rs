//! A block in a file of its own, read by ranges.

use anyhow::{Context, ensure};
use porter::block::{BlockError, Ranges};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open block file. Its length is what it had when it was opened.
#[derive(Debug)]
pub struct BlockFile {
    file: File,
    pub length: u64,
}

impl BlockFile {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let about = file.metadata().with_context(|| path.display().to_string())?;
        ensure!(about.is_file(), "{}: not a file", path.display());
        Ok(Self { file, length: about.len() })
    }

    /// What is asked for lies in the file, so no more is allocated than the file has.
    fn read(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.length);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

impl Ranges for BlockFile {
    fn suffix(&self, bytes: u64) -> Result<(Vec<u8>, u64), BlockError> {
        let range = self.length.saturating_sub(bytes)..self.length;
        let suffix = self.ranges(&[range])?.pop().unwrap_or_default();
        Ok((suffix, self.length))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, BlockError> {
        let unread =
            |range: &Range<u64>, why: io::Error| BlockError::Unread { range: range.clone(), why: why.to_string() };
        ranges.iter().map(|range| self.read(range).map_err(|why| unread(range, why))).collect()
    }
}
