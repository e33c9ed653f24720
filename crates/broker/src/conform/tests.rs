//! Batches of clients: what is refused, and what becomes of the others.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use headwater_record::{BatchBuilder, Record, records};

use super::*;

const NOW: i64 = 1_700_000_000_000;

fn settings(configs: &[(&str, &str)]) -> TopicSettings {
    let configs: BTreeMap<String, String> = configs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    TopicSettings::of(&configs)
}

fn batch(codec: Codec, timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(codec).producer(4, 0, 7);
    for timestamp in timestamps {
        builder.push(*timestamp, Some(b"key"), Some(&[b'v'; 200]));
    }
    builder.build()
}

fn all(batch: &Bytes) -> Vec<Record> {
    records(batch).unwrap().map(Result::unwrap).collect()
}

/// Changes bytes of the header and mends the checksum.
fn forged(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut forged = batch.to_vec();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc(&forged[21..]);
    forged[17..21].copy_from_slice(&crc.to_be_bytes());
    forged.into()
}

/// CRC-32C bit by bit: slow and plain.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn every_codec_becomes_the_topics() {
    let choices = [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ];
    for from in Codec::ALL {
        let sent = batch(from, &[NOW, NOW + 1, NOW + 2]);
        let kept = conform(&settings(&[]), sent.clone(), NOW).unwrap();
        assert_eq!(kept.batch, sent, "producer");
        for (name, to) in choices {
            let stored = conform(&settings(&[("compression.type", name)]), sent.clone(), NOW);
            let stored = stored.unwrap().batch;
            let header = validate(&stored).unwrap();
            assert_eq!(header.codec().unwrap(), to);
            assert_eq!((header.producer_id, header.base_sequence), (4, 7));
            assert_eq!(all(&stored), all(&sent));
        }
    }
}

#[test]
fn the_size_limit_holds_before_and_after_compression() {
    let small = &[("max.message.bytes", "500")];
    let sent = batch(Codec::Zstd, &[NOW; 10]);
    assert!(conform(&settings(small), sent.clone(), NOW).is_ok());
    let unfolded = settings(&[small[0], ("compression.type", "uncompressed")]);
    let refused = conform(&unfolded, sent, NOW);
    assert!(matches!(
        refused,
        Err(BrokerError::BatchTooLarge { max_bytes: 500, .. })
    ));
    let folded = settings(&[small[0], ("compression.type", "zstd")]);
    let refused = conform(&folded, batch(Codec::None, &[NOW; 10]), NOW);
    assert!(matches!(refused, Err(BrokerError::BatchTooLarge { .. })));
}

#[test]
fn a_header_that_lies_about_its_records_is_refused_or_corrected() {
    let sent = batch(Codec::None, &[NOW, NOW + 5]);
    for (at, bytes) in [(57, 3i32), (57, 1), (57, 0), (23, 2), (23, 0)] {
        let refused = conform(&settings(&[]), forged(&sent, at, &bytes.to_be_bytes()), NOW);
        assert!(
            matches!(refused, Err(BrokerError::Batch(_))),
            "{at} {bytes}"
        );
    }
    let both = forged(
        &forged(&sent, 57, &3i32.to_be_bytes()),
        23,
        &2i32.to_be_bytes(),
    );
    assert!(
        conform(&settings(&[]), both, NOW).is_err(),
        "a record is missing"
    );
    let late = forged(&sent, 35, &i64::MAX.to_be_bytes());
    let stored = conform(&settings(&[]), late, NOW).unwrap().batch;
    assert_eq!(validate(&stored).unwrap().max_timestamp, NOW + 5);
    let marked = forged(&sent, 21, &0x08i16.to_be_bytes());
    let refused = conform(&settings(&[]), marked, NOW);
    assert!(matches!(refused, Err(BrokerError::InvalidTimestamp(_))));
}

#[test]
fn times_are_checked_record_by_record() {
    let strict = settings(&[
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "2000"),
    ]);
    assert!(conform(&strict, batch(Codec::Gzip, &[NOW - 1000, NOW + 2000]), NOW).is_ok());
    for wrong in [NOW - 1001, NOW + 2001] {
        let refused = conform(&strict, batch(Codec::Gzip, &[NOW, wrong, NOW]), NOW);
        let BrokerError::BadRecords { untimely, records } = refused.unwrap_err() else {
            panic!("another refusal");
        };
        assert!(untimely && records.len() == 1 && records[0].0 == 1);
    }
    let ours = settings(&[
        ("message.timestamp.type", "LogAppendTime"),
        ("compression.type", "lz4"),
    ]);
    let stored = conform(&ours, batch(Codec::None, &[5, 6]), NOW).unwrap();
    assert_eq!(stored.log_append_time_ms, Some(NOW));
    assert!(
        all(&stored.batch)
            .iter()
            .all(|record| record.timestamp == NOW)
    );
}

#[test]
fn several_batches_at_once_are_refused() {
    let two = [batch(Codec::None, &[NOW]), batch(Codec::None, &[NOW])].concat();
    let refused = conform(&settings(&[]), two.into(), NOW);
    assert!(matches!(refused, Err(BrokerError::NotABatch(_))));
}
