//! The producer against a broker that loses connections before and after storing, and refuses now and then.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_record::{batches, records};
use headwater_wire::messages as m;
use headwater_wire::{Request, RequestHeader, decode_request, encode_response, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const PARTITIONS: i32 = 3;

/// What happens to a Produce.
enum Fault {
    None,
    /// The connection ends before anything is stored.
    LostRequest,
    /// Everything is stored, and the connection ends before the answer.
    LostAck,
    /// The node says NOT_LEADER_OR_FOLLOWER.
    Refused,
}

/// A broker of one topic that keeps sequences as Kafka does.
#[derive(Default)]
struct Fake {
    /// By partition: values in order.
    stored: Mutex<HashMap<i32, Vec<Bytes>>>,
    /// Next sequence by producer and partition.
    expected: Mutex<HashMap<(i64, i32), i32>>,
    random: Mutex<u64>,
    /// One in so many requests fails, in each way; 0: none.
    fault_every: u64,
    next_producer: Mutex<i64>,
    /// Refuse every record with this value for good.
    poison: Option<&'static [u8]>,
    duplicates: Mutex<u64>,
}

impl Fake {
    async fn start(self) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Arc::new(self);
        let served = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&served).serve(socket, port));
            }
        });
        (format!("127.0.0.1:{port}"), fake)
    }

    async fn serve(self: Arc<Self>, mut socket: TcpStream, port: u16) {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(mut body) = frame::take_request(&mut buffer).unwrap() {
                let header = RequestHeader::decode(&mut body).unwrap();
                let Some(answer) = self.answer(&header, body, port) else {
                    return;
                };
                if socket.write_all(&answer).await.is_err() {
                    return;
                }
            }
            if socket.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    fn answer(&self, header: &RequestHeader, body: Bytes, port: u16) -> Option<Bytes> {
        let (version, id) = (header.version, header.correlation_id);
        let bytes = match header.key {
            m::ApiVersionsRequestData::KEY => {
                encode_response::<m::ApiVersionsRequestData>(version, id, &versions())
            }
            m::MetadataRequestData::KEY => {
                encode_response::<m::MetadataRequestData>(version, id, &metadata(port))
            }
            m::InitProducerIdRequestData::KEY => {
                let mut next = self.next_producer.lock().unwrap();
                *next += 1;
                let response = m::InitProducerIdResponseData {
                    producer_id: *next,
                    producer_epoch: 0,
                    ..Default::default()
                };
                encode_response::<m::InitProducerIdRequestData>(version, id, &response)
            }
            m::ProduceRequestData::KEY => {
                let request = decode_request::<m::ProduceRequestData>(version, body).unwrap();
                let fault = self.fault();
                if matches!(fault, Fault::LostRequest) {
                    return None;
                }
                let refused = matches!(fault, Fault::Refused);
                let response = self.produce(&request, refused);
                if matches!(fault, Fault::LostAck) {
                    return None;
                }
                encode_response::<m::ProduceRequestData>(version, id, &response)
            }
            key => panic!("unexpected request {key}"),
        };
        Some(bytes.unwrap())
    }

    fn fault(&self) -> Fault {
        if self.fault_every == 0 {
            return Fault::None;
        }
        let mut random = self.random.lock().unwrap();
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match (*random >> 33) % self.fault_every {
            0 => Fault::LostRequest,
            1 => Fault::LostAck,
            2 => Fault::Refused,
            _ => Fault::None,
        }
    }

    fn produce(&self, request: &m::ProduceRequestData, refused: bool) -> m::ProduceResponseData {
        let mut response = m::ProduceResponseData::default();
        for topic in &request.topic_data {
            let answers = topic.partition_data.iter().map(|partition| {
                let (error_code, base_offset) = if refused {
                    (6, -1)
                } else {
                    self.store(partition)
                };
                m::produce_response::PartitionProduceResponse {
                    index: partition.index,
                    error_code,
                    base_offset,
                    ..Default::default()
                }
            });
            response
                .responses
                .push(m::produce_response::TopicProduceResponse {
                    name: topic.name.clone(),
                    partition_responses: answers.collect(),
                    ..Default::default()
                });
        }
        response
    }

    fn store(&self, partition: &m::produce_request::PartitionProduceData) -> (i16, i64) {
        let (header, batch) = batches(partition.records.clone().unwrap())
            .next()
            .unwrap()
            .unwrap();
        let values: Vec<Bytes> = records(&batch)
            .unwrap()
            .map(|record| record.unwrap().value.unwrap())
            .collect();
        if self
            .poison
            .is_some_and(|poison| values.iter().any(|value| value == poison))
        {
            return (87, -1);
        }
        let mut all = self.expected.lock().unwrap();
        let expected = all
            .entry((header.producer_id, partition.index))
            .or_insert(0);
        if header.base_sequence < *expected {
            *self.duplicates.lock().unwrap() += 1;
            return (0, 0);
        }
        if header.base_sequence > *expected {
            return (45, -1);
        }
        *expected += values.len() as i32;
        let mut stored = self.stored.lock().unwrap();
        let log = stored.entry(partition.index).or_default();
        let base = log.len() as i64;
        log.extend(values);
        (0, base)
    }
}

