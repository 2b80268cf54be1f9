//! Nodes: each owns one production machine and is its hands on virtual files, disks, network and shelf.
//!
//! Hands do what they are asked and say how it went; they decide nothing. Where a bug is planted, it is a hand that
//! lies. A node may be armed to die between any two actions.

pub mod buck;
pub mod catalogue;
pub mod desk;
pub mod files;
pub mod life;
pub mod porter;
pub mod shelf;
pub mod tailer;
pub mod web;

pub const TAILERS: u64 = 0x100;
pub const BUCKS: u64 = 0x200;
pub const PORTERS: u64 = 0x300;
pub const WEBS: u64 = 0x400;
