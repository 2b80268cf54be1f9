//! Answers who asks: webs search, tailers and bucks want receipts, everyone may ask how it is going.
//!
//! Who may ask what is the roster's word, looked up for every question. A search runs on a thread of its own and
//! ends when nobody reads its answer any more.

mod answer;
mod rows;

use crate::catalog::Catalog;
use crate::machine::Counters;
use answer::{context, search};
use proto::codec::{decode_ask, encode_answer};
use proto::io::clock::Clock;
use proto::io::members::Members;
use proto::io::quic::{Arrivals, Exchange, Link, LinkError, Replies};
use proto::message::{Answer, Ask, Part, Progress, Refusal, Shard, Status};
use proto::query::TimeRange;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// How long a search waits for its turn: a web takes who says nothing for five seconds for gone, and should hear why.
const TURN_MAX: Duration = Duration::from_secs(4);

/// The longest silence of a search that is being done.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Parts of an answer that wait for a slow reader.
const PARTS_AHEAD: usize = 8;

/// Questions answered at once, of all peers.
const EXCHANGES_MAX: usize = 512;

/// Shards in one part of a catalogue: of each, three times 64 names of who is missing are told at most, some 3 KiB.
const CATALOG_SHARDS: usize = 1000;

/// What all answers come from.
#[derive(Debug)]
pub struct Desk {
    pub catalog: Arc<Catalog>,
    pub members: Arc<Members>,
    pub clock: Clock,
    pub searches: Semaphore,
    pub exchanges: Arc<Semaphore>,
    pub work: Mutex<Work>,
}

/// What the machine is at, as it last said.
#[derive(Clone, Debug, Default)]
pub struct Work {
    pub counters: Counters,
    pub trouble: Vec<String>,
    pub working_on: Option<String>,
}

impl Desk {
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, members: Arc<Members>, clock: Clock, searches_max: usize) -> Self {
        Self {
            catalog,
            members,
            clock,
            searches: Semaphore::new(searches_max),
            exchanges: Arc::new(Semaphore::new(EXCHANGES_MAX)),
            work: Mutex::default(),
        }
    }

    fn status(&self) -> Status {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (counters, totals) = (work.counters, self.catalog.totals());
        let named = [
            ("porter_looks", counters.looks),
            ("porter_packets", counters.packets),
            ("porter_packet_bytes", counters.packet_bytes),
            ("porter_blocks_written", counters.blocks),
            ("porter_block_bytes_written", counters.block_bytes),
            ("porter_manifests_written", counters.manifests),
            ("porter_merges", counters.merges),
            ("porter_mended", counters.mended),
            ("porter_deleted", counters.deleted),
            ("porter_races_lost", counters.races_lost),
            ("porter_bad_copies", counters.bad_copies),
            ("porter_bad_closings", counters.bad_closings),
            ("porter_failures", counters.failures),
            ("shelf_shards", totals.shards),
            ("shelf_partial", totals.partial),
            ("shelf_blocks", totals.blocks),
            ("shelf_bytes", totals.bytes),
            ("shelf_events", totals.events),
            ("shelf_line_bytes", totals.line_bytes),
        ];
        let hash = self.members.now().hash();
        let mut trouble = self.catalog.trouble();
        trouble.extend(work.trouble);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: self.clock.wall(),
            up_seconds: self.clock.mono().as_secs(),
            roster: hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)),
            heard: Vec::new(),
            counters: named.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            trouble,
        }
    }
}

/// Answers until the endpoint is closed; then ends what is under way.
pub async fn serve(mut arrivals: Arrivals, desk: Arc<Desk>) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = links.join_next(), if !links.is_empty() => {}
            link = arrivals.next() => match link {
                Some(link) => drop(links.spawn(serve_link(link, Arc::clone(&desk)))),
                None => return,
            }
        }
    }
}