fn versions() -> m::ApiVersionsResponseData {
    let api = |key: i16| {
        let range = headwater_wire::schema_versions(key).unwrap();
        m::api_versions_response::ApiVersion {
            api_key: key,
            min_version: range.min,
            max_version: range.max,
            ..Default::default()
        }
    };
    m::ApiVersionsResponseData {
        api_keys: [0, 3, 18, 22].map(api).to_vec(),
        ..Default::default()
    }
}

fn metadata(port: u16) -> m::MetadataResponseData {
    let node = m::metadata_response::MetadataResponseBroker {
        node_id: 1,
        host: "127.0.0.1".to_owned().into(),
        port: port.into(),
        ..Default::default()
    };
    let partition = |index| m::metadata_response::MetadataResponsePartition {
        partition_index: index,
        leader_id: 1,
        ..Default::default()
    };
    let topic = m::metadata_response::MetadataResponseTopic {
        name: Some("t".to_owned().into()),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    m::MetadataResponseData {
        brokers: vec![node],
        topics: vec![topic],
        ..Default::default()
    }
}

fn small() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 400,
        linger: Duration::from_micros(200),
        request_bytes_max: 2_000,
        ..ProducerConfig::default()
    }
}

/// Everything acked is there once and in order, whatever is lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_lost_acks_leave_every_record_once_and_in_order() {
    for seed in 1..4 {
        let fake = Fake {
            random: Mutex::new(seed),
            fault_every: 12,
            ..Fake::default()
        };
        let (address, fake) = fake.start().await;
        let producer = Producer::new(Client::new(&address, "test"), small());
        let mut deliveries = Vec::new();
        for number in 0..3_000 {
            let value = format!("{number}");
            let partition = Some(number % PARTITIONS);
            let record = Outgoing {
                topic: "t",
                partition,
                value: Some(value.as_bytes()),
                ..Outgoing::default()
            };
            deliveries.push(producer.send(&record).await.unwrap());
        }
        producer.flush().await.unwrap();
        for delivery in deliveries {
            delivery.wait().await.unwrap();
        }
        let stored = fake.stored.lock().unwrap();
        for partition in 0..PARTITIONS {
            let expected: Vec<Bytes> = (0..3_000)
                .filter(|n| n % PARTITIONS == partition)
                .map(|n| format!("{n}").into())
                .collect();
            assert_eq!(
                stored[&partition], expected,
                "partition {partition}, seed {seed}"
            );
        }
        assert!(
            *fake.duplicates.lock().unwrap() > 0,
            "no ack was ever lost: the test tests nothing"
        );
    }
}

