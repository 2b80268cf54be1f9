//! The browser page and the HTTP API: read-only, bounded, and nothing kept.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod assets;
pub mod clean;
