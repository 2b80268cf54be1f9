//! A connection to one peer: asking on one side, answering on the other.

use super::frame::{FrameError, Frames, write};
use super::{ALL_ASK_BYTES_MAX, Farewell, LinkError, PEER_ASK_BYTES_MAX, Party, STALL_MAX};
use crate::ids::NodeId;
use crate::io::members::Members;
use crate::roster::{Peer, Roster};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

/// Bytes of questions held in memory: of this peer, and of all.
pub(super) struct Budget {
    peer: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

type Permits = [OwnedSemaphorePermit; 2];

/// Where budgets come from: connections of one node share its own.
#[derive(Debug)]
pub(super) struct Budgets {
    peers: Mutex<BTreeMap<NodeId, Weak<Semaphore>>>,
    all: Arc<Semaphore>,
}

impl Budgets {
    pub(super) fn new() -> Self {
        Self { peers: Mutex::default(), all: Arc::new(Semaphore::new(ALL_ASK_BYTES_MAX)) }
    }

    pub(super) fn of(&self, node: NodeId) -> Budget {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, peer| peer.strong_count() > 0);
        let known = peers.get(&node).and_then(Weak::upgrade);
        let peer = known.unwrap_or_else(|| Arc::new(Semaphore::new(PEER_ASK_BYTES_MAX)));
        peers.insert(node, Arc::downgrade(&peer));
        Budget { peer, all: Arc::clone(&self.all) }
    }
}

impl Budget {
    /// The peer's own first, so that one that waits for itself takes nothing from the rest.
    async fn take(&self, bytes: usize) -> Permits {
        let bytes = u32::try_from(bytes).expect("a frame's limit fits");
        let mine = Arc::clone(&self.peer).acquire_many_owned(bytes).await;
        let ours = Arc::clone(&self.all).acquire_many_owned(bytes).await;
        [mine.expect("never closed"), ours.expect("never closed")]
    }
}

/// A connection to a peer that is known. Clones are the same connection; it is closed with the last.
#[derive(Clone)]
pub struct Link(Arc<Held>);

struct Held {
    connection: Connection,
    party: Party,
    members: Arc<Members>,
    budget: Budget,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.close(Farewell::Done.code(), b"done");
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.0.party)
    }
}

impl Link {
    pub(super) fn new(connection: Connection, party: Party, members: Arc<Members>, budget: Budget) -> Self {
        Self(Arc::new(Held { connection, party, members, budget }))
    }

    #[must_use]
    pub fn party(&self) -> Party {
        self.0.party
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.connection.close_reason().is_none()
    }

    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns when the connection is gone, with why.
    pub async fn closed(&self) -> String {
        self.0.connection.closed().await.to_string()
    }

    /// The time a datagram takes there and back.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.0.connection.rtt()
    }

    /// Datagrams that came from the peer so far: while it lives, something comes back for whatever is sent.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.0.connection.stats().udp_rx.datagrams
    }

    /// One question, one answer. Any number may be asked at once; beyond the cap they wait their turn.
    pub async fn ask(&self, question: Vec<u8>, within: Duration) -> Result<Vec<u8>, LinkError> {
        let party = self.party();
        let one = async {
            let mut answers = self.open(question).await?;
            let answer = answers.next().await?.ok_or(LinkError::Disorder { party: party.into() })?;
            if answers.next().await?.is_none() { Ok(answer) } else { Err(LinkError::Disorder { party: party.into() }) }
        };
        timeout(within, one).await.unwrap_or_else(|_| Err(LinkError::Late { party: party.into(), within }))
    }

    /// One question, many answers. `within` is for asking alone; how long to wait for each answer is the caller's
    /// to say. Dropping the answers tells the peer to stop.
    pub async fn ask_for_many(&self, question: Vec<u8>, within: Duration) -> Result<Answers, LinkError> {
        let late = |_| LinkError::Late { party: self.party().into(), within };
        timeout(within, self.open(question)).await.map_err(late)?
    }

    async fn open(&self, question: Vec<u8>) -> Result<Answers, LinkError> {
        let party = self.party();
        let lost = |why: quinn::ConnectionError| LinkError::Lost { party: party.into(), why: why.to_string() };
        let (mut send, receive) = self.0.connection.open_bi().await.map_err(lost)?;
        write(&mut send, question).await.map_err(|error| error.with(party))?;
        // Fails only when the peer has already stopped reading; then the answer says so.
        let _ = send.finish();
        Ok(Answers { link: self.clone(), frames: Frames::new(receive) })
    }

    /// The questions this peer asks.
    #[must_use]
    pub fn asks(&self) -> Asks {
        Asks { link: self.clone(), reading: JoinSet::new() }
    }
}

/// What comes back for one question. Holds the connection open.
#[derive(Debug)]
pub struct Answers {
    link: Link,
    frames: Frames,
}

impl Answers {
    /// The next answer; `None` when the peer has said all. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        self.frames.next().await.map_err(|error| error.with(self.link.party()))
    }
}

/// One peer's questions, in the order they were read whole.
#[derive(Debug)]
pub struct Asks {
    link: Link,
    /// As many as there may be streams.
    reading: JoinSet<Option<Exchange>>,
}

impl Asks {
    /// `None` when the connection is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Exchange> {
        loop {
            tokio::select! {
                biased;
                Some(read) = self.reading.join_next(), if !self.reading.is_empty() => {
                    if let Ok(Some(exchange)) = read {
                        return Some(exchange);
                    }
                }
                stream = self.link.0.connection.accept_bi() => {
                    let (send, receive) = stream.ok()?;
                    self.reading.spawn(read_ask(self.link.clone(), send, receive));
                }
            }
        }
    }
}

