//! Heartbeat, v0-4.
//!
//! v3 adds static members (KIP-345); v4 is flexible.

use headwater_coord::groups::Heartbeat;
use headwater_wire::Versions;
use headwater_wire::messages::{HeartbeatRequestData, HeartbeatResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option};
use crate::codes::code_of;

impl Handle for HeartbeatRequestData {
    const VERSIONS: Versions = Versions::new(0, 4);

    async fn answer(self, call: Call) -> HeartbeatResponseData {
        if let Err(code) = call.check(Operation::Read, Resource::Group(self.group_id.as_str())) {
            return HeartbeatResponseData {
                error_code: code.code(),
                ..Default::default()
            };
        }
        let heartbeat = Heartbeat {
            member_id: plain(&self.member_id),
            instance_id: plain_option(self.group_instance_id.as_ref()),
            generation: self.generation_id,
        };
        let outcome = call
            .broker()
            .heartbeat(self.group_id.as_str(), heartbeat)
            .await;
        HeartbeatResponseData {
            error_code: code_of(&outcome),
            ..Default::default()
        }
    }
}
