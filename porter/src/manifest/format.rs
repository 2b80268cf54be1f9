//! A manifest's bytes, as `manifest` draws them.

use super::{Block, Census, Closing, Manifest, Replaced};
use crate::names::{BlockName, ShardAt};
use crate::ranges::Ranges;
use proto::closed::RunCount;
use proto::field::{BadField, Fields, put_count, put_counted, put_u32, put_u64, put_varint};
use proto::ids::{NodeId, RunId, StreamId};
use proto::limits::{ENVIRONMENT_BYTES_MAX, STREAM_EXTENTS_MAX};
use proto::message::{Completeness, SeqRange};
use proto::packet::TimeSpan;
use proto::time::{BucketId, Timestamp};

const MAGIC: [u8; 4] = *b"TBM1";

/// Length and magic before, checksum behind.
const AROUND_BYTES: usize = 12;

/// Runs and losses of one tailer in one bucket, over all the closings it wrote: sixty-four times what one may name.
pub const MERGED_RUNS_MAX: usize = 1 << 16;
pub const MERGED_LOSSES_MAX: usize = 1 << 16;

/// Blocks of a shard, and spans of time of a block.
const BLOCKS_MAX: usize = 1 << 16;
const SPANS_MAX: usize = 64;

/// Nodes and ranges in one list: a fleet a hundred times the largest we speak of, each restarting often.
const LIST_MAX: usize = 1 << 20;

/// What a reader takes at most. A fleet of 3,000 writes some 200 KiB.
#[must_use]
pub const fn manifest_bytes_max() -> usize {
    64 << 20
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("not a manifest, or one of a version this program does not know")]
    Foreign,
    #[error("a manifest's {0} is not right")]
    Damaged(&'static str),
    #[error("a manifest is damaged: {0}")]
    Field(#[from] BadField),
}

impl Manifest {
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u32(&mut out, 0);
        put_counted(&mut out, self.at.environment.as_str().as_bytes());
        put_varint(&mut out, self.at.bucket.0);
        put_varint(&mut out, u64::from(self.at.shard));
        put_varint(&mut out, u64::from(self.shards));
        put_varint(&mut out, self.version);
        put_u64(&mut out, self.by.0);
        put_u64(&mut out, self.written.0.cast_unsigned());
        out.push(self.copies);
        put_list(&mut out, &self.blocks, put_block);
        put_list(&mut out, &self.replaced, |out, replaced| {
            out.extend_from_slice(&replaced.name.0);
            put_u64(out, replaced.since.0.cast_unsigned());
        });
        put_list(&mut out, &self.packets.to_vec(), put_range);
        put_census(&mut out, &self.census);
        put_list(&mut out, &self.completeness.bucks_away, put_node);
        put_list(&mut out, &self.completeness.missing, put_range);
        put_list(&mut out, &self.completeness.unheard, put_node);
        let length = u32::try_from(out.len() + 4).expect("limits keep a manifest far below 4 GiB");
        out[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(ManifestError::Foreign);
        }
        if bytes.len() < AROUND_BYTES || bytes.len() > manifest_bytes_max() {
            return Err(ManifestError::Damaged("length"));
        }
        let (checked, crc) = bytes.split_last_chunk::<4>().ok_or(ManifestError::Damaged("length"))?;
        if *crc != crc32c::crc32c(checked).to_le_bytes() {
            return Err(ManifestError::Damaged("checksum"));
        }
        let mut fields = Fields::new(checked);
        fields.take(MAGIC.len())?;
        if usize::try_from(fields.u32()?) != Ok(bytes.len()) {
            return Err(ManifestError::Damaged("length"));
        }
        let manifest = parse_fields(&mut fields)?;
        fields.end()?;
        Ok(manifest)
    }
}

fn parse_fields(fields: &mut Fields<'_>) -> Result<Manifest, BadField> {
    let environment = fields.text(ENVIRONMENT_BYTES_MAX)?.parse();
    let environment = environment.map_err(|_| fields.bad("an environment's name"))?;
    let bucket = BucketId(fields.varint()?);
    let (shard, shards) = (take_u16(fields)?, take_u16(fields)?);
    if shard >= shards {
        return Err(fields.bad("a shard beyond the last"));
    }
    let version = fields.varint()?;
    let by = NodeId(fields.u64()?);
    let written = take_time(fields)?;
    let copies = fields.u8()?;
    let blocks = take_list(fields, BLOCKS_MAX, take_block)?;
    let replaced = take_list(fields, BLOCKS_MAX, |fields| {
        Ok(Replaced { name: BlockName(fields.array()?), since: take_time(fields)? })
    })?;
    let packets: Ranges = take_list(fields, LIST_MAX, take_range)?.into_iter().collect();
    let census = take_census(fields)?;
    let completeness = Completeness {
        bucks_away: take_list(fields, LIST_MAX, take_node)?,
        missing: take_list(fields, LIST_MAX, take_range)?,
        unheard: take_list(fields, LIST_MAX, take_node)?,
    };
    let at = ShardAt { environment, bucket, shard };
    Ok(Manifest { at, shards, version, by, written, copies, blocks, replaced, packets, census, completeness })
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_count(out, items.len());
    items.iter().for_each(|item| put(out, item));
}

