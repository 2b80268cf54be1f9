//! The receipts a buck has learnt, over a restart; the only file of this crate that names sled.
//!
//! Nothing rests on it: without it receipts are asked for again, and buckets stay as long once more. So it is
//! never synced, what can't be read is left out, and one that can't be opened is made anew.
//!
//! ```text
//! key    environment's name, NUL, bucket as u64 big-endian
//! value  i64 little-endian: since when all of the bucket is safe elsewhere, the least number when it is not;
//!        then the receipts, as a message
//! ```

use crate::files::FileKey;
use proto::codec::{decode_answer, encode_answer};
use proto::message::{Answer, Receipt};
use proto::time::{BucketId, Timestamp};
use std::fs;
use std::path::Path;
use tracing::warn;

pub struct Ledger {
    tree: Option<sled::Db>,
}

impl Ledger {
    /// One that can't be opened remembers nothing.
    pub fn open(path: &Path) -> Self {
        let open = || sled::Config::new().path(path).cache_capacity(8 << 20).flush_every_ms(Some(5000)).open();
        let anew = |error: sled::Error| {
            warn!(path = %path.display(), %error, "the ledger can't be opened and is made anew");
            // Fails when there is nothing or nothing can be done; opening it again tells.
            let _ = fs::remove_dir_all(path);
            open()
        };
        let tree = open().or_else(anew).map_err(|error| warn!(%error, "there is no ledger this time")).ok();
        Self { tree }
    }

    pub fn remember(&self, key: &FileKey, receipts: Vec<Receipt>, since: Option<Timestamp>) {
        let Some(tree) = &self.tree else { return };
        let done = match encode_answer(&Answer::Receipts(receipts)) {
            Ok(message) => tree.insert(key_of(key), value_of(since, &message)).map(drop),
            Err(_) => Ok(()),
        };
        done.unwrap_or_else(|error| warn!(%error, "the ledger can't be written"));
    }

    pub fn forget(&self, key: &FileKey) {
        let done = self.tree.as_ref().map_or(Ok(None), |tree| tree.remove(key_of(key)));
        done.map_or_else(|error| warn!(%error, "the ledger can't be written"), drop);
    }

    /// Everything that can be read.
    pub fn all(&self) -> impl Iterator<Item = (FileKey, Vec<Receipt>, Option<Timestamp>)> {
        let entries = self.tree.iter().flat_map(|tree| tree.iter());
        entries.filter_map(|entry| {
            let (key, value) = entry.ok()?;
            let (receipts, since) = parse_value(&value)?;
            Some((parse_key(&key)?, receipts, since))
        })
    }
}

fn key_of((environment, bucket): &FileKey) -> Vec<u8> {
    [environment.as_str().as_bytes(), &[0], &bucket.0.to_be_bytes()].concat()
}

fn parse_key(key: &[u8]) -> Option<FileKey> {
    let (rest, bucket) = key.split_last_chunk::<8>()?;
    let name = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((name.parse().ok()?, BucketId(u64::from_be_bytes(*bucket))))
}

fn value_of(since: Option<Timestamp>, message: &[u8]) -> Vec<u8> {
    [&since.unwrap_or(Timestamp::MIN).0.to_le_bytes(), message].concat()
}

fn parse_value(value: &[u8]) -> Option<(Vec<Receipt>, Option<Timestamp>)> {
    let (since, message) = value.split_first_chunk::<8>()?;
    let since = Some(Timestamp(i64::from_le_bytes(*since))).filter(|since| *since != Timestamp::MIN);
    match decode_answer(message) {
        Ok(Answer::Receipts(receipts)) => Some((receipts, since)),
        _ => None,
    }
}
