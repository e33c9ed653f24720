//! A batch on its way, and the handle by which a sender hears of its record.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use headwater_record::{BatchBuilder, BatchError, Codec, records};
use tokio::sync::Notify;

use crate::client::error::ClientError;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub partition: i32,
    /// -1 when the node does not tell (acks 0, or an earlier attempt had arrived).
    pub offset: i64,
}

/// The outcome of one record, some time. Dropping it does not take the record back.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(super) slot: Arc<Slot>,
    pub(super) partition: i32,
    /// Position in the batch.
    pub(super) index: i64,
}

impl Delivery {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// Why the record is not stored, as far as is known.
    pub async fn wait(&self) -> Result<Delivered, ClientError> {
        loop {
            let told = self.slot.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            told.await;
        }
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<Result<Delivered, ClientError>> {
        let outcome = self.slot.outcome.get()?;
        let place = |base: i64| Delivered {
            partition: self.partition,
            offset: if base < 0 { -1 } else { base + self.index },
        };
        Some(outcome.clone().map(place))
    }
}

/// The outcome of a batch: its base offset.
#[derive(Debug, Default)]
pub(super) struct Slot {
    outcome: OnceLock<Result<i64, ClientError>>,
    told: Notify,
}

impl Slot {
    pub fn tell(&self, outcome: Result<i64, ClientError>) {
        // Told once; a later attempt to tell it otherwise is ignored.
        let _ = self.outcome.set(outcome);
        self.told.notify_waiters();
    }
}

/// A batch that is being filled.
#[derive(Debug)]
pub(super) struct Open {
    pub builder: BatchBuilder,
    pub slot: Arc<Slot>,
    pub opened: Instant,
    /// Bytes that its records take of the producer's buffer.
    pub bytes: usize,
}

/// Who wrote a batch (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub id: i64,
    pub epoch: i16,
}

/// A batch that has its sequence, and once it was sent its bytes.
#[derive(Debug)]
pub(super) struct Batch {
    pub body: Body,
    pub slot: Arc<Slot>,
    pub opened: Instant,
    pub bytes: usize,
    pub records: i32,
    /// Position among the batches of its partition, for putting back in order what failed.
    pub order: u64,
}

#[derive(Debug)]
pub(super) enum Body {
    Builder(BatchBuilder),
    Built(Bytes),
}

impl Batch {
    /// The bytes to send; compresses and sums up the first time.
    pub fn build(&mut self) -> Bytes {
        let body = std::mem::replace(&mut self.body, Body::Built(Bytes::new()));
        let built = match body {
            Body::Builder(builder) => builder.build(),
            Body::Built(bytes) => bytes,
        };
        self.body = Body::Built(built.clone());
        built
    }

    /// Gives the batch another writer and sequence: what the earlier one wrote is settled.
    pub fn stamp(
        &mut self,
        identity: Identity,
        sequence: i32,
        codec: Codec,
    ) -> Result<(), BatchError> {
        let body = std::mem::replace(&mut self.body, Body::Built(Bytes::new()));
        let builder = match body {
            Body::Builder(builder) => builder,
            Body::Built(bytes) => reopen(&bytes, codec)?,
        };
        self.body = Body::Builder(builder.producer(identity.id, identity.epoch, sequence));
        Ok(())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Whoever still waits (the producer was dropped) shall not wait for ever.
        self.slot.tell(Err(ClientError::Closed));
    }
}

/// A builder with the records of a finished batch.
fn reopen(batch: &Bytes, codec: Codec) -> Result<BatchBuilder, BatchError> {
    let mut builder = BatchBuilder::new(codec);
    for record in records(batch)? {
        let record = record?;
        let headers: Vec<(&[u8], Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|header| (header.key.as_ref(), header.value.as_deref()))
            .collect();
        builder.push_with_headers(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        );
    }
    Ok(builder)
}
