//! What a live tail shows before what happens now: a search up to the present, and once more when every buck is
//! followed, so that nothing falls between the two. The window knows copies.

use crate::api::{LiveQuestion, PAST_ROWS, SearchQuestion};
use crate::config::Config;
use crate::nodes::Nodes;
use crate::search::{Found, Search};
use proto::event::OwnedEvent;
use proto::message::SearchOrder;
use proto::query::TimeRange;
use proto::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Events stamped a little ahead belong to the present too.
const AHEAD: Duration = Duration::from_secs(300);

/// How long the second look waits for bucks that are slow to be followed.
const SECOND_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Stage {
    First(Timestamp),
    Reading(Box<Search>),
    /// Then, at the latest, what came since this moment is looked at again.
    Between {
        since: Timestamp,
        at: Duration,
    },
    Rereading(Box<Search>),
    Done,
}

#[derive(Debug)]
pub(super) struct Past {
    stage: Stage,
    began: Timestamp,
}

impl Past {
    pub(super) fn new(question: &LiveQuestion, nodes: &dyn Nodes) -> Self {
        Self { stage: question.since.map_or(Stage::Done, Stage::First), began: nodes.now().wall }
    }

    /// Whether rows of the past still come, so that those of the present wait.
    pub(super) fn comes_first(&self) -> bool {
        matches!(self.stage, Stage::First(_) | Stage::Reading(_))
    }

    pub(super) fn begin_due(&mut self, nodes: &dyn Nodes, all_up: bool) -> Option<Timestamp> {
        match self.stage {
            Stage::First(since) => Some(since),
            Stage::Between { since, at } if all_up || at <= nodes.now().mono => Some(since),
            _ => None,
        }
    }

    pub(super) async fn begin(
        &mut self,
        nodes: &Arc<dyn Nodes>,
        config: &Arc<Config>,
        question: &LiveQuestion,
        since: Timestamp,
    ) {
        let to = nodes.now().wall.after(AHEAD);
        let search = SearchQuestion {
            query: question.query.clone(),
            environments: question.environments.clone(),
            range: TimeRange { from: since.min(to.before(AHEAD)), to },
            order: SearchOrder::Oldest,
            limit: PAST_ROWS,
            cursor: None,
        };
        let first = matches!(self.stage, Stage::First(_));
        let search = Box::new(Search::begin(Arc::clone(nodes), Arc::clone(config), search).await);
        self.stage = if first { Stage::Reading(search) } else { Stage::Rereading(search) };
    }

    /// The next event of the past; never returns while there is none to read. Cancel-safe but for one event, which
    /// only comes ready.
    pub(super) async fn next(&mut self, nodes: &dyn Nodes) -> Option<OwnedEvent> {
        let (Stage::Reading(search) | Stage::Rereading(search)) = &mut self.stage else {
            return std::future::pending().await;
        };
        match search.next(Duration::from_secs(1)).await {
            Found::Event(event) => return Some(event),
            Found::Pause => return None,
            Found::Ended(_) => {}
        }
        self.stage = match self.stage {
            Stage::Reading(_) => Stage::Between {
                since: self.began.before(SECOND_AFTER),
                at: nodes.now().mono.saturating_add(SECOND_AFTER),
            },
            _ => Stage::Done,
        };
        None
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        match self.stage {
            Stage::Between { at, .. } => Some(at),
            _ => None,
        }
    }
}
