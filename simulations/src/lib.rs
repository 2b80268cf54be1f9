//! The whole cluster on virtual time, network and disks.
//!
//! Production machines run unchanged; only their hands are others. One seed is one story: everything drawn comes
//! from it, so a run that went wrong is replayed by its number.

#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests use small numbers"))]

pub mod bugs;
pub mod checks;
pub mod cluster;
pub mod disk;
pub mod faults;
pub mod ghost;
pub mod hosts;
pub mod needles;
pub mod net;
pub mod nodes;
pub mod rows;
pub mod signing;
pub mod story;
pub mod timeline;
pub mod total;
pub mod truth;
pub mod world;
