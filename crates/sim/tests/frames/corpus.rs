//! Good frames to begin with: every request in every version of its schema, the important ones with something in them.

use bytes::Bytes;
use headwater_record::{BatchBuilder, Codec};
use headwater_wire::messages as m;
use headwater_wire::{KafkaString, Request, encode_request};

fn s(text: &str) -> KafkaString {
    text.to_owned().into()
}

/// The request in every version that has its fields.
fn add<R: Request>(frames: &mut Vec<Vec<u8>>, request: &R) {
    for version in R::SCHEMA.min..=R::SCHEMA.max {
        if let Ok(frame) = encode_request(version, 7, "fuzz", request) {
            frames.push(frame.to_vec());
        }
    }
}

macro_rules! bare {
    ($frames:ident: $($request:ident)*) => {
        $(add(&mut $frames, &m::$request::default());)*
    };
}

/// See the module.
pub fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    bare!(frames: ProduceRequestData FetchRequestData ListOffsetsRequestData MetadataRequestData OffsetCommitRequestData
        OffsetFetchRequestData FindCoordinatorRequestData JoinGroupRequestData HeartbeatRequestData LeaveGroupRequestData
        SyncGroupRequestData DescribeGroupsRequestData ListGroupsRequestData ApiVersionsRequestData CreateTopicsRequestData
        DeleteTopicsRequestData DeleteRecordsRequestData InitProducerIdRequestData OffsetForLeaderEpochRequestData
        AddPartitionsToTxnRequestData AddOffsetsToTxnRequestData EndTxnRequestData WriteTxnMarkersRequestData
        TxnOffsetCommitRequestData DescribeAclsRequestData CreateAclsRequestData DeleteAclsRequestData
        DescribeConfigsRequestData AlterConfigsRequestData DescribeLogDirsRequestData CreatePartitionsRequestData
        DeleteGroupsRequestData ElectLeadersRequestData IncrementalAlterConfigsRequestData
        AlterPartitionReassignmentsRequestData ListPartitionReassignmentsRequestData OffsetDeleteRequestData
        DescribeClientQuotasRequestData AlterClientQuotasRequestData DescribeUserScramCredentialsRequestData
        AlterUserScramCredentialsRequestData DescribeQuorumRequestData UpdateFeaturesRequestData DescribeClusterRequestData
        DescribeProducersRequestData DescribeTransactionsRequestData ListTransactionsRequestData
        ConsumerGroupHeartbeatRequestData ConsumerGroupDescribeRequestData ListConfigResourcesRequestData
        DescribeTopicPartitionsRequestData);
    topics(&mut frames);
    configs(&mut frames);
    data(&mut frames);
    reads(&mut frames);
    groups(&mut frames);
    offsets(&mut frames);
    beats(&mut frames);
    transactions(&mut frames);
    frames
}

fn topics(frames: &mut Vec<Vec<u8>>) {
    use m::create_topics_request::{CreatableTopic, CreatableTopicConfig};
    let config = CreatableTopicConfig {
        name: s("retention.ms"),
        value: Some(s("1000")),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: s("t"),
        num_partitions: 3,
        replication_factor: 1,
        configs: vec![config],
        ..Default::default()
    };
    add(
        frames,
        &m::CreateTopicsRequestData {
            topics: vec![topic.clone(), topic],
            timeout_ms: 1000,
            ..Default::default()
        },
    );
    let named = m::metadata_request::MetadataRequestTopic {
        name: Some(s("t")),
        ..Default::default()
    };
    add(
        frames,
        &m::MetadataRequestData {
            topics: Some(vec![named]),
            allow_auto_topic_creation: true,
            ..Default::default()
        },
    );
    add(
        frames,
        &m::DeleteTopicsRequestData {
            topic_names: vec![s("t")],
            timeout_ms: 1000,
            ..Default::default()
        },
    );
}

fn configs(frames: &mut Vec<Vec<u8>>) {
    use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let change = AlterableConfig {
        name: s("cleanup.policy"),
        config_operation: 0,
        value: Some(s("compact")),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: s("t"),
        configs: vec![change],
        ..Default::default()
    };
    add(
        frames,
        &m::IncrementalAlterConfigsRequestData {
            resources: vec![resource],
            ..Default::default()
        },
    );
    let resource = m::describe_configs_request::DescribeConfigsResource {
        resource_type: 2,
        resource_name: s("t"),
        ..Default::default()
    };
    add(
        frames,
        &m::DescribeConfigsRequestData {
            resources: vec![resource],
            ..Default::default()
        },
    );
    let grow = m::create_partitions_request::CreatePartitionsTopic {
        name: s("t"),
        count: 5,
        ..Default::default()
    };
    add(
        frames,
        &m::CreatePartitionsRequestData {
            topics: vec![grow],
            timeout_ms: 1000,
            ..Default::default()
        },
    );
}

fn batch(transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(1000, 0, 0);
    if transactional {
        builder = builder.transactional();
    }
    builder.push(1_780_000_000_000, Some(b"k"), Some(b"v"));
    builder.build()
}

fn data(frames: &mut Vec<Vec<u8>>) {
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    for transactional in [false, true] {
        let partition = PartitionProduceData {
            index: 0,
            records: Some(batch(transactional)),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: s("t"),
            partition_data: vec![partition],
            ..Default::default()
        };
        let id = transactional.then(|| s("x"));
        add(
            frames,
            &m::ProduceRequestData {
                transactional_id: id,
                acks: -1,
                timeout_ms: 1000,
                topic_data: vec![topic],
                ..Default::default()
            },
        );
    }
}

