//! Filtering keeps what it says it keeps.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::{BatchBuilder, Codec, Record, with_log_append_time, with_place};

type Input = (i64, Option<Vec<u8>>);

fn build(codec: Codec, inputs: &[Input]) -> Bytes {
    let mut builder = BatchBuilder::new(codec).producer(9, 2, 40);
    for (n, (timestamp, value)) in inputs.iter().enumerate() {
        let key = format!("k{n}");
        builder.push_with_headers(
            *timestamp,
            Some(key.as_bytes()),
            value.as_deref(),
            &[(b"h", Some(b"v"))],
        );
    }
    with_place(builder.build(), 1_000, 0)
}

fn all(batch: &Bytes) -> Vec<Record> {
    records(batch).unwrap().map(Result::unwrap).collect()
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..30));
    prop::collection::vec((0i64..1 << 42, value), 1..20)
}

fn check_crc(batch: &Bytes) {
    let header = BatchHeader::parse(batch).unwrap();
    assert_eq!(headwater_base::crc32c(&batch[CRC_FROM..]), header.crc);
    assert_eq!(header.bytes, batch.len());
}

proptest! {
    #[test]
    fn what_stays_is_as_it_was(inputs in inputs(), mask: u32, horizon in prop::option::of(0i64..1 << 42), codec in 0usize..5, append_time: bool) {
        let mut batch = build(Codec::ALL[codec], &inputs);
        if append_time {
            batch = with_log_append_time(batch, 77).unwrap();
        }
        let before = BatchHeader::parse(&batch).unwrap();
        let stays = |delta: i32| mask & (1 << delta) != 0;
        let expected: Vec<Record> = all(&batch).into_iter().filter(|r| stays((r.offset - 1_000) as i32)).collect();
        let rule = horizon.map_or(Horizon::Never, Horizon::Set);
        match retain(&batch, rule, |record| stays(record.offset_delta)).unwrap() {
            Retained::Nothing => prop_assert!(expected.is_empty()),
            Retained::All => {
                prop_assert_eq!(expected.len(), inputs.len());
                prop_assert!(horizon.is_none());
            }
            Retained::Some(after) => {
                check_crc(&after);
                prop_assert_eq!(all(&after), expected.clone());
                let header = BatchHeader::parse(&after).unwrap();
                prop_assert_eq!(header.delete_horizon_ms(), horizon);
                prop_assert_eq!((header.base_offset, header.last_offset_delta, header.last_sequence(), header.producer_epoch),
                    (before.base_offset, before.last_offset_delta, before.last_sequence(), before.producer_epoch));
                prop_assert_eq!(header.max_timestamp, expected.iter().map(|r| r.timestamp).max().unwrap());
                prop_assert_eq!(header.codec().unwrap(), Codec::ALL[codec]);
                // Again: the horizon stays, and nothing else changes.
                prop_assert_eq!(retain(&after, rule, |_| true).unwrap(), if horizon.is_some() || rule == Horizon::Never { Retained::All } else { unreachable!() });
            }
        }
    }
}

#[test]
fn a_horizon_of_tombstones_is_set_where_one_stays() {
    let batch = build(Codec::Zstd, &[(1, Some(b"a".to_vec())), (2, None)]);
    let rule = Horizon::OfTombstones(500);
    let without = retain(&batch, rule, |record| record.value.is_some()).unwrap();
    let Retained::Some(without) = without else {
        panic!("{without:?}")
    };
    assert_eq!(
        BatchHeader::parse(&without).unwrap().delete_horizon_ms(),
        None
    );
    let Retained::Some(with) = retain(&batch, rule, |_| true).unwrap() else {
        panic!("no horizon")
    };
    assert_eq!(
        BatchHeader::parse(&with).unwrap().delete_horizon_ms(),
        Some(500)
    );
    assert_eq!(all(&with), all(&batch));
    let later = retain(&with, Horizon::OfTombstones(900), |_| true).unwrap();
    assert_eq!(later, Retained::All);
}

#[test]
fn recompressing_changes_the_codec_alone() {
    let inputs: Vec<Input> = (0..50).map(|n| (n, Some(vec![b'x'; 100]))).collect();
    for from in Codec::ALL {
        for to in Codec::ALL {
            let batch = build(from, &inputs);
            let after = crate::recompress(&batch, to, Level(Some(1))).unwrap();
            check_crc(&after);
            assert_eq!(BatchHeader::parse(&after).unwrap().codec().unwrap(), to);
            assert_eq!(all(&after), all(&batch));
        }
    }
}
