//! What must hold, a file for each. Each counts how often it was evaluated; a check that never ran proves nothing.

use crate::faults::Bug;

pub mod clock;
pub mod conserve;
pub mod honest;
pub mod invention;
pub mod kept;
pub mod loss;
pub mod once;
pub mod prune;
pub mod search;

#[cfg(test)]
mod tests;

pub const READABLE: &str = "S12 what stands can be read";

/// Every rule, so that one that never was evaluated is missed.
pub const RULES: [&str; 23] = [
    kept::ACK_TRUTH,
    "S2 who is believed to keep a record was given it",
    loss::ACKED,
    loss::UNACKED,
    loss::NAMED,
    conserve::RULE,
    invention::RULE,
    once::RULE,
    once::LIVES,
    prune::TAILER,
    prune::BUCK,
    prune::BLOCK,
    READABLE,
    clock::TIMES,
    clock::BUCKETS,
    honest::RULE,
    honest::CLOSED,
    search::INVENTED,
    search::ONCE,
    search::ORDER,
    search::COMPLETE,
    search::SCAN,
    search::COUNT,
];

/// Which rules a planted bug breaks: one of these must find it.
#[must_use]
pub fn rules_of(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::AckBeforeSync | Bug::AckBeforeWrite | Bug::ShortWrite | Bug::SyncAgain | Bug::FolderUnsynced => {
            &[kept::ACK_TRUTH]
        }
        Bug::PruneBeforeReceipt | Bug::ManifestUnwritten | Bug::ReceiptsTooWide => &[prune::TAILER, prune::BUCK],
        Bug::PruneOnFirstAck => &[prune::TAILER],
        Bug::DedupByContent | Bug::DedupByPlace => &[loss::ACKED, loss::UNACKED],
        Bug::BlockUnverified => &[READABLE],
        Bug::DeleteBeforeCommit => &[prune::BLOCK],
        Bug::NoChecksum => &[invention::RULE],
        Bug::ResendToSame => &["S2 who is believed to keep a record was given it"],
        Bug::DoublesUnseen => &[once::RULE],
        Bug::SpoolUnwritten => &[loss::UNACKED],
        Bug::MergeForgets => &[conserve::RULE],
        Bug::CensusForged => &[honest::CLOSED],
        Bug::RowsForgotten => &[search::COMPLETE],
        Bug::ShelfRowsForgotten => &[search::COMPLETE, search::SCAN],
        Bug::CountsRepeated => &[search::COUNT],
        Bug::MemoryUnsettled => &[once::LIVES],
    }
}
