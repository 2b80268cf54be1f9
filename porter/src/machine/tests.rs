//! The machine in a small world: bucks with real packets, a shelf in memory, faults on demand.

use super::*;
use crate::block::{Opened, cover};
use crate::build::{build, names_in, ranges_of};
use crate::check;
use crate::dedup::{Cover, Earlier};
use crate::names::{Object, parse_path};
use crate::places::{Double, Places, in_both};
use crate::sample::{closing, keys, packet, width};
use proto::closed::Closed;
use proto::ids::{EventId, PacketId};
use proto::message::{Holding, Inventory, InventoryItem};
use proto::packet::Packet;
use proto::roster::{Peer, Role, Roster};
use proto::seal::Domain;

mod limits;
mod others;
mod world;

use world::World;

const BUCKET: BucketId = BucketId(5_984_184);
const LATER: BucketId = BucketId(BUCKET.0 + 1);

fn at(bucket: BucketId) -> BucketAt {
    BucketAt { environment: Environment::default(), bucket }
}

/// Three packets of tailer 1 on two bucks each, closed.
fn usual() -> (World, Vec<PacketId>) {
    let mut world = World::new(&[1]);
    let packets = [
        packet(1, 7, BUCKET, 0, 0, &["one", "two"]),
        packet(1, 7, BUCKET, 1, 8, &["three"]),
        packet(1, 7, BUCKET, 2, 14, &["four", "two"]),
    ];
    world.keep(&[10, 11], &packets[0]);
    world.keep(&[11, 12], &packets[1]);
    world.keep(&[12, 10], &packets[2]);
    world.close(&[10, 11], BUCKET, &closing(1, BUCKET, None, &[(7, 3)]));
    (world, packets.into_iter().map(|(id, _)| id).collect())
}

const ALL: [&str; 5] = ["one", "two", "three", "four", "two"];

#[test]
fn a_closed_bucket_is_ported_once_and_receipted() {
    let (mut world, packets) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines(), ALL);
    let manifest = world.standing(BUCKET).unwrap();
    assert!(manifest.completeness.is_complete(), "{:?}", manifest.completeness);
    assert_eq!((manifest.version, manifest.blocks.len(), manifest.packets.packets()), (1, 1, 3));
    let receipts = porter.receipts(&[(Environment::default(), BUCKET)]);
    assert!(packets.iter().all(|packet| receipts[0].covers(packet)));
    world.run_for(&mut porter, Duration::from_secs(3600));
    assert_eq!(world.manifests().len(), 1, "nothing new, nothing written");
    assert!(world.shelf.keys().all(|path| !path.contains("/l-")), "one porter needs no lease");
}

#[test]
fn a_bucket_is_not_touched_before_it_is_over() {
    let (mut world, _) = usual();
    world.now.wall = width().end_of(BUCKET).before(Duration::from_secs(3));
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(7));
    assert!(world.shelf.is_empty());
    world.run_for(&mut porter, Duration::from_secs(3));
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_buck_that_is_away_is_named_and_what_it_has_is_added_when_it_is_back() {
    let (mut world, packets) = usual();
    world.buck(11).away = true;
    world.buck(12).packets.remove(&packets[1]);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(30));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(manifest.completeness.bucks_away, [NodeId(11)]);
    assert_eq!((manifest.completeness.missing.len(), manifest.completeness.missing[0].first), (1, 1));
    assert_eq!(world.lines(), ["one", "two", "four", "two"]);
    assert!(!world.receipted(&packets[1]));
    world.buck(11).away = false;
    world.run_for(&mut porter, Duration::from_secs(40));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert_eq!(world.lines(), ALL);
    assert!(world.receipted(&packets[1]));
}

