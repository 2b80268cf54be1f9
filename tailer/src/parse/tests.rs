use super::*;
use proptest::prelude::*;
use proto::time::days_from_civil;

fn at(year: i64, month: u32, day: u32, hour: i64, minute: i64, second: i64, nanos: i64) -> Timestamp {
    let days = days_from_civil(year, month, day);
    Timestamp(Timestamp::from_seconds(days * 86_400 + hour * 3600 + minute * 60 + second).0 + nanos)
}

/// 2026-11-21 10:04:22 and a fraction.
fn then(nanos: i64) -> Timestamp {
    at(2026, 11, 21, 10, 4, 22, nanos)
}

fn rules() -> Rules {
    Rules { zone_seconds: None, nearest_to: then(0) }
}

fn read(line: &str) -> Reading<'_> {
    Habit::default().read(line.as_bytes(), then(0), &rules())
}

fn check(line: &str, time: Timestamp, level: Level, app: Option<&str>) {
    let first = read(line);
    assert_eq!((first.time, first.level, first.app), (time, level, app), "{line}");
    assert!(!first.flags.has(Flags::TIME_FILED), "{line}");
    let mut habit = Habit::default();
    habit.read(line.as_bytes(), then(0), &rules());
    assert_eq!(habit.read(line.as_bytes(), then(0), &rules()), first, "the second line like it: {line}");
}

