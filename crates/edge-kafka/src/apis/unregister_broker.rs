//! UnregisterBroker, v0 (KIP-500). The only node cannot be taken out of its cluster, and there is no other.

use headwater_wire::messages::{UnregisterBrokerRequestData, UnregisterBrokerResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for UnregisterBrokerRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> UnregisterBrokerResponseData {
        let outcome = unregister(&call, self.broker_id);
        UnregisterBrokerResponseData {
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            ..Default::default()
        }
    }
}

fn unregister(call: &Call, broker: i32) -> Result<(), Refusal> {
    call.permit(Operation::Alter, Resource::Cluster)?;
    match broker == call.node.id() {
        true => Err(Refusal::request(format!(
            "Broker {broker} is the only one of this cluster and cannot be unregistered"
        ))),
        false => Err(Refusal::new(
            ErrorCode::BrokerIdNotRegistered,
            format!("Broker ID {broker} is not currently registered"),
        )),
    }
}
