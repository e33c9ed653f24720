//! Idempotent producers: what a partition remembers of each, and what it says to their next batch (KIP-98, KIP-360).
//!
//! Pure. The state is rebuilt from the batch headers in the log at start.

use std::collections::{HashMap, VecDeque};

use headwater_base::Offset;

use crate::error::BrokerError;

/// Batches remembered per producer: as many as a producer may have in flight.
const BATCHES_MAX: usize = 5;
/// Producers of one partition above which the silent ones are forgotten.
const PRODUCERS_SOFT_MAX: usize = 1_000;
/// Silence after which a producer may be forgotten (Kafka's `producer.id.expiration.ms`), in milliseconds.
const SILENCE_MS: i64 = 24 * 3600 * 1000;

/// The producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    pub producer_id: i64,
    pub epoch: i16,
    pub first: i32,
    pub last: i32,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is there already, with this base offset and last offset.
    Duplicate {
        base_offset: Offset,
        last_offset: Offset,
    },
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    first: i32,
    last: i32,
    base_offset: Offset,
    last_offset: Offset,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    /// The sequence it began with here: what is expected before a batch is stored.
    first: i32,
    batches: VecDeque<Stored>,
    seen_ms: i64,
}

/// All producers that one partition remembers.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producer {
    fn beginning_with(batch: Sequenced, now_ms: i64) -> Self {
        Self {
            epoch: batch.epoch,
            first: batch.first,
            batches: VecDeque::new(),
            seen_ms: now_ms,
        }
    }
}

impl Producers {
    /// # Errors
    /// The epoch is older than one seen, or the sequence neither follows nor repeats a remembered batch.
    pub fn check(&self, batch: Sequenced) -> Result<Verdict, BrokerError> {
        // A producer that is not remembered (expired, or its records were deleted) may go on with any sequence.
        let Some(known) = self.by_id.get(&batch.producer_id) else {
            return Ok(Verdict::Append);
        };
        if batch.epoch < known.epoch {
            return Err(BrokerError::InvalidProducerEpoch {
                current: known.epoch,
                got: batch.epoch,
            });
        }
        if batch.epoch > known.epoch {
            return match batch.first {
                0 => Ok(Verdict::Append),
                got => Err(BrokerError::OutOfOrderSequence { expected: 0, got }),
            };
        }
        let same = |stored: &&Stored| stored.first == batch.first && stored.last == batch.last;
        if let Some(stored) = known.batches.iter().find(same) {
            return Ok(Verdict::Duplicate {
                base_offset: stored.base_offset,
                last_offset: stored.last_offset,
            });
        }
        let last = known.batches.back();
        let expected = last.map_or(known.first, |stored| after(stored.last));
        match batch.first == expected {
            true => Ok(Verdict::Append),
            false => Err(BrokerError::OutOfOrderSequence {
                expected,
                got: batch.first,
            }),
        }
    }

    /// Remembers a batch that has been given its offsets.
    pub fn appended(
        &mut self,
        batch: Sequenced,
        base_offset: Offset,
        last_offset: Offset,
        now_ms: i64,
    ) {
        if self.by_id.len() >= PRODUCERS_SOFT_MAX && !self.by_id.contains_key(&batch.producer_id) {
            self.forget_silent(now_ms);
        }
        let new = || Producer::beginning_with(batch, now_ms);
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(new);
        if producer.epoch != batch.epoch {
            *producer = new();
        }
        producer.seen_ms = now_ms;
        if producer.batches.len() == BATCHES_MAX {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Stored {
            first: batch.first,
            last: batch.last,
            base_offset,
            last_offset,
        });
    }

    /// Remembers that a batch was good but found no room: of a producer that is new here, what it has already sent behind
    /// that batch must not be taken before it.
    pub fn refused(&mut self, batch: Sequenced, now_ms: i64) {
        if self.by_id.len() >= PRODUCERS_SOFT_MAX {
            self.forget_silent(now_ms);
        }
        let new = || Producer::beginning_with(batch, now_ms);
        self.by_id.entry(batch.producer_id).or_insert_with(new);
    }

    fn forget_silent(&mut self, now_ms: i64) {
        self.by_id
            .retain(|_, producer| now_ms.saturating_sub(producer.seen_ms) < SILENCE_MS);
    }
}

/// Sequence numbers wrap from `i32::MAX` to 0.
fn after(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}

/// The last sequence number of a batch.
pub fn last_sequence(first: i32, last_offset_delta: i32) -> i32 {
    let last = i64::from(first) + i64::from(last_offset_delta);
    i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn batch(epoch: i16, first: i32, last: i32) -> Sequenced {
        Sequenced {
            producer_id: 7,
            epoch,
            first,
            last,
        }
    }

    fn after_batches(batches: &[Sequenced]) -> Producers {
        let mut producers = Producers::default();
        let mut offset = 100;
        for one in batches {
            assert_eq!(producers.check(*one), Ok(Verdict::Append), "{one:?}");
            let records = i64::from(one.last) - i64::from(one.first) + 1;
            producers.appended(*one, offset, offset + records - 1, 0);
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
        producers.appended(batch(1, 0, 0), 105, 105, 0);
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
        producers.appended(batch(0, 0, 4), 0, 4, 0);
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
    fn silent_producers_are_forgotten_when_there_are_many() {
        let mut producers = Producers::default();
        for id in 0..PRODUCERS_SOFT_MAX as i64 {
            producers.appended(
                Sequenced {
                    producer_id: id,
                    epoch: 0,
                    first: 0,
                    last: 0,
                },
                id,
                id,
                0,
            );
        }
        producers.appended(batch(0, 0, 0), 5_000, 5_000, 1);
        assert_eq!(producers.by_id.len(), PRODUCERS_SOFT_MAX);
        let late = Sequenced {
            producer_id: 999_999,
            epoch: 0,
            first: 0,
            last: 0,
        };
        producers.appended(late, 6_000, 6_000, SILENCE_MS + 2);
        assert_eq!(producers.by_id.len(), 1);
    }
}
