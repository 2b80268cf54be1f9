//! zstd, and the only file that names it.
//!
//! Decoding is always capped: the caller says how many bytes it will take, a frame may ask for no larger
//! window than [`ZSTD_WINDOW_LOG_MAX`], and what claims to grow beyond [`ZSTD_RATIO_MAX`] into more than
//! [`ZSTD_UNQUESTIONED_BYTES`] is refused before anything is allocated.
//!
//! Levels above 19 are not used: their windows would not pass our own limit.

use crate::limits::{ZSTD_RATIO_MAX, ZSTD_UNQUESTIONED_BYTES, ZSTD_WINDOW_LOG_MAX};
use std::fmt;
use zstd::bulk;
use zstd::zstd_safe::DParameter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqueezeError {
    #[error("compressed bytes are damaged")]
    Damaged,
    #[error("compressed bytes claim to become {claimed}, over the limit of {limit}")]
    TooLarge { claimed: usize, limit: usize },
    #[error("a dictionary can't be used")]
    Dictionary,
}

/// Compresses again and again with one context. Equal input, level and dictionary give equal bytes.
pub struct Squeezer<'a> {
    inner: bulk::Compressor<'a>,
}

impl fmt::Debug for Squeezer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Squeezer")
    }
}

impl Squeezer<'static> {
    #[must_use]
    pub fn new(level: i32) -> Self {
        Self { inner: bulk::Compressor::new(level).expect("a level zstd clamps, and memory for a context") }
    }

    #[must_use]
    pub fn with_dictionary(level: i32, dictionary: &[u8]) -> Option<Self> {
        bulk::Compressor::with_dictionary(level, dictionary).ok().map(|inner| Self { inner })
    }
}

impl Squeezer<'_> {
    /// Never larger than [`squeezed_bytes_max`] of the input.
    #[must_use]
    pub fn squeeze(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.squeeze_into(bytes, &mut out);
        out
    }

    /// Appends to `out`.
    pub fn squeeze_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + squeezed_bytes_max(bytes.len()), 0);
        let written =
            self.inner.compress_to_buffer(bytes, &mut out[start..]).expect("room for the worst case was given");
        out.truncate(start + written);
    }
}

#[must_use]
pub fn squeezed_bytes_max(length: usize) -> usize {
    zstd::zstd_safe::compress_bound(length)
}

/// One frame, once. For many of them keep a [`Squeezer`].
#[must_use]
pub fn squeeze(bytes: &[u8], level: i32) -> Vec<u8> {
    Squeezer::new(level).squeeze(bytes)
}

/// Decodes again and again with one context, which is made when the first frame comes: it takes as long to make as
/// a small frame to decode, and many a stretcher is never used.
#[derive(Default)]
pub struct Stretcher<'a> {
    inner: Option<bulk::Decompressor<'a>>,
}

impl fmt::Debug for Stretcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stretcher")
    }
}

/// A dictionary made ready once, for many frames and threads.
pub struct Dictionary {
    inner: zstd::dict::DecoderDictionary<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dictionary")
    }
}

impl Dictionary {
    /// Empty bytes are no dictionary.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self { inner: zstd::dict::DecoderDictionary::copy(bytes) }
    }
}

impl Stretcher<'static> {
    pub fn with_dictionary(dictionary: &[u8]) -> Result<Self, SqueezeError> {
        let inner = bulk::Decompressor::with_dictionary(dictionary).map_err(|_| SqueezeError::Dictionary)?;
        Ok(Self { inner: Some(limited(inner)) })
    }
}

fn limited(mut inner: bulk::Decompressor<'_>) -> bulk::Decompressor<'_> {
    inner.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).expect("a window log zstd knows");
    inner
}

impl<'a> Stretcher<'a> {
    /// The next frames were squeezed with this dictionary.
    pub fn learn(&mut self, dictionary: &'a Dictionary) -> Result<(), SqueezeError> {
        self.context().set_prepared_dictionary(&dictionary.inner).map_err(|_| SqueezeError::Dictionary)
    }

    fn context(&mut self) -> &mut bulk::Decompressor<'a> {
        self.inner.get_or_insert_with(|| limited(bulk::Decompressor::new().expect("memory for a context")))
    }
}

