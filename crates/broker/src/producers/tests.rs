//! The window of duplicates, order, epochs, wrapping, silence, transactions.
#![allow(clippy::unwrap_used)]
use super::*;

fn batch(epoch: i16, first: i32, last: i32) -> Sequenced {
    Sequenced {
        producer_id: 7,
        epoch,
        first,
        last,
        transactional: false,
    }
}

fn after_batches(batches: &[Sequenced]) -> Producers {
    let mut producers = Producers::default();
    let mut offset = 100;
    for one in batches {
        assert_eq!(producers.check(*one), Ok(Verdict::Append), "{one:?}");
        let records = i64::from(one.last) - i64::from(one.first) + 1;
        producers.appended(*one, placed(offset, offset + records - 1, 0));
        offset += records;
    }
    producers
}

#[test]
fn a_repeated_batch_gets_its_offset_again_within_the_last_five() {
    let batches: Vec<_> = (0..7).map(|n| batch(0, n * 10, n * 10 + 9)).collect();
    let producers = after_batches(&batches);
    for (n, one) in batches.iter().enumerate().skip(2) {
        let base_offset = 100 + 10 * n as i64;
        let expected = Verdict::Duplicate {
            base_offset,
            last_offset: base_offset + 9,
        };
        assert_eq!(producers.check(*one), Ok(expected));
    }
    assert!(matches!(
        producers.check(batches[1]),
        Err(BrokerError::OutOfOrderSequence {
            expected: 70,
            got: 10
        })
    ));
}

#[test]
fn a_gap_is_refused_and_the_next_sequence_taken() {
    let producers = after_batches(&[batch(0, 0, 4)]);
    assert!(matches!(
        producers.check(batch(0, 6, 6)),
        Err(BrokerError::OutOfOrderSequence {
            expected: 5,
            got: 6
        })
    ));
    assert_eq!(producers.check(batch(0, 5, 5)), Ok(Verdict::Append));
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut producers = after_batches(&[batch(0, 0, 4)]);
    assert!(matches!(
        producers.check(batch(1, 5, 5)),
        Err(BrokerError::OutOfOrderSequence {
            expected: 0,
            got: 5
        })
    ));
    assert_eq!(producers.check(batch(1, 0, 0)), Ok(Verdict::Append));
    producers.appended(batch(1, 0, 0), placed(105, 105, 0));
    let old = producers.check(batch(0, 5, 5));
    assert_eq!(
        old,
        Err(BrokerError::InvalidProducerEpoch { current: 1, got: 0 })
    );
}

#[test]
fn nothing_overtakes_the_first_batch_of_a_producer_that_found_no_room() {
    let mut producers = Producers::default();
    producers.refused(batch(0, 0, 4), 0);
    let overtaking = producers.check(batch(0, 5, 9));
    assert_eq!(
        overtaking,
        Err(BrokerError::OutOfOrderSequence {
            expected: 0,
            got: 5
        })
    );
    assert_eq!(producers.check(batch(0, 0, 4)), Ok(Verdict::Append));
    producers.appended(batch(0, 0, 4), placed(0, 4, 0));
    assert_eq!(producers.check(batch(0, 5, 9)), Ok(Verdict::Append));
}

#[test]
fn sequences_wrap() {
    let producers = after_batches(&[batch(0, i32::MAX - 1, i32::MAX)]);
    assert_eq!(producers.check(batch(0, 0, 3)), Ok(Verdict::Append));
    assert_eq!(last_sequence(i32::MAX, 1), 0);
    assert_eq!(last_sequence(i32::MAX - 1, 1), i32::MAX);
}

#[test]
fn silent_producers_are_forgotten_when_there_are_many_unless_a_transaction_is_open() {
    let of = |producer_id, transactional| Sequenced {
        producer_id,
        transactional,
        ..batch(0, 0, 0)
    };
    let mut producers = Producers::default();
    for id in 0..PRODUCERS_SOFT_MAX as i64 {
        producers.appended(of(id + 100, id == 5), placed(id, id, 0));
    }
    producers.appended(batch(0, 0, 0), placed(5_000, 5_000, 1));
    assert_eq!(producers.by_id.len(), PRODUCERS_SOFT_MAX + 1);
    producers.appended(of(999_999, false), placed(6_000, 6_000, EXPIRATION_MS + 2));
    assert_eq!(producers.by_id.len(), 2);
    assert!(producers.is_open(105, 0));
}

