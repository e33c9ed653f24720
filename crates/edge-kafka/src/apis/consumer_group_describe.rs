//! ConsumerGroupDescribe, v0-1 (KIP-848).
//!
//! v1 tells classic members from the others.

use headwater_broker::{ConsumerView, GroupView, MemberShare};
use headwater_coord::consumer_groups::Partitions;
use headwater_wire::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use headwater_wire::messages::{
    ConsumerGroupDescribeRequestData, ConsumerGroupDescribeResponseData,
};
use headwater_wire::{ErrorCode, KafkaString, Versions, ids};

use crate::apis::shared::OPERATIONS_UNASKED;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

/// First version that tells members' types.
const TYPES_FROM: i16 = 1;
const UNKNOWN_TYPE: i8 = -1;
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

impl Handle for ConsumerGroupDescribeRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> ConsumerGroupDescribeResponseData {
        let one = |group: KafkaString| {
            let resource = Resource::Group(group.as_str());
            if let Err(code) = call.check(Operation::Describe, resource) {
                return refused(group, code, None);
            }
            if group.as_str().is_empty() {
                return refused(group, ErrorCode::InvalidGroupId, None);
            }
            let authorized_operations = match self.include_authorized_operations {
                true => call.operations(resource),
                false => OPERATIONS_UNASKED,
            };
            let missing = |what: &str| Some(format!("Group {} {what}.", group.as_str()));
            match call.broker().describe_group(group.as_str()) {
                GroupView::Consumer(view) => DescribedGroup {
                    authorized_operations,
                    ..describe(&call, group, view)
                },
                GroupView::Known(_) => {
                    let why = missing("is not a consumer group");
                    refused(group, ErrorCode::GroupIdNotFound, why)
                }
                GroupView::Unknown => {
                    let why = missing("not found");
                    refused(group, ErrorCode::GroupIdNotFound, why)
                }
            }
        };
        ConsumerGroupDescribeResponseData {
            groups: self.group_ids.into_iter().map(one).collect(),
            ..Default::default()
        }
    }
}

fn refused(group_id: KafkaString, error: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        error_code: error.code(),
        error_message: message.map(text),
        group_id,
        authorized_operations: OPERATIONS_UNASKED,
        ..Default::default()
    }
}

fn describe(call: &Call, group_id: KafkaString, view: ConsumerView) -> DescribedGroup {
    let members: Vec<Member> = view
        .members
        .into_iter()
        .map(|share| member(call, share))
        .collect();
    let hidden =
        |name: &KafkaString| !call.may(Operation::Describe, Resource::Topic(name.as_str()));
    let named = |member: &Member| {
        let assigned = [&member.assignment, &member.target_assignment];
        let mut topics = assigned.into_iter().flat_map(|one| &one.topic_partitions);
        topics.any(|topic| hidden(&topic.topic_name))
            || member.subscribed_topic_names.iter().any(hidden)
    };
    if members.iter().any(named) {
        let why = "The group has described topic(s) that the client is not authorized to describe.";
        let error = ErrorCode::TopicAuthorizationFailed;
        return refused(group_id, error, Some(why.to_owned()));
    }
    DescribedGroup {
        group_id,
        group_state: text(view.state.name()),
        group_epoch: view.epoch,
        assignment_epoch: view.assignment_epoch,
        assignor_name: text(view.assignor),
        members,
        ..Default::default()
    }
}

fn member(call: &Call, share: MemberShare) -> Member {
    let member = share.member;
    Member {
        member_id: text(share.id),
        instance_id: member.instance_id.map(text),
        rack_id: member.rack_id.map(text),
        member_epoch: member.epoch,
        client_id: text(member.client_id),
        client_host: text(member.client_host),
        subscribed_topic_names: member.topic_names.into_iter().map(text).collect(),
        subscribed_topic_regex: member.topic_regex.map(text),
        assignment: assignment(call, &member.assigned),
        target_assignment: assignment(call, &member.target),
        member_type: match (call.version >= TYPES_FROM, member.classic.is_some()) {
            (false, _) => UNKNOWN_TYPE,
            (true, true) => CLASSIC,
            (true, false) => CONSUMER,
        },
        ..Default::default()
    }
}

/// Without topics that have been deleted meanwhile.
fn assignment(call: &Call, partitions: &Partitions) -> Assignment {
    let catalog = call.broker().catalog();
    let topics = partitions.iter().filter_map(|(id, indexes)| {
        Some(TopicPartitions {
            topic_id: ids::uuid(*id),
            topic_name: text(catalog.topic_by_id(*id)?.name.clone()),
            partitions: indexes.iter().copied().collect(),
            ..Default::default()
        })
    });
    Assignment {
        topic_partitions: topics.collect(),
        ..Default::default()
    }
}
