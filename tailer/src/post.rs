//! Carries the machine's questions to bucks and porters, and their answers back.
//!
//! Each record is sealed for the one buck it goes to, and for the key that buck has proven: of two in the roster, while
//! one replaces the other, a buck has one. A question that gets no answer comes back as that; whether
//! and whom to ask again is the machine's to say.

use crate::flight::Exchange;
use proto::codec::{decode_answer, encode_ask};
use proto::ids::NodeId;
use proto::io::clock::{NoRandomness, generator};
use proto::io::keys::NodeKeys;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::LinkError;
use proto::message::{Answer, Ask};
use proto::seal::{BOX_OVERHEAD_BYTES, PeerBox, PublicKey};
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long an answer is waited for. The machine hedges long before.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A peer that could not be dialled is not dialled again for so long; the machine sets it aside for longer.
const REST: Duration = Duration::from_millis(200);

/// One question on its way out.
#[derive(Clone, Debug)]
pub enum Letter {
    Record(Arc<[u8]>),
    Ask(Ask),
}

#[derive(Debug)]
pub struct Post {
    me: Arc<NodeKeys>,
    links: Arc<Links>,
    members: Arc<Members>,
    sealing: Mutex<Sealing>,
}

/// The keys shared with each peer, which are dear to make, and where nonces come from.
#[derive(Debug)]
struct Sealing {
    boxes: BTreeMap<NodeId, (PublicKey, Arc<PeerBox>)>,
    rng: StdRng,
}

impl Post {
    pub fn new(me: Arc<NodeKeys>, links: Arc<Links>, members: Arc<Members>) -> Result<Self, NoRandomness> {
        let sealing = Mutex::new(Sealing { boxes: BTreeMap::new(), rng: generator()? });
        Ok(Self { me, links, members, sealing })
    }

    /// What people know a node by.
    pub fn address_of(&self, node: NodeId) -> String {
        let address = self.members.now().by_id(node).and_then(|peer| peer.address.clone());
        address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    /// Asks, and waits for the answer; `None` when none will come.
    pub async fn send(&self, exchange: Exchange, peer: NodeId, letter: Letter) -> Option<Answer> {
        let answered = tokio::time::timeout(ANSWER_WAIT, self.exchange(peer, letter)).await;
        match answered.unwrap_or(Err(LinkError::NotInTime { node: peer, within: ANSWER_WAIT })) {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                let answer = decode_answer(&bytes);
                answer.inspect_err(|error| tracing::warn!(%peer, %error, "an answer can't be read")).ok()
            }
            Err(error) => {
                tracing::debug!(%peer, exchange = exchange.0, %error, "no answer");
                self.links.rest(peer, REST);
                None
            }
        }
    }

    async fn exchange(&self, peer: NodeId, letter: Letter) -> Result<Option<Vec<u8>>, LinkError> {
        let link = self.links.to(peer).await?;
        let Some(question) = self.question(peer, &link.party().key, letter) else { return Ok(None) };
        link.ask(question, ANSWER_WAIT).await.map(Some)
    }

    fn question(&self, peer: NodeId, key: &PublicKey, letter: Letter) -> Option<Vec<u8>> {
        let ask = match letter {
            Letter::Record(record) => Ask::Put { boxed: self.seal(peer, key, &record) },
            Letter::Ask(ask) => ask,
        };
        encode_ask(&ask).inspect_err(|error| tracing::error!(%peer, %error, "a question can't be written")).ok()
    }

    fn seal(&self, peer: NodeId, key: &PublicKey, record: &[u8]) -> Vec<u8> {
        let mut sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sealing.boxes.get(&peer).filter(|(of, _)| of == key).map(|(_, made)| Arc::clone(made));
        let made = known.unwrap_or_else(|| {
            let made = Arc::new(PeerBox::new(self.me.id, &self.me.keys, peer, key));
            sealing.boxes.insert(peer, (*key, Arc::clone(&made)));
            made
        });
        let mut boxed = Vec::with_capacity(record.len() + BOX_OVERHEAD_BYTES);
        made.seal_into(&mut sealing.rng, record, &mut boxed);
        boxed
    }
}
