//! Log files on a simulated host, and the programs that write, rotate and truncate them.
//!
//! Remembers every line ever born, by the life of the file it was born in and its offset: the truth that answers
//! are checked against. A life ends when a file is emptied, and begins with the next byte written.

use proto::time::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// One file, whatever it is called.
#[derive(Clone, Debug)]
pub struct LogFile {
    pub inode: u64,
    pub birth: Timestamp,
    pub modified: Timestamp,
    pub bytes: Vec<u8>,
    /// How often it was emptied.
    pub life: u32,
}

/// A line that was written, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Born {
    pub inode: u64,
    pub birth: Timestamp,
    pub life: u32,
    pub offset: u64,
    pub line: Vec<u8>,
}

/// The files of one host, by path.
#[derive(Debug, Default)]
pub struct LogFiles {
    by_path: BTreeMap<String, LogFile>,
    /// Unlinked, but still open somewhere.
    unlinked: BTreeMap<u64, LogFile>,
    next_inode: u64,
    pub born: Vec<Born>,
    /// Lines that were emptied or unlinked away, as places in `born`; whoever had not read them has lost them.
    pub gone: Vec<usize>,
}

impl LogFiles {
    /// Appends a line and its newline.
    pub fn write(&mut self, path: &str, line: &[u8], now: Timestamp) {
        let next = self.next_inode;
        let file = self.by_path.entry(path.to_owned()).or_insert_with(|| LogFile {
            inode: next,
            birth: now,
            modified: now,
            bytes: Vec::new(),
            life: 0,
        });
        self.next_inode += u64::from(file.inode == next);
        let (inode, birth, life, offset) = (file.inode, file.birth, file.life, file.bytes.len() as u64);
        self.born.push(Born { inode, birth, life, offset, line: line.to_vec() });
        file.bytes.extend_from_slice(line);
        file.bytes.push(b'\n');
        file.modified = now;
    }

    /// Renames `path` to `path.1`, and what stood there one further, up to `keep`; the last one is unlinked.
    pub fn rotate(&mut self, path: &str, keep: u32) {
        let numbered = |number: u32| if number == 0 { path.to_owned() } else { format!("{path}.{number}") };
        if let Some(last) = self.by_path.remove(&numbered(keep)) {
            self.forget(&last);
            self.unlinked.insert(last.inode, last);
        }
        for number in (0..keep).rev() {
            if let Some(file) = self.by_path.remove(&numbered(number)) {
                self.by_path.insert(numbered(number + 1), file);
            }
        }
    }

    /// Empties a file in place, as `copytruncate` does once it has its copy.
    pub fn truncate(&mut self, path: &str, now: Timestamp) {
        let Some(file) = self.by_path.get_mut(path) else { return };
        let was = file.clone();
        file.bytes.clear();
        file.life += 1;
        file.modified = now;
        self.forget(&was);
    }

    /// The host lost power: the file's last `lines` lines were never on its disk. Its first line always was.
    pub fn lose_tail(&mut self, path: &str, lines: usize) -> usize {
        let Some(file) = self.by_path.get_mut(path) else { return 0 };
        let there = file.bytes.len() as u64;
        let mine = |born: &Born| {
            (born.inode, born.birth, born.life) == (file.inode, file.birth, file.life)
                && born.offset > 0
                && born.offset < there
        };
        let gone: Vec<usize> = (0..self.born.len()).rev().filter(|at| mine(&self.born[*at])).collect();
        let gone: Vec<usize> = gone.into_iter().filter(|at| !self.gone.contains(at)).take(lines).collect();
        if let Some(from) = gone.iter().map(|at| self.born[*at].offset).min() {
            file.bytes.truncate(usize::try_from(from).unwrap_or(0));
        }
        let count = gone.len();
        self.gone.extend(gone);
        count
    }

    fn forget(&mut self, file: &LogFile) {
        let of_this_life =
            |(_, born): &(usize, &Born)| (born.inode, born.birth, born.life) == (file.inode, file.birth, file.life);
        let gone: Vec<usize> = self.born.iter().enumerate().filter(of_this_life).map(|(at, _)| at).collect();
        let known: std::collections::BTreeSet<usize> = self.gone.iter().copied().collect();
        self.gone.extend(gone.into_iter().filter(|at| !known.contains(at)));
    }

