//! Showing transactions and producers: DescribeTransactions, ListTransactions, DescribeProducers.

use std::collections::BTreeMap;

use headwater_coord::txns::{Producer, State, Txn};

use crate::Broker;
use crate::error::BrokerError;
use crate::producers::ActiveProducer;
use crate::topics::TopicRef;

/// Where Kafka keeps the offsets of groups, and in how many partitions: a group in a transaction is shown as one of them.
const OFFSETS_TOPIC: &str = "__consumer_offsets";
const OFFSETS_PARTITIONS: i32 = 50;

/// A transactional id in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnView {
    pub producer: Producer,
    pub state: State,
    pub timeout_ms: i32,
    /// -1: none since the last InitProducerId.
    pub start_ms: i64,
    /// Partitions in the open transaction, by topic.
    pub topics: BTreeMap<String, Vec<i32>>,
}

/// One line of a list of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnListing {
    pub id: String,
    pub producer_id: i64,
    pub state: State,
}

/// Which transactional ids to list; what is empty or `None` lets all through.
#[derive(Clone, Debug, Default)]
pub struct TxnFilter {
    pub states: Vec<State>,
    pub producer_ids: Vec<i64>,
    /// Only those whose transaction began longer ago (milliseconds).
    pub longer_than_ms: Option<i64>,
}

impl TxnFilter {
    fn lets_through(&self, txn: &Txn, now_ms: i64) -> bool {
        (self.states.is_empty() || self.states.contains(&txn.state))
            && (self.producer_ids.is_empty() || self.producer_ids.contains(&txn.producer_id))
            && self
                .longer_than_ms
                .is_none_or(|least| now_ms.saturating_sub(txn.start_ms) > least)
    }
}

impl Broker {
    pub fn describe_txn(&self, id: &str) -> Option<TxnView> {
        let catalog = self.catalog.current();
        let state = self.txns.lock();
        let txn = state.txns.get(id)?;
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for partition in &txn.partitions {
            if let Some(topic) = catalog.topic_by_id(partition.topic) {
                let places = topics.entry(topic.name.clone()).or_default();
                places.push(partition.index);
            }
        }
        for group in &txn.groups {
            let places = topics.entry(OFFSETS_TOPIC.to_owned()).or_default();
            let place = offsets_partition(group);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Some(TxnView {
            producer: txn.producer(),
            state: txn.state,
            timeout_ms: txn.timeout_ms,
            start_ms: txn.start_ms,
            topics,
        })
    }

    /// By transactional id.
    pub fn list_txns(&self, filter: &TxnFilter) -> Vec<TxnListing> {
        let now_ms = self.clock.now_ms();
        let state = self.txns.lock();
        let found = state.txns.iter();
        found
            .filter(|(_, txn)| filter.lets_through(txn, now_ms))
            .map(|(id, txn)| TxnListing {
                id: id.clone(),
                producer_id: txn.producer_id,
                state: txn.state,
            })
            .collect()
    }

    /// Producers that a partition remembers, by id.
    ///
    /// # Errors
    /// The partition is unknown.
    pub fn active_producers(
        &self,
        topic: &TopicRef,
        partition: i32,
    ) -> Result<Vec<ActiveProducer>, BrokerError> {
        let catalog = self.catalog.current();
        let id = topic.find(&catalog)?.partition(partition);
        let id = id.ok_or(BrokerError::UnknownTopicOrPartition)?;
        let found = self.producers.find(id);
        Ok(found.map_or_else(Vec::new, |found| found.lock().active()))
    }
}

/// The partition in which Kafka would keep a group's offsets: Java's hash of the name.
fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % OFFSETS_PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_where_kafka_would_have_them() {
        assert_eq!(offsets_partition("a"), 97 % 50);
        assert_eq!(offsets_partition("ab"), (97 * 31 + 98) % 50);
    }
}
