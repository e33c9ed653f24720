//! What time does to transactions: time-outs, forgotten transactional ids, and ends that are to be finished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use headwater_base::PartitionId;
use headwater_coord::txns::{Command, Producer, State};

use super::codec::Entry;
use super::markers::Marker;
use crate::Broker;
use crate::error::BrokerError;
use crate::topics::TopicRef;

/// How often, in milliseconds, there is a look at the time.
const TICK_MS: u64 = 1_000;

impl Broker {
    /// Ticks until the broker is gone.
    pub(crate) fn start_transaction_ticks(self: &Arc<Self>) {
        let broker = Arc::downgrade(self);
        self.world().spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
                let Some(broker) = broker.upgrade() else {
                    return;
                };
                broker.tick_transactions().await;
            }
        });
    }

    /// To be called every second or so: aborts transactions that are open for too long, finishes ends that could not be finished,
    /// and forgets transactional ids that have been silent for long.
    pub async fn tick_transactions(&self) {
        for id in self.txn_ids(|txn, now_ms| txn.is_overdue(now_ms)) {
            tracing::info!(transactional_id = %id, "aborting a transaction that is open for too long");
            self.warn(&id, self.time_out(&id).await);
        }
        for id in self.txn_ids(|txn, _| txn.state.ending().is_some()) {
            self.warn(&id, self.finish(&id).await);
        }
        if let Err(error) = self.expire_txns() {
            tracing::debug!(%error, "silent transactional ids are forgotten later");
        }
        self.aborted.tidy(&self.producers);
    }

    fn txn_ids(&self, due: impl Fn(&headwater_coord::txns::Txn, i64) -> bool) -> Vec<String> {
        let now_ms = self.clock.now_ms();
        let state = self.txns.lock();
        let found = state.txns.iter().filter(|(_, txn)| due(txn, now_ms));
        found.map(|(id, _)| id.clone()).collect()
    }

    async fn time_out(&self, id: &str) -> Result<(), BrokerError> {
        let (_, progress) = self.step_txn(id, Command::Tick, None)?;
        self.conclude(id, progress).await
    }

    fn warn(&self, id: &str, outcome: Result<(), BrokerError>) {
        if let Err(error) = outcome {
            tracing::warn!(transactional_id = %id, %error, "a transaction was not ended; it is tried again");
        }
    }

    /// Forgets transactional ids with which nothing has happened for long.
    fn expire_txns(&self) -> Result<(), BrokerError> {
        let expiration_ms = self.config.transactional_id_expiration_ms;
        let now_ms = self.clock.now_ms();
        let mut state = self.txns.lock();
        let silent = |txn: &headwater_coord::txns::Txn| txn.is_expired(expiration_ms, now_ms);
        let expired = state.txns.iter().filter(|(_, txn)| silent(txn));
        let entries: Vec<Entry> = expired
            .map(|(id, _)| Entry::Txn(id.clone(), None))
            .collect();
        if !entries.is_empty() {
            // Whether it is durable matters to nobody: a crash makes it be done again.
            drop(self.txns.write(&mut state, entries)?);
        }
        Ok(())
    }

    /// At start: ends of which only the decision is in the log, and open transactions that no transactional id has.
    pub(crate) async fn mend_transactions(&self) {
        for id in self.txn_ids(|txn, _| txn.state.ending().is_some()) {
            self.warn(&id, self.finish(&id).await);
        }
        self.abort_strays();
        self.aborted.tidy(&self.producers);
    }

    /// Aborts what was written into a transaction whose beginning was lost: in a log of several shards a crash can do that. In a log of
    /// one shard nothing can; there it is left to whoever runs the node, as by Kafka (`kafka-transactions.sh find-hanging`).
    fn abort_strays(&self) {
        let owned: BTreeSet<(Producer, PartitionId)> = {
            let state = self.txns.lock();
            let ongoing = state
                .txns
                .values()
                .filter(|txn| txn.state == State::Ongoing);
            let places = ongoing.flat_map(|txn| {
                txn.partitions
                    .iter()
                    .map(|partition| (txn.producer(), *partition))
            });
            places.collect()
        };
        for partition in self.producers.all() {
            let Some(found) = self.producers.find(partition) else {
                continue;
            };
            let active = found.lock().active();
            for open in active.iter().filter(|one| one.txn_first.is_some()) {
                let producer = Producer {
                    id: open.producer_id,
                    epoch: open.epoch,
                };
                if owned.contains(&(producer, partition)) {
                    continue;
                }
                if self.log.shards() == 1 {
                    tracing::warn!(%partition, producer_id = producer.id, "a transaction hangs: no transactional id has it");
                } else {
                    self.abort_stray(producer, open.coordinator_epoch, partition);
                }
            }
        }
    }

    fn abort_stray(&self, producer: Producer, coordinator_epoch: i32, partition: PartitionId) {
        let marker = Marker {
            producer,
            coordinator_epoch: coordinator_epoch.max(super::end::COORDINATOR_EPOCH),
            ending: headwater_coord::txns::Ending::Abort,
        };
        let topic = TopicRef::Id(partition.topic);
        match self.append_marker(&marker, &topic, partition.index) {
            // What follows in the log cannot become durable without it.
            Ok(durable) => drop(durable),
            Err(error) => {
                tracing::warn!(%error, %partition, "what was written into a lost transaction stays undecided")
            }
        }
    }
}
