//! What a node's settings file says: one TOML file, paths in it relative to its own folder.
//!
//! Every complaint names the file and the line. What the numbers mean is checked by the role that uses them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One node's settings, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The key file; `tailbuck keygen` makes one.
    pub keys: PathBuf,
    /// The text file that lists every node, its role and its grants.
    pub roster: PathBuf,
    /// Where this node keeps what it must not forget.
    pub data: PathBuf,
    /// How long a bucket lasts, in seconds; the same on every node.
    #[serde(default = "default_bucket_seconds")]
    pub bucket_seconds: u32,
    /// For `tailbuck search --config`: a web's address.
    pub web_url: Option<String>,
    pub tailer: Option<TailerSettings>,
    pub buck: Option<BuckSettings>,
    pub porter: Option<PorterSettings>,
    pub web: Option<WebSettings>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TailerSettings {
    /// Files and globs.
    pub paths: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    pub environment: String,
    pub host: String,
    /// How much local disk the spool may take, in MiB.
    pub spool_mib: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BuckSettings {
    pub listen: SocketAddr,
    /// Folders on disks that fail apart; the data folder when there are none.
    #[serde(default)]
    pub disks: Vec<PathBuf>,
    /// `durable`, the default: an ack means synced. `written`: it means handed to the kernel.
    pub ack: Option<String>,
    /// Free space that is never used, in MiB.
    pub reserve_mib: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PorterSettings {
    pub listen: SocketAddr,
    /// The folder of the recent shelf.
    pub shelf: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebSettings {
    pub listen: SocketAddr,
}

fn default_bucket_seconds() -> u32 {
    300
}

/// A settings file that can't be used.
#[derive(Debug)]
pub struct BadSettings {
    path: PathBuf,
    line: Option<usize>,
    why: String,
}

impl BadSettings {
    fn new(path: &Path, line: Option<usize>, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, why: why.into() }
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settings {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for BadSettings {}

impl Settings {
    pub fn read(path: &Path) -> Result<Self, BadSettings> {
        let text = std::fs::read_to_string(path).map_err(|error| BadSettings::new(path, None, error.to_string()))?;
        let mut settings = Self::parse(path, &text)?;
        settings.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, BadSettings> {
        toml::from_str(text).map_err(|error| {
            let line =
                error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
            BadSettings::new(path, line, error.message().trim_end())
        })
    }

    /// As a file with a first line that says what it is.
    pub fn text(&self, what: &str) -> String {
        let body = toml::to_string(self).expect("settings are strings, numbers and tables");
        format!("# {what}. Paths are meant from the folder of this file.\n\n{body}")
    }

    /// Paths are meant from where the file lies, wherever the program was started.
    fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.keys, &mut self.roster, &mut self.data] {
            *path = folder.join(&path);
        }
        for disk in self.buck.iter_mut().flat_map(|buck| &mut buck.disks) {
            *disk = folder.join(&disk);
        }
        if let Some(porter) = &mut self.porter {
            porter.shelf = folder.join(&porter.shelf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        Settings::parse(Path::new("a.toml"), text).expect_err("bad settings").to_string()
    }

    #[test]
    fn a_complaint_names_its_line() {
        let unknown = "keys = \"k\"\nroster = \"r\"\ndata = \"d\"\n\n[buck]\nlisten = \"127.0.0.1:1\"\ncolour = 7\n";
        assert!(
            complaint(unknown).starts_with("settings a.toml line 7: unknown field `colour`"),
            "{}",
            complaint(unknown)
        );
        let port = "keys = \"k\"\nroster = \"r\"\ndata = \"d\"\n[web]\nlisten = \"127.0.0.1:port\"\n";
        assert!(complaint(port).starts_with("settings a.toml line 5: "), "{}", complaint(port));
        assert!(complaint("keys = 7").starts_with("settings a.toml line 1: "), "{}", complaint("keys = 7"));
        assert!(complaint("keys = ").starts_with("settings a.toml line 1: "), "{}", complaint("keys = "));
        assert!(complaint("keys = \"k\"").contains("missing field"), "{}", complaint("keys = \"k\""));
    }

    #[test]
    fn settings_are_written_as_they_are_read() {
        let settings = Settings {
            keys: "key".into(),
            bucket_seconds: 10,
            tailer: Some(TailerSettings { paths: vec!["/a \"b\"/*.log".into()], ..TailerSettings::default() }),
            porter: Some(PorterSettings { listen: "127.0.0.1:1".parse().expect("an address"), shelf: "s".into() }),
            ..Settings::default()
        };
        let text = settings.text("A node");
        assert!(text.starts_with("# A node. "), "{text}");
        assert_eq!(Settings::parse(Path::new("a.toml"), &text).expect("good settings"), settings);
    }

    #[test]
    fn paths_are_meant_from_the_file() {
        let mut settings = Settings { keys: "keys".into(), data: "/abs".into(), ..Settings::default() };
        settings.resolve(Path::new("/etc/tailbuck"));
        assert_eq!(settings.keys, Path::new("/etc/tailbuck/keys"));
        assert_eq!(settings.data, Path::new("/abs"));
    }
}
