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
    api::<m::DescribeConfigsRequestData>(),
    api::<m::AlterConfigsRequestData>(),
    api::<m::DescribeLogDirsRequestData>(),
    api::<m::CreatePartitionsRequestData>(),
    api::<m::DeleteGroupsRequestData>(),
    api::<m::IncrementalAlterConfigsRequestData>(),
    api::<m::OffsetDeleteRequestData>(),
    api::<m::DescribeClusterRequestData>(),
    api::<m::DescribeProducersRequestData>(),
    api::<m::DescribeTransactionsRequestData>(),
    api::<m::ListTransactionsRequestData>(),
    api::<m::ConsumerGroupHeartbeatRequestData>(),
    api::<m::ConsumerGroupDescribeRequestData>(),
    api::<m::DescribeTopicPartitionsRequestData>(),
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
