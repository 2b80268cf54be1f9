//! What is fuzzed: every reader of bytes that come from a disk, the network or a person.

mod asked;
mod shelf;
mod texts;

use crate::blocks;
use proto::bucket::{BucketHead, Records};
use proto::closed::Closed;
use proto::codec::{decode_answer, decode_ask, encode_answer, encode_ask};
use proto::ids::Environment;
use proto::message::{Answer, Ask, Known, Part};
use proto::packet::{Events, Packet};
use proto::record::Record;
use proto::squeeze::Stretcher;
use proto::time::{BucketId, Timestamp};

/// One reader and some good bytes to start from.
pub struct Target {
    pub name: &'static str,
    pub seeds: Vec<Vec<u8>>,
    pub run: fn(&[u8]),
}

pub fn all() -> Vec<Target> {
    let packet = include_bytes!("../../../../proto/src/testdata/packet-1.tbp").to_vec();
    let closed = include_bytes!("../../../../proto/src/testdata/closed-1.tbc").to_vec();
    let bucket = include_bytes!("../../../../proto/src/testdata/bucket-1.tbb").to_vec();
    let records = vec![
        Target { name: "packet", seeds: vec![packet.clone()], run: packet_bytes },
        Target { name: "packet-content", seeds: vec![packet], run: packet_content },
        Target { name: "closed", seeds: vec![closed], run: closed_bytes },
        Target { name: "bucket", seeds: vec![bucket], run: bucket_bytes },
        Target { name: "message", seeds: messages(), run: message_bytes },
        Target { name: "block", seeds: vec![blocks::GOLDEN.to_vec()], run: blocks::whole },
        Target { name: "block-sections", seeds: blocks::sections(), run: blocks::section },
        Target { name: "block-pages", seeds: blocks::pages(), run: blocks::page },
    ];
    [records, shelf::all(), texts::all(), asked::all()].into_iter().flatten().collect()
}

fn messages() -> Vec<Vec<u8>> {
    let asks = [
        Ask::Put { boxed: vec![1; 40] },
        Ask::Beat { filed: vec![(Environment::default(), Timestamp(7))] },
        Ask::Receipts { buckets: vec![(Environment::default(), BucketId(5))] },
        Ask::Status,
    ];
    let answers = [Answer::Known(Known::default()), Answer::Part(Part::Record(vec![1, 2, 3]))];
    let asks = asks.iter().filter_map(|ask| encode_ask(ask).ok());
    asks.chain(answers.iter().filter_map(|answer| encode_answer(answer).ok())).collect()
}

fn packet_bytes(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes) {
        read_events(&packet);
    }
}

/// Damage behind the checksums: the record is made whole again around what was damaged.
fn packet_content(bytes: &[u8]) {
    let Some((header, body)) = bytes.split_at_checked(bytes.len() / 2) else { return };
    let good = include_bytes!("../../../../proto/src/testdata/packet-1.tbp");
    let Ok(record) = Record::parse(good) else { return };
    for (header, body) in [(header, record.body), (record.header, body), (&bytes[..bytes.len().min(300)], record.body)]
    {
        let again = proto::record::write(record.kind, header, body, record.stretched_bytes, |_| [0; 64]);
        packet_bytes(&again);
    }
}

fn read_events(packet: &Packet<'_>) {
    let sources = packet.sources();
    let mut body = Vec::new();
    if packet.stretch_into(&mut Stretcher::default(), &mut body).is_ok() {
        let events = Events::new(&packet.head, &sources, &body);
        std::hint::black_box(events.filter_map(Result::ok).map(|event| event.end()).max());
    }
}

fn closed_bytes(bytes: &[u8]) {
    std::hint::black_box(Closed::parse(bytes).is_ok());
    let again = proto::record::write(proto::record::Kind::Closed, bytes, &[], 0, |_| [0; 64]);
    std::hint::black_box(Closed::parse(&again).is_ok());
}

fn bucket_bytes(bytes: &[u8]) {
    std::hint::black_box(BucketHead::parse(bytes).is_ok());
    Records::new(bytes).for_each(|(_, _, record)| packet_bytes(record));
}

fn message_bytes(bytes: &[u8]) {
    std::hint::black_box((decode_ask(bytes).is_ok(), decode_answer(bytes).is_ok()));
}
