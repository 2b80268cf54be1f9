//! What must hold, a file for each. Each counts how often it was evaluated; a check that never ran proves nothing.

pub mod honest;
pub mod invention;
pub mod kept;
pub mod loss;
pub mod once;
pub mod prune;

/// Every rule, so that one that never was evaluated is missed.
pub const RULES: [&str; 9] = [
    kept::ACK_TRUTH,
    "S2 who is believed to keep a record was given it",
    loss::ACKED,
    loss::UNACKED,
    loss::CONSERVED,
    invention::RULE,
    once::RULE,
    prune::TAILER,
    honest::RULE,
];
