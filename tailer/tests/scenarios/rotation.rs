//! A: files that are renamed, truncated and copied.

use crate::world::World;
use crate::{all_exact, exact, text};
use std::collections::BTreeSet;
use std::time::Duration;
use tailer::action::{Trouble, Warning};

#[test]
fn a1_a_file_is_renamed_and_written_to_still() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 50).as_bytes());
    world.settle();
    world.rename("/l/app.log", "/l/app.log.1");
    world.write("/l/app.log.1", text(50, 60).as_bytes());
    world.write("/l/app.log", text(100, 200).as_bytes());
    world.settle();
    all_exact(&world, &(text(0, 60) + &text(100, 200)));
    let streams: BTreeSet<_> = world.bucks.events().into_keys().map(|id| id.stream).collect();
    assert_eq!(streams.len(), 2);
    let second =
        world.bucks.events().into_iter().find(|(_, found)| found.line.starts_with(b"2026-11-21T10:00:00Z line 000150"));
    let (id, found) = second.expect("it is there");
    assert!(found.predecessor.is_some_and(|before| before != id.stream), "it says what stood there before");
}

#[test]
fn a2_rotated_while_the_tailer_is_down() {
    for clean in [true, false] {
        let mut world = World::started(1);
        world.write("/l/app.log", text(0, 10).as_bytes());
        world.settle();
        if clean {
            world.stop();
        } else {
            world.kill();
        }
        world.disk.append("/l/app.log", text(10, 60).as_bytes());
        world.disk.rename("/l/app.log", "/l/app.log.1");
        world.disk.append("/l/app.log", text(100, 150).as_bytes());
        world.start(true);
        world.settle();
        all_exact(&world, &(text(0, 60) + &text(100, 150)));
    }
}

#[test]
fn a3_copytruncate_with_less_new_content() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 50).as_bytes());
    world.settle();
    world.truncate("/l/app.log");
    world.write("/l/app.log", text(100, 110).as_bytes());
    world.settle();
    all_exact(&world, &(text(0, 50) + &text(100, 110)));
}

#[test]
fn a4_truncated_and_rewritten_with_more_between_two_looks() {
    for (same_header, birth) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = World::new(1);
        world.disk.tells_birth = birth;
        world.start(true);
        let header = if same_header { "header ".repeat(200) + "\n" } else { String::new() };
        world.write("/l/app.log", (header.clone() + &text(0, 100)).as_bytes());
        world.settle();
        world.disk.truncate("/l/app.log", 0);
        world.write("/l/app.log", (header.clone() + &text(1000, 1300)).as_bytes());
        world.settle();
        all_exact(&world, &(header.repeat(2) + &text(0, 100) + &text(1000, 1300)));
    }
}

#[test]
fn a6_truncated_and_rewritten_while_the_tailer_is_down() {
    for (clean, header) in [(true, ""), (false, ""), (true, "header\n"), (false, "header\n")] {
        let mut world = World::started(1);
        world.write("/l/app.log", (header.to_owned() + &text(0, 100)).as_bytes());
        world.settle();
        if clean {
            world.stop();
        } else {
            world.kill();
        }
        world.disk.truncate("/l/app.log", 0);
        world.disk.append("/l/app.log", (header.to_owned() + &text(1000, 1300)).as_bytes());
        world.start(true);
        world.settle();
        all_exact(&world, &(header.repeat(2) + &text(0, 100) + &text(1000, 1300)));
    }
}

#[test]
fn a7_the_copy_of_copytruncate_is_known_for_what_it_is() {
    for copied_at_once in [true, false] {
        let mut world = World::started(1);
        world.write("/l/app.log", text(0, 100).as_bytes());
        world.settle();
        let copy = world.disk.bytes("/l/app.log");
        let half = if copied_at_once { copy.len() } else { copy.len() / 2 };
        world.write("/l/app.log.1", &copy[..half]);
        if !copied_at_once {
            world.run_seconds(2);
        }
        world.write("/l/app.log.1", &copy[half..]);
        world.truncate("/l/app.log");
        world.write("/l/app.log", text(1000, 1010).as_bytes());
        world.settle();
        world.run_seconds(30);
        all_exact(&world, &(text(0, 100) + &text(1000, 1010)));
        assert_eq!(world.lost_warnings(), 0);
    }
}

#[test]
fn a7_lines_that_only_the_copy_has_are_read_from_it() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.settle();
    world.disk.append("/l/app.log", text(100, 120).as_bytes());
    world.disk.append("/l/app.log.1", text(0, 120).as_bytes());
    world.truncate("/l/app.log");
    world.write("/l/app.log", text(1000, 1010).as_bytes());
    world.settle();
    world.run_seconds(30);
    exact(&world, "/l/app.log", &(text(0, 120) + &text(1000, 1010)));
    assert_eq!(world.lost_warnings(), 0);
}

