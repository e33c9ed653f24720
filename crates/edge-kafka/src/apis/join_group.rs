//! JoinGroup, v0-9.
//!
//! v1 adds the rebalance timeout (before: the session timeout); v4 makes new members come back with the id they were given
//! (KIP-394); v5 static members (KIP-345); v6 is flexible; v7 names the protocol type; v8 a reason; v9 lets the leader skip the
//! assignment (KIP-814).

use headwater_coord::groups::{Join, Joined, JoinedMember, Protocol};
use headwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use headwater_wire::messages::join_group_response::JoinGroupResponseMember;
use headwater_wire::messages::{JoinGroupRequestData, JoinGroupResponseData};
use headwater_wire::{ErrorCode, KafkaString, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option, text};
use crate::codes::Code;

impl Handle for JoinGroupRequestData {
    const VERSIONS: Versions = Versions::new(0, 9);

    async fn answer(self, call: Call) -> JoinGroupResponseData {
        let group = plain(&self.group_id);
        if let Err(code) = call.check(Operation::Read, Resource::Group(&group)) {
            return refused(code, self.member_id, call.version);
        }
        match call.broker().join_group(&group, join(self, &call)).await {
            Ok(joined) => accepted(joined, call.version),
            Err(failure) => refused(failure.error.error(), text(failure.member_id), call.version),
        }
    }
}

fn join(request: JoinGroupRequestData, call: &Call) -> Join {
    // The buffer of a whole frame is not to live as long as the member: what is kept is copied.
    let protocol = |one: JoinGroupRequestProtocol| Protocol {
        name: plain(&one.name),
        metadata: bytes::Bytes::copy_from_slice(&one.metadata),
    };
    Join {
        member_id: plain(&request.member_id),
        fresh_member_id: String::new(),
        instance_id: plain_option(request.group_instance_id.as_ref()),
        client_id: plain_option(call.client_id.as_ref()).unwrap_or_default(),
        client_host: format!("/{}", call.client_host),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if call.version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: plain(&request.protocol_type),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        needs_known_id: call.version >= 4,
        can_skip_assignment: call.version >= 9,
    }
}

fn accepted(joined: Joined, version: i16) -> JoinGroupResponseData {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: text(member.member_id),
        group_instance_id: member.instance_id.map(text),
        metadata: member.metadata,
        ..Default::default()
    };
    JoinGroupResponseData {
        generation_id: joined.generation,
        protocol_type: Some(text(joined.protocol_type)),
        protocol_name: Some(text(joined.protocol)),
        leader: text(joined.leader),
        skip_assignment: joined.skip_assignment && version >= 9,
        member_id: text(joined.member_id),
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn refused(error: ErrorCode, member_id: KafkaString, version: i16) -> JoinGroupResponseData {
    JoinGroupResponseData {
        error_code: error.code(),
        generation_id: -1,
        // Null only where the version knows null.
        protocol_name: if version >= 7 { None } else { Some(text("")) },
        member_id,
        ..Default::default()
    }
}