/// A question that can't be read is dropped, and its stream with it; the peer is told by a reset.
async fn read_ask(link: Link, send: SendStream, receive: RecvStream) -> Option<Exchange> {
    let replies = Replies { link: link.clone(), send, mid_frame: false, finished: false };
    let mut frames = Frames::new(receive);
    let whole = timeout(STALL_MAX, async {
        let length = frames.length().await?.ok_or(FrameError::GivenUp)?;
        let permits = link.0.budget.take(length).await;
        let question = frames.next().await?.ok_or(FrameError::GivenUp)?;
        Ok::<_, FrameError>((question, permits))
    });
    match whole.await {
        Ok(Ok((question, permits))) => {
            Some(Exchange { roster: link.0.members.now(), question, replies, _permits: permits })
        }
        Ok(Err(FrameError::Large(bytes))) => {
            warn!(party = %link.party(), bytes, "a question over the limit is refused");
            None
        }
        Ok(Err(_)) => None,
        Err(_) => {
            debug!(party = %link.party(), "a question took too long to come");
            None
        }
    }
}

/// A question that was read, and the way to answer it. Dropped, it tells the asker that no answer will come.
#[derive(Debug)]
pub struct Exchange {
    pub question: Vec<u8>,
    /// As it was when the question came.
    pub roster: Arc<Roster>,
    replies: Replies,
    _permits: Permits,
}

impl Exchange {
    #[must_use]
    pub fn party(&self) -> Party {
        self.replies.link.party()
    }

    /// The asker's line, unless it left the roster meanwhile.
    #[must_use]
    pub fn peer(&self) -> Option<&Peer> {
        self.roster.by_ed25519(&self.party().key.ed25519)
    }

    /// The one answer. Returns when it is on its way, not when it has arrived.
    pub async fn reply(self, answer: Vec<u8>) -> Result<(), LinkError> {
        let mut replies = self.replies;
        replies.send(answer).await?;
        replies.end()
    }

    /// For many answers. The question's share of memory is given back.
    #[must_use]
    pub fn replies(self) -> Replies {
        self.replies
    }
}

/// Many answers to one question. Dropped before [`Self::finish`], it tells the asker that they are not all.
#[derive(Debug)]
pub struct Replies {
    link: Link,
    send: SendStream,
    mid_frame: bool,
    finished: bool,
}

impl Replies {
    /// Waits while the asker does not read; gives up when it takes nothing for [`STALL_MAX`]. After an error, or
    /// when this was not awaited to its end, nothing more can be sent.
    pub async fn send(&mut self, answer: Vec<u8>) -> Result<(), LinkError> {
        let party = self.link.party();
        if std::mem::replace(&mut self.mid_frame, true) {
            return Err(LinkError::GivenUp { party: party.into() });
        }
        let stalled = |_| LinkError::Late { party: party.into(), within: STALL_MAX };
        let sent = timeout(STALL_MAX, write(&mut self.send, answer)).await.map_err(stalled)?;
        sent.map_err(|error| error.with(party))?;
        self.mid_frame = false;
        Ok(())
    }

    /// Says that this was all, and waits until the asker's machine has it.
    pub async fn finish(mut self) -> Result<(), LinkError> {
        let party = self.link.party();
        self.end()?;
        match timeout(STALL_MAX, self.send.stopped()).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(_))) => Err(LinkError::GivenUp { party: party.into() }),
            Ok(Err(why)) => Err(LinkError::Lost { party: party.into(), why: why.to_string() }),
            Err(_) => Err(LinkError::Late { party: party.into(), within: STALL_MAX }),
        }
    }

    /// Returns when the asker wants no more, or is gone.
    pub async fn cancelled(&self) {
        // Whatever the reason: there is nobody to send to.
        let _ = self.send.stopped().await;
    }

    #[must_use]
    pub fn party(&self) -> Party {
        self.link.party()
    }

    fn end(&mut self) -> Result<(), LinkError> {
        self.finished = true;
        self.send.finish().map_err(|_| LinkError::GivenUp { party: self.link.party().into() })
    }
}

impl Drop for Replies {
    /// quinn would end the stream properly, and half an answer would pass for a whole one.
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when the stream is closed already.
            let _ = self.send.reset(Farewell::GivenUp.code());
        }
    }
}

#[cfg(test)]
impl Link {
    /// Bytes as they are, on a stream that stays open.
    pub(super) async fn begin_raw(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, receive) = self.0.connection.open_bi().await.expect("a stream");
        send.write_all(bytes).await.expect("room for a few bytes");
        (send, receive)
    }

    pub(super) async fn ask_raw(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, LinkError> {
        let (send, receive) = self.begin_raw(bytes).await;
        drop(send);
        Frames::new(receive).next().await.map_err(|error| error.with(self.party()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_node_share_what_it_may_have() {
        let budgets = Budgets::new();
        let (one, same, other) = (budgets.of(NodeId(1)), budgets.of(NodeId(1)), budgets.of(NodeId(2)));
        assert!(Arc::ptr_eq(&one.peer, &same.peer) && !Arc::ptr_eq(&one.peer, &other.peer));
        drop((one, same));
        budgets.of(NodeId(3));
        assert_eq!(budgets.peers.lock().expect("not poisoned").len(), 2, "who is gone is forgotten");
    }
}
