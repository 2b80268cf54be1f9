//! Porters that were killed, slept or work side by side: what stands is what one alone would have put.

use super::*;
use proptest::prelude::*;

/// Kills the porter after each number of actions, done or not answered; the next one goes on.
#[test]
fn killed_at_every_step_and_started_again_the_result_is_the_same() {
    let (world, packets) = usual();
    let mut whole = world.clone();
    let mut porter = whole.machine(50);
    let steps = whole.settle(&mut porter);
    assert!(steps > 10);
    let blocks = |world: &World| world.newest().iter().map(|m| m.blocks.clone()).collect::<Vec<_>>();
    for kill in 0..steps {
        let mut world = world.clone();
        let mut porter = world.machine(50);
        porter.on_timeout(world.now);
        for _ in 0..kill {
            let action = porter.poll_action().unwrap();
            if let Some((ask, reply)) = world.perform(action) {
                porter.on_reply(world.now, ask, reply);
            }
        }
        // Receipts speak only of what can be read.
        for packet in packets.iter().filter(|packet| world.receipted(packet)) {
            assert!(world.lines().len() == ALL.len(), "{packet} has a receipt after {kill} steps");
        }
        let mut next = world.machine(51);
        world.run_for(&mut next, Duration::from_secs(20));
        assert_eq!(world.lines(), ALL, "killed after {kill}");
        assert_eq!(blocks(&world), blocks(&whole), "killed after {kill}");
        assert!(world.standing(BUCKET).unwrap().completeness.is_complete());
    }
}

/// One porter pauses at each step, another does all the work, the first goes on.
#[test]
fn a_porter_that_slept_through_anothers_work_changes_nothing() {
    let (world, _) = usual();
    for pause in 0..40 {
        let mut world = world.clone();
        world.peers.porters = 2;
        world.rules.late_every = Duration::from_secs(60);
        let (mut one, mut two) = (world.machine(50), world.machine(51));
        one.on_timeout(world.now);
        for _ in 0..pause {
            let Some(action) = one.poll_action() else { break };
            if let Some((ask, reply)) = world.perform(action) {
                one.on_reply(world.now, ask, reply);
            }
        }
        let held = one.poll_action();
        // Longer than any lease; a late packet comes, so that there are two versions.
        world.pass(Duration::from_secs(100));
        world.run_for(&mut two, Duration::from_secs(10));
        world.keep(&[10, 12], &packet(1, 8, BUCKET, 0, 23, &["late"]));
        world.run_for(&mut two, Duration::from_secs(70));
        let stands = world.standing(BUCKET).unwrap();
        if let Some((ask, reply)) = held.and_then(|action| world.perform(action)) {
            one.on_reply(world.now, ask, reply);
        }
        world.run_for(&mut one, Duration::from_secs(65));
        assert_eq!(world.lines(), ["one", "two", "three", "four", "two", "late"], "paused at {pause}");
        assert_eq!(world.standing(BUCKET).unwrap(), stands, "paused at {pause}");
        // What it would give receipts by is what the shelf has under that number.
        if let Some(believed) = one.standing().get(&stands.at) {
            let path = believed.at.object(Object::Manifest(believed.version));
            assert_eq!(world.shelf[&path][..], believed.write(), "paused at {pause}");
        }
    }
}

