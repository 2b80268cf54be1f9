//! D: lines of every kind.

use crate::all_exact;
use crate::world::World;
use proto::event::Flags;

#[test]
fn d1_half_a_line_waits_for_its_other_half() {
    let mut world = World::started(1);
    world.write("/l/app.log", b"half of it");
    world.run_seconds(4);
    assert_eq!(world.all_lines(), [""; 0]);
    world.write("/l/app.log", b" and the rest\n");
    world.settle();
    all_exact(&world, "half of it and the rest\n");
}

#[test]
fn d2_a_last_line_without_newline_is_sent_when_the_file_is_gone() {
    for renamed in [true, false] {
        let mut world = World::started(1);
        world.write("/l/app.log", b"one\ntwo");
        world.run_seconds(3);
        if renamed {
            world.rename("/l/app.log", "/l/app.log.1");
        } else {
            world.disk.delete("/l/app.log");
        }
        world.run_seconds(30);
        all_exact(&world, "one\ntwo\n");
        let last = world.bucks.events().into_values().find(|found| found.line == b"two").expect("it is there");
        assert!(last.flags.has(Flags::NEWLINE_ABSENT));
    }
}

#[test]
fn d3_d4_a_very_long_line_between_others_also_across_a_restart() {
    let mut world = World::started(1);
    let long = "x".repeat(2 << 20);
    world.write("/l/app.log", b"before\n");
    world.write("/l/app.log", &long.as_bytes()[..1 << 20]);
    world.run_seconds(3);
    world.kill();
    world.start(true);
    world.run_seconds(3);
    world.write("/l/app.log", &long.as_bytes()[1 << 20..]);
    world.write("/l/app.log", b"\nafter\n");
    world.settle();
    let events = world.bucks.events();
    let joined: Vec<u8> = events
        .values()
        .flat_map(|found| {
            let newline: &[u8] = if found.flags.has(Flags::CONTINUES) { b"" } else { b"\n" };
            [found.line.as_slice(), newline].concat()
        })
        .collect();
    assert!(joined == format!("before\n{long}\nafter\n").into_bytes());
    assert_eq!(events.len(), 2 + (2_usize << 20).div_ceil(65_535));
}

#[test]
fn d6_any_bytes_are_kept() {
    let mut world = World::started(1);
    let bytes = b"crlf\r\nlone\rcr\n\xff\xfea\0b\0\nnul\0inside\n\xc3\x28\n\n";
    world.write("/l/app.log", bytes);
    world.settle();
    let found: Vec<u8> =
        world.bucks.events().into_values().flat_map(|found| [found.line, b"\n".to_vec()].concat()).collect();
    assert_eq!(found, bytes);
}

#[test]
fn a_thousand_equal_lines_stay_a_thousand() {
    let mut world = World::started(1);
    world.write("/l/app.log", "2026-11-21T10:00:00Z the same\n".repeat(1000).as_bytes());
    world.settle();
    assert_eq!(world.bucks.events().len(), 1000);
}
