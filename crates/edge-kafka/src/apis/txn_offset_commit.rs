//! TxnOffsetCommit, v0-5.
//!
//! v2 adds leader epochs; v3 is flexible and tells the member, so that a zombie is fenced by its group (KIP-447); v4 knows that a
//! transaction may have to be aborted; v5 makes the group part of the transaction by itself (KIP-890).

use headwater_broker::{BrokerError, CommitItem, OffsetsRefused, Operation, TopicRef, TxnOffsets};
use headwater_coord::groups::Committer;
use headwater_coord::txns::{Producer, TxnError};
use headwater_wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use headwater_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use headwater_wire::messages::{TxnOffsetCommitRequestData, TxnOffsetCommitResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain, plain_option};
use crate::codes::{Code, coordinator_code_of};

/// First version that knows [`ErrorCode::TransactionAbortable`].
const ABORTABLE_FROM: i16 = 4;
/// First version of transactions v2.
const ADDS_FROM: i16 = 5;

impl Handle for TxnOffsetCommitRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> TxnOffsetCommitResponseData {
        let count = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let codes = match allowed(&call, &self) {
            Err(error) => vec![error.code(); count],
            Ok(()) => commit(&call, &self, count).await,
        };
        let mut codes = codes.into_iter();
        let topic = |topic: TxnOffsetCommitRequestTopic| TxnOffsetCommitResponseTopic {
            partitions: topic
                .partitions
                .iter()
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: codes.next().unwrap_or_default(),
                    ..Default::default()
                })
                .collect(),
            name: topic.name,
            ..Default::default()
        };
        TxnOffsetCommitResponseData {
            topics: self.topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }
}

fn allowed(call: &Call, request: &TxnOffsetCommitRequestData) -> Result<(), ErrorCode> {
    let id = Resource::TransactionalId(request.transactional_id.as_str());
    call.check(Operation::Write, id)?;
    let group = Resource::Group(request.group_id.as_str());
    call.check(Operation::Read, group)
}

/// One code for each partition.
async fn commit(call: &Call, request: &TxnOffsetCommitRequestData, count: usize) -> Vec<i16> {
    let mut refused = Vec::with_capacity(count);
    let mut items = Vec::with_capacity(count);
    for topic in &request.topics {
        let unfit = unfit(call, topic);
        for partition in &topic.partitions {
            let there = unfit.and_then(|partitions| {
                match (0..partitions).contains(&partition.partition_index) {
                    true => Ok(()),
                    false => Err(ErrorCode::UnknownTopicOrPartition),
                }
            });
            refused.push(there.err());
            if there.is_ok() {
                items.push(CommitItem {
                    topic: plain(&topic.name),
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: plain_option(partition.committed_metadata.as_ref())
                        .unwrap_or_default(),
                });
            }
        }
    }
    let count = items.len();
    let mut taken = match items.is_empty() {
        true => Vec::new(),
        false => take(call, request, items, count).await,
    }
    .into_iter();
    let code = |refused: Option<ErrorCode>| match refused {
        Some(error) => error.code(),
        None => taken.next().unwrap_or_default(),
    };
    refused.into_iter().map(code).collect()
}

/// Number of a topic's partitions, when offsets of it may be committed.
fn unfit(call: &Call, topic: &TxnOffsetCommitRequestTopic) -> Result<i32, ErrorCode> {
    let name = plain(&topic.name);
    call.check(Operation::Read, Resource::Topic(&name))?;
    let found = call.broker().find_topic(&TopicRef::Name(name));
    found
        .map(|topic| topic.partitions)
        .map_err(|_| ErrorCode::UnknownTopicOrPartition)
}

/// One code for each item.
async fn take(
    call: &Call,
    request: &TxnOffsetCommitRequestData,
    items: Vec<CommitItem>,
    count: usize,
) -> Vec<i16> {
    let offsets = TxnOffsets {
        transactional_id: plain(&request.transactional_id),
        by: Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        group: plain(&request.group_id),
        committer: Committer {
            member_id: plain(&request.member_id),
            instance_id: plain_option(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        },
        items,
        adds: call.version >= ADDS_FROM,
        knows_abortable: call.version >= ABORTABLE_FROM,
    };
    match call.broker().commit_txn_offsets(offsets).await {
        Ok(outcomes) => outcomes.iter().map(coordinator_code_of).collect(),
        Err(refused) => vec![refusal(refused); count],
    }
}

fn refusal(refused: OffsetsRefused) -> i16 {
    match refused {
        OffsetsRefused::Group(error) => error.code(),
        // Clients try this again, and not all of them know the other code here.
        OffsetsRefused::Broker(BrokerError::Txn(TxnError::ConcurrentTransactions)) => {
            ErrorCode::CoordinatorLoadInProgress.code()
        }
        OffsetsRefused::Broker(error) => coordinator_code_of::<()>(&Err(error)),
    }
}
