//! A fetch answer in segments is the one in a piece.

#![allow(clippy::unwrap_used)]

use kacrab_protocol::generated::FetchRequestData;
use kacrab_protocol::generated::fetch_response::{AbortedTransaction, LeaderIdAndEpoch};
use proptest::prelude::*;

use super::*;

fn partition(index: i32, with_leader: bool) -> PartitionData {
    let aborted = AbortedTransaction {
        producer_id: 9,
        first_offset: 3,
        ..Default::default()
    };
    let mut data = PartitionData {
        partition_index: index,
        high_watermark: 10,
        last_stable_offset: 8,
        aborted_transactions: Some(vec![aborted]),
        ..Default::default()
    };
    if with_leader {
        data.current_leader = LeaderIdAndEpoch {
            leader_id: 1,
            leader_epoch: 4,
            ..Default::default()
        };
    }
    data
}

fn response(version: i16, with_leader: bool) -> FetchResponseData {
    let mut topic = FetchableTopicResponse {
        partitions: vec![partition(0, with_leader), partition(1, false)],
        ..Default::default()
    };
    if version >= TOPIC_ID_FROM {
        topic.topic_id = crate::KafkaUuid::from_parts(1, 2);
    } else {
        topic.topic = "flights".to_owned().into();
    }
    FetchResponseData {
        throttle_time_ms: 3,
        responses: vec![topic.clone(), topic],
        ..Default::default()
    }
}

proptest! {
    /// The segments put together are the message that the schema would have written with the records in it.
    #[test]
    fn segments_equal_the_plain_encoding(
        version in 4i16..=18,
        with_leader in any::<bool>(),
        sizes in proptest::collection::vec(proptest::collection::vec(1usize..300, 0..4), 4),
    ) {
        let mut plain = response(version, with_leader && version >= 12);
        let records: Vec<Vec<Bytes>> =
            sizes.iter().map(|batches| batches.iter().map(|&n| Bytes::from(vec![n as u8; n])).collect()).collect();
        let segments = encode(version, 42, &plain, records.clone()).unwrap();
        let slots = plain.responses.iter_mut().flat_map(|topic| topic.partitions.iter_mut());
        for (slot, batches) in slots.zip(&records) {
            slot.records = Some(batches.concat().into());
        }
        let expected = crate::encode_response::<FetchRequestData>(version, 42, &plain).unwrap();
        prop_assert_eq!(Bytes::from(segments.concat()), expected);
    }
}

#[test]
fn stored_batches_are_not_copied() {
    let batch = Bytes::from(vec![5u8; 1000]);
    let segments = encode(16, 1, &response(16, false), vec![vec![batch.clone()]]).unwrap();
    assert!(
        segments
            .iter()
            .any(|segment| segment.as_ptr() == batch.as_ptr())
    );
}
