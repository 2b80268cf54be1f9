use super::*;
use crate::fleet::tests::roster;
use proto::ids::RunId;
use proto::message::{Completeness, Heard, Progress, ShardVersion};
use proto::packet::TimeSpan;
use proto::time::BucketId;

const NOW: i64 = 1_795_255_200;
const HOST: NodeId = NodeId(100);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

fn end(heard: &[(u64, i64)]) -> End {
    let heard = heard.iter().map(|(tailer, filed)| Heard {
        tailer: NodeId(*tailer),
        environment: Environment::default(),
        at: at(*filed),
        filed: at(*filed),
    });
    End { exhausted: true, progress: Progress::default(), heard: heard.collect(), trouble: Vec::new() }
}

fn answered(heard: &[(u64, i64)]) -> Fate {
    Fate::Answered(end(heard))
}

fn silent() -> Fate {
    Fate::Away { why: Away::Silent, reached: None }
}

/// The bucket of five minutes that ended an hour ago.
fn shard(completeness: Completeness) -> Shard {
    let bucket = BucketId(u64::try_from(NOW - 3600).expect("after 1970") / 300 - 1);
    let at = ShardVersion { environment: Environment::default(), bucket, shard: 0, version: 1 };
    let times = TimeSpan { first: self::at(-3900), last: self::at(-3600) };
    Shard { at, times, bytes: 1, completeness }
}

fn catalog(shards: Vec<Shard>) -> Shelf {
    Shelf::Catalog { porter: NodeId(50), shards }
}

/// Two hosts, three bucks, a porter; the range is (from, to) seconds from now.
fn judged(shelf: &Shelf, fates: &[(u64, Fate)], range: (i64, i64)) -> Verdict {
    let roster = roster(3, 2);
    let question = Question {
        roster: &roster,
        environments: &[Environment::default()],
        range: TimeRange { from: at(range.0), to: at(range.1) },
        order: SearchOrder::Newest,
        now: at(0),
        width: BucketWidth::default(),
    };
    judge(&question, shelf, &fates.iter().map(|(node, fate)| (NodeId(*node), fate.clone())).collect())
}

fn all_well(heard: &[(u64, i64)]) -> Vec<(u64, Fate)> {
    vec![(1, answered(heard)), (2, answered(&[])), (3, answered(&[])), (50, answered(&[]))]
}

#[test]
fn everyone_answers_and_every_host_was_heard() {
    let verdict = judged(&catalog(vec![]), &all_well(&[(100, -3), (101, -14)]), (-900, 0));
    assert!(verdict.is_complete());
    assert_eq!(verdict.sentence, "Complete, the newest second excepted.");
    let verdict = judged(&catalog(vec![]), &all_well(&[(100, -3), (101, -14)]), (-900, -600));
    assert_eq!(verdict.sentence, "Complete.");
}

#[test]
fn a_host_cut_off_is_named_and_healed_it_is_not() {
    let verdict = judged(&catalog(vec![]), &all_well(&[(100, -60), (101, -1)]), (-900, 0));
    assert_eq!(verdict.missing.len(), 1);
    assert_eq!((verdict.missing[0].name.as_str(), verdict.missing[0].is_host), ("host-100", true));
    assert_eq!(verdict.missing[0].range, TimeRange { from: at(-60), to: at(0) });
    assert_eq!(verdict.sentence, "Incomplete: host-100 not heard since 2026-11-21T09:59:00Z.");
    assert!(judged(&catalog(vec![]), &all_well(&[(100, -60), (101, -1)]), (-900, -50)).is_complete());
    assert!(judged(&catalog(vec![]), &all_well(&[(100, -1), (101, -1)]), (-900, 0)).is_complete());
}

#[test]
fn a_host_nobody_ever_heard_is_named() {
    let verdict = judged(&catalog(vec![]), &all_well(&[(101, -1)]), (-900, 0));
    assert_eq!(verdict.sentence, "Incomplete: host-100 never heard.");
    let old = judged(&catalog(vec![shard(Completeness::default())]), &all_well(&[]), (-7200, -3700));
    assert!(old.is_complete(), "everyone closed a bucket behind the range: {}", old.sentence);
}

#[test]
fn a_bucket_that_one_environment_closed_says_nothing_of_another() {
    let closed = catalog(vec![shard(Completeness::default())]);
    let old = judged(&closed, &all_well(&[]), (-7200, -3700));
    assert!(old.is_complete(), "{}", old.sentence);
    let mut elsewhere = shard(Completeness::default());
    elsewhere.at.environment = "prod".parse().expect("a name");
    let verdict = judged(&catalog(vec![elsewhere]), &all_well(&[]), (-7200, -3700));
    assert_eq!(verdict.missing.len(), 2, "{}", verdict.sentence);
}