impl Stretcher<'_> {
    /// Exactly `length` bytes, or an error. `length` is checked against the frame's own claim and against
    /// `limit` before memory is taken.
    pub fn stretch(&mut self, frame: &[u8], length: usize, limit: usize) -> Result<Vec<u8>, SqueezeError> {
        let mut out = Vec::new();
        self.stretch_into(frame, length, limit, &mut out)?;
        Ok(out)
    }

    /// As [`Self::stretch`], into a buffer that is used again; what it held is gone.
    pub fn stretch_into(
        &mut self,
        frame: &[u8],
        length: usize,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SqueezeError> {
        out.clear();
        let limit = limit.min(frame.len().saturating_mul(ZSTD_RATIO_MAX).max(ZSTD_UNQUESTIONED_BYTES));
        if length > limit {
            return Err(SqueezeError::TooLarge { claimed: length, limit });
        }
        match zstd::zstd_safe::get_frame_content_size(frame) {
            Ok(Some(claimed)) if claimed == length as u64 => {}
            _ => return Err(SqueezeError::Damaged),
        }
        out.reserve(length);
        let written = self.context().decompress_to_buffer(frame, out).map_err(|_| SqueezeError::Damaged)?;
        if written == length { Ok(()) } else { Err(SqueezeError::Damaged) }
    }
}

/// One frame, once. For many of them keep a [`Stretcher`].
pub fn stretch(frame: &[u8], length: usize, limit: usize) -> Result<Vec<u8>, SqueezeError> {
    Stretcher::default().stretch(frame, length, limit)
}

/// A dictionary of at most `bytes_max`, trained on samples that lie one after another in `samples`.
/// Empty when there is too little to learn from.
#[must_use]
pub fn train(samples: &[u8], lengths: &[usize], bytes_max: usize) -> Vec<u8> {
    zstd::dict::from_continuous(samples, lengths, bytes_max).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_squeezed_comes_back() {
        for level in [1, 3, 9, 19] {
            for length in [0, 1, 100, 70_000] {
                let raw: Vec<u8> = (0..length).map(|i: u32| (i % 7 * (i / 100)) as u8).collect();
                let frame = squeeze(&raw, level);
                assert_eq!(stretch(&frame, raw.len(), 1 << 20), Ok(raw));
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_opened() {
        let frame = squeeze(&vec![0; 1 << 26], 3);
        assert!(frame.len() < 1 << 14);
        let refused = stretch(&frame, 1 << 26, 1 << 30);
        assert!(matches!(refused, Err(SqueezeError::TooLarge { .. })), "{refused:?}");
        assert_eq!(stretch(&frame, 1 << 20, 1 << 30), Err(SqueezeError::Damaged));
    }

    #[test]
    fn damage_is_an_error() {
        let raw = b"the same line again and again\n".repeat(50);
        let frame = squeeze(&raw, 3);
        for cut in 0..frame.len() {
            assert!(stretch(&frame[..cut], raw.len(), 1 << 20).is_err());
        }
    }

    #[test]
    fn a_dictionary_helps_and_is_needed() {
        let lines: Vec<Vec<u8>> = (0..2000)
            .map(|i| {
                format!("user {} logged in from 10.0.{}.7 on port {}\n", i % 97, i % 251, i * 31 % 65536).into_bytes()
            })
            .collect();
        let lengths: Vec<usize> = lines.iter().map(Vec::len).collect();
        let dictionary = train(&lines.concat(), &lengths, 8 << 10);
        assert!(!dictionary.is_empty());
        let with = Squeezer::with_dictionary(3, &dictionary).expect("a usable dictionary").squeeze(&lines[7]);
        assert!(with.len() < squeeze(&lines[7], 3).len());
        let back = Stretcher::with_dictionary(&dictionary).and_then(|mut s| s.stretch(&with, lines[7].len(), 1 << 10));
        assert_eq!(back.as_ref(), Ok(&lines[7]));
        let prepared = Dictionary::new(&dictionary);
        let mut stretcher = Stretcher::default();
        stretcher.learn(&prepared).expect("a usable dictionary");
        assert_eq!(stretcher.stretch(&with, lines[7].len(), 1 << 10).as_ref(), Ok(&lines[7]));
        assert!(stretch(&with, lines[7].len(), 1 << 10).is_err());
    }
}
