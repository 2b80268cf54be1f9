//! Puts one block on the shelf, until it can be read back.
//!
//! What counts is what can be read, whatever the put said. Something else under the name has the same content,
//! squeezed by another version, or is damaged: which of them, a thorough reading tells. The first is adopted; the
//! second is replaced, since nothing can be relying on it.

use super::desk::{Asked, Desk, JobAsk};
use super::said::{Action, Build, BuildOf, Built, BuiltBlock, Reply};
use crate::dedup::Earlier;
use crate::manifest::Block;
use crate::names::{Object, ShardAt};
use crate::rules::PUT_TRIES_MAX;
use proto::time::Now;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct PutBlock {
    at: ShardAt,
    shards: u16,
    built: BuiltBlock,
    tries: u32,
    /// Length of what stands under the name instead.
    other_bytes: u64,
}

#[derive(Debug)]
pub(super) enum Stood {
    Going,
    /// The block, as it stands.
    Done(Block),
    Failed(String),
}

impl PutBlock {
    pub fn start(now: Now, at: ShardAt, shards: u16, built: BuiltBlock, desk: &mut Desk) -> Self {
        let mut put = Self { at, shards, built, tries: 0, other_bytes: 0 };
        put.put(now, desk);
        put
    }

    pub fn on_reply(&mut self, now: Now, asked: JobAsk, reply: Reply, desk: &mut Desk) -> Stood {
        match (asked, reply) {
            (JobAsk::PutBlock, _) => self.read(now, desk),
            (JobAsk::ReadBlock, Reply::Got(Some(bytes))) => self.compare(bytes, desk),
            (JobAsk::ReadBlock, Reply::Got(None)) | (JobAsk::DropBlock, _) => self.put(now, desk),
            (JobAsk::Doubt, Reply::Built(other)) => self.judge(now, &other, desk),
            // What can't be read through is damaged.
            (JobAsk::Doubt, _) => self.replace(now, desk),
            (_, Reply::Failed(why)) => Stood::Failed(why),
            (asked, _) => Stood::Failed(format!("an answer of another kind than {asked:?} asks for")),
        }
    }

    fn path(&self) -> String {
        self.at.object(Object::Block(self.built.block.name))
    }

    fn put(&mut self, now: Now, desk: &mut Desk) -> Stood {
        if self.tries >= PUT_TRIES_MAX {
            return Stood::Failed(format!("{} can't be put", self.path()));
        }
        self.tries += 1;
        let (path, bytes) = (self.path(), self.built.bytes.clone());
        desk.ask_shelf(now, Asked::Job(JobAsk::PutBlock), |ask| Action::PutIfAbsent { ask, path, bytes });
        Stood::Going
    }

    fn read(&self, now: Now, desk: &mut Desk) -> Stood {
        let path = self.path();
        desk.ask_shelf(now, Asked::Job(JobAsk::ReadBlock), |ask| Action::Get { ask, path });
        Stood::Going
    }

    fn compare(&mut self, bytes: Arc<[u8]>, desk: &mut Desk) -> Stood {
        if *bytes == *self.built.bytes {
            return Stood::Done(self.built.block.clone());
        }
        self.other_bytes = bytes.len() as u64;
        let of = BuildOf { at: self.at.clone(), shards: self.shards, packets: Vec::new(), blocks: vec![bytes] };
        let earlier = Arc::new(Earlier::default());
        desk.ask_own(Asked::Job(JobAsk::Doubt), |ask| Action::Build(Box::new(Build { ask, of, earlier })));
        Stood::Going
    }

    fn judge(&mut self, now: Now, other: &Built, desk: &mut Desk) -> Stood {
        let same = other.block.as_ref().is_some_and(|other| other.block.name == self.built.block.name);
        if !same {
            return self.replace(now, desk);
        }
        Stood::Done(Block { bytes: self.other_bytes, ..self.built.block.clone() })
    }

    fn replace(&mut self, now: Now, desk: &mut Desk) -> Stood {
        desk.trouble(&self.at.bucket_at(), &format!("{} was damaged and is put again", self.path()));
        let path = self.path();
        desk.ask_shelf(now, Asked::Job(JobAsk::DropBlock), |ask| Action::Delete { ask, path });
        Stood::Going
    }
}
