//! A short row of seeds, seeds that once failed, and planted bugs that a named checker must see.

use simulations::checks::{conserve, honest, invention, kept, loss, once, prune, search};
use simulations::faults::Bug;
use simulations::story::tell;

fn check_seed(seed: u64) {
    let outcome = tell(seed, None, false);
    assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations.first());
}

#[test]
fn a_row_of_seeds_holds() {
    (1..4).for_each(check_seed);
}

/// 4, 8 and 14: a second closing of a bucket was acked and not stored, for all records of one length had one
/// checksum in the buck's index.
///
/// 27: a tailer whose host had lost the end of a log went on reading in the middle of a line written there later.
///
/// 29: a tailer that was killed before its memory was written named a wrong bucket as the last one it had filled; the
/// one between was taken for empty and called complete.
///
/// 38: a porter put a manifest, was told that it failed though it stood, went on with other buckets, and ported
/// lines there that the unread manifest already named.
///
/// 93, 108: two porters at work on two buckets at once each put events that a tailer without memory had filed in
/// both.
#[test]
fn seeds_that_failed_once_hold() {
    [4, 8, 27, 29, 38, 93, 108].into_iter().for_each(check_seed);
}

#[test]
fn one_seed_is_one_story() {
    assert_eq!(tell(5, None, false).hash, tell(5, None, false).hash);
}

fn check_caught(bug: Bug, rules: &[&str]) {
    let caught = |seed| tell(seed, Some(bug), false).violations.iter().any(|found| rules.contains(&found.rule));
    assert!((0..10).any(caught), "{bug:?} is seen by none of {rules:?}");
}

#[test]
fn planted_bugs_are_seen_by_the_rule_they_break() {
    check_caught(Bug::AckBeforeSync, &[kept::ACK_TRUTH]);
    check_caught(Bug::PruneBeforeReceipt, &[prune::TAILER, prune::BUCK]);
    check_caught(Bug::DedupByContent, &[loss::ACKED, once::RULE]);
    check_caught(Bug::SpoolUnwritten, &[loss::UNACKED]);
    check_caught(Bug::NoChecksum, &[invention::RULE]);
    check_caught(Bug::MergeForgets, &[conserve::RULE]);
    check_caught(Bug::CensusForged, &[honest::CLOSED]);
    check_caught(Bug::RowsForgotten, &[search::COMPLETE]);
}
