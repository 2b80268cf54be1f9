//! The browser page and the HTTP API. A web holds nothing: it asks bucks for the newest minutes and a porter for
//! the rest, and makes one answer of what they say.
//!
//! What it promises: answers in exact order, each event once; every answer says how complete it is and names who
//! was not heard; a node that is slow or gone is waited for a bounded time; log text is never taken for anything
//! but text.
//!
//! Read in this order: `merge` makes one answer of many nodes' rows, `counts` one histogram of many counts,
//! `complete` says what an answer lacks, `window` makes one live tail of many; `api` is what is asked from outside,
//! `frames` what goes back. Then the hands: `nodes` is the seam to the cluster, `search`, `hits`, `live`, `context`
//! and `cluster` ask it, `answer` says which request is which, `routes` speaks HTTP, `run` starts and stops it all.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod api;
pub mod bars;
pub mod complete;
pub mod config;
pub mod counts;
pub mod cursor;
pub mod fleet;
pub mod frames;
pub mod merge;
pub mod roll;
pub mod window;

pub mod assets;
pub mod clean;

#[cfg(feature = "hands")]
pub mod answer;
#[cfg(feature = "hands")]
mod cluster;
#[cfg(feature = "hands")]
mod context;
#[cfg(feature = "hands")]
mod feed;
#[cfg(feature = "hands")]
mod hits;
#[cfg(feature = "hands")]
mod links;
#[cfg(feature = "hands")]
mod live;
#[cfg(feature = "hands")]
pub mod nodes;
#[cfg(feature = "hands")]
pub mod reply;
#[cfg(feature = "hands")]
pub mod routes;
#[cfg(feature = "hands")]
pub mod run;
#[cfg(feature = "hands")]
pub mod search;
#[cfg(feature = "hands")]
mod shelf;
#[cfg(feature = "hands")]
pub mod site;
