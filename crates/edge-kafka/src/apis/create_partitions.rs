//! CreatePartitions, v0-3. v2 is flexible.

use std::collections::BTreeMap;

use headwater_broker::{BrokerError, MorePartitions};
use headwater_wire::Versions;
use headwater_wire::messages::create_partitions_request::CreatePartitionsTopic;
use headwater_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use headwater_wire::messages::{CreatePartitionsRequestData, CreatePartitionsResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for CreatePartitionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 3);

    async fn answer(self, call: Call) -> CreatePartitionsResponseData {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for topic in &self.topics {
            *times.entry(plain(&topic.name)).or_default() += 1;
        }
        let check = |topic: &CreatePartitionsTopic| match times.get(topic.name.as_str()) {
            Some(1) => call.permit(Operation::Alter, Resource::Topic(topic.name.as_str())),
            _ => Err(Refusal::request("Duplicate topic name.")),
        };
        let good = self.topics.iter().filter(|topic| check(topic).is_ok());
        let wanted: Vec<MorePartitions> = good.map(more).collect();
        let mut grown = call
            .broker()
            .create_partitions(&wanted, self.validate_only)
            .await
            .into_iter();
        let mut results: Vec<CreatePartitionsTopicResult> = Vec::new();
        for topic in &self.topics {
            let outcome = check(topic).and_then(|()| {
                Ok(grown
                    .next()
                    .unwrap_or(Err(BrokerError::UnknownTopicOrPartition))?)
            });
            let told = results
                .iter()
                .any(|one| one.name.as_str() == topic.name.as_str());
            if !told {
                results.push(CreatePartitionsTopicResult {
                    name: topic.name.clone(),
                    error_code: code_of(&outcome),
                    error_message: message_of(&outcome),
                    ..Default::default()
                });
            }
        }
        CreatePartitionsResponseData {
            results,
            ..Default::default()
        }
    }
}

fn more(topic: &CreatePartitionsTopic) -> MorePartitions {
    let nodes = topic.assignments.as_ref();
    MorePartitions {
        topic: plain(&topic.name),
        partitions: topic.count,
        assignments: nodes.map(|all| all.iter().map(|one| one.broker_ids.clone()).collect()),
    }
}
