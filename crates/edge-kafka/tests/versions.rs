//! What is advertised is implemented: every version of every API gets an answer that its schema reads to the last byte.
#![allow(clippy::unwrap_used)]

mod admin;
mod common;
mod rights;

use common::{Client, Node};
use headwater_wire::messages as m;
use headwater_wire::{ErrorCode, KafkaString, Message, Request};

fn s(text: &str) -> KafkaString {
    text.to_owned().into()
}

/// Calls every version that is advertised with what `make` gives for it.
async fn all_versions<R: Request>(
    client: &mut Client,
    spoken: &mut Vec<i16>,
    make: impl Fn(i16) -> R,
) where
    R::Response: std::fmt::Debug,
{
    let apis = client.call(3, &client_named()).await.api_keys;
    let api = apis
        .iter()
        .find(|api| api.api_key == R::KEY)
        .unwrap_or_else(|| panic!("{} is not advertised", R::NAME));
    spoken.push(R::KEY);
    // Produce is told from v0, for librdkafka's sake; it is spoken from v3, by Kafka 4 too.
    let oldest = if R::KEY == 0 { 3 } else { api.min_version };
    for version in oldest..=api.max_version {
        let id = client.send(version, &make(version)).await;
        let frame = client
            .frame()
            .await
            .unwrap_or_else(|| panic!("{} v{version}: closed", R::NAME));
        let mut body = frame.clone();
        let response_header =
            headwater_wire::header::decode_response_header(&mut body, R::KEY, version).unwrap();
        assert_eq!(response_header, id, "{} v{version}", R::NAME);
        let response = R::Response::read_from(&mut body, version)
            .unwrap_or_else(|error| panic!("{} v{version}: {error}", R::NAME));
        let told = format!("{response:?}");
        if let Some(refusals) = &mut client.refusals
            && rights::REFUSALS
                .iter()
                .any(|code| told.contains(&format!("error_code: {code},")))
        {
            refusals.push(R::KEY);
        }
        assert!(
            body.is_empty(),
            "{} v{version}: {} bytes left over",
            R::NAME,
            body.len()
        );
    }
}

fn client_named() -> m::ApiVersionsRequestData {
    m::ApiVersionsRequestData {
        client_software_name: s("test"),
        client_software_version: s("1"),
        ..Default::default()
    }
}

async fn prepare(client: &mut Client) {
    let topic = m::create_topics_request::CreatableTopic {
        name: s("t"),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    };
    let made = client
        .call(
            7,
            &m::CreateTopicsRequestData {
                topics: vec![topic],
                ..Default::default()
            },
        )
        .await;
    assert_eq!(made.topics[0].error_code, 0);
}

#[tokio::test]
async fn every_advertised_version_is_answered_to_the_last_byte() {
    let node = Node::start().await;
    let mut client = node.client().await;
    prepare(&mut client).await;
    let mut spoken = Vec::new();
    walk(&mut client, &mut spoken).await;
    node.stop().await;
}

/// Calls every version of every API.
async fn walk(client: &mut Client, spoken: &mut Vec<i16>) {
    data_apis(client, spoken).await;
    txn_apis(client, spoken).await;
    group_apis(client, spoken).await;
    consumer_group_apis(client, spoken).await;
    offset_apis(client, spoken).await;
    admin_apis(client, spoken).await;
    config_apis(client, spoken).await;
    admin::security_apis(client, spoken).await;
    admin::cluster_apis(client, spoken).await;
    let mut advertised: Vec<i16> = client
        .call(0, &client_named_v0())
        .await
        .api_keys
        .iter()
        .map(|api| api.api_key)
        .collect();
    spoken.sort_unstable();
    advertised.sort_unstable();
    assert_eq!(*spoken, advertised, "an API without a line in this test");
}

fn client_named_v0() -> m::ApiVersionsRequestData {
    m::ApiVersionsRequestData::default()
}