#[test]
fn an_answer_that_its_limit_ended_still_knows_whom_bucks_have_heard() {
    let heard = [(100, -60), (101, -1)];
    let cut = |end| Fate::Cut { end };
    let fates = [(1, cut(Some(end(&heard)))), (2, cut(Some(end(&[])))), (3, cut(None)), (50, cut(None))];
    let verdict = judged(&catalog(vec![]), &fates, (-900, 0));
    assert_eq!(verdict.sentence, "Incomplete: host-100 not heard since 2026-11-21T09:59:00Z.");
}

#[test]
fn one_buck_away_is_a_remark_and_two_are_not() {
    let heard = [(100, -1), (101, -1)];
    let mut fates = vec![(1, answered(&heard)), (2, answered(&[])), (3, silent()), (50, answered(&[]))];
    let verdict = judged(&catalog(vec![]), &fates, (-900, 0));
    assert!(verdict.is_complete());
    assert_eq!(verdict.away, BTreeMap::from([("buck 10.0.0.3:4433".to_owned(), "silent".to_owned())]));
    assert!(verdict.sentence.contains("buck 10.0.0.3:4433 is silent; what two bucks acknowledged is here"));
    fates[1] = (2, Fate::Away { why: Away::Unreachable("no route".into()), reached: Some(at(-300)) });
    let verdict = judged(&catalog(vec![]), &fates, (-900, 0));
    let ranges: Vec<_> = verdict.missing.iter().map(|lack| (lack.node.0, lack.range)).collect();
    let (short, whole) = (TimeRange { from: at(-900), to: at(-300) }, TimeRange { from: at(-900), to: at(0) });
    assert_eq!(ranges, [(2, short), (3, whole)]);
}

#[test]
fn without_a_porter_the_shelf_is_missing() {
    let heard = [(100, -1), (101, -1)];
    let away = Shelf::Away(NodeId(50), Away::Silent);
    let verdict = judged(&away, &all_well(&heard), (-900, 0));
    assert_eq!(verdict.missing.len(), 1);
    assert!(verdict.sentence.starts_with("Incomplete: porter 10.0.0.50:4433 (silent;"), "{}", verdict.sentence);
    assert!(judged(&Shelf::None, &all_well(&heard), (-900, 0)).is_complete());
}

#[test]
fn a_porter_that_could_not_read_says_so() {
    let mut fates = all_well(&[(100, -1), (101, -1)]);
    let trouble = End { trouble: vec!["block recent/x.tbk is damaged at byte 7".into()], ..end(&[]) };
    fates[3] = (50, Fate::Answered(trouble));
    let verdict = judged(&catalog(vec![]), &fates, (-900, 0));
    assert_eq!(verdict.missing[0].why, "block recent/x.tbk is damaged at byte 7");
}

#[test]
fn a_host_away_when_its_bucket_was_ported_is_named_until_its_word_reaches_beyond() {
    let unheard = Completeness { unheard: vec![HOST], ..Completeness::default() };
    let shelf = catalog(vec![shard(unheard)]);
    let verdict = judged(&shelf, &all_well(&[(100, -3650), (101, -1)]), (-7200, -3660));
    assert_eq!(verdict.missing.len(), 1);
    assert_eq!(verdict.missing[0].name, "host-100");
    assert!(judged(&shelf, &all_well(&[(100, -1), (101, -1)]), (-7200, 0)).is_complete());
    let gone = Completeness { unheard: vec![NodeId(777)], ..Completeness::default() };
    assert!(judged(&catalog(vec![shard(gone)]), &all_well(&[(100, -1), (101, -1)]), (-7200, 0)).is_complete());
}

#[test]
fn packets_missing_from_the_shelf_are_named_unless_a_buck_came_back_with_them() {
    let gap = SeqRange { tailer: HOST, run: RunId(1), first: 3, last: 5 };
    let heard = [(100, -1), (101, -1)];
    for (bucks_away, complete) in [(vec![], false), (vec![NodeId(2)], true), (vec![NodeId(2), NodeId(9)], true)] {
        let completeness = Completeness { missing: vec![gap], bucks_away, ..Completeness::default() };
        let verdict = judged(&catalog(vec![shard(completeness)]), &all_well(&heard), (-7200, 0));
        assert_eq!(verdict.is_complete(), complete, "{}", verdict.sentence);
        if !complete {
            assert_eq!(verdict.missing[0].why, "3 packets are missing");
        }
    }
}

#[test]
fn many_names_are_counted() {
    let each = (0..7).map(|n| format!("host-{n}")).collect();
    assert_eq!(listed(each, 7), "host-0; host-1; host-2; host-3; and 3 more");
}
