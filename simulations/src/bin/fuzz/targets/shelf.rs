//! What lies on a shelf or comes sealed: manifests and boxes.

use super::Target;
use porter::manifest::Manifest;
use proto::codec::decode_ask;
use proto::ids::NodeId;
use proto::seal::{Keys, PeerBox, Seed};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub fn all() -> Vec<Target> {
    let manifest = include_bytes!("../../../../../porter/src/testdata/manifest-1.tbm").to_vec();
    assert!(Manifest::parse(&whole_again(&manifest)).is_ok(), "a seed that is refused tries nothing");
    vec![
        Target { name: "manifest", seeds: vec![manifest], run: manifest_bytes },
        Target { name: "box", seeds: vec![sealed(b"a question"), b"a question".to_vec()], run: box_bytes },
    ]
}

/// As it lies there, and with its checksum made good again behind the damage.
fn manifest_bytes(bytes: &[u8]) {
    std::hint::black_box(Manifest::parse(bytes).is_ok());
    if let Ok(manifest) = Manifest::parse(&whole_again(bytes)) {
        let written = manifest.write();
        assert_eq!(Manifest::parse(&written).as_ref(), Ok(&manifest), "what is read is written and read alike");
    }
}

/// Length and checksum as if the damage had been meant.
fn whole_again(bytes: &[u8]) -> Vec<u8> {
    let body = bytes.get(8..bytes.len().saturating_sub(4)).unwrap_or_default();
    let length = u32::try_from(body.len() + 12).expect("inputs are short");
    let mut out = [b"TBM1".as_slice(), &length.to_le_bytes(), body].concat();
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

fn keys(who: u8) -> Keys {
    Keys::from_seed(&Seed::from_bytes([who; 32]))
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let sender = PeerBox::new(NodeId(1), &keys(1), NodeId(2), &keys(2).public());
    let mut out = Vec::new();
    sender.seal_into(&mut StdRng::seed_from_u64(1), content, &mut out);
    out
}

/// A damaged box, and a good box around damage.
fn box_bytes(bytes: &[u8]) {
    let receiver = PeerBox::new(NodeId(2), &keys(2), NodeId(1), &keys(1).public());
    let mut out = Vec::new();
    if receiver.open_into(bytes, &mut out).is_err() {
        assert!(out.is_empty(), "nothing comes out of a box that is refused");
    }
    out.clear();
    receiver.open_into(&sealed(bytes), &mut out).expect("just sealed");
    assert_eq!(out, bytes);
    std::hint::black_box(decode_ask(&out).is_ok());
}
