//! Messages to bytes and back; the only file that names bincode.
//!
//! A message is a version byte, then bincode's variable-length integers. Decoding takes exactly all the bytes,
//! and never more memory than the frame that brought them: a count that could not fit is refused before
//! anything is allocated.

use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Answer, Ask};
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Raised when a message can't be read by the release before; a node refuses what is newer than itself.
pub const MESSAGE_VERSION: u8 = 1;

const CONFIG: Configuration<LittleEndian, Varint, Limit<FRAME_BYTES_MAX>> =
    bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("an empty message")]
    Empty,
    #[error("a message of version {0}, this program speaks {MESSAGE_VERSION}")]
    Version(u8),
    #[error("a message can't be read")]
    Damaged,
    #[error("a message is {0} bytes, over the limit of a frame")]
    TooLarge(usize),
}

pub fn encode_ask(ask: &Ask) -> Result<Vec<u8>, CodecError> {
    encode(ask)
}

pub fn decode_ask(bytes: &[u8]) -> Result<Ask, CodecError> {
    decode(bytes)
}

pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>, CodecError> {
    encode(answer)
}

pub fn decode_answer(bytes: &[u8]) -> Result<Answer, CodecError> {
    decode(bytes)
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![MESSAGE_VERSION];
    bincode::serde::encode_into_std_write(message, &mut out, bincode::config::standard())
        .map_err(|_| CodecError::Damaged)?;
    if out.len() > FRAME_BYTES_MAX { Err(CodecError::TooLarge(out.len())) } else { Ok(out) }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != MESSAGE_VERSION {
        return Err(CodecError::Version(*version));
    }
    if body.len() > FRAME_BYTES_MAX {
        return Err(CodecError::TooLarge(body.len()));
    }
    let (message, used) = bincode::serde::decode_from_slice(body, CONFIG).map_err(|_| CodecError::Damaged)?;
    if used == body.len() { Ok(message) } else { Err(CodecError::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Flags, Level};
    use crate::ids::{Environment, NodeId, PacketId, RunId};
    use crate::message::{Part, Row};
    use crate::time::{BucketId, Timestamp};
    use proptest::prelude::*;

    fn asks() -> Vec<Ask> {
        let packet = PacketId {
            tailer: NodeId(1),
            environment: Environment::default(),
            bucket: BucketId(2),
            run: RunId(3),
            seq: 4,
        };
        vec![
            Ask::Put { boxed: vec![7; 100] },
            Ask::Beat { filed: vec![(Environment::default(), Timestamp(5))] },
            Ask::Fetch { packets: vec![packet] },
            Ask::Status,
        ]
    }

    #[test]
    fn messages_go_there_and_back() {
        for ask in asks() {
            let bytes = encode_ask(&ask).expect("small");
            assert_eq!(decode_ask(&bytes), Ok(ask.clone()));
            let longer = [bytes.clone(), vec![0]].concat();
            assert_eq!(decode_ask(&longer), Err(CodecError::Damaged), "{ask:?}");
            assert!(decode_ask(&bytes[..bytes.len() - 1]).is_err(), "{ask:?}");
        }
        let row = Row {
            source: 1,
            offset: 2,
            time: Timestamp(-3),
            level: Level::Warn,
            flags: Flags::CONTINUES,
            file_length: 3,
            line: b"\xff\0x".to_vec(),
        };
        let answer = Answer::Part(Part::Rows(vec![row]));
        assert_eq!(encode_answer(&answer).and_then(|bytes| decode_answer(&bytes)), Ok(answer));
    }

    #[test]
    fn nine_bytes_cannot_ask_for_terabytes() {
        for first in 0..12 {
            let bytes = [&[MESSAGE_VERSION, first, 253], u64::MAX.to_le_bytes().as_slice()].concat();
            assert!(decode_ask(&bytes).is_err());
            let answer = decode_answer(&bytes);
            assert!(matches!(answer, Err(_) | Ok(Answer::Beat { .. })), "{answer:?}");
        }
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(decode_ask(&[9, 0]), Err(CodecError::Version(9)));
        assert_eq!(decode_ask(&[]), Err(CodecError::Empty));
    }

    #[test]
    fn a_name_is_checked_on_its_way_in() {
        let good = encode_ask(&Ask::Receipts { buckets: vec![(Environment::default(), BucketId(1))] }).expect("small");
        let at = good.windows(4).position(|four| four == b"main").expect("the name is in there");
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(b"../x");
        assert_eq!(decode_ask(&bad), Err(CodecError::Damaged));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let framed = [vec![MESSAGE_VERSION], bytes].concat();
            let _ = decode_ask(&framed);
            let _ = decode_answer(&framed);
        }
    }
}
