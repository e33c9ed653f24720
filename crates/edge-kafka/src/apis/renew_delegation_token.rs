//! RenewDelegationToken, v1-2 (KIP-48). v2 is flexible. Tokens need a client that has said who it is, and none can yet.

use headwater_wire::messages::{RenewDelegationTokenRequestData, RenewDelegationTokenResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle};

impl Handle for RenewDelegationTokenRequestData {
    const VERSIONS: Versions = Versions::new(1, 2);

    async fn answer(self, _call: Call) -> RenewDelegationTokenResponseData {
        RenewDelegationTokenResponseData {
            error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
            ..Default::default()
        }
    }
}
