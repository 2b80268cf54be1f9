//! Reads records for jobs, and runs jobs: each on a thread of its own, as fast as its asker takes the parts.

use crate::files::{FileKey, parts};
use crate::job::{Job, Step};
use crate::place::{DiskId, Place};
use bytes::Bytes;
use proto::io::clock::Clock;
use proto::io::dir::Folder;
use proto::message::{Answer, End, Part, Progress};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Files kept open by one job; a scan goes through them mostly in order.
const OPEN_MAX: usize = 8;

/// How long a job may take, the time its asker needs included. The asker goes on from the last row it has.
const JOB_MAX: Duration = Duration::from_secs(30);

/// The disks, for reading.
pub type Folders = Arc<Vec<Folder>>;

pub struct Reader {
    folders: Folders,
    /// The last used at the back.
    open: VecDeque<((DiskId, FileKey), File)>,
}

impl Reader {
    pub fn new(folders: Folders) -> Self {
        Self { folders, open: VecDeque::new() }
    }

    /// The record's bytes, or a sentence with its place.
    pub fn read(&mut self, place: &Place) -> Result<Bytes, String> {
        let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(0)];
        let read = self.file(place)?.read_exact_at(&mut bytes, place.at);
        read.map(|()| bytes.into()).map_err(|error| format!("{place}: {error}"))
    }

    fn file(&mut self, place: &Place) -> Result<&File, String> {
        let key = (place.disk, (place.environment.clone(), place.bucket));
        if let Some(at) = self.open.iter().position(|(known, _)| *known == key) {
            let found = self.open.remove(at);
            self.open.extend(found);
        } else {
            let folder = self.folders.get(usize::from(place.disk.0)).ok_or(format!("{place}: no such disk"))?;
            let file = folder.open(&parts(&key.1)).map_err(|error| error.to_string())?;
            self.open.push_back((key, file));
            if self.open.len() > OPEN_MAX {
                self.open.pop_front();
            }
        }
        self.open.back().map(|(_, file)| file).ok_or(format!("{place}: not open"))
    }
}

/// Runs a job until it is done, its time is up, or its asker is gone. Blocks while the asker does not read.
pub fn run_job(mut job: Job, mut reader: Reader, out: &Sender<Answer>, clock: Clock) -> Job {
    let end = clock.mono() + JOB_MAX;
    loop {
        let part = match job.step() {
            Step::Read(_) if clock.mono() > end => time_is_up(),
            Step::Read(place) => {
                job.on_read(reader.read(&place));
                continue;
            }
            Step::Part(part) => part,
            Step::Done => return job,
        };
        let last = matches!(part, Part::End(_));
        if out.blocking_send(Answer::Part(part)).is_err() || last {
            return job;
        }
    }
}

fn time_is_up() -> Part {
    let trouble = vec![format!("a search ended after {} s with what it had", JOB_MAX.as_secs())];
    Part::End(End { exhausted: false, progress: Progress::default(), heard: Vec::new(), trouble })
}
