//! Produce: one batch for one partition. Checked and submitted at once, so that a connection's next request need not wait
//! for the disk; durable when the returned ticket resolves.

use bytes::Bytes;
use headwater_base::{Offset, PartitionId};
use headwater_coord::txns::Producer;
use headwater_log::{Append, Commit, Durable};
use headwater_record::BatchHeader;

use crate::Broker;
use crate::conform::{Conformed, conform};
use crate::error::BrokerError;
use crate::journal;
use crate::producers::{Placed, Sequenced, Verdict, last_sequence};
use crate::topics::TopicRef;
use crate::txns::Writer;

/// A batch on its way to the disk.
pub struct Ticket {
    base_offset: Offset,
    /// Set when the topic's timestamps are the broker's.
    log_append_time_ms: Option<i64>,
    log_start: Offset,
    durable: Durable,
}

/// A batch that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub log_append_time_ms: Option<i64>,
    pub log_start: Offset,
}

impl Ticket {
    /// # Errors
    /// The disk failed.
    pub async fn settle(self) -> Result<Appended, BrokerError> {
        self.durable.await?;
        let Self {
            base_offset,
            log_append_time_ms,
            log_start,
            ..
        } = self;
        Ok(Appended {
            base_offset,
            log_append_time_ms,
            log_start,
        })
    }
}

impl Broker {
    /// Takes exactly one batch of a client for a partition. Does not wait.
    ///
    /// # Errors
    /// The partition is unknown or internal, the batch is not acceptable, its sequence is wrong, or the log takes nothing.
    pub fn produce(
        &self,
        topic: &TopicRef,
        partition: i32,
        records: Option<Bytes>,
    ) -> Result<Ticket, BrokerError> {
        let ticket = self.produce_as(None, topic, partition, records);
        self.write_produced(false);
        ticket
    }

    /// Has everything written that was taken by [`Broker::produce_as`]; `here` by this thread, which then waits for the disk, where
    /// that is faster.
    pub fn write_produced(&self, here: bool) {
        self.log.write_submitted(here);
    }

    /// As [`Broker::produce`], for a client that may write in a transaction. [`Broker::write_produced`] has to follow.
    ///
    /// # Errors
    /// As those, or the transactional id says no.
    pub fn produce_as(
        &self,
        writer: Option<Writer<'_>>,
        topic: &TopicRef,
        partition: i32,
        records: Option<Bytes>,
    ) -> Result<Ticket, BrokerError> {
        let catalog = self.catalog.current();
        let topic = topic.find(&catalog)?;
        let id = topic
            .partition(partition)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        if topic.is_internal() {
            return Err(BrokerError::InternalTopic(topic.name.clone()));
        }
        let batch = records.filter(|bytes| !bytes.is_empty());
        let batch = batch
            .ok_or_else(|| BrokerError::NotABatch("a produce request without a batch".into()))?;
        let now_ms = self.clock.now_ms();
        let Conformed {
            header,
            batch,
            log_append_time_ms,
        } = conform(&topic.settings, batch, now_ms)?;
        let (bytes, records) = (
            batch.len() as u64,
            u64::from(header.record_count.unsigned_abs()),
        );
        // Held until the batch is submitted, so that a deletion comes before or after it and never in between.
        let held = self.catalog.hold();
        if held.topic_by_id(id.topic).is_none() {
            return Err(BrokerError::UnknownTopicOrPartition);
        }
        let ticket = match header.has_producer() {
            true => self.append_sequenced(writer, id, &header, batch, now_ms)?,
            false => self.append(id, batch)?,
        };
        self.counters
            .of(topic.id, &topic.name)
            .came_in(records, bytes);
        Ok(Ticket {
            log_append_time_ms,
            ..ticket
        })
    }

    fn append_sequenced(
        &self,
        writer: Option<Writer<'_>>,
        id: PartitionId,
        header: &BatchHeader,
        batch: Bytes,
        now_ms: i64,
    ) -> Result<Ticket, BrokerError> {
        let sequenced = Sequenced {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            first: header.base_sequence,
            last: last_sequence(header.base_sequence, header.last_offset_delta),
            transactional: header.is_transactional(),
        };
        let held = self.producers.of(id);
        let mut producers = held.lock();
        // Keeps a transaction from ending between its check and its first batch here.
        let mut admitted = None;
        while sequenced.transactional
            && admitted.is_none()
            && !producers.is_open(sequenced.producer_id, sequenced.epoch)
        {
            drop(producers);
            let by = Producer {
                id: sequenced.producer_id,
                epoch: sequenced.epoch,
            };
            let writer = writer.as_ref().ok_or(BrokerError::InvalidTransaction)?;
            admitted = Some(self.admit(writer, by, id)?);
            producers = held.lock();
        }
        if let Verdict::Duplicate {
            base_offset,
            last_offset,
        } = producers.check(sequenced)?
        {
            let log_start = self.log.state(id).start;
            let durable = journal::durable_to(&*self.log, id, last_offset + 1)?
                .unwrap_or_else(|| Box::pin(std::future::ready(Ok(()))));
            return Ok(Ticket {
                base_offset,
                log_append_time_ms: None,
                log_start,
                durable,
            });
        }
        let ticket = match self.append(id, batch) {
            Ok(ticket) => ticket,
            Err(error) => {
                if matches!(error, BrokerError::Retry(_)) {
                    producers.refused(sequenced, now_ms);
                }
                return Err(error);
            }
        };
        let last_offset = ticket.base_offset + i64::from(header.last_offset_delta);
        let placed = Placed {
            base_offset: ticket.base_offset,
            last_offset,
            now_ms,
        };
        producers.appended(sequenced, placed);
        Ok(ticket)
    }

    fn append(&self, partition: PartitionId, batch: Bytes) -> Result<Ticket, BrokerError> {
        let commit = Commit {
            appends: vec![Append { partition, batch }],
            ..Commit::default()
        };
        let submitted = self.log.submit_later(commit)?;
        let base_offset = submitted.base_offsets.first().copied().unwrap_or_default();
        let log_start = self.log.state(partition).start;
        Ok(Ticket {
            base_offset,
            log_append_time_ms: None,
            log_start,
            durable: submitted.durable,
        })
    }
}
