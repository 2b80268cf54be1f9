//! What a buck can be told in its settings, with defaults and their reasons.

use proto::time::BucketWidth;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What an ack promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// Synced. A power cut loses nothing that was acked.
    #[default]
    Durable,
    /// Written to the page cache. A killed process loses nothing; a power cut loses about a second.
    Written,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// One folder for each disk. A folder is a failure domain: when it fails, the others go on.
    pub disks: Vec<PathBuf>,
    pub rules: Rules,
}

/// The part of the settings that decides; all the machine is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub width: BucketWidth,
    pub ack: Ack,
    /// A disk with less room than this takes nothing more, so that what reads and deletes still works.
    pub reserve_bytes: u64,
    /// How long a packet stays after it was found on a shelf of two copies or more: a weekend's incident.
    pub keep_after_receipt: Duration,
    /// How long the first packet waits for company before a sync. Under load the sync before sets the pace.
    pub sync_after: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            width: BucketWidth::default(),
            ack: Ack::Durable,
            reserve_bytes: 1 << 30,
            keep_after_receipt: Duration::from_secs(48 * 3600),
            sync_after: Duration::from_millis(4),
        }
    }
}

/// The longest a packet may wait for company: an ack in 20 ms is the budget, and the sync itself takes some.
pub const SYNC_AFTER_MAX: Duration = Duration::from_millis(10);

/// Directories are many, disks are few; a typo must not make a thousand threads.
const DISKS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("a buck needs at least one folder to keep packets in")]
    NoDisk,
    #[error("a buck takes at most {DISKS_MAX} folders, one for each disk")]
    TooManyDisks,
    #[error("the folder {0} is named twice; each stands for a disk of its own")]
    SameDisk(PathBuf),
    #[error("packets may wait at most {SYNC_AFTER_MAX:?} for a sync, not {0:?}")]
    SyncAfter(Duration),
}

impl Config {
    /// Every complaint is a sentence a person can act on.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.disks.is_empty() {
            return Err(ConfigError::NoDisk);
        }
        if self.disks.len() > DISKS_MAX {
            return Err(ConfigError::TooManyDisks);
        }
        for (index, disk) in self.disks.iter().enumerate() {
            if self.disks.iter().take(index).any(|other| other == disk) {
                return Err(ConfigError::SameDisk(disk.clone()));
            }
        }
        if self.rules.sync_after > SYNC_AFTER_MAX {
            return Err(ConfigError::SyncAfter(self.rules.sync_after));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(disks: &[&str]) -> Config {
        let disks = disks.iter().map(PathBuf::from).collect();
        Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), disks, rules: Rules::default() }
    }

    #[test]
    fn settings_that_make_no_sense_are_sentences() {
        assert_eq!(config(&["a", "b"]).validate(), Ok(()));
        assert_eq!(config(&[]).validate(), Err(ConfigError::NoDisk));
        assert_eq!(config(&["a", "a"]).validate(), Err(ConfigError::SameDisk("a".into())));
        assert_eq!(config(&["a"; 65]).validate(), Err(ConfigError::TooManyDisks));
        let mut slow = config(&["a"]);
        slow.rules.sync_after = Duration::from_millis(11);
        let said = slow.validate().map_err(|error| error.to_string());
        assert_eq!(said, Err("packets may wait at most 10ms for a sync, not 11ms".into()));
    }
}
