//! What an ack means, who is refused, what full and failed disks do, what receipts delete.

mod believed;

use super::testing::*;
use crate::action::Action;
use crate::config::{Ack, Rules};
use crate::place::DiskId;
use proto::ids::{Environment, NodeId, PacketId};
use proto::message::{Answer, Ask, Part, PutOutcome, Receipt, Refusal, SearchAsk, SeqRange, ShardVersion, Want};
use proto::packet::TimeSpan;
use proto::roster::Roster;
use proto::time::{BucketId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const WEEKEND: Duration = Duration::from_secs(48 * 3600);

fn manual(disks: u16) -> Buck {
    Buck { auto_sync: false, ..Buck::new(Rules::default(), disks) }
}

fn kept() -> Option<PutOutcome> {
    Some(PutOutcome::Kept)
}

fn receipt(version: u64, last: u32, copies: u8) -> Receipt {
    Receipt {
        environment: Environment::default(),
        bucket: BUCKET,
        shard: 0,
        version,
        ranges: vec![SeqRange { tailer: TAILER, run: packet_id(TAILER, 0).run, first: 0, last }],
        copies,
    }
}

#[test]
fn an_ack_waits_for_the_sync_that_follows_the_append() {
    let mut buck = manual(1);
    let exchange = buck.put(TAILER, packet(TAILER, 0, "hello"));
    assert_eq!((buck.appended.len(), buck.syncs.len()), (1, 0));
    buck.pass(Duration::from_millis(4));
    assert_eq!(buck.outcome(exchange), None);
    let (disk, ticket) = buck.syncs.pop().expect("a sync was asked for");
    let second = buck.put(TAILER, packet(TAILER, 1, "after the sync was asked for"));
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    assert_eq!(buck.outcome(exchange), kept());
    assert_eq!(buck.outcome(second), None, "it was not in that sync");
    buck.pass(Duration::from_millis(10));
    let (disk, ticket) = buck.syncs.pop().expect("another sync");
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    assert_eq!(buck.outcome(second), kept());
}

#[test]
fn with_written_the_append_is_enough() {
    let rules = Rules { ack: Ack::Written, ..Rules::default() };
    let mut buck = Buck { auto_sync: false, ..Buck::new(rules, 1) };
    let exchange = buck.put(TAILER, packet(TAILER, 0, "hello"));
    assert_eq!(buck.outcome(exchange), kept());
}

#[test]
fn a_repeat_is_acked_with_the_first_and_not_stored() {
    let mut buck = manual(2);
    let bytes = packet(TAILER, 0, "hello");
    let first = buck.put(TAILER, bytes.clone());
    let second = buck.put(TAILER, bytes.clone());
    assert_eq!(buck.outcome(second), None);
    buck.pass(Duration::from_millis(4));
    let (disk, ticket) = buck.syncs.pop().expect("a sync");
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    let third = buck.put(TAILER, bytes);
    assert_eq!([first, second, third].map(|exchange| buck.outcome(exchange)), [kept(), kept(), kept()]);
    assert_eq!(buck.appended.len(), 1);
    let other = buck.put(TAILER, packet(TAILER, 0, "another line under the same name"));
    assert!(matches!(buck.outcome(other), Some(PutOutcome::Refused(_))));
}

#[test]
fn a_host_speaks_only_for_itself() {
    let mut buck = Buck::new(Rules::default(), 1);
    let other_environment = |tailer| PacketId { environment: "test".parse().expect("a name"), ..packet_id(tailer, 0) };
    let mut check = |peer, bytes, good: bool| {
        let exchange = buck.put(peer, bytes);
        buck.pass(Duration::from_millis(20));
        let outcome = buck.outcome(exchange);
        // Another roster may allow it: it is not refused for good.
        let as_expected = if good { outcome == kept() } else { matches!(outcome, Some(PutOutcome::NotAllowed(_))) };
        assert!(as_expected, "{outcome:?}");
    };
    let of = |id, host| PacketMaker::with(id, host).line("a", b"x").finish();
    check(TAILER, of(packet_id(TAILER, 0), "web1"), true);
    check(OTHER, of(packet_id(TAILER, 1), "web1"), false);
    check(TAILER, of(packet_id(TAILER, 2), "db1"), false);
    check(OTHER, of(packet_id(OTHER, 0), "db1"), true);
    check(OTHER, of(packet_id(OTHER, 1), "web1"), false);
    check(TAILER, of(other_environment(TAILER), "web1"), false);
    check(OTHER, of(other_environment(OTHER), "db1"), true);
    check(ELSE, of(packet_id(ELSE, 0), "web1"), false);
    check(PORTER, of(packet_id(PORTER, 0), "web1"), false);
    check(TAILER, closing(TAILER, BUCKET, 1), true);
    check(OTHER, closing(TAILER, BUCKET, 1), false);
    check(PORTER, closing(PORTER, BUCKET, 1), false);
    assert_eq!(buck.file_count(), 2);
}

#[test]
fn what_is_damaged_or_of_another_width_is_refused() {
    let mut buck = Buck::new(Rules::default(), 1);
    let good = packet(TAILER, 0, "hello");
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        let exchange = buck.put(TAILER, bad.into());
        assert!(matches!(buck.outcome(exchange), Some(PutOutcome::Refused(_))), "byte {at}");
    }
    let id = PacketId { bucket: BucketId(BUCKET.0 / 2), ..packet_id(TAILER, 0) };
    let exchange = buck.put(TAILER, PacketMaker::with(id, "web1").line("a", b"x").finish());
    let outcome = buck.outcome(exchange);
    assert!(
        matches!(&outcome, Some(PutOutcome::NotAllowed(why)) if why.ends_with("buckets last 300 s here")),
        "{outcome:?}"
    );
    assert_eq!(buck.file_count(), 0);
}

