//! Records on their way to bucks.
//!
//! A record has arrived when as many distinct bucks as the cluster wants copies say that it is on their disks.
//! One that does not answer soon is not waited for: another buck is asked as well, and a buck that failed for a
//! record is not asked for it again while there is any other. Records whose bucks are all away are given back:
//! they lie in the spool, and nothing here grows because the network is down. So are those that no buck allows by
//! what it knows now; they are told apart, for asking again at once would change nothing.

use crate::pick::Pick;
use proto::ids::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a buck is waited for before another is asked too, at least.
const HEDGE_AFTER: Duration = Duration::from_millis(50);
/// A buck that is this slow has failed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Bytes of records in flight. Enough for a fast network's round trip, small beside what a tailer may use.
pub const FLIGHT_BYTES_MAX: u64 = 4 << 20;
/// Records in flight; small ones come thick too.
const FLIGHT_RECORDS_MAX: usize = 512;
/// Of ten records at most one is hedged, or a cluster that is merely slow would be given half as much again.
const HEDGE_EVERY: u32 = 10;
const HEDGES_SAVED_MAX: u32 = 8 * HEDGE_EVERY;

/// Names a record within this run of the tailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordNumber(pub u64);

/// Names one question to one peer; its answer comes back under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange(pub u64);

/// What a buck made of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Kept,
    /// It has too much to do at once; another may do, and so may it, a little later.
    Busy,
    /// It has no room.
    Full,
    /// No answer will come.
    Away,
    /// Not by what this buck knows now; another may know better, or this one later.
    NotAllowed,
    /// It would never take it.
    Refused,
}

/// What is to be done about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Put {
        exchange: Exchange,
        buck: NodeId,
        record: Arc<[u8]>,
    },
    /// Kept by as many bucks as there should be.
    Arrived(RecordNumber),
    /// No further buck can be asked now. These keep it; it is no longer held here.
    Stranded(RecordNumber, Vec<NodeId>),
    /// The same, and one at least does not allow it: to be asked again after a while, not at once.
    Parked(RecordNumber, Vec<NodeId>),
    /// Refused for what it is, and kept by none; sending it again would change nothing.
    Spurned(RecordNumber, Arc<[u8]>),
}

#[derive(Clone, Debug)]
struct Flying {
    record: Arc<[u8]>,
    kept: Vec<NodeId>,
    failed: Vec<NodeId>,
    asked: BTreeMap<Exchange, Asked>,
    /// A buck does not allow it now.
    barred: bool,
    /// A buck will never take it.
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    buck: NodeId,
    at: Duration,
    hedged: bool,
}

#[derive(Debug, Default)]
pub struct Flight {
    flying: BTreeMap<RecordNumber, Flying>,
    record_of: BTreeMap<Exchange, RecordNumber>,
    bytes: u64,
    next_exchange: u64,
    hedges: u32,
    /// A smoothed time to an answer: what is usual here is no reason to hedge.
    usual: Duration,
}

