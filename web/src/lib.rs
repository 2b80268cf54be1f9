//! The browser page and the HTTP API. A web holds nothing: it asks bucks for the newest minutes and a porter for
//! the rest, and makes one answer of what they say.
//!
//! What it promises: answers in exact order, each event once; every answer says how complete it is and names who
//! was not heard; a node that is slow or gone is waited for a bounded time; log text is never taken for anything
//! but text.
//!
//! Read in this order: `merge` makes one answer of many nodes' rows, `counts` one histogram of many counts,
//! `complete` says what an answer lacks, `window` makes one live tail of many. `api` is what the outside sees.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod api;
pub mod bars;
pub mod complete;
pub mod counts;
pub mod cursor;
pub mod fleet;
pub mod frames;
pub mod merge;
pub mod window;

pub mod assets;
pub mod clean;