/// It is silent at the survey and says what it holds before the look is over.
#[test]
fn a_buck_that_is_back_before_the_look_ends_is_not_forgotten() {
    let (mut world, _) = usual();
    world.buck(12).packets.clear();
    world.now.wall = width().end_of(BUCKET).before(Duration::from_secs(3));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    world.buck(11).away = true;
    world.pass(Duration::from_secs(9));
    porter.on_timeout(world.now);
    while let Some(action) = porter.poll_action() {
        if matches!(action, Action::Build(_)) {
            world.pass(Duration::from_secs(3));
            world.buck(11).away = false;
            porter.on_timeout(world.now);
        }
        if matches!(action, Action::PutIfAbsent { .. }) {
            world.pass(Duration::from_secs(1));
        }
        if let Some((ask, reply)) = world.perform(action) {
            porter.on_reply(world.now, ask, reply);
        }
    }
    assert!(!world.standing(BUCKET).unwrap().completeness.is_complete());
    world.run_for(&mut porter, Duration::from_secs(40));
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_buck_that_is_away_for_long_costs_little() {
    let (mut world, packets) = usual();
    world.buck(12).away = true;
    world.buck(11).packets.remove(&packets[1]);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    let looks = porter.counters().looks;
    world.run_for(&mut porter, Duration::from_secs(3600));
    assert!(porter.counters().looks - looks <= 7, "{}", porter.counters().looks);
    assert_eq!(world.manifests().len(), 1);
}

#[test]
fn a_tailer_that_was_cut_off_is_named_and_heard_later() {
    let (mut world, _) = usual();
    world.peers.tailers = [(Environment::default(), [NodeId(1), NodeId(2)].into())].into();
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert_eq!(world.standing(BUCKET).unwrap().completeness.unheard, [NodeId(2)]);
    // It was idle then and says so, three buckets later, through a chain of closings.
    let later = BucketId(BUCKET.0 + 2);
    world.close(&[12], BucketId(BUCKET.0 + 3), &closing(2, BucketId(BUCKET.0 + 3), Some(later), &[]));
    world.close(&[11], later, &closing(2, later, Some(BucketId(BUCKET.0 - 9)), &[(3, 1)]));
    world.run_for(&mut porter, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert!(manifest.completeness.is_complete(), "{:?}", manifest.completeness);
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_tailer_declared_gone_is_not_waited_for() {
    let (mut world, _) = usual();
    world.peers.tailers = [(Environment::default(), [NodeId(1), NodeId(2)].into())].into();
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(!world.standing(BUCKET).unwrap().completeness.is_complete());
    world.peers.tailers = [(Environment::default(), [NodeId(1)].into())].into();
    porter.on_peers(world.now, world.peers.clone());
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
}

#[test]
fn a_forged_closing_closes_nothing() {
    let (mut world, _) = usual();
    for buck in world.bucks.values_mut() {
        buck.closings.clear();
    }
    let mut forged = Closed::parse(&closing(1, BUCKET, None, &[(7, 2)])).unwrap().0;
    forged.runs[0].packets = 1;
    world.close(&[10], BUCKET, &forged.write(|content| keys(9).sign(Domain::RECORD, content)));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.standing(BUCKET).unwrap().completeness.unheard, [NodeId(1)]);
    assert!(porter.counters().bad_closings > 0);
}

#[test]
fn a_number_that_was_named_and_is_nowhere_is_missing() {
    let (mut world, packets) = usual();
    for buck in world.bucks.values_mut() {
        buck.packets.remove(&packets[1]);
    }
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(
        manifest.completeness.missing.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(),
        [(1, 1)]
    );
    assert_eq!(manifest.completeness.bucks_away, []);
    world.keep(&[11], &packet(1, 7, BUCKET, 1, 8, &["three"]));
    world.run_for(&mut porter, Duration::from_secs(60));
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert_eq!(world.lines(), ALL);
}

#[test]
fn late_packets_of_a_complete_bucket_wait_for_company() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    world.keep(&[10, 11], &packet(1, 8, BUCKET, 0, 23, &["late"]));
    world.run_for(&mut porter, Duration::from_secs(590));
    assert_eq!(world.manifests().len(), 1);
    world.run_for(&mut porter, Duration::from_secs(30));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!((manifest.version, manifest.blocks.len()), (2, 2), "a further part, no rewriting");
    assert_eq!(world.lines(), ["one", "two", "three", "four", "two", "late"]);
}

#[test]
fn a_bad_copy_is_passed_over_for_a_good_one() {
    let (mut world, packets) = usual();
    // The buck that is asked first alters a line and mends the checksums; it has no key to sign with.
    let (_, altered) = packet(1, 7, BUCKET, 0, 0, &["one", "TWO"]);
    let forged = Packet::parse(&altered).unwrap().record;
    let bytes = proto::record::write(forged.kind, forged.header, forged.body, forged.stretched_bytes, |_| [7; 64]);
    world.buck(11).packets.insert(packets[0].clone(), bytes);
    // Another's copy is torn, and one answers with another packet.
    let torn = world.bucks[&NodeId(12)].packets[&packets[1]][..100].to_vec();
    let other = world.bucks[&NodeId(11)].packets[&packets[1]].clone();
    world.buck(12).packets.insert(packets[1].clone(), torn);
    world.buck(12).packets.insert(packets[2].clone(), other);
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(30));
    assert_eq!(world.lines(), ALL);
    assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    assert!(porter.counters().bad_copies >= 2, "{:?}", porter.counters());
}

