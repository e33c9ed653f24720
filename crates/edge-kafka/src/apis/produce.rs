//! Produce, v3-13.
//!
//! v5 adds the log start offset; v8 error messages (KIP-467); v9 is flexible; v10 the current leader; v11 and v12 are for
//! transactions without AddPartitionsToTxn (KIP-890); v13 names topics by id (KIP-516). Older ones, with message formats 0 and 1,
//! are gone as in Kafka 4.
//!
//! All batches are submitted to the log when the request is read, before earlier requests have been answered.

use bytes::Bytes;
use headwater_broker::{Appended, BrokerError, Ticket, Writer};
use headwater_wire::messages::produce_request::TopicProduceData;
use headwater_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use headwater_wire::messages::{ProduceRequestData, ProduceResponseData};
use headwater_wire::{
    ErrorCode, KafkaString, KafkaUuid, Versions, WireError, decode_request, encode_response,
};

use crate::apis::shared::topic_ref;
use crate::call::{Call, Later, Reply};
use crate::codes::{code_of, message_of};

pub(crate) const VERSIONS: Versions = Versions::new(3, 13);
/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 13;
/// First version that knows [`ErrorCode::TransactionAbortable`].
const ABORTABLE_FROM: i16 = 11;
/// First version of transactions v2: the first batch makes its partition part of the transaction.
const ADDS_FROM: i16 = 12;

/// A topic's batches on their way to the disk, by partition.
struct Begun {
    name: KafkaString,
    topic_id: KafkaUuid,
    partitions: Vec<(i32, Result<Ticket, BrokerError>)>,
}

pub(crate) fn begin(call: Call, body: Bytes) -> Result<Later, WireError> {
    let request: ProduceRequestData = decode_request(call.version, body)?;
    let acks = request.acks;
    if !matches!(acks, -1..=1) {
        return Ok(Box::pin(async move { refuse_acks(&call, request) }));
    }
    let id = request.transactional_id.as_ref();
    let writer = id.map(|id| Writer {
        transactional_id: id.as_str(),
        adds: call.version >= ADDS_FROM,
        knows_abortable: call.version >= ABORTABLE_FROM,
    });
    let begun: Vec<Begun> = request
        .topic_data
        .into_iter()
        .map(|topic| submit(&call, writer, topic))
        .collect();
    Ok(Box::pin(async move {
        let mut responses = Vec::with_capacity(begun.len());
        for topic in begun {
            responses.push(settle(topic).await);
        }
        if acks == 0 {
            return Ok(without_answer(&responses));
        }
        frame(&call, responses)
    }))
}

fn submit(call: &Call, writer: Option<Writer<'_>>, topic: TopicProduceData) -> Begun {
    let TopicProduceData {
        name,
        topic_id,
        partition_data,
        ..
    } = topic;
    let target = topic_ref(call.version >= TOPIC_ID_FROM, &name, topic_id);
    let one = |partition: headwater_wire::messages::produce_request::PartitionProduceData| {
        (
            partition.index,
            call.broker()
                .produce_as(writer, &target, partition.index, partition.records),
        )
    };
    Begun {
        name,
        topic_id,
        partitions: partition_data.into_iter().map(one).collect(),
    }
}

async fn settle(topic: Begun) -> TopicProduceResponse {
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for (index, begun) in topic.partitions {
        let outcome = match begun {
            Ok(ticket) => ticket.settle().await,
            Err(error) => Err(error),
        };
        partition_responses.push(partition_response(index, &outcome));
    }
    TopicProduceResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses,
        ..Default::default()
    }
}

fn partition_response(
    index: i32,
    outcome: &Result<Appended, BrokerError>,
) -> PartitionProduceResponse {
    let appended = outcome.as_ref().ok();
    PartitionProduceResponse {
        index,
        error_code: code_of(outcome),
        base_offset: appended.map_or(-1, |appended| appended.base_offset),
        log_append_time_ms: appended
            .and_then(|appended| appended.log_append_time_ms)
            .unwrap_or(-1),
        log_start_offset: appended.map_or(-1, |appended| appended.log_start),
        error_message: message_of(outcome),
        ..Default::default()
    }
}

/// A client that wants no answer learns of an error by losing its connection, as with Kafka.
fn without_answer(responses: &[TopicProduceResponse]) -> Reply {
    let failed = responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .any(|one| one.error_code != 0);
    if failed { Reply::Close } else { Reply::Nothing }
}

fn refuse_acks(call: &Call, request: ProduceRequestData) -> Result<Reply, WireError> {
    let refuse = |index| PartitionProduceResponse {
        index,
        error_code: ErrorCode::InvalidRequiredAcks.code(),
        base_offset: -1,
        ..Default::default()
    };
    let topic = |topic: TopicProduceData| TopicProduceResponse {
        partition_responses: topic
            .partition_data
            .iter()
            .map(|one| refuse(one.index))
            .collect(),
        name: topic.name,
        topic_id: topic.topic_id,
        ..Default::default()
    };
    frame(call, request.topic_data.into_iter().map(topic).collect())
}

fn frame(call: &Call, responses: Vec<TopicProduceResponse>) -> Result<Reply, WireError> {
    let response = ProduceResponseData {
        responses,
        ..Default::default()
    };
    let frame =
        encode_response::<ProduceRequestData>(call.version, call.correlation_id, &response)?;
    Ok(Reply::Frame {
        segments: vec![frame],
        memory: None,
    })
}