async fn serve_link(link: Link, desk: Arc<Desk>) {
    let mut asks = link.asks();
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = answering.join_next(), if !answering.is_empty() => {}
            exchange = asks.next() => {
                let Some(exchange) = exchange else { return };
                let Ok(turn) = Arc::clone(&desk.exchanges).acquire_owned().await else { return };
                let desk = Arc::clone(&desk);
                answering.spawn(async move {
                    let party = exchange.party();
                    if let Err(why) = answer(exchange, desk).await {
                        debug!(%party, %why, "an answer was not taken");
                    }
                    drop(turn);
                });
            }
        }
    }
}

async fn answer(exchange: Exchange, desk: Arc<Desk>) -> Result<(), LinkError> {
    let ask = match decode_ask(&exchange.question) {
        Ok(ask) => ask,
        Err(why) => return reply(exchange, &Answer::Refused(Refusal::Nonsense(why.to_string()))).await,
    };
    let allowed = exchange.peer().map(|peer| peer.may_ask(&ask).map_err(|why| why.to_string()));
    if let Err(why) = allowed.unwrap_or_else(|| Err("not in the roster".to_owned())) {
        return reply(exchange, &Answer::Refused(Refusal::NotAllowed(why))).await;
    }
    let asker = exchange.party().node;
    match ask {
        Ask::Search(ask) => {
            let turn = timeout(TURN_MAX, desk.searches.acquire()).await;
            if !matches!(turn, Ok(Ok(_))) {
                return reply(exchange, &Answer::Refused(Refusal::Busy)).await;
            }
            let catalog = Arc::clone(&desk.catalog);
            stream(exchange.replies(), move |say| search(&catalog, &ask, say)).await
        }
        Ask::Context(ask) => {
            let catalog = Arc::clone(&desk.catalog);
            stream(exchange.replies(), move |say| context(&catalog, &ask, say)).await
        }
        Ask::Status => reply(exchange, &Answer::Status(desk.status())).await,
        ask => {
            let catalog = Arc::clone(&desk.catalog);
            let found = tokio::task::spawn_blocking(move || look_up(&catalog, ask, asker)).await;
            let trouble = |why: tokio::task::JoinError| vec![Answer::Refused(Refusal::Trouble(why.to_string()))];
            let mut replies = exchange.replies();
            for answer in found.unwrap_or_else(trouble) {
                replies.send(encoded(&answer)).await?;
            }
            replies.finish().await
        }
    }
}

/// Questions with one answer, and the catalogue, which comes in as many as it takes.
fn look_up(catalog: &Catalog, ask: Ask, asker: proto::ids::NodeId) -> Vec<Answer> {
    vec![match ask {
        Ask::Catalog(ask) => {
            return in_parts(catalog.shards(&ask.environments, TimeRange { from: ask.from, to: ask.to }));
        }
        Ask::Receipts { buckets } => Answer::Receipts(catalog.receipts(&buckets)),
        Ask::Known { after } => Answer::Known(catalog.known(asker, after)),
        _ => Answer::Refused(Refusal::Nonsense("a porter is not asked that".to_owned())),
    }]
}

/// One answer at least, each far below a frame.
fn in_parts(mut shards: Vec<Shard>) -> Vec<Answer> {
    let mut parts = Vec::new();
    while shards.len() > CATALOG_SHARDS {
        let rest = shards.split_off(CATALOG_SHARDS);
        parts.push(std::mem::replace(&mut shards, rest));
    }
    parts.push(shards);
    parts.into_iter().map(|shards| Answer::Catalog(proto::message::Catalog { shards })).collect()
}

async fn reply(exchange: Exchange, answer: &Answer) -> Result<(), LinkError> {
    exchange.reply(encoded(answer)).await
}

/// An answer over the limit of a frame becomes one that says so.
fn encoded(answer: &Answer) -> Vec<u8> {
    let refused = |why: String| encode_answer(&Answer::Refused(Refusal::Trouble(why))).unwrap_or_default();
    encode_answer(answer).unwrap_or_else(|why| refused(why.to_string()))
}