/// Grows as items are found, so that a count alone allocates nothing.
fn take_list<T>(
    fields: &mut Fields<'_>,
    max: usize,
    take: impl Fn(&mut Fields<'_>) -> Result<T, BadField>,
) -> Result<Vec<T>, BadField> {
    let count = fields.count(max)?;
    (0..count).map(|_| take(fields)).collect()
}

fn take_u16(fields: &mut Fields<'_>) -> Result<u16, BadField> {
    u16::try_from(fields.varint()?).map_err(|_| fields.bad("a number too large"))
}

fn take_time(fields: &mut Fields<'_>) -> Result<Timestamp, BadField> {
    fields.u64().map(|nanos| Timestamp(nanos.cast_signed()))
}

fn put_node(out: &mut Vec<u8>, node: &NodeId) {
    put_u64(out, node.0);
}

fn take_node(fields: &mut Fields<'_>) -> Result<NodeId, BadField> {
    fields.u64().map(NodeId)
}

fn put_range(out: &mut Vec<u8>, range: &SeqRange) {
    put_u64(out, range.tailer.0);
    put_u64(out, range.run.0);
    put_varint(out, u64::from(range.first));
    put_varint(out, u64::from(range.last - range.first));
}

fn take_range(fields: &mut Fields<'_>) -> Result<SeqRange, BadField> {
    let (tailer, run) = (NodeId(fields.u64()?), RunId(fields.u64()?));
    let (first, more) = (fields.varint_u32()?, fields.varint_u32()?);
    let last = first.checked_add(more).ok_or(fields.bad("a range without end"))?;
    Ok(SeqRange { tailer, run, first, last })
}

fn put_block(out: &mut Vec<u8>, block: &Block) {
    out.extend_from_slice(&block.name.0);
    put_varint(out, block.bytes);
    put_varint(out, block.events);
    put_varint(out, block.line_bytes);
    put_list(out, &block.times, |out, span| {
        put_u64(out, span.first.0.cast_unsigned());
        put_varint(out, span.last.0.wrapping_sub(span.first.0).cast_unsigned());
    });
}

fn take_block(fields: &mut Fields<'_>) -> Result<Block, BadField> {
    let name = BlockName(fields.array()?);
    let (bytes, events, line_bytes) = (fields.varint()?, fields.varint()?, fields.varint()?);
    let times = take_list(fields, SPANS_MAX, |fields| {
        let first = take_time(fields)?;
        let last = Timestamp(first.0.wrapping_add(fields.varint()?.cast_signed()));
        if last < first { Err(fields.bad("a span that ends before it begins")) } else { Ok(TimeSpan { first, last }) }
    })?;
    Ok(Block { name, bytes, events, line_bytes, times })
}

fn put_census(out: &mut Vec<u8>, census: &Census) {
    put_count(out, census.heard.len());
    census.heard.iter().for_each(|buck| put_node(out, buck));
    put_count(out, census.closings.len());
    for (tailer, closing) in &census.closings {
        put_node(out, tailer);
        put_closing(out, closing);
    }
}

fn take_census(fields: &mut Fields<'_>) -> Result<Census, BadField> {
    let heard = take_list(fields, LIST_MAX, take_node)?.into_iter().collect();
    let closing = |fields: &mut Fields<'_>| Ok((take_node(fields)?, take_closing(fields)?));
    let closings = take_list(fields, LIST_MAX, closing)?.into_iter().collect();
    Ok(Census { heard, closings })
}

fn put_closing(out: &mut Vec<u8>, closing: &Closing) {
    out.push(u8::from(closing.previous.is_some()));
    if let Some(previous) = closing.previous {
        put_varint(out, previous.0);
    }
    put_list(out, &closing.runs, |out, run| {
        put_u64(out, run.run.0);
        put_varint(out, u64::from(run.packets));
    });
    put_list(out, &closing.losses, |out, (stream, losses)| {
        out.extend_from_slice(&stream.0);
        put_list(out, losses, |out, (from, to)| {
            put_varint(out, *from);
            put_varint(out, to.saturating_sub(*from));
        });
    });
}

fn take_closing(fields: &mut Fields<'_>) -> Result<Closing, BadField> {
    let previous = match fields.u8()? {
        0 => None,
        1 => Some(BucketId(fields.varint()?)),
        _ => return Err(fields.bad("a flag that is neither 0 nor 1")),
    };
    let runs = take_list(fields, MERGED_RUNS_MAX, |fields| {
        Ok(RunCount { run: RunId(fields.u64()?), packets: fields.varint_u32()? })
    })?;
    let losses = take_list(fields, MERGED_LOSSES_MAX, |fields| {
        let stream = StreamId(fields.array()?);
        Ok((stream, take_list(fields, STREAM_EXTENTS_MAX, take_loss)?))
    })?;
    Ok(Closing { previous, runs, losses })
}

fn take_loss(fields: &mut Fields<'_>) -> Result<(u64, u64), BadField> {
    let from = fields.varint()?;
    let to = from.checked_add(fields.varint()?).ok_or(fields.bad("a range without end"))?;
    Ok((from, to))
}
