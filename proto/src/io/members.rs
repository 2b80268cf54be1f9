//! The roster as it is now, shared by everything that asks who somebody is, and replaced whole.
//!
//! A file that changes is read again within seconds. A file that became bad changes nothing: the roster that was
//! good stays, and what is wrong is logged once, with its line.

use crate::limits::ROSTER_BYTES_MAX;
use crate::roster::{Roster, RosterError};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info};

/// Well below the five seconds within which a change must hold.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The members of the cluster. Cheap to ask, safe to hold: who took a roster keeps that one.
#[derive(Debug)]
pub struct Members {
    current: watch::Sender<Arc<Roster>>,
}

#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Bad { path: PathBuf, source: RosterError },
}

impl Members {
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        Self { current: watch::Sender::new(Arc::new(roster)) }
    }

    /// At a program's start a bad roster is an error.
    pub fn read(path: &Path) -> Result<Self, MembersError> {
        read_roster(path).map(Self::new)
    }

    #[must_use]
    pub fn now(&self) -> Arc<Roster> {
        Arc::clone(&self.current.borrow())
    }

    pub fn replace(&self, roster: Roster) {
        self.current.send_replace(Arc::new(roster));
    }

    /// Woken at each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.current.subscribe()
    }

    /// Reads the file again whenever it changes, for as long as this is polled.
    pub async fn follow(&self, path: &Path) {
        let mut said = None;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let wrong = self.look(path).err().map(|error| error.to_string());
            if let Some(why) = wrong.as_ref().filter(|why| said.as_ref() != Some(*why)) {
                error!(%why, "the roster is not taken; the one before stays");
            }
            said = wrong;
        }
    }

    /// Reading the whole file each time is cheaper than being fooled by a clock: it is a megabyte at most.
    fn look(&self, path: &Path) -> Result<(), MembersError> {
        let roster = read_roster(path)?;
        let (before, after) = (self.now().hash(), roster.hash());
        if before != after {
            info!(peers = roster.peers().len(), "the roster has changed");
            self.replace(roster);
        }
        Ok(())
    }
}

fn read_roster(path: &Path) -> Result<Roster, MembersError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(ROSTER_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| MembersError::Read { path: path.to_owned(), source })?;
    Roster::parse(&bytes).map_err(|source| MembersError::Bad { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::roster::{Peer, Role};
    use crate::seal::{Keys, Seed};

    fn line(who: u8) -> String {
        let key = Keys::from_seed(&Seed::from_bytes([who; 32])).public();
        format!("{}\n", Peer::new(Role::Tailer, key, NodeId(who.into())))
    }

    #[test]
    fn a_changed_file_is_taken_and_a_bad_one_is_not() {
        let path = std::env::temp_dir().join(format!("tailbuck-roster-{}", std::process::id()));
        std::fs::write(&path, line(1)).expect("a writable place");
        let members = Members::read(&path).expect("a good roster");
        let changes = members.watch();
        members.look(&path).expect("still good");
        assert!(!changes.has_changed().expect("alive"), "nothing has changed");

        std::fs::write(&path, format!("{}{}", line(1), line(2))).expect("a writable place");
        members.look(&path).expect("good again");
        assert_eq!((members.now().peers().len(), changes.has_changed().ok()), (2, Some(true)));

        std::fs::write(&path, format!("{}nonsense\n", line(3))).expect("a writable place");
        let why = members.look(&path).expect_err("line 2 is bad").to_string();
        assert!(why.contains("roster line 2") && why.contains(path.to_str().expect("text")), "{why}");
        std::fs::remove_file(&path).expect("it is there");
        assert!(matches!(members.look(&path), Err(MembersError::Read { .. })));
        assert_eq!(members.now().peers().len(), 2, "the good one stays");
    }
}
