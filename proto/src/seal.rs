//! What a node is known by, and how what it sends is signed and sealed.
//!
//! A node has one 32-byte seed. Two keys come from it:
//!
//! ```text
//! Ed25519 private key   the seed itself: signs packets, and proves who is at the end of a connection
//! X25519 private key    SHA-256 of "tailbuck x25519 1", NUL, seed: opens and closes boxes
//! ```
//!
//! A signature is Ed25519 over the 32-byte [`hash256`] of a domain's name and the content. What TLS signs with the
//! same key is longer and begins with 64 spaces, so neither is ever taken for the other.
//!
//! A box is what a packet travels in, from one node to one other, whatever carries it:
//!
//! ```text
//!  0 24  nonce, drawn at random
//! 24 16  Poly1305 over the rest
//! 40  .  XSalsa20 of
//!         0  4  "TBX1"
//!         4  8  sender's node id, little-endian
//!        12  8  receiver's node id
//!        20  .  content
//! ```
//!
//! It is a NaCl box, as libsodium makes with `crypto_box_easy` (nonce in front). Both ends of a pair of keys share
//! one secret, so without the two ids a box could be sent back to whoever made it. A box may come twice: what is in
//! it is named, and copies collapse.
//!
//! Pure: nonces come from a generator that is handed in. This is the only file that names the crates that
//! encrypt and sign; `hash` is the only one that names the one that hashes. Who may do what is for `roster`.

mod hash;
mod key_text;
mod public;

pub use hash::{Domain, FileBirth, Hash, hash128, hash256, stream_id};
pub use key_text::{KEY_TEXT_BYTES_MAX, key_text, parse_key_text};
pub use public::{NotAKey, PublicKey};

use crate::ids::NodeId;
use crypto_box::SalsaBox;
use crypto_box::aead::AeadInPlace;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const BOX_MAGIC: [u8; 4] = *b"TBX1";
const INNER_BYTES: usize = 20;

/// How much longer a box is than what is in it.
pub const BOX_OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES + INNER_BYTES;

pub const SIGNATURE_BYTES: usize = 64;

/// All a node has to keep secret. Wiped from memory when dropped, never shown.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    #[must_use]
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Self::from_bytes([0; 32]);
        rng.fill_bytes(&mut *seed.0);
        seed
    }

    /// For the one who writes it down.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A node's own keys.
pub struct Keys {
    signing: SigningKey,
    boxing: crypto_box::SecretKey,
    public: PublicKey,
}

impl Keys {
    #[must_use]
    pub fn from_seed(seed: &Seed) -> Self {
        let signing = SigningKey::from_bytes(&seed.0);
        let boxing = crypto_box::SecretKey::from_bytes(hash256(Domain::X25519, seed.bytes()));
        let public = PublicKey { ed25519: signing.verifying_key().to_bytes(), x25519: boxing.public_key().to_bytes() };
        Self { signing, boxing, public }
    }

    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    #[must_use]
    pub fn sign(&self, domain: Domain, content: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.signing.sign(&hash256(domain, content)).to_bytes()
    }

    /// What TLS proves its end of a connection with.
    #[cfg(feature = "io")]
    pub(crate) fn ed25519_private(&self) -> &[u8; 32] {
        self.signing.as_bytes()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?}, ***)", self.public)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("a signature is not by {0:?}")]
    Signature(PublicKey),
    #[error("a box is shorter than an empty one")]
    Short,
    #[error("a box can't be opened: it is damaged, or was not made by node {from} for this one")]
    Closed { from: NodeId },
    #[error("a box holds something this version does not know")]
    Foreign,
    #[error("a box is from node {from} for node {to}, not from {peer} for {me}")]
    Addressed { from: NodeId, to: NodeId, peer: NodeId, me: NodeId },
}

/// Whether `signature` is `signer`'s over this content and domain. Only the canonical signature is.
pub fn verify(
    signer: &PublicKey,
    domain: Domain,
    content: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), SealError> {
    let refuse = |_| SealError::Signature(*signer);
    let key = VerifyingKey::from_bytes(&signer.ed25519).map_err(refuse)?;
    key.verify_strict(&hash256(domain, content), &ed25519_dalek::Signature::from_bytes(signature)).map_err(refuse)
}

