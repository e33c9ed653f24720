//! All queues of a producer behind one lock, and the account of what is not delivered yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use headwater_record::{BatchBuilder, partition_for_key};

use super::batch::{Batch, Delivery, Identity, Open, Slot};
use super::queue::{Queue, Ripe};
use super::{Outgoing, ProducerConfig};
use crate::client::cluster::Partition;
use crate::client::error::ClientError;

/// What a record takes beside key, value and headers, about.
const RECORD_OVERHEAD_BYTES: usize = 24;
const HEADER_OVERHEAD_BYTES: usize = 4;

pub(super) enum Appended {
    Queued {
        delivery: Delivery,
        wake: bool,
    },
    /// No room; try again after progress.
    Full,
    UnknownTopic,
}

/// Place of a queue: topic, partition.
pub(super) type Place = (usize, usize);

#[derive(Debug)]
pub(super) struct Accumulator {
    config: ProducerConfig,
    by_name: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    /// Queues with something to send.
    active: Vec<Place>,
    bytes: usize,
    /// Records not delivered yet.
    pub records: u64,
    /// How many wait for everything to be sent.
    pub flushing: u32,
    pub first_error: Option<ClientError>,
    closed: bool,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    queues: Vec<Queue>,
    /// The partition that records without key go to until its batch is complete.
    sticky: usize,
}

/// A batch taken for sending.
#[derive(Debug)]
pub(super) struct Taken {
    pub place: Place,
    pub topic: Arc<str>,
    pub leader: i32,
    pub batch: Batch,
}

impl Accumulator {
    pub fn new(config: ProducerConfig) -> Self {
        Self {
            config,
            by_name: HashMap::new(),
            topics: Vec::new(),
            active: Vec::new(),
            bytes: 0,
            records: 0,
            flushing: 0,
            first_error: None,
            closed: false,
        }
    }

    /// Adds a record to the batch of its partition.
    pub fn append(
        &mut self,
        record: &Outgoing<'_>,
        timestamp_ms: i64,
    ) -> Result<Appended, ClientError> {
        if self.closed {
            return Err(ClientError::Closed);
        }
        let Some(&index) = self.by_name.get(record.topic) else {
            return Ok(Appended::UnknownTopic);
        };
        let bytes = size(record);
        if bytes
            > self
                .config
                .request_bytes_max
                .min(self.config.buffer_bytes_max)
        {
            return Err(ClientError::TooLarge {
                bytes,
                max_bytes: self.config.request_bytes_max,
            });
        }
        if self.bytes + bytes > self.config.buffer_bytes_max {
            return Ok(Appended::Full);
        }
        self.topics[index].turn(record, bytes, self.config.batch_bytes);
        let partition = self.topics[index].choose(record)?;
        let topic = &mut self.topics[index];
        let queue = &mut topic.queues[partition];
        let mut wake = !queue.listed;
        if queue
            .open
            .as_ref()
            .is_some_and(|open| open.bytes + bytes > self.config.batch_bytes)
        {
            queue.close_open();
            wake = true;
        }
        let queue = &mut topic.queues[partition];
        let codec = self.config.codec;
        let open = queue.open.get_or_insert_with(|| {
            wake = true;
            let slot = Arc::new(Slot::default());
            Open {
                builder: BatchBuilder::new(codec),
                slot,
                opened: Instant::now(),
                bytes: 0,
            }
        });
        let index_in_batch = open.builder.len() as i64;
        open.builder
            .push_with_headers(timestamp_ms, record.key, record.value, record.headers);
        open.bytes += bytes;
        let delivery = Delivery {
            slot: Arc::clone(&open.slot),
            partition: partition as i32,
            index: index_in_batch,
        };
        if !queue.listed {
            queue.listed = true;
            self.active.push((index, partition));
        }
        self.bytes += bytes;
        self.records += 1;
        Ok(Appended::Queued { delivery, wake })
    }

    /// Sets or updates what is known of a topic.
    pub fn set_partitions(&mut self, name: &str, partitions: &[Partition]) {
        let index = self.by_name.get(name).copied().unwrap_or_else(|| {
            let name: Arc<str> = name.into();
            self.topics.push(Topic {
                name: Arc::clone(&name),
                queues: Vec::new(),
                sticky: 0,
            });
            self.by_name.insert(name, self.topics.len() - 1);
            self.topics.len() - 1
        });
        let topic = &mut self.topics[index];
        for (at, partition) in partitions.iter().enumerate() {
            match topic.queues.get_mut(at) {
                Some(queue) => queue.leader = partition.leader,
                None => topic.queues.push(Queue::new(partition.leader)),
            }
        }
    }

    pub fn topic_names(&self) -> Vec<Arc<str>> {
        self.topics
            .iter()
            .map(|topic| Arc::clone(&topic.name))
            .collect()
    }

    pub fn queue(&mut self, (topic, partition): Place) -> Option<&mut Queue> {
        self.topics.get_mut(topic)?.queues.get_mut(partition)
    }

