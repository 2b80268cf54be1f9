//! Which connections there are, and the cutting off of those that are no longer wanted.

use super::tls::proven_key;
use super::{CONNECTIONS_PER_NODE_MAX, Farewell, GUARD_EVERY, Party};
use crate::io::clock::Clock;
use crate::io::members::Members;
use quinn::Connection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

#[derive(Debug)]
pub(super) struct Guard {
    members: Arc<Members>,
    clock: Clock,
    /// In the order they came.
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    connection: Connection,
    party: Party,
    /// They dialled us, so it matters from where.
    came: bool,
}

impl Guard {
    pub(super) fn new(members: Arc<Members>, clock: Clock) -> Self {
        Self { members, clock, watched: Mutex::default() }
    }

    /// Names who is at the other end, and keeps an eye on the connection from here on; or closes it and says why.
    pub(super) fn admit(&self, connection: &Connection, came: bool) -> Result<Party, String> {
        let party = self.name(connection).and_then(|party| {
            self.check(&party, came)?;
            Ok(party)
        });
        match &party {
            Ok(party) => self.keep(Watched { connection: connection.clone(), party: *party, came }),
            Err(why) => connection.close(Farewell::Refused.code(), why.as_bytes()),
        }
        party
    }

    fn name(&self, connection: &Connection) -> Result<Party, String> {
        let key = proven_key(connection.peer_identity()).ok_or("no key was shown")?;
        let roster = self.members.now();
        let peer = roster.by_ed25519(&key).ok_or("the key is not in the roster")?;
        Ok(Party { node: peer.id, key: peer.key, address: connection.remote_address() })
    }

    fn check(&self, party: &Party, came: bool) -> Result<(), String> {
        let roster = self.members.now();
        let peer = roster.by_ed25519(&party.key.ed25519).filter(|peer| peer.id == party.node);
        let peer = peer.ok_or("the key is not in the roster")?;
        let from = came.then(|| party.address.ip());
        peer.admits(from, self.clock.wall()).map_err(|why| why.to_string())
    }

    fn keep(&self, new: Watched) {
        let mut watched = self.watched();
        watched.retain(|old| old.connection.close_reason().is_none());
        let of_node: Vec<usize> = (0..watched.len())
            .filter(|at| watched.get(*at).is_some_and(|old| old.came == new.came && old.party.node == new.party.node))
            .collect();
        if let Some(oldest) = of_node.first().filter(|_| of_node.len() >= CONNECTIONS_PER_NODE_MAX) {
            let oldest = watched.remove(*oldest);
            warn!(party = %oldest.party, "more connections than a node needs, the oldest is closed");
            oldest.connection.close(Farewell::Replaced.code(), b"replaced by a newer connection");
        }
        watched.push(new);
    }

    /// Cuts off whoever left the roster, expired or was lost, for as long as this is polled.
    pub(super) async fn watch(&self) {
        let mut changes = self.members.watch();
        let mut tick = tokio::time::interval(GUARD_EVERY);
        loop {
            tokio::select! {
                biased;
                changed = changes.changed() => changed.expect("the members outlive their guard"),
                _ = tick.tick() => {}
            }
            self.sweep();
        }
    }

    fn sweep(&self) {
        self.watched().retain(|held| {
            if held.connection.close_reason().is_some() {
                return false;
            }
            let Err(why) = self.check(&held.party, held.came) else { return true };
            info!(party = %held.party, %why, "connection closed");
            held.connection.close(Farewell::Refused.code(), why.as_bytes());
            false
        });
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
