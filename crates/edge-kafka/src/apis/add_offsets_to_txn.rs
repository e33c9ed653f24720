//! AddOffsetsToTxn, v0-4.
//!
//! v2 tells a fenced producer by a code of its own; v3 is flexible; v4 knows that a transaction may have to be aborted (KIP-890).

use headwater_broker::Operation;
use headwater_coord::txns::Producer;
use headwater_wire::messages::{AddOffsetsToTxnRequestData, AddOffsetsToTxnResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::fenced_before;

/// First version that knows [`ErrorCode::ProducerFenced`].
const FENCED_FROM: i16 = 2;

impl Handle for AddOffsetsToTxnRequestData {
    const VERSIONS: Versions = Versions::new(0, 4);

    async fn answer(self, call: Call) -> AddOffsetsToTxnResponseData {
        let error_code = match allowed(&call, &self) {
            Err(error) => error.code(),
            Ok(()) => add(&call, &self).await,
        };
        AddOffsetsToTxnResponseData {
            error_code,
            ..Default::default()
        }
    }
}

fn allowed(call: &Call, request: &AddOffsetsToTxnRequestData) -> Result<(), ErrorCode> {
    let id = Resource::TransactionalId(request.transactional_id.as_str());
    call.check(Operation::Write, id)?;
    let group = Resource::Group(request.group_id.as_str());
    call.check(Operation::Read, group)
}

async fn add(call: &Call, request: &AddOffsetsToTxnRequestData) -> i16 {
    let by = Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    };
    let groups = vec![plain(&request.group_id)];
    let id = request.transactional_id.as_str();
    let added = call.broker().add_to_txn(id, by, Vec::new(), groups, false);
    fenced_before(FENCED_FROM, call.version, &added.await)
}
