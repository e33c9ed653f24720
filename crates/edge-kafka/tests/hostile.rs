//! Peers that break the protocol: the error Kafka gives or a closed connection, and a node that lives on.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use common::{Client, Node};
use headwater_record::fuzz::{Mutator, budget};
use headwater_record::{BatchBuilder, Codec};
use headwater_wire::messages as m;
use headwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use headwater_wire::{KafkaString, encode_request};
use tokio::io::AsyncWriteExt;

fn s(text: &str) -> KafkaString {
    text.to_owned().into()
}

fn produce(acks: i16, records: Bytes) -> m::ProduceRequestData {
    let partition_data = vec![PartitionProduceData {
        index: 0,
        records: Some(records),
        ..Default::default()
    }];
    let topic_data = vec![TopicProduceData {
        name: s("t"),
        partition_data,
        ..Default::default()
    }];
    m::ProduceRequestData {
        acks,
        timeout_ms: 1000,
        topic_data,
        ..Default::default()
    }
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, Some(b"k"), Some(b"v"));
    builder.build()
}

fn metadata(topic: &str) -> m::MetadataRequestData {
    let topics = vec![m::metadata_request::MetadataRequestTopic {
        name: Some(s(topic)),
        ..Default::default()
    }];
    m::MetadataRequestData {
        topics: Some(topics),
        allow_auto_topic_creation: true,
        ..Default::default()
    }
}

async fn alive(node: &Node) {
    let mut client = node.client().await;
    // As in Kafka the first one makes the topic, and the next one tells of it.
    client.call(9, &metadata("t")).await;
    let answer = client.call(9, &metadata("t")).await;
    assert_eq!(answer.topics[0].error_code, 0);
}

async fn closed(mut client: Client, bytes: &[u8]) {
    // The node may hang up in the middle of it.
    let _ = client.stream.write_all(bytes).await;
    assert!(client.frame().await.is_none(), "still open after {bytes:?}");
}

#[tokio::test]
async fn unknown_keys_and_versions_end_the_connection_and_unknown_api_versions_do_not() {
    let node = Node::start().await;
    for (key, version) in [
        (999, 0),
        (-1, 0),
        (27, 0),
        (0, 2),
        (0, 99),
        (3, 99),
        (3, -1),
    ] {
        let mut frame = BytesMut::new();
        frame.put_i32(10);
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        closed(node.client().await, &frame).await;
    }
    let mut client = node.client().await;
    client
        .stream
        .write_all(b"\0\0\0\x0a\0\x12\0\x63\0\0\0\x07\xff\xff")
        .await
        .unwrap();
    let answer = client.frame().await.unwrap();
    assert_eq!(
        answer[..10],
        *b"\0\0\0\x07\0\x23\0\0\0\x01",
        "correlation id, error 35, one API, in a v0 body"
    );
    let good = client.call(0, &m::ApiVersionsRequestData::default()).await;
    assert_eq!(good.error_code, 0, "the connection goes on");
    node.stop().await;
}

