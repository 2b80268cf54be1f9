//! Connections between nodes. This file and its folder are the only place that names quinn and rustls.
//!
//! A connection is QUIC with TLS 1.3 and raw public keys (RFC 7250) both ways: each end proves the Ed25519 key of
//! its line in the roster, and there is no other way in. Nothing is sent before both ends are known: after the
//! handshake the one that was dialled says `tailbuck/1` on a stream of its own, and only then the dialler asks.
//! Whoever leaves the roster, expires or is lost is cut off within [`GUARD_EVERY`] of the change.
//!
//! Only the dialler asks. One bidirectional stream is one exchange: a question, then one answer or many.
//!
//! ```text
//! stream, either way:  frame, frame, … end of stream
//! frame:   0  4  length, little-endian, at most FRAME_BYTES_MAX
//!          4  .  a message (see `codec`)
//! ```
//!
//! An answer is complete only if its stream ends properly: who gives up resets it. Many exchanges run side by side
//! on one connection, [`EXCHANGES_MAX`] of them; one more waits. Every buffer has a limit: a reader that does not
//! read holds up its own stream, and questions being read are counted by the byte for each peer and in all.
//!
//! A node that was killed and started again resets the connections its peers still believe in (see `reset`).
//!
//! Left to others: what messages mean, who may ask what (`roster`), when to dial again (the roles' machines).

mod endpoint;
mod frame;
mod guard;
mod link;
mod reset;
mod tls;

pub use endpoint::{Arrivals, Endpoint};
pub use link::{Answers, Asks, Exchange, Link, Replies};

use crate::ids::NodeId;
use crate::limits::FRAME_BYTES_MAX;
use crate::roster::Address;
use crate::seal::PublicKey;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The protocol's name and version: in the handshake, and as the greeting.
const PROTOCOL: &[u8] = b"tailbuck/1";

/// Exchanges one connection has open at a time.
pub const EXCHANGES_MAX: u32 = 256;

/// From first datagram to greeting.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How often connections are held against roster and calendar, beside each time the roster changes.
pub const GUARD_EVERY: Duration = Duration::from_secs(1);

/// Silence after which a connection is dead; kept alive by the dialler six times within it.
const IDLE_MAX: Duration = Duration::from_secs(30);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);

/// The round trip that is assumed before one was measured: a first datagram that is lost, or comes before the peer
/// is up, is sent again after three of these.
const ROUND_TRIP_GUESS: Duration = Duration::from_millis(100);

/// A reader that takes nothing for this long is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What one connection may have sent that nobody has read yet; quinn's default is no limit.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// The same for one stream: a quarter, so that four slow readers are needed to hold up the rest.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// Questions held in memory, read or being read: of one peer, and of all.
const PEER_ASK_BYTES_MAX: usize = 16 << 20;
const ALL_ASK_BYTES_MAX: usize = 256 << 20;

/// Connections that came in and wait for their handshake to be begun; quinn's default is 65,536.
const INCOMING_MAX: usize = 1024;
/// Handshakes at a time, and how many of them may be with addresses that have not answered yet. Above that a
/// dialler must first send back a token, which a forged address can't.
const HANDSHAKES_MAX: usize = 256;
const UNPROVEN_HANDSHAKES_MAX: usize = 32;

/// Connections of one node; the oldest gives way. A node that starts anew leaves its old one until it is idle.
const CONNECTIONS_PER_NODE_MAX: usize = 4;

/// The kernel's buffers for a socket; asked for, not insisted on.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

const _: () = assert!(FRAME_BYTES_MAX <= PEER_ASK_BYTES_MAX, "a peer's largest question can be held");
const _: () = assert!(PEER_ASK_BYTES_MAX <= ALL_ASK_BYTES_MAX, "one peer's questions can be held");

/// Why a connection was closed, as a number on the wire.
#[derive(Clone, Copy)]
enum Farewell {
    Done = 0,
    Refused = 1,
    Stopping = 2,
    Replaced = 3,
    /// Of one stream: the answer will not be completed.
    GivenUp = 4,
}

impl Farewell {
    fn code(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self as u32)
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub node: NodeId,
    pub key: PublicKey,
    pub address: SocketAddr,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {} ({})", self.node, self.address, self.key.short())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("can't open a socket on {address}: {source}")]
    Socket { address: SocketAddr, source: io::Error },
    #[error("node {0} is not in the roster")]
    Stranger(NodeId),
    #[error("node {0} has no address in the roster")]
    NoAddress(NodeId),
    #[error("node {node}: its address {address} can't be found: {why}")]
    Unresolved { node: NodeId, address: Address, why: String },
    #[error("node {0} failed and is let rest")]
    Resting(NodeId),
    #[error("node {node} could not be reached within {within:?}")]
    NotInTime { node: NodeId, within: Duration },
    #[error("no connection to {party}: {why}")]
    Dial { party: Box<Party>, why: String },
    #[error("connection to {party} is gone: {why}")]
    Lost { party: Box<Party>, why: String },
    #[error("{party} gave no answer within {within:?}")]
    Late { party: Box<Party>, within: Duration },
    #[error("a frame of {bytes} bytes to or from {party} is over the limit of {FRAME_BYTES_MAX}")]
    Large { party: Box<Party>, bytes: usize },
    #[error("{party} gave up an exchange")]
    GivenUp { party: Box<Party> },
    #[error("{party} did not keep to question and answer")]
    Disorder { party: Box<Party> },
}

/// How quinn is to carry us. MTU discovery is left as it is: forcing it up made throughput collapse.
fn transport(dialler: bool) -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    let (asks, greetings) = if dialler { (0, 1) } else { (EXCHANGES_MAX, 0) };
    config
        .max_concurrent_bidi_streams(asks.into())
        .max_concurrent_uni_streams(quinn::VarInt::from_u32(greetings))
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        .max_idle_timeout(Some(quinn::IdleTimeout::try_from(IDLE_MAX).expect("30 s fit a variable-length integer")))
        .initial_rtt(ROUND_TRIP_GUESS)
        .keep_alive_interval(dialler.then_some(KEEP_ALIVE_EVERY))
        .datagram_receive_buffer_size(None);
    Arc::new(config)
}

#[cfg(test)]
mod tests;
