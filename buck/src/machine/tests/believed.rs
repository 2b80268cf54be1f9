//! What others may believe of a buck: what it knows, what it closes, what it goes on showing.

use super::*;
use proto::message::LiveAsk;
use proto::seal::{Keys, Seed};

fn known(buck: &mut Buck) -> Vec<Vec<(u64, u64)>> {
    let Answer::Known(known) = buck.ask(TAILER, Ask::Known { after: None }).remove(0) else { panic!("known") };
    known.streams.into_iter().map(|stream| stream.extents).collect()
}

#[test]
fn what_is_not_durable_is_not_known() {
    let mut buck = manual(1);
    let first = buck.put(TAILER, packet(TAILER, 0, "hello"));
    buck.pass(Duration::from_millis(20));
    assert_eq!((buck.outcome(first), known(&mut buck)), (None, Vec::new()));
    let (disk, ticket) = buck.syncs.pop().expect("a sync");
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    assert_eq!((buck.outcome(first), known(&mut buck).len()), (kept(), 1));

    let second = buck.put(TAILER, packet(TAILER, 1, "world"));
    buck.machine.on_disk_failed(buck.now, disk, "broken by the test".into());
    buck.run();
    assert_eq!(buck.outcome(second), Some(PutOutcome::Full));
    assert_eq!(known(&mut buck), [vec![(0, 6)]], "what went down with the disk is not known");
}

#[test]
fn what_was_found_on_a_disk_that_then_failed_is_taken_anew() {
    let mut buck = Buck::new(Rules::default(), 1);
    let bytes = packet(TAILER, 0, "hello");
    buck.keep(TAILER, bytes.clone());
    buck.keep(TAILER, closing(TAILER, BUCKET, 1));
    buck.auto_sync = false;
    let mut buck = buck.restart(Rules::default(), 2);
    buck.machine.on_disk_failed(buck.now, DiskId(0), "broken by the test".into());
    buck.run();
    buck.auto_sync = true;
    buck.keep(TAILER, bytes);
    buck.keep(TAILER, closing(TAILER, BUCKET, 1));
    assert_eq!(buck.lines(WEB, Ask::Search(search("hello"))), ["hello"]);
}

#[test]
fn nobody_closes_what_has_not_begun() {
    let mut buck = Buck::new(Rules::default(), 1);
    for (bucket, good) in [(BUCKET.0 - 400_000, true), (BUCKET.0, true), (BUCKET.0 + 12, true), (BUCKET.0 + 13, false)]
    {
        let exchange = buck.put(TAILER, closing(TAILER, BucketId(bucket), 1));
        buck.pass(Duration::from_millis(20));
        let outcome = buck.outcome(exchange);
        assert_eq!(outcome == kept(), good, "{bucket}: {outcome:?}");
    }
    // As a tailer numbers them whose buckets last a minute.
    let exchange = buck.put(TAILER, closing(TAILER, BucketId(BUCKET.0 * 5), 1));
    let outcome = buck.outcome(exchange);
    assert!(matches!(&outcome, Some(PutOutcome::NotAllowed(why)) if why.ends_with("buckets last 300 s here")));
}

#[test]
fn a_live_tail_ends_with_the_right_to_it() {
    let mut buck = Buck::new(Rules::default(), 1);
    let ask = LiveAsk { query: "x".into(), environments: vec![Environment::default()] };
    let exchange = buck.exchange();
    buck.machine.on_ask(buck.now, exchange, WEB, Ask::Live(ask));
    buck.run();
    buck.others.clear();
    buck.machine.on_roster(roster());
    buck.run();
    assert!(buck.others.is_empty(), "the same rights: {:?}", buck.others);
    let key = Keys::from_seed(&Seed::from_bytes([91; 32])).public();
    let elsewhere = format!("web {key} id={WEB} env=test\n");
    buck.machine.on_roster(Arc::new(Roster::parse(elsewhere.as_bytes()).expect("a good roster")));
    buck.run();
    assert!(matches!(&buck.others[..], [Action::Unsubscribe { exchange: ended }] if *ended == exchange));
}

#[test]
fn a_tailer_hears_of_receipts_of_its_own() {
    let mut buck = Buck::new(Rules::default(), 1);
    let mut both = receipt(1, 5, 2);
    both.ranges.push(SeqRange { tailer: OTHER, ..both.ranges[0] });
    buck.machine.on_receipts(buck.now, vec![both]);
    let ask = Ask::Receipts { buckets: vec![(Environment::default(), BUCKET)] };
    let Answer::Receipts(receipts) = buck.ask(OTHER, ask).remove(0) else { panic!("receipts") };
    let tailers: Vec<_> = receipts.iter().flat_map(|receipt| &receipt.ranges).map(|range| range.tailer).collect();
    assert_eq!(tailers, [OTHER]);
}

#[test]
fn a_shelf_of_one_copy_is_asked_again_whether_it_keeps_two() {
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, packet(TAILER, 0, "x"));
    buck.machine.on_receipts(buck.now, vec![receipt(1, 0, 1)]);
    buck.pass(Duration::from_secs(600));
    buck.others.clear();
    buck.pass(Duration::from_secs(60));
    let key = (Environment::default(), BUCKET);
    let asked = |action: &Action| matches!(action, Action::AskReceipts { buckets } if buckets.contains(&key));
    assert!(buck.others.iter().any(asked));
    buck.machine.on_receipts(buck.now, vec![receipt(2, 0, 2)]);
    buck.run();
    buck.others.clear();
    buck.pass(Duration::from_secs(60));
    assert!(!buck.others.iter().any(asked));
}

#[test]
fn an_append_that_failed_does_not_hold_a_bucket_back() {
    let mut buck = manual(1);
    buck.auto_sync = true;
    buck.keep(TAILER, packet(TAILER, 0, "x"));
    buck.machine.on_receipts(buck.now, vec![receipt(1, 0, 2)]);
    buck.auto_sync = false;
    buck.put(TAILER, packet(TAILER, 1, "y"));
    buck.machine.on_disk_failed(buck.now, DiskId(0), "broken by the test".into());
    buck.run();
    let received = buck.machine.index.received(&(Environment::default(), BUCKET));
    assert!(received.is_some_and(|received| received.safe_since.is_some()));
}

/// The packets may have gone with the bucks that kept them: a porter has to look, and to write down what is missing.
#[test]
fn a_bucket_waits_for_a_porter_while_only_a_closing_speaks_of_its_packets() {
    let holdings = |buck: &mut Buck| match buck.ask(PORTER, Ask::Holdings { after: None }).remove(0) {
        Answer::Holdings { holdings, .. } => holdings.iter().map(|of| (of.bucket, of.packets)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, closing(TAILER, BucketId(BUCKET.0 - 1), 0));
    assert_eq!(holdings(&mut buck), [], "nothing was in it");
    buck.keep(TAILER, closing(TAILER, BUCKET, 2));
    assert_eq!(holdings(&mut buck), [(BUCKET, 0)]);
    let mut buck = buck.restart(Rules::default(), 1);
    assert_eq!(holdings(&mut buck), [(BUCKET, 0)]);
    buck.machine.on_receipts(buck.now, vec![Receipt { ranges: Vec::new(), ..receipt(1, 0, 1) }]);
    assert_eq!(holdings(&mut buck), [], "a manifest speaks of it");
}