#[tokio::test]
async fn lengths_that_lie_end_the_connection_at_once() {
    let node = Node::start().await;
    for claimed in [-1, i32::MIN, i32::MAX, 101 * 1024 * 1024] {
        closed(node.client().await, &claimed.to_be_bytes()).await;
    }
    // 16 MiB of anything but a Produce.
    closed(node.client().await, b"\x01\0\0\0\0\x03\0\x09").await;
    // Metadata that claims two billion topics in 21 bytes.
    let mut frame = BytesMut::new();
    frame.put_i32(17);
    frame.put_slice(b"\0\x03\0\x09\0\0\0\x01\xff\xff\0");
    frame.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    closed(node.client().await, &frame).await;
    // Produce v3 that claims two billion topics.
    let mut frame = BytesMut::new();
    frame.put_i32(24);
    frame.put_slice(b"\0\0\0\x03\0\0\0\x01\xff\xff\xff\xff\0\x01\0\0\0\x01\x7f\xff\xff\xff\0\0");
    closed(node.client().await, &frame).await;
    alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn bad_batches_get_kafkas_codes() {
    let node = Node::start().await;
    alive(&node).await;
    let mut client = node.client().await;
    let code = async |client: &mut Client, records: Bytes| {
        client.call(9, &produce(-1, records)).await.responses[0].partition_responses[0].error_code
    };
    let edit = |at: usize, byte: u8| {
        let mut bytes = batch().to_vec();
        bytes[at] = byte;
        Bytes::from(bytes)
    };
    let cases = [
        ("a good one", batch(), 0),
        ("CRC", edit(65, 0x55), 2),
        ("message format 0", edit(16, 0), 87),
        ("message format 1", edit(16, 1), 87),
        ("unknown format", edit(16, 9), 2),
        ("a length that is never there", edit(8, 0x7f), 87),
        ("cut", batch().slice(..40), 87),
        ("nothing", Bytes::new(), 87),
        ("zeros", Bytes::from(vec![0; 2_000_000]), 87),
    ];
    let mut wrong = Vec::new();
    for (what, records, expected) in cases {
        let got = code(&mut client, records).await;
        if got != expected {
            wrong.push((what, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(what, got, expected): {wrong:?}");
    let acks = client.call(9, &produce(7, batch())).await;
    assert_eq!(acks.responses[0].partition_responses[0].error_code, 21);
    let unanswered = client.send(9, &produce(0, edit(65, 0x55))).await;
    assert!(
        client.frame().await.is_none(),
        "{unanswered}: an error without an answer ends the connection"
    );
    node.stop().await;
}

#[tokio::test]
async fn produces_are_on_their_way_before_the_former_are_durable_and_answered_in_order() {
    use headwater_log::Log;
    let node = Node::start().await;
    alive(&node).await;
    let partition = node
        .broker
        .find_topic(&headwater_broker::TopicRef::Name("t".into()))
        .unwrap()
        .partition(0)
        .unwrap();
    node.log.hold();
    let mut client = node.client().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.send(9, &produce(-1, batch())).await);
    }
    let begun = Instant::now();
    while node.log.state(partition).submitted_end < 5 {
        assert!(
            begun.elapsed().as_secs() < 10,
            "only {:?}",
            node.log.state(partition)
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(node.log.state(partition).durable_end, 0);
    node.log.release();
    for (offset, id) in ids.into_iter().enumerate() {
        let frame = client.frame().await.unwrap();
        let answer =
            headwater_wire::decode_response::<m::ProduceRequestData>(9, id, frame).unwrap();
        assert_eq!(
            answer.responses[0].partition_responses[0].base_offset,
            offset as i64
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_stop_ends_waiting_connections() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let fetch = m::FetchRequestData {
        max_wait_ms: 600_000,
        min_bytes: 1,
        max_bytes: 1,
        ..Default::default()
    };
    client
        .send(
            12,
            &m::FetchRequestData {
                session_id: 0,
                ..fetch
            },
        )
        .await;
    let begun = Instant::now();
    node.stop().await;
    assert!(begun.elapsed().as_secs() < 10);
}

#[tokio::test]
async fn a_slow_disk_pushes_back_on_sockets_instead_of_filling_memory() {
    use headwater_log::Log;
    let node = Node::start_with(|config| config.request_bytes_max = 1024 * 1024).await;
    alive(&node).await;
    let topic = node.broker.topic("t").unwrap();
    node.log.hold();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&[7; 100_000]));
    let frame = encode_request(9, 1, "test", &produce(-1, builder.build())).unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (mut client, frame) = (node.client().await, frame.clone());
        clients.push(tokio::spawn(async move {
            for _ in 0..100 {
                client.stream.write_all(&frame).await.unwrap();
            }
            for _ in 0..100 {
                client.frame().await.unwrap();
            }
        }));
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let held = node.log.state(topic.partition(0).unwrap()).bytes;
    assert!(
        (500_000..1_100_000).contains(&held),
        "{held} of 40 MB were taken in"
    );
    node.log.release();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(node.log.state(topic.partition(0).unwrap()).durable_end, 400);
    node.stop().await;
}

fn samples() -> Vec<Bytes> {
    let fetch = m::FetchRequestData {
        max_bytes: 1000,
        topics: vec![m::fetch_request::FetchTopic {
            topic: s("t"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let join = m::JoinGroupRequestData {
        group_id: s("g"),
        session_timeout_ms: 10_000,
        protocol_type: s("consumer"),
        protocols: vec![m::join_group_request::JoinGroupRequestProtocol {
            name: s("range"),
            ..Default::default()
        }],
        ..Default::default()
    };
    let topic = m::create_topics_request::CreatableTopic {
        name: s("u"),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let commit = m::OffsetCommitRequestData {
        group_id: s("g"),
        topics: vec![m::offset_commit_request::OffsetCommitRequestTopic {
            name: s("t"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    vec![
        encode_request(9, 1, "fuzz", &produce(1, batch())).unwrap(),
        encode_request(3, 1, "fuzz", &produce(-1, batch())).unwrap(),
        encode_request(12, 1, "fuzz", &fetch).unwrap(),
        encode_request(4, 1, "fuzz", &fetch).unwrap(),
        encode_request(9, 1, "fuzz", &metadata("t")).unwrap(),
        encode_request(4, 1, "fuzz", &join).unwrap(),
        encode_request(
            7,
            1,
            "fuzz",
            &m::CreateTopicsRequestData {
                topics: vec![topic],
                validate_only: true,
                ..Default::default()
            },
        )
        .unwrap(),
        encode_request(8, 1, "fuzz", &commit).unwrap(),
        encode_request(3, 1, "fuzz", &m::ApiVersionsRequestData::default()).unwrap(),
    ]
}

/// Seeded; `FUZZ_SECONDS` says for how long. A panic in a connection would show in the node's task or as a dead node.
#[tokio::test]
async fn mutated_frames_never_take_the_node_down() {
    let node = Node::start().await;
    let samples = samples();
    let (begun, budget) = (Instant::now(), budget());
    let mut seed = 0;
    while begun.elapsed() < budget {
        let mut rng = Mutator::new(seed);
        let mut client = node.client().await;
        for _ in 0..20 {
            let mut frame = samples[rng.below(samples.len())].to_vec();
            (0..1 + rng.below(4)).for_each(|_| rng.mutate(&mut frame));
            if frame.len() >= 4 && rng.below(4) > 0 {
                let length = (frame.len() - 4) as i32;
                frame[..4].copy_from_slice(&length.to_be_bytes());
            }
            if client.stream.write_all(&frame).await.is_err() {
                break;
            }
        }
        // Whatever it answers is read a little, then the connection is dropped.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(2), client.frame()).await;
        seed += 1;
        if seed % 50 == 0 {
            alive(&node).await;
        }
    }
    alive(&node).await;
    assert!(seed > 0);
    node.stop().await;
}
