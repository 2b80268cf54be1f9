//! Messages cut into frames on a stream. Memory follows the bytes that came, not the length that was claimed.

use super::{LinkError, Party};
use crate::limits::FRAME_BYTES_MAX;
use quinn::{ReadError, RecvStream, SendStream, WriteError};

const LENGTH_BYTES: usize = 4;

/// A body's first allocation, whatever its length claims.
const FIRST_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    Large(usize),
    /// The other end reset the stream, or it ended inside a frame.
    GivenUp,
    Lost(String),
}

impl FrameError {
    pub(super) fn with(self, party: Party) -> LinkError {
        let party = Box::new(party);
        match self {
            Self::Large(bytes) => LinkError::Large { party, bytes },
            Self::GivenUp => LinkError::GivenUp { party },
            Self::Lost(why) => LinkError::Lost { party, why },
        }
    }
}

impl From<ReadError> for FrameError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(why) => Self::Lost(why.to_string()),
            _ => Self::GivenUp,
        }
    }
}

impl From<WriteError> for FrameError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(why) => Self::Lost(why.to_string()),
            _ => Self::GivenUp,
        }
    }
}

/// Not cancel-safe: a frame begun must be finished before the next.
pub(super) async fn write(stream: &mut SendStream, message: Vec<u8>) -> Result<(), FrameError> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or(FrameError::Large(message.len()))?;
    let mut parts = [length.to_le_bytes().to_vec().into(), message.into()];
    Ok(stream.write_all_chunks(&mut parts).await?)
}

/// Takes frames off a stream. Cancel-safe: what was read stays read.
#[derive(Debug)]
pub(super) struct Frames {
    stream: RecvStream,
    length: Vec<u8>,
    body: Vec<u8>,
}

impl Frames {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, length: Vec::with_capacity(LENGTH_BYTES), body: Vec::new() }
    }

    /// The next frame's length, known to be within the limit; `None` at a proper end.
    pub(super) async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        while self.length.len() < LENGTH_BYTES {
            match self.stream.read_chunk(LENGTH_BYTES - self.length.len(), true).await? {
                Some(chunk) => self.length.extend_from_slice(&chunk.bytes),
                None if self.length.is_empty() => return Ok(None),
                None => return Err(FrameError::GivenUp),
            }
        }
        let length = self.length.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX { Err(FrameError::Large(length)) } else { Ok(Some(length)) }
    }

    /// The next frame; `None` at a proper end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(length) = self.length().await? else { return Ok(None) };
        if self.body.capacity() == 0 {
            self.body.reserve(length.min(FIRST_BYTES));
        }
        while self.body.len() < length {
            let chunk = self.stream.read_chunk(length - self.body.len(), true).await?;
            self.body.extend_from_slice(&chunk.ok_or(FrameError::GivenUp)?.bytes);
        }
        self.length.clear();
        Ok(Some(std::mem::take(&mut self.body)))
    }
}
