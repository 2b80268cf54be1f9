//! Stories that break one rule each, and which checker says so.

use super::*;
use crate::cluster::Cluster;
use crate::nodes::TAILERS;
use crate::nodes::shelf::Archived;
use crate::story::options_of;
use crate::truth::{Fate, Life, Line, Truth};
use crate::world::World;
use porter::manifest::{Census, Manifest};
use porter::names::BucketAt;
use porter::ranges::Ranges;
use proto::closed::RunCount;
use proto::event::{Flags, Level, OwnedEvent, Source};
use proto::ids::{Environment, NodeId, PacketId, RunId, StreamId};
use proto::message::Completeness;
use proto::time::{BucketId, Timestamp};
use std::sync::Arc;

const HOST: NodeId = NodeId(0x101);
const STREAM: StreamId = StreamId([7; 16]);
const LIFE: Life = (1, Timestamp(5), 0);

fn world() -> World {
    Cluster::new(1, options_of(1, None), false).world
}

fn line(offset: u64, acked: bool, fate: Fate) -> Line {
    Line { host: HOST, life: LIFE, offset, bytes: b"a line".to_vec(), acked, kept_since: None, fate }
}

fn stands(offset: u64) -> Archived {
    Archived { tailer: HOST, stream: STREAM, offset, line: b"a line".to_vec(), lost_to: None }
}

/// All checks of what was written and what stands; the rules that are broken.
fn broken(lines: Vec<Line>, archived: &[Archived]) -> Vec<&'static str> {
    let (mut world, truth) = (world(), Truth::told(lines, &[(STREAM, LIFE)]));
    loss::check(&mut world, &truth);
    conserve::check(&mut world, &truth, archived);
    invention::check(&mut world, &truth, archived);
    once::check(&mut world, archived);
    world.ghost.violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_sound_story_breaks_nothing() {
    let lines = vec![
        line(0, true, Fate::Archived),
        line(7, false, Fate::Archived),
        line(14, false, Fate::Vanished),
        line(21, false, Fate::HostLost),
    ];
    assert_eq!(broken(lines, &[stands(0), stands(7)]), [""; 0]);
}

#[test]
fn s2_a_line_that_two_bucks_kept_went_with_its_host() {
    let lines = vec![line(0, true, Fate::Archived), line(7, true, Fate::HostLost)];
    assert_eq!(broken(lines, &[stands(0)]), [loss::ACKED]);
}

#[test]
fn s3_a_line_its_host_still_had_is_nowhere() {
    let lines = vec![line(0, true, Fate::Archived), line(7, false, Fate::Lost)];
    // What is lost without a reason is not accounted for either.
    assert_eq!(broken(lines, &[stands(0)]), [loss::UNACKED, conserve::RULE]);
}

#[test]
fn s4_a_line_stands_that_nobody_wrote() {
    for invented in [
        stands(3),
        Archived { line: b"another".to_vec(), ..stands(0) },
        Archived { tailer: NodeId(0x102), ..stands(0) },
        Archived { stream: StreamId([8; 16]), ..stands(0) },
    ] {
        let (mut world, truth) = (world(), Truth::told(vec![line(0, true, Fate::Archived)], &[(STREAM, LIFE)]));
        invention::check(&mut world, &truth, &[stands(0), invented]);
        let rules: Vec<_> = world.ghost.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, [invention::RULE]);
    }
}

#[test]
fn s7_what_is_said_to_be_lost_stands() {
    let check = |from, to, stream, expected: &[&str]| {
        let (mut world, truth) = (world(), Truth::told(vec![line(0, true, Fate::Archived)], &[(STREAM, LIFE)]));
        loss::check_named(&mut world, &truth, &[Archived { stream, lost_to: Some(to), ..stands(from) }]);
        let rules: Vec<_> = world.ghost.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected, "{from} to {to}");
    };
    check(7, 90, STREAM, &[]);
    check(0, 7, STREAM, &[loss::NAMED]);
    check(7, 90, StreamId([8; 16]), &[loss::NAMED]);
}

#[test]
fn s5_an_event_stands_in_two_blocks() {
    assert_eq!(broken(vec![line(0, true, Fate::Archived)], &[stands(0), stands(0)]), [once::RULE]);
}

#[test]
fn s5_a_line_was_read_again_under_another_name() {
    let again = line(0, true, Fate::Archived);
    for (repeated, expected) in [(Vec::new(), vec![]), (vec![again], vec![once::LIVES])] {
        let (mut world, mut truth) = (world(), Truth::told(vec![line(0, true, Fate::Archived)], &[(STREAM, LIFE)]));
        truth.repeated = repeated;
        once::check_lives(&mut world, &truth);
        let rules: Vec<_> = world.ghost.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected);
    }
}

