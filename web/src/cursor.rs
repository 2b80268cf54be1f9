//! Where an answer stopped, as opaque text, so that any web can go on from there.
//!
//! ```text
//!  0  1  version, 1
//!  1  1  order: 0 newest, 1 oldest, 2 file
//!  2  8  hash of the query, its environments and the order
//! 10 16  range of event time: from, to
//! 26 40  place of the last event: time, tailer, stream, offset
//! 66  .  snapshot: count of runs, then for each: environment, shard, version, first bucket, how many buckets in a row
//!  .  4  FNV-1a of all before, folded: against a cursor cut short in a chat, not against anyone
//! ```
//!
//! Base64 for addresses. A snapshot too long for an address is left out: going on then takes a new one, and only
//! what was ported meanwhile is read from elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::event::TimeOrder;
use proto::field::{BadField, Fields, put_count, put_counted, put_u32, put_u64, put_varint};
use proto::ids::{Environment, NodeId, StreamId};
use proto::limits::ENVIRONMENT_BYTES_MAX;
use proto::message::{SearchOrder, ShardVersion};
use proto::query::TimeRange;
use proto::time::{BucketId, Timestamp};

const VERSION: u8 = 1;

/// The whole text; browsers and proxies take addresses of 8 KiB.
const TEXT_BYTES_MAX: usize = 6 << 10;
const SNAPSHOT_BYTES_MAX: usize = 4 << 10;

