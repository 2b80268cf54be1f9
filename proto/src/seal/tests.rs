//! Known answers from NaCl, golden bytes, and every byte of a box and a signature flipped.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

const ALICE: NodeId = NodeId(0xa11ce);
const BOB: NodeId = NodeId(0xb0b);

fn keys(byte: u8) -> Keys {
    Keys::from_seed(&Seed::from_bytes([byte; 32]))
}

/// Alice's box for Bob, and Bob's for Alice.
fn pair() -> (PeerBox, PeerBox) {
    let (alice, bob) = (keys(1), keys(2));
    (PeerBox::new(ALICE, &alice, BOB, &bob.public()), PeerBox::new(BOB, &bob, ALICE, &alice.public()))
}

fn seal(by: &PeerBox, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    by.seal_into(&mut StdRng::seed_from_u64(7), content, &mut sealed);
    sealed
}

fn open(by: &PeerBox, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut opened = b"before".to_vec();
    let result = by.open_into(sealed, &mut opened);
    assert!(opened.starts_with(b"before"));
    assert!(result.is_ok() || opened.len() == 6, "nothing is left behind by a box that was refused");
    result.map(|()| opened[6..].to_vec())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().expect("as long as the test says")
}

/// The example NaCl itself is tested with; libsodium's tests hold it too.
#[test]
fn a_box_is_nacls_box() {
    let alice = array("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = array("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let nonce = array("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    let mut content = hex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561
         f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c6090
         2e52f0a089bc76897040e082f937763848645e0705",
    );
    let expected = hex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce8
         7b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0
         e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
    );
    let shared = SalsaBox::new(&crypto_box::PublicKey::from_bytes(bob), &crypto_box::SecretKey::from_bytes(alice));
    let plain = content.clone();
    let tag = encrypt(&shared, &nonce, &mut content);
    assert_eq!([&tag[..], &content].concat(), expected);
    assert_eq!(decrypt(&shared, &nonce, &tag, &mut content), Ok(()));
    assert_eq!(content, plain);
}

#[test]
fn what_is_sealed_is_opened() {
    let (alice, bob) = pair();
    for content in [&b""[..], b"x", &[7; 70_000]] {
        let sealed = seal(&alice, content);
        assert_eq!(sealed.len(), content.len() + BOX_OVERHEAD_BYTES);
        assert_eq!(open(&bob, &sealed), Ok(content.to_vec()));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let (alice, bob) = pair();
    let sealed = seal(&alice, b"a packet's bytes");
    for at in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert_eq!(open(&bob, &bad), Err(SealError::Closed { from: ALICE }), "bit {at}");
    }
    for length in 0..sealed.len() {
        assert!(open(&bob, &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_box_is_for_one_node_from_one_node() {
    let alice = pair().0;
    let sealed = seal(&alice, b"hello");
    let reflected = SealError::Addressed { from: ALICE, to: BOB, peer: BOB, me: ALICE };
    assert_eq!(open(&alice, &sealed), Err(reflected), "one secret serves both ways");
    let same_key_other_node = PeerBox::new(NodeId(3), &keys(2), ALICE, &keys(1).public());
    assert!(matches!(open(&same_key_other_node, &sealed), Err(SealError::Addressed { .. })));
    let carol = PeerBox::new(NodeId(3), &keys(3), ALICE, &keys(1).public());
    assert_eq!(open(&carol, &sealed), Err(SealError::Closed { from: ALICE }));
}

#[test]
fn a_box_that_holds_something_else_is_foreign() {
    let (alice, bob) = pair();
    for inner in [&b""[..], b"TBX1", b"TBX2aaaaaaaabbbbbbbbcontent"] {
        let (nonce, mut closed) = ([9; NONCE_BYTES], inner.to_vec());
        let tag = encrypt(&alice.shared, &nonce, &mut closed);
        let sealed = [&nonce[..], &tag, &closed].concat();
        assert_eq!(open(&bob, &sealed), Err(SealError::Foreign));
    }
}

#[test]
fn nonces_differ() {
    let (alice, _) = pair();
    let mut rng = StdRng::seed_from_u64(1);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    alice.seal_into(&mut rng, b"same", &mut first);
    alice.seal_into(&mut rng, b"same", &mut second);
    assert_ne!(first[..NONCE_BYTES], second[..NONCE_BYTES]);
    assert_ne!(first[NONCE_BYTES..], second[NONCE_BYTES..]);
}

#[test]
fn a_signature_is_over_content_and_domain() {
    let signature = keys(1).sign(Domain::RECORD, b"content");
    let signer = keys(1).public();
    let refused = Err(SealError::Signature(signer));
    assert_eq!(verify(&signer, Domain::RECORD, b"content", &signature), Ok(()));
    assert_eq!(verify(&signer, Domain::RECORD, b"Content", &signature), refused);
    assert_eq!(verify(&signer, Domain::ROSTER, b"content", &signature), refused);
    assert!(verify(&keys(2).public(), Domain::RECORD, b"content", &signature).is_err());
    for at in 0..SIGNATURE_BYTES * 8 {
        let mut bad = signature;
        bad[at / 8] ^= 1 << (at % 8);
        assert_eq!(verify(&signer, Domain::RECORD, b"content", &bad), refused, "bit {at}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let seed = Seed::from_bytes([0xab; 32]);
    assert_eq!(format!("{seed:?}"), "***");
    let shown = format!("{:?} {:?}", Keys::from_seed(&seed), pair().0);
    assert!(shown.starts_with("Keys(tb1") && shown.ends_with("***)"), "{shown}");
    assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_refused(sealed in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&pair().1, &sealed).is_err());
    }
}
