//! What goes back over HTTP, before any HTTP library is named: a status, a type, and a body whole or in pieces.

use crate::api::Complaint;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::Serialize;

/// The answer can't be finished; the connection is broken off, so that nobody takes it for whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cut short: {0}")]
pub struct Cut(pub String);

pub enum Body {
    Whole(Bytes),
    Stream(BoxStream<'static, Result<Bytes, Cut>>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub cache_control: &'static str,
    pub etag: Option<String>,
    /// The body is gzip's, for a reader that takes it.
    pub is_gzip: bool,
    pub body: Body,
}

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";
pub const EVENT_STREAM: &str = "text/event-stream";
pub const TEXT: &str = "text/plain; charset=utf-8";
pub const BYTES: &str = "application/octet-stream";

impl Reply {
    #[must_use]
    pub fn whole(status: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            cache_control: "no-store",
            etag: None,
            is_gzip: false,
            body: Body::Whole(bytes.into()),
        }
    }

    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("numbers and text are JSON");
        Self::whole(200, JSON, bytes)
    }

    #[must_use]
    pub fn stream(content_type: &'static str, stream: BoxStream<'static, Result<Bytes, Cut>>) -> Self {
        Self { body: Body::Stream(stream), ..Self::whole(200, content_type, Bytes::new()) }
    }
}

impl From<Complaint> for Reply {
    fn from(complaint: Complaint) -> Self {
        Self::whole(complaint.status, JSON, complaint.to_json())
    }
}
