//! Fetch, v4-17.
//!
//! v5 adds the log start offset; v7 sessions (KIP-227); v9 leader epochs; v11 the rack; v12 is flexible; v13 names topics by id;
//! v15 drops the replica id; v16 and v17 are between brokers.
//!
//! No sessions are kept: every answer carries session id 0, which tells the client to name all its partitions each time.
//! Who reads what is committed gets the aborted transactions in it, too, and leaves them out by itself. Records go out as they are stored, uncopied.

use std::time::Duration;

use bytes::Bytes;
use headwater_broker::{AbortedRange, BrokerError, FetchItem, FetchOut, FetchRequest, Fetched};
use headwater_wire::messages::fetch_request::FetchTopic;
use headwater_wire::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use headwater_wire::messages::{FetchRequestData, FetchResponseData};
use headwater_wire::{ErrorCode, Versions, WireError, decode_request, fetch};

use crate::apis::shared::topic_ref;
use crate::call::{Call, Later, Reply};
use crate::codes::code_of;

pub(crate) const VERSIONS: Versions = Versions::new(4, 17);
/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 13;
/// `isolation.level=read_committed`
const READ_COMMITTED: i8 = 1;

pub(crate) fn begin(call: Call, body: Bytes) -> Result<Later, WireError> {
    let request: FetchRequestData = decode_request(call.version, body)?;
    Ok(Box::pin(async move {
        if request.session_id != 0 && request.session_epoch > 0 {
            let error_code = ErrorCode::FetchSessionIdNotFound.code();
            let response = FetchResponseData {
                error_code,
                ..Default::default()
            };
            return frame(&call, &response, Vec::new(), None);
        }
        let out = call.broker().fetch(read(&request, call.version)).await;
        answer(&call, &request, out)
    }))
}

fn read(request: &FetchRequestData, version: i16) -> FetchRequest {
    let bytes = |claimed: i32| usize::try_from(claimed).unwrap_or(0);
    let items = |topic: &FetchTopic| {
        let target = topic_ref(version >= TOPIC_ID_FROM, &topic.topic, topic.topic_id);
        let item =
            move |partition: &headwater_wire::messages::fetch_request::FetchPartition| FetchItem {
                topic: target.clone(),
                partition: partition.partition,
                offset: partition.fetch_offset,
                max_bytes: bytes(partition.partition_max_bytes),
                leader_epoch: partition.current_leader_epoch,
            };
        topic.partitions.iter().map(item).collect::<Vec<_>>()
    };
    FetchRequest {
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        min_bytes: bytes(request.min_bytes),
        max_bytes: bytes(request.max_bytes),
        committed: request.isolation_level == READ_COMMITTED,
        partitions: request.topics.iter().flat_map(items).collect(),
    }
}

fn answer(call: &Call, request: &FetchRequestData, out: FetchOut) -> Result<Reply, WireError> {
    let committed = request.isolation_level == READ_COMMITTED;
    let mut results = out.partitions.into_iter();
    let mut records = Vec::new();
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition, result) in topic.partitions.iter().zip(results.by_ref()) {
            partitions.push(partition_data(partition.partition, committed, &result));
            records.push(result.map(|fetched| fetched.batches).unwrap_or_default());
        }
        let (name, topic_id) = (topic.topic.clone(), topic.topic_id);
        responses.push(FetchableTopicResponse {
            topic: name,
            topic_id,
            partitions,
            ..Default::default()
        });
    }
    let response = FetchResponseData {
        responses,
        ..Default::default()
    };
    frame(call, &response, records, out.memory)
}

fn partition_data(
    index: i32,
    committed: bool,
    result: &Result<Fetched, BrokerError>,
) -> PartitionData {
    let fetched = result.as_ref().ok();
    let high_watermark = fetched.map_or(-1, |fetched| fetched.state.durable_end);
    PartitionData {
        partition_index: index,
        error_code: code_of(result),
        high_watermark,
        last_stable_offset: fetched.map_or(-1, |fetched| fetched.last_stable),
        log_start_offset: fetched.map_or(-1, |fetched| fetched.state.start),
        aborted_transactions: committed.then(|| fetched.map_or_else(Vec::new, aborted)),
        ..Default::default()
    }
}

fn aborted(fetched: &Fetched) -> Vec<AbortedTransaction> {
    let one = |range: &AbortedRange| AbortedTransaction {
        producer_id: range.producer_id,
        first_offset: range.first,
        ..Default::default()
    };
    fetched.aborted.iter().map(one).collect()
}

fn frame(
    call: &Call,
    response: &FetchResponseData,
    records: Vec<Vec<Bytes>>,
    memory: Option<tokio::sync::OwnedSemaphorePermit>,
) -> Result<Reply, WireError> {
    let segments = fetch::encode(call.version, call.correlation_id, response, records)?;
    Ok(Reply::Frame { segments, memory })
}
