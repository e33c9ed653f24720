//! Round trips of every codec, known vectors, hostile bytes.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;

use crate::fuzz::{budget, mutated_batch, record_batch};
use crate::header::CRC_FROM;
use crate::*;

type Input = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        (any::<u8>(), 0..5000usize).prop_map(|(b, n)| vec![b; n])
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let header = (blob(), prop::option::of(blob()));
    (
        0..i64::MAX / 4,
        prop::option::of(blob()),
        prop::option::of(blob()),
        prop::collection::vec(header, 0..3),
    )
}

fn build(codec: Codec, inputs: &[Input]) -> Bytes {
    let mut builder = BatchBuilder::new(codec).producer(7, 3, 11);
    for (timestamp, key, value, headers) in inputs {
        let headers: Vec<_> = headers
            .iter()
            .map(|(k, v)| (&k[..], v.as_deref()))
            .collect();
        builder.push_with_headers(*timestamp, key.as_deref(), value.as_deref(), &headers);
    }
    builder.build()
}

fn as_input(record: &Record) -> Input {
    let vec = |b: &Option<Bytes>| b.as_ref().map(|b| b.to_vec());
    let headers = record
        .headers
        .iter()
        .map(|h| (h.key.to_vec(), vec(&h.value)))
        .collect();
    (
        record.timestamp,
        vec(&record.key),
        vec(&record.value),
        headers,
    )
}

