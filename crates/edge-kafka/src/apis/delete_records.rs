//! DeleteRecords, v0-2. v2 is flexible.

use std::time::Duration;

use headwater_wire::Versions;
use headwater_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use headwater_wire::messages::{DeleteRecordsRequestData, DeleteRecordsResponseData};

use tokio::time::Instant;

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};
use crate::codes::{Refusal, code_of};

impl Handle for DeleteRecordsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> DeleteRecordsResponseData {
        let patience = Duration::from_millis(self.timeout_ms.max(0) as u64);
        let until = Instant::now() + patience;
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let name = topic.name.as_str();
            let permit = call.permit(Operation::Delete, Resource::Topic(name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let partition_index = partition.partition_index;
                let outcome = match &permit {
                    Ok(()) => {
                        let broker = call.broker();
                        let moved =
                            broker.delete_records(name, partition_index, partition.offset, until);
                        moved.await.map_err(Refusal::from)
                    }
                    Err(refusal) => Err(refusal.clone()),
                };
                let low_watermark = *outcome.as_ref().unwrap_or(&-1);
                let error_code = code_of(&outcome);
                partitions.push(DeleteRecordsPartitionResult {
                    partition_index,
                    low_watermark,
                    error_code,
                    ..Default::default()
                });
            }
            topics.push(DeleteRecordsTopicResult {
                name: topic.name,
                partitions,
                ..Default::default()
            });
        }
        DeleteRecordsResponseData {
            topics,
            ..Default::default()
        }
    }
}
