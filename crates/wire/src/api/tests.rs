//! Requests and answers keep their meaning; hostile ones are errors.

#![allow(clippy::unwrap_used)]

use bytes::BufMut;
use kacrab_protocol::generated::metadata_request::MetadataRequestTopic;
use kacrab_protocol::generated::produce_request::{PartitionProduceData, TopicProduceData};
use kacrab_protocol::generated::{
    ApiKey, ApiVersionsRequestData, ApiVersionsResponseData, FetchRequestData,
    JoinGroupRequestData, MetadataRequestData, OffsetFetchRequestData, ProduceRequestData,
    client_api_info,
};
use proptest::prelude::*;

use super::*;
use crate::frame;

#[test]
fn the_versions_are_those_of_the_schemas() {
    let mut known = 0;
    for key in 0..200 {
        let Some(versions) = schema_versions(key) else {
            continue;
        };
        let info = client_api_info(ApiKey::from_i16(key).unwrap());
        assert_eq!(
            (versions.min, versions.max),
            (info.min_version, info.max_version),
            "{:?}",
            name(key)
        );
        known += 1;
    }
    assert!(known > 40, "{known}");
}

#[test]
fn a_request_survives_every_version_of_its_header() {
    for version in 0..=13 {
        let topics = vec![MetadataRequestTopic {
            name: Some("flights".to_owned().into()),
            ..Default::default()
        }];
        let request = MetadataRequestData {
            topics: Some(topics),
            ..Default::default()
        };
        let framed = encode_request(version, 77, "me", &request).unwrap();
        let mut buffer = BytesMut::from(framed.as_ref());
        let mut body = frame::take_request(&mut buffer).unwrap().unwrap();
        let header = RequestHeader::decode(&mut body).unwrap();
        assert_eq!(
            (header.key, header.version, header.correlation_id),
            (3, version, 77)
        );
        assert_eq!(header.client_id.unwrap().as_str(), "me");
        assert_eq!(
            decode_request::<MetadataRequestData>(version, body).unwrap(),
            request
        );
    }
}

#[test]
fn api_versions_is_answered_with_the_oldest_header() {
    for version in 0..=4 {
        let response = ApiVersionsResponseData {
            error_code: 35,
            ..Default::default()
        };
        let framed = encode_response::<ApiVersionsRequestData>(version, 5, &response).unwrap();
        assert_eq!(&framed[4..10], &[0, 0, 0, 5, 0, 35], "version {version}");
        assert_eq!(
            framed.len() - 4,
            u32::from_be_bytes(framed[..4].try_into().unwrap()) as usize
        );
        let payload = framed.slice(4..);
        assert_eq!(
            decode_response::<ApiVersionsRequestData>(version, 5, payload.clone()).unwrap(),
            response
        );
        assert!(matches!(
            decode_response::<ApiVersionsRequestData>(version, 6, payload),
            Err(WireError::Correlation {
                expected: 6,
                got: 5
            })
        ));
    }
}

#[test]
fn an_unknown_version_still_gives_its_correlation_id() {
    let mut frame = BytesMut::new();
    frame.put_i16(18);
    frame.put_i16(99);
    frame.put_i32(1234);
    frame.extend_from_slice(b"\xff\xff\xffgarbage");
    let header = RequestHeader::decode(&mut frame.freeze()).unwrap();
    assert_eq!(
        (
            header.key,
            header.version,
            header.correlation_id,
            header.client_id
        ),
        (18, 99, 1234, None)
    );
}

