//! The record batches of one commit, collected partition by partition.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_base::PartitionId;
use headwater_record::{BatchBuilder, Codec};

/// A batch is closed when it has this many bytes: well under what a topic takes (1 MiB) also with a large last record.
const BATCH_BYTES: usize = 512 * 1024;

/// See the module's description.
pub struct Appends {
    timestamp_ms: i64,
    bytes: usize,
    open: BTreeMap<PartitionId, BatchBuilder>,
    closed: Vec<(PartitionId, Bytes)>,
}

impl Appends {
    pub fn new(timestamp_ms: i64) -> Self {
        Self {
            timestamp_ms,
            bytes: 0,
            open: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    /// Bytes of all keys, values and headers so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, partition: PartitionId, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.push_record(partition, None, key, value, &[]);
    }

    /// The same with headers, and with a time of its own if there is one (milliseconds since 1970).
    pub fn push_record(
        &mut self,
        partition: PartitionId,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Vec<u8>)],
    ) {
        let headers: Vec<(&[u8], Option<&[u8]>)> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_slice())))
            .collect();
        let of_header =
            |(name, value): &(&[u8], Option<&[u8]>)| name.len() + value.map_or(0, <[u8]>::len);
        let size = key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + headers.iter().map(of_header).sum::<usize>();
        self.bytes += size;
        let full =
            |batch: &BatchBuilder| !batch.is_empty() && batch.size_bytes() + size > BATCH_BYTES;
        if self.open.get(&partition).is_some_and(full)
            && let Some(batch) = self.open.remove(&partition)
        {
            self.closed.push((partition, batch.build()));
        }
        let batch = self
            .open
            .entry(partition)
            .or_insert_with(|| BatchBuilder::new(Codec::None));
        batch.push_with_headers(
            timestamp_ms.unwrap_or(self.timestamp_ms),
            key,
            value,
            &headers,
        );
    }

    /// All batches; those of one partition in the order of their records.
    pub fn finish(mut self) -> Vec<(PartitionId, Bytes)> {
        let open = self.open.into_iter().filter(|(_, batch)| !batch.is_empty());
        self.closed
            .extend(open.map(|(partition, batch)| (partition, batch.build())));
        self.closed
    }
}
