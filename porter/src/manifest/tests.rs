use super::*;
use proptest::prelude::*;
use proto::ids::RunId;
use proto::message::SeqRange;

const GOLDEN: &[u8] = include_bytes!("../testdata/manifest-1.tbm");

fn range(tailer: u64, first: u32, last: u32) -> SeqRange {
    SeqRange { tailer: NodeId(tailer), run: RunId(9), first, last }
}

fn sample() -> Manifest {
    let span = |first, last| TimeSpan { first: Timestamp(first), last: Timestamp(last) };
    let closing = Closing {
        previous: Some(BucketId(5_984_183)),
        runs: vec![RunCount { run: RunId(9), packets: 400 }],
        losses: vec![(StreamId([3; 16]), vec![(10, 500), (600, 601)])],
    };
    Manifest {
        at: ShardAt { environment: "prod".parse().expect("a name"), bucket: BucketId(5_984_184), shard: 1 },
        shards: 4,
        version: 2,
        by: NodeId(0x77),
        written: Timestamp::from_seconds(1_795_255_505),
        copies: 2,
        blocks: vec![Block {
            name: BlockName([0xab; 32]),
            bytes: 1_000_000,
            events: 70_000,
            line_bytes: 9_000_000,
            times: vec![span(-5, 100), span(1_795_255_200_000_000_000, 1_795_255_499_000_000_000)],
        }],
        replaced: vec![Replaced { name: BlockName([1; 32]), since: Timestamp(7) }],
        packets: [range(1, 0, 299), range(2, 5, 5)].into_iter().collect(),
        census: Census {
            heard: [NodeId(20), NodeId(21)].into(),
            closings: [(NodeId(1), closing), (NodeId(2), Closing::default())].into(),
        },
        completeness: Completeness {
            bucks_away: vec![NodeId(22)],
            missing: vec![range(1, 300, 399)],
            unheard: vec![NodeId(3)],
        },
    }
}

#[test]
fn golden_manifest() {
    if std::env::var_os("TAILBUCK_WRITE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testdata/manifest-1.tbm");
        std::fs::write(path, sample().write()).expect("a writable checkout");
    }
    assert_eq!(sample().write(), GOLDEN);
    assert_eq!(Manifest::parse(GOLDEN), Ok(sample()));
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    for at in 0..GOLDEN.len() {
        for bit in 0..8 {
            let mut bad = GOLDEN.to_vec();
            bad[at] ^= 1 << bit;
            assert!(Manifest::parse(&bad).is_err(), "byte {at} bit {bit}");
        }
        assert!(Manifest::parse(&GOLDEN[..at]).is_err(), "cut at {at}");
    }
    assert!(Manifest::parse(&[GOLDEN, &[0]].concat()).is_err());
}

/// What a reader does behind a right checksum, whatever stands there.
fn parse_behind_checksum(body: &[u8]) -> Result<Manifest, ManifestError> {
    let mut bytes = b"TBM1".to_vec();
    bytes.extend_from_slice(&u32::try_from(body.len() + 12).expect("small").to_le_bytes());
    bytes.extend_from_slice(body);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Manifest::parse(&bytes)
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_behind_checksum(&bytes);
    }

    #[test]
    fn a_changed_manifest_with_a_right_checksum_is_read_or_refused(at in 8usize..GOLDEN.len() - 4, byte: u8) {
        let mut body = GOLDEN[8..GOLDEN.len() - 4].to_vec();
        body[at - 8] = byte;
        if let Ok(manifest) = parse_behind_checksum(&body) {
            prop_assert_eq!(Manifest::parse(&manifest.write()), Ok(manifest));
        }
    }
}

#[test]
fn a_block_says_whether_it_could_hold_a_moment() {
    let block = &sample().blocks[0];
    let check =
        |from, to, expected| assert_eq!(block.touches(Timestamp(from), Timestamp(to)), expected, "{from}..{to}");
    check(-10, -5, false);
    check(-10, -4, true);
    check(100, 101, true);
    check(101, 1_795_255_200_000_000_000, false);
    check(101, 1_795_255_200_000_000_001, true);
    assert_eq!(sample().times().first, Timestamp(-5));
}
