//! B: which file is which.

use crate::world::World;
use crate::{all_exact, exact, text};
use tailer::action::Warning;

#[test]
fn b1_deleted_and_made_again_with_the_same_inode() {
    for birth in [true, false] {
        let mut world = World::new(1);
        world.disk.tells_birth = birth;
        world.start(true);
        world.write("/l/app.log", text(0, 100).as_bytes());
        world.settle();
        world.disk.delete("/l/app.log");
        world.run_seconds(if birth { 1 } else { 20 });
        world.write("/l/app.log", text(1000, 1100).as_bytes());
        world.settle();
        all_exact(&world, &(text(0, 100) + &text(1000, 1100)));
    }
}

#[test]
fn b2_the_same_while_the_tailer_is_down_with_more_content() {
    for (birth, clean) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut world = World::new(1);
        world.disk.tells_birth = birth;
        world.start(true);
        world.write("/l/app.log", text(0, 100).as_bytes());
        world.settle();
        if clean {
            world.stop();
        } else {
            world.kill();
        }
        world.disk.delete("/l/app.log");
        world.disk.append("/l/app.log", text(1000, 1300).as_bytes());
        world.start(true);
        world.settle();
        all_exact(&world, &(text(0, 100) + &text(1000, 1300)));
    }
}

#[test]
fn b3_an_offset_past_the_end_begins_again_with_one_warning() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 100).as_bytes());
    world.settle();
    world.stop();
    world.disk.truncate("/l/app.log", 0);
    world.disk.append("/l/app.log", text(500, 510).as_bytes());
    world.start(true);
    world.settle();
    all_exact(&world, &(text(0, 100) + &text(500, 510)));
    assert_eq!(world.warnings, [Warning::Restarted { path: "/l/app.log".into() }]);
}

#[test]
fn b4_two_files_that_begin_alike_are_two_files() {
    let mut world = World::started(1);
    let head = "the same words ".repeat(400) + "\n" + &text(0, 50);
    world.write("/l/messages", (head.clone() + &text(100, 200)).as_bytes());
    world.write("/l/messages-too", (head.clone() + &text(200, 300)).as_bytes());
    world.settle();
    world.run_seconds(10);
    all_exact(&world, &(head.repeat(2) + &text(100, 300)));
}

#[test]
fn b5_empty_files_cost_nothing_and_their_first_byte_is_seen() {
    let mut world = World::new(1);
    for n in 0..400 {
        world.disk.create(&format!("/l/{n}.log"));
    }
    world.start(true);
    world.run_seconds(20);
    assert_eq!((world.warnings.len(), world.bucks.events().len()), (0, 0));
    assert!(world.disk.open_count() <= 256);
    world.write("/l/399.log", b"hi\n");
    world.run_seconds(1);
    all_exact(&world, "hi\n");
}

#[test]
fn b7_a_file_under_two_names_is_read_once() {
    let mut world = World::started(1);
    world.write("/l/app.log", text(0, 10).as_bytes());
    world.settle();
    world.disk.link("/l/app.log", "/l/a-link.log");
    world.run_seconds(10);
    world.write("/l/app.log", text(10, 20).as_bytes());
    world.settle();
    exact(&world, "/l/app.log", &text(0, 20));
    all_exact(&world, &text(0, 20));
}
