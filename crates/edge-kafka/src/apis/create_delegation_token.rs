//! CreateDelegationToken, v1-3 (KIP-48). v2 is flexible; v3 names the owner. Tokens need a client that has said who it is, and none can yet.

use headwater_wire::messages::{
    CreateDelegationTokenRequestData, CreateDelegationTokenResponseData,
};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle};

impl Handle for CreateDelegationTokenRequestData {
    const VERSIONS: Versions = Versions::new(1, 3);

    async fn answer(self, _call: Call) -> CreateDelegationTokenResponseData {
        CreateDelegationTokenResponseData {
            error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
            ..Default::default()
        }
    }
}
