//! DescribeDelegationToken, v1-3 (KIP-48). v2 is flexible; v3 tells the requester. Tokens need a client that has said who it is, and none can yet.

use headwater_wire::messages::{
    DescribeDelegationTokenRequestData, DescribeDelegationTokenResponseData,
};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle};

impl Handle for DescribeDelegationTokenRequestData {
    const VERSIONS: Versions = Versions::new(1, 3);

    async fn answer(self, _call: Call) -> DescribeDelegationTokenResponseData {
        DescribeDelegationTokenResponseData {
            error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
            ..Default::default()
        }
    }
}
