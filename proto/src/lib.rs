//! What tailbuck's programs must agree on: nouns, bytes, messages and the query language.
//!
//! Read in this order: the nouns (`time`, `ids`, `event`), then what they are written as (`field`, `squeeze`,
//! `packet`, `bucket`), then how nodes know each other (`seal`, `roster`), what they say (`message`, `codec`),
//! and how people ask (`grams`, `query`). Everything but `io` is pure: no socket, file, clock or global
//! generator is reachable without the feature `io`.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod limits;

pub mod event;
pub mod ids;
pub mod time;

pub mod field;
pub mod squeeze;

pub mod bucket;
pub mod closed;
pub mod packet;
pub mod record;

pub mod codec;
pub mod message;

pub mod grams;
pub mod query;

pub mod roster;
pub mod seal;

#[cfg(feature = "io")]
pub mod io;
