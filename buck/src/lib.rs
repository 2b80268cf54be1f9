//! The buck: keeps packets on its disks, answers queries over what no porter has taken yet, feeds live tails.
//!
//! What an answer `Kept` means, in one sentence: the record's bytes were written to a file of this buck and that
//! file, its folder and its length were synced to the disk after that (with `ack = "written"`: only written).
//!
//! Bucks never talk to bucks. A tailer sends each packet to two of them, a porter takes each packet from one of
//! them, and a reader asks all of them; so nothing here elects, copies, counts votes or waits for another.
//!
//! Reading order: `config`, `place` and `action` say what the machine is told and what it asks for; `machine` is
//! the machine; `index` is what lies where; `opened`, `filter`, `scan`, `context` and `tails` read packets. Those
//! are pure. With the feature `hands`: `run` is the loop, `serve` the network, `writer` and `reader` the disks,
//! `ledger` what is remembered for convenience.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod config;

pub mod action;
pub mod place;

pub mod machine;

mod disks;
mod index;
mod keep;
mod pending;
mod rate;

pub mod filter;
pub mod opened;

pub mod context;
pub mod fetch;
pub mod job;
pub mod plan;
pub mod scan;
pub mod tails;

#[cfg(feature = "hands")]
mod files;
#[cfg(feature = "hands")]
mod recover;

#[cfg(feature = "hands")]
mod reader;
#[cfg(feature = "hands")]
mod writer;

#[cfg(feature = "hands")]
mod follow;
#[cfg(feature = "hands")]
mod ledger;
#[cfg(feature = "hands")]
mod serve;

#[cfg(feature = "hands")]
pub mod run;
