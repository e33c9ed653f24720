//! DescribeLogDirs, v1-4.
//!
//! v2 is flexible; v3 adds a top-level error; v4 sizes of the volume.

use std::collections::HashMap;

use headwater_broker::{PartitionState, TopicView};
use headwater_wire::Versions;
use headwater_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use headwater_wire::messages::{DescribeLogDirsRequestData, DescribeLogDirsResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

impl Handle for DescribeLogDirsRequestData {
    const VERSIONS: Versions = Versions::new(1, 4);

    async fn answer(self, call: Call) -> DescribeLogDirsResponseData {
        if let Err(error) = call.check(Operation::Describe, Resource::Cluster) {
            return DescribeLogDirsResponseData {
                error_code: error.code(),
                ..Default::default()
            };
        }
        let wanted: Option<HashMap<String, Vec<i32>>> = self.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.topic.as_str().to_owned(), topic.partitions))
                .collect()
        });
        let shown = |topic: TopicView| {
            let asked = |index: &i32| match &wanted {
                Some(wanted) => wanted
                    .get(&topic.name)
                    .is_some_and(|partitions| partitions.contains(index)),
                None => true,
            };
            let sized = (0..)
                .zip(&topic.partitions)
                .filter(|(index, _)| asked(index));
            let partition =
                |(partition_index, state): (i32, &PartitionState)| DescribeLogDirsPartition {
                    partition_index,
                    partition_size: i64::try_from(state.bytes).unwrap_or(i64::MAX),
                    ..Default::default()
                };
            let partitions: Vec<_> = sized.map(partition).collect();
            let name = text(topic.name.clone());
            (!partitions.is_empty()).then(|| DescribeLogDirsTopic {
                name,
                partitions,
                ..Default::default()
            })
        };
        let topics = call
            .broker()
            .topic_views()
            .into_iter()
            .filter_map(shown)
            .collect();
        let (total_bytes, usable_bytes) = volume(&call.node.config.log_dir);
        let log_dir = text(call.node.config.log_dir.clone());
        let result = DescribeLogDirsResult {
            log_dir,
            topics,
            total_bytes,
            usable_bytes,
            ..Default::default()
        };
        DescribeLogDirsResponseData {
            results: vec![result],
            ..Default::default()
        }
    }
}

/// Size of the volume that a folder is on and what is free of it, in bytes; -1 where that cannot be known.
fn volume(folder: &str) -> (i64, i64) {
    let Ok(volume) = rustix::fs::statvfs(folder) else {
        return (-1, -1);
    };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(volume.f_frsize)).unwrap_or(-1);
    (bytes(volume.f_blocks), bytes(volume.f_bavail))
}