#[test]
fn a_full_disk_refuses_before_its_reserve_and_is_still_read() {
    let mut buck = Buck::new(Rules { reserve_bytes: 10_000, ..Rules::default() }, 1);
    buck.machine.on_room(DiskId(0), 11_000);
    let (mut taken, mut refused) = (0, 0);
    for seq in 0..20 {
        let exchange = buck.put(TAILER, packet(TAILER, seq, "hello"));
        buck.pass(Duration::from_millis(20));
        match buck.outcome(exchange) {
            Some(PutOutcome::Kept) => taken += 1,
            Some(PutOutcome::Full) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(taken > 2 && refused > 2, "{taken} {refused}");
    assert_eq!(buck.lines(WEB, Ask::Search(search("hello"))).len(), taken);
    buck.pass(WEEKEND * 10);
    assert_eq!(buck.file_count(), 1, "nothing is deleted for want of room");
    buck.machine.on_room(DiskId(0), 20_000);
    buck.keep(TAILER, packet(TAILER, 30, "hello"));
}

#[test]
fn a_failed_sync_is_never_acked_and_the_packet_goes_to_another_disk() {
    let mut buck = manual(2);
    let exchange = buck.put(TAILER, packet(TAILER, 0, "hello"));
    let (first, _) = buck.appended[0];
    buck.pass(Duration::from_millis(4));
    let (disk, ticket) = buck.syncs.pop().expect("a sync");
    buck.machine.on_disk_failed(buck.now, disk, "input/output error".into());
    buck.run();
    let (second, _) = buck.appended[1];
    assert_ne!(first, second);
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    assert_eq!(buck.outcome(exchange), None, "the failed disk's word counts for nothing");
    buck.pass(Duration::from_millis(4));
    let (disk, ticket) = buck.syncs.pop().expect("the other disk's sync");
    assert_eq!(disk, second);
    buck.machine.on_synced(buck.now, disk, ticket);
    buck.run();
    assert_eq!(buck.outcome(exchange), kept());
    for seq in 1..20 {
        buck.put(TAILER, packet(TAILER, seq, "more"));
    }
    assert!(buck.appended[1..].iter().all(|(disk, _)| *disk == second));
    assert_eq!(buck.lines(WEB, Ask::Search(search("hello"))), ["hello"]);
}

#[test]
fn when_every_disk_failed_the_tailer_is_told_to_go_elsewhere() {
    let mut buck = manual(2);
    buck.broken = vec![DiskId(0), DiskId(1)];
    let exchange = buck.put(TAILER, packet(TAILER, 0, "hello"));
    assert_eq!(buck.outcome(exchange), Some(PutOutcome::Full));
    let Answer::Status(status) = buck.ask(WEB, Ask::Status).remove(0) else { panic!("a status") };
    assert_eq!(status.trouble.len(), 2);
}

#[test]
fn too_much_at_once_is_busy() {
    let mut buck = manual(1);
    let mut outcomes = Vec::new();
    for seq in 0..120 {
        let mut maker = PacketMaker::new(TAILER.0, seq);
        for piece in 0..4 {
            maker.line("a", &noise(4 * seq + piece, 60_000));
        }
        let exchange = buck.put(TAILER, maker.finish());
        outcomes.push(buck.outcome(exchange));
    }
    assert!(outcomes.contains(&Some(PutOutcome::Busy)));
    let other = buck.put(OTHER, PacketMaker::with(packet_id(OTHER, 0), "db1").line("a", b"x").finish());
    assert_eq!(buck.outcome(other), None, "another tailer is not held up by this one");
}

#[test]
fn what_is_over_a_tailers_rate_waits_there() {
    let mut buck = Buck::new(Rules::default(), 1);
    let peers: String = roster().peers().iter().map(|peer| format!("{peer}\n")).collect();
    let slow = peers.replacen(&format!("id={TAILER}"), &format!("id={TAILER} rate=1kB/s"), 1);
    buck.machine.on_roster(Arc::new(Roster::parse(slow.as_bytes()).expect("a good roster")));
    let mut refused = 0;
    for seq in 0..200 {
        let exchange = buck.put(TAILER, PacketMaker::new(TAILER.0, seq).line("a", &noise(seq, 60_000)).finish());
        buck.pass(Duration::from_millis(5));
        refused += usize::from(buck.outcome(exchange) == Some(PutOutcome::Busy));
    }
    // Four megabytes may come at once, and one second brings a kilobyte.
    assert!((125..=135).contains(&refused), "{refused} of 200");
    let other = buck.put(OTHER, PacketMaker::with(packet_id(OTHER, 0), "db1").line("a", b"x").finish());
    buck.pass(Duration::from_millis(5));
    assert_eq!(buck.outcome(other), kept());
}

/// A line that nothing can be squeezed out of.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 7;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
    .take(bytes)
    .collect()
}

#[test]
fn after_a_restart_everything_acked_is_there_and_torn_tails_are_counted() {
    let mut buck = Buck::new(Rules::default(), 2);
    for seq in 0..20 {
        buck.keep(TAILER, packet(TAILER, seq, &format!("line {seq:02}")));
    }
    buck.keep(TAILER, closing(TAILER, BUCKET, 20));
    let before = buck.lines(WEB, Ask::Search(search("line")));
    let mut buck = buck.restart(Rules::default(), 2);
    buck.pass(Duration::from_millis(20));
    assert_eq!(buck.lines(WEB, Ask::Search(search("line"))), before);
    assert_eq!(before.len(), 20);
    let Answer::Inventory(inventory) = ask_inventory(&mut buck) else { panic!("an inventory") };
    assert_eq!((inventory.items.len(), inventory.closings.len(), inventory.closed.len()), (20, 1, 1));
    buck.keep(TAILER, packet(TAILER, 3, "line 03"));
    buck.tear(1);
    let mut buck = buck.restart(Rules::default(), 2);
    buck.pass(Duration::from_millis(20));
    assert_eq!(buck.lines(WEB, Ask::Search(search("line"))).len(), 19, "a torn tail costs a record");
    let torn = buck.put(TAILER, packet(TAILER, 19, "line 19"));
    buck.pass(Duration::from_millis(20));
    assert_eq!(buck.outcome(torn), kept());
    assert_eq!(buck.lines(WEB, Ask::Search(search("line"))).len(), 20);
}

fn ask_inventory(buck: &mut Buck) -> Answer {
    buck.ask(PORTER, Ask::Inventory { environment: Environment::default(), bucket: BUCKET, after: None }).remove(0)
}

#[test]
fn what_is_found_at_the_start_is_not_acked_before_it_is_synced_again() {
    let mut buck = manual(1);
    buck.put(TAILER, packet(TAILER, 0, "written, never synced"));
    let mut buck = buck.restart(Rules::default(), 1);
    let early = buck.put(TAILER, packet(TAILER, 0, "written, never synced"));
    assert_eq!(buck.outcome(early), Some(PutOutcome::Busy));
    buck.pass(Duration::from_millis(4));
    let (disk, ticket) = buck.syncs.pop().expect("what was found is synced");
    buck.machine.on_synced(buck.now, disk, ticket);
    let late = buck.put(TAILER, packet(TAILER, 0, "written, never synced"));
    assert_eq!(buck.outcome(late), kept());
    assert_eq!(buck.appended.len(), 0);
}

#[test]
fn receipts_are_asked_for_soon_after_a_bucket_and_then_each_minute() {
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, packet(TAILER, 0, "x"));
    let asked = |buck: &mut Buck| {
        let of = |action| if let Action::AskReceipts { buckets } = action { buckets.len() } else { 0 };
        std::mem::take(&mut buck.others).into_iter().map(of).filter(|count| *count > 0).count()
    };
    buck.pass(Duration::from_secs(299));
    assert_eq!(asked(&mut buck), 0, "the bucket is still open");
    buck.pass(Duration::from_secs(20));
    assert!(asked(&mut buck) >= 4);
    buck.pass(MINUTE * 10);
    assert!((10..25).contains(&asked(&mut buck)));
    buck.machine.on_receipts(buck.now, vec![receipt(1, 0, 2)]);
    buck.pass(MINUTE * 10);
    assert_eq!(asked(&mut buck), 0);
}

