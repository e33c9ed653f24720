//! DescribeTransactions, v0 (KIP-664).

use headwater_broker::{Operation, TxnView};
use headwater_coord::txns::TxnError;
use headwater_wire::messages::describe_transactions_response::{TopicData, TransactionState};
use headwater_wire::messages::{DescribeTransactionsRequestData, DescribeTransactionsResponseData};
use headwater_wire::{ErrorCode, KafkaString, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, text};
use crate::codes::Code;

impl Handle for DescribeTransactionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> DescribeTransactionsResponseData {
        let describe = |id: KafkaString| match find(&call, id.as_str()) {
            Ok(view) => state(id, view, &call),
            Err(error) => TransactionState {
                transactional_id: id,
                error_code: error.code(),
                ..Default::default()
            },
        };
        let ids = self.transactional_ids.into_iter();
        DescribeTransactionsResponseData {
            transaction_states: ids.map(describe).collect(),
            ..Default::default()
        }
    }
}

fn find(call: &Call, id: &str) -> Result<TxnView, ErrorCode> {
    call.check(Operation::Describe, Resource::TransactionalId(id))?;
    if id.is_empty() {
        return Err(TxnError::InvalidRequest.error());
    }
    let found = call.broker().describe_txn(id);
    found.ok_or_else(|| TxnError::NotFound.error())
}

/// Without the topics that the client may not see.
fn state(transactional_id: KafkaString, view: TxnView, call: &Call) -> TransactionState {
    let seen = |name: &String| call.may(Operation::Describe, Resource::Topic(name));
    let topics = view.topics.into_iter().filter(|(name, _)| seen(name));
    TransactionState {
        transactional_id,
        transaction_state: text(view.state.name()),
        transaction_timeout_ms: view.timeout_ms,
        transaction_start_time_ms: view.start_ms,
        producer_id: view.producer.id,
        producer_epoch: view.producer.epoch,
        topics: topics
            .map(|(name, partitions)| TopicData {
                topic: text(name),
                partitions,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
