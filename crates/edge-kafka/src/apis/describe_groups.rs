//! DescribeGroups, v0-6.
//!
//! v3 adds authorized operations; v4 static members; v5 is flexible; v6 says of a group that is not there GROUP_ID_NOT_FOUND
//! instead of the state Dead (KIP-1043).

use headwater_broker::GroupView;
use headwater_coord::groups::{Description, MemberDescription};
use headwater_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use headwater_wire::messages::{DescribeGroupsRequestData, DescribeGroupsResponseData};
use headwater_wire::{ErrorCode, KafkaString, Versions};

use crate::apis::shared::OPERATIONS_UNASKED;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

impl Handle for DescribeGroupsRequestData {
    const VERSIONS: Versions = Versions::new(0, 6);

    async fn answer(self, call: Call) -> DescribeGroupsResponseData {
        let one = |group: KafkaString| {
            let resource = Resource::Group(group.as_str());
            if let Err(code) = call.check(Operation::Describe, resource) {
                return DescribedGroup {
                    error_code: code.code(),
                    group_id: group,
                    authorized_operations: OPERATIONS_UNASKED,
                    ..Default::default()
                };
            }
            let known = call.broker().describe_group(group.as_str());
            // An answer with an error does not say what the client may.
            let is_error = call.version >= 6 && !matches!(known, GroupView::Known(_));
            let authorized_operations = match self.include_authorized_operations && !is_error {
                true => call.operations(resource),
                false => OPERATIONS_UNASKED,
            };
            match known {
                GroupView::Known(view) => DescribedGroup {
                    group_id: group,
                    authorized_operations,
                    ..describe(view)
                },
                GroupView::Consumer(_) => DescribedGroup {
                    authorized_operations,
                    ..unknown(group, call.version, "is not a classic group")
                },
                GroupView::Unknown => DescribedGroup {
                    authorized_operations,
                    ..unknown(group, call.version, "not found")
                },
            }
        };
        DescribeGroupsResponseData {
            groups: self.groups.into_iter().map(one).collect(),
            ..Default::default()
        }
    }
}

fn describe(view: Description) -> DescribedGroup {
    let member = |member: MemberDescription| DescribedGroupMember {
        member_id: text(member.member_id),
        group_instance_id: member.instance_id.map(text),
        client_id: text(member.client_id),
        client_host: text(member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    };
    DescribedGroup {
        group_state: text(view.state.name()),
        protocol_type: text(view.protocol_type),
        protocol_data: text(view.protocol),
        members: view.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn unknown(group_id: KafkaString, version: i16, why: &str) -> DescribedGroup {
    let group_state = text("Dead");
    if version < 6 {
        return DescribedGroup {
            group_id,
            group_state,
            ..Default::default()
        };
    }
    let error_message = Some(text(format!("Group {} {why}.", group_id.as_str())));
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound.code(),
        error_message,
        group_id,
        group_state,
        ..Default::default()
    }
}
