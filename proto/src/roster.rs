//! Who belongs to the cluster, and what each may do: one text file, the same on every node, a peer a line.
//!
//! ```text
//! # role  key      what else is known of it
//! buck    tb1abc…  id=00c0ffee00c0ffee addr=10.0.0.1:4433 domain=rack-1
//! tailer  tb1def…  id=1122334455667788 env=prod host=web-17 from=10.0.0.0/8 rate=5MB/s expires=2027-06-01
//! ```
//!
//! | option | of | means |
//! |---|---|---|
//! | `id=` 16 hex digits | all, needed | the node's own number; survives a change of key |
//! | `addr=` host:port | buck (needed), porter | where it is reached |
//! | `domain=` name | buck | what fails together: two copies go to two domains |
//! | `env=` a,b or * | tailer, web, reader, admin | environments it may write or read; without it, `main` alone |
//! | `host=` a,b | tailer | host names its events bear; without it, any that no other line lists |
//! | `from=` a network, … | all | the only addresses it may come from |
//! | `rate=` 5MB/s | tailer | how much each buck takes of it; more waits at the tailer |
//! | `expires=` date | all | its key is refused from the beginning of that day, UTC |
//! | `web=` origin | web, buck | where browsers find it; a buck with this may do what a web may |
//! | `retiring` | buck | is asked, but given nothing new |
//! | `lost=` date | buck, tailer | gone since then: nobody waits for it, and it is let in no more |
//!
//! A node changes its key by standing on two lines for a while; they may differ only in key and `expires`.
//! `#` begins a comment. The file is taken whole or not at all: any bad line refuses it, with its number, and who
//! holds an older roster keeps that. A cluster's hash is that of its peers, so comments and order don't change it.
//!
//! Pure. `line` reads and writes one peer, `rights` is the table of who may ask what; reading the file again when
//! it changes is for `io`.

mod line;
mod place;
mod rights;

pub use line::Problem;
pub use place::{Address, Date, Network};
pub use rights::{Action, Denied, NotAdmitted};

use crate::ids::{Environment, NodeId};
use crate::limits::ROSTER_BYTES_MAX;
use crate::seal::{Domain, Hash, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Buck,
    Tailer,
    Porter,
    Web,
    /// A person's key, for asking.
    Reader,
    /// A person's key, for asking also what only porters need to know.
    Admin,
}

impl Role {
    pub const ALL: [Self; 6] = [Self::Buck, Self::Tailer, Self::Porter, Self::Web, Self::Reader, Self::Admin];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buck => "buck",
            Self::Tailer => "tailer",
            Self::Porter => "porter",
            Self::Web => "web",
            Self::Reader => "reader",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which environments a peer may write or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environments {
    All,
    Only(BTreeSet<Environment>),
}

impl Default for Environments {
    fn default() -> Self {
        Self::Only(BTreeSet::from([Environment::default()]))
    }
}

impl Environments {
    #[must_use]
    pub fn hold(&self, environment: &Environment) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(environment),
        }
    }
}

/// Whether a peer is here to stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Member,
    Retiring,
    Lost(Date),
}

/// One line. Written out by [`Display`](fmt::Display) as it would be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub role: Role,
    pub key: PublicKey,
    pub id: NodeId,
    /// All of them for bucks and porters, which keep what others wrote.
    pub environments: Environments,
    pub address: Option<Address>,
    pub domain: Option<String>,
    pub hosts: BTreeSet<String>,
    pub from: Vec<Network>,
    pub bytes_per_second: Option<u64>,
    pub expires: Option<Date>,
    /// The origin browsers know it by: scheme, host and port.
    pub web: Option<String>,
    pub standing: Standing,
}

impl Peer {
    /// A peer of whom nothing but this is known.
    #[must_use]
    pub fn new(role: Role, key: PublicKey, id: NodeId) -> Self {
        let environments = match role {
            Role::Buck | Role::Porter => Environments::All,
            Role::Tailer | Role::Web | Role::Reader | Role::Admin => Environments::default(),
        };
        Self {
            role,
            key,
            id,
            environments,
            address: None,
            domain: None,
            hosts: BTreeSet::new(),
            from: Vec::new(),
            bytes_per_second: None,
            expires: None,
            web: None,
            standing: Standing::Member,
        }
    }

