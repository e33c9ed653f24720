//! Produce, v3-13.
//!
//! v5 adds the log start offset; v8 error messages (KIP-467); v9 is flexible; v10 the current leader; v11 and v12 are for
//! transactions without AddPartitionsToTxn (KIP-890); v13 names topics by id (KIP-516). Older ones, with message formats 0 and 1,
//! are gone as in Kafka 4.
//!
//! All batches are submitted to the log when the request is read, before earlier requests have been answered.

use bytes::Bytes;
use headwater_broker::{Appended, BrokerError, Operation, Ticket, TopicRef, Writer};
use headwater_record::{BatchError, BatchHeader};
use headwater_wire::messages::produce_request::TopicProduceData;
use headwater_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use headwater_wire::messages::{ProduceRequestData, ProduceResponseData};
use headwater_wire::{
    ErrorCode, KafkaString, KafkaUuid, Versions, WireError, decode_request, encode_response,
};

use crate::apis::shared::topic_ref;
use crate::authorize::Resource;
use crate::call::{Call, Later, Reply, detached, text};
use crate::codes::Code;

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
    target: TopicRef,
    partitions: Vec<(i32, Result<Ticket, Refusal>)>,
}

/// Why a batch was not taken.
enum Refusal {
    Forbidden(ErrorCode),
    Broker(BrokerError),
}

pub(crate) fn begin(call: Call, body: Bytes) -> Result<Later, WireError> {
    let request: ProduceRequestData = decode_request(call.version, body)?;
    let acks = request.acks;
    if !matches!(acks, -1..=1) {
        let error = ErrorCode::InvalidRequiredAcks;
        return Ok(Box::pin(async move { refuse_all(&call, request, error) }));
    }
    if let Some(error) = forbidden(&call, &request) {
        return Ok(Box::pin(async move { refuse_all(&call, request, error) }));
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
            responses.push(settle(&call, topic).await);
        }
        if acks == 0 {
            return Ok(without_answer(&responses));
        }
        frame(&call, responses)
    }))
}

/// Why nobody may write any of it: its transactions are somebody else's.
fn forbidden(call: &Call, request: &ProduceRequestData) -> Option<ErrorCode> {
    let partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let batches = partitions.filter_map(|one| one.records.as_ref());
    let transactional =
        |batch: &Bytes| BatchHeader::parse(batch).is_ok_and(|header| header.is_transactional());
    if !batches.into_iter().any(transactional) {
        return None;
    }
    let Some(id) = &request.transactional_id else {
        return Some(ErrorCode::TransactionalIdAuthorizationFailed);
    };
    let id = Resource::TransactionalId(id.as_str());
    call.check(Operation::Write, id).err()
}

fn submit(call: &Call, writer: Option<Writer<'_>>, topic: TopicProduceData) -> Begun {
    let TopicProduceData {
        name,
        topic_id,
        partition_data,
        ..
    } = topic;
    let target = topic_ref(call.version >= TOPIC_ID_FROM, &name, topic_id);
    let forbidden = match &target {
        TopicRef::Name(name) => call.check(Operation::Write, Resource::Topic(name)).err(),
        TopicRef::Id(_) => {
            let known = call.broker().find_topic(&target).ok();
            known.and_then(|topic| {
                call.check(Operation::Write, Resource::Topic(&topic.name))
                    .err()
            })
        }
    };
    let one = |partition: headwater_wire::messages::produce_request::PartitionProduceData| {
        let begun = match forbidden {
            Some(error) => Err(Refusal::Forbidden(error)),
            None => call
                .broker()
                .produce_as(writer, &target, partition.index, partition.records)
                .map_err(Refusal::Broker),
        };
        (partition.index, begun)
    };
    Begun {
        partitions: partition_data.into_iter().map(one).collect(),
        name: detached(&name),
        topic_id,
        target,
    }
}

async fn settle(call: &Call, topic: Begun) -> TopicProduceResponse {
    let mut partition_responses = Vec::with_capacity(topic.partitions.len());
    for (index, begun) in topic.partitions {
        let outcome = match begun {
            Ok(ticket) => ticket.settle().await.map_err(Refusal::Broker),
            Err(refusal) => Err(refusal),
        };
        partition_responses.push(match outcome {
            Ok(appended) => stored(index, &appended),
            Err(Refusal::Forbidden(error)) => refused(index, error),
            Err(Refusal::Broker(error)) => PartitionProduceResponse {
                log_start_offset: log_start(call, &topic.target, index, &error),
                record_errors: record_errors(&error),
                error_message: Some(text(error.to_string())),
                ..refused(index, error.error())
            },
        });
    }
    TopicProduceResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses,
        ..Default::default()
    }
}

fn stored(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time_ms.unwrap_or(-1),
        log_start_offset: appended.log_start,
        ..Default::default()
    }
}

fn refused(index: i32, error: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: error.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..Default::default()
    }
}

/// Told with what the log itself refuses, -1 with all else.
fn log_start(call: &Call, target: &TopicRef, index: i32, error: &BrokerError) -> i64 {
    let by_log = matches!(
        error,
        BrokerError::InvalidRecord(_)
            | BrokerError::BadRecords { .. }
            | BrokerError::InvalidTimestamp(_)
            | BrokerError::Batch(BatchError::Invalid(_))
            | BrokerError::OutOfOrderSequence { .. }
            | BrokerError::InvalidProducerEpoch { .. }
    );
    let topic = call.broker().find_topic(target).ok().filter(|_| by_log);
    let partition = topic.and_then(|topic| topic.partition(index));
    partition.map_or(-1, |id| call.broker().partition_state(id).start)
}

fn record_errors(error: &BrokerError) -> Vec<BatchIndexAndErrorMessage> {
    let BrokerError::BadRecords { records, .. } = error else {
        return Vec::new();
    };
    let one = |(batch_index, why): &(i32, String)| BatchIndexAndErrorMessage {
        batch_index: *batch_index,
        batch_index_error_message: Some(text(why.clone())),
        ..Default::default()
    };
    records.iter().map(one).collect()
}

/// A client that wants no answer learns of an error by losing its connection, as with Kafka.
fn without_answer(responses: &[TopicProduceResponse]) -> Reply {
    let failed = responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .any(|one| one.error_code != 0);
    if failed { Reply::Close } else { Reply::Nothing }
}

fn refuse_all(
    call: &Call,
    request: ProduceRequestData,
    error: ErrorCode,
) -> Result<Reply, WireError> {
    if request.acks == 0 {
        return Ok(Reply::Close);
    }
    let topic = |topic: TopicProduceData| TopicProduceResponse {
        partition_responses: topic
            .partition_data
            .iter()
            .map(|one| refused(one.index, error))
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