#[test]
fn a_bucket_is_deleted_48_hours_after_all_of_it_stands_on_two_copies() {
    let check = |version_of: &[(u64, u32, u8)], goes: bool| {
        let mut buck = Buck::new(Rules::default(), 1);
        for seq in 0..3 {
            buck.keep(TAILER, packet(TAILER, seq, "x"));
        }
        for (version, last, copies) in version_of {
            buck.machine.on_receipts(buck.now, vec![receipt(*version, *last, *copies)]);
        }
        buck.pass(WEEKEND - MINUTE);
        assert_eq!(buck.file_count(), 1);
        buck.pass(MINUTE * 3);
        assert_eq!(buck.file_count() == 0, goes, "{version_of:?}");
    };
    check(&[], false);
    check(&[(1, 2, 2)], true);
    check(&[(1, 2, 1)], false);
    check(&[(1, 1, 2)], false);
    check(&[(1, 1, 2), (2, 2, 2)], true);
    check(&[(2, 2, 2), (1, 2, 1)], true);
}

#[test]
fn a_packet_that_comes_late_holds_the_bucket_back() {
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, packet(TAILER, 0, "x"));
    buck.machine.on_receipts(buck.now, vec![receipt(1, 0, 2)]);
    buck.pass(WEEKEND - MINUTE);
    buck.keep(TAILER, packet(TAILER, 1, "late"));
    buck.pass(WEEKEND);
    assert_eq!(buck.file_count(), 1);
    buck.machine.on_receipts(buck.now, vec![receipt(2, 1, 2)]);
    buck.pass(WEEKEND + MINUTE);
    assert_eq!(buck.file_count(), 0);
}

