//! DescribeProducers, v0 (KIP-664).

use headwater_broker::{ActiveProducer, Operation, TopicRef};
use headwater_wire::Versions;
use headwater_wire::messages::describe_producers_request::TopicRequest;
use headwater_wire::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use headwater_wire::messages::{DescribeProducersRequestData, DescribeProducersResponseData};

use crate::authorize::Resource;
use crate::call::{Call, Handle, plain};
use crate::codes::{code_of, message_of};

impl Handle for DescribeProducersRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> DescribeProducersResponseData {
        let topics = self.topics.into_iter();
        DescribeProducersResponseData {
            topics: topics.map(|topic| describe(&call, topic)).collect(),
            ..Default::default()
        }
    }
}

fn describe(call: &Call, topic: TopicRequest) -> TopicResponse {
    let name = plain(&topic.name);
    let refused = call.check(Operation::Read, Resource::Topic(&name)).err();
    let target = TopicRef::Name(name);
    let partition = |partition_index| {
        if let Some(error) = refused {
            return PartitionResponse {
                partition_index,
                error_code: error.code(),
                ..Default::default()
            };
        }
        let found = call.broker().active_producers(&target, partition_index);
        PartitionResponse {
            partition_index,
            error_code: code_of(&found),
            error_message: message_of(&found),
            active_producers: found.unwrap_or_default().into_iter().map(state).collect(),
            ..Default::default()
        }
    };
    TopicResponse {
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
        name: topic.name,
        ..Default::default()
    }
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_first.unwrap_or(-1),
        ..Default::default()
    }
}
