//! Lines good and bad, what two lines must not share, and every cell of the table of rights.

use super::*;
use crate::ids::{PacketId, RunId};
use crate::message::{Ask, CatalogAsk};
use crate::seal::{Keys, Seed};
use crate::time::{BucketId, Timestamp};
use proptest::prelude::*;

const ID: &str = "id=1122334455667788";

fn key(byte: u8) -> PublicKey {
    Keys::from_seed(&Seed::from_bytes([byte; 32])).public()
}

/// `K` stands for a key, `ID` for an id.
fn line(text: &str) -> String {
    text.split(' ')
        .map(|word| match word {
            "K" => key(1).to_string(),
            "ID" => ID.to_owned(),
            word => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn parse(text: &str) -> Result<Roster, RosterError> {
    Roster::parse(text.as_bytes())
}

fn peer(text: &str) -> Peer {
    parse(&line(text)).expect("a good line").peers()[0].clone()
}

fn problem(text: &str) -> String {
    match parse(&line(text)) {
        Err(RosterError::Line { line: 1, problem }) => problem.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn good_lines_are_read_and_written_again() {
    let good = [
        "buck K ID addr=10.0.0.1:4433",
        "buck K ID addr=[::1]:4433",
        "buck K ID addr=buck-1.example.org:4433 domain=rack-1",
        "buck K ID addr=localhost:1 domain=eu.west_1",
        "buck K ID addr=localhost:1 retiring",
        "buck K ID addr=localhost:1 lost=2026-11-21",
        "buck K ID addr=localhost:1 web=https://logs.example.org",
        "buck K ID addr=localhost:1 from=10.0.0.0/8 expires=2027-06-01 web=http://[::1]:8080 retiring",
        "tailer K ID",
        "tailer K ID env=prod",
        "tailer K ID env=dev,prod,test-2",
        "tailer K ID env=*",
        "tailer K ID host=web-17",
        "tailer K ID host=WEB-17,web-18.example.org",
        "tailer K ID from=10.0.0.0/8",
        "tailer K ID from=10.0.0.0/8,2001:db8::/32",
        "tailer K ID rate=5MB/s",
        "tailer K ID rate=500kB/s",
        "tailer K ID rate=2GB/s",
        "tailer K ID expires=2027-06-01",
        "tailer K ID lost=2026-11-21",
        "tailer K ID env=prod host=web-17 from=10.0.0.0/8 rate=5MB/s expires=2027-06-01",
        "porter K ID",
        "porter K ID addr=porter:4434",
        "porter K ID addr=porter:4434 from=::/0 expires=2100-12-31",
        "web K ID",
        "web K ID env=*",
        "web K ID env=prod web=https://logs.example.org:8443",
        "reader K ID",
        "reader K ID env=prod expires=2027-06-01",
        "reader K ID from=192.168.0.0/16",
        "admin K ID env=*",
        "admin K ID",
    ];
    for text in good {
        let text = line(text);
        let roster = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(roster.peers()[0].to_string(), text);
    }
}

#[test]
fn other_spellings_are_written_in_one() {
    let check = |text: &str, expected: &str| assert_eq!(peer(text).to_string(), line(expected));
    check("tailer K env=prod ID", "tailer K ID env=prod");
    check("  tailer   K   ID  \r", "tailer K ID");
    check("tailer K ID # the one in the cellar", "tailer K ID");
    check("tailer K ID #", "tailer K ID");
    check("tailer K ID env=main", "tailer K ID");
    check("tailer K ID env=b,a", "tailer K ID env=a,b");
    check("tailer K ID from=10.0.0.7", "tailer K ID from=10.0.0.7/32");
    check("tailer K ID rate=5000kB/s", "tailer K ID rate=5MB/s");
}

#[test]
fn bad_lines_are_refused_with_what_is_wrong() {
    let check = |text: &str, expected: &str| {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}: {problem:?} does not say {expected:?}");
    };
    for role in ["bucks", "Buck", "BUCK", "K", "-", "tailer,", "é", "root", "buck:"] {
        check(&format!("{role} K ID"), "is no role");
    }
    check("tailer", "comes a public key");
    check("tailer # K ID", "comes a public key");
    check("tailer tb1 ID", "a public key is");
    check("tailer ID K", "a public key is");
    check("tailer ssh-ed25519 ID", "a public key is");
    check(&format!("tailer {} ID", key(1).to_string().replace("tb1r", "tb1q")), "cut or mistyped");
    check(&format!("tailer {} ID", &key(1).to_string()[..100]), "a public key is");
    check("tailer K", "role tailer needs `id`");
    check("buck K addr=a:1", "role buck needs `id`");
    check("buck K ID", "role buck needs `addr`");
    for option in ["colour=red", "=", "=x", "ID=1", "Env=prod", "expire=2027-06-01", "retired", "K", "env:prod"] {
        check(&format!("tailer K {ID} {option}"), "is no option");
    }
    for option in ["addr=a:1", "domain=a", "retiring", "web=https://a"] {
        check(&format!("tailer K ID {option}"), "is no option for role tailer");
    }
    for option in ["env=prod", "host=a", "rate=1MB/s"] {
        check(&format!("buck K ID addr=a:1 {option}"), "is no option for role buck");
    }
    for option in ["env=prod", "domain=a", "lost=2027-01-01", "retiring", "web=https://a", "rate=1MB/s"] {
        check(&format!("porter K ID {option}"), "is no option for role porter");
    }
    for option in ["addr=a:1", "host=a", "lost=2027-01-01", "web=https://a"] {
        check(&format!("reader K ID {option}"), "is no option for role reader");
        check(&format!("admin K ID {option}"), "is no option for role admin");
    }
    check("web K ID addr=a:1", "is no option for role web");
    check("tailer K ID ID", "`id` stands there twice");
    check("tailer K ID env=a env=b", "`env` stands there twice");
    check("buck K ID addr=a:1 retiring retiring", "`retiring` stands there twice");
    check("buck K ID addr=a:1 retiring lost=2027-01-01", "not both");
}

#[test]
fn bad_values_are_refused() {
    let check = |option: &str| {
        let text = if ["addr", "domain", "web", "retiring"].iter().any(|name| option.starts_with(name)) {
            format!("buck K ID {option}")
        } else if option.starts_with("id") {
            format!("tailer K {option}")
        } else {
            format!("tailer K ID {option}")
        };
        let problem = problem(&text);
        assert!(problem.contains(" wants "), "{option}: {problem:?}");
    };
    for bad in ["id", "id=", "id=1", "id=112233445566778G", "id=11223344556677889", "id=112233445566778A"] {
        check(bad);
    }
    for bad in ["addr", "addr=", "addr=a", "addr=a:0", "addr=a:65536", "addr=10.0.0.256:1", "addr=::1:1", "addr=A:1"] {
        check(bad);
    }
    for bad in ["domain", "domain=", "domain=a/b", "domain=..", "domain=A", "domain=-a"] {
        check(bad);
    }
    for bad in ["env", "env=", "env=,", "env=a,", "env=a,a", "env=A", "env=../x", "env=a,*", "env=**"] {
        check(bad);
    }
    for bad in ["host", "host=", "host=a,,b", "host=a,a", "host=a/b", "host=*"] {
        check(bad);
    }
    for bad in ["from", "from=", "from=10.0.0.1/8", "from=10.0.0.0/33", "from=a", "from=10.0.0.0/8,", "from=*"] {
        check(bad);
    }
    for bad in ["rate", "rate=5", "rate=0MB/s", "rate=5MB", "rate=5mb/s", "rate=-5MB/s", "rate=+5MB/s", "rate=05MB/s"] {
        check(bad);
    }
    for bad in ["rate=1.5MB/s", "rate=99999999999999GB/s", "expires", "expires=never", "expires=2027-02-30", "lost"] {
        check(bad);
    }
    for bad in ["expires=27-06-01", "lost=yes", "web", "web=logs", "web=https://a/b", "web=ftp://a", "retiring=2027"] {
        check(bad);
    }
}

#[test]
fn a_file_is_refused_whole_with_the_line() {
    let good = line("tailer K ID");
    let text = format!("# people\n\n{good}\n  # more\nreader nobody\n");
    let error = parse(&text).expect_err("line 5 is bad");
    assert_eq!(error.to_string(), "roster line 5: a public key is \"tb1\" and 112 of the characters a-z and 2-7");
    assert_eq!(parse("").expect_err("empty"), RosterError::Empty);
    assert_eq!(parse("# nobody\n\n").expect_err("only a comment"), RosterError::Empty);
    let not_text = Roster::parse(b"tailer \xff\xfe").expect_err("not text");
    assert_eq!(not_text, RosterError::Line { line: 1, problem: Problem::NotText });
    let long = format!("{good} # {}", "x".repeat(4096));
    assert_eq!(parse(&long).expect_err("long"), RosterError::Line { line: 1, problem: Problem::Long });
    let large = "#\n".repeat(ROSTER_BYTES_MAX / 2 + 1);
    assert_eq!(parse(&large).expect_err("large"), RosterError::Large(large.len()));
}

fn two(first: &str, second: &str) -> Result<Roster, String> {
    parse(&format!("{first}\n{second}\n")).map_err(|error| error.to_string())
}

#[test]
fn lines_must_not_share_keys_nodes_or_addresses() {
    let (one, two_) = (key(1), key(2));
    let refused = |first: &str, second: &str, expected: &str| {
        assert_eq!(two(first, second).err(), Some(format!("roster line 2: {expected}")));
    };
    let tailer = format!("tailer {one} {ID}");
    refused(&tailer, &format!("tailer {one} id=00000000000000aa"), "its key is that of line 1");
    let other_box = PublicKey { x25519: two_.x25519, ..one };
    refused(&tailer, &format!("reader {other_box} id=00000000000000aa"), "its key is that of line 1");
    let same_node = "node 1122334455667788 stands on line 1, and only key and `expires` may differ";
    refused(&tailer, &format!("reader {two_} {ID}"), same_node);
    refused(&tailer, &format!("tailer {two_} {ID} env=prod"), same_node);
    let buck = format!("buck {one} {ID} addr=a:1");
    refused(&buck, &format!("buck {two_} id=00000000000000aa addr=a:1"), "its address is that of line 1");
    let third = parse(&format!("{tailer}\ntailer {two_} {ID}\ntailer {} {ID}", key(3)));
    assert_eq!(
        third.expect_err("three keys").to_string(),
        "roster line 3: node 1122334455667788 stands there a third time"
    );
}

#[test]
fn a_node_that_changes_its_key_stands_on_two_lines() {
    let old = format!("buck {} {ID} addr=a:1 expires=2027-06-01", key(1));
    let new = format!("buck {} {ID} addr=a:1", key(2));
    let roster = two(&old, &new).expect("a change of key");
    let id: NodeId = "1122334455667788".parse().expect("an id");
    assert_eq!(roster.lines_of(id).map(|peer| peer.key).collect::<Vec<_>>(), [key(1), key(2)]);
    assert_eq!(roster.with_role(Role::Buck).count(), 1);
    assert_eq!(roster.by_ed25519(&key(2).ed25519).map(|peer| peer.id), Some(id));
    assert_eq!(roster.by_ed25519(&key(3).ed25519), None);
    assert_eq!(roster.by_id(NodeId(1)), None);
}

#[test]
fn a_rosters_hash_is_that_of_its_peers() {
    let (buck, tailer) = (line("buck K ID addr=a:1"), format!("tailer {} id=00000000000000aa", key(2)));
    let hash = |text: String| parse(&text).expect("a good roster").hash();
    let expected = hash(format!("{buck}\n{tailer}\n"));
    assert_eq!(hash(format!("# hello\n{tailer} # there\n\n{buck}")), expected);
    assert_ne!(hash(format!("{buck}\n{tailer} env=prod\n")), expected);
    assert_ne!(hash(buck), expected);
}

/// Rows as `Role::ALL` and a buck with `web=`, columns as `Action::ALL`.
const RIGHTS: [(&str, &str); 7] = [
    // Put Beat Known Receipts Holdings Inventory Fetch Catalog Search Live Context Status
    ("buck K ID addr=a:1", "...x.......x"),
    ("tailer K ID", "xxxx.......x"),
    ("porter K ID", "....xxx....x"),
    ("web K ID", "...x...xxxxx"),
    ("reader K ID", "...x...xxxxx"),
    ("admin K ID", "...xxx.xxxxx"),
    ("buck K ID addr=a:1 web=https://a", "...x...xxxxx"),
];

#[test]
fn rights_are_exactly_the_table() {
    let main = Environment::default();
    for (text, expected) in RIGHTS {
        let peer = peer(text);
        let cells = Action::ALL.map(|action| peer.allows(action, Some(&main)).is_ok());
        let row: String = cells.iter().map(|may| if *may { 'x' } else { '.' }).collect();
        assert_eq!(row, expected, "{text}");
    }
}

#[test]
fn environments_are_granted_by_name() {
    let check = |text: &str, environment: &str, expected: bool| {
        let environment = environment.parse().expect("a name");
        let action = if text.starts_with("tailer") { Action::Put } else { Action::Search };
        assert_eq!(peer(text).allows(action, Some(&environment)).is_ok(), expected, "{text} in {environment}");
    };
    check("tailer K ID", "main", true);
    check("tailer K ID", "prod", false);
    check("tailer K ID env=prod,dev", "dev", true);
    check("tailer K ID env=prod,dev", "main", false);
    check("reader K ID env=prod", "prod", true);
    check("reader K ID env=prod", "production", false);
    check("reader K ID env=*", "anything", true);
    check("web K ID", "prod", false);
    check("buck K ID addr=a:1 web=https://a", "prod", true);
}

#[test]
fn a_question_is_judged_with_every_environment_it_names() {
    let catalog = |environments: &[&str]| {
        Ask::Catalog(CatalogAsk {
            environments: environments.iter().map(|name| name.parse().expect("a name")).collect(),
            from: Timestamp(0),
            to: Timestamp(1),
        })
    };
    let reader = peer("reader K ID env=dev,prod");
    assert_eq!(reader.may_ask(&catalog(&["dev", "prod"])), Ok(()));
    let denied = reader.may_ask(&catalog(&["dev", "main"])).expect_err("main is not granted");
    assert_eq!(denied.to_string(), "environment main is not granted to reader 1122334455667788");
    let denied = reader.may_ask(&Ask::Put { boxed: Vec::new() }).expect_err("readers put nothing");
    assert_eq!(denied.to_string(), "role reader may not ask Put");
    let filed = vec![("prod".parse().expect("a name"), Timestamp(0))];
    assert!(peer("tailer K ID").may_ask(&Ask::Beat { filed }).is_err());
    let buckets = vec![("prod".parse().expect("a name"), BucketId(0))];
    assert!(peer("tailer K ID").may_ask(&Ask::Receipts { buckets: buckets.clone() }).is_err());
    assert_eq!(peer("buck K ID addr=a:1").may_ask(&Ask::Receipts { buckets }), Ok(()));
}

#[test]
fn a_tailer_speaks_only_for_itself() {
    let named = format!("tailer {} id=00000000000000aa host=web-1,web-2", key(1));
    let free = format!("tailer {} id=00000000000000bb env=prod", key(2));
    let roster = two(&named, &free).expect("a good roster");
    let put = |by: u64, tailer: u64, environment: &str, host: &str| {
        let packet = PacketId {
            tailer: NodeId(tailer),
            environment: environment.parse().expect("a name"),
            bucket: BucketId(1),
            run: RunId(1),
            seq: 0,
        };
        let peer = roster.by_id(NodeId(by)).expect("in the roster");
        roster.may_put(peer, &packet, [host]).map_err(|denied| denied.to_string())
    };
    assert_eq!(put(0xaa, 0xaa, "main", "web-1"), Ok(()));
    assert_eq!(put(0xbb, 0xbb, "prod", "db-1"), Ok(()));
    let refused = |result: Result<(), String>, expected: &str| assert_eq!(result, Err(expected.to_owned()));
    refused(put(0xaa, 0xbb, "main", "web-1"), "tailer 00000000000000aa may not speak for tailer 00000000000000bb");
    refused(put(0xaa, 0xaa, "prod", "web-1"), "environment prod is not granted to tailer 00000000000000aa");
    refused(put(0xaa, 0xaa, "main", "db-1"), "tailer 00000000000000aa may not speak as host \"db-1\"");
    refused(put(0xbb, 0xbb, "prod", "web-1"), "tailer 00000000000000bb may not speak as host \"web-1\"");
}

#[test]
fn a_connection_is_let_in_from_where_and_until_when_its_line_says() {
    let check = |text: &str, from: &str, expected: Option<&str>| {
        let now = Timestamp::from_seconds(1_795_255_200);
        let admitted = peer(text).admits(Some(from.parse().expect("an address")), now);
        assert_eq!(admitted.err().map(|error| error.to_string()).as_deref(), expected, "{text}");
    };
    check("tailer K ID", "192.0.2.1", None);
    check("tailer K ID from=10.0.0.0/8", "10.1.1.1", None);
    check("tailer K ID from=10.0.0.0/8", "::ffff:10.1.1.1", None);
    check("tailer K ID from=10.0.0.0/8,::/0", "2001:db8::1", None);
    check("tailer K ID from=10.0.0.0/8", "192.0.2.1", Some("it may not come from 192.0.2.1"));
    check("tailer K ID expires=2026-11-22", "::1", None);
    check("tailer K ID expires=2026-11-21", "::1", Some("its key expired on 2026-11-21"));
    check("tailer K ID lost=2026-12-24", "::1", Some("it is lost since 2026-12-24"));
    check("buck K ID addr=a:1 retiring", "::1", None);
    assert_eq!(peer("tailer K ID from=10.0.0.0/8").admits(None, Timestamp(0)), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Roster::parse(&bytes);
    }

    #[test]
    fn any_options_are_read_and_written_or_refused(options in "[a-z]{2,8}(=[a-z0-9.:/,*-]{0,12})?( [a-z]{2,8}=[a-z0-9.:/,-]{0,12}){0,3}") {
        if let Ok(roster) = parse(&line(&format!("tailer K ID {options}"))) {
            let text = roster.peers()[0].to_string();
            let again = parse(&text).expect("what was written is good");
            prop_assert_eq!(again.peers(), roster.peers());
        }
    }
}
