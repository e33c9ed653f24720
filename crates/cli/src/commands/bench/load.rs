//! Batches made ahead: records are written and compressed once, and stamped with producer, sequence and time when they are sent.

use bytes::Bytes;
use headwater_record::{
    BatchBuilder, BatchError, Codec, HEADER_BYTES, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    restamped,
};

/// What a record takes beside its value, at most.
const RECORD_OVERHEAD_BYTES: usize = 20;
/// What values are made of: text that compresses about as well as events in JSON do.
const WORDS: [&str; 32] = [
    "\"id\":",
    "\"user\":",
    "\"time\":",
    "\"amount\":",
    "\"place\":",
    "true",
    "false",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
    "red",
    "green",
    "blue",
    "north",
    "south",
    "river",
    "water",
    "head",
    "17",
    "42",
    "365",
    "1024",
    "3.14",
    "0",
    "-1",
    "Ada",
    "Grace",
    "Linus",
    "Edsger",
];

/// A batch that can be sent again and again.
pub(super) struct Template {
    bytes: Bytes,
    pub records: i32,
    /// Bytes of the values, before compression.
    pub value_bytes: u64,
}

impl Template {
    /// A batch of so many records.
    pub fn new(records: usize, value_bytes: usize, codec: Codec) -> Self {
        let mut builder = BatchBuilder::new(codec);
        let mut text = Text::default();
        let mut value = Vec::with_capacity(value_bytes);
        for _ in 0..records.max(1) {
            text.fill(&mut value, value_bytes);
            builder.push(0, None, Some(&value));
        }
        let records = builder.len();
        Self {
            bytes: builder.build(),
            records: i32::try_from(records).unwrap_or(i32::MAX),
            value_bytes: (records * value_bytes) as u64,
        }
    }

    /// The batch of a producer (id and epoch) with its first sequence number.
    pub fn stamped(
        &self,
        identity: Option<(i64, i16)>,
        sequence: i32,
        now_ms: i64,
    ) -> Result<Bytes, BatchError> {
        let producer = match identity {
            Some((id, epoch)) => (id, epoch, sequence),
            None => (NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE),
        };
        restamped(&self.bytes, producer, now_ms)
    }
}

/// Records of this size in a batch.
pub(super) fn records_in(batch_bytes: usize, value_bytes: usize) -> usize {
    (batch_bytes.saturating_sub(HEADER_BYTES) / (value_bytes + RECORD_OVERHEAD_BYTES)).max(1)
}

/// Sequence numbers wrap from `i32::MAX` to 0.
pub(super) fn after(sequence: i32, records: i32) -> i32 {
    let next = i64::from(sequence) + i64::from(records);
    i32::try_from(next % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

/// The same text in every run.
struct Text(u64);

impl Default for Text {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Text {
    fn fill(&mut self, value: &mut Vec<u8>, bytes: usize) {
        value.clear();
        while value.len() < bytes {
            // xorshift64
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            value.extend_from_slice(WORDS[(self.0 >> 32) as usize % WORDS.len()].as_bytes());
        }
        value.truncate(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use headwater_record::{records, validate};

    #[test]
    fn a_stamped_batch_is_whole_and_bears_what_it_was_given() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let template = Template::new(records_in(16 * 1024, 100), 100, codec);
            assert!((100..=160).contains(&template.records), "{codec:?}");
            let batch = template.stamped(Some((7, 2)), 40, 1_234).unwrap();
            let header = validate(&batch).unwrap();
            assert_eq!(
                (
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence
                ),
                (7, 2, 40)
            );
            assert_eq!(
                (header.base_timestamp, header.max_timestamp),
                (1_234, 1_234)
            );
            assert_eq!(header.record_count, template.records);
            let sizes: Vec<usize> = records(&batch)
                .unwrap()
                .map(|record| record.unwrap().value.unwrap().len())
                .collect();
            assert_eq!(sizes, vec![100; template.records as usize]);
        }
    }

    #[test]
    fn without_an_identity_there_is_no_producer() {
        let batch = Template::new(1, 16, Codec::None)
            .stamped(None, 5, 0)
            .unwrap();
        assert!(!validate(&batch).unwrap().has_producer());
    }

    #[test]
    fn compressible_text_compresses() {
        let packed = Template::new(100, 1000, Codec::Lz4);
        let share = packed.bytes.len() as f64 / packed.value_bytes as f64;
        assert!((0.1..0.7).contains(&share), "{share}");
    }

    #[test]
    fn sequences_wrap() {
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(after(i32::MAX - 1, 3), 1);
        assert_eq!(after(5, 10), 15);
    }
}
