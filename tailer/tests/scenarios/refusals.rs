//! D: what bucks do not take, and what the spool can't give back.

use crate::world::{TAILER, World};
use crate::{all_exact, text};
use proto::ids::{Environment, NodeId};
use proto::message::PutOutcome;
use proto::packet::Packet;
use std::cell::Cell;
use std::rc::Rc;
use tailer::action::{Trouble, Warning};

fn not_allowed() -> PutOutcome {
    PutOutcome::NotAllowed("not in the roster".into())
}

fn seq_of(record: &[u8]) -> Option<u32> {
    Packet::parse(record).ok().map(|packet| packet.head.id.seq)
}

/// Only one packet is not allowed, until the switch is turned.
fn one_is_barred(world: &mut World, how: PutOutcome) -> Rc<Cell<bool>> {
    let barred = Rc::new(Cell::new(true));
    let seen = Rc::clone(&barred);
    world.outcome =
        Box::new(move |_, record| if seen.get() && seq_of(record) == Some(0) { how.clone() } else { PutOutcome::Kept });
    barred
}

fn said(world: &World, is: fn(&Warning) -> bool) -> usize {
    world.warnings.iter().filter(|warning| is(warning)).count()
}

#[test]
fn d1_a_record_that_no_buck_allows_waits_and_the_others_go_on() {
    let mut world = World::started(1);
    let barred = one_is_barred(&mut world, not_allowed());
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(2);
    world.write("/l/app.log", text(10, 20).as_bytes());
    world.run_seconds(2);
    assert_eq!(world.all_lines().len(), 10, "one record that nobody takes holds up no other");
    let counters = world.machine().counters();
    assert!(counters.parked >= 1 && counters.lost_bytes == 0, "{counters:?}");
    world.run_seconds(120);
    assert!(world.machine().counters().parked < 20, "it is not asked for again and again");
    let warned = said(&world, |warning| matches!(warning, Warning::NotAllowed { .. }));
    assert!((1..=4).contains(&warned), "once for each bucket of time: {:?}", world.warnings);
    let first = world.spool.keys().next().expect("it is in the spool").bucket;
    let (_, filed) = world.beat.first().expect("it beats").clone();
    assert!(filed < world.config.width.end_of(first), "a beat does not claim what lies in the spool alone");
    barred.set(false);
    world.run_seconds(610);
    all_exact(&world, &text(0, 20));
}

#[test]
fn d2_a_new_roster_is_reason_to_try_again() {
    let mut world = World::started(1);
    let barred = one_is_barred(&mut world, not_allowed());
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(200);
    barred.set(false);
    world.tell_peers();
    world.run_seconds(1);
    all_exact(&world, &text(0, 10));
}

#[test]
fn d3_one_buck_that_knows_too_little_does_not_matter() {
    let mut world = World::started(1);
    world.outcome = Box::new(|buck, _| if buck == NodeId(2) { not_allowed() } else { PutOutcome::Kept });
    for round in 0..20 {
        world.write("/l/app.log", text(round * 10, round * 10 + 10).as_bytes());
        world.run_seconds(1);
    }
    world.settle();
    all_exact(&world, &text(0, 200));
    assert_eq!(world.bucks.fewest_copies(), 2);
    assert_eq!(world.machine().counters().parked, 0);
}

#[test]
fn d4_what_is_refused_for_good_is_a_loss_that_is_named() {
    let mut world = World::started(1);
    one_is_barred(&mut world, PutOutcome::Refused("another record of its name is kept".into()));
    let written = text(0, 10);
    world.write("/l/app.log", written.as_bytes());
    world.run_seconds(2);
    let counters = world.machine().counters();
    assert_eq!((counters.lost_bytes, counters.arrived), (written.len() as u64, 0));
    let (_, filed) = world.beat.first().expect("it beats").clone();
    assert!(filed <= world.true_time().before(std::time::Duration::from_secs(1)), "a beat does not claim it");
    world.run_seconds(120);
    let extents: Vec<_> =
        world.bucks.closed.values().flat_map(|closed| &closed.losses).flat_map(|(_, extents)| extents).collect();
    assert_eq!(extents.len(), 1, "{extents:?}");
    assert_eq!((extents[0].from, extents[0].to), (0, written.len() as u64));
    let (_, filed) = world.beat.first().expect("it beats").clone();
    assert!(filed > world.true_time().before(std::time::Duration::from_secs(10)), "the closing counts it now");
}

#[test]
fn d5_a_passing_error_of_the_spools_disk_loses_nothing() {
    for trouble in [Trouble::Failed, Trouble::Denied] {
        let mut world = World::started(1);
        world.down = world.machine_bucks();
        world.write("/l/app.log", text(0, 100).as_bytes());
        world.run_seconds(20);
        world.down.clear();
        world.spool_trouble = Some(trouble);
        world.run_seconds(130);
        assert_eq!(world.all_lines().len(), 0);
        let warned = said(&world, |warning| matches!(warning, Warning::SpoolUnread { .. }));
        assert!((1..=6).contains(&warned), "{:?}", world.warnings);
        world.spool_trouble = None;
        world.settle();
        all_exact(&world, &text(0, 100));
        assert_eq!(world.machine().counters().lost_bytes, 0);
    }
}

#[test]
fn d6_what_the_spool_does_not_hold_any_more_is_no_arrival() {
    let mut world = World::started(1);
    world.down = world.machine_bucks();
    world.run_seconds(25);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(5);
    let (_, file) = world.spool.iter_mut().next().expect("it was spooled");
    let middle = file.len() / 2;
    file[middle..].fill(0xff);
    world.down.clear();
    world.run_seconds(20);
    assert_eq!(said(&world, |warning| matches!(warning, Warning::Unspooled { .. })), 1, "{:?}", world.warnings);
    assert!(world.bucks.all().is_empty());
    let (_, filed) = world.beat.first().expect("it beats").clone();
    assert!(filed < world.true_time().before(std::time::Duration::from_secs(20)), "a beat does not claim it");
}

/// A clock ran ahead while no buck could correct it. After a restart it is right, and there is a bucket to come.
#[test]
fn d7_a_bucket_of_a_clock_that_ran_ahead_is_gone_on_with() {
    for minutes in [10, 50, 600] {
        let mut world = World::new(1);
        world.down = world.machine_bucks();
        world.ahead = std::time::Duration::from_secs(60 * minutes);
        world.start(true);
        world.write("/l/app.log", text(0, 10).as_bytes());
        world.run_seconds(5);
        world.kill();
        (world.ahead, world.down) = (std::time::Duration::ZERO, std::collections::BTreeSet::new());
        world.start(true);
        for minute in 1..=80 {
            world.write("/l/app.log", text(minute * 10, minute * 10 + 10).as_bytes());
            world.run_seconds(60);
        }
        world.run_seconds(120);
        all_exact(&world, &text(0, 810));
        for (id, record) in world.bucks.all() {
            let filed = Packet::parse(record).expect("whole").head.filed;
            let width = world.config.width;
            assert_eq!((width.bucket_of(filed.first), width.bucket_of(filed.last)), (id.bucket, id.bucket));
            let closed = world.bucks.closed.get(&(Environment::default(), id.bucket)).expect("every bucket is closed");
            assert!(closed.tailer == TAILER && closed.runs.iter().any(|of| of.run == id.run && of.packets > id.seq));
        }
    }
}