/// Where a thread says the parts of an answer. Fails when nobody wants more.
#[derive(Debug)]
pub struct Say {
    parts: mpsc::Sender<Answer>,
    pub cancel: Arc<std::sync::atomic::AtomicBool>,
}

impl Say {
    #[must_use]
    pub fn part(&self, part: Part) -> bool {
        self.answer(Answer::Part(part))
    }

    #[must_use]
    pub fn answer(&self, answer: Answer) -> bool {
        self.parts.blocking_send(answer).is_ok()
    }
}

/// Carries parts from the thread that finds them to the one who asked.
async fn stream(mut replies: Replies, work: impl FnOnce(&Say) + Send + 'static) -> Result<(), LinkError> {
    let (parts, mut said) = mpsc::channel(PARTS_AHEAD);
    let cancel = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Set however this ends, so that the thread does.
    let _cancelled = Cancels(Arc::clone(&cancel));
    let say = Say { parts, cancel };
    let thread = tokio::task::spawn_blocking(move || work(&say));
    let mut progress = Progress::default();
    loop {
        tokio::select! {
            biased;
            part = said.recv() => match part {
                Some(part) => {
                    if let Answer::Part(Part::Progress(told)) = &part {
                        progress = *told;
                    }
                    replies.send(encoded(&part)).await?;
                }
                None => break,
            },
            () = replies.cancelled() => return Ok(()),
            // Who searches long without finding is not to be taken for gone.
            () = sleep(ALIVE_EVERY) => replies.send(encoded(&Answer::Part(Part::Progress(progress)))).await?,
        }
    }
    if thread.await.is_err() {
        let why = Refusal::Trouble("a thread ended early".to_owned());
        replies.send(encoded(&Answer::Refused(why))).await?;
    }
    replies.finish().await
}

struct Cancels(Arc<std::sync::atomic::AtomicBool>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ids::{Environment, NodeId, RunId};
    use proto::limits::{ENVIRONMENT_BYTES_MAX, FRAME_BYTES_MAX};
    use proto::message::{Completeness, SeqRange, ShardVersion};
    use proto::packet::TimeSpan;
    use proto::time::{BucketId, Timestamp};

    /// As long as one can be: every number of the longest kind, and as many names as are told.
    fn longest(number: u64) -> Shard {
        let environment: Environment = "e".repeat(ENVIRONMENT_BYTES_MAX).parse().unwrap();
        let at = ShardVersion { environment, bucket: BucketId(u64::MAX - number), shard: u16::MAX, version: u64::MAX };
        let nodes = vec![NodeId(u64::MAX); 64];
        let missing = SeqRange { tailer: NodeId(u64::MAX), run: RunId(u64::MAX), first: u32::MAX, last: u32::MAX };
        let completeness = Completeness { bucks_away: nodes.clone(), missing: vec![missing; 64], unheard: nodes };
        Shard { at, times: TimeSpan { first: Timestamp::MIN, last: Timestamp::MAX }, bytes: u64::MAX, completeness }
    }

    #[test]
    fn a_catalogue_comes_in_parts_that_fit_their_frames() {
        for count in [0, 1, CATALOG_SHARDS, CATALOG_SHARDS + 1, 3 * CATALOG_SHARDS] {
            let shards: Vec<Shard> = (0..count as u64).map(longest).collect();
            let parts = in_parts(shards.clone());
            assert_eq!(parts.len(), count.div_ceil(CATALOG_SHARDS).max(1));
            let mut all = Vec::new();
            for part in parts {
                assert!(encode_answer(&part).is_ok_and(|bytes| bytes.len() <= FRAME_BYTES_MAX), "{count} shards");
                let Answer::Catalog(catalog) = part else { panic!("a catalogue") };
                all.extend(catalog.shards);
            }
            assert_eq!(all, shards);
        }
    }
}
