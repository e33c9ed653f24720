//! CreatePartitions, v0-3. v2 is flexible.

use headwater_wire::Versions;
use headwater_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use headwater_wire::messages::{CreatePartitionsRequestData, CreatePartitionsResponseData};

use crate::call::{Call, Handle};
use crate::codes::{code_of, message_of};

impl Handle for CreatePartitionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 3);

    async fn answer(self, call: Call) -> CreatePartitionsResponseData {
        let mut results = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let assignments: Vec<Vec<i32>> = topic
                .assignments
                .unwrap_or_default()
                .into_iter()
                .map(|one| one.broker_ids)
                .collect();
            let grown = call.broker().create_partitions(
                topic.name.as_str(),
                topic.count,
                &assignments,
                self.validate_only,
            );
            let outcome = grown.await;
            let (error_code, error_message) = (code_of(&outcome), message_of(&outcome));
            results.push(CreatePartitionsTopicResult {
                name: topic.name,
                error_code,
                error_message,
                ..Default::default()
            });
        }
        CreatePartitionsResponseData {
            results,
            ..Default::default()
        }
    }
}
