//! DescribeLogDirs, v1-4.
//!
//! v2 is flexible; v3 adds a top-level error; v4 sizes of the volume, which are not told here (-1).

use std::collections::HashMap;

use headwater_broker::{PartitionState, TopicView};
use headwater_wire::Versions;
use headwater_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use headwater_wire::messages::{DescribeLogDirsRequestData, DescribeLogDirsResponseData};

use crate::call::{Call, Handle, text};

impl Handle for DescribeLogDirsRequestData {
    const VERSIONS: Versions = Versions::new(1, 4);

    async fn answer(self, call: Call) -> DescribeLogDirsResponseData {
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
        let log_dir = text(call.node.config.log_dir.clone());
        let result = DescribeLogDirsResult {
            log_dir,
            topics,
            total_bytes: -1,
            usable_bytes: -1,
            ..Default::default()
        };
        DescribeLogDirsResponseData {
            results: vec![result],
            ..Default::default()
        }
    }
}