    /// At most one batch of each partition whose leader takes more, and the moment at which there may be more.
    pub fn take(
        &mut self,
        idempotent: bool,
        takes_more: &dyn Fn(i32) -> bool,
    ) -> (Vec<Taken>, Option<Instant>) {
        let ripe = Ripe {
            now: Instant::now(),
            linger: self.config.linger,
            hurry: self.flushing > 0 || self.bytes > self.config.buffer_bytes_max / 2,
            idempotent,
        };
        let (mut taken, mut next) = (Vec::new(), None::<Instant>);
        let mut active = std::mem::take(&mut self.active);
        active.retain(|&place| {
            let topic = &mut self.topics[place.0];
            let queue = &mut topic.queues[place.1];
            let leader = queue.leader;
            if takes_more(leader) {
                if let Some(batch) = queue.take(&ripe) {
                    taken.push(Taken {
                        place,
                        topic: Arc::clone(&topic.name),
                        leader,
                        batch,
                    });
                }
                next = next.into_iter().chain(queue.ripens_at(&ripe)).min();
            }
            queue.listed = !queue.is_idle();
            queue.listed
        });
        self.active = active;
        (taken, next)
    }

    pub fn needs_identity(&self) -> bool {
        self.active
            .iter()
            .any(|&(topic, partition)| self.topics[topic].queues[partition].needs_identity())
    }

    /// Gives a fresh identity to all queues that wait for one.
    pub fn identify(&mut self, identity: Identity) {
        let codec = self.config.codec;
        let mut unreadable = Vec::new();
        for &(topic, partition) in &self.active {
            let queue = &mut self.topics[topic].queues[partition];
            if queue.needs_identity() {
                unreadable.extend(queue.identify(identity, codec));
            }
        }
        for batch in unreadable {
            self.finish(
                &batch.slot,
                batch.bytes,
                batch.records,
                Err(ClientError::Closed),
            );
        }
    }

    /// Puts a queue with something to send (again) among the active ones.
    pub fn list(&mut self, place: Place) {
        let Some(queue) = self.queue(place) else {
            return;
        };
        if !queue.is_idle() && !std::mem::replace(&mut queue.listed, true) {
            self.active.push(place);
        }
    }

    /// Fails what has waited for too long.
    pub fn expire(&mut self, limit: Instant, why: &ClientError) {
        let active = self.active.clone();
        for place in active {
            let gone = self
                .queue(place)
                .map(|queue| queue.expire(limit))
                .unwrap_or_default();
            for (slot, bytes, records) in gone {
                self.finish(&slot, bytes, records, Err(why.clone()));
            }
        }
    }

    /// Tells the outcome of a batch and gives its room back.
    pub fn finish(
        &mut self,
        slot: &Slot,
        bytes: usize,
        records: i32,
        outcome: Result<i64, ClientError>,
    ) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(records.unsigned_abs().into());
        if let Err(error) = &outcome {
            self.first_error.get_or_insert_with(|| error.clone());
        }
        slot.tell(outcome);
    }

    /// Nothing more is sent; who waits is told.
    pub fn close(&mut self) {
        self.closed = true;
        // Far enough in the future that everything is older.
        if let Some(limit) = Instant::now().checked_add(std::time::Duration::from_secs(3_600)) {
            self.expire(limit, &ClientError::Closed);
        }
    }
}

impl Topic {
    /// Goes on to the next partition when a record without key would begin a batch (KIP-480).
    fn turn(&mut self, record: &Outgoing<'_>, bytes: usize, batch_bytes: usize) {
        let bound = record.key.is_some() || record.partition.is_some();
        let Some(queue) = self.queues.get(self.sticky).filter(|_| !bound) else {
            return;
        };
        let room = queue
            .open
            .as_ref()
            .is_some_and(|open| open.bytes + bytes <= batch_bytes);
        if !room {
            self.sticky = (self.sticky + 1) % self.queues.len();
        }
    }

    fn choose(&self, record: &Outgoing<'_>) -> Result<usize, ClientError> {
        let count = self.queues.len();
        let missing = |partition| ClientError::NoPartition {
            topic: self.name.to_string(),
            partition,
        };
        match (record.partition, record.key) {
            (Some(partition), _) => usize::try_from(partition)
                .ok()
                .filter(|index| *index < count)
                .ok_or_else(|| missing(partition)),
            _ if count == 0 => Err(missing(0)),
            (None, Some(key)) => Ok(partition_for_key(key, count as i32).unsigned_abs() as usize),
            (None, None) => Ok(self.sticky % count),
        }
    }
}

fn size(record: &Outgoing<'_>) -> usize {
    let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record
        .headers
        .iter()
        .map(|(key, value)| key.len() + length(*value) + HEADER_OVERHEAD_BYTES);
    RECORD_OVERHEAD_BYTES + length(record.key) + length(record.value) + headers.sum::<usize>()
}
