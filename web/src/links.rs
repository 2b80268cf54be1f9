//! The cluster behind real connections: one to each node, one exchange a question.

use crate::merge::Away;
use crate::nodes::{Answers, Nodes};
use futures_util::stream::{StreamExt, try_unfold};
use proto::codec::{decode_answer, encode_ask};
use proto::ids::NodeId;
use proto::io::clock::Clock;
use proto::io::links::Links;
use proto::io::members::Members;
use proto::io::quic;
use proto::message::Ask;
use proto::roster::Roster;
use proto::time::Now;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// For dialling a node and handing it the question.
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// A node that could not be reached is not dialled again for this long; whoever asks meanwhile hears so at once.
const REST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Cluster {
    own: NodeId,
    links: Arc<Links>,
    members: Arc<Members>,
    clock: Clock,
}

impl Cluster {
    #[must_use]
    pub fn new(own: NodeId, links: Arc<Links>, members: Arc<Members>, clock: Clock) -> Self {
        Self { own, links, members, clock }
    }
}

enum Exchange {
    New(Arc<Links>, NodeId, Ask),
    Open(NodeId, quic::Answers),
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
        try_unfold(Exchange::New(Arc::clone(&self.links), node, ask), next).boxed()
    }
}

async fn next(exchange: Exchange) -> Result<Option<(proto::message::Answer, Exchange)>, Away> {
    let (node, mut answers) = match exchange {
        Exchange::New(links, node, ask) => (node, open(&links, node, &ask).await?),
        Exchange::Open(node, answers) => (node, answers),
    };
    let gone = |error: quic::LinkError| unreachable(node, &error);
    let Some(bytes) = answers.next().await.map_err(gone)? else { return Ok(None) };
    let answer = decode_answer(&bytes).map_err(|error| {
        debug!(%node, %error, "an answer can't be read");
        Away::Nonsense("a message that can't be read")
    })?;
    Ok(Some((answer, Exchange::Open(node, answers))))
}

async fn open(links: &Links, node: NodeId, ask: &Ask) -> Result<quic::Answers, Away> {
    let question = encode_ask(ask).map_err(|error| Away::Refused(error.to_string()))?;
    let link = match tokio::time::timeout(ASK_WITHIN, links.to(node)).await {
        Ok(Ok(link)) => link,
        Ok(Err(error)) => {
            if !matches!(error, quic::LinkError::Resting(_)) {
                links.rest(node, REST);
            }
            return Err(unreachable(node, &error));
        }
        Err(_) => {
            links.rest(node, REST);
            return Err(Away::Unreachable("no connection in time".into()));
        }
    };
    link.ask_for_many(question, ASK_WITHIN).await.map_err(|error| unreachable(node, &error))
}

fn unreachable(node: NodeId, error: &quic::LinkError) -> Away {
    debug!(%node, %error, "a node can't be asked");
    Away::Unreachable(error.to_string())
}
