//! An idempotent producer as clients write it: several batches in flight, sent again in their order until each is acked.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use headwater_record::fuzz::Mutator;
use headwater_record::{BatchBuilder, Codec};
use headwater_wire::ErrorCode;
use headwater_wire::messages as m;
use headwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::conn::{Conn, Gone};
use super::{Field, pause, zombie};
use crate::history::{Event, Place, Source};

/// The compacted topic, whose records have keys.
pub const KEYED: &str = "keyed";
/// Batches in flight: as many as clients may have.
const IN_FLIGHT_MAX: usize = 5;
/// Version that names topics by name, and has no AddPartitionsToTxn in it.
pub const PRODUCE_V1: i16 = 11;
/// The first that adds partitions to the transaction by itself (KIP-890).
pub const PRODUCE_V2: i16 = 12;

/// Who writes: what the broker gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: i64,
    pub epoch: i16,
}

/// A batch that was sent, or is about to be.
pub struct Batch {
    pub at: Place,
    pub numbers: Vec<u64>,
    pub bytes: Bytes,
}

/// Numbers records and sequences of one writer.
pub struct Pen {
    pub name: String,
    pub identity: Identity,
    pub next: u64,
    sequences: HashMap<Place, i32>,
}

impl Pen {
    pub fn new(name: &str, identity: Identity, next: u64) -> Self {
        Self {
            name: name.to_owned(),
            identity,
            next,
            sequences: HashMap::new(),
        }
    }

    /// A new epoch starts its sequences at 0.
    pub fn renew(&mut self, identity: Identity) {
        if identity != self.identity {
            self.identity = identity;
            self.sequences.clear();
        }
    }

    /// The sequence of the next batch in a partition that was written to in this epoch.
    pub fn expected(&self, at: &Place) -> Option<i32> {
        self.sequences.get(at).copied()
    }

    /// Begins its sequences at 0 again, in the same epoch.
    pub fn forget_sequences(&mut self) {
        self.sequences.clear();
    }

    /// Writes a batch and notes it as sent.
    pub fn batch(
        &mut self,
        field: &Field,
        at: &Place,
        txn: Option<u64>,
        sources: &[Option<Source>],
        rng: &mut Mutator,
    ) -> Batch {
        let sequence = self.sequences.entry(at.clone()).or_default();
        let codec = Codec::ALL[rng.below(Codec::ALL.len())];
        let mut builder =
            BatchBuilder::new(codec).producer(self.identity.id, self.identity.epoch, *sequence);
        if txn.is_some() {
            builder = builder.transactional();
        }
        *sequence += sources.len() as i32;
        let mut numbers = Vec::new();
        for source in sources {
            let n = self.next;
            self.next += 1;
            numbers.push(n);
            let key = (at.0 == KEYED).then(|| format!("k{}", rng.below(12)));
            let padding = "x".repeat(rng.below(300));
            let value = format!("{}/{n}/{padding}", self.name);
            builder.push(
                field.clock.true_ms(),
                key.as_ref().map(String::as_bytes),
                Some(value.as_bytes()),
            );
            field.note(Event::Send {
                writer: self.name.clone(),
                n,
                at: at.clone(),
                txn,
                source: source.clone(),
                key,
            });
        }
        Batch {
            at: at.clone(),
            numbers,
            bytes: builder.build(),
        }
    }
}