#[test]
fn a_packet_without_a_good_copy_is_missing_and_has_no_receipt() {
    let (mut world, packets) = usual();
    for buck in [10, 11] {
        let mut bad = world.bucks[&NodeId(buck)].packets[&packets[0]].clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        world.buck(buck).packets.insert(packets[0].clone(), bad);
    }
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    assert_eq!(world.lines(), ["three", "four", "two"]);
    assert!(!world.receipted(&packets[0]));
    assert_eq!(world.standing(BUCKET).unwrap().completeness.missing[0].first, 0);
    assert!(porter.counters().bad_copies >= 2 && porter.trouble().any(|line| line.contains("bad copy")));
}

#[test]
fn what_a_tailer_without_memory_reads_again_is_dropped_whatever_bucket_it_is_in() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let next = BUCKET.next();
    // Read again from the start, cut into packets otherwise, with one line that was rewritten and one more.
    world.keep(&[10, 12], &packet(1, 9, next, 0, 0, &["one", "two", "three", "fOUr"]));
    world.keep(&[10, 12], &packet(1, 9, next, 1, 19, &["two", "five"]));
    world.close(&[10, 12], next, &closing(1, next, Some(BUCKET), &[(9, 2)]));
    world.pass(Duration::from_secs(300));
    world.run_for(&mut porter, Duration::from_secs(10));
    assert!(world.standing(next).unwrap().completeness.is_complete());
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["fOUr", "five", "four", "one", "three", "two", "two"]);
    let again = &world.standing(next).unwrap().blocks;
    assert_eq!(again.iter().map(|block| block.events).sum::<u64>(), 2);
    // The same once more brings no block at all, but is receipted.
    let after = next.next();
    let replay = packet(1, 10, after, 0, 0, &["one", "two", "three", "four"]);
    world.keep(&[10, 12], &replay);
    world.pass(Duration::from_secs(300));
    world.run_for(&mut porter, Duration::from_secs(10));
    assert!(world.standing(after).unwrap().blocks.is_empty() && world.receipted(&replay.0));
    assert_eq!(world.lines().len(), 7);
}

#[test]
fn copies_in_two_batches_of_one_bucket_are_one() {
    let (mut world, _) = usual();
    world.rules.block_bytes = 1;
    world.keep(&[10, 11], &packet(1, 8, BUCKET, 0, 0, &["one", "two", "three"]));
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines(), ALL);
    assert_eq!(world.standing(BUCKET).unwrap().blocks.len(), 3);
}

#[test]
fn a_thousand_equal_lines_stay_a_thousand() {
    let mut world = World::new(&[1]);
    for seq in 0..10 {
        world.keep(&[10, 11], &packet(1, 7, BUCKET, seq, u64::from(seq) * 500, &["same"; 100]));
    }
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.lines().len(), 1000);
}

