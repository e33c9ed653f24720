//! ConsumerGroupHeartbeat, v0-1 (KIP-848).
//!
//! v1 adds regular expressions and has members make their own ids.

use headwater_base::TopicId;
use headwater_coord::consumer_groups::{Beat, Heartbeat, JOINING, Partitions};
use headwater_wire::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use headwater_wire::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use headwater_wire::messages::{
    ConsumerGroupHeartbeatRequestData, ConsumerGroupHeartbeatResponseData,
};
use headwater_wire::{ErrorCode, KafkaString, Versions, ids};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option, text};
use crate::codes::Code;

/// First version whose members make their own ids.
const OWN_IDS_FROM: i16 = 1;

impl Handle for ConsumerGroupHeartbeatRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> ConsumerGroupHeartbeatResponseData {
        let group = plain(&self.group_id);
        if let Err(code) = authorize(&call, &self) {
            return refused(code, text(format!("{code:?}")));
        }
        let may_see = |topic: &str| call.may(Operation::Describe, Resource::Topic(topic));
        let beat = heartbeat(self, &call);
        match call
            .broker()
            .consumer_heartbeat(&group, beat, may_see)
            .await
        {
            Ok(beat) => accepted(beat),
            Err(refusal) => refused(refusal.error(), text(refusal.to_string())),
        }
    }
}

fn authorize(call: &Call, request: &ConsumerGroupHeartbeatRequestData) -> Result<(), ErrorCode> {
    call.check(Operation::Read, Resource::Group(request.group_id.as_str()))?;
    let names = request.subscribed_topic_names.iter().flatten();
    names
        .map(|name| Resource::Topic(name.as_str()))
        .try_for_each(|topic| call.check(Operation::Describe, topic))
}

fn heartbeat(request: ConsumerGroupHeartbeatRequestData, call: &Call) -> Heartbeat {
    let mut member_id = plain(&request.member_id);
    if member_id.is_empty() && call.version < OWN_IDS_FROM && request.member_epoch == JOINING {
        member_id = call.broker().world().uuid_text();
    }
    let names = |names: Vec<KafkaString>| names.iter().map(plain).collect();
    let owned = |owned: Vec<Owned>| -> Partitions {
        let of_topic = |one: Owned| -> (TopicId, _) {
            (
                ids::topic_id(one.topic_id),
                one.partitions.into_iter().collect(),
            )
        };
        owned.into_iter().map(of_topic).collect()
    };
    Heartbeat {
        member_id,
        epoch: request.member_epoch,
        instance_id: plain_option(request.instance_id.as_ref()),
        rack_id: plain_option(request.rack_id.as_ref()),
        client_id: plain_option(call.client_id.as_ref()).unwrap_or_default(),
        client_host: format!("/{}", call.client_host),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topic_names: request.subscribed_topic_names.map(names),
        topic_regex: plain_option(request.subscribed_topic_regex.as_ref()),
        assignor: plain_option(request.server_assignor.as_ref()),
        owned: request.topic_partitions.map(owned),
    }
}

fn accepted(beat: Beat) -> ConsumerGroupHeartbeatResponseData {
    let assignment = |partitions: Partitions| {
        let topic_partitions = partitions.into_iter().map(|(id, indexes)| TopicPartitions {
            topic_id: ids::uuid(id),
            partitions: indexes.into_iter().collect(),
            ..Default::default()
        });
        Box::new(Assignment {
            topic_partitions: topic_partitions.collect(),
            ..Default::default()
        })
    };
    ConsumerGroupHeartbeatResponseData {
        member_id: Some(text(beat.member_id)),
        member_epoch: beat.epoch,
        heartbeat_interval_ms: beat.heartbeat_ms,
        assignment: beat.assignment.map(assignment),
        ..Default::default()
    }
}

fn refused(error: ErrorCode, message: KafkaString) -> ConsumerGroupHeartbeatResponseData {
    ConsumerGroupHeartbeatResponseData {
        error_code: error.code(),
        error_message: Some(message),
        ..Default::default()
    }
}
