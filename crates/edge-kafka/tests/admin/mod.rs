//! Every version of the APIs about rights, users, quotas and the cluster.

use headwater_wire::messages as m;

use super::common::Client;
use super::{all_versions, s};

pub async fn security_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |_| m::CreateAclsRequestData {
        creations: vec![m::create_acls_request::AclCreation {
            resource_type: 2,
            resource_name: s("other"),
            resource_pattern_type: 3,
            principal: s("User:a"),
            host: s("*"),
            operation: 3,
            permission_type: 3,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DescribeAclsRequestData {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::DeleteAclsRequestData {
        filters: vec![m::delete_acls_request::DeleteAclsFilter {
            resource_type_filter: 1,
            pattern_type_filter: 1,
            operation: 1,
            permission_type: 1,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    users(client, spoken).await;
    tokens(client, spoken).await;
}

async fn users(client: &mut Client, spoken: &mut Vec<i16>) {
    use m::alter_user_scram_credentials_request::ScramCredentialUpsertion;
    all_versions(client, spoken, |_| {
        m::AlterUserScramCredentialsRequestData {
            upsertions: vec![ScramCredentialUpsertion {
                name: s("bob"),
                mechanism: 1,
                iterations: 4096,
                salt: bytes::Bytes::from_static(b"salt"),
                salted_password: bytes::Bytes::from_static(&[7; 32]),
                ..Default::default()
            }],
            ..Default::default()
        }
    })
    .await;
    all_versions(client, spoken, |_| {
        m::DescribeUserScramCredentialsRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| m::AlterClientQuotasRequestData {
        entries: vec![m::alter_client_quotas_request::EntryData {
            entity: vec![m::alter_client_quotas_request::EntityData {
                entity_type: s("user"),
                entity_name: None,
                ..Default::default()
            }],
            ops: vec![m::alter_client_quotas_request::OpData {
                key: s("request_percentage"),
                value: 1.5,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::DescribeClientQuotasRequestData::default()
    })
    .await;
}

async fn tokens(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |_| {
        m::CreateDelegationTokenRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::RenewDelegationTokenRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::ExpireDelegationTokenRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::DescribeDelegationTokenRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| m::SaslHandshakeRequestData::default()).await;
    all_versions(client, spoken, |_| {
        m::SaslAuthenticateRequestData::default()
    })
    .await;
}

pub async fn cluster_apis(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |_| m::ElectLeadersRequestData {
        topic_partitions: Some(vec![m::elect_leaders_request::TopicPartitions {
            topic: s("t"),
            partitions: vec![0, 99],
            ..Default::default()
        }]),
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        use m::alter_partition_reassignments_request as r;
        m::AlterPartitionReassignmentsRequestData {
            topics: vec![r::ReassignableTopic {
                name: s("t"),
                partitions: vec![r::ReassignablePartition {
                    replicas: Some(vec![1]),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    })
    .await;
    all_versions(client, spoken, |_| {
        m::ListPartitionReassignmentsRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| m::AlterReplicaLogDirsRequestData {
        dirs: vec![m::alter_replica_log_dirs_request::AlterReplicaLogDir {
            path: s("/nowhere"),
            topics: vec![m::alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
                name: s("t"),
                partitions: vec![0],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    quorum(client, spoken).await;
}

async fn quorum(client: &mut Client, spoken: &mut Vec<i16>) {
    all_versions(client, spoken, |_| m::DescribeQuorumRequestData {
        topics: vec![m::describe_quorum_request::TopicData {
            topic_name: s("__cluster_metadata"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| m::UpdateFeaturesRequestData {
        feature_updates: vec![m::update_features_request::FeatureUpdateKey {
            feature: s("group.version"),
            max_version_level: 1,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::UnregisterBrokerRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| {
        m::ListConfigResourcesRequestData::default()
    })
    .await;
    all_versions(client, spoken, |_| m::AddRaftVoterRequestData::default()).await;
    all_versions(client, spoken, |_| m::RemoveRaftVoterRequestData::default()).await;
}
