//! What the machine asks to be done. Hands do it and tell the machine how it went; nothing else happens.

use crate::job::Job;
use crate::place::{DiskId, ExchangeId, Ticket};
use bytes::Bytes;
use proto::ids::{Environment, PacketId};
use proto::message::{Answer, Receipt};
use proto::query::Query;
use proto::time::{BucketId, Timestamp};

#[derive(Debug)]
pub enum Action {
    /// Write at the end of the file of this disk, environment and bucket, creating it when there is none. Appends
    /// and syncs of one disk are done in the order asked for. Comes back as `on_appended`, `on_disk_full` or
    /// `on_disk_failed`.
    Append { disk: DiskId, environment: Environment, bucket: BucketId, bytes: Bytes, ticket: Ticket },
    /// Make everything appended to this disk so far durable: files, their lengths, their folders. Comes back as
    /// `on_synced` with this ticket, or as `on_disk_failed`.
    Sync { disk: DiskId, ticket: Ticket },
    /// Remove the file. What is asked for later, an append among it, finds none.
    Delete { disk: DiskId, environment: Environment, bucket: BucketId },
    /// The one answer to a question.
    Answer { exchange: ExchangeId, answer: Answer },
    /// Run this job off the loop: read what it asks for, send the parts it gives. Then `on_job_done`.
    Run { exchange: ExchangeId, job: Job },
    /// Feed a live tail from now on, until `on_gone`.
    Subscribe { exchange: ExchangeId, query: Query, environments: Vec<Environment> },
    /// Stop feeding it.
    Unsubscribe { exchange: ExchangeId },
    /// A packet has come for the first time: show it to live tails, and make its filter when there is leisure.
    Publish { id: PacketId, events: u32, bytes: Bytes },
    /// Ask porters for the receipts of these. Whatever comes back goes to `on_receipts`.
    AskReceipts { buckets: Vec<(Environment, BucketId)> },
    /// Worth remembering over a restart, and no loss when it is not: the receipts of a bucket, and since when
    /// all its packets have one. No receipts: forget it.
    Remember { environment: Environment, bucket: BucketId, receipts: Vec<Receipt>, since: Option<Timestamp> },
}
