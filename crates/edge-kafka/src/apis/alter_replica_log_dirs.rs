//! AlterReplicaLogDirs, v1-2 (KIP-113). v2 is flexible. There is one folder, which everything is in already.

use headwater_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use headwater_wire::messages::{AlterReplicaLogDirsRequestData, AlterReplicaLogDirsResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle};

impl Handle for AlterReplicaLogDirsRequestData {
    const VERSIONS: Versions = Versions::new(1, 2);

    async fn answer(self, call: Call) -> AlterReplicaLogDirsResponseData {
        let mut results = Vec::new();
        for dir in self.dirs {
            for topic in dir.topics {
                let name = topic.name.as_str();
                let one = |index: &i32| AlterReplicaLogDirPartitionResult {
                    partition_index: *index,
                    error_code: move_to(&call, dir.path.as_str(), name, *index)
                        .err()
                        .map_or(0, |error| error.code()),
                    ..Default::default()
                };
                results.push(AlterReplicaLogDirTopicResult {
                    partitions: topic.partitions.iter().map(one).collect(),
                    topic_name: topic.name.clone(),
                    ..Default::default()
                });
            }
        }
        AlterReplicaLogDirsResponseData {
            results,
            ..Default::default()
        }
    }
}

fn move_to(call: &Call, dir: &str, topic: &str, index: i32) -> Result<(), ErrorCode> {
    call.check(Operation::Alter, Resource::Cluster)?;
    if dir != call.node.config.log_dir {
        return Err(ErrorCode::LogDirNotFound);
    }
    let topic = call.broker().topic(topic);
    match topic.and_then(|topic| topic.partition(index)) {
        Some(_) => Ok(()),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}