fn placed(base_offset: Offset, last_offset: Offset, now_ms: i64) -> Placed {
    Placed {
        base_offset,
        last_offset,
        now_ms,
    }
}

fn transactional(epoch: i16, first: i32, last: i32) -> Sequenced {
    Sequenced {
        transactional: true,
        ..batch(epoch, first, last)
    }
}

#[test]
fn a_marker_ends_the_transaction_and_its_epoch_fences() {
    let mut producers = Producers::default();
    producers.appended(transactional(3, 0, 4), placed(10, 14, 0));
    assert!(producers.is_open(7, 3) && !producers.is_open(7, 4));
    let plain = producers.check(batch(3, 5, 5));
    assert_eq!(plain, Err(BrokerError::InvalidTransaction));
    assert_eq!(producers.check(transactional(3, 5, 5)), Ok(Verdict::Append));
    assert!(producers.check_marker(7, 2, 0).is_err());
    let range = producers.ended((7, 4), 0, placed(15, 15, 1), 15).unwrap();
    assert_eq!((range.first, range.last), (10, 15));
    assert!(!producers.is_open(7, 3));
    assert!(matches!(
        producers.check(transactional(3, 5, 5)),
        Err(BrokerError::InvalidProducerEpoch { current: 4, got: 3 })
    ));
    assert_eq!(producers.check(batch(4, 0, 0)), Ok(Verdict::Append));
    assert_eq!(
        producers.check(batch(4, 5, 5)),
        Err(BrokerError::OutOfOrderSequence {
            expected: 0,
            got: 5
        })
    );
    assert_eq!(producers.ended((7, 4), 0, placed(16, 16, 1), 16), None);
}

#[test]
fn in_one_epoch_the_sequence_goes_on_across_transactions() {
    let mut producers = Producers::default();
    producers.appended(transactional(3, 0, 4), placed(10, 14, 0));
    producers.ended((7, 3), 0, placed(15, 15, 1), 15);
    assert_eq!(producers.check(transactional(3, 5, 5)), Ok(Verdict::Append));
    assert_eq!(
        producers.check(transactional(3, 0, 4)),
        Ok(Verdict::Duplicate {
            base_offset: 10,
            last_offset: 14
        })
    );
}

#[test]
fn what_outlived_its_batches_goes_on_as_before() {
    let mut before = after_batches(&[batch(2, 0, 4), batch(2, 5, 9)]);
    before.ended((8, 6), 3, placed(110, 110, 4), 110);
    let mut producers = Producers::default();
    before.snapshots().for_each(|one| producers.import(one));
    let mut expected: Vec<_> = before.snapshots().collect();
    let mut got: Vec<_> = producers.snapshots().collect();
    expected.sort_by_key(|one| one.producer_id);
    got.sort_by_key(|one| one.producer_id);
    assert_eq!(got, expected);
    assert_eq!(producers.check(batch(2, 10, 10)), Ok(Verdict::Append));
    assert!(producers.check(batch(2, 11, 11)).is_err());
    assert!(producers.check(batch(1, 10, 10)).is_err());
    let old = BatchMeta {
        base_offset: 100,
        last_offset: 104,
        max_timestamp: 0,
        producer_id: 7,
        producer_epoch: 2,
        base_sequence: 0,
        attributes: 0,
        bytes: 80,
    };
    producers.replay(&old, 9);
    assert_eq!(producers.check(batch(2, 10, 10)), Ok(Verdict::Append));
    assert!(matches!(
        producers.check(batch(2, 0, 4)),
        Ok(Verdict::Duplicate {
            base_offset: 100,
            last_offset: 104
        })
    ));
}

#[test]
fn a_snapshot_does_not_hide_an_open_transaction() {
    let mut before = Producers::default();
    before.appended(transactional(0, 0, 4), placed(10, 14, 0));
    let mut producers = Producers::default();
    before.snapshots().for_each(|one| producers.import(one));
    let held = BatchMeta {
        base_offset: 10,
        last_offset: 14,
        max_timestamp: 0,
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        attributes: TRANSACTIONAL,
        bytes: 80,
    };
    producers.replay(&held, 9);
    assert!(producers.is_open(7, 0));
    let state = PartitionState {
        durable_end: 15,
        submitted_end: 15,
        ..PartitionState::default()
    };
    assert_eq!(producers.last_stable_offset(&state, Bound::Durable), 10);
}
