//! InitProducerId, v0-5.
//!
//! v2 is flexible; v3 tells the producer's former id (KIP-360), which idempotent producers have no use for: they get a fresh one;
//! v4 and v5 add error codes. With a transactional id it is refused.

use headwater_wire::messages::{InitProducerIdRequestData, InitProducerIdResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle};
use crate::codes::coordinator_code_of;

impl Handle for InitProducerIdRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> InitProducerIdResponseData {
        let refuse = |error_code| InitProducerIdResponseData {
            error_code,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        if self.transactional_id.is_some() {
            return refuse(ErrorCode::TransactionalIdAuthorizationFailed.code());
        }
        let outcome = call.broker().init_producer().await;
        let error_code = coordinator_code_of(&outcome);
        match outcome {
            Ok((producer_id, producer_epoch)) => InitProducerIdResponseData {
                producer_id,
                producer_epoch,
                ..Default::default()
            },
            Err(_) => refuse(error_code),
        }
    }
}
