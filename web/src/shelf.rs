//! What stands on the shelf: the first porter that answers says, and answers for it from then on.

use crate::complete::Shelf;
use crate::config::Limits;
use crate::fleet;
use crate::merge::Away;
use crate::nodes::{Nodes, ask_one};
use proto::ids::{Environment, NodeId};
use proto::message::{Answer, Ask, CatalogAsk, ShardVersion};
use proto::query::TimeRange;

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
        match ask_one(nodes, porter, Ask::Catalog(ask), limits.catalog_patience).await {
            Ok(Answer::Catalog(catalog)) => return Shelf::Catalog { porter, shards: catalog.shards },
            Ok(Answer::Refused(refusal)) => shelf = Shelf::Away(porter, Away::Refused(refusal.to_string())),
            Ok(_) => shelf = Shelf::Away(porter, Away::Nonsense("no catalog")),
            Err(away) => shelf = Shelf::Away(porter, away),
        }
    }
    shelf
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
