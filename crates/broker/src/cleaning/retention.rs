//! Retention: what is older than `retention.ms`, or more than `retention.bytes` from the end, goes by moving the log start.
//!
//! Whole batches go, from the start on, until one is young enough by its largest timestamp. What transactions leave undecided
//! stays, what a pipeline may have to read again does, and so do topics that the node makes for itself unless somebody has set their retention.

use std::collections::BTreeMap;

use headwater_base::{Offset, PartitionId};
use headwater_log::{Bound, Commit, Log};
use headwater_meta::Topic;
use headwater_meta::configs::Cleanup;

use super::meters::Round;
use crate::Broker;
use crate::error::BrokerError;
use crate::producers::StoredBatch;

/// Names of topics that the node makes begin with one of these.
const OWN_PREFIXES: [&str; 2] = ["__", "headwater-"];
/// Partitions whose starts move in one commit.
const TRIMS_MAX: usize = 500;

/// Which topics a round checks for what is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByTime {
    /// The clock is not to be believed.
    Nowhere,
    WhereDue,
    Everywhere,
}

/// A partition that retention may cut.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: PartitionId,
    retention_ms: Option<i64>,
    retention_bytes: Option<u64>,
    last_stable: Offset,
}

/// The retention that holds for a topic: time and bytes.
fn retention(topic: &Topic) -> (Option<i64>, Option<u64>) {
    let Cleanup {
        delete,
        retention_ms,
        retention_bytes,
        ..
    } = topic.settings.cleanup;
    if !delete {
        return (None, None);
    }
    let own = OWN_PREFIXES
        .iter()
        .any(|prefix| topic.name.starts_with(prefix));
    let set = |name: &str| !own || topic.configs.contains_key(name);
    (
        retention_ms.filter(|_| set("retention.ms")),
        retention_bytes.filter(|_| set("retention.bytes")),
    )
}

impl Broker {
    /// Moves the start of every partition that holds too much.
    pub(super) async fn retain_all(&self, now_ms: i64, by_time: ByTime) -> Round {
        let held = self.retention_candidates(now_ms, by_time);
        let plan = self.off_thread(move |log| {
            let ends = held
                .into_iter()
                .map(|one| (one.id, new_start(log, one, now_ms)));
            Ok(ends.collect::<Vec<_>>())
        });
        let mut round = Round::default();
        let mut trims: BTreeMap<_, _> = self.postponed_trims().into_iter().collect();
        for (id, planned) in plan.await.unwrap_or_default() {
            match planned {
                Ok(Some(to)) => {
                    let to = self.cleanable_to(id, to);
                    if to > self.log.state(id).start {
                        let one = trims.entry(id).or_insert(to);
                        *one = to.max(*one);
                    }
                }
                Ok(None) => {}
                Err(error) => round.failed(&error),
            }
        }
        for chunk in self.by_shard(trims.into_iter().collect()) {
            match self.trim(chunk, now_ms).await {
                Ok(bytes) => round.trimmed(bytes),
                Err(error) => round.failed(&error),
            }
        }
        round
    }

    fn retention_candidates(&self, now_ms: i64, by_time: ByTime) -> Vec<Held> {
        let catalog = self.catalog.current();
        let mut held = Vec::new();
        for topic in catalog.topics() {
            let (retention_ms, retention_bytes) = retention(topic);
            let due = retention_ms.filter(|ms| match by_time {
                ByTime::Nowhere => false,
                ByTime::WhereDue => self.cleaning.is_due_by_time(topic.id, *ms, now_ms),
                ByTime::Everywhere => true,
            });
            if due.is_none() && retention_bytes.is_none() {
                continue;
            }
            let over = |id: &PartitionId| {
                let state = self.log.state(*id);
                let large = retention_bytes.is_some_and(|bytes| state.bytes > bytes);
                state.durable_end > state.start && (due.is_some() || large)
            };
            held.extend(topic.partition_ids().filter(over).map(|id| Held {
                id,
                retention_ms: due,
                retention_bytes,
                last_stable: self.last_stable_offset(id, Bound::Durable),
            }));
        }
        held
    }

    fn by_shard(&self, trims: Vec<(PartitionId, Offset)>) -> Vec<Vec<(PartitionId, Offset)>> {
        let mut chunks = Vec::new();
        for shard in 0..self.log.shards() {
            let here = trims.iter().copied();
            let here: Vec<_> = here
                .filter(|(id, _)| self.log.shard_of(*id) == shard)
                .collect();
            chunks.extend(here.chunks(TRIMS_MAX).map(<[_]>::to_vec));
        }
        chunks
    }

    /// Moves starts up, and notes in the same commit the producers whose newest batches go with it. All partitions are of one
    /// shard. Gives the bytes that went.
    ///
    /// # Errors
    /// The log takes nothing, or fails.
    pub(super) async fn trim(
        &self,
        trims: Vec<(PartitionId, Offset)>,
        now_ms: i64,
    ) -> Result<u64, BrokerError> {
        let bytes = |trims: &[(PartitionId, Offset)]| -> u64 {
            let bytes = trims.iter().map(|(id, _)| self.log.state(*id).bytes);
            bytes.sum()
        };
        let before = bytes(&trims);
        let notes = trims.iter().flat_map(|(id, to)| {
            self.outliving(*id, |one| {
                // A marker may stay that is newer than the last data, whose sequence would be lost.
                let going = |batch: &StoredBatch| batch.last_offset < *to;
                one.last_offset < *to || one.coordinator_epoch >= 0 || one.batches().any(going)
            })
        });
        let notes = notes.collect();
        let commit = Commit {
            trims: trims.clone(),
            ..Commit::default()
        };
        self.cleaning.journal.commit(commit, notes, now_ms).await?;
        Ok(before.saturating_sub(bytes(&trims)))
    }
}

/// Where the partition has to start, if that is further up.
fn new_start(log: &dyn Log, held: Held, now_ms: i64) -> Result<Option<Offset>, BrokerError> {
    let state = log.state(held.id);
    let by_time = match held.retention_ms {
        Some(ms) => expired_end(log, held.id, now_ms.saturating_sub(ms))?,
        None => state.start,
    };
    let by_size = match held.retention_bytes {
        Some(0) => state.durable_end,
        Some(bytes) if state.bytes > bytes => log.offset_for_bytes(held.id, bytes)?,
        _ => state.start,
    };
    let to = by_time.max(by_size).min(held.last_stable);
    Ok((to > state.start).then_some(to))
}

/// Everything below is older than `oldest_ms`. Batches without any timestamp at the end are not taken for old.
fn expired_end(log: &dyn Log, id: PartitionId, oldest_ms: i64) -> Result<Offset, BrokerError> {
    if let Some(young) = log.find_time(id, oldest_ms)? {
        return Ok(young);
    }
    let state = log.state(id);
    Ok(match log.max_timestamp(id)? {
        Some((newest_ms, _)) if newest_ms >= 0 => state.durable_end,
        _ => state.start,
    })
}
