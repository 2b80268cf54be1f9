//! Bucks that are there and bucks that are not; the ends of buckets; the spool.

use crate::world::{TAILER, World};
use crate::{all_exact, exact, text};
use proto::ids::NodeId;
use std::time::Duration;
use tailer::action::Warning;

#[test]
fn a_line_is_on_two_bucks_soon_after_it_was_written() {
    let mut world = World::started(1);
    world.run_seconds(3);
    world.write("/l/app.log", b"one\n");
    world.run(Duration::from_millis(100));
    exact(&world, "/l/app.log", "one\n");
    assert_eq!(world.bucks.fewest_copies(), 2);
}

#[test]
fn every_bucket_is_closed_also_when_nothing_was_said() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(400);
    let closed: Vec<_> = world.bucks.closed.values().collect();
    assert!(closed.len() >= 6, "{}", closed.len());
    let counted: u32 = closed.iter().flat_map(|closed| &closed.runs).map(|run| run.packets).sum();
    assert_eq!(counted as usize, world.bucks.all().len());
    let full = closed.iter().find(|closed| !closed.runs.is_empty()).expect("one had packets");
    assert!(closed.iter().filter(|after| after.bucket > full.bucket).all(|after| after.previous == Some(full.bucket)));
    assert!(world.spool.is_empty(), "what is on a shelf is deleted");
    assert_eq!(full.tailer, TAILER);
}

#[test]
fn a_bucket_left_open_by_a_crash_is_closed_by_the_next_run() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(3);
    world.kill();
    world.run_seconds(600);
    world.start(true);
    world.settle();
    let full = world.bucks.closed.values().find(|closed| !closed.runs.is_empty()).expect("it was closed");
    assert_eq!(full.runs[0].packets as usize, world.bucks.all().len());
}

#[test]
fn one_buck_of_three_down_is_no_news() {
    let mut world = World::started(1);
    world.down.insert(NodeId(2));
    for round in 0..20 {
        world.write("/l/app.log", text(round * 10, round * 10 + 10).as_bytes());
        world.run_seconds(1);
    }
    world.settle();
    all_exact(&world, &text(0, 200));
    assert_eq!(world.bucks.fewest_copies(), 2);
    assert!(!world.bucks.kept.contains_key(&NodeId(2)));
}

#[test]
fn with_one_buck_left_the_second_copy_is_made_when_another_is_back() {
    let mut world = World::started(1);
    world.down.extend([NodeId(2), NodeId(3)]);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.run_seconds(30);
    all_exact(&world, &text(0, 100));
    assert_eq!(world.bucks.fewest_copies(), 1);
    world.down.clear();
    world.run_seconds(180);
    world.settle();
    assert_eq!(world.bucks.fewest_copies(), 2);
    for buck in [NodeId(2), NodeId(3)] {
        let told = |warning: &Warning| world.warnings.iter().filter(|told| *told == warning).count();
        let news = (told(&Warning::BuckLost { buck }), told(&Warning::BuckBack { buck }));
        assert_eq!(news, (1, 1), "each once, however often it was tried: {:?}", world.warnings);
    }
}

#[test]
fn a_spool_over_its_budget_stops_reading_and_loses_nothing() {
    let mut world = World::new(1);
    world.config.spool_bytes_max = 1 << 20;
    world.start(true);
    world.run_seconds(3);
    world.down = world.machine_bucks();
    let mut noise = 88_172_645_463_325_252_u64;
    let mut written = String::new();
    for _ in 0..60_000 {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        written += &format!(
            "{noise:016x}{:016x}{:016x}\n",
            noise.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            noise.wrapping_mul(noise)
        );
    }
    world.write("/l/app.log", written.as_bytes());
    world.run_seconds(30);
    assert!(world.warnings.contains(&Warning::SpoolFull));
    let bytes: usize = world.spool.values().map(Vec::len).sum();
    assert!(bytes < 3 << 20, "{bytes}");
    world.down.clear();
    world.run_seconds(300);
    world.settle();
    all_exact(&world, &written);
}
