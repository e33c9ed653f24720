//! SyncGroup, v0-5.
//!
//! v3 adds static members (KIP-345); v4 is flexible; v5 names protocol type and protocol (KIP-559).

use headwater_coord::groups::Sync;
use headwater_wire::Versions;
use headwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use headwater_wire::messages::{SyncGroupRequestData, SyncGroupResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option, text};
use crate::codes::Code;

impl Handle for SyncGroupRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> SyncGroupResponseData {
        let refused = |error_code| SyncGroupResponseData {
            error_code,
            ..Default::default()
        };
        if let Err(code) = call.check(Operation::Read, Resource::Group(self.group_id.as_str())) {
            return refused(code.code());
        }
        // The buffer of a whole frame is not to live as long as the member: what is kept is copied.
        let assignment = |one: SyncGroupRequestAssignment| {
            (
                plain(&one.member_id),
                bytes::Bytes::copy_from_slice(&one.assignment),
            )
        };
        let sync = Sync {
            member_id: plain(&self.member_id),
            instance_id: plain_option(self.group_instance_id.as_ref()),
            generation: self.generation_id,
            protocol_type: plain_option(self.protocol_type.as_ref()),
            protocol: plain_option(self.protocol_name.as_ref()),
            assignments: self.assignments.into_iter().map(assignment).collect(),
        };
        match call.broker().sync_group(self.group_id.as_str(), sync).await {
            Ok(synced) => SyncGroupResponseData {
                protocol_type: Some(text(synced.protocol_type)),
                protocol_name: Some(text(synced.protocol)),
                assignment: synced.assignment,
                ..Default::default()
            },
            Err(error) => refused(error.code()),
        }
    }
}
