//! InitProducerId, v0-5.
//!
//! v2 is flexible; v3 tells who the producer was, so that it goes on after an error with a new epoch (KIP-360); v4 tells a fenced producer
//! by a code of its own; v5 knows that a transaction may have to be aborted. v6 (two-phase commit, KIP-939) is not advertised by Kafka
//! 4.1 either.

use headwater_broker::{BrokerError, Operation};
use headwater_coord::txns::{Producer, TxnError};
use headwater_wire::messages::{InitProducerIdRequestData, InitProducerIdResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle};
use crate::codes::fenced_before;

/// First version that knows [`ErrorCode::ProducerFenced`].
const FENCED_FROM: i16 = 4;

impl Handle for InitProducerIdRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> InitProducerIdResponseData {
        let refuse = |error_code| InitProducerIdResponseData {
            error_code,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        if let Err(error) = allowed(&call, &self) {
            return refuse(error.code());
        }
        let outcome = init(&call, &self).await;
        let error_code = fenced_before(FENCED_FROM, call.version, &outcome);
        match outcome {
            Ok(producer) => InitProducerIdResponseData {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                ..Default::default()
            },
            Err(_) => refuse(error_code),
        }
    }
}

fn allowed(call: &Call, request: &InitProducerIdRequestData) -> Result<(), ErrorCode> {
    match &request.transactional_id {
        Some(id) => call.check(Operation::Write, Resource::TransactionalId(id.as_str())),
        None if call.may_on_some_topic(Operation::Write) => Ok(()),
        None => call.check(Operation::IdempotentWrite, Resource::Cluster),
    }
}

async fn init(call: &Call, request: &InitProducerIdRequestData) -> Result<Producer, BrokerError> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(TxnError::InvalidRequest.into()),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let Some(id) = &request.transactional_id else {
        let (id, epoch) = call.broker().init_producer().await?;
        return Ok(Producer { id, epoch });
    };
    let timeout_ms = request.transaction_timeout_ms;
    call.broker()
        .init_transactional_producer(id.as_str(), timeout_ms, expected)
        .await
}
