//! The one seam to the cluster: whom there is, what time it is, and asking a node something.
//!
//! An answer is a stream of parts that is read at the reader's pace and ends when it is dropped, all the way to the
//! node. Behind it are real connections (`links`) or a cluster made up by a test.

use crate::merge::Away;
use futures_util::stream::{BoxStream, StreamExt};
use proto::ids::NodeId;
use proto::message::{Answer, Ask, Part, Refusal};
use proto::roster::Roster;
use proto::time::Now;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// What a node says, until it ends.
pub type Answers = BoxStream<'static, Result<Answer, Away>>;

pub trait Nodes: Send + Sync + 'static {
    /// The node this web is.
    fn own(&self) -> NodeId;
    fn roster(&self) -> Arc<Roster>;
    fn now(&self) -> Now;
    /// Nothing is asked before the stream is polled, and nothing goes on once it is dropped.
    fn ask(&self, node: NodeId, ask: Ask) -> Answers;
}

/// The only answer to a question that has one.
pub async fn ask_one(nodes: &dyn Nodes, node: NodeId, ask: Ask, within: Duration) -> Result<Answer, Away> {
    let mut answers = nodes.ask(node, ask);
    match tokio::time::timeout(within, answers.next()).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(Away::Nonsense("no answer at all")),
        Err(_) => Err(Away::Silent),
    }
}

/// Something came from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Part(Part),
    Refused(Refusal),
    Away(Away),
}

/// Many nodes' answers, read side by side, in turns: one that always has something to say does not talk the others
/// down.
#[derive(Default)]
pub struct Wires {
    answers: BTreeMap<NodeId, Answers>,
    /// Who spoke last; those behind it are listened to first.
    last: Option<NodeId>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.answers.keys()).finish()
    }
}

impl Wires {
    pub fn put(&mut self, node: NodeId, answers: Answers) {
        self.answers.insert(node, answers);
    }

    /// Drops whose answers are no longer wanted; that tells the nodes to stop.
    pub fn retain(&mut self, wanted: impl Fn(NodeId) -> bool) {
        self.answers.retain(|node, _| wanted(*node));
    }

    /// The next word of a node that is listened to. Never returns while there is none. Cancel-safe.
    pub async fn next(&mut self, listen: impl Fn(NodeId) -> bool) -> (NodeId, Word) {
        let last = self.last;
        let (node, item) = poll_fn(|context| {
            for is_turn in [true, false] {
                let here = |node: NodeId| (last.is_none_or(|last| node > last)) == is_turn && listen(node);
                for (node, answers) in self.answers.iter_mut().filter(|(node, _)| here(**node)) {
                    if let Poll::Ready(item) = answers.poll_next_unpin(context) {
                        return Poll::Ready((*node, item));
                    }
                }
            }
            Poll::Pending
        })
        .await;
        self.last = Some(node);
        let word = match item {
            Some(Ok(Answer::Part(part))) => Word::Part(part),
            Some(Ok(Answer::Refused(refusal))) => Word::Refused(refusal),
            Some(Ok(_)) => Word::Away(Away::Nonsense("an answer to another question")),
            Some(Err(away)) => Word::Away(away),
            None => Word::Away(Away::Unreachable("its answer broke off".into())),
        };
        if !matches!(word, Word::Part(_)) {
            self.answers.remove(&node);
        }
        (node, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{pending, repeat_with};
    use proto::message::Progress;

    #[tokio::test]
    async fn nobody_is_talked_down() {
        let busy = || repeat_with(|| Ok(Answer::Part(Part::Progress(Progress::default())))).boxed();
        let mut wires = Wires::default();
        [1, 2, 4].into_iter().for_each(|node| wires.put(NodeId(node), busy()));
        wires.put(NodeId(3), pending().boxed());
        let mut said = Vec::new();
        for _ in 0..6 {
            said.push(wires.next(|_| true).await.0.0);
        }
        assert_eq!(said, [1, 2, 4, 1, 2, 4]);
        assert_eq!(wires.next(|node| node == NodeId(4)).await.0, NodeId(4), "only who is listened to");
    }
}
