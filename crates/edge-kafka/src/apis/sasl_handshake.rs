//! SaslHandshake, v0-1. On a listener without SASL nobody is asked who they are, as Kafka answers on a PLAINTEXT one.

use headwater_wire::messages::{SaslHandshakeRequestData, SaslHandshakeResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle};

impl Handle for SaslHandshakeRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, _call: Call) -> SaslHandshakeResponseData {
        SaslHandshakeResponseData {
            error_code: ErrorCode::IllegalSaslState.code(),
            ..Default::default()
        }
    }
}