#[test]
fn records_share_the_buffer_of_the_frame() {
    let records = Bytes::from(vec![7u8; 4096]);
    let partition = PartitionProduceData {
        index: 1,
        records: Some(records),
        ..Default::default()
    };
    let topic = TopicProduceData {
        name: "t".to_owned().into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    let request = ProduceRequestData {
        acks: -1,
        topic_data: vec![topic],
        ..Default::default()
    };
    for version in 3..=12 {
        let framed = encode_request(version, 1, "c", &request).unwrap();
        let mut body = framed.slice(4..);
        RequestHeader::decode(&mut body).unwrap();
        let bounds = body.as_ptr_range();
        let back = decode_request::<ProduceRequestData>(version, body.clone()).unwrap();
        assert_eq!(back, request);
        let stored = back.topic_data[0].partition_data[0]
            .records
            .as_ref()
            .unwrap();
        assert!(
            bounds.contains(&stored.as_ptr()),
            "records were copied in version {version}"
        );
    }
}

/// The frame that made another crate ask for 154 GB: 21 bytes that claim two thousand million topics.
#[test]
fn a_claimed_length_allocates_nothing() {
    for (version, claim) in [
        (12i16, &[0xff, 0xff, 0xff, 0xff, 0x07][..]),
        (8, &[0x7f, 0xff, 0xff, 0xff][..]),
    ] {
        let mut frame = BytesMut::new();
        frame.put_i16(3);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(1);
        frame.put_u8(b'x');
        if version >= 9 {
            frame.put_u8(0);
        }
        frame.extend_from_slice(claim);
        frame.resize(21, 0);
        let mut body = frame.freeze();
        let header = RequestHeader::decode(&mut body).unwrap();
        assert!(decode_request::<MetadataRequestData>(header.version, body).is_err());
    }
}

#[test]
fn a_produce_of_countless_empty_topics_is_refused_before_it_unfolds() {
    let mut body = BytesMut::new();
    body.extend_from_slice(&[0, 0, 1, 0, 0, 0, 1]);
    kacrab_protocol::primitives::write_unsigned_varint(&mut body, 1_000_001);
    body.resize(body.len() + 3_000_000, 1);
    assert!(matches!(
        decode_request::<ProduceRequestData>(11, body.freeze()),
        Err(WireError::TooMany { .. })
    ));
    let mut tagged = BytesMut::new();
    tagged.extend_from_slice(&[0, 0, 1, 0, 0, 0, 1, 1]);
    kacrab_protocol::primitives::write_unsigned_varint(&mut tagged, 10_000_000);
    tagged.resize(20_000_000, 0);
    assert!(matches!(
        decode_request::<ProduceRequestData>(11, tagged.freeze()),
        Err(WireError::TooMany { .. })
    ));
}

#[test]
fn the_count_takes_every_version_of_a_real_produce() {
    for version in 3..=13 {
        let mut topic = TopicProduceData {
            partition_data: vec![PartitionProduceData::default(); 3],
            ..Default::default()
        };
        if version < 13 {
            topic.name = "abc".to_owned().into();
        }
        let request = ProduceRequestData {
            transactional_id: None,
            topic_data: vec![topic; 2],
            ..Default::default()
        };
        let mut body = BytesMut::new();
        request.write_to(&mut body, version).unwrap();
        decode_request::<ProduceRequestData>(version, body.freeze()).unwrap();
    }
}

proptest! {
    /// Whatever comes: an error or a message, never a panic.
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), version in 0i16..14) {
        let body = Bytes::from(bytes);
        let _ = RequestHeader::decode(&mut body.clone());
        let _ = decode_request::<ProduceRequestData>(version, body.clone());
        let _ = decode_request::<FetchRequestData>(version, body.clone());
        let _ = decode_request::<MetadataRequestData>(version, body.clone());
        let _ = decode_request::<JoinGroupRequestData>(version, body.clone());
        let _ = decode_request::<OffsetFetchRequestData>(version, body.clone());
        let _ = decode_request::<ApiVersionsRequestData>(version, body);
    }

    /// A truncated request is an error or an earlier end, never a panic.
    #[test]
    fn truncation_never_panics(cut in 0usize..200, version in 3i16..13) {
        let partition = PartitionProduceData { index: 1, records: Some(Bytes::from_static(&[1; 64])), ..Default::default() };
        let topic = TopicProduceData { name: "topic".to_owned().into(), partition_data: vec![partition; 2], ..Default::default() };
        let request = ProduceRequestData { topic_data: vec![topic], ..Default::default() };
        let mut body = BytesMut::new();
        request.write_to(&mut body, version).unwrap();
        let whole = body.len();
        body.truncate(cut);
        let outcome = decode_request::<ProduceRequestData>(version, body.freeze());
        prop_assert_eq!(outcome.is_ok(), cut >= whole);
    }
}
