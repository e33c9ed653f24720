//! WriteTxnMarkers, v1: ends by hand what a transaction has left open in a partition (KIP-664).

use headwater_broker::{Marker, Operation, TopicRef};
use headwater_coord::txns::{Ending, Producer};
use headwater_wire::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use headwater_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use headwater_wire::messages::{WriteTxnMarkersRequestData, WriteTxnMarkersResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::code_of;

impl Handle for WriteTxnMarkersRequestData {
    const VERSIONS: Versions = Versions::new(1, 1);

    async fn answer(self, call: Call) -> WriteTxnMarkersResponseData {
        let allowed = call.may(Operation::Alter, Resource::Cluster)
            || call.may(Operation::ClusterAction, Resource::Cluster);
        let mut markers = Vec::with_capacity(self.markers.len());
        for marker in self.markers {
            markers.push(write_all(&call, allowed, marker).await);
        }
        WriteTxnMarkersResponseData {
            markers,
            ..Default::default()
        }
    }
}

async fn write_all(
    call: &Call,
    allowed: bool,
    marker: WritableTxnMarker,
) -> WritableTxnMarkerResult {
    let end = Marker {
        producer: Producer {
            id: marker.producer_id,
            epoch: marker.producer_epoch,
        },
        coordinator_epoch: marker.coordinator_epoch,
        ending: match marker.transaction_result {
            true => Ending::Commit,
            false => Ending::Abort,
        },
    };
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in marker.topics {
        topics.push(write(call, allowed, &end, topic).await);
    }
    WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics,
        ..Default::default()
    }
}

async fn write(
    call: &Call,
    allowed: bool,
    end: &Marker,
    topic: WritableTxnMarkerTopic,
) -> WritableTxnMarkerTopicResult {
    let target = TopicRef::Name(plain(&topic.name));
    let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
    for partition_index in topic.partition_indexes {
        let error_code = match allowed {
            true => {
                let written = call
                    .broker()
                    .write_txn_marker(end, &target, partition_index);
                code_of(&written.await)
            }
            false => ErrorCode::ClusterAuthorizationFailed.code(),
        };
        partitions.push(WritableTxnMarkerPartitionResult {
            partition_index,
            error_code,
            ..Default::default()
        });
    }
    WritableTxnMarkerTopicResult {
        name: topic.name,
        partitions,
        ..Default::default()
    }
}
