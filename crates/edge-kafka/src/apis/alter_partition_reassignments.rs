//! AlterPartitionReassignments, v0-1 (KIP-455). v1 can forbid another number of replicas.
//!
//! A partition can only be moved to where it is; nothing is ever under way.

use headwater_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use headwater_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use headwater_wire::messages::{
    AlterPartitionReassignmentsRequestData, AlterPartitionReassignmentsResponseData,
};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for AlterPartitionReassignmentsRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> AlterPartitionReassignmentsResponseData {
        let permit = call.permit(Operation::Alter, Resource::Cluster);
        if permit.is_err() {
            return AlterPartitionReassignmentsResponseData {
                error_code: code_of(&permit),
                error_message: message_of(&permit),
                ..Default::default()
            };
        }
        let topic = |topic: ReassignableTopic| {
            let name = topic.name.as_str();
            let one = |partition: &ReassignablePartition| {
                let outcome = reassign(&call, name, partition);
                ReassignablePartitionResponse {
                    partition_index: partition.partition_index,
                    error_code: code_of(&outcome),
                    error_message: message_of(&outcome).filter(|text| !text.as_str().is_empty()),
                    ..Default::default()
                }
            };
            ReassignableTopicResponse {
                partitions: topic.partitions.iter().map(one).collect(),
                name: topic.name.clone(),
                ..Default::default()
            }
        };
        AlterPartitionReassignmentsResponseData {
            allow_replication_factor_change: self.allow_replication_factor_change,
            responses: self.topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }
}

fn reassign(call: &Call, name: &str, wanted: &ReassignablePartition) -> Result<(), Refusal> {
    let index = wanted.partition_index;
    let unknown = |why: String| Refusal::new(ErrorCode::UnknownTopicOrPartition, why);
    let topic = call
        .broker()
        .topic(name)
        .ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
    if topic.partition(index).is_none() {
        return Err(unknown(format!("Unable to find partition {name}:{index}.")));
    }
    match &wanted.replicas {
        Some(nodes) => Ok(call.broker().check_replicas(nodes)?),
        None => Err(Refusal::new(ErrorCode::NoReassignmentInProgress, "")),
    }
}