fn reads(frames: &mut Vec<Vec<u8>>) {
    use m::fetch_request::{FetchPartition, FetchTopic};
    use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = FetchPartition {
        partition: 0,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: s("t"),
        partitions: vec![partition],
        ..Default::default()
    };
    let topics = vec![topic];
    add(
        frames,
        &m::FetchRequestData {
            max_wait_ms: 10,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: 1,
            session_epoch: 0,
            topics,
            ..Default::default()
        },
    );
    let partition = ListOffsetsPartition {
        timestamp: -1,
        ..Default::default()
    };
    let topic = ListOffsetsTopic {
        name: s("t"),
        partitions: vec![partition],
        ..Default::default()
    };
    add(
        frames,
        &m::ListOffsetsRequestData {
            replica_id: -1,
            topics: vec![topic],
            ..Default::default()
        },
    );
    let partition = m::delete_records_request::DeleteRecordsPartition {
        offset: 1,
        ..Default::default()
    };
    let topic = m::delete_records_request::DeleteRecordsTopic {
        name: s("t"),
        partitions: vec![partition],
        ..Default::default()
    };
    add(
        frames,
        &m::DeleteRecordsRequestData {
            topics: vec![topic],
            timeout_ms: 1000,
            ..Default::default()
        },
    );
}

fn groups(frames: &mut Vec<Vec<u8>>) {
    use m::join_group_request::JoinGroupRequestProtocol;
    let protocols = vec![JoinGroupRequestProtocol {
        name: s("range"),
        metadata: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t"),
        ..Default::default()
    }];
    let protocol_type = s("consumer");
    add(
        frames,
        &m::JoinGroupRequestData {
            group_id: s("g"),
            session_timeout_ms: 6000,
            rebalance_timeout_ms: 50,
            protocol_type,
            protocols,
            ..Default::default()
        },
    );
    let assignments = vec![m::sync_group_request::SyncGroupRequestAssignment {
        member_id: s("m"),
        ..Default::default()
    }];
    add(
        frames,
        &m::SyncGroupRequestData {
            group_id: s("g"),
            generation_id: 1,
            member_id: s("m"),
            assignments,
            ..Default::default()
        },
    );
}

fn offsets(frames: &mut Vec<Vec<u8>>) {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use m::offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    };
    let partition = OffsetCommitRequestPartition {
        committed_offset: 5,
        committed_metadata: Some(s("meta")),
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: s("t"),
        partitions: vec![partition],
        ..Default::default()
    };
    add(
        frames,
        &m::OffsetCommitRequestData {
            group_id: s("g"),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        },
    );
    let topic = OffsetFetchRequestTopic {
        name: s("t"),
        partition_indexes: vec![0, 1],
        ..Default::default()
    };
    add(
        frames,
        &m::OffsetFetchRequestData {
            group_id: s("g"),
            topics: Some(vec![topic]),
            ..Default::default()
        },
    );
    let topic = OffsetFetchRequestTopics {
        name: s("t"),
        partition_indexes: vec![0, 1],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: s("g"),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    add(
        frames,
        &m::OffsetFetchRequestData {
            groups: vec![group],
            ..Default::default()
        },
    );
}

fn beats(frames: &mut Vec<Vec<u8>>) {
    let subscribed_topic_names = Some(vec![s("t")]);
    add(
        frames,
        &m::ConsumerGroupHeartbeatRequestData {
            group_id: s("h"),
            member_id: s("m"),
            rebalance_timeout_ms: 1000,
            subscribed_topic_names,
            topic_partitions: Some(vec![]),
            ..Default::default()
        },
    );
    let regex = Some(s("(t|u).*"));
    add(
        frames,
        &m::ConsumerGroupHeartbeatRequestData {
            group_id: s("h"),
            member_id: s("n"),
            rebalance_timeout_ms: 1000,
            subscribed_topic_regex: regex,
            topic_partitions: Some(vec![]),
            ..Default::default()
        },
    );
}

fn transactions(frames: &mut Vec<Vec<u8>>) {
    use m::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
    use m::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    let (producer_id, transactional_id) = (1000, s("x"));
    add(
        frames,
        &m::InitProducerIdRequestData {
            transactional_id: Some(s("x")),
            transaction_timeout_ms: 1000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    );
    add(
        frames,
        &m::InitProducerIdRequestData {
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    );
    let topics = vec![AddPartitionsToTxnTopic {
        name: s("t"),
        partitions: vec![0, 1],
        ..Default::default()
    }];
    add(
        frames,
        &m::AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: s("x"),
            v3_and_below_producer_id: 1000,
            v3_and_below_topics: topics,
            ..Default::default()
        },
    );
    add(
        frames,
        &m::AddOffsetsToTxnRequestData {
            transactional_id: s("x"),
            producer_id,
            group_id: s("g"),
            ..Default::default()
        },
    );
    let partition = TxnOffsetCommitRequestPartition {
        committed_offset: 5,
        ..Default::default()
    };
    let topics = vec![TxnOffsetCommitRequestTopic {
        name: s("t"),
        partitions: vec![partition],
        ..Default::default()
    }];
    add(
        frames,
        &m::TxnOffsetCommitRequestData {
            transactional_id,
            group_id: s("g"),
            producer_id,
            generation_id: -1,
            topics,
            ..Default::default()
        },
    );
    for committed in [false, true] {
        add(
            frames,
            &m::EndTxnRequestData {
                transactional_id: s("x"),
                producer_id,
                committed,
                ..Default::default()
            },
        );
    }
}
