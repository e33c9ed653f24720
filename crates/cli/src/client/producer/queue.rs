//! One partition's batches: in order, each with its sequence, and put back in order when they fail.
//!
//! Several batches may be in flight. When one fails for now, nothing more of the partition is sent until all that are in flight have
//! come back (those behind it fail with OUT_OF_ORDER_SEQUENCE); then they go again from the first, with the sequences they had.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_record::Codec;

use super::batch::{Batch, Body, Identity, Open, Slot};

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub leader: i32,
    pub open: Option<Open>,
    /// Complete, not sent yet.
    full: VecDeque<Open>,
    /// Sent, to be sent again; in order.
    retry: VecDeque<Batch>,
    in_flight: u32,
    /// A batch has failed: wait until all are back.
    recovering: bool,
    retry_at: Option<Instant>,
    identity: Option<Identity>,
    next_sequence: i32,
    next_order: u64,
    /// The accumulator has it among those with something to send.
    pub listed: bool,
}

/// When an incomplete batch may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ripe {
    pub now: Instant,
    pub linger: Duration,
    /// Somebody waits for everything to be sent, or for room.
    pub hurry: bool,
    pub idempotent: bool,
}

impl Queue {
    pub fn new(leader: i32) -> Self {
        Self {
            leader,
            ..Self::default()
        }
    }

    pub fn close_open(&mut self) {
        self.full.extend(self.open.take());
    }

    pub fn is_idle(&self) -> bool {
        self.open.is_none() && self.full.is_empty() && self.retry.is_empty()
    }

    /// Whether it waits for an identity before it can send.
    pub fn needs_identity(&self) -> bool {
        self.identity.is_none() && !self.is_idle() && self.in_flight == 0
    }

    /// Gives the identity under which all that is to be sent goes out, from sequence 0.
    pub fn identify(&mut self, identity: Identity, codec: Codec) -> Vec<Batch> {
        self.identity = Some(identity);
        self.next_sequence = 0;
        let mut unreadable = Vec::new();
        for mut batch in std::mem::take(&mut self.retry) {
            let sequence = self.next_sequence;
            if batch.stamp(identity, sequence, codec).is_ok() {
                self.next_sequence = after(sequence, batch.records);
                self.retry.push_back(batch);
            } else {
                unreadable.push(batch);
            }
        }
        unreadable
    }

    /// The next batch to send, if one may go now.
    pub fn take(&mut self, ripe: &Ripe) -> Option<Batch> {
        if self.recovering && self.in_flight == 0 {
            self.recovering = false;
        }
        let waits = self.retry_at.is_some_and(|at| at > ripe.now);
        if self.recovering || waits || (ripe.idempotent && self.identity.is_none()) {
            return None;
        }
        self.retry_at = None;
        let batch = match self.retry.pop_front() {
            Some(batch) => Some(batch),
            None => self.take_new(ripe),
        }?;
        self.in_flight += 1;
        Some(batch)
    }

    fn take_new(&mut self, ripe: &Ripe) -> Option<Batch> {
        let due =
            |open: &mut Open| ripe.hurry || ripe.now.duration_since(open.opened) >= ripe.linger;
        let open = self.full.pop_front().or_else(|| self.open.take_if(due))?;
        let records = i32::try_from(open.builder.len()).unwrap_or(i32::MAX);
        let builder = match self.identity.filter(|_| ripe.idempotent) {
            Some(identity) => {
                open.builder
                    .producer(identity.id, identity.epoch, self.next_sequence)
            }
            None => open.builder,
        };
        self.next_sequence = after(self.next_sequence, records);
        self.next_order += 1;
        Some(Batch {
            body: Body::Builder(builder),
            slot: open.slot,
            opened: open.opened,
            bytes: open.bytes,
            records,
            order: self.next_order,
        })
    }

    /// When [`Queue::take`] may give something that it does not give now.
    pub fn ripens_at(&self, ripe: &Ripe) -> Option<Instant> {
        let nameless = ripe.idempotent && self.identity.is_none();
        if nameless || (self.recovering && self.in_flight > 0) {
            return None;
        }
        let lingered = self.open.as_ref().map(|open| open.opened + ripe.linger);
        let waiting = if self.retry.is_empty() && self.full.is_empty() {
            lingered
        } else {
            None
        };
        self.retry_at.or(waiting)
    }

    pub fn settled(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// Puts a batch back: it goes again, with its bytes, when all that are in flight have come back.
    pub fn put_back(&mut self, batch: Batch, at: Instant) {
        self.recovering = true;
        self.retry_at = Some(at);
        let place = self
            .retry
            .partition_point(|other| other.order < batch.order);
        self.retry.insert(place, batch);
    }

    /// What follows cannot follow the last sequence any more: take a new identity when all are back.
    pub fn reset(&mut self) {
        self.recovering = true;
        self.identity = None;
    }

    /// Takes out what was opened before `limit`, the oldest first.
    pub fn expire(&mut self, limit: Instant) -> Vec<(Arc<Slot>, usize, i32)> {
        let mut gone = Vec::new();
        while let Some(batch) = self.retry.pop_front_if(|batch| batch.opened < limit) {
            gone.push((Arc::clone(&batch.slot), batch.bytes, batch.records));
        }
        if !gone.is_empty() {
            // Their sequences will never arrive.
            self.reset();
        }
        let count = |open: &Open| i32::try_from(open.builder.len()).unwrap_or(i32::MAX);
        while let Some(open) = self.full.pop_front_if(|open| open.opened < limit) {
            let records = count(&open);
            gone.push((open.slot, open.bytes, records));
        }
        if let Some(open) = self.open.take_if(|open| open.opened < limit) {
            let records = count(&open);
            gone.push((open.slot, open.bytes, records));
        }
        gone
    }
}

/// Sequences wrap from `i32::MAX` to 0.
fn after(sequence: i32, records: i32) -> i32 {
    let next = (i64::from(sequence) + i64::from(records)) % (i64::from(i32::MAX) + 1);
    i32::try_from(next).unwrap_or(0)
}
