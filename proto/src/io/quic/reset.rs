//! What lets a node that was killed, and lost all its connections, say so at once when it is back.
//!
//! A datagram of a connection that nobody remembers is answered with that connection's reset token (RFC 9000,
//! section 10.3). The peer was told the token when the connection was made, so the one who answers must be able to
//! make it again: from the connection's id and a key that comes from the node's seed and nothing else. Without
//! this a peer finds out only by silence, half a minute later.
//!
//! Ids of connections are drawn, 64 bits of them: one that came back after a restart would have a token that is
//! known already.

use crate::seal::{Domain, Hash, Keys};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use std::sync::Arc;
use std::time::Duration;

const ID_BYTES: usize = 8;

/// The configuration of an endpoint of this node.
pub(super) fn config(keys: &Keys) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey::of(keys)));
    config.cid_generator(|| Box::new(DrawnIds));
    config
}

/// A keyed hash: the key goes in before and after, so that no hash of more can be made from one of less.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn of(keys: &Keys) -> Self {
        Self(Hash::new(Domain::RESET).with(keys.ed25519_private()).finish256())
    }

    fn mac(&self, data: &[u8]) -> [u8; 32] {
        let inner = Hash::new(Domain::RESET).with(&self.0).with(data).finish256();
        Hash::new(Domain::RESET).with(&self.0).with(&inner).finish256()
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(&self.mac(data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let differs = self
            .mac(data)
            .iter()
            .zip(signature)
            .fold(signature.len() ^ 32, |sum, (mine, theirs)| sum | usize::from(mine ^ theirs));
        if differs == 0 { Ok(()) } else { Err(CryptoError) }
    }
}

struct DrawnIds;

impl ConnectionIdGenerator for DrawnIds {
    fn generate_cid(&mut self) -> ConnectionId {
        // Without randomness there is no handshake either.
        let drawn = crate::io::clock::seed().unwrap_or_default();
        ConnectionId::new(&drawn[..ID_BYTES])
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
