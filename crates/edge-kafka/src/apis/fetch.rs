//! Fetch, v4-18.
//!
//! v5 adds the log start offset; v7 sessions (KIP-227); v9 leader epochs; v11 the rack; v12 is flexible; v13 names topics by id;
//! v15 drops the replica id; v16 to v18 are between brokers.
//!
//! Who reads what is committed gets the aborted transactions in it, too, and leaves them out by itself. Records go out as they are stored, uncopied.
//! A client may read a topic that it may `Read`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use headwater_broker::{
    AbortedRange, FetchItem, FetchOut, FetchRequest, Fetched, LEADER_EPOCH, TopicRef,
};
use headwater_wire::messages::fetch_request::FetchTopic;
use headwater_wire::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use headwater_wire::messages::{FetchRequestData, FetchResponseData};
use headwater_wire::{ErrorCode, KafkaString, Versions, WireError, decode_request, fetch, ids};

use crate::apis::shared::topic_ref;
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Later, Reply};
use crate::codes::Code;
use crate::fetch_sessions::{Context, FINAL_EPOCH, NO_SESSION, Request};

pub(crate) const VERSIONS: Versions = Versions::new(4, 18);
/// First version with sessions.
const SESSION_FROM: i16 = 7;
/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 13;
/// `isolation.level=read_committed`
const READ_COMMITTED: i8 = 1;

pub(crate) fn begin(call: Call, body: Bytes) -> Result<Later, WireError> {
    let request: FetchRequestData = decode_request(call.version, body)?;
    Ok(Box::pin(async move {
        let refused = refused(&call, &request);
        let context = match open(&call, &request) {
            Ok(context) => context,
            Err(error) => {
                let response = FetchResponseData {
                    error_code: error.code(),
                    ..Default::default()
                };
                return frame(&call, &response, Vec::new(), None);
            }
        };
        let out = read(&call, &request, &context, &refused).await;
        answer(&call, &request, &context, out)
    }))
}

/// The session that the request belongs to, and all that it reads.
fn open(call: &Call, request: &FetchRequestData) -> Result<Context, ErrorCode> {
    let by_id = call.version >= TOPIC_ID_FROM;
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let target = topic_ref(by_id, &topic.topic, topic.topic_id);
        topic
            .partitions
            .iter()
            .map(move |index| (target.clone(), *index))
    });
    let named = Request {
        session_id: request.session_id,
        epoch: match call.version >= SESSION_FROM {
            true => request.session_epoch,
            false => FINAL_EPOCH,
        },
        by_id,
        items: request
            .topics
            .iter()
            .flat_map(|topic| items(topic, by_id))
            .collect(),
        forgotten: forgotten.collect(),
    };
    let world = call.broker().world();
    let random = || {
        let id = world.random_id();
        i32::from_be_bytes([id[0], id[1], id[2], id[3]])
    };
    call.node.fetch_sessions.open(named, world.now_ms(), random)
}

fn items(topic: &FetchTopic, by_id: bool) -> Vec<FetchItem> {
    let target = topic_ref(by_id, &topic.topic, topic.topic_id);
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| FetchItem {
            topic: target.clone(),
            partition: partition.partition,
            offset: partition.fetch_offset,
            max_bytes: bytes(partition.partition_max_bytes),
            leader_epoch: partition.current_leader_epoch,
        })
        .collect()
}

fn bytes(claimed: i32) -> usize {
    usize::try_from(claimed).unwrap_or(0)
}

/// Partitions named in this request whose last records the client has from an epoch that never was here (KIP-595).
fn refused(call: &Call, request: &FetchRequestData) -> HashMap<(TopicRef, i32), ErrorCode> {
    let by_id = call.version >= TOPIC_ID_FROM;
    let mut refused = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            if partition.last_fetched_epoch > LEADER_EPOCH {
                let target = topic_ref(by_id, &topic.topic, topic.topic_id);
                let key = (target, partition.partition);
                refused.insert(key, ErrorCode::OffsetOutOfRange);
            }
        }
    }
    refused
}

/// What came of one partition.
type Outcome = Result<Fetched, ErrorCode>;

struct Out {
    partitions: Vec<Outcome>,
    memory: Option<tokio::sync::OwnedSemaphorePermit>,
}