#[test]
fn a_snapshot_leaves_out_what_it_holds_and_nothing_else() {
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, packet(TAILER, 0, "line 0"));
    buck.keep(TAILER, packet(TAILER, 1, "line 1"));
    buck.machine.on_receipts(buck.now, vec![receipt(3, 0, 1)]);
    let mut check = |version: Option<u64>, shard, expected: &[&str]| {
        let at = |version| ShardVersion { environment: Environment::default(), bucket: BUCKET, shard, version };
        let snapshot = version.map(at).into_iter().collect();
        let found = buck.lines(WEB, Ask::Search(SearchAsk { snapshot, ..search("line") }));
        assert_eq!(found, expected, "{version:?} {shard}");
    };
    check(None, 0, &["line 0", "line 1"]);
    check(Some(2), 0, &["line 0", "line 1"]);
    check(Some(3), 0, &["line 1"]);
    check(Some(9), 0, &["line 1"]);
    check(Some(9), 1, &["line 0", "line 1"]);
    buck.machine.on_receipts(buck.now, vec![receipt(4, 1, 1)]);
    let at = ShardVersion { environment: Environment::default(), bucket: BUCKET, shard: 0, version: 3 };
    let found = buck.lines(WEB, Ask::Search(SearchAsk { snapshot: vec![at], ..search("line") }));
    assert_eq!(found, ["line 1"], "version 3 did not hold it");
}

#[test]
fn porters_are_told_what_waits_and_given_it_as_it_was_put() {
    let mut buck = Buck::new(Rules::default(), 2);
    let bytes: Vec<_> = (0..3).map(|seq| packet(TAILER, seq, "x")).collect();
    for bytes in &bytes {
        buck.keep(TAILER, bytes.clone());
    }
    let Answer::Holdings { holdings, more } = buck.ask(PORTER, Ask::Holdings { after: None }).remove(0) else {
        panic!("holdings")
    };
    assert_eq!((holdings[0].packets, holdings.len(), more), (3, 1, false));
    let Answer::Inventory(inventory) = ask_inventory(&mut buck) else { panic!("an inventory") };
    let packets: Vec<PacketId> = inventory.items.iter().map(|item| item.packet.clone()).collect();
    assert_eq!(packets, (0..3).map(|seq| packet_id(TAILER, seq)).collect::<Vec<_>>());
    let parts = buck.parts(PORTER, Ask::Fetch { packets: [packets, vec![packet_id(TAILER, 77)]].concat() });
    let records: Vec<_> = parts
        .iter()
        .filter_map(|part| if let Part::Record(bytes) = part { Some(bytes.clone()) } else { None })
        .collect();
    assert_eq!(records, bytes);
    assert!(matches!(parts.last(), Some(Part::End(end)) if end.trouble.is_empty()));
    buck.flip(100);
    let parts = buck
        .parts(PORTER, Ask::Fetch { packets: vec![packet_id(TAILER, 0), packet_id(TAILER, 1), packet_id(TAILER, 2)] });
    assert!(
        matches!(parts.last(), Some(Part::End(end)) if !end.trouble.is_empty()),
        "a flipped byte is found and said"
    );
    buck.machine.on_receipts(buck.now, vec![receipt(1, 2, 1)]);
    let Answer::Holdings { holdings, .. } = buck.ask(PORTER, Ask::Holdings { after: None }).remove(0) else {
        panic!("holdings")
    };
    assert!(holdings.is_empty());
}

