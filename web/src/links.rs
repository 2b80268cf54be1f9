//! The cluster behind real connections: one to each node, one exchange a question.
//!
//! A node that is gone must not hold up every search. While an answer is awaited and nothing comes, the node is
//! knocked at: whoever lives sends something back for whatever is sent, however busy it is. One that does not is
//! given up, and from then on nobody waits for it for longer than a moment, while it is dialled again.

use crate::merge::Away;
use crate::nodes::{Answers, Nodes};
use futures_util::stream::{StreamExt, try_unfold};
use proto::codec::{decode_answer, encode_ask};
use proto::ids::NodeId;
use proto::io::clock::Clock;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic::{self, Link, LinkError};
use proto::message::Ask;
use proto::roster::Roster;
use proto::time::Now;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// For dialling a node and handing it the question.
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// The same for a node that did not answer the last time; the dialling goes on when the asker is gone.
const GONE_ASK_WITHIN: Duration = Duration::from_millis(300);

/// A node that could not be reached is not dialled again for this long; whoever asks meanwhile hears so at once.
const REST: Duration = Duration::from_secs(2);

/// So long nothing may come before the node is knocked at, and so long it has then to give a sign of life.
const QUIET: Duration = Duration::from_millis(700);

#[derive(Debug)]
pub struct Cluster {
    own: NodeId,
    dialler: Arc<Dialler>,
    members: Arc<Members>,
    clock: Clock,
}

/// The connections, and who is known to be gone.
#[derive(Debug)]
struct Dialler {
    links: Arc<Links>,
    gone: Mutex<BTreeSet<NodeId>>,
}

impl Cluster {
    #[must_use]
    pub fn new(own: NodeId, links: Arc<Links>, members: Arc<Members>, clock: Clock) -> Self {
        let dialler = Arc::new(Dialler { links, gone: Mutex::default() });
        Self { own, dialler, members, clock }
    }
}

enum Exchange {
    New(Arc<Dialler>, NodeId, Ask),
    Open(Arc<Dialler>, Link, quic::Answers),
}

impl Nodes for Cluster {
    fn own(&self) -> NodeId {
        self.own
    }

    fn roster(&self) -> Arc<Roster> {
        self.members.now()
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn ask(&self, node: NodeId, ask: Ask) -> Answers {
        try_unfold(Exchange::New(Arc::clone(&self.dialler), node, ask), next).boxed()
    }
}

async fn next(exchange: Exchange) -> Result<Option<(proto::message::Answer, Exchange)>, Away> {
    let (dialler, link, mut answers) = match exchange {
        Exchange::New(dialler, node, ask) => {
            let (link, answers) = open(&dialler, node, &ask).await?;
            (dialler, link, answers)
        }
        Exchange::Open(dialler, link, answers) => (dialler, link, answers),
    };
    let node = link.party().node;
    let Some(bytes) = dialler.hear(&link, &mut answers).await? else { return Ok(None) };
    let answer = decode_answer(&bytes).map_err(|error| {
        debug!(%node, %error, "an answer can't be read");
        Away::Nonsense("a message that can't be read")
    })?;
    Ok(Some((answer, Exchange::Open(dialler, link, answers))))
}

async fn open(dialler: &Arc<Dialler>, node: NodeId, ask: &Ask) -> Result<(Link, quic::Answers), Away> {
    let question = encode_ask(ask).map_err(|error| Away::Refused(error.to_string()))?;
    let link = dialler.to(node).await?;
    let answers = link.ask_for_many(question, ASK_WITHIN).await.map_err(|error| unreachable(node, &error))?;
    Ok((link, answers))
}

impl Dialler {
    /// The connection to this node. Dialling goes on when nobody waits for it any more.
    async fn to(self: &Arc<Self>, node: NodeId) -> Result<Link, Away> {
        let within = if self.gone().contains(&node) { GONE_ASK_WITHIN } else { ASK_WITHIN };
        let dialler = Arc::clone(self);
        let dialling = tokio::spawn(async move {
            let dialled = dialler.links.to(node).await;
            dialler.note(node, dialled.as_ref().err());
            dialled
        });
        match timeout(within, dialling).await {
            Ok(Ok(dialled)) => dialled.map_err(|error| unreachable(node, &error)),
            Ok(Err(_)) => Err(Away::Unreachable("the dialling ended early".into())),
            Err(_) => {
                self.gone().insert(node);
                Err(Away::Unreachable("no connection in time".into()))
            }
        }
    }

    fn note(&self, node: NodeId, failed: Option<&LinkError>) {
        match failed {
            None => drop(self.gone().remove(&node)),
            Some(LinkError::Resting(_)) => {}
            Some(_) => {
                self.gone().insert(node);
                self.links.rest(node, REST);
            }
        }
    }

    /// The next answer, as long as the node lives.
    async fn hear(&self, link: &Link, answers: &mut quic::Answers) -> Result<Option<Vec<u8>>, Away> {
        let node = link.party().node;
        loop {
            let before = link.heard();
            let answer = tokio::select! {
                biased;
                answer = answers.next() => answer,
                () = sleep(QUIET) => {
                    if link.heard() != before || knock(link).await {
                        continue;
                    }
                    self.gone().insert(node);
                    self.links.give_up(node, link).await;
                    return Err(Away::Unreachable("it gives no sign of life".into()));
                }
            };
            return answer.map_err(|error| unreachable(node, &error));
        }
    }

    fn gone(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether anything comes back. The question is the cheapest there is; a datagram that says it arrived will do.
async fn knock(link: &Link) -> bool {
    let before = link.heard();
    let Ok(question) = encode_ask(&Ask::Status) else { return true };
    let _ = link.ask(question, QUIET).await;
    link.heard() != before
}

fn unreachable(node: NodeId, error: &LinkError) -> Away {
    debug!(%node, %error, "a node can't be asked");
    Away::Unreachable(error.to_string())
}