#[test]
fn stamps_that_say_everything() {
    for (line, time) in [
        ("2026-11-21T10:04:22Z x", then(0)),
        ("2026-11-21T10:04:22.5Z x", then(500_000_000)),
        ("2026-11-21T11:04:22.123456789+01:00 x", then(123_456_789)),
        ("2026-11-21 05:04:22.123456-0500 x", then(123_456_000)),
        ("2026-11-21 10:04:22.123 UTC [7] LOG:", then(123_000_000)),
        ("[2026-11-21T10:04:22Z] x", then(0)),
        ("20261121T100422Z x", then(0)),
        ("20261121T110422.123+0100 x", then(123_000_000)),
        ("1795255462 x", then(0)),
        ("1795255462.25 x", then(250_000_000)),
        ("1795255462123 x", then(123_000_000)),
        ("1795255462123456 x", then(123_456_000)),
        ("1795255462123456789 x", then(123_456_789)),
        (r#"10.0.0.1 - bob [21/Nov/2026:11:04:22 +0100] "GET / HTTP/1.1" 200 5"#, then(0)),
        ("# Time: 2026-11-21T10:04:22.123456Z", then(123_456_000)),
        ("app-7 2026-11-21T10:04:22Z x", then(0)),
    ] {
        assert_eq!((read(line).time, read(line).flags), (time, Flags::NONE), "{line}");
    }
}

#[test]
fn stamps_that_leave_something_out() {
    for (line, time) in [
        ("2026-11-21 10:04:22,123 x", then(123_000_000)),
        ("2026-11-21 10:04:22 -12 apples", then(0)),
        ("2026/11/21 10:04:22 x", then(0)),
        ("2026/11/21 10:04:22.123456 main.go:7: x", then(123_456_000)),
        ("Nov 21 10:04:22 host app: x", then(0)),
        ("Nov  1 10:04:22 host app: x", at(2026, 11, 1, 10, 4, 22, 0)),
        ("Nov 21 2026 10:04:22 x", then(0)),
        ("<13>Nov 21 10:04:22 host app: x", then(0)),
        ("I1121 10:04:22.123456    7 main.go:9] x", then(123_456_000)),
        ("[Sat Nov 21 10:04:22.123456 2026] [core:error] x", then(123_456_000)),
        ("[Sun Dec 04 04:47:44 2005] [notice] x", at(2005, 12, 4, 4, 47, 44, 0)),
        ("# Time: 261121 10:04:22", then(0)),
        ("# Time: 261121  9:04:22", at(2026, 11, 21, 9, 4, 22, 0)),
        ("261121 100422 148 INFO dfs.DataNode: x", then(0)),
    ] {
        assert_eq!((read(line).time, read(line).flags), (time, Flags::TIME_GUESSED), "{line}");
    }
}

#[test]
fn levels_and_programs() {
    check("2026-11-21T10:04:22Z ERROR x", then(0), Level::Error, None);
    check("2026-11-21T10:04:22Z [main] WARN  x.Y - z", then(0), Level::Warn, None);
    check("2026/11/21 10:04:22 [error] 7#7: *1 open() failed", then(0), Level::Error, None);
    check("2026-11-21T10:04:22Z no error was found", then(0), Level::Unknown, None);
    check("2026-11-21T10:04:22Z info all is well", then(0), Level::Info, None);
    check("2026-11-21T10:04:22Z informal", then(0), Level::Unknown, None);
    check("2026-11-21T10:04:22.1+00:00 web sshd[71]: error: x", then(100_000_000), Level::Error, Some("sshd"));
    check("Nov 21 10:04:22 web sshd[71]: x", then(0), Level::Unknown, Some("sshd"));
    check("Nov 21 10:04:22 web kernel: [1.0] x", then(0), Level::Unknown, Some("kernel"));
    check("Nov 21 10:04:22 combo sshd(pam_unix)[1]: x", then(0), Level::Unknown, Some("sshd"));
    check("Nov 21 10:04:22 web just words here", then(0), Level::Unknown, None);
    check("<11>Nov 21 10:04:22 web cron[1]: x", then(0), Level::Error, Some("cron"));
    check("<165>1 2026-11-21T10:04:22.003Z web evntslog - ID47 - x", then(3_000_000), Level::Notice, Some("evntslog"));
    check("W1121 10:04:22.000000 1 a.go:1] x", then(0), Level::Warn, None);
    check(r#"{"time":"2026-11-21T10:04:22Z","level":"warn","msg":"error"}"#, then(0), Level::Warn, None);
    check(r#"{"level":30,"a":{"time":"no"},"b":["}",1],"time":1795255462000}"#, then(0), Level::Info, None);
    check(
        r#"{"log":"say \"hi\"\n","stream":"stderr","time":"2026-11-21T10:04:22.5Z"}"#,
        then(500_000_000),
        Level::Unknown,
        None,
    );
    check(r#"level=error ts=2026-11-21T10:04:22Z msg="x""#, then(0), Level::Error, None);
    check(r#"msg="a b" time="2026-11-21T10:04:22Z" lvl=dbg"#, then(0), Level::Debug, None);
}

#[test]
fn t1_a_year_that_is_not_written_is_the_nearest() {
    let year_of = |line: &str, nearest_to: Timestamp| {
        let rules = Rules { zone_seconds: None, nearest_to };
        Habit::default().read(line.as_bytes(), nearest_to, &rules).time
    };
    let (new_year, eve) = (at(2027, 1, 1, 0, 0, 5, 0), at(2026, 12, 31, 23, 59, 58, 0));
    assert_eq!(year_of("Dec 31 23:59:59 h a: x", new_year), at(2026, 12, 31, 23, 59, 59, 0));
    assert_eq!(year_of("Jan  1 00:00:00 h a: x", eve), at(2027, 1, 1, 0, 0, 0, 0));
    assert_eq!(year_of("Feb 29 12:00:00 h a: x", at(2025, 1, 10, 0, 0, 0, 0)), at(2024, 2, 29, 12, 0, 0, 0));
    // T3: an archive's year is its own, not today's.
    assert_eq!(year_of("Nov 21 10:04:22 h a: x", at(2023, 11, 22, 0, 0, 0, 0)), at(2023, 11, 21, 10, 4, 22, 0));
}

#[test]
fn t4_a_time_that_is_not_to_be_believed_is_the_filing_time() {
    for (line, flags) in [
        ("2027-11-21T10:04:22Z x", Flags::TIME_FILED),
        ("2026-11-21T10:09:23Z x", Flags::TIME_FILED),
        ("no time at all", Flags::TIME_FILED),
        ("", Flags::TIME_FILED),
        ("2026-13-01T00:00:00Z x", Flags::TIME_FILED),
        ("2026-02-29T00:00:00Z x", Flags::TIME_FILED),
        ("2026-11-21T24:00:00Z x", Flags::TIME_FILED),
    ] {
        assert_eq!((read(line).time, read(line).flags), (then(0), flags), "{line}");
    }
    assert_eq!(read("2026-11-21T10:09:22Z x").time, at(2026, 11, 21, 10, 9, 22, 0));
    assert_eq!(read("1970-01-01T00:00:00Z x").time, Timestamp(0));
}

#[test]
fn a_zone_that_was_set_is_no_guess() {
    let rules = Rules { zone_seconds: Some(3600), nearest_to: then(0) };
    let reading = Habit::default().read(b"2026-11-21 11:04:22 x", then(0), &rules);
    assert_eq!((reading.time, reading.flags), (then(0), Flags::NONE));
}

#[test]
fn a_stack_trace_goes_with_the_line_above_it() {
    let mut habit = Habit::default();
    let later = then(0).after(Duration::from_secs(9));
    let lines = ["2026-11-21T10:04:22Z ERROR oh", "java.lang.Oh: no", "\tat a.b.C(D.java:1)", "Caused by: x", ""];
    let readings = lines.map(|line| habit.read(line.as_bytes(), later, &rules()));
    let joins = readings.map(|reading| reading.flags.has(Flags::JOINS_PREVIOUS));
    assert_eq!(joins, [false, true, true, true, false]);
    assert!(readings.iter().all(|reading| reading.time == then(0)));
    assert_eq!(habit.read_on(later).time, then(0));
    let plain = Habit::default().read(b"  indented", later, &rules());
    assert_eq!(plain.flags, Flags::JOINS_PREVIOUS.with(Flags::TIME_FILED));
}

#[test]
fn a_line_without_a_stamp_that_comes_much_later_stands_for_itself() {
    let mut habit = Habit::default();
    let seconds = |count| then(0).after(Duration::from_secs(count));
    let mut check = |line: &str, filed, time, flags| {
        let reading = habit.read(line.as_bytes(), filed, &rules());
        assert_eq!((reading.time, reading.flags), (time, flags), "{line}");
    };
    check("2026-11-21T10:04:22Z ERROR oh", seconds(60), then(0), Flags::NONE);
    check("java.lang.Oh: no", seconds(70), then(0), Flags::JOINS_PREVIOUS);
    check("Segmentation fault", seconds(71), seconds(71), Flags::TIME_FILED);
    check("again", seconds(72), seconds(72), Flags::TIME_FILED);
    check("\tindented", seconds(73), seconds(73), Flags::JOINS_PREVIOUS.with(Flags::TIME_FILED));
    check("2026-11-21T10:05:00Z INFO up", seconds(90), seconds(38), Flags::NONE);
    check("still", seconds(91), seconds(38), Flags::JOINS_PREVIOUS);
}

/// Pieces of real lines, so that random text comes close to being a stamp.
fn shreds() -> impl Strategy<Value = Vec<u8>> {
    let shreds: &[&[u8]] = &[
        b"2026-11-21T10:04:22",
        b"2026/11/21 ",
        b"10:04:22",
        b".123",
        b"+01:00",
        b"Z",
        b"Nov 21 ",
        b"Nov  1 ",
        b"Sat ",
        b"2026",
        b"I1121 ",
        b"<13>1 ",
        b"{\"time\":",
        b"\"",
        b"\\",
        b"}",
        b"[21/Nov/",
        b"1795255462",
        b"[",
        b"time=",
        b"level=",
        b"ERROR",
        b" ",
        b"\xff",
        b"sshd[1]:",
        b"261121 ",
        b"99999999999999999999",
        b"# Time: ",
        b"\xc3",
        b"]",
        b",{[",
    ];
    let shred = prop::sample::select(shreds.to_vec());
    prop::collection::vec(shred, 0..9).prop_map(|shreds| shreds.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read(lines in prop::collection::vec(prop_oneof![shreds(), prop::collection::vec(any::<u8>(), 0..80)], 1..4), reference: i64) {
        let mut habit = Habit::default();
        for line in &lines {
            for cut in 0..=line.len() {
                let rules = Rules { zone_seconds: Some(-3600), nearest_to: Timestamp(reference) };
                habit.read(&line[..cut], then(0), &rules);
            }
        }
    }
}
