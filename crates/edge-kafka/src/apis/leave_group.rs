//! LeaveGroup, v0-5.
//!
//! v3 lets several members leave at once (KIP-345); v4 is flexible; v5 adds a reason.

use headwater_coord::groups::{Leave, LeaveOutcome, Leaver};
use headwater_wire::Versions;
use headwater_wire::messages::leave_group_request::MemberIdentity;
use headwater_wire::messages::leave_group_response::MemberResponse;
use headwater_wire::messages::{LeaveGroupRequestData, LeaveGroupResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option, text};
use crate::codes::{Code, code_of};

/// First version with several members.
const BATCHED_FROM: i16 = 3;

impl Handle for LeaveGroupRequestData {
    const VERSIONS: Versions = Versions::new(0, 5);

    async fn answer(self, call: Call) -> LeaveGroupResponseData {
        let refused = |error_code| LeaveGroupResponseData {
            error_code,
            ..Default::default()
        };
        if let Err(code) = call.check(Operation::Read, Resource::Group(self.group_id.as_str())) {
            return refused(code.code());
        }
        let many = call.version >= BATCHED_FROM;
        let one = |member: &MemberIdentity| Leaver {
            member_id: plain(&member.member_id),
            instance_id: plain_option(member.group_instance_id.as_ref()),
        };
        let leavers = match many {
            true => self.members.iter().map(one).collect(),
            false => vec![Leaver {
                member_id: plain(&self.member_id),
                instance_id: None,
            }],
        };
        match call
            .broker()
            .leave_group(self.group_id.as_str(), Leave { leavers })
            .await
        {
            Ok(outcomes) if many => LeaveGroupResponseData {
                members: outcomes.into_iter().map(respond).collect(),
                ..Default::default()
            },
            Ok(outcomes) => {
                let error_code = outcomes
                    .first()
                    .map_or(0, |outcome| code_of(&outcome.outcome));
                refused(error_code)
            }
            Err(error) => refused(error.code()),
        }
    }
}

fn respond(outcome: LeaveOutcome) -> MemberResponse {
    MemberResponse {
        error_code: code_of(&outcome.outcome),
        member_id: text(outcome.leaver.member_id),
        group_instance_id: outcome.leaver.instance_id.map(text),
        ..Default::default()
    }
}