/// A tailer without memory filed its lines in two buckets, and two porters put one each, neither knowing of the
/// other: the later one is written again, by whichever porter, also by one that starts after that.
#[test]
fn what_two_porters_put_at_once_stands_once_soon() {
    for fixed_by in [50, 51, 52] {
        let (mut world, packets) = usual();
        world.peers.porters = 2;
        world.now.wall = width().end_of(LATER).after(Duration::from_secs(6));
        let again = packet(1, 8, LATER, 0, 0, &["one", "two", "three"]);
        let new = packet(1, 8, LATER, 1, 23, &["five"]);
        world.buck(11).away = true;
        let (mut one, mut two) = (world.machine(50), world.machine(51));
        one.on_timeout(world.now);
        let mut held = Vec::new();
        // The first porter comes as far as its manifest; meanwhile the second does the other bucket.
        while let Some(action) = one.poll_action() {
            if matches!(&action, Action::PutIfAbsent { path, .. } if path.ends_with("/m-1")) {
                held.push(action);
                break;
            }
            if let Some((ask, reply)) = world.perform(action) {
                one.on_reply(world.now, ask, reply);
            }
        }
        let first: Vec<_> = std::mem::take(&mut world.buck(10).packets).into_iter().collect();
        let second: Vec<_> = std::mem::take(&mut world.buck(12).packets).into_iter().collect();
        world.keep(&[10, 12], &again);
        world.keep(&[10, 12], &new);
        world.close(&[10], LATER, &closing(1, LATER, None, &[(8, 2)]));
        world.run_for(&mut two, Duration::from_secs(5));
        assert!(world.standing(LATER).is_some() && world.standing(BUCKET).is_none());
        for action in held {
            let (ask, reply) = world.perform(action).unwrap();
            one.on_reply(world.now, ask, reply);
        }
        world.buck(10).packets.extend(first);
        world.buck(12).packets.extend(second);
        world.buck(11).away = false;
        let doubled = world.lines();
        assert!(doubled.len() > 6, "{doubled:?}");
        let mut fixes = if fixed_by == 50 {
            one
        } else if fixed_by == 51 {
            two
        } else {
            world.machine(52)
        };
        fixes.on_manifests(world.now, &world.newest());
        world.run_for(&mut fixes, Duration::from_secs(100));
        assert_eq!(world.lines(), ["one", "two", "three", "four", "two", "five"], "by {fixed_by}");
        assert_eq!(world.standing(LATER).unwrap().blocks[0].events, 1);
        assert!(fixes.counters().mended >= 1 && packets.iter().chain([&again.0, &new.0]).all(|id| world.receipted(id)));
        let versions = world.manifests().len();
        world.run_for(&mut fixes, Duration::from_secs(3600));
        assert_eq!(world.manifests().len(), versions, "nothing more to be done");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Two porters side by side; answers come in any order, twice, late or as failures that happened all the same.
    #[test]
    fn any_order_of_answers_makes_the_same_blocks(seed in prop::collection::vec(any::<u8>(), 1..400)) {
        let (mut world, packets) = usual();
        let mut whole = world.clone();
        let mut alone = whole.machine(50);
        whole.settle(&mut alone);
        world.peers.porters = 2;
        let mut porters = [world.machine(50), world.machine(51)];
        let mut open: Vec<(usize, AskId, Reply)> = Vec::new();
        let mut choices = seed.into_iter().cycle();
        // Few enough that it comes to an end, whatever was drawn.
        let mut failures = 0;
        for _ in 0..3000 {
            for (number, porter) in porters.iter_mut().enumerate() {
                porter.on_timeout(world.now);
                while let Some(action) = porter.poll_action() {
                    open.extend(world.perform(action).map(|(ask, reply)| (number, ask, reply)));
                }
            }
            if open.is_empty() {
                world.pass(Duration::from_millis(700));
                continue;
            }
            let (pick, fate) = (choices.next().unwrap(), choices.next().unwrap());
            let (number, ask, reply) = open.swap_remove(usize::from(pick) % open.len());
            if fate % 16 == 0 && failures < 100 {
                failures += 1;
                porters[number].on_reply(world.now, ask, Reply::Failed("lost on the way".to_owned()));
            } else {
                porters[number].on_reply(world.now, ask, reply.clone());
            }
            if fate % 8 == 1 {
                porters[number].on_reply(world.now, ask, reply);
            }
            world.pass(Duration::from_millis(5));
        }
        prop_assert_eq!(world.lines(), ALL);
        prop_assert!(packets.iter().all(|packet| world.receipted(packet)));
        let names = |world: &World| {
            let blocks = world.newest().into_iter().flat_map(|m| m.blocks.clone()).map(|block| block.name);
            blocks.collect::<Vec<_>>()
        };
        if world.standing(BUCKET).unwrap().version == 1 {
            prop_assert_eq!(names(&world), names(&whole));
        }
    }
}
