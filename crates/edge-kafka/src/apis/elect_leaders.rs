//! ElectLeaders, v0-2 (KIP-460). v1 adds the type of election; v2 is flexible. The only node leads everything already.

use headwater_broker::Topic;
use headwater_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use headwater_wire::messages::{ElectLeadersRequestData, ElectLeadersResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};
use crate::codes::{Code, Refusal};

/// Kafka's `ElectionType`: the preferred replica, or any live one.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Handle for ElectLeadersRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> ElectLeadersResponseData {
        let refused = check(&self, &call).err();
        let error_code = match call.version {
            0 => 0,
            _ => refused.as_ref().map_or(0, Code::code),
        };
        let catalog = call.broker().catalog();
        let Some(wanted) = self.topic_partitions else {
            // As Kafka: partitions that need no election are left out when all are asked for.
            let all = catalog.topics().filter(|topic| !topic.is_internal());
            let none = |topic: &std::sync::Arc<Topic>| ReplicaElectionResult {
                topic: text(topic.name.clone()),
                ..Default::default()
            };
            return ElectLeadersResponseData {
                error_code,
                replica_election_results: match refused {
                    Some(_) => Vec::new(),
                    None => all.map(none).collect(),
                },
                ..Default::default()
            };
        };
        let elect = |name: &str, index: i32| match (&refused, catalog.topic(name)) {
            (Some(refusal), _) => refusal.clone(),
            (None, None) => unknown(format!("No such topic as {name}")),
            (None, Some(topic)) if topic.partition(index).is_none() => {
                unknown(format!("No such partition as {name}-{index}"))
            }
            (None, Some(_)) => Refusal::new(
                ErrorCode::ElectionNotNeeded,
                "Leader election not needed for topic partition.",
            ),
        };
        let topic = |topic: headwater_wire::messages::elect_leaders_request::TopicPartitions| {
            let one = |index: &i32| result(*index, &elect(topic.topic.as_str(), *index));
            ReplicaElectionResult {
                partition_result: topic.partitions.iter().map(one).collect(),
                topic: topic.topic.clone(),
                ..Default::default()
            }
        };
        ElectLeadersResponseData {
            error_code,
            replica_election_results: wanted.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }
}

fn check(request: &ElectLeadersRequestData, call: &Call) -> Result<(), Refusal> {
    call.permit(Operation::Alter, Resource::Cluster)?;
    match request.election_type {
        PREFERRED | UNCLEAN => Ok(()),
        other => Err(Refusal::request(format!("Unknown election type {other}"))),
    }
}

fn unknown(why: String) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, why)
}

fn result(partition_id: i32, refusal: &Refusal) -> PartitionResult {
    PartitionResult {
        partition_id,
        error_code: refusal.code(),
        error_message: Some(text(refusal.to_string())),
        ..Default::default()
    }
}
