//! The producers of every partition, each partition's under its own lock, and the ids that new producers get.

use std::collections::HashMap;
use std::sync::Arc;

use headwater_base::{PartitionId, TopicId};
use headwater_log::Log;
use headwater_meta::Change;
use parking_lot::{Mutex, RwLock};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::{BrokerError, OpenError};
use crate::producers::{Producers, Sequenced, last_sequence};

/// Producer ids that are reserved in the log at a time.
const ID_BLOCK: i64 = 1_000;
/// Attribute bit of control batches.
const CONTROL: i16 = 0x20;

#[derive(Default)]
pub(crate) struct ProducerTable(RwLock<HashMap<PartitionId, Arc<Mutex<Producers>>>>);

impl ProducerTable {
    /// Rebuilds the table from the batch headers, and says which partitions the log holds.
    pub fn rebuild(log: &dyn Log, now_ms: i64) -> Result<(Self, Vec<PartitionId>), OpenError> {
        let mut all: HashMap<PartitionId, Producers> = HashMap::new();
        let mut held: HashMap<PartitionId, ()> = HashMap::new();
        log.scan(&mut |partition, batch| {
            held.entry(partition).or_default();
            if batch.producer_id < 0 || batch.base_sequence < 0 || batch.attributes & CONTROL != 0 {
                return;
            }
            let delta = i32::try_from(batch.last_offset - batch.base_offset).unwrap_or(0);
            let sequenced = Sequenced {
                producer_id: batch.producer_id,
                epoch: batch.producer_epoch,
                first: batch.base_sequence,
                last: last_sequence(batch.base_sequence, delta),
            };
            all.entry(partition).or_default().appended(
                sequenced,
                batch.base_offset,
                batch.last_offset,
                now_ms,
            );
        })?;
        let table = all
            .into_iter()
            .map(|(id, producers)| (id, Arc::new(Mutex::new(producers))))
            .collect();
        Ok((Self(RwLock::new(table)), held.into_keys().collect()))
    }

    pub fn of(&self, partition: PartitionId) -> Arc<Mutex<Producers>> {
        if let Some(producers) = self.0.read().get(&partition) {
            return Arc::clone(producers);
        }
        Arc::clone(self.0.write().entry(partition).or_default())
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
