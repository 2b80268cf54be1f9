//! Ports closed buckets into indexed blocks on a shelf, and searches them.
//!
//! Any number of porters may run, and nobody elects one. With none, packets wait on bucks and are searched there;
//! with two, each may do the same work, and the shelf takes one result. Read in this order: what stands on a shelf
//! (`names`, `manifest`, `block`), what is to be done (`machine`, `census`, `dedup`, `places`, `build`), how it is searched
//! (`plan`, `search`), and the hands.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod names;
pub mod ranges;
pub mod rules;

pub mod lease;
pub mod manifest;
pub mod standing;

pub mod block;
pub mod plan;
pub mod search;

pub mod build;
pub mod census;
pub mod check;
pub mod dedup;
pub mod machine;
pub mod places;

#[cfg(test)]
mod sample;

#[cfg(feature = "hands")]
pub mod objects;

#[cfg(feature = "hands")]
pub mod catalog;

#[cfg(feature = "hands")]
pub mod config;
#[cfg(feature = "hands")]
pub mod fetch;
#[cfg(feature = "hands")]
pub mod serve;

#[cfg(feature = "hands")]
pub mod run;
