//! What a live tail shows before what happens now: a search up to the present, and once more when every buck is
//! followed, so that nothing falls between the two. The window knows copies.
//!
//! All of the past is shown, however much it is, and each of the two searches tells how it ended: what they lack is
//! never lacked in silence.

use crate::api::{LiveQuestion, SearchQuestion};
use crate::complete::Verdict;
use crate::config::Config;
use crate::frames::Why;
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

/// A packet is on its way to a buck for less than this.
const OVERLAP: Duration = Duration::from_secs(2);

/// How one search over the past ended.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) why: Why,
    /// What it covers.
    pub(super) range: TimeRange,
    pub(super) matches: u64,
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(super) enum Step {
    Event(OwnedEvent),
    Pause,
    Ended(Box<Told>),
}

#[derive(Debug)]
enum Stage {
    First(Timestamp),
    Reading(Box<Search>),
    /// What came since this moment is looked at again once every buck is followed or known to be away.
    Between(Timestamp),
    Rereading(Box<Search>),
    Done,
}

#[derive(Debug)]
pub(super) struct Past {
    stage: Stage,
    began: Timestamp,
    /// When every buck was followed, or known to be away: from then on nothing passes unseen.
    settled: Option<Timestamp>,
}

impl Past {
    pub(super) fn new(question: &LiveQuestion, nodes: &dyn Nodes) -> Self {
        Self { stage: question.since.map_or(Stage::Done, Stage::First), began: nodes.now().wall, settled: None }
    }

    /// Whether rows of the past still come, so that those of the present wait.
    pub(super) fn comes_first(&self) -> bool {
        matches!(self.stage, Stage::First(_) | Stage::Reading(_))
    }

    /// Whether what is to come is the second look.
    pub(super) fn is_read_once(&self) -> bool {
        matches!(self.stage, Stage::Between(_))
    }

    /// Reads what is to be read now, if anything.
    pub(super) async fn begin_due(
        &mut self,
        nodes: &Arc<dyn Nodes>,
        config: &Arc<Config>,
        question: &LiveQuestion,
        is_settled: bool,
    ) {
        let now = nodes.now().wall;
        if is_settled {
            self.settled.get_or_insert(now);
        }
        // What came after the bucks were followed is not looked at again: after a long past that would be much.
        let (since, to) = match (&self.stage, self.settled) {
            (Stage::First(since), _) => (*since, now.after(AHEAD)),
            (Stage::Between(since), Some(settled)) => (*since, settled.after(AHEAD)),
            _ => return,
        };
        let search = SearchQuestion {
            query: question.query.clone(),
            environments: question.environments.clone(),
            range: TimeRange { from: since.min(to.before(AHEAD)), to },
            order: SearchOrder::Oldest,
            limit: u64::MAX,
            cursor: None,
        };
        let search = Box::new(Search::begin(Arc::clone(nodes), Arc::clone(config), search).await);
        let is_first = matches!(self.stage, Stage::First(_));
        self.stage = if is_first { Stage::Reading(search) } else { Stage::Rereading(search) };
    }

    /// The next of the past; never returns while there is none to read. Cancel-safe but for one event, which only
    /// comes ready.
    pub(super) async fn next(&mut self, now: Timestamp) -> Step {
        let (Stage::Reading(search) | Stage::Rereading(search)) = &mut self.stage else {
            return std::future::pending().await;
        };
        let why = match search.next(Duration::from_secs(1)).await {
            Found::Event(event) => return Step::Event(event),
            Found::Pause => return Step::Pause,
            Found::Ended(why) => why,
        };
        let covered = search.covered(why);
        let range = TimeRange { to: covered.to.min(now).max(covered.from), ..covered };
        let told = Told { why, range, matches: search.found(), verdict: search.verdict(why) };
        self.stage = match self.stage {
            Stage::Reading(_) => Stage::Between(self.began.before(OVERLAP)),
            _ => Stage::Done,
        };
        Step::Ended(Box::new(told))
    }

    /// The reader took this long to come back; that is nobody's silence.
    pub(super) fn forgive(&mut self, pause: Duration) {
        if let Stage::Reading(search) | Stage::Rereading(search) = &mut self.stage {
            search.forgive(pause);
        }
    }
}