/// What a snapshot may unfold to: three months of five minutes, four shards each.
const SHARDS_MAX: u64 = 1 << 17;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub query: u64,
    pub order: SearchOrder,
    pub range: TimeRange,
    pub after: TimeOrder,
    /// Empty when it was too long to keep.
    pub snapshot: Vec<ShardVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCursor {
    #[error("the cursor is damaged or of another version: {0}")]
    Damaged(&'static str),
    #[error("the cursor belongs to another query")]
    OtherQuery,
}

impl From<BadField> for BadCursor {
    fn from(bad: BadField) -> Self {
        Self::Damaged(bad.why)
    }
}

/// What a cursor belongs to. FNV-1a: it keeps honest people from a mistake.
#[must_use]
pub fn query_hash(query: &str, environments: &[Environment], order: SearchOrder) -> u64 {
    let names = environments.iter().flat_map(|name| [name.as_str().as_bytes(), &[0]]);
    [query.as_bytes(), &[0, order_byte(order)]].into_iter().chain(names).fold(FNV_START, fnv)
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn check_of(bytes: &[u8]) -> u32 {
    let hash = fnv(FNV_START, bytes);
    u32::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).expect("32 bits were kept")
}

fn order_byte(order: SearchOrder) -> u8 {
    match order {
        SearchOrder::Newest => 0,
        SearchOrder::Oldest => 1,
        SearchOrder::File => 2,
    }
}

impl Cursor {
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = vec![VERSION, order_byte(self.order)];
        put_u64(&mut out, self.query);
        let times = [self.range.from, self.range.to, self.after.time];
        times.iter().for_each(|time| put_u64(&mut out, time.0.cast_unsigned()));
        put_u64(&mut out, self.after.tailer.0);
        out.extend_from_slice(&self.after.stream.0);
        put_u64(&mut out, self.after.offset);
        let runs = runs_of(&self.snapshot);
        out.extend_from_slice(if runs.len() > SNAPSHOT_BYTES_MAX { &[0] } else { &runs });
        let check = check_of(&out);
        put_u32(&mut out, check);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Reads a cursor that belongs to the query with this hash.
    pub fn read(text: &str, query: u64) -> Result<Self, BadCursor> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadCursor::Damaged("too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor::Damaged("not base 64"))?;
        let (body, check) = bytes.split_last_chunk::<4>().ok_or(BadCursor::Damaged("too short"))?;
        if u32::from_le_bytes(*check) != check_of(body) {
            return Err(BadCursor::Damaged("its check fails"));
        }
        let cursor = Self::read_body(&mut Fields::new(body))?;
        if cursor.query == query { Ok(cursor) } else { Err(BadCursor::OtherQuery) }
    }

    fn read_body(fields: &mut Fields<'_>) -> Result<Self, BadCursor> {
        if fields.u8()? != VERSION {
            return Err(BadCursor::Damaged("unknown version"));
        }
        let order = match fields.u8()? {
            0 => SearchOrder::Newest,
            1 => SearchOrder::Oldest,
            2 => SearchOrder::File,
            _ => return Err(BadCursor::Damaged("unknown order")),
        };
        let query = fields.u64()?;
        let range = TimeRange { from: time(fields)?, to: time(fields)? };
        let after = TimeOrder {
            time: time(fields)?,
            tailer: NodeId(fields.u64()?),
            stream: StreamId(fields.array()?),
            offset: fields.u64()?,
        };
        let snapshot = read_runs(fields)?;
        fields.end()?;
        Ok(Self { query, order, range, after, snapshot })
    }
}

fn time(fields: &mut Fields<'_>) -> Result<Timestamp, BadField> {
    Ok(Timestamp(fields.u64()?.cast_signed()))
}

/// Buckets of one environment, shard and version that follow each other are one run.
fn runs_of(snapshot: &[ShardVersion]) -> Vec<u8> {
    let mut sorted: Vec<&ShardVersion> = snapshot.iter().collect();
    sorted.sort_by_key(|at| (&at.environment, at.shard, at.version, at.bucket));
    let mut runs: Vec<(&ShardVersion, u64)> = Vec::new();
    for at in sorted {
        match runs.last_mut() {
            Some((first, count)) if follows(first, *count, at) => *count += 1,
            _ => runs.push((at, 1)),
        }
    }
    let mut out = Vec::new();
    put_count(&mut out, runs.len());
    for (first, count) in runs {
        put_counted(&mut out, first.environment.as_str().as_bytes());
        for number in [u64::from(first.shard), first.version, first.bucket.0, count] {
            put_varint(&mut out, number);
        }
    }
    out
}

fn follows(first: &ShardVersion, count: u64, at: &ShardVersion) -> bool {
    let same = (&first.environment, first.shard, first.version) == (&at.environment, at.shard, at.version);
    same && first.bucket.0.checked_add(count) == Some(at.bucket.0)
}

fn read_runs(fields: &mut Fields<'_>) -> Result<Vec<ShardVersion>, BadCursor> {
    let runs = fields.count(SNAPSHOT_BYTES_MAX)?;
    let mut snapshot = Vec::new();
    let mut left = SHARDS_MAX;
    for _ in 0..runs {
        let environment: Environment =
            fields.text(ENVIRONMENT_BYTES_MAX)?.parse().map_err(|_| BadCursor::Damaged("not an environment"))?;
        let shard = u16::try_from(fields.varint()?).map_err(|_| BadCursor::Damaged("no such shard"))?;
        let version = fields.varint()?;
        let (first, count) = (fields.varint()?, fields.varint()?);
        left = left.checked_sub(count).ok_or(BadCursor::Damaged("too many shards"))?;
        for bucket in first..first.saturating_add(count) {
            snapshot.push(ShardVersion { environment: environment.clone(), bucket: BucketId(bucket), shard, version });
        }
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor(snapshot: Vec<ShardVersion>) -> Cursor {
        Cursor {
            query: query_hash("error timeout", &[Environment::default()], SearchOrder::Newest),
            order: SearchOrder::Newest,
            range: TimeRange { from: Timestamp(-5), to: Timestamp(1_795_255_200_000_000_000) },
            after: TimeOrder { time: Timestamp(-1), tailer: NodeId(7), stream: StreamId([9; 16]), offset: u64::MAX },
            snapshot,
        }
    }

    fn at(bucket: u64, shard: u16, version: u64) -> ShardVersion {
        ShardVersion { environment: Environment::default(), bucket: BucketId(bucket), shard, version }
    }

    #[test]
    fn a_month_of_buckets_fits_an_address() {
        let month: Vec<_> = (0..8640).map(|n| at(5_984_184 + n, 0, if n % 500 == 0 { 2 } else { 1 })).collect();
        let cursor = cursor(month.clone());
        let text = cursor.to_text();
        assert!(text.len() < 1500, "{}", text.len());
        let mut back = Cursor::read(&text, cursor.query).expect("what was written is read").snapshot;
        back.sort();
        assert_eq!(back, month);
    }

    #[test]
    fn a_snapshot_too_long_is_left_out() {
        let wild: Vec<_> = (0..3000).map(|n| at(n * 2, 0, n)).collect();
        let cursor = cursor(wild);
        let back = Cursor::read(&cursor.to_text(), cursor.query).expect("readable");
        assert_eq!(back, Cursor { snapshot: vec![], ..cursor });
    }

    #[test]
    fn a_cursor_cut_or_of_another_query_is_refused() {
        let cursor = cursor(vec![at(3, 1, 4)]);
        let text = cursor.to_text();
        assert_eq!(Cursor::read(&text, cursor.query), Ok(cursor.clone()));
        assert_eq!(Cursor::read(&text, 1), Err(BadCursor::OtherQuery));
        for len in 0..text.len() {
            assert!(Cursor::read(&text[..len], cursor.query).is_err(), "{len}");
        }
        let order = query_hash("error timeout", &[Environment::default()], SearchOrder::Oldest);
        assert_ne!(order, cursor.query);
    }

    #[test]
    fn a_few_bytes_cannot_unfold_to_gigabytes() {
        let mut bytes = vec![VERSION, 0];
        bytes.extend_from_slice(&[0; 64]);
        bytes.extend_from_slice(&[1, 4]);
        bytes.extend_from_slice(b"main");
        bytes.extend_from_slice(&[0, 1, 0]);
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(Cursor::read_body(&mut Fields::new(&bytes)), Err(BadCursor::Damaged("too many shards")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9_-]{0,300}", bytes: Vec<u8>) {
            let _ = Cursor::read(&text, 0);
            let _ = Cursor::read_body(&mut Fields::new(&bytes));
        }
    }
}