#[test]
fn a_damaged_manifest_keeps_its_number_and_loses_nothing() {
    let (mut world, _) = usual();
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let path = at(BUCKET).shard(0).object(Object::Manifest(1));
    let mut bad = world.shelf[&path].to_vec();
    bad[40] ^= 1;
    world.shelf.insert(path, bad.into());
    let mut next = world.machine(51);
    world.run_for(&mut next, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!(manifest.version, 2);
    assert!(manifest.completeness.is_complete());
    assert_eq!(world.lines(), ALL);
    assert!(next.trouble().any(|line| line.contains("m-1")));
}

#[test]
fn a_damaged_block_of_the_same_name_is_replaced_before_it_is_named() {
    let (world, _) = usual();
    let mut whole = world.clone();
    let mut porter = whole.machine(50);
    whole.settle(&mut porter);
    let path = whole.shelf.keys().find(|path| path.ends_with(".tbk")).unwrap().clone();
    let mut world = world;
    let mut bad = whole.shelf[&path].to_vec();
    bad[20] ^= 1;
    world.shelf.insert(path.clone(), bad.into());
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    assert_eq!(world.shelf[&path], whole.shelf[&path]);
    assert_eq!(world.lines(), ALL);
}

#[test]
fn shards_hold_their_own_tailers_and_are_complete_apart() {
    let mut world = World::new(&[1, 2]);
    world.rules.shards = 8;
    world.keep(&[10, 11], &packet(1, 7, BUCKET, 0, 0, &["of one"]));
    world.keep(&[10, 12], &packet(2, 7, BUCKET, 0, 0, &["of two"]));
    world.close(&[10], BUCKET, &closing(1, BUCKET, None, &[(7, 1)]));
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(20));
    assert_eq!(world.lines(), ["of one", "of two"]);
    let shards: Vec<_> = world.newest().iter().map(|m| (m.at.shard, m.shards, m.completeness.is_complete())).collect();
    assert_eq!(shards, [(1, 8, true), (2, 8, false)]);
    // Another porter with other settings keeps to what the first manifest says.
    world.rules.shards = 1;
    world.close(&[10], BUCKET, &closing(2, BUCKET, None, &[(7, 1)]));
    let mut next = world.machine(51);
    world.run_for(&mut next, Duration::from_secs(20));
    assert_eq!(world.newest().iter().filter(|m| m.completeness.is_complete()).count(), 2);
}

#[test]
fn many_parts_become_one_and_are_deleted_later() {
    let (mut world, _) = usual();
    world.rules.block_bytes = 64 << 10;
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let mut expected: Vec<String> = ALL.map(str::to_owned).to_vec();
    for late in 0..3u32 {
        let line = format!("late {late}");
        world.keep(&[10, 11], &packet(1, 8, BUCKET, late, 23 + 7 * u64::from(late), &[&line]));
        expected.push(line);
        world.run_for(&mut porter, Duration::from_secs(620));
    }
    let manifest = world.standing(BUCKET).unwrap();
    assert_eq!((manifest.version, manifest.blocks.len(), manifest.replaced.len()), (5, 1, 4));
    assert_eq!(manifest.blocks[0].events, 8);
    assert_eq!(world.lines(), expected);
    let blocks = |world: &World| world.shelf.keys().filter(|path| path.ends_with(".tbk")).count();
    assert_eq!(blocks(&world), 5, "who searched before the merge still finds the parts");
    check_deletes_are_tried_again(world.clone());
    world.run_for(&mut porter, Duration::from_secs(3700));
    assert_eq!((blocks(&world), porter.counters().deleted), (1, 4));
    assert_eq!(world.lines(), expected);
    assert_eq!(world.manifests().len(), 5, "manifests stay as long as their bucket");
}

/// Four blocks were replaced; a porter that has only the shelf deletes them, though the shelf fails some times.
fn check_deletes_are_tried_again(mut world: World) {
    let replaced: Vec<String> =
        world.newest().iter().flat_map(|m| m.replaced.iter().map(|r| m.at.block(r.name).path())).collect();
    assert_eq!(replaced.len(), 4);
    world.stuck = replaced.iter().map(|path| (path.clone(), (3, 0))).collect();
    let mut porter = world.machine(51);
    while !porter.trouble().any(|said| said.contains("can't be deleted: it hangs")) {
        world.run_for(&mut porter, Duration::from_secs(30));
    }
    assert_eq!(porter.counters().deleted, 0);
    world.run_for(&mut porter, Duration::from_secs(600));
    assert_eq!(porter.counters().deleted, 4);
    assert!(
        replaced.iter().all(|path| !world.shelf.contains_key(path) && world.stuck[path].1 == 4),
        "{:?}",
        world.stuck
    );
    world.run_for(&mut porter, Duration::from_secs(600));
    assert!(world.stuck.values().all(|(_, tried)| *tried == 4), "what is gone is asked for once");
}
