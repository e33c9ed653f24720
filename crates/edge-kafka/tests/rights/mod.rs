//! A client without any rights is refused by every API that there are rights for.

use headwater_wire::Request;
use headwater_wire::messages as m;

use super::common::{Client, Node};
use super::{prepare, s, walk};

/// Topic, group, cluster and transactional id authorization failed.
pub const REFUSALS: &[i16] = &[29, 30, 31, 53];

/// APIs that there is nothing to be refused by, and why.
const OPEN: &[i16] = &[
    // Tells what is there, leaving out what the client may not see.
    m::DescribeClusterRequestData::KEY,
    m::ListGroupsRequestData::KEY,
    m::ListTransactionsRequestData::KEY,
    // Before anybody knows who the client is.
    m::ApiVersionsRequestData::KEY,
    m::SaslHandshakeRequestData::KEY,
    m::SaslAuthenticateRequestData::KEY,
    // Refused to everybody on a listener that asks nobody who they are.
    m::CreateDelegationTokenRequestData::KEY,
    m::RenewDelegationTokenRequestData::KEY,
    m::ExpireDelegationTokenRequestData::KEY,
    m::DescribeDelegationTokenRequestData::KEY,
];

/// Denies everybody everything, in one request: after it nobody may add a rule.
async fn deny_everything(client: &mut Client) {
    let deny = |(resource_type, name): (i8, &str)| m::create_acls_request::AclCreation {
        resource_type,
        resource_name: s(name),
        resource_pattern_type: 3,
        principal: s("User:*"),
        host: s("*"),
        operation: 2,
        permission_type: 2,
        ..Default::default()
    };
    let all = [(2, "*"), (3, "*"), (4, "kafka-cluster"), (5, "*")];
    let request = m::CreateAclsRequestData {
        creations: all.map(deny).to_vec(),
        ..Default::default()
    };
    let made = client.call(3, &request).await;
    assert!(
        made.results.iter().all(|one| one.error_code == 0),
        "{made:?}"
    );
}

#[tokio::test]
async fn who_may_nothing_is_refused_by_every_api() {
    let node = Node::start().await;
    let mut client = node.client().await;
    prepare(&mut client).await;
    deny_everything(&mut client).await;
    client.refusals = Some(Vec::new());
    let mut spoken = Vec::new();
    walk(&mut client, &mut spoken).await;
    let refused = client.refusals.take().unwrap_or_default();
    let open = spoken
        .iter()
        .filter(|key| !refused.contains(key) && !OPEN.contains(key));
    let names: Vec<_> = open.map(|key| headwater_wire::api::name(*key)).collect();
    assert!(
        names.is_empty(),
        "answered although everything is denied: {names:?}"
    );
    let wrong: Vec<_> = OPEN.iter().filter(|key| refused.contains(key)).collect();
    assert!(wrong.is_empty(), "not open after all: {wrong:?}");
    node.stop().await;
}

#[tokio::test]
async fn what_may_not_be_seen_is_left_out() {
    let node = Node::start().await;
    let mut client = node.client().await;
    prepare(&mut client).await;
    deny_everything(&mut client).await;
    let all = m::MetadataRequestData {
        topics: None,
        ..Default::default()
    };
    assert!(client.call(12, &all).await.topics.is_empty());
    let pages = m::DescribeTopicPartitionsRequestData {
        response_partition_limit: 10,
        ..Default::default()
    };
    assert!(client.call(0, &pages).await.topics.is_empty());
    let cluster = m::DescribeClusterRequestData {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        ..Default::default()
    };
    let told = client.call(1, &cluster).await;
    assert_eq!(told.cluster_authorized_operations, 0);
    node.stop().await;
}