async fn read(
    call: &Call,
    request: &FetchRequestData,
    context: &Context,
    refused: &HashMap<(TopicRef, i32), ErrorCode>,
) -> Out {
    let may = readable(call, &context.items);
    let verdict = |item: &FetchItem| {
        if !may.get(&item.topic).copied().unwrap_or(true) {
            return Some(ErrorCode::TopicAuthorizationFailed);
        }
        match refused.is_empty() {
            true => None,
            false => refused.get(&(item.topic.clone(), item.partition)).copied(),
        }
    };
    let verdicts: Vec<Option<ErrorCode>> = context.items.iter().map(verdict).collect();
    let allowed = context.items.iter().zip(&verdicts);
    let partitions: Vec<FetchItem> = allowed
        .filter(|(_, verdict)| verdict.is_none())
        .map(|(item, _)| item.clone())
        .collect();
    let wait_ms = match refused.is_empty() && !partitions.is_empty() {
        true => u64::try_from(request.max_wait_ms).unwrap_or(0),
        false => 0,
    };
    let fetch = FetchRequest {
        max_wait: Duration::from_millis(wait_ms),
        min_bytes: bytes(request.min_bytes),
        max_bytes: bytes(request.max_bytes),
        committed: request.isolation_level == READ_COMMITTED,
        partitions,
    };
    let FetchOut { partitions, memory } = call.broker().fetch(fetch).await;
    let mut results = partitions.into_iter();
    let merge = |verdict: Option<ErrorCode>| match verdict {
        Some(error) => Err(error),
        None => match results.next() {
            Some(result) => result.map_err(|error| error.error()),
            None => Err(ErrorCode::UnknownServerError),
        },
    };
    let partitions = verdicts.into_iter().map(merge).collect();
    Out { partitions, memory }
}

/// Which topics the client may read, each asked for once.
fn readable(call: &Call, items: &[FetchItem]) -> HashMap<TopicRef, bool> {
    let mut known: HashMap<TopicRef, bool> = HashMap::new();
    for item in items {
        if known.contains_key(&item.topic) {
            continue;
        }
        let may = match &item.topic {
            TopicRef::Name(name) => call.may(Operation::Read, Resource::Topic(name)),
            // Of an id that nobody knows there is nothing to hide.
            TopicRef::Id(id) => call
                .broker()
                .topic_name(*id)
                .is_none_or(|name| call.may(Operation::Read, Resource::Topic(&name))),
        };
        known.insert(item.topic.clone(), may);
    }
    known
}

fn answer(
    call: &Call,
    request: &FetchRequestData,
    context: &Context,
    out: Out,
) -> Result<Reply, WireError> {
    let committed = request.isolation_level == READ_COMMITTED;
    let mut session = context.session.as_ref().map(|session| session.lock());
    let mut records = Vec::new();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut current: Option<&TopicRef> = None;
    for (item, result) in context.items.iter().zip(out.partitions) {
        let data = partition_data(item.partition, committed, &result);
        let batches = result.map(|fetched| fetched.batches).unwrap_or_default();
        let news = session
            .as_mut()
            .is_none_or(|session| session.tell(&item.topic, &data, !batches.is_empty()));
        if context.incremental && !news {
            continue;
        }
        if current != Some(&item.topic) {
            responses.push(topic_response(&item.topic));
            current = Some(&item.topic);
        }
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(data);
            records.push(batches);
        }
    }
    let response = FetchResponseData {
        session_id: session.as_ref().map_or(NO_SESSION, |session| session.id),
        responses,
        ..Default::default()
    };
    drop(session);
    frame(call, &response, records, out.memory)
}

fn topic_response(topic: &TopicRef) -> FetchableTopicResponse {
    let mut response = FetchableTopicResponse::default();
    match topic {
        TopicRef::Name(name) => response.topic = KafkaString::from(name.clone()),
        TopicRef::Id(id) => response.topic_id = ids::uuid(*id),
    }
    response
}

fn partition_data(index: i32, committed: bool, result: &Outcome) -> PartitionData {
    let Ok(fetched) = result else {
        let error_code = result.as_ref().err().map_or(0, |error| error.code());
        return PartitionData {
            partition_index: index,
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            // As Kafka: a list where nothing was read at all, none where a read was refused.
            aborted_transactions: (!refused_read(error_code)).then(Vec::new),
            ..Default::default()
        };
    };
    PartitionData {
        partition_index: index,
        high_watermark: fetched.state.durable_end,
        last_stable_offset: fetched.last_stable,
        log_start_offset: fetched.state.start,
        aborted_transactions: committed.then(|| aborted(fetched)),
        ..Default::default()
    }
}

fn refused_read(error_code: i16) -> bool {
    let codes = [
        ErrorCode::OffsetOutOfRange,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
    ];
    codes.iter().any(|code| code.code() == error_code)
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
