//! What a tailer is told to do, and whether that makes sense.
//!
//! Every complaint is a sentence that names the setting, for the one who wrote it.

use proto::ids::Environment;
use proto::limits::{LABELS_MAX, NAME_BYTES_MAX};
use proto::time::BucketWidth;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The spool, the memory and the lock lie here.
    pub data: PathBuf,
    /// The name of this host, as events carry it.
    pub host: String,
    pub inputs: Vec<Input>,
    /// The cluster's; a spool made with another is refused.
    pub width: BucketWidth,
    /// What the spool may take before reading stops. A gigabyte is some hours of a busy host.
    pub spool_bytes_max: u64,
    /// How often the globs are walked anew. Changes are told by the system in between.
    pub rescan: Duration,
    /// Files kept open at a time; the rest are read in turns.
    pub open_files_max: usize,
    /// zstd's level for packets. What it saves is sealed and sent twice.
    pub zstd_level: i32,
}

/// Files that are read alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Paths and globs: `*`, `?`, `[a-z]`, `**` for any folders, `{a,b}`.
    pub paths: Vec<String>,
    /// Globs of what is left out, folders with all that is in them.
    pub excludes: Vec<String>,
    pub environment: Environment,
    /// The program's name, for lines that don't say one; the file's name otherwise.
    pub app: Option<String>,
    pub labels: Vec<(String, String)>,
    /// Minutes east of UTC of stamps that name no zone.
    pub zone_minutes: Option<i32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("tailbuck-data/tailer"),
            host: "localhost".into(),
            inputs: Vec::new(),
            width: BucketWidth::default(),
            spool_bytes_max: 1 << 30,
            rescan: Duration::from_secs(2),
            open_files_max: 256,
            zstd_level: 1,
        }
    }
}

impl Config {
    /// Everything that is wrong, a sentence each.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        let mut check = |good: bool, sentence: String| {
            if !good {
                wrong.push(sentence);
            }
        };
        check(!self.inputs.is_empty(), "the tailer has nothing to follow: give it at least one path".into());
        check(
            name_fits(&self.host),
            format!("host {:?} must have 1 to 255 bytes and no control characters", self.host),
        );
        check(!self.data.as_os_str().is_empty(), "the tailer's data folder must have a name".into());
        check(self.spool_bytes_max >= 1 << 20, "the spool must be allowed at least one megabyte".into());
        check(self.open_files_max >= 8, "the tailer must be allowed at least 8 open files".into());
        let seconds = (1..=10).contains(&self.rescan.as_secs());
        check(seconds, format!("the rescan interval must be 1 to 10 seconds, not {}", self.rescan.as_secs()));
        check((1..=19).contains(&self.zstd_level), format!("the zstd level must be 1 to 19, not {}", self.zstd_level));
        for input in &self.inputs {
            input.complaints().into_iter().for_each(|sentence| check(false, sentence));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Input {
    fn complaints(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.paths.is_empty() {
            wrong.push("an input must name at least one path".into());
        }
        for path in self.paths.iter().filter(|path| !path.starts_with('/')) {
            wrong.push(format!(
                "path {path:?} must begin with a slash: a tailer has no folder of its own to start from"
            ));
        }
        let app = self.app.as_deref().unwrap_or("app");
        if !name_fits(app) {
            wrong.push(format!("app {app:?} must have 1 to 255 bytes and no control characters"));
        }
        if self.labels.len() > LABELS_MAX {
            wrong.push(format!("an input may have {LABELS_MAX} labels, not {}", self.labels.len()));
        }
        for (key, value) in self.labels.iter().filter(|(key, value)| !name_fits(key) || value.len() > NAME_BYTES_MAX) {
            wrong.push(format!("label {key:?} = {value:?} must have a name, and 255 bytes at most"));
        }
        if self.zone_minutes.is_some_and(|minutes| minutes.abs() > 14 * 60) {
            wrong.push("a zone is at most 14 hours from UTC".into());
        }
        wrong
    }
}

fn name_fits(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        let input = Input { paths: vec!["/var/log/**/*.log".into()], ..Input::default() };
        Config { inputs: vec![input], ..Config::default() }
    }

    fn check(change: impl FnOnce(&mut Config), says: &str) {
        let mut config = good();
        change(&mut config);
        let complaints = config.validate().expect_err(says);
        assert!(complaints.iter().any(|sentence| sentence.contains(says)), "{complaints:?}");
    }

    #[test]
    fn what_makes_no_sense_is_said_in_a_sentence() {
        assert_eq!(good().validate(), Ok(()));
        check(|config| config.inputs.clear(), "nothing to follow");
        check(|config| config.host = "a\nb".into(), "control characters");
        check(|config| config.spool_bytes_max = 5, "one megabyte");
        check(|config| config.open_files_max = 1, "8 open files");
        check(|config| config.rescan = Duration::from_secs(60), "not 60");
        check(|config| config.zstd_level = 99, "not 99");
        check(|config| config.inputs[0].paths = vec!["log".into()], "\"log\" must begin with a slash");
        check(|config| config.inputs[0].paths.clear(), "at least one path");
        check(|config| config.inputs[0].labels = vec![(String::new(), "x".into())], "must have a name");
        check(|config| config.inputs[0].zone_minutes = Some(9_999), "14 hours");
    }
}