#[test]
fn a_tailer_that_lost_its_memory_is_told_how_far_it_was() {
    let mut buck = Buck::new(Rules::default(), 1);
    let mut maker = PacketMaker::new(TAILER.0, 0);
    maker.line("a", b"0123456789").line("b", b"x");
    buck.keep(TAILER, maker.finish());
    let end = maker.end_of("a");
    let mut maker = PacketMaker::new(TAILER.0, 1);
    maker.at("a", end).line("a", b"more");
    buck.keep(TAILER, maker.finish());
    buck.keep(TAILER, closing(TAILER, BUCKET, 2));
    let Answer::Known(known) = buck.ask(TAILER, Ask::Known { after: None }).remove(0) else { panic!("known") };
    let extents: Vec<_> = known.streams.iter().map(|stream| stream.extents.clone()).collect();
    assert_eq!(extents, [vec![(0, 16)], vec![(0, 2)]]);
    assert_eq!(known.streams[0].tail, proto::packet::TailMark::of(b"more"));
    assert_eq!(known.closed, [(Environment::default(), BUCKET)]);
    let after = Some(known.streams[0].stream);
    let Answer::Known(known) = buck.ask(TAILER, Ask::Known { after }).remove(0) else { panic!("known") };
    assert_eq!(known.streams.len(), 1);
}

#[test]
fn what_may_not_be_asked_is_refused() {
    let mut buck = Buck::new(Rules::default(), 1);
    let mut check = |peer: NodeId, ask: Ask, good: bool| {
        let answers = buck.ask(peer, ask.clone());
        let refused = matches!(answers[..], [Answer::Refused(Refusal::NotAllowed(_))]);
        assert_eq!(!refused, good, "{peer} {ask:?}");
    };
    let fetch = Ask::Fetch { packets: vec![packet_id(TAILER, 0)] };
    let elsewhere = SearchAsk { environments: vec!["test".parse().expect("a name")], ..search("") };
    check(WEB, Ask::Search(search("")), true);
    check(WEB, Ask::Search(elsewhere), false);
    check(TAILER, Ask::Search(search("")), false);
    check(ELSE, Ask::Search(search("")), false);
    check(WEB, fetch.clone(), false);
    check(PORTER, fetch, true);
    check(ELSE, Ask::Status, false);
}

#[test]
fn a_bad_query_is_said_so_and_times_out_of_order_find_nothing() {
    let mut buck = Buck::new(Rules::default(), 1);
    buck.keep(TAILER, packet(TAILER, 0, "x"));
    let answer = buck.ask(WEB, Ask::Search(search("\"unclosed"))).remove(0);
    assert!(matches!(answer, Answer::Refused(Refusal::BadQuery(_))));
    let span = TimeSpan::EMPTY;
    let parts = buck.parts(WEB, Ask::Search(SearchAsk { from: span.first, to: span.last, ..search("") }));
    assert!(matches!(&parts[..], [Part::Heard(_), Part::End(end)] if end.exhausted));
}

#[test]
fn whom_we_heard_is_in_every_answer() {
    let mut buck = Buck::new(Rules::default(), 1);
    let filed = Timestamp::from_seconds(START - 5);
    buck.ask(TAILER, Ask::Beat { filed: vec![(Environment::default(), filed)] });
    let parts = buck.parts(WEB, Ask::Search(search("")));
    let Some(Part::Heard(heard)) = parts.first() else { panic!("whom it has heard comes first") };
    assert_eq!((heard.len(), heard[0].filed, heard[0].at), (1, filed, buck.now.wall));
    let counts = SearchAsk { want: Want::Counts { step_nanos: 0 }, ..search("") };
    let parts = buck.parts(WEB, Ask::Search(counts));
    assert!(matches!(parts.last(), Some(Part::End(end)) if end.heard == *heard));
}
