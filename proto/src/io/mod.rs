//! The hands all programs share: clocks, keys, folders, connections. They do; they decide nothing.
//!
//! Only behind the feature `io`. What is done with an answer, when to try again and whom to ask is for the roles'
//! machines.

pub mod clock;
pub mod dir;
pub mod keys;
pub mod stop;

pub mod links;
pub mod members;
pub mod quic;
