//! The tailer: follows files, keeps what they say in its spool, and sends it to two bucks.
//!
//! What it promises: a line that was read is in the spool before it is sent, an offset is never ahead of its
//! lines, and nothing is lost in silence: what can't be read any more is counted and named. It never holds up the
//! program whose files it reads, and never fills the host's disk. What it may lose: lines that were deleted or
//! overwritten before it could read them.
//!
//! Read `machine` first for what it decides, then the files it puts together: `lines` and `parse` (what is in a
//! file), `follow` and `known` (which stream a file is), `fill` (packets), `spool`, `prune`, `pick` and `flight`
//! (where packets are and go). With the feature `hands`: `run`, and what touches disk and network.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod config;
pub mod globs;

pub mod action;
pub mod machine;

pub mod follow;
pub mod lines;
pub mod parse;

pub mod files;
pub mod known;
pub mod ranges;

pub mod fill;
pub mod flight;
pub mod pick;
pub mod prune;
pub mod spool;

pub mod clock;

#[cfg(feature = "hands")]
pub mod disk;
#[cfg(feature = "hands")]
pub mod memory;
#[cfg(feature = "hands")]
mod moved;
#[cfg(feature = "hands")]
mod post;
#[cfg(feature = "hands")]
pub mod run;
#[cfg(feature = "hands")]
pub mod watch;

#[cfg(all(test, feature = "hands"))]
mod testing;
