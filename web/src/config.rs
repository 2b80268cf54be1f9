//! What a web is told: where it listens, and how long and how much it bears.

use proto::time::BucketWidth;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a bucket lasts in this cluster.
    pub width: BucketWidth,
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a node may say nothing in an answer before the answer goes on without it.
    pub patience: Duration,
    /// The same for a porter that is asked what stands on the shelf, before the next porter is.
    pub catalog_patience: Duration,
    /// How long a search may go on without finding anything.
    pub deadline: Duration,
    /// Searches, histograms and exports at once.
    pub searches_max: usize,
    /// Live tails at once.
    pub tails_max: usize,
    /// Connections at once; who comes beyond them waits for a place.
    pub connections_max: usize,
    /// How long the head of a request may take to come, on a connection that is kept as well as on a new one.
    pub head: Duration,
    /// How long a live tail may go untaken before it is ended; its reader would see the past, not the present.
    pub stall: Duration,
    /// How long any answer may go untaken before its connection is cut. Somebody may read an export in a pager.
    pub untaken: Duration,
}

impl Default for Limits {
    /// Patience: a buck's slowest honest step is far below a second; five leave room for a long pause of a disk.
    /// Connections: every search and tail at once, and five times as many for pages that keep theirs a while; well
    /// below the 1024 descriptors a process is commonly given.
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            catalog_patience: Duration::from_secs(2),
            deadline: Duration::from_secs(30),
            searches_max: 32,
            tails_max: 64,
            connections_max: 512,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            untaken: Duration::from_secs(600),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "the page would be open to everyone who reaches {0}, as there is no sign-in yet; listen on 127.0.0.1 and reach it through a tunnel or proxy"
    )]
    OpenToAll(SocketAddr),
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

impl Config {
    #[must_use]
    pub fn new(listen: SocketAddr, width: BucketWidth) -> Self {
        Self { listen, width, limits: Limits::default() }
    }

    pub fn validate(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            return Err(ConfigError::OpenToAll(self.listen));
        }
        let limits = &self.limits;
        let zero = [
            ("patience", limits.patience.is_zero()),
            ("the deadline of a search", limits.deadline.is_zero()),
            ("the number of searches at once", limits.searches_max == 0),
            ("the number of live tails at once", limits.tails_max == 0),
            ("the number of connections at once", limits.connections_max == 0),
            ("the time for the head of a request", limits.head.is_zero()),
            ("the time a live tail may go untaken", limits.stall.is_zero()),
            ("the time an answer may go untaken", limits.untaken.is_zero()),
        ];
        zero.into_iter().find(|(_, is_zero)| *is_zero).map_or(Ok(()), |(name, _)| Err(ConfigError::Zero(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        for (listen, good) in [
            ("127.0.0.1:0", true),
            ("127.8.0.1:80", true),
            ("[::1]:7700", true),
            ("0.0.0.0:7700", false),
            ("10.0.0.1:7700", false),
            ("[::]:7700", false),
        ] {
            let config = Config::new(listen.parse().expect("an address"), BucketWidth::default());
            assert_eq!(config.validate().is_ok(), good, "{listen}");
        }
        let mut config = Config::new("127.0.0.1:0".parse().expect("an address"), BucketWidth::default());
        config.limits.tails_max = 0;
        assert_eq!(config.validate(), Err(ConfigError::Zero("the number of live tails at once")));
    }
}
