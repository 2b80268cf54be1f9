//! C: ends of every kind, and what is known after them.

use crate::world::World;
use crate::{all_exact, text};
use std::time::Duration;
use tailer::action::Warning;

#[test]
fn c1_killed_at_any_moment() {
    let mut world = World::started(1);
    let mut written = String::new();
    for round in 0..20 {
        let more = text(round * 1000, round * 1000 + 1000);
        written += &more;
        world.write("/l/app.log", more.as_bytes());
        world.run(Duration::from_micros(100 + 7919 * round as u64));
        world.kill();
        world.start(true);
    }
    world.settle();
    all_exact(&world, &written);
    assert!(world.bytes_read < 3 * written.len() as u64, "what was read is read again once at most");
}

#[test]
fn c2_c3_everything_read_with_the_bucks_down_arrives_when_they_are_back() {
    for clean in [true, false] {
        let mut world = World::started(1);
        world.down = world.machine_bucks();
        world.write("/l/app.log", text(0, 5000).as_bytes());
        world.run_seconds(20);
        if clean {
            world.stop();
        } else {
            world.kill();
        }
        world.disk.delete("/l/app.log");
        world.down.clear();
        world.start(true);
        world.settle();
        all_exact(&world, &text(0, 5000));
        assert_eq!(world.bucks.fewest_copies(), 2);
    }
}

#[test]
fn c4_without_its_memory_the_spool_tells_where_to_go_on() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.settle();
    world.kill();
    world.wipe_memory();
    world.disk.append("/l/app.log", text(100, 200).as_bytes());
    let read = world.bytes_read;
    world.start(true);
    world.settle();
    all_exact(&world, &text(0, 200));
    assert!(world.bytes_read - read < 2 * text(100, 200).len() as u64, "it did not begin again");
}

#[test]
fn c5_a_full_disk_pauses_reading() {
    let mut world = World::started(1);
    world.full = true;
    world.write("/l/app.log", text(0, 20_000).as_bytes());
    world.run_seconds(60);
    assert_eq!(world.bucks.events().len(), 0, "nothing is sent that is not in the spool");
    let spool = |warning: &Warning| matches!(warning, Warning::Spool { .. });
    assert_eq!(world.warnings.iter().filter(|warning| spool(warning)).count(), 1, "{:?}", world.warnings);
    world.full = false;
    world.settle();
    all_exact(&world, &text(0, 20_000));
}

#[test]
fn c6_a_spool_torn_anywhere_loses_nothing() {
    let mut world = World::started(1);
    world.down = world.machine_bucks();
    for round in 0..5 {
        world.write("/l/app.log", text(round * 10, round * 10 + 10).as_bytes());
        world.run_seconds(2);
    }
    world.kill();
    let (place, whole) = world.spool.pop_last().expect("it wrote");
    let memory = world.memory.clone();
    for cut in (0..whole.len()).step_by(17) {
        let mut again = World::new(2);
        again.disk.append("/l/app.log", text(0, 60).as_bytes());
        again.spool.insert(place.clone(), whole[..cut].to_vec());
        again.memory = memory.clone();
        again.start(false);
        again.settle();
        all_exact(&again, &text(0, 60));
    }
}

#[test]
fn s5_after_two_truncations_spool_and_memory_are_lost_together() {
    for header in ["", "header\n"] {
        let mut world = World::started(1);
        let mut written = String::new();
        for round in 0..3 {
            let more = header.to_owned() + &text(round * 100, round * 100 + 50);
            written += &more;
            world.truncate_if_there("/l/app.log");
            world.write("/l/app.log", more.as_bytes());
            world.settle();
        }
        world.kill();
        world.wipe_spool();
        let more = text(1000, 1010);
        world.disk.append("/l/app.log", more.as_bytes());
        world.start(true);
        world.settle();
        all_exact(&world, &(written.clone() + &more));
        // And once more, with the file truncated meanwhile.
        world.kill();
        world.wipe_spool();
        let last = header.to_owned() + &text(2000, 2200);
        world.disk.truncate("/l/app.log", 0);
        world.disk.append("/l/app.log", last.as_bytes());
        world.start(false);
        world.settle();
        all_exact(&world, &(written + &more + &last));
    }
}

#[test]
fn known_is_asked_again_until_the_bucks_are_there() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.settle();
    world.kill();
    world.wipe_spool();
    world.down = world.machine_bucks();
    world.down.insert(crate::world::PORTER);
    world.start(true);
    world.run_seconds(5);
    world.down.clear();
    let read = world.bytes_read;
    world.settle();
    all_exact(&world, &text(0, 100));
    assert_eq!(world.bytes_read, read, "nothing was read again");
}

/// The host goes down, and its log loses lines that bucks have. Others are written where they were, while no buck can
/// be asked; then the host goes down again, and a part of what was read of them is nowhere.
#[test]
fn c7_a_gap_that_begins_inside_a_line_of_now_is_not_read_from_there() {
    let mut world = World::started(1);
    world.write("/l/app.log", b"first line\naaaa\nbbbb\n");
    world.settle();
    let before: Vec<_> = world.bucks.all().into_keys().cloned().collect();
    world.kill();
    world.wipe_spool();
    world.disk.truncate("/l/app.log", 11);
    world.disk.append("/l/app.log", b"cccccccccccccc\ndddd\n");
    world.down = world.machine_bucks();
    world.down.insert(crate::world::PORTER);
    world.start(false);
    world.run_seconds(15);
    world.down.clear();
    world.settle();
    let lost: Vec<_> = world.bucks.all().into_keys().filter(|id| !before.contains(id)).cloned().collect();
    assert!(!lost.is_empty());
    world.write("/l/app.log", b"eeee\n");
    world.settle();
    world.bucks.kept.values_mut().for_each(|kept| kept.retain(|id, _| !lost.contains(id)));
    world.kill();
    world.wipe_spool();
    world.start(false);
    world.settle();
    let lines: std::collections::BTreeSet<_> = world.all_lines().into_iter().collect();
    assert_eq!(lines.iter().collect::<Vec<_>>(), ["aaaa", "bbbb", "cccccccccccccc", "dddd", "eeee", "first line"]);
}

/// The spool is empty, so the memory alone knows how far everything was read.
#[test]
fn c8_what_is_on_the_shelf_is_not_read_again() {
    for clean in [true, false] {
        let mut world = World::started(1);
        world.write("/l/app.log", text(0, 5000).as_bytes());
        world.run_seconds(300);
        assert!(world.spool.values().all(Vec::is_empty) || world.spool.is_empty(), "what has a receipt is deleted");
        for round in 1..4 {
            if clean {
                world.stop();
            } else {
                world.kill();
            }
            let more = text(5000 * round, 5000 * round + 10);
            world.disk.append("/l/app.log", more.as_bytes());
            let read = world.bytes_read;
            world.start(true);
            world.run_seconds(300);
            assert_eq!(world.bytes_read - read, more.len() as u64, "clean: {clean}, round {round}");
        }
        let all: String =
            [text(0, 5000)].into_iter().chain((1..4).map(|round| text(5000 * round, 5000 * round + 10))).collect();
        all_exact(&world, &all);
    }
}
