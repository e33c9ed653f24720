//! SaslAuthenticate, v0-2. v1 adds the session's lifetime; v2 is flexible. See SaslHandshake.

use headwater_wire::messages::{SaslAuthenticateRequestData, SaslAuthenticateResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::call::{Call, Handle, text};

impl Handle for SaslAuthenticateRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, _call: Call) -> SaslAuthenticateResponseData {
        let why = "SaslAuthenticate request received after successful authentication";
        SaslAuthenticateResponseData {
            error_code: ErrorCode::IllegalSaslState.code(),
            error_message: Some(text(why)),
            ..Default::default()
        }
    }
}