impl Flight {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes < FLIGHT_BYTES_MAX && self.flying.len() < FLIGHT_RECORDS_MAX
    }

    /// Less than half of what may be: room to fetch old records from the spool without delaying new ones.
    #[must_use]
    pub fn has_much_room(&self) -> bool {
        self.bytes < FLIGHT_BYTES_MAX / 2 && self.flying.len() < FLIGHT_RECORDS_MAX / 2
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A number for a question that is not about a record.
    pub fn exchange(&mut self) -> Exchange {
        self.next_exchange += 1;
        Exchange(self.next_exchange)
    }

    /// Which buck this question about a record went to.
    #[must_use]
    pub fn asked(&self, exchange: Exchange) -> Option<NodeId> {
        let number = self.record_of.get(&exchange)?;
        self.flying.get(number)?.asked.get(&exchange).map(|asked| asked.buck)
    }

    /// Sends a record to as many bucks as are wanting; `kept` have it already.
    pub fn launch(
        &mut self,
        now: Duration,
        number: RecordNumber,
        record: Arc<[u8]>,
        kept: Vec<NodeId>,
        pick: &mut Pick,
    ) -> Vec<Step> {
        self.bytes += record.len() as u64;
        self.hedges = (self.hedges + 1).min(HEDGES_SAVED_MAX);
        let (failed, asked) = (Vec::new(), BTreeMap::new());
        self.flying.insert(number, Flying { record, kept, failed, asked, barred: false, refused: false });
        self.carry_on(now, number, pick)
    }

    /// An answer, or the news that none will come.
    pub fn on_outcome(&mut self, now: Duration, exchange: Exchange, outcome: Outcome, pick: &mut Pick) -> Vec<Step> {
        let Some(number) = self.record_of.remove(&exchange) else { return Vec::new() };
        let Some(flying) = self.flying.get_mut(&number) else { return Vec::new() };
        let Some(asked) = flying.asked.remove(&exchange) else { return Vec::new() };
        pick.settled(asked.buck, flying.record.len() as u64);
        match outcome {
            Outcome::Kept => {
                pick.works(asked.buck);
                if !flying.kept.contains(&asked.buck) {
                    flying.kept.push(asked.buck);
                }
                self.usual = (self.usual * 7 + now.saturating_sub(asked.at)) / 8;
            }
            Outcome::Busy => flying.failed.push(asked.buck),
            Outcome::Full | Outcome::Away => {
                pick.failed(now, asked.buck);
                flying.failed.push(asked.buck);
            }
            Outcome::NotAllowed => {
                flying.barred = true;
                flying.failed.push(asked.buck);
            }
            Outcome::Refused => {
                flying.refused = true;
                flying.failed.push(asked.buck);
            }
        }
        self.carry_on(now, number, pick)
    }

    /// Asks as many bucks as are wanting, or finds that it is done, or that there is nobody to ask.
    fn carry_on(&mut self, now: Duration, number: RecordNumber, pick: &mut Pick) -> Vec<Step> {
        let copies = pick.copies();
        let mut steps = Vec::new();
        while let Some(flying) = self.flying.get(&number) {
            if flying.kept.len() >= copies {
                self.land(number, pick);
                steps.push(Step::Arrived(number));
                break;
            }
            if flying.refused && flying.kept.is_empty() {
                // What another keeps is good, whatever this one says: whoever was asked is heard first.
                if flying.asked.is_empty() {
                    let record = Arc::clone(&flying.record);
                    self.land(number, pick);
                    steps.push(Step::Spurned(number, record));
                }
                break;
            }
            let waiting = flying.asked.values().filter(|asked| !asked.hedged).count();
            if flying.kept.len() + waiting >= copies {
                break;
            }
            let alone = flying.asked.is_empty();
            let (kept, barred) = (flying.kept.clone(), flying.barred || flying.refused);
            if let Some(step) = self.ask(now, number, pick) {
                steps.push(step);
                continue;
            }
            if alone {
                self.land(number, pick);
                steps.push(if barred { Step::Parked(number, kept) } else { Step::Stranded(number, kept) });
            }
            break;
        }
        steps
    }

    /// Asks one buck more, one that has not been asked, or failed longest ago.
    fn ask(&mut self, now: Duration, number: RecordNumber, pick: &mut Pick) -> Option<Step> {
        let flying = self.flying.get_mut(&number)?;
        let taken: Vec<NodeId> = flying.kept.iter().copied().chain(flying.asked.values().map(|a| a.buck)).collect();
        let untried: Vec<NodeId> = taken.iter().copied().chain(flying.failed.iter().copied()).collect();
        let buck = pick.pick(now, &untried)?;
        self.next_exchange += 1;
        let exchange = Exchange(self.next_exchange);
        flying.asked.insert(exchange, Asked { buck, at: now, hedged: false });
        self.record_of.insert(exchange, number);
        pick.sent(buck, flying.record.len() as u64);
        Some(Step::Put { exchange, buck, record: Arc::clone(&flying.record) })
    }

    fn land(&mut self, number: RecordNumber, pick: &mut Pick) {
        let Some(flying) = self.flying.remove(&number) else { return };
        self.bytes -= flying.record.len() as u64;
        for (exchange, asked) in &flying.asked {
            self.record_of.remove(exchange);
            pick.settled(asked.buck, flying.record.len() as u64);
        }
    }

    fn patience(&self) -> Duration {
        HEDGE_AFTER.max(self.usual * 3)
    }

    /// Hedges what was waited for long enough, gives up on what was waited for far too long.
    pub fn on_timeout(&mut self, now: Duration, pick: &mut Pick) -> Vec<Step> {
        let mut steps = Vec::new();
        for (exchange, number, late) in self.overdue(now) {
            if late {
                steps.extend(self.on_outcome(now, exchange, Outcome::Away, pick));
                continue;
            }
            let Some(asked) = self.flying.get_mut(&number).and_then(|flying| flying.asked.get_mut(&exchange)) else {
                continue;
            };
            asked.hedged = true;
            if self.hedges < HEDGE_EVERY {
                continue;
            }
            if let Some(step) = self.ask(now, number, pick) {
                self.hedges -= HEDGE_EVERY;
                steps.push(step);
            }
        }
        steps
    }

    fn overdue(&self, now: Duration) -> Vec<(Exchange, RecordNumber, bool)> {
        let patience = self.patience();
        let asked = self.flying.iter().flat_map(|(number, flying)| flying.asked.iter().map(move |a| (*number, a)));
        asked
            .filter_map(|(number, (exchange, asked))| {
                let waited = now.saturating_sub(asked.at);
                let late = waited >= GIVE_UP_AFTER;
                (late || waited >= patience && !asked.hedged).then_some((*exchange, number, late))
            })
            .collect()
    }

    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let due = |asked: &Asked| asked.at + if asked.hedged { GIVE_UP_AFTER } else { self.patience() };
        self.flying.values().flat_map(|flying| flying.asked.values()).map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pick::Buck;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const ONE: RecordNumber = RecordNumber(1);

    fn pick(count: u64) -> Pick {
        let bucks: Vec<Buck> = (1..=count).map(|id| Buck { id: NodeId(id), domain: String::new() }).collect();
        Pick::new(&bucks, StdRng::seed_from_u64(3))
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn puts(steps: &[Step]) -> Vec<(Exchange, NodeId)> {
        let put = |step: &Step| match step {
            Step::Put { exchange, buck, .. } => Some((*exchange, *buck)),
            _ => None,
        };
        steps.iter().filter_map(put).collect()
    }

    fn launched(count: u64) -> (Flight, Pick, Vec<(Exchange, NodeId)>) {
        let (mut flight, mut pick) = (Flight::default(), pick(count));
        let steps = flight.launch(at(0), ONE, Arc::from(&b"record"[..]), Vec::new(), &mut pick);
        flight.hedges = HEDGES_SAVED_MAX;
        (flight, pick, puts(&steps))
    }

    #[test]
    fn two_distinct_bucks_make_an_arrival() {
        let (mut flight, mut pick, asked) = launched(5);
        let [(first, a), (second, b)] = asked[..] else { panic!("two are asked") };
        assert_ne!(a, b);
        assert_eq!(flight.on_outcome(at(1), first, Outcome::Kept, &mut pick), []);
        assert_eq!(flight.on_outcome(at(1), first, Outcome::Kept, &mut pick), [], "one answer counts once");
        assert_eq!(flight.on_outcome(at(2), second, Outcome::Kept, &mut pick), [Step::Arrived(ONE)]);
        assert!(flight.is_empty() && flight.record_of.is_empty());
        assert_eq!(flight.bytes(), 0);
    }

    #[test]
    fn a_buck_that_failed_is_not_asked_again() {
        let (mut flight, mut pick, asked) = launched(4);
        let mut seen: Vec<NodeId> = asked.iter().map(|(_, buck)| *buck).collect();
        let mut open = asked;
        while let Some((exchange, _)) = open.pop() {
            let steps = flight.on_outcome(at(1), exchange, Outcome::Away, &mut pick);
            for (exchange, buck) in puts(&steps) {
                assert!(!seen.contains(&buck));
                seen.push(buck);
                open.push((exchange, buck));
            }
            if open.is_empty() {
                assert_eq!(steps, [Step::Stranded(ONE, Vec::new())]);
            }
        }
        assert_eq!(seen.len(), 4);
        assert!(flight.is_empty());
    }

    #[test]
    fn one_that_is_slow_is_hedged_and_may_still_count() {
        let (mut flight, mut pick, asked) = launched(3);
        flight.on_outcome(at(1), asked[0].0, Outcome::Kept, &mut pick);
        assert_eq!(flight.next_timeout(), Some(at(50)));
        let hedge = flight.on_timeout(at(50), &mut pick);
        let [(_, third)] = puts(&hedge)[..] else { panic!("one hedge") };
        assert!(asked.iter().all(|(_, buck)| *buck != third));
        assert_eq!(flight.on_timeout(at(60), &mut pick), [], "hedged once");
        assert_eq!(flight.on_outcome(at(70), asked[1].0, Outcome::Kept, &mut pick), [Step::Arrived(ONE)]);
        assert_eq!(flight.on_outcome(at(71), puts(&hedge)[0].0, Outcome::Kept, &mut pick), []);
    }

    #[test]
    fn hedges_are_few() {
        let (mut flight, mut pick) = (Flight::default(), pick(6));
        for number in 0..100 {
            flight.launch(at(0), RecordNumber(number), Arc::from(&b"record"[..]), Vec::new(), &mut pick);
        }
        let hedged = puts(&flight.on_timeout(at(50), &mut pick)).len();
        assert_eq!(hedged, HEDGES_SAVED_MAX as usize / HEDGE_EVERY as usize);
    }

    #[test]
    fn silence_is_a_failure_in_the_end() {
        let (mut flight, mut pick, _) = launched(2);
        flight.on_timeout(at(50), &mut pick);
        let steps = flight.on_timeout(at(5_000), &mut pick);
        assert_eq!(steps, [Step::Stranded(ONE, Vec::new())]);
        assert_eq!(pick.pick(at(5_001), &[]), None, "both are set aside");
    }

    #[test]
    fn a_copy_that_is_there_is_not_made_again() {
        let (mut flight, mut pick) = (Flight::default(), pick(2));
        let steps = flight.launch(at(0), ONE, Arc::from(&b"record"[..]), vec![NodeId(1)], &mut pick);
        let [(exchange, buck)] = puts(&steps)[..] else { panic!("one is asked") };
        assert_eq!(buck, NodeId(2));
        assert_eq!(flight.on_outcome(at(1), exchange, Outcome::Kept, &mut pick), [Step::Arrived(ONE)]);
    }

    #[test]
    fn what_nobody_will_ever_take_is_let_go_when_all_who_were_asked_were_heard() {
        let (mut flight, mut pick, asked) = launched(3);
        let record: Arc<[u8]> = Arc::from(&b"record"[..]);
        assert_eq!(flight.on_outcome(at(1), asked[0].0, Outcome::Refused, &mut pick), []);
        let steps = flight.on_outcome(at(1), asked[1].0, Outcome::Refused, &mut pick);
        assert_eq!(steps, [Step::Spurned(ONE, record)]);
        assert!(flight.is_empty());
    }

    #[test]
    fn what_one_keeps_is_not_given_up_because_another_refuses_it() {
        let (mut flight, mut pick, asked) = launched(3);
        assert_eq!(flight.on_outcome(at(1), asked[0].0, Outcome::Refused, &mut pick), []);
        let third = puts(&flight.on_outcome(at(1), asked[1].0, Outcome::Kept, &mut pick));
        assert_eq!(flight.on_outcome(at(2), third[0].0, Outcome::Kept, &mut pick), [Step::Arrived(ONE)]);
    }

    #[test]
    fn what_is_not_allowed_now_is_parked_when_every_buck_was_asked() {
        let (mut flight, mut pick, asked) = launched(3);
        assert_eq!(flight.on_outcome(at(1), asked[0].0, Outcome::Kept, &mut pick), []);
        let third = puts(&flight.on_outcome(at(1), asked[1].0, Outcome::NotAllowed, &mut pick));
        let steps = flight.on_outcome(at(2), third[0].0, Outcome::NotAllowed, &mut pick);
        assert_eq!(steps, [Step::Parked(ONE, vec![asked[0].1])]);
        assert!(flight.is_empty());
        assert!(pick.pick(at(3), &[asked[0].1]).is_some(), "no buck is set aside for it");
    }
}
