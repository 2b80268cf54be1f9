//! What stands on the shelf: the first porter that answers says, and answers for it from then on.
//!
//! A catalogue comes in as many parts as it takes; one that breaks off is none.

use crate::complete::Shelf;
use crate::config::Limits;
use crate::fleet;
use crate::merge::Away;
use crate::nodes::Nodes;
use futures_util::stream::StreamExt;
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, CatalogAsk, Shard, ShardVersion};
use proto::query::TimeRange;
use std::time::Duration;
use tokio::time::timeout;

/// Shards of one answer: ten years of five minutes. A question to a node names them all, and has room for a quarter;
/// of what is beyond that the answer says that it is missing.
const SHARDS_MAX: usize = 1 << 20;

/// Asks porters one after another, leaving out those that failed in this search before.
pub async fn look(
    nodes: &dyn Nodes,
    limits: &Limits,
    environments: &[Environment],
    range: TimeRange,
    failed: &[NodeId],
) -> Shelf {
    let roster = nodes.roster();
    let mut shelf = Shelf::None;
    for porter in fleet::porters(&roster) {
        if failed.contains(&porter) {
            shelf = Shelf::Away(porter, Away::Unreachable("failed in the middle of its answer".into()));
            continue;
        }
        let ask = CatalogAsk { environments: environments.to_vec(), from: range.from, to: range.to };
        match catalog(nodes, porter, ask, limits.catalog_patience).await {
            Ok(shards) => return Shelf::Catalog { porter, shards },
            Err(away) => shelf = Shelf::Away(porter, away),
        }
    }
    shelf
}

/// All parts of it; no longer than this from one to the next.
async fn catalog(nodes: &dyn Nodes, porter: NodeId, ask: CatalogAsk, within: Duration) -> Result<Vec<Shard>, Away> {
    let mut answers = nodes.ask(porter, Ask::Catalog(ask));
    let mut shards: Option<Vec<Shard>> = None;
    loop {
        match timeout(within, answers.next()).await {
            Err(_) => return Err(Away::Silent),
            Ok(None) => return shards.ok_or(Away::Nonsense("no answer at all")),
            Ok(Some(Ok(Answer::Catalog(part)))) => {
                let shards = shards.get_or_insert_default();
                shards.extend(part.shards);
                if shards.len() > SHARDS_MAX {
                    return Err(Away::Nonsense("a catalog without end"));
                }
            }
            Ok(Some(Ok(Answer::Refused(refusal)))) => return Err(Away::Refused(refusal.to_string())),
            Ok(Some(Ok(_))) => return Err(Away::Nonsense("no catalog")),
            Ok(Some(Err(away))) => return Err(away),
        }
    }
}

impl Shelf {
    #[must_use]
    pub fn snapshot(&self) -> Vec<ShardVersion> {
        match self {
            Self::Catalog { shards, .. } => shards.iter().map(|shard| shard.at.clone()).collect(),
            Self::None | Self::Away(..) => Vec::new(),
        }
    }

    #[must_use]
    pub fn porter(&self) -> Option<NodeId> {
        match self {
            Self::Catalog { porter, .. } => Some(*porter),
            Self::None | Self::Away(..) => None,
        }
    }
}