/// Nothing is lost and nothing invented, and yet the numbers do not meet.
#[test]
fn s7_a_line_that_is_said_to_have_vanished_stands() {
    let lines = vec![line(0, true, Fate::Archived), line(7, false, Fate::Vanished)];
    assert_eq!(broken(lines, &[stands(0), stands(7)]), [conserve::RULE]);
}

fn manifest(packets: &[PacketId], completeness: Completeness) -> Manifest {
    let mut ranges = Ranges::default();
    packets.iter().for_each(|packet| ranges.insert(packet));
    Manifest {
        at: BucketAt { environment: Environment::default(), bucket: BucketId(9) }.shard(0),
        shards: 1,
        version: 1,
        by: NodeId(0x301),
        written: Timestamp(0),
        copies: 1,
        blocks: Vec::new(),
        replaced: Vec::new(),
        packets: ranges,
        census: Census::default(),
        completeness,
    }
}

#[test]
fn s10_a_bucket_is_put_as_complete_without_a_packet_or_a_tailers_word() {
    let check = |closed: u64, packets: &[PacketId], completeness, expected: &[&str]| {
        let mut world = world();
        for n in 1..=closed.min(world.options.hosts) {
            let runs = if n == 1 { vec![RunCount { run: RunId(1), packets: 2 }] } else { Vec::new() };
            world.ghost.closings.insert((NodeId(TAILERS + n), BucketId(9)), runs);
        }
        honest::manifest_put(&mut world, &manifest(packets, completeness));
        let rules: Vec<_> = world.ghost.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected, "{closed} closed, {packets:?}");
    };
    let partial = Completeness { unheard: vec![HOST], ..Completeness::default() };
    check(9, &[id(0), id(1)], Completeness::default(), &[]);
    check(0, &[id(0)], partial, &[]);
    check(9, &[id(0)], Completeness::default(), &[honest::CLOSED]);
    check(1, &[id(0), id(1)], Completeness::default(), &vec![honest::CLOSED; world().options.hosts as usize - 1]);
}

fn id(seq: u32) -> PacketId {
    PacketId { tailer: HOST, environment: Environment::default(), bucket: BucketId(9), run: RunId(1), seq }
}

fn source() -> Source {
    Source {
        tailer: HOST,
        environment: Environment::default(),
        stream: STREAM,
        host: String::new(),
        app: String::new(),
        path: "/l/app.log".to_owned(),
        generation: 0,
        predecessor: None,
        labels: Vec::new(),
    }
}

#[test]
fn s16_a_line_stands_where_its_stamp_or_its_filing_is_not() {
    let world_width = world().width();
    let bucket = world_width.bucket_of(world().began());
    let begins = world_width.start_of(bucket);
    let seconds = |count: i64| Timestamp(begins.0 + count * 1_000_000_000);
    let check = |line: String, time: Timestamp, flags: Flags, expected: &[&str]| {
        let source = Arc::new(source());
        let line = line.into_bytes();
        let event = OwnedEvent { source, offset: 0, time, level: Level::Unknown, flags, file_length: 0, line };
        let mut world = world();
        clock::check_time(&mut world, world_width, bucket, &event);
        let rules: Vec<_> = world.ghost.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, expected, "{event:?}");
    };
    let stamped = |at: i64| format!("{} INFO up", seconds(at));
    check(stamped(5), seconds(5), Flags::NONE, &[]);
    check(stamped(-3600), seconds(-3600), Flags::NONE, &[]);
    check(stamped(86_400), seconds(7), Flags::TIME_FILED, &[]);
    check("no stamp".into(), seconds(7), Flags::TIME_FILED, &[]);
    // Believed though it is a day ahead; not believed though it is not; said to be the stamp's and is not; filed when
    // the bucket was not open.
    check(stamped(86_400), seconds(86_400), Flags::NONE, &[clock::TIMES]);
    check(stamped(5), seconds(7), Flags::TIME_FILED, &[clock::TIMES]);
    check(stamped(5), seconds(6), Flags::NONE, &[clock::TIMES]);
    check("no stamp".into(), seconds(-7), Flags::TIME_FILED, &[clock::TIMES]);
    let width = i64::from(world_width.seconds());
    check("no stamp".into(), seconds(width), Flags::TIME_FILED, &[clock::TIMES]);
}
