//! OffsetCommit, v2-10.
//!
//! v5 drops the retention time; v6 adds leader epochs; v7 static members; v8 is flexible; v9 the consumer protocol's errors;
//! v10 names topics by id (KIP-848).

use headwater_broker::{BrokerError, CommitItem, TopicRef};
use headwater_coord::groups::Committer;
use headwater_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use headwater_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use headwater_wire::messages::{OffsetCommitRequestData, OffsetCommitResponseData};
use headwater_wire::{Versions, ids};

use crate::call::{Call, Handle, plain, plain_option};
use crate::codes::{Code, coordinator_code_of};

/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 10;

impl Handle for OffsetCommitRequestData {
    const VERSIONS: Versions = Versions::new(2, 10);

    async fn answer(self, call: Call) -> OffsetCommitResponseData {
        let by = Committer {
            member_id: plain(&self.member_id),
            instance_id: plain_option(self.group_instance_id.as_ref()),
            generation: self.generation_id_or_member_epoch,
        };
        let names: Vec<Result<String, BrokerError>> = self
            .topics
            .iter()
            .map(|topic| name_of(&call, topic))
            .collect();
        let known = self
            .topics
            .iter()
            .zip(&names)
            .filter_map(|(topic, name)| Some((topic, name.as_ref().ok()?)));
        let committed = call.broker().commit_offsets(
            self.group_id.as_str(),
            &by,
            known.flat_map(|(topic, name)| items(topic, name)).collect(),
        );
        let mut codes = match committed.await {
            Ok(outcomes) => outcomes
                .iter()
                .map(coordinator_code_of)
                .collect::<Vec<i16>>()
                .into_iter(),
            Err(error) => {
                vec![error.code(); self.topics.iter().map(|topic| topic.partitions.len()).sum()]
                    .into_iter()
            }
        };
        let respond = |(topic, name): (OffsetCommitRequestTopic, Result<String, BrokerError>)| {
            let unknown = name.err().map(|error| error.code());
            let partition = |partition_index| OffsetCommitResponsePartition {
                partition_index,
                error_code: unknown.unwrap_or_else(|| codes.next().unwrap_or_default()),
                ..Default::default()
            };
            let partitions = topic
                .partitions
                .iter()
                .map(|one| one.partition_index)
                .map(partition)
                .collect();
            OffsetCommitResponseTopic {
                name: topic.name,
                topic_id: topic.topic_id,
                partitions,
                ..Default::default()
            }
        };
        OffsetCommitResponseData {
            topics: self.topics.into_iter().zip(names).map(respond).collect(),
            ..Default::default()
        }
    }
}

fn name_of(call: &Call, topic: &OffsetCommitRequestTopic) -> Result<String, BrokerError> {
    if call.version < TOPIC_ID_FROM {
        return Ok(plain(&topic.name));
    }
    let found = call
        .broker()
        .find_topic(&TopicRef::Id(ids::topic_id(topic.topic_id)))?;
    Ok(found.name.clone())
}

fn items<'a>(
    topic: &'a OffsetCommitRequestTopic,
    name: &'a str,
) -> impl Iterator<Item = CommitItem> + 'a {
    topic.partitions.iter().map(move |partition| CommitItem {
        topic: name.to_owned(),
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: plain_option(partition.committed_metadata.as_ref()).unwrap_or_default(),
    })
}
