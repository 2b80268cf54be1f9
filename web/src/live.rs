//! A live tail: every buck is followed, what they send goes through the window, and out as frames.
//!
//! A buck that is gone is named and tried again; what two bucks acknowledge is shown by the other meanwhile. Pulled
//! by the connection that reads it: one that takes nothing for long is let go, with a note.

mod followed;
mod outlet;
mod past;

pub use outlet::bytes;
