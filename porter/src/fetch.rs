//! Asks bucks: what they hold, and for packets. Whatever goes wrong is one answer, that there was none.

use crate::check;
use crate::machine::Reply;
use proto::codec::{decode_answer, encode_ask};
use proto::ids::{Environment, NodeId, PacketId};
use proto::io::links::Links;
use proto::io::members::Members;
use proto::limits::PACKET_BYTES_MAX;
use proto::message::{Answer, Ask, Part};
use proto::time::BucketId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a buck that could not be reached is not dialled again. The machine asks it every few seconds.
const REST: Duration = Duration::from_secs(1);

/// Bytes taken of one answer: what is asked for at once, and one packet more.
const ANSWER_BYTES_MAX: usize = 8 << 20;
const _: () = assert!(ANSWER_BYTES_MAX >= PACKET_BYTES_MAX, "one packet can always come");

#[derive(Clone, Debug)]
pub struct Bucks {
    pub links: Arc<Links>,
    pub members: Arc<Members>,
    /// The same that the machine waits for an answer.
    pub patience: Duration,
}

impl Bucks {
    pub async fn holdings(&self, buck: NodeId, after: Option<(Environment, BucketId)>) -> Reply {
        match self.ask(buck, &Ask::Holdings { after }).await {
            Ok(Answer::Holdings { holdings, more }) => Reply::Holdings { holdings, more },
            other => self.no_answer(buck, other),
        }
    }

    pub async fn inventory(
        &self,
        buck: NodeId,
        environment: Environment,
        bucket: BucketId,
        after: Option<PacketId>,
    ) -> Reply {
        match self.ask(buck, &Ask::Inventory { environment, bucket, after }).await {
            Ok(Answer::Inventory(page)) => {
                let roster = self.members.now();
                blocking(move || Reply::Inventory(check::inventory(page, &roster))).await
            }
            other => self.no_answer(buck, other),
        }
    }

    pub async fn fetch(&self, buck: NodeId, packets: Vec<PacketId>) -> Reply {
        match timeout(self.patience, self.records(buck, packets.clone())).await {
            Ok(Ok(records)) => {
                let roster = self.members.now();
                blocking(move || Reply::Fetched(check::packets(&packets, records, &roster))).await
            }
            Ok(Err(why)) => {
                self.links.rest(buck, REST);
                Reply::Failed(why)
            }
            Err(_) => Reply::Failed("no answer in time".to_owned()),
        }
    }

    async fn records(&self, buck: NodeId, packets: Vec<PacketId>) -> Result<Vec<Vec<u8>>, String> {
        let question = encode_ask(&Ask::Fetch { packets }).map_err(|why| why.to_string())?;
        let link = self.links.to(buck).await.map_err(|why| why.to_string())?;
        let answers = link.ask_for_many(question, self.patience).await;
        let mut answers = answers.map_err(|why| why.to_string())?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(answer) = answers.next().await.map_err(|why| why.to_string())? {
            match decode_answer(&answer).map_err(|why| why.to_string())? {
                Answer::Part(Part::Record(record)) => {
                    bytes += record.len();
                    records.push(record);
                }
                Answer::Part(Part::End(_)) => return Ok(records),
                Answer::Refused(why) => return Err(why.to_string()),
                _ => return Err("an answer of another kind than was asked for".to_owned()),
            }
            // What is left out is asked for again, of another buck.
            if bytes > ANSWER_BYTES_MAX {
                return Ok(records);
            }
        }
        Ok(records)
    }

    async fn ask(&self, buck: NodeId, ask: &Ask) -> Result<Answer, String> {
        let question = encode_ask(ask).map_err(|why| why.to_string())?;
        let answer = self.links.ask(buck, question, self.patience).await.map_err(|why| why.to_string())?;
        decode_answer(&answer).map_err(|why| why.to_string())
    }

    fn no_answer(&self, buck: NodeId, answer: Result<Answer, String>) -> Reply {
        match answer {
            Ok(Answer::Refused(why)) => Reply::Failed(why.to_string()),
            Ok(_) => Reply::Failed("an answer of another kind than was asked for".to_owned()),
            Err(why) => {
                self.links.rest(buck, REST);
                Reply::Failed(why)
            }
        }
    }
}

/// Work that takes a while, off the threads that wait for the network.
pub(crate) async fn blocking(work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|why| Reply::Failed(format!("a thread ended early: {why}")))
}