async fn data_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    use m::fetch_request::{FetchPartition, FetchTopic};
    use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    all_versions(client, spoken, |_| client_named()).await;
    let named = |version: i16, from: i16| if version >= from { s("") } else { s("t") };
    all_versions(client, spoken, |version| m::ProduceRequestData {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: named(version, 13),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(bytes::Bytes::from_static(b"x")),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |version| m::FetchRequestData {
        max_bytes: 1000,
        topics: vec![FetchTopic {
            topic: named(version, 13),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1000,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::ListOffsetsRequestData {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: s("t"),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::OffsetForLeaderEpochRequestData {
        topics: vec![OffsetForLeaderTopic {
            topic: s("t"),
            partitions: vec![OffsetForLeaderPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::InitProducerIdRequestData::default()).await;
    let wanted = || m::metadata_request::MetadataRequestTopic {
        name: Some(s("t")),
        ..Default::default()
    };
    all_versions(client, spoken, |_| m::MetadataRequestData {
        topics: Some(vec![wanted()]),
        ..Default::default()
    })
    .await;
}

async fn txn_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    use m::add_partitions_to_txn_request::{
        AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
    };
    use m::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    use m::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let topic = || AddPartitionsToTxnTopic {
        name: s("t"),
        partitions: vec![0],
        ..Default::default()
    };
    all_versions(client, spoken, |version| match version {
        4.. => m::AddPartitionsToTxnRequestData {
            transactions: vec![AddPartitionsToTxnTransaction {
                transactional_id: s("x"),
                topics: vec![topic()],
                ..Default::default()
            }],
            ..Default::default()
        },
        _ => m::AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: s("x"),
            v3_and_below_topics: vec![topic()],
            ..Default::default()
        },
    })
    .await;
    all_versions(client, spoken, |_| m::AddOffsetsToTxnRequestData {
        transactional_id: s("x"),
        group_id: s("g"),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::EndTxnRequestData {
        transactional_id: s("x"),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::WriteTxnMarkersRequestData {
        markers: vec![WritableTxnMarker {
            producer_id: 7,
            topics: vec![WritableTxnMarkerTopic {
                name: s("t"),
                partition_indexes: vec![0, 99],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::TxnOffsetCommitRequestData {
        transactional_id: s("x"),
        group_id: s("g"),
        topics: vec![TxnOffsetCommitRequestTopic {
            name: s("t"),
            partitions: vec![TxnOffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeProducersRequestData {
        topics: vec![m::describe_producers_request::TopicRequest {
            name: s("t"),
            partition_indexes: vec![0, 99],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeTransactionsRequestData {
        transactional_ids: vec![s("x")],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::ListTransactionsRequestData {
        state_filters: vec![s("Ongoing"), s("Nonsense")],
        ..Default::default()
    })
    .await;
}

async fn group_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |version| match version {
        4.. => m::FindCoordinatorRequestData {
            coordinator_keys: vec![s("g")],
            ..Default::default()
        },
        _ => m::FindCoordinatorRequestData {
            key: s("g"),
            ..Default::default()
        },
    })
    .await;
    all_versions(client, spoken, |_| m::JoinGroupRequestData {
        group_id: s("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: s("consumer"),
        member_id: s("nobody"),
        protocols: vec![m::join_group_request::JoinGroupRequestProtocol {
            name: s("range"),
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::SyncGroupRequestData {
        group_id: s("g"),
        member_id: s("m"),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::HeartbeatRequestData {
        group_id: s("g"),
        member_id: s("m"),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |version| match version {
        3.. => m::LeaveGroupRequestData {
            group_id: s("g"),
            members: vec![Default::default()],
            ..Default::default()
        },
        _ => m::LeaveGroupRequestData {
            group_id: s("g"),
            member_id: s("m"),
            ..Default::default()
        },
    })
    .await;
}

async fn consumer_group_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |_| m::ConsumerGroupHeartbeatRequestData {
        group_id: s("new"),
        member_id: s("m"),
        member_epoch: 5,
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::ConsumerGroupDescribeRequestData {
        group_ids: vec![s("new")],
        ..Default::default()
    })
    .await;
}

async fn offset_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    use m::offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    };
    all_versions(client, spoken, |version| m::OffsetCommitRequestData {
        group_id: s("g"),
        topics: vec![m::offset_commit_request::OffsetCommitRequestTopic {
            name: if version >= 10 { s("") } else { s("t") },
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |version| match version {
        8.. => {
            let name = if version >= 10 { s("") } else { s("t") };
            let topics = Some(vec![OffsetFetchRequestTopics {
                name,
                partition_indexes: vec![0, 7],
                ..Default::default()
            }]);
            let asked = OffsetFetchRequestGroup {
                group_id: s("g"),
                topics,
                ..Default::default()
            };
            let all = OffsetFetchRequestGroup {
                group_id: s("g"),
                topics: None,
                ..Default::default()
            };
            m::OffsetFetchRequestData {
                groups: vec![asked, all],
                ..Default::default()
            }
        }
        _ => {
            let topics = Some(vec![OffsetFetchRequestTopic {
                name: s("t"),
                partition_indexes: vec![0],
                ..Default::default()
            }]);
            m::OffsetFetchRequestData {
                group_id: s("g"),
                topics,
                ..Default::default()
            }
        }
    })
    .await;
    all_versions(client, spoken, |_| m::ListGroupsRequestData::default()).await;
    all_versions(client, spoken, |_| m::DescribeGroupsRequestData {
        groups: vec![s("g"), s("none")],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::OffsetDeleteRequestData {
        group_id: s("g"),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DeleteGroupsRequestData {
        groups_names: vec![s("g")],
        ..Default::default()
    })
    .await;
}

async fn admin_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |version| m::CreateTopicsRequestData {
        topics: vec![m::create_topics_request::CreatableTopic {
            name: s(&format!("made-{version}")),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |version| match version {
        6.. => m::DeleteTopicsRequestData {
            topics: vec![m::delete_topics_request::DeleteTopicState {
                name: Some(s("made-6")),
                ..Default::default()
            }],
            ..Default::default()
        },
        _ => m::DeleteTopicsRequestData {
            topic_names: vec![s(&format!("made-{version}"))],
            ..Default::default()
        },
    })
    .await;
    all_versions(client, spoken, |_| m::DeleteRecordsRequestData {
        topics: vec![m::delete_records_request::DeleteRecordsTopic {
            name: s("t"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |version| m::CreatePartitionsRequestData {
        topics: vec![m::create_partitions_request::CreatePartitionsTopic {
            name: s("t"),
            count: 3 + i32::from(version),
            assignments: None,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
}

async fn config_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    let resources = [(2, "t"), (4, "1"), (8, "1"), (2, "none")];
    all_versions(client, spoken, |_| m::DescribeConfigsRequestData {
        resources: resources
            .iter()
            .map(
                |(kind, name)| m::describe_configs_request::DescribeConfigsResource {
                    resource_type: *kind,
                    resource_name: s(name),
                    configuration_keys: None,
                    ..Default::default()
                },
            )
            .collect(),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::AlterConfigsRequestData {
        resources: vec![m::alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: s("t"),
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::IncrementalAlterConfigsRequestData {
        resources: vec![m::incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 4,
            resource_name: s("1"),
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeLogDirsRequestData {
        topics: None,
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeClusterRequestData {
        endpoint_type: 1,
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeTopicPartitionsRequestData {
        topics: vec![m::describe_topic_partitions_request::TopicRequest {
            name: s("t"),
            ..Default::default()
        }],
        response_partition_limit: 2,
        ..Default::default()
    })
    .await;
}

#[tokio::test]
async fn described_topics_come_in_pages_and_with_lists_that_are_not_null() {
    let node = Node::start().await;
    let mut client = node.client().await;
    prepare(&mut client).await;
    let mut request = m::DescribeTopicPartitionsRequestData {
        response_partition_limit: 1,
        ..Default::default()
    };
    let first = client.call(0, &request).await;
    let partition = &first.topics[0].partitions[0];
    // Java's AdminClient does not check for null here.
    assert!(partition.eligible_leader_replicas.is_some() && partition.last_known_elr.is_some());
    let cursor = first.next_cursor.unwrap();
    assert_eq!(
        (cursor.topic_name.as_str(), cursor.partition_index),
        ("t", 1)
    );
    request.cursor = Some(Box::new(m::describe_topic_partitions_request::Cursor {
        topic_name: s("t"),
        partition_index: 1,
        ..Default::default()
    }));
    let second = client.call(0, &request).await;
    assert_eq!(second.topics[0].partitions[0].partition_index, 1);
    assert!(second.next_cursor.is_none());
    node.stop().await;
}

#[tokio::test]
async fn metadata_by_id_looks_at_no_name_and_the_first_use_makes_a_topic() {
    use m::metadata_request::MetadataRequestTopic;
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut ask = async |topics: Vec<MetadataRequestTopic>| {
        let request = m::MetadataRequestData {
            topics: Some(topics),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        client.call(12, &request).await.topics
    };
    let named = |name| MetadataRequestTopic {
        name: Some(s(name)),
        ..Default::default()
    };
    let first = ask(vec![named("used")]).await;
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(
        (first[0].error_code, first[0].partitions.len()),
        (unknown, 0)
    );
    let made = ask(vec![named("used")]).await.remove(0);
    assert_eq!(made.error_code, 0);
    // Java's client sends an empty name with the id.
    let by_id = MetadataRequestTopic {
        topic_id: made.topic_id,
        ..named("")
    };
    let told = ask(vec![by_id, named("not this one")]).await;
    assert_eq!(told, [made]);
    node.stop().await;
}
