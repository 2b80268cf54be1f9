//! The tailer: follows files, keeps what they say in its spool, and sends it to two bucks.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod action;
pub mod clock;
pub mod config;
pub mod files;
pub mod fill;
pub mod flight;
pub mod follow;
pub mod known;
pub mod lines;
pub mod machine;
pub mod parse;
pub mod pick;
pub mod prune;
pub mod ranges;
pub mod spool;