/// A point of the curve, and not one of the few under which anything verifies.
fn is_strong(ed25519: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(ed25519).is_ok_and(|key| !key.is_weak())
}

/// What seals for one peer and opens what it sealed. Making one costs as much as sealing 20 KiB: keep it.
pub struct PeerBox {
    shared: SalsaBox,
    me: NodeId,
    peer: NodeId,
}

impl PeerBox {
    #[must_use]
    pub fn new(me: NodeId, keys: &Keys, peer: NodeId, peer_key: &PublicKey) -> Self {
        let shared = SalsaBox::new(&crypto_box::PublicKey::from_bytes(peer_key.x25519), &keys.boxing);
        Self { shared, me, peer }
    }

    /// Appends a box around `content` to `out`.
    ///
    /// The generator must be one whose numbers never come again: two boxes with one nonce betray each other.
    pub fn seal_into(&self, rng: &mut impl CryptoRng, content: &[u8], out: &mut Vec<u8>) {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        out.reserve(BOX_OVERHEAD_BYTES + content.len());
        out.extend_from_slice(&nonce);
        let tag_at = out.len();
        out.extend_from_slice(&[0; TAG_BYTES]);
        out.extend_from_slice(&BOX_MAGIC);
        out.extend_from_slice(&self.me.0.to_le_bytes());
        out.extend_from_slice(&self.peer.0.to_le_bytes());
        out.extend_from_slice(content);
        let (before, inner) = out.split_at_mut(tag_at + TAG_BYTES);
        before[tag_at..].copy_from_slice(&encrypt(&self.shared, &nonce, inner));
    }

    /// Appends what is in the box to `out`. Refuses a box from another or for another; then `out` is as it was.
    pub fn open_into(&self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Short)?;
        let (tag, closed) = rest.split_first_chunk::<TAG_BYTES>().ok_or(SealError::Short)?;
        let from = out.len();
        out.extend_from_slice(closed);
        let opened = decrypt(&self.shared, nonce, tag, &mut out[from..])
            .map_err(|()| SealError::Closed { from: self.peer })
            .and_then(|()| self.check_inner(&out[from..]));
        match opened {
            Ok(()) => drop(out.drain(from..from + INNER_BYTES)),
            Err(_) => out.truncate(from),
        }
        opened
    }

    fn check_inner(&self, opened: &[u8]) -> Result<(), SealError> {
        let (magic, rest) = opened.split_first_chunk().ok_or(SealError::Foreign)?;
        let (from, rest) = rest.split_first_chunk().ok_or(SealError::Foreign)?;
        let to = rest.first_chunk().ok_or(SealError::Foreign)?;
        if *magic != BOX_MAGIC {
            return Err(SealError::Foreign);
        }
        let (from, to) = (NodeId(u64::from_le_bytes(*from)), NodeId(u64::from_le_bytes(*to)));
        let (peer, me) = (self.peer, self.me);
        if (from, to) == (peer, me) { Ok(()) } else { Err(SealError::Addressed { from, to, peer, me }) }
    }
}

impl fmt::Debug for PeerBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerBox({} to {}, ***)", self.me, self.peer)
    }
}

fn encrypt(shared: &SalsaBox, nonce: &[u8; NONCE_BYTES], content: &mut [u8]) -> [u8; TAG_BYTES] {
    let tag = shared.encrypt_in_place_detached(nonce.into(), &[], content);
    tag.expect("this cipher fails only when given associated data").into()
}

fn decrypt(shared: &SalsaBox, nonce: &[u8; NONCE_BYTES], tag: &[u8; TAG_BYTES], content: &mut [u8]) -> Result<(), ()> {
    shared.decrypt_in_place_detached(nonce.into(), &[], content, tag.into()).map_err(|_| ())
}

#[cfg(test)]
mod tests;
