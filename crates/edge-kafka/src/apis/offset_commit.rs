//! OffsetCommit, v2-9.
//!
//! v2-4 bear a retention time, deprecated and honoured as by Kafka; v5 drops it; v6 adds leader epochs; v7 static members; v8 is flexible; v9 the consumer protocol's errors
//! (KIP-848). v10, which names topics by id, is not told by Kafka 4.1 either.

use headwater_broker::{CommitItem, CommitMode};
use headwater_coord::groups::Committer;
use headwater_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use headwater_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use headwater_wire::messages::{OffsetCommitRequestData, OffsetCommitResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option};
use crate::codes::{Code, coordinator_code_of};

/// First version without a retention time.
const NO_RETENTION_FROM: i16 = 5;
/// First version whose clients know of member epochs.
const EPOCHS_FROM: i16 = 9;

impl Handle for OffsetCommitRequestData {
    const VERSIONS: Versions = Versions::new(2, 9);

    async fn answer(self, call: Call) -> OffsetCommitResponseData {
        let by = Committer {
            member_id: plain(&self.member_id),
            instance_id: plain_option(self.group_instance_id.as_ref()),
            generation: self.generation_id_or_member_epoch,
        };
        let group = self.group_id.as_str();
        let may_commit = call.check(Operation::Read, Resource::Group(group));
        let names: Vec<Result<String, ErrorCode>> = self
            .topics
            .iter()
            .map(|topic| may_commit.and_then(|()| name_of(&call, topic)))
            .collect();
        let known = self
            .topics
            .iter()
            .zip(&names)
            .filter_map(|(topic, name)| Some((topic, name.as_ref().ok()?)));
        let retention_ms = Some(self.retention_time_ms).filter(|ms| *ms >= 0);
        let mode = CommitMode {
            transactional: false,
            knows_epochs: call.version >= EPOCHS_FROM,
            retention_ms: retention_ms.filter(|_| call.version < NO_RETENTION_FROM),
        };
        let items: Vec<CommitItem> = known.flat_map(|(topic, name)| items(topic, name)).collect();
        let count = items.len();
        let codes = match may_commit {
            Ok(()) => match call.broker().commit_offsets(group, &by, mode, items).await {
                Ok(outcomes) => outcomes.iter().map(coordinator_code_of).collect(),
                Err(refusal) => vec![refusal.code(); count],
            },
            Err(_) => Vec::new(),
        };
        let mut codes = codes.into_iter();
        let respond = |(topic, name): (OffsetCommitRequestTopic, Result<String, ErrorCode>)| {
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

fn name_of(call: &Call, topic: &OffsetCommitRequestTopic) -> Result<String, ErrorCode> {
    let name = plain(&topic.name);
    call.check(Operation::Read, Resource::Topic(&name))?;
    Ok(name)
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
