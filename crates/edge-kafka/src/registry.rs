//! The one list of what this node speaks. Dispatch and the ApiVersions answer both come from it.

use bytes::Bytes;
use headwater_wire::messages as m;
use headwater_wire::{Request, Versions, WireError};

use crate::apis::{fetch, produce};
use crate::call::{Call, Handle, Later, begin};

/// One API: its key, the versions spoken, and how a request is begun.
pub(crate) struct Api {
    pub key: i16,
    pub name: &'static str,
    pub versions: Versions,
    pub begin: fn(Call, Bytes) -> Result<Later, WireError>,
}

const fn api<R: Handle>() -> Api {
    Api {
        key: R::KEY,
        name: R::NAME,
        versions: R::VERSIONS,
        begin: begin::<R>,
    }
}

/// By key.
pub(crate) const APIS: &[Api] = &[
    Api {
        key: m::ProduceRequestData::KEY,
        name: "Produce",
        versions: produce::VERSIONS,
        begin: produce::begin,
    },
    Api {
        key: m::FetchRequestData::KEY,
        name: "Fetch",
        versions: fetch::VERSIONS,
        begin: fetch::begin,
    },
    api::<m::ListOffsetsRequestData>(),
    api::<m::MetadataRequestData>(),
    api::<m::OffsetCommitRequestData>(),
    api::<m::OffsetFetchRequestData>(),
    api::<m::FindCoordinatorRequestData>(),
    api::<m::JoinGroupRequestData>(),
    api::<m::HeartbeatRequestData>(),
    api::<m::LeaveGroupRequestData>(),
    api::<m::SyncGroupRequestData>(),
    api::<m::DescribeGroupsRequestData>(),
    api::<m::ListGroupsRequestData>(),
    api::<m::SaslHandshakeRequestData>(),
    api::<m::ApiVersionsRequestData>(),
    api::<m::CreateTopicsRequestData>(),
    api::<m::DeleteTopicsRequestData>(),
    api::<m::DeleteRecordsRequestData>(),
    api::<m::InitProducerIdRequestData>(),
    api::<m::OffsetForLeaderEpochRequestData>(),
    api::<m::AddPartitionsToTxnRequestData>(),
    api::<m::AddOffsetsToTxnRequestData>(),
    api::<m::EndTxnRequestData>(),
    api::<m::WriteTxnMarkersRequestData>(),
    api::<m::TxnOffsetCommitRequestData>(),
    api::<m::DescribeAclsRequestData>(),
    api::<m::CreateAclsRequestData>(),
    api::<m::DeleteAclsRequestData>(),
    api::<m::DescribeConfigsRequestData>(),
    api::<m::AlterConfigsRequestData>(),
    api::<m::AlterReplicaLogDirsRequestData>(),
    api::<m::DescribeLogDirsRequestData>(),
    api::<m::SaslAuthenticateRequestData>(),
    api::<m::CreatePartitionsRequestData>(),
    api::<m::CreateDelegationTokenRequestData>(),
    api::<m::RenewDelegationTokenRequestData>(),
    api::<m::ExpireDelegationTokenRequestData>(),
    api::<m::DescribeDelegationTokenRequestData>(),
    api::<m::DeleteGroupsRequestData>(),
    api::<m::ElectLeadersRequestData>(),
    api::<m::IncrementalAlterConfigsRequestData>(),
    api::<m::AlterPartitionReassignmentsRequestData>(),
    api::<m::ListPartitionReassignmentsRequestData>(),
    api::<m::OffsetDeleteRequestData>(),
    api::<m::DescribeClientQuotasRequestData>(),
    api::<m::AlterClientQuotasRequestData>(),
    api::<m::DescribeUserScramCredentialsRequestData>(),
    api::<m::AlterUserScramCredentialsRequestData>(),
    api::<m::DescribeQuorumRequestData>(),
    api::<m::UpdateFeaturesRequestData>(),
    api::<m::DescribeClusterRequestData>(),
    api::<m::DescribeProducersRequestData>(),
    api::<m::UnregisterBrokerRequestData>(),
    api::<m::DescribeTransactionsRequestData>(),
    api::<m::ListTransactionsRequestData>(),
    api::<m::ConsumerGroupHeartbeatRequestData>(),
    api::<m::ConsumerGroupDescribeRequestData>(),
    api::<m::ListConfigResourcesRequestData>(),
    api::<m::DescribeTopicPartitionsRequestData>(),
    api::<m::AddRaftVoterRequestData>(),
    api::<m::RemoveRaftVoterRequestData>(),
];

pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_there_once_in_order_and_no_version_is_outside_the_schemas() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in APIS {
            let schema = headwater_wire::schema_versions(api.key);
            assert!(
                schema.is_some_and(
                    |all| all.contains(api.versions.min) && all.contains(api.versions.max)
                ),
                "{}",
                api.name
            );
        }
    }
}
