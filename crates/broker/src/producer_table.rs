//! The producers of every partition, each partition's under its own lock, and the ids that new producers get.

use std::collections::HashMap;
use std::sync::Arc;

use headwater_base::{Offset, PartitionId, TopicId};
use headwater_log::{Bound, Log, PartitionState};
use headwater_meta::Change;
use parking_lot::{Mutex, RwLock};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::{BrokerError, OpenError};
use crate::producers::{ProducerSnapshot, Producers};
use crate::stable::AbortedRange;
use crate::txns::AbortedReplay;

/// Producer ids that are reserved in the log at a time.
const ID_BLOCK: i64 = 1_000;

#[derive(Default)]
pub(crate) struct ProducerTable(RwLock<HashMap<PartitionId, Arc<Mutex<Producers>>>>);

impl ProducerTable {
    /// Rebuilds the table from what outlived its batches and from the headers of those held, and says which partitions the log
    /// holds.
    pub fn rebuild(
        log: &dyn Log,
        now_ms: i64,
        snapshots: impl Iterator<Item = (PartitionId, ProducerSnapshot)>,
        mut aborted: AbortedReplay,
    ) -> Result<(Self, Vec<PartitionId>), OpenError> {
        let mut all: HashMap<PartitionId, Producers> = HashMap::new();
        for (partition, snapshot) in snapshots {
            all.entry(partition).or_default().import(snapshot);
        }
        let mut held: HashMap<PartitionId, ()> = HashMap::new();
        log.scan(&mut |partition, batch| {
            held.entry(partition).or_default();
            if batch.producer_id >= 0 {
                aborted.see(partition, batch);
                all.entry(partition).or_default().replay(batch, now_ms);
            }
        })?;
        for (partition, range) in aborted.ranges() {
            let producers = all.entry(partition).or_default();
            producers.stable_mut().abort(range);
        }
        let table = all
            .into_iter()
            .map(|(id, producers)| (id, Arc::new(Mutex::new(producers))))
            .collect();
        Ok((Self(RwLock::new(table)), held.into_keys().collect()))
    }

    /// The partition's producers, if it ever had any.
    pub fn find(&self, partition: PartitionId) -> Option<Arc<Mutex<Producers>>> {
        self.0.read().get(&partition).cloned()
    }

    /// Partitions that ever had producers, in order.
    pub fn all(&self) -> Vec<PartitionId> {
        let mut all: Vec<PartitionId> = self.0.read().keys().copied().collect();
        all.sort_unstable();
        all
    }

    pub fn of(&self, partition: PartitionId) -> Arc<Mutex<Producers>> {
        if let Some(producers) = self.0.read().get(&partition) {
            return Arc::clone(producers);
        }
        Arc::clone(self.0.write().entry(partition).or_default())
    }

    /// A partition's state, and the end of what is decided in it.
    pub fn last_stable(
        &self,
        log: &dyn Log,
        partition: PartitionId,
        bound: Bound,
    ) -> (PartitionState, Offset) {
        // The state first: what is submitted later can only be above it.
        let state = log.state(partition);
        let end = match bound {
            Bound::Durable => state.durable_end,
            Bound::Submitted => state.submitted_end,
        };
        let found = self.find(partition);
        let stable = found.map(|found| found.lock().last_stable_offset(&state, bound));
        (state, stable.unwrap_or(end))
    }

    pub fn aborted(&self, partition: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let found = self.find(partition);
        found.map_or_else(Vec::new, |found| found.lock().stable().aborted(from, to))
    }

    pub fn forget(&self, topic: TopicId) {
        self.0
            .write()
            .retain(|partition, _| partition.topic != topic);
    }
}

/// Ids that were reserved in the log and not handed out yet.
#[derive(Default)]
pub(crate) struct IdBlock {
    next: i64,
    end: i64,
}

impl Broker {
    /// Everything of a partition below is decided: committed, aborted or outside of any transaction.
    pub fn last_stable_offset(&self, partition: PartitionId, bound: Bound) -> Offset {
        self.producers.last_stable(&*self.log, partition, bound).1
    }

    /// Aborted transactions with something in `from..to`, by marker. Those that end below the log's start are left out.
    pub fn aborted(&self, partition: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let from = from.max(self.log.state(partition).start);
        self.producers.aborted(partition, from, to)
    }

    /// A producer id that nobody ever had, with epoch 0.
    ///
    /// # Errors
    /// The log takes nothing.
    pub async fn init_producer(&self) -> Result<(i64, i16), BrokerError> {
        let mut block = self.id_block.lock().await;
        if block.next == block.end {
            let mut start = 0;
            let durables = self.catalog.change(|catalog| {
                start = catalog.next_producer_id;
                let changes = vec![Change::ProducerIdsReserved {
                    next: start + ID_BLOCK,
                }];
                Ok(Plan {
                    changes,
                    drops: Vec::new(),
                })
            })?;
            settle(durables).await?;
            *block = IdBlock {
                next: start,
                end: start + ID_BLOCK,
            };
        }
        let id = block.next;
        block.next += 1;
        Ok((id, 0))
    }
}