    /// What a directory listing shows.
    pub fn listing(&self) -> impl Iterator<Item = (&str, &LogFile)> {
        self.by_path.iter().map(|(path, file)| (path.as_str(), file))
    }

    #[must_use]
    pub fn at(&self, path: &str) -> Option<&LogFile> {
        self.by_path.get(path)
    }

    /// An open file, also when it has no name any more.
    #[must_use]
    pub fn by_inode(&self, inode: u64) -> Option<&LogFile> {
        self.by_path.values().find(|file| file.inode == inode).or_else(|| self.unlinked.get(&inode))
    }

    /// Nobody has the file open any more: what was unlinked is gone.
    pub fn close(&mut self, inode: u64) {
        self.unlinked.remove(&inode);
    }
}

/// Draws what a program might log: lines of many lengths, some byte for byte equal, some with a stamp.
#[derive(Debug, Default)]
pub struct Writer {
    count: u64,
}

impl Writer {
    /// Some programs' clocks are an hour late or four minutes early, and one is a day ahead.
    fn stamp(&self, now: Timestamp) -> Timestamp {
        match self.count % 40 {
            3 => now.before(Duration::from_secs(3600)),
            17 => now.after(Duration::from_secs(240)),
            29 => now.after(Duration::from_secs(86_400)),
            _ => now,
        }
    }

    pub fn line(&mut self, rng: &mut StdRng, now: Timestamp) -> Vec<u8> {
        self.count += 1;
        let now = self.stamp(now);
        match rng.random_range(0..10) {
            0 | 1 => b"heartbeat ok".to_vec(),
            2 => Vec::new(),
            3 => format!("    at frame {}", rng.random_range(0..5)).into_bytes(),
            4 => format!("{now} ERROR request {} failed: {}", self.count, "x".repeat(rng.random_range(0..3000)))
                .into_bytes(),
            5 => [b"\xff\0\x1b[1m binary ".as_slice(), &self.count.to_le_bytes()]
                .concat()
                .iter()
                .map(|b| if *b == b'\n' { b'_' } else { *b })
                .collect(),
            _ => format!("{now} INFO request {} done in {} ms", self.count, rng.random_range(0..5000)).into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_line_born_is_known_by_life_and_offset() {
        let mut files = LogFiles::default();
        let (t, path) = (Timestamp(5), "/var/log/app.log");
        files.write(path, b"one", t);
        files.write(path, b"two", t);
        files.rotate(path, 2);
        files.write(path, b"three", t);
        files.truncate(path, t);
        files.write(path, b"four", t);
        let born: Vec<(u64, u32, u64)> = files.born.iter().map(|born| (born.inode, born.life, born.offset)).collect();
        assert_eq!(born, [(0, 0, 0), (0, 0, 4), (1, 0, 0), (1, 1, 0)]);
        assert_eq!(files.gone, [2]);
        assert_eq!(files.at("/var/log/app.log.1").map(|file| file.bytes.as_slice()), Some(b"one\ntwo\n".as_slice()));
    }

    #[test]
    fn an_unlinked_file_lives_until_it_is_closed() {
        let mut files = LogFiles::default();
        files.write("a", b"x", Timestamp(1));
        files.rotate("a", 0);
        assert!(files.at("a").is_none());
        assert_eq!(files.by_inode(0).map(|file| file.bytes.len()), Some(2));
        assert_eq!(files.gone, [0]);
        files.close(0);
        assert!(files.by_inode(0).is_none());
    }

    #[test]
    fn lines_hold_no_newline_and_some_are_equal() {
        let (mut rng, mut writer) = (StdRng::seed_from_u64(3), Writer::default());
        let lines: Vec<Vec<u8>> = (0..200).map(|_| writer.line(&mut rng, Timestamp(7))).collect();
        assert!(lines.iter().all(|line| !line.contains(&b'\n')));
        assert!(lines.iter().filter(|line| line.as_slice() == b"heartbeat ok").count() > 5);
    }
}
