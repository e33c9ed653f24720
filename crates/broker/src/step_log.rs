//! The broker as the engine's log: committed reads, and one atomic commit a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use headwater_base::{Offset, PartitionId, TopicId};
use headwater_connect::step_log::{
    CommitError, DurableStep, Step, StepLog, StepRead, TopicInfo, Visibility,
};
use headwater_log::{Append, Bound, Commit, ReadError, SubmitError};
use headwater_meta::Topic;
use headwater_record::BatchHeader;
use tokio::sync::Notify;

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;
use crate::fetch::volume;

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, CommitError>> + Send + 'a>>;

impl StepLog for Broker {
    fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.catalog.current().topic(name).map(|topic| info(topic))
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.catalog
            .current()
            .topics()
            .map(|topic| info(topic))
            .collect()
    }

    fn ensure_topic<'a>(&'a self, name: &'a str, partitions: i32) -> Later<'a, TopicInfo> {
        Box::pin(async move {
            let durables = self.catalog.change(|catalog| {
                if catalog.topic(name).is_some() {
                    return Ok(Plan::default());
                }
                let change = catalog.create_any(
                    name,
                    self.topic_id_together(partitions),
                    partitions,
                    kept_for_ever(),
                )?;
                Ok(Plan::of(vec![change], false))
            })?;
            // In a log of one shard whatever makes use of the topic comes after it, so that nobody need wait for the
            // disk: a start that makes several topics costs one sync, not one each.
            if self.log.shards() > 1 {
                settle(durables).await?;
            }
            StepLog::topic(self, name)
                .ok_or_else(|| CommitError::Retry(format!("topic '{name}' was deleted at once")))
        })
    }

    fn delete_topic<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            let topic = self.catalog.current().topic(name).cloned();
            match topic {
                Some(topic) => Ok(self.delete_found(&topic).await?),
                None => Ok(()),
            }
        })
    }

    fn read_committed(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visibility: Visibility,
    ) -> std::io::Result<StepRead> {
        let bound = self.bound(visibility);
        let (state, end) = self.producers.last_stable(&*self.log, partition, bound);
        let from = from.max(state.start);
        let out = match self.log.read(partition, from, max_bytes, bound) {
            // The start may have moved up in between.
            Err(ReadError::OutOfRange { state, .. }) => {
                self.log
                    .read(partition, from.max(state.start), max_bytes, bound)
            }
            other => other,
        };
        let out = out.map_err(std::io::Error::other)?;
        let parsed = out.batches.iter().map(|batch| BatchHeader::parse(batch));
        let mut headers: Vec<BatchHeader> = parsed
            .collect::<Result<_, _>>()
            .map_err(std::io::Error::other)?;
        headers.truncate(headers.partition_point(|header| header.base_offset < end));
        let next = headers
            .last()
            .map_or(from, |header| header.last_offset() + 1);
        let aborted = self.producers.aborted(partition, from, next);
        let dead = |header: &BatchHeader| {
            header.is_transactional()
                && aborted
                    .iter()
                    .any(|range| range.covers(header.producer_id, header.base_offset))
        };
        let data = out
            .batches
            .into_iter()
            .zip(&headers)
            .filter(|(_, header)| !header.is_control() && !dead(header));
        Ok(StepRead {
            batches: data.map(|(batch, _)| batch).collect(),
            next,
            end,
            start: out.state.start,
        })
    }

    fn extent(&self, partition: PartitionId) -> (Offset, Offset) {
        let (state, stable) = self
            .producers
            .last_stable(&*self.log, partition, Bound::Durable);
        (state.start, stable)
    }

    fn commit(&self, step: Step) -> Result<(Vec<Offset>, DurableStep), CommitError> {
        let catalog = self.catalog.hold();
        for (partition, batch) in &step.appends {
            let topic = catalog
                .topic_by_id(partition.topic)
                .filter(|topic| topic.partition(partition.index).is_some());
            let topic = topic
                .ok_or_else(|| CommitError::Failed(format!("partition {partition} was deleted")))?;
            let (records, bytes) = volume(std::slice::from_ref(batch));
            self.counters
                .of(topic.id, &topic.name)
                .came_in(records, bytes);
        }
        let appends = step
            .appends
            .into_iter()
            .map(|(partition, batch)| Append { partition, batch })
            .collect();
        let commit = Commit {
            appends,
            trims: step.trims,
            ..Commit::default()
        };
        let submitted = self.log.submit(commit).map_err(refused)?;
        let durable = submitted.durable;
        let later = Box::pin(async move {
            durable
                .await
                .map_err(|error| CommitError::Failed(error.to_string()))
        });
        Ok((submitted.base_offsets, later))
    }

    fn retain(&self, holder: &str, positions: Vec<(PartitionId, Offset)>) {
        self.holds.set(holder, positions);
    }

    fn release_wanted(&self, holder: &str) -> bool {
        self.holds.take_wanted(holder)
    }

    fn register(
        &self,
        partitions: &[PartitionId],
        visibility: Visibility,
        wake: Arc<Notify>,
    ) -> Box<dyn Send + Sync> {
        Box::new(self.log.register(partitions, self.bound(visibility), wake))
    }
}

/// Most tries to find an id whose partitions all live in one shard: enough for eight partitions and four shards.
const PLACES_TRIED_MAX: usize = 1 << 18;

impl Broker {
    /// A commit of a log of several shards may come back without one of another shard that was submitted before it, so that only what
    /// is durable can be worked on.
    fn bound(&self, visibility: Visibility) -> Bound {
        match visibility {
            Visibility::InFlight if self.log.shards() == 1 => Bound::Submitted,
            _ => Bound::Durable,
        }
    }

    /// What a pipeline writes lives in one shard, because a commit is atomic within one.
    fn topic_id_together(&self, partitions: i32) -> TopicId {
        let together = |topic: &TopicId| {
            (0..partitions).all(|index| {
                let id = PartitionId {
                    topic: *topic,
                    index,
                };
                self.log.shard_of(id) == 0
            })
        };
        let mut ids = (0..PLACES_TRIED_MAX).map(|_| self.fresh_topic_id());
        ids.find(together).unwrap_or_else(|| self.fresh_topic_id())
    }
}

/// Configs of topics that the node makes for itself and its pipelines: rows carry the time of their events, which may be
/// years ago, so that the usual retention would delete an answer as soon as it is there. An operator may set another one.
fn kept_for_ever() -> std::collections::BTreeMap<String, String> {
    std::collections::BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())])
}

fn info(topic: &Topic) -> TopicInfo {
    TopicInfo {
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions,
    }
}

fn refused(error: SubmitError) -> CommitError {
    match error {
        SubmitError::Full(_) | SubmitError::Busy { .. } => CommitError::Retry(error.to_string()),
        SubmitError::TooLarge { .. }
        | SubmitError::Invalid(_)
        | SubmitError::CrossShard(..)
        | SubmitError::Stale { .. }
        | SubmitError::Unreadable(_)
        | SubmitError::Failed(_) => CommitError::Failed(error.to_string()),
    }
}

impl From<BrokerError> for CommitError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Retry(reason) => Self::Retry(reason),
            other => Self::Failed(other.to_string()),
        }
    }
}
