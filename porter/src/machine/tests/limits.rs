//! What may be larger, fewer or later than usual, and is still written down so that any porter can read it.

use super::*;

#[test]
fn a_loss_is_written_down_when_nothing_of_its_bucket_can_be_used() {
    let (mut world, _) = usual();
    for bytes in world.bucks.values_mut().flat_map(|buck| buck.packets.values_mut()) {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    let mut porter = world.machine(50);
    world.run_for(&mut porter, Duration::from_secs(60));
    let manifest = world.standing(BUCKET).expect("it says what is missing");
    let missing: Vec<_> = manifest.completeness.missing.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!((missing, manifest.blocks.len()), (vec![(0, 2)], 0));
    world.run_for(&mut porter, Duration::from_secs(1800));
    assert_eq!(world.manifests().len(), 1, "nothing new, nothing written");
}

#[test]
fn closings_that_name_more_together_than_one_may_can_be_read_again() {
    let (mut world, _) = usual();
    for first in [1000, 2000] {
        let runs: Vec<(u64, u32)> = (first..first + 900).map(|run| (run, 0)).collect();
        world.close(&[10, 11], BUCKET, &closing(1, BUCKET, None, &runs));
    }
    let mut porter = world.machine(50);
    world.settle(&mut porter);
    let manifest = world.standing(BUCKET).expect("a manifest that can be read");
    assert_eq!(manifest.census.closings[&NodeId(1)].runs.len(), 1801);
    assert_eq!(world.lines(), ALL);
}

#[test]
fn a_clock_that_was_set_back_does_not_make_a_porter_spin() {
    let (mut world, _) = usual();
    let (hour, lease) = (Duration::from_secs(3600), world.rules.lease);
    world.pass(hour * 2);
    world.peers.porters = 2;
    let (mut one, mut two) = (world.machine(50), world.machine(51));
    one.on_timeout(world.now);
    while !world.shelf.keys().any(|path| path.contains("/l-")) {
        let action = one.poll_action().expect("it takes a lease");
        if let Some((ask, reply)) = world.perform(action) {
            one.on_reply(world.now, ask, reply);
        }
    }
    world.settle(&mut two);
    assert!(world.lines().is_empty(), "another has the lease");
    world.now.wall = world.now.wall.before(hour);
    world.pass(lease * 3);
    world.settle(&mut two);
    assert!(two.next_timeout().is_some_and(|at| at > world.now.mono), "it waits for nothing that is over");
    assert_eq!(world.lines(), ALL);
}