/// The request that carries a batch.
pub fn produce(batch: &Batch, transactional_id: Option<&str>) -> m::ProduceRequestData {
    let partition = PartitionProduceData {
        index: batch.at.1,
        records: Some(batch.bytes.clone()),
        ..Default::default()
    };
    let topic = TopicProduceData {
        name: batch.at.0.clone().into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    m::ProduceRequestData {
        transactional_id: transactional_id.map(|id| id.to_owned().into()),
        acks: -1,
        timeout_ms: 5_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// What an answer means to the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked(Option<i64>),
    Again,
    Refused(i16),
}

/// Reads the answer to a request with one batch.
pub fn outcome(answer: &m::ProduceResponseData) -> Outcome {
    let partition = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first());
    let Some(partition) = partition else {
        return Outcome::Refused(-1);
    };
    let code = partition.error_code;
    let is = |error: ErrorCode| error.code() == code;
    if code == 0 {
        return Outcome::Acked(Some(partition.base_offset));
    }
    if is(ErrorCode::DuplicateSequenceNumber) {
        return Outcome::Acked(None);
    }
    match is_retriable(code) {
        true => Outcome::Again,
        false => Outcome::Refused(code),
    }
}

/// Codes after which clients ask again.
pub fn is_retriable(code: i16) -> bool {
    const AGAIN: &[ErrorCode] = &[
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::KafkaStorageError,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::RequestTimedOut,
        ErrorCode::NetworkException,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
        ErrorCode::ConcurrentTransactions,
        ErrorCode::UnstableOffsetCommit,
        ErrorCode::UnknownTopicOrPartition,
    ];
    AGAIN.iter().any(|error| error.code() == code)
}

/// Notes that a batch is durable.
pub fn note_ack(field: &Field, pen: &Pen, batch: &Batch, base: Option<i64>) {
    for (place, n) in batch.numbers.iter().enumerate() {
        field.note(Event::Ack {
            writer: pen.name.clone(),
            n: *n,
            offset: base.map(|base| base + place as i64),
        });
    }
}

/// Asks for an identity until there is one; `None` when the field ends first.
pub async fn identify(field: &Field, conn: &mut Conn, rng: &mut Mutator) -> Option<Identity> {
    while !field.has_ended() {
        let request = m::InitProducerIdRequestData {
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        match conn.call(4, &request).await {
            Ok(answer) if answer.error_code == 0 => {
                return Some(Identity {
                    id: answer.producer_id,
                    epoch: answer.producer_epoch,
                });
            }
            _ => pause(rng, 200).await,
        }
    }
    None
}

/// Writes until the field ends.
pub async fn run(field: Field, name: String, places: Vec<Place>, seed: u64) {
    let mut rng = Mutator::new(seed);
    let mut conn = Conn::new(field.network.clone(), &name);
    let Some(identity) = identify(&field, &mut conn, &mut rng).await else {
        return;
    };
    let mut pen = Pen::new(&name, identity, 0);
    let mut waiting: VecDeque<Batch> = VecDeque::new();
    while !(field.has_ended() && waiting.is_empty()) {
        if !field.has_ended() {
            if waiting.is_empty() {
                let at = &places[rng.below(places.len())];
                zombie::dare(&field, &mut conn, &mut pen, at, &mut rng).await;
            }
            while waiting.len() < IN_FLIGHT_MAX && rng.below(3) > 0 {
                let at = &places[rng.below(places.len())];
                let sources = vec![None; 1 + rng.below(4)];
                waiting.push_back(pen.batch(&field, at, None, &sources, &mut rng));
            }
        }
        // A lost answer or a refusal leaves batches waiting: they are sent again in their order.
        let sent = send_all(&field, &mut conn, &pen, &mut waiting).await;
        pause(&mut rng, if sent.is_ok() { 20 } else { 150 }).await;
    }
}

/// Sends all that waits in one go, then reads the answers; what is acked waits no longer.
async fn send_all(
    field: &Field,
    conn: &mut Conn,
    pen: &Pen,
    waiting: &mut VecDeque<Batch>,
) -> Result<(), Gone> {
    let mut ids = Vec::new();
    for batch in waiting.iter() {
        ids.push(conn.send(PRODUCE_V1, &produce(batch, None)).await?);
    }
    let mut left = VecDeque::new();
    let mut result = Ok(());
    for id in ids {
        let Some(batch) = waiting.pop_front() else {
            break;
        };
        match conn.receive::<m::ProduceRequestData>(PRODUCE_V1, id).await {
            Ok(answer) => match outcome(&answer) {
                Outcome::Acked(base) => note_ack(field, pen, &batch, base),
                outcome => {
                    let first = left.iter().all(|earlier: &Batch| earlier.at != batch.at);
                    if let Outcome::Refused(code) = outcome
                        && first
                    {
                        let numbers = &batch.numbers;
                        field.complain(format!(
                            "{}: {numbers:?} in {:?} was refused with {code}",
                            pen.name, batch.at
                        ));
                    }
                    left.push_back(batch);
                    result = Err(Gone);
                }
            },
            Err(gone) => {
                left.push_back(batch);
                result = Err(gone);
                break;
            }
        }
    }
    left.append(waiting);
    *waiting = left;
    result
}
