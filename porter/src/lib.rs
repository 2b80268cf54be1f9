//! Ports closed buckets into indexed blocks on a shelf, and searches them.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod names;
pub mod ranges;
pub mod rules;

pub mod lease;
pub mod manifest;
pub mod standing;

pub mod census;
pub mod dedup;
pub mod machine;

pub mod block;
pub mod plan;
