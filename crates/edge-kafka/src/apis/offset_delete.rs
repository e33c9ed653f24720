//! OffsetDelete, v0.

use headwater_wire::Versions;
use headwater_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use headwater_wire::messages::{OffsetDeleteRequestData, OffsetDeleteResponseData};

use crate::call::{Call, Handle, plain};
use crate::codes::{Code, code_of};

impl Handle for OffsetDeleteRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> OffsetDeleteResponseData {
        let places = self.topics.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| (plain(&topic.name), partition.partition_index))
        });
        let outcomes = match call
            .broker()
            .delete_offsets(self.group_id.as_str(), places.collect())
            .await
        {
            Ok(outcomes) => outcomes,
            Err(error) => {
                return OffsetDeleteResponseData {
                    error_code: error.code(),
                    ..Default::default()
                };
            }
        };
        let mut codes = outcomes.iter().map(code_of);
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let partition = |(partition_index, error_code)| OffsetDeleteResponsePartition {
                partition_index,
                error_code,
                ..Default::default()
            };
            let indexes = topic
                .partitions
                .iter()
                .map(|partition| partition.partition_index);
            let partitions = indexes.zip(codes.by_ref()).map(partition).collect();
            topics.push(OffsetDeleteResponseTopic {
                name: topic.name,
                partitions,
                ..Default::default()
            });
        }
        OffsetDeleteResponseData {
            topics,
            ..Default::default()
        }
    }
}
