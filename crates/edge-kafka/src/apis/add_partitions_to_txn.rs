//! AddPartitionsToTxn, v0-5.
//!
//! v2 tells a fenced producer by a code of its own; v3 is flexible; v4 is for brokers: several transactions at once, and asking without
//! adding; v5 is for producers of transactions v2 (KIP-890).

use std::collections::HashMap;

use headwater_base::PartitionId;
use headwater_broker::{Operation, TopicRef};
use headwater_coord::txns::Producer;
use headwater_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use headwater_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use headwater_wire::messages::{AddPartitionsToTxnRequestData, AddPartitionsToTxnResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::fenced_before;

/// First version with several transactions.
const BATCHED_FROM: i16 = 4;
/// First version that knows [`ErrorCode::ProducerFenced`].
const FENCED_FROM: i16 = 2;
/// First version of transactions v2.
const BUMPS_FROM: i16 = 5;

/// What was found of a transaction's partitions, in their order.
type Found = Vec<Result<PartitionId, ErrorCode>>;

impl Handle for AddPartitionsToTxnRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> AddPartitionsToTxnResponseData {
        if call.version < BATCHED_FROM {
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: self.v3_and_below_transactional_id,
                producer_id: self.v3_and_below_producer_id,
                producer_epoch: self.v3_and_below_producer_epoch,
                topics: self.v3_and_below_topics,
                ..Default::default()
            };
            return AddPartitionsToTxnResponseData {
                results_by_topic_v3_and_below: add(&call, transaction).await.topic_results,
                ..Default::default()
            };
        }
        if let Err(error) = call.check(Operation::ClusterAction, Resource::Cluster) {
            return AddPartitionsToTxnResponseData {
                error_code: error.code(),
                ..Default::default()
            };
        }
        let mut results_by_transaction = Vec::with_capacity(self.transactions.len());
        for transaction in self.transactions {
            results_by_transaction.push(add(&call, transaction).await);
        }
        AddPartitionsToTxnResponseData {
            results_by_transaction,
            ..Default::default()
        }
    }
}

async fn add(call: &Call, txn: AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
    let codes = codes(call, &txn).await;
    let mut codes = codes.into_iter();
    let topic = |topic: AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        results_by_partition: topic
            .partitions
            .iter()
            .map(|index| AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: codes.next().unwrap_or_default(),
                ..Default::default()
            })
            .collect(),
        name: topic.name,
        ..Default::default()
    };
    AddPartitionsToTxnResult {
        topic_results: txn.topics.into_iter().map(topic).collect(),
        transactional_id: txn.transactional_id,
        ..Default::default()
    }
}

/// One for each partition.
async fn codes(call: &Call, txn: &AddPartitionsToTxnTransaction) -> Vec<i16> {
    let id = txn.transactional_id.as_str();
    let count = txn.topics.iter().map(|topic| topic.partitions.len()).sum();
    if call.version < BATCHED_FROM
        && let Err(error) = call.check(Operation::Write, Resource::TransactionalId(id))
    {
        return vec![error.code(); count];
    }
    let found = find(call, txn);
    if found.iter().any(Result::is_err) {
        let unattempted = |_| ErrorCode::OperationNotAttempted;
        return found
            .into_iter()
            .map(|one| one.map_or_else(|error| error, unattempted).code())
            .collect();
    }
    let partitions: Vec<PartitionId> = found.into_iter().flatten().collect();
    let by = Producer {
        id: txn.producer_id,
        epoch: txn.producer_epoch,
    };
    let code = |outcome| fenced_before(FENCED_FROM, call.version, &outcome);
    if txn.verify_only {
        let verify = |partition| code(call.broker().verify_in_txn(id, by, partition));
        return partitions.into_iter().map(verify).collect();
    }
    let bumps = call.version >= BUMPS_FROM;
    let added = call
        .broker()
        .add_to_txn(id, by, partitions, Vec::new(), bumps);
    vec![code(added.await); count]
}

fn find(call: &Call, txn: &AddPartitionsToTxnTransaction) -> Found {
    let mut found = Vec::new();
    let mut allowed: HashMap<String, Result<(), ErrorCode>> = HashMap::new();
    for topic in &txn.topics {
        let name = plain(&topic.name);
        let allowed =
            *allowed
                .entry(name.clone())
                .or_insert_with(|| match call.version < BATCHED_FROM {
                    true => call.check(Operation::Write, Resource::Topic(&name)),
                    false => Ok(()),
                });
        let known = call.broker().find_topic(&TopicRef::Name(name));
        found.extend(topic.partitions.iter().map(|index| {
            allowed?;
            let known = known.as_ref().ok();
            let partition = known.and_then(|topic| topic.partition(*index));
            partition.ok_or(ErrorCode::UnknownTopicOrPartition)
        }));
    }
    found
}
