//! EndTxn, v0-5.
//!
//! v2 tells a fenced producer by a code of its own; v3 is flexible; v4 knows that a transaction may have to be aborted; v5 bumps the
//! producer's epoch with every end and tells the new one (KIP-890).

use headwater_broker::Operation;
use headwater_coord::txns::{Ending, Producer};
use headwater_wire::Versions;
use headwater_wire::messages::{EndTxnRequestData, EndTxnResponseData};

use crate::authorize::Resource;
use crate::call::{Call, Handle};
use crate::codes::fenced_before;

/// First version that knows [`headwater_wire::ErrorCode::ProducerFenced`].
const FENCED_FROM: i16 = 2;
/// First version that bumps the epoch.
const BUMPS_FROM: i16 = 5;

impl Handle for EndTxnRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> EndTxnResponseData {
        let id = self.transactional_id.as_str();
        let refuse = |error_code| EndTxnResponseData {
            error_code,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        if let Err(error) = call.check(Operation::Write, Resource::TransactionalId(id)) {
            return refuse(error.code());
        }
        let by = Producer {
            id: self.producer_id,
            epoch: self.producer_epoch,
        };
        let ending = match self.committed {
            true => Ending::Commit,
            false => Ending::Abort,
        };
        let ended = call
            .broker()
            .end_txn(id, by, ending, call.version >= BUMPS_FROM);
        let outcome = ended.await;
        let error_code = fenced_before(FENCED_FROM, call.version, &outcome);
        match outcome {
            Ok(producer) => EndTxnResponseData {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                ..Default::default()
            },
            Err(_) => refuse(error_code),
        }
    }
}