#[test]
fn a8_what_was_truncated_away_unread_is_counted_and_said() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.settle();
    world.full = true;
    world.write("/l/app.log", text(100, 110).as_bytes());
    world.run_seconds(1);
    world.write("/l/app.log", text(110, 130).as_bytes());
    world.run_seconds(4);
    world.truncate("/l/app.log");
    world.full = false;
    world.write("/l/app.log", text(1000, 1010).as_bytes());
    world.settle();
    world.run_seconds(60);
    all_exact(&world, &(text(0, 110) + &text(1000, 1010)));
    assert_eq!(world.lost_warnings(), 1);
    let (read, lost) = (text(0, 110).len() as u64, text(110, 130).len());
    assert_eq!(world.machine().counters().lost_bytes, lost as u64);
    let words = format!("tailbuck: {lost} bytes are lost here: they were gone before they were read");
    assert_eq!(world.told_losses(), [(read, words)]);
}

#[test]
fn a9_a_hole_of_nuls_is_passed_over() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.settle();
    world.truncate("/l/app.log");
    world.settle();
    world.disk.truncate("/l/app.log", 50 << 20);
    world.write("/l/app.log", text(100, 120).as_bytes());
    world.settle();
    all_exact(&world, &(text(0, 10) + &text(100, 120)));
    assert_eq!(world.machine().counters().holes, 1);
    world.kill();
    world.start(true);
    world.settle();
    all_exact(&world, &(text(0, 10) + &text(100, 120)));
}

#[test]
fn a10_quick_renames_in_a_long_chain() {
    let mut world = World::started(1);
    let mut written = String::new();
    for round in 0..20 {
        for n in (1..20).rev() {
            let (from, to) = (format!("/l/app.log.{n}"), format!("/l/app.log.{}", n + 1));
            if world.disk.exists(&from) {
                world.rename(&from, &to);
            }
        }
        if world.disk.exists("/l/app.log") {
            world.rename("/l/app.log", "/l/app.log.1");
        }
        let more = text(round * 500, round * 500 + 500);
        world.write("/l/app.log", more.as_bytes());
        written += &more;
        world.run(Duration::from_millis(50));
    }
    world.settle();
    all_exact(&world, &written);
}

#[test]
fn a12_a_file_that_may_not_be_read_yet_is_tried_again() {
    let mut world = World::started(1);
    world.disk.create("/l/app.log");
    world.disk.inode_mut("/l/app.log").denied = true;
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.run_seconds(10);
    assert_eq!(world.warnings, [Warning::Unreadable { path: "/l/app.log".into(), why: Trouble::Denied }]);
    world.disk.inode_mut("/l/app.log").denied = false;
    world.run_seconds(3);
    all_exact(&world, &text(0, 10));
}

#[test]
fn a13_rotation_while_no_buck_can_be_reached() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.settle();
    world.down = world.machine_bucks();
    for round in 1..10 {
        world.write("/l/app.log", text(round * 100, round * 100 + 50).as_bytes());
        world.run_seconds(30);
        world.rename("/l/app.log", &format!("/l/app.log.{round}"));
        world.write("/l/app.log", text(round * 100 + 50, round * 100 + 100).as_bytes());
        world.run_seconds(30);
        world.disk.delete(&format!("/l/app.log.{round}"));
    }
    world.down.clear();
    world.run_seconds(180);
    world.settle();
    all_exact(&world, &(text(0, 10) + &text(100, 1000)));
}

/// A program that writes a line an hour has not noticed yet that its log was put aside.
#[test]
fn a14_what_is_written_late_to_a_file_that_was_put_aside_is_read() {
    let mut world = World::new(1);
    world.fits = |path| path.extension().is_some_and(|extension| extension == "log");
    world.start(true);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.settle();
    world.rename("/l/app.log", "/l/app.old");
    world.write("/l/app.log", text(100, 110).as_bytes());
    for minute in 0..4 {
        world.run_seconds(60);
        world.disk.append("/l/app.old", text(10 + minute, 11 + minute).as_bytes());
    }
    world.run_seconds(20);
    world.settle();
    all_exact(&world, &(text(0, 14) + &text(100, 110)));
    world.disk.delete("/l/app.old");
    world.run_seconds(30);
    assert_eq!(world.disk.open_count(), 1, "a file without a name is not held for long");
}

#[test]
fn a15_files_that_end_in_the_middle_of_a_line_hold_up_no_others() {
    let mut world = World::new(1);
    world.config.open_files_max = 8;
    world.start(true);
    for number in 0..30 {
        world.write(&format!("/l/{number:02}.log"), format!("line of {number:02}\nand a half").as_bytes());
    }
    world.run_seconds(10);
    let all: String = (0..30).map(|number| format!("line of {number:02}\n")).collect();
    all_exact(&world, &all);
    let reads = world.reads;
    world.run_seconds(60);
    assert_eq!(world.reads, reads, "nothing changed, so nothing is read");
    world.write("/l/07.log", b" is whole\n");
    world.run_seconds(2);
    all_exact(&world, &(all + "and a half is whole\n"));
}

#[test]
fn a16_a_file_emptied_before_its_first_line_was_whole_is_counted() {
    let mut world = World::started(1);
    world.write("/l/app.log", b"half a line");
    world.run_seconds(1);
    world.truncate("/l/app.log");
    world.write("/l/app.log", text(0, 1).as_bytes());
    world.settle();
    all_exact(&world, &text(0, 1));
    assert_eq!((world.machine().counters().lost_bytes, world.lost_warnings()), (11, 1));
}