    /// Whether two lines describe one node, changing its key.
    fn is_same_node_as(&self, other: &Self) -> bool {
        let other_but_for_key = Self { key: self.key, expires: self.expires, ..other.clone() };
        *self == other_but_for_key
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    #[error("the roster is {0} bytes long, over the limit of {ROSTER_BYTES_MAX}")]
    Large(usize),
    #[error("the roster names nobody")]
    Empty,
    #[error("roster line {line}: {problem}")]
    Line { line: usize, problem: Problem },
}

/// Everyone, looked up by key, by node and by role.
#[derive(Clone, Debug)]
pub struct Roster {
    peers: Vec<Peer>,
    by_key: BTreeMap<[u8; 32], usize>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
    by_host: BTreeMap<String, BTreeSet<NodeId>>,
    hash: [u8; 32],
}

impl Roster {
    pub fn parse(bytes: &[u8]) -> Result<Self, RosterError> {
        if bytes.len() > ROSTER_BYTES_MAX {
            return Err(RosterError::Large(bytes.len()));
        }
        let mut reading = Reading::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let taken = line::parse(line).and_then(|peer| peer.map_or(Ok(()), |peer| reading.take(number, peer)));
            taken.map_err(|problem| RosterError::Line { line: number, problem })?;
        }
        if reading.peers.is_empty() { Err(RosterError::Empty) } else { Ok(Self::new(reading)) }
    }

    fn new(reading: Reading) -> Self {
        let Reading { peers, by_key, by_node, .. } = reading;
        let mut by_host: BTreeMap<String, BTreeSet<NodeId>> = BTreeMap::new();
        for peer in &peers {
            for host in &peer.hosts {
                by_host.entry(host.clone()).or_default().insert(peer.id);
            }
        }
        let lines: BTreeSet<String> = peers.iter().map(|peer| format!("{peer}\n")).collect();
        let hash = lines.iter().fold(Hash::new(Domain::ROSTER), |hash, line| hash.with(line.as_bytes()));
        Self { peers, by_key, by_node, by_host, hash: hash.finish256() }
    }

    /// Every line, in the file's order. A node that changes its key is there twice.
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Of who is in it and with what rights; answers carry its first bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    #[must_use]
    pub fn by_ed25519(&self, key: &[u8; 32]) -> Option<&Peer> {
        self.by_key.get(key).and_then(|index| self.peers.get(*index))
    }

    #[must_use]
    pub fn by_id(&self, id: NodeId) -> Option<&Peer> {
        self.lines_of(id).next()
    }

    /// One line, or two while the node changes its key.
    pub fn lines_of(&self, id: NodeId) -> impl Iterator<Item = &Peer> {
        self.by_node.get(&id).into_iter().flatten().filter_map(|index| self.peers.get(*index))
    }

    /// Each node of a role once, in order of their ids.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Peer> {
        self.by_node.keys().filter_map(|id| self.by_id(*id)).filter(move |peer| peer.role == role)
    }
}

/// Lines taken so far, and what two lines must not share.
#[derive(Default)]
struct Reading {
    peers: Vec<Peer>,
    numbers: Vec<usize>,
    by_key: BTreeMap<[u8; 32], usize>,
    by_node: BTreeMap<NodeId, Vec<usize>>,
    by_address: BTreeMap<Address, usize>,
}

impl Reading {
    fn take(&mut self, number: usize, peer: Peer) -> Result<(), Problem> {
        let index = self.peers.len();
        if let Some(other) = self.by_key.insert(peer.key.ed25519, index) {
            return Err(Problem::SameKey { line: self.number_of(other) });
        }
        self.check_node(&peer)?;
        if let Some(address) = &peer.address {
            let other = *self.by_address.entry(address.clone()).or_insert(index);
            if self.peers.get(other).is_some_and(|other| other.id != peer.id) {
                return Err(Problem::SameAddress { line: self.number_of(other) });
            }
        }
        self.by_node.entry(peer.id).or_default().push(index);
        self.peers.push(peer);
        self.numbers.push(number);
        Ok(())
    }

    fn check_node(&self, peer: &Peer) -> Result<(), Problem> {
        match self.by_node.get(&peer.id).map(Vec::as_slice) {
            None | Some([]) => Ok(()),
            Some([other]) if self.peers.get(*other).is_some_and(|other| peer.is_same_node_as(other)) => Ok(()),
            Some([other]) => Err(Problem::SameNode { id: peer.id, line: self.number_of(*other) }),
            Some(_) => Err(Problem::ThirdKey { id: peer.id }),
        }
    }

    fn number_of(&self, index: usize) -> usize {
        self.numbers.get(index).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
