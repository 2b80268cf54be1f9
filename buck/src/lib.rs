//! Being built.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]
