//! Every line that was born and what became of it, worked out at the end of a run.

use crate::hosts::Born;
use crate::nodes::shelf::Archived;
use crate::nodes::tailer::Host;
use crate::world::World;
use proto::ids::{NodeId, StreamId};
use proto::seal::{FileBirth, stream_id};
use proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Generations that are looked for; a run restarts no file as often.
const GENERATIONS_MAX: u32 = 300;

/// One life of one file: inode, birth, how often it was emptied.
pub type Life = (u64, Timestamp, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Archived,
    Vanished,
    HostLost,
    Lost,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub host: NodeId,
    pub life: Life,
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Two bucks said they keep it.
    pub acked: bool,
    /// Since when two bucks keep it that lost nothing since.
    pub kept_since: Option<Duration>,
    pub fate: Fate,
}

#[derive(Debug, Default)]
pub struct Truth {
    pub lines: Vec<Line>,
    /// Streams are names of lives.
    lives: BTreeMap<(NodeId, StreamId), Life>,
    born: BTreeSet<(NodeId, Life, u64, Vec<u8>)>,
    /// Lines that stand under more than one stream, on a host that had no reason to.
    pub repeated: Vec<Line>,
}

impl Truth {
    #[must_use]
    pub fn of(world: &World, hosts: &[Host], archived: &[Archived]) -> Self {
        let mut truth = Self::default();
        hosts.iter().for_each(|host| truth.name_lives(host));
        let mut there: BTreeMap<(NodeId, Life, u64, &[u8]), u32> = BTreeMap::new();
        for event in archived {
            if let Some(life) = truth.lives.get(&(event.tailer, event.stream)) {
                *there.entry((event.tailer, *life, event.offset, &event.line)).or_default() += 1;
            }
        }
        let passed = Passed::of(world, &truth.lives);
        for host in hosts {
            let may_repeat = world.ghost.unheard.contains(&host.id) || world.ghost.tails_lost.contains(&host.id);
            for (at, born) in host.files.born.iter().enumerate() {
                let key = (host.id, life_of(born), born.offset, born.line.as_slice());
                let count = there.get(&key).copied().unwrap_or(0);
                let line = passed.line(world, host.id, at, born, count > 0);
                if count > 1 && !may_repeat {
                    truth.repeated.push(line.clone());
                }
                truth.lines.push(line);
            }
        }
        truth
    }

    /// A story that was made up.
    #[cfg(test)]
    pub fn told(lines: Vec<Line>, names: &[(StreamId, Life)]) -> Self {
        let name = |(stream, life): &(StreamId, Life)| ((lines[0].host, *stream), *life);
        let born = |line: &Line| (line.host, line.life, line.offset, line.bytes.clone());
        let (lives, born) = (names.iter().map(name).collect(), lines.iter().map(born).collect());
        Self { lives, born, lines, repeated: Vec::new() }
    }

    fn name_lives(&mut self, host: &Host) {
        for born in &host.files.born {
            self.born.insert((host.id, life_of(born), born.offset, born.line.clone()));
            if born.offset != 0 {
                continue;
            }
            for generation in 0..GENERATIONS_MAX.min(born.life + 60) {
                let stream = stream_id(host.id, born.inode, FileBirth::At(born.birth), &born.line, generation);
                self.lives.insert((host.id, stream), life_of(born));
            }
        }
    }

    /// Which life of a file an event is of.
    #[must_use]
    pub fn life_of(&self, event: &Archived) -> Option<Life> {
        self.lives.get(&(event.tailer, event.stream)).copied()
    }

    /// Which line of which life an event is.
    #[must_use]
    pub fn place_of<'a>(&self, event: &'a Archived) -> Option<(NodeId, Life, u64, &'a [u8])> {
        let life = self.lives.get(&(event.tailer, event.stream))?;
        Some((event.tailer, *life, event.offset, &event.line))
    }

    #[must_use]
    pub fn was_born(&self, event: &Archived) -> bool {
        let life = self.lives.get(&(event.tailer, event.stream));
        life.is_some_and(|life| self.born.contains(&(event.tailer, *life, event.offset, event.line.clone())))
    }
}

fn life_of(born: &Born) -> Life {
    (born.inode, born.birth, born.life)
}

/// Which bytes of which life were filed, in which packet, and whether two bucks have that.
struct Passed {
    parts: BTreeMap<(NodeId, Life), Vec<Part>>,
}

struct Part {
    from: u64,
    to: u64,
    packet: usize,
    acked: bool,
    kept_since: Option<Duration>,
}

impl Passed {
    fn of(world: &World, lives: &BTreeMap<(NodeId, StreamId), Life>) -> Self {
        let mut parts: BTreeMap<_, Vec<Part>> = BTreeMap::new();
        for (packet, filed) in world.ghost.filed.iter().enumerate() {
            let acked = world.ghost.acked.get(&filed.id).is_some_and(|bucks| bucks.len() >= 2);
            let sound = world.ghost.acked.get(&filed.id).is_some_and(|bucks| bucks.is_disjoint(&world.ghost.damaged));
            let kept_since = world.ghost.kept_since.get(&filed.id).copied().filter(|_| sound);
            for (stream, from, to) in &filed.extents {
                if let Some(life) = lives.get(&(filed.id.tailer, *stream)) {
                    let part = Part { from: *from, to: *to, packet, acked, kept_since };
                    parts.entry((filed.id.tailer, *life)).or_default().push(part);
                }
            }
        }
        Self { parts }
    }

    fn line(&self, world: &World, host: NodeId, at: usize, born: &Born, archived: bool) -> Line {
        let life = life_of(born);
        let parts = self.parts.get(&(host, life)).map(Vec::as_slice).unwrap_or_default();
        let covers = |part: &&Part| part.from <= born.offset && born.offset < part.to;
        let gone_at = world.ghost.gone_at.get(&(host, at)).copied();
        // A tail that was lost makes place for other lines at its offsets: what was filed later is another line.
        let mine = || parts.iter().filter(covers).filter(|part| gone_at.is_none_or(|gone| part.packet < gone));
        let ambiguous = world.ghost.tails_lost.contains(&host);
        let acked = mine().any(|part| part.acked) && !ambiguous;
        let kept_since = mine().filter_map(|part| part.kept_since).min().filter(|_| !ambiguous);
        let filed = mine().next().is_some();
        let fate = if archived {
            Fate::Archived
        } else if gone_at.is_some() && !filed {
            Fate::Vanished
        } else if !acked && world.ghost.host_power.contains_key(&host) && (gone_at.is_some() || ambiguous && filed) {
            // Where a log lost its end, lines may stand at offsets that others are known to have had: when the spool
            // is lost too, nobody can tell that these were never sent.
            Fate::HostLost
        } else {
            Fate::Lost
        };
        Line { host, life, offset: born.offset, bytes: born.line.clone(), acked, kept_since, fate }
    }
}
