//! One connection to each peer, made when it is first needed and made again when it is gone.
//!
//! When to try a peer that failed is not decided here: the caller lets it rest, for as long as the caller says.

use crate::ids::NodeId;
use crate::io::clock::Clock;
use crate::io::members::Members;
use crate::io::quic::{Endpoint, Link, LinkError};
use crate::roster::Address;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The connections this node has dialled.
#[derive(Debug)]
pub struct Links {
    endpoint: Arc<Endpoint>,
    members: Arc<Members>,
    clock: Clock,
    /// As many as the roster has nodes.
    slots: Mutex<BTreeMap<NodeId, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Held while dialling, so that all who want the peer wait for one dial.
    link: tokio::sync::Mutex<Option<Link>>,
    rests_until: Mutex<Duration>,
}

impl Links {
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, members: Arc<Members>, clock: Clock) -> Self {
        Self { endpoint, members, clock, slots: Mutex::default() }
    }

    /// The connection to this node, dialled if there is none.
    pub async fn to(&self, node: NodeId) -> Result<Link, LinkError> {
        let slot = self.slot(node)?;
        let mut held = slot.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        if self.clock.mono() < *lock(&slot.rests_until) {
            return Err(LinkError::Resting(node));
        }
        *held = None;
        let link = self.dial(node).await?;
        *held = Some(link.clone());
        Ok(link)
    }

    /// One question to this node and its one answer, dialling included.
    pub async fn ask(&self, node: NodeId, question: Vec<u8>, within: Duration) -> Result<Vec<u8>, LinkError> {
        let dialled = timeout(within, self.to(node)).await;
        dialled.unwrap_or(Err(LinkError::NotInTime { node, within }))?.ask(question, within).await
    }

    /// This connection is not given out any more: its peer does not answer.
    pub async fn give_up(&self, node: NodeId, link: &Link) {
        let Ok(slot) = self.slot(node) else { return };
        let mut held = slot.link.lock().await;
        if held.as_ref().is_some_and(|held| held.is_same(link)) {
            *held = None;
        }
    }

    /// Until then this node is not dialled; an open connection stays in use.
    pub fn rest(&self, node: NodeId, during: Duration) {
        if let Ok(slot) = self.slot(node) {
            *lock(&slot.rests_until) = self.clock.mono().saturating_add(during);
        }
    }

    fn slot(&self, node: NodeId) -> Result<Arc<Slot>, LinkError> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&node) {
            return Ok(Arc::clone(slot));
        }
        let roster = self.members.now();
        if roster.by_id(node).is_none() {
            return Err(LinkError::Stranger(node));
        }
        slots.retain(|known, _| roster.by_id(*known).is_some());
        Ok(Arc::clone(slots.entry(node).or_default()))
    }

    async fn dial(&self, node: NodeId) -> Result<Link, LinkError> {
        let address = self.members.now().by_id(node).map(|peer| peer.address.clone());
        let address = address.ok_or(LinkError::Stranger(node))?.ok_or(LinkError::NoAddress(node))?;
        let mut last = None;
        for place in resolve(node, &address).await? {
            match self.endpoint.dial(place, node).await {
                Ok(link) => return Ok(link),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(LinkError::NoAddress(node)))
    }
}

async fn resolve(node: NodeId, address: &Address) -> Result<Vec<SocketAddr>, LinkError> {
    let unknown = |why: std::io::Error| LinkError::Unresolved { node, address: address.clone(), why: why.to_string() };
    Ok(lookup_host(address.as_str()).await.map_err(unknown)?.take(ADDRESSES_MAX).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Peer, Role, Roster};
    use crate::seal::{Keys, Seed};
    use std::net::Ipv4Addr;

    const ENOUGH: Duration = Duration::from_secs(20);
    const BUCK: NodeId = NodeId(1);
    const TAILER: NodeId = NodeId(2);

    fn keys(node: NodeId) -> Keys {
        Keys::from_seed(&Seed::from_bytes([u8::try_from(node.0).expect("small"); 32]))
    }

    fn roster(address: SocketAddr) -> Roster {
        let mut buck = Peer::new(Role::Buck, keys(BUCK).public(), BUCK);
        buck.address = Some(address.into());
        let tailer = Peer::new(Role::Tailer, keys(TAILER).public(), TAILER);
        Roster::parse(format!("{buck}\n{tailer}\n").as_bytes()).expect("a good roster")
    }

    #[tokio::test]
    async fn a_peer_is_dialled_once_and_again_when_it_is_gone() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let members = Arc::new(Members::new(roster(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))));
        let clock = Clock::real();
        let (buck, mut arrivals) = Endpoint::listen(any, &keys(BUCK), Arc::clone(&members), clock).expect("a socket");
        members.replace(roster(buck.local_address().expect("bound")));
        let endpoint = Arc::new(Endpoint::dialler(&keys(TAILER), Arc::clone(&members), clock).expect("a socket"));
        let links = Links::new(endpoint, Arc::clone(&members), clock);

        let (one, two) = tokio::join!(links.to(BUCK), links.to(BUCK));
        let (one, two) = (one.expect("a link"), two.expect("a link"));
        let arrived = timeout(ENOUGH, arrivals.next()).await.expect("soon").expect("a link");
        links.rest(BUCK, ENOUGH);
        assert!(links.to(BUCK).await.is_ok(), "an open connection is used while the peer rests");

        drop(arrived);
        timeout(ENOUGH, one.closed()).await.expect("soon");
        assert!(!two.is_open(), "both are one connection");
        assert!(matches!(links.to(BUCK).await, Err(LinkError::Resting(BUCK))));
        links.rest(BUCK, Duration::ZERO);
        assert!(links.to(BUCK).await.expect("a new link").is_open());
    }

    #[tokio::test]
    async fn who_can_not_be_dialled_is_named() {
        let members = Arc::new(Members::new(roster(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))));
        let clock = Clock::real();
        let endpoint = Arc::new(Endpoint::dialler(&keys(TAILER), Arc::clone(&members), clock).expect("a socket"));
        let links = Links::new(endpoint, members, clock);
        let stranger = links.ask(NodeId(9), Vec::new(), ENOUGH).await.expect_err("not in the roster");
        assert_eq!(stranger.to_string(), "node 0000000000000009 is not in the roster");
        let placeless = links.ask(TAILER, Vec::new(), ENOUGH).await.expect_err("tailers have no address");
        assert_eq!(placeless.to_string(), "node 0000000000000002 has no address in the roster");
        let slow = links.ask(BUCK, Vec::new(), Duration::ZERO).await.expect_err("nobody is there");
        assert!(matches!(slow, LinkError::NotInTime { node: BUCK, .. }), "{slow}");
    }
}
