//! OffsetDelete, v0.

use headwater_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use headwater_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use headwater_wire::messages::{OffsetDeleteRequestData, OffsetDeleteResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain};
use crate::codes::{Code, code_of};

impl Handle for OffsetDeleteRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> OffsetDeleteResponseData {
        let refused = |error_code| OffsetDeleteResponseData {
            error_code,
            ..Default::default()
        };
        let group = self.group_id.as_str();
        if let Err(code) = call.check(Operation::Delete, Resource::Group(group)) {
            return refused(code.code());
        }
        let may: Vec<Result<(), ErrorCode>> = self
            .topics
            .iter()
            .map(|topic| call.check(Operation::Read, Resource::Topic(topic.name.as_str())))
            .collect();
        let allowed = self.topics.iter().zip(&may).filter(|(_, may)| may.is_ok());
        let places = allowed.flat_map(|(topic, _)| {
            topic
                .partitions
                .iter()
                .map(|partition| (plain(&topic.name), partition.partition_index))
        });
        let outcomes = call.broker().delete_offsets(group, places.collect()).await;
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return refused(error.code()),
        };
        let mut codes = outcomes.iter().map(code_of);
        let respond = |(topic, may): (OffsetDeleteRequestTopic, Result<(), ErrorCode>)| {
            let partition = |one: &OffsetDeleteRequestPartition| OffsetDeleteResponsePartition {
                partition_index: one.partition_index,
                error_code: match may {
                    Ok(()) => codes.next().unwrap_or_default(),
                    Err(code) => code.code(),
                },
                ..Default::default()
            };
            OffsetDeleteResponseTopic {
                partitions: topic.partitions.iter().map(partition).collect(),
                name: topic.name,
                ..Default::default()
            }
        };
        OffsetDeleteResponseData {
            topics: self.topics.into_iter().zip(may).map(respond).collect(),
            ..Default::default()
        }
    }
}