#[tokio::test]
async fn deliveries_tell_partition_and_offset() {
    let (address, _fake) = Fake::default().start().await;
    let producer = Producer::new(Client::new(&address, "test"), small());
    let record = Outgoing {
        topic: "t",
        partition: Some(1),
        value: Some(b"x"),
        ..Outgoing::default()
    };
    for offset in 0..3 {
        let delivery = producer.send(&record).await.unwrap();
        assert_eq!(
            delivery.wait().await.unwrap(),
            Delivered {
                partition: 1,
                offset
            }
        );
    }
    assert_eq!(producer.outstanding(), 0);
    let missing = Outgoing {
        partition: Some(PARTITIONS),
        ..record
    };
    assert!(matches!(
        producer.send(&missing).await,
        Err(ClientError::NoPartition { .. })
    ));
    let huge = vec![0; 3_000];
    let large = Outgoing {
        value: Some(&huge),
        ..record
    };
    assert!(matches!(
        producer.send(&large).await,
        Err(ClientError::TooLarge { .. })
    ));
}

/// A batch that the node refuses for good takes no other with it, although sequences have a gap there.
#[tokio::test]
async fn a_refused_batch_fails_alone() {
    let (address, fake) = Fake {
        poison: Some(b"poison"),
        ..Fake::default()
    }
    .start()
    .await;
    let config = ProducerConfig {
        batch_bytes: 40,
        ..small()
    };
    let producer = Producer::new(Client::new(&address, "test"), config);
    let mut outcomes = Vec::new();
    for number in 0..40 {
        let value = if number == 17 {
            "poison".to_owned()
        } else {
            format!("{number}")
        };
        let record = Outgoing {
            topic: "t",
            partition: Some(0),
            value: Some(value.as_bytes()),
            ..Outgoing::default()
        };
        outcomes.push(producer.send(&record).await.unwrap());
    }
    assert!(matches!(
        producer.flush().await,
        Err(ClientError::Broker { code: 87, .. })
    ));
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(
            outcome.wait().await.is_ok(),
            number != 17,
            "record {number}"
        );
    }
    let expected: Vec<Bytes> = (0..40)
        .filter(|n| *n != 17)
        .map(|n| format!("{n}").into())
        .collect();
    assert_eq!(fake.stored.lock().unwrap()[&0], expected);
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn a_full_buffer_makes_send_wait() {
    let (address, fake) = Fake::default().start().await;
    let config = ProducerConfig {
        buffer_bytes_max: 2_000,
        ..small()
    };
    let producer = Producer::new(Client::new(&address, "test"), config);
    let value = [b'x'; 100];
    let record = Outgoing {
        topic: "t",
        key: Some(b"k"),
        value: Some(&value),
        ..Outgoing::default()
    };
    for _ in 0..500 {
        producer.send(&record).await.unwrap();
        assert!(producer.outstanding() <= 20);
    }
    producer.flush().await.unwrap();
    assert_eq!(
        fake.stored
            .lock()
            .unwrap()
            .values()
            .map(Vec::len)
            .sum::<usize>(),
        500
    );
}

#[tokio::test]
async fn time_runs_out_when_nobody_is_there() {
    let (address, _fake) = Fake::default().start().await;
    let config = ProducerConfig {
        delivery_timeout: Duration::from_millis(300),
        ..small()
    };
    let client = Client::new(&address, "test");
    let producer = Producer::new(client, config);
    producer.shared.lock().set_partitions(
        "t",
        &[crate::client::Partition {
            index: 0,
            leader: 99,
        }],
    );
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = gone.local_addr().unwrap().to_string();
    drop(gone);
    let lonely = Producer::new(Client::new(&nobody, "test"), producer.shared.config.clone());
    lonely.shared.lock().set_partitions(
        "t",
        &[crate::client::Partition {
            index: 0,
            leader: 1,
        }],
    );
    let record = Outgoing {
        topic: "t",
        value: Some(b"x"),
        ..Outgoing::default()
    };
    let delivery = lonely.send(&record).await.unwrap();
    assert!(matches!(
        delivery.wait().await,
        Err(ClientError::NotDelivered { .. })
    ));
    drop(lonely);
    let waiting = producer.send(&record).await.unwrap();
    drop(producer);
    assert!(
        waiting.wait().await.is_err(),
        "nobody waits for ever on a producer that is gone"
    );
}