proptest! {
    #[test]
    fn every_codec_gives_back_what_went_in(inputs in prop::collection::vec(input(), 1..12), base in 0i64..1 << 40) {
        for codec in Codec::ALL {
            let batch = with_place(build(codec, &inputs), base, 5);
            let header = validate(&batch).unwrap();
            verify_records(&batch).unwrap();
            prop_assert_eq!((header.codec().unwrap(), header.leader_epoch, header.base_offset), (codec, 5, base));
            prop_assert_eq!((header.producer_id, header.producer_epoch, header.last_sequence()),
                (7, 3, 10 + inputs.len() as i32));
            prop_assert_eq!(header.max_timestamp, inputs.iter().map(|i| i.0).max().unwrap());
            let read: Vec<_> = records(&batch).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(read.last().unwrap().offset, header.last_offset());
            prop_assert_eq!(read.iter().map(as_input).collect::<Vec<_>>(), inputs.clone());
        }
    }

    #[test]
    fn a_flipped_bit_under_the_crc_is_noticed(inputs in prop::collection::vec(input(), 1..4), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = build(Codec::Lz4, &inputs).to_vec();
        let at = CRC_FROM + at.index(bytes.len() - CRC_FROM);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(validate(&bytes), Err(BatchError::Corrupt("CRC mismatch")));
    }

    #[test]
    fn varints_round_trip(value in any::<i64>(), small in any::<i32>()) {
        for value in [value, i64::from(small), i64::from(small as i8), i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            varint::write(&mut out, value);
            prop_assert_eq!(out.len(), varint::size(value));
            let mut at = 0;
            prop_assert_eq!(varint::read_i64(&out, &mut at).unwrap(), value);
            prop_assert_eq!(at, out.len());
            let mut at = 0;
            prop_assert_eq!(varint::read_i32(&out, &mut at).ok(), i32::try_from(value).ok());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        record_batch(&bytes);
    }
}

#[test]
fn fuzz_record_batch() {
    let until = Instant::now() + budget();
    let mut seed = 1;
    while Instant::now() < until {
        record_batch(&mutated_batch(seed));
        seed += 1;
    }
}

#[test]
fn several_batches_in_one_field() {
    let one = build(Codec::None, &[(1, None, Some(b"a".to_vec()), vec![])]);
    let two = build(
        Codec::Gzip,
        &[(2, None, None, vec![]), (3, None, None, vec![])],
    );
    let field = Bytes::from([&one[..], &two[..]].concat());
    let counts: Vec<_> = batches(field.clone())
        .map(|b| b.unwrap().0.record_count)
        .collect();
    assert_eq!(counts, [1, 2]);
    let cut = field.slice(..field.len() - 1);
    assert_eq!(split(cut.clone()).count(), 1);
    assert!(batches(cut).last().unwrap().is_err());
}

#[test]
fn old_formats_are_told_apart() {
    for magic in [0, 1] {
        let mut message = vec![0; 34];
        message[16] = magic;
        assert_eq!(validate(&message), Err(BatchError::OldFormat(magic as i8)));
    }
}

#[test]
fn log_append_time_replaces_the_records_times() {
    let batch = build(
        Codec::Zstd,
        &[(5, None, None, vec![]), (6, None, None, vec![])],
    );
    let batch = with_log_append_time(batch, 99).unwrap();
    assert_eq!(validate(&batch).unwrap().max_timestamp, 99);
    assert!(records(&batch).unwrap().all(|r| r.unwrap().timestamp == 99));
}

#[test]
fn control_batches() {
    for kind in [ControlType::Abort, ControlType::Commit] {
        let batch = control_batch(kind, (4, 1), 2, 1000);
        let header = validate(&batch).unwrap();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!(control_type(&batch).unwrap(), Some(kind));
    }
}

#[test]
fn snappy_in_both_framings() {
    let text = Bytes::from(vec![b'x'; 100_000]);
    let raw = Bytes::from(snap::raw::Encoder::new().compress_vec(&text).unwrap());
    assert_eq!(
        compression::decompress(Codec::Snappy, &raw, 200_000).unwrap(),
        text
    );
    let mut framed = Vec::new();
    xerial::compress(&text, &mut framed).unwrap();
    let twice = Bytes::from([&framed[..], &framed[..]].concat());
    assert_eq!(
        compression::decompress(Codec::Snappy, &twice, 200_000)
            .unwrap()
            .len(),
        200_000
    );
}

#[test]
fn unfolding_stops_at_the_limit() {
    let zeros = vec![0u8; 1 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut packed = Vec::new();
        compression::compress(codec, compression::Level::default(), &zeros, &mut packed);
        let packed = Bytes::from(packed);
        let max_bytes = (1 << 20) - 1;
        assert_eq!(
            compression::decompress(codec, &packed, max_bytes),
            Err(BatchError::TooLarge { max_bytes })
        );
        assert_eq!(
            compression::decompress(codec, &packed, 1 << 20)
                .unwrap()
                .len(),
            1 << 20
        );
    }
    // A raw snappy block of five bytes that claims 4 GiB.
    let liar = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(compression::decompress(Codec::Snappy, &liar, usize::MAX).is_err());
}

/// Values of `Utils.murmur2` in Kafka's own tests.
#[test]
fn murmur2_is_kafkas() {
    assert_eq!(murmur2(b"21"), -973_932_308);
    assert_eq!(murmur2(b"foobar"), -790_332_482);
    assert_eq!(murmur2(b"a-little-bit-long-string"), -985_981_536);
    assert_eq!(murmur2(b"a-little-bit-longer-string"), -1_486_304_829);
    assert_eq!(murmur2(b"abc"), 479_470_107);
    assert!((0..6).contains(&partition_for_key(b"", 6)));
}

/// As [`walk_records`], by the walk that others read with.
fn walked_slowly(batch: &Bytes) -> Result<Walked, BatchError> {
    let (mut walk, mut delta) = (records(batch)?, 0);
    let mut walked = Walked {
        max_timestamp: i64::MIN,
        min_timestamp: i64::MAX,
        without_key: None,
    };
    while let Some(record) = walk.next_ref() {
        let record = record?;
        if record.offset_delta != delta {
            return Err(BatchError::Invalid("deltas"));
        }
        if record.key.is_none() {
            walked.without_key.get_or_insert(delta);
        }
        walked.max_timestamp = walked.max_timestamp.max(record.timestamp);
        walked.min_timestamp = walked.min_timestamp.min(record.timestamp);
        delta += 1;
    }
    Ok(walked)
}

#[test]
fn the_quick_walk_sees_what_a_reader_sees() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..4_000 {
        for (_, batch) in split(mutated_batch(seed).into()).flatten() {
            let (quick, slow) = (walk_records(&batch), walked_slowly(&batch));
            assert_eq!(
                quick.is_ok(),
                slow.is_ok(),
                "seed {seed}: {quick:?} {slow:?}"
            );
            match quick {
                Ok(quick) => assert_eq!(Ok(quick), slow, "seed {seed}"),
                Err(_) => bad += 1,
            }
            good += usize::from(slow.is_ok());
        }
    }
    assert!(good > 100 && bad > 100, "{good} {bad}");
    let stamped = BatchBuilder::new(Codec::None).log_append_time(77);
    let mut plain = BatchBuilder::new(Codec::None);
    for mut builder in [stamped, plain.clone()] {
        builder.push(5, None, Some(b"v"));
        builder.push(3, Some(b"k"), None);
        let batch = builder.build();
        assert_eq!(walk_records(&batch), walked_slowly(&batch));
    }
    plain.push(1, Some(b"k"), None);
    assert_eq!(walk_records(&plain.build()).unwrap().without_key, None);
}
