//! The network: lets peers in, opens boxes, hands questions to the loop and sends what comes back.
//!
//! Who may ask what is the machine's to say, by the roster. Here a box is opened with the key of the connection
//! it came on, so that nobody can put what another has sealed.

use crate::follow::{Follower, Told as FollowTold};
use crate::place::ExchangeId;
use bytes::Bytes;
use proto::codec::{decode_ask, encode_answer};
use proto::ids::NodeId;
use proto::io::clock::Clock;
use proto::io::keys::NodeKeys;
use proto::io::quic::{Arrivals, Exchange, Link, LinkError, Replies};
use proto::message::{Answer, Ask, PutAnswer, PutOutcome, Refusal};
use proto::seal::PeerBox;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, info};

/// Answers of one exchange on their way from whoever makes them to the socket.
const OUT_MAX: usize = 4;

/// What the loop is told of the network.
pub enum Told {
    Put {
        exchange: ExchangeId,
        peer: NodeId,
        record: Bytes,
        out: mpsc::Sender<Answer>,
    },
    Ask {
        exchange: ExchangeId,
        peer: NodeId,
        ask: Ask,
        out: mpsc::Sender<Answer>,
    },
    /// Nobody waits for more answers.
    Gone {
        exchange: ExchangeId,
    },
}

/// What every connection needs.
#[derive(Clone)]
pub struct Server {
    pub me: Arc<NodeKeys>,
    pub clock: Clock,
    pub told: mpsc::Sender<Told>,
    pub follower: Follower,
    pub next_exchange: Arc<AtomicU64>,
}

/// Lets peers in until the endpoint stops; ends with every exchange it began.
pub async fn serve(server: Server, mut arrivals: Arrivals) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = links.join_next(), if !links.is_empty() => {}
            link = arrivals.next() => match link {
                Some(link) => drop(links.spawn(serve_link(server.clone(), link))),
                None => return,
            }
        }
    }
}

async fn serve_link(server: Server, link: Link) {
    let party = link.party();
    info!(%party, "connected");
    let peer_box = Arc::new(PeerBox::new(server.me.id, &server.me.keys, party.node, &party.key));
    let mut asks = link.asks();
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = exchanges.join_next(), if !exchanges.is_empty() => {}
            exchange = asks.next() => match exchange {
                Some(exchange) => drop(exchanges.spawn(answer(server.clone(), Arc::clone(&peer_box), exchange))),
                None => break,
            }
        }
    }
    // Each hears by itself that its asker is gone, and says so: cut short, what it follows would be followed for nobody.
    while exchanges.join_next().await.is_some() {}
    info!(%party, "disconnected");
}

async fn answer(server: Server, peer_box: Arc<PeerBox>, mut exchange: Exchange) {
    let party = exchange.party();
    let question = std::mem::take(&mut exchange.question);
    let (out, answers) = mpsc::channel(OUT_MAX);
    let id = ExchangeId(server.next_exchange.fetch_add(1, Ordering::Relaxed));
    let told = match decode_ask(&question) {
        Ok(Ask::Put { boxed }) => match open(&peer_box, &boxed) {
            Ok(record) => Told::Put { exchange: id, peer: party.node, record, out },
            Err(why) => return refuse_put(&server, exchange, why).await,
        },
        Ok(ask) => Told::Ask { exchange: id, peer: party.node, ask, out },
        Err(error) => {
            debug!(%party, %error, "a question makes no sense");
            return reply(exchange, &Answer::Refused(Refusal::Nonsense(error.to_string()))).await;
        }
    };
    if server.told.send(told).await.is_ok() {
        send_answers(&server, id, exchange, answers).await;
    }
}

fn open(peer_box: &PeerBox, boxed: &[u8]) -> Result<Bytes, String> {
    let mut record = Vec::new();
    peer_box.open_into(boxed, &mut record).map_err(|error| error.to_string())?;
    Ok(record.into())
}

/// A box is closed to us when it was sealed for a key we had: whoever sent it learns our new one from its roster.
async fn refuse_put(server: &Server, exchange: Exchange, why: String) {
    let answer = PutAnswer { outcome: PutOutcome::NotAllowed(why), clock: server.clock.wall() };
    reply(exchange, &Answer::Put(answer)).await;
}

async fn reply(exchange: Exchange, answer: &Answer) {
    let Some(bytes) = encoded(answer) else { return };
    if let Err(error) = exchange.reply(bytes).await {
        debug!(%error, "an answer could not be sent");
    }
}

/// What can't be written ends the exchange, and is a mistake of this program's.
fn encoded(answer: &Answer) -> Option<Vec<u8>> {
    encode_answer(answer).inspect_err(|error| error!(%error, "an answer can't be written")).ok()
}

/// Everything that comes for this exchange. An answer that was not sent whole is reset by dropping it.
async fn send_answers(server: &Server, id: ExchangeId, exchange: Exchange, mut answers: mpsc::Receiver<Answer>) {
    let mut replies = exchange.replies();
    match send_all(server, &mut replies, &mut answers).await {
        Ok(true) => {
            if let Err(error) = replies.finish().await {
                debug!(%error, "an answer's end was not heard");
            }
            return;
        }
        Ok(false) => {}
        Err(error) => debug!(%error, "an answer could not be sent"),
    }
    // The loop may be gone already; then nobody needs to know.
    let _ = server.told.send(Told::Gone { exchange: id }).await;
}

/// True when all was sent and said.
async fn send_all(
    server: &Server,
    replies: &mut Replies,
    answers: &mut mpsc::Receiver<Answer>,
) -> Result<bool, LinkError> {
    let mut ended = false;
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.recv() => answer,
            () = replies.cancelled() => return Ok(false),
        };
        let Some(answer) = answer else { return Ok(ended) };
        ended = is_last(&answer);
        let Some(bytes) = encoded(&answer) else { return Ok(false) };
        replies.send(bytes).await?;
        if !ended {
            server.follower.tell(FollowTold::Room);
        }
    }
}

/// Whether nothing follows: any answer but a part, and the last part.
fn is_last(answer: &Answer) -> bool {
    match answer {
        Answer::Part(part) => matches!(part, proto::message::Part::End(_)),
        _ => true,
    }
}
