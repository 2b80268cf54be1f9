//! What a porter is told at its start.

use crate::rules::Rules;
use proto::time::BucketWidth;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to answer; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The recent shelf: a folder's path, or a URL of an object store.
    pub shelf: String,
    pub width: BucketWidth,
    pub rules: Rules,
    /// Searches at one time; more wait a little and are then told to come back.
    pub searches_max: usize,
}

impl Config {
    #[must_use]
    pub fn new(listen: SocketAddr, shelf: String, width: BucketWidth) -> Self {
        Self { listen, shelf, width, rules: Rules::default(), searches_max: 8 }
    }

    /// Every setting that can't be meant, each a sentence.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let rules = &self.rules;
        let mut wrong = Vec::new();
        let mut check = |good: bool, what: &str| {
            if !good {
                wrong.push(what.to_owned());
            }
        };
        check(!self.shelf.is_empty(), "the shelf has no place: give a folder or a URL");
        check(self.searches_max > 0, "no search could ever run: searches_max must be at least 1");
        check(rules.shards > 0, "a bucket has at least one shard");
        check(
            rules.look_every >= Duration::from_millis(100),
            "bucks would be asked all the time: look_every must be 0.1 s or more",
        );
        check(
            !rules.retry_first.is_zero(),
            "a bucket that fails would be tried all the time: retry_first must not be zero",
        );
        check(rules.retry_first <= rules.retry_last, "retry_first is longer than retry_last");
        check(
            !rules.buck_patience.is_zero() && !rules.shelf_patience.is_zero(),
            "an answer takes some time: patience must not be zero",
        );
        check(rules.parts_max >= 2, "merging parts needs at least two of them");
        check(
            (1 << 20..=192 << 20).contains(&rules.block_bytes),
            "block_bytes must be between 1 MiB and 192 MiB, so that a block with one packet more can still be written",
        );
        check(rules.window_bytes >= 8 << 20, "window_bytes must be 8 MiB or more, so that one answer fits it");
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_meant_is_said_in_sentences() {
        let good = Config::new("127.0.0.1:0".parse().unwrap(), "shelf".to_owned(), BucketWidth::default());
        assert_eq!(good.validate(), Ok(()));
        let check = |change: fn(&mut Config), words: &str| {
            let mut config = good.clone();
            change(&mut config);
            let wrong = config.validate().unwrap_err();
            assert!(wrong.len() == 1 && wrong[0].contains(words), "{wrong:?}");
        };
        check(|config| config.shelf.clear(), "no place");
        check(|config| config.searches_max = 0, "searches_max");
        check(|config| config.rules.shards = 0, "shard");
        check(|config| config.rules.look_every = Duration::ZERO, "look_every");
        check(|config| config.rules.retry_first = Duration::ZERO, "retry_first");
        check(|config| config.rules.retry_last = Duration::from_secs(1), "longer");
        check(|config| config.rules.buck_patience = Duration::ZERO, "patience");
        check(|config| config.rules.parts_max = 1, "two");
        check(|config| config.rules.block_bytes = 256 << 20, "block_bytes");
        check(|config| config.rules.window_bytes = 1, "window_bytes");
    }
}
