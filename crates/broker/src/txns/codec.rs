//! How transactional ids, their pending offsets and aborted ranges are written into the log.
//!
//! ```text
//! TXNS     key:   version u8 = 1 | 1 | transactional id                                     value: none: forgotten
//!          value: producer id i64 | previous id i64 | next id i64 | epoch i16 | last epoch i16 | time-out i32 (ms) | state u8
//!                 | bumps u8 | start i64 (ms) | update i64 (ms) | n u32 | n x (topic id 16 bytes | index i32)
//!                 | m u32 | m x (length u16 | group)
//!          key:   version u8 = 1 | 2 | producer id i64 | key of a committed offset           value: of a committed offset
//!          key:   version u8 = 1 | 3 | producer id i64                   all its pending offsets are decided
//! ABORTED  key:   version u8 = 1 | topic id 16 bytes | index i32 | producer id i64 | first offset i64
//!          value: last offset i64, or empty while it is not known
//! ```

use bytes::{Buf, BufMut, Bytes};
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_coord::txns::{State, Txn};

use crate::committed::{self, CommittedOffset, Place};

const VERSION: u8 = 1;
const TXN: u8 = 1;
const PENDING: u8 = 2;
const DECIDED: u8 = 3;

/// A record of TXNS.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Txn(String, Option<Txn>),
    Pending(i64, String, Place, CommittedOffset),
    Decided(i64),
}

/// Key and value of a record.
pub(super) type Pair = (Vec<u8>, Option<Vec<u8>>);

impl Entry {
    pub fn encode(&self) -> Pair {
        let mut key = vec![VERSION];
        match self {
            Self::Txn(id, txn) => {
                key.put_u8(TXN);
                key.put_slice(id.as_bytes());
                (key, txn.as_ref().map(encode_txn))
            }
            Self::Pending(producer_id, group, place, offset) => {
                key.put_u8(PENDING);
                key.put_i64(*producer_id);
                key.put_slice(&committed::encode_key(group, place));
                (key, Some(committed::encode_value(offset)))
            }
            Self::Decided(producer_id) => {
                key.put_u8(DECIDED);
                key.put_i64(*producer_id);
                (key, None)
            }
        }
    }

    /// `None` for what no version so far has written.
    pub fn decode(mut key: Bytes, value: Option<Bytes>) -> Option<Self> {
        if key.try_get_u8().ok()? != VERSION {
            return None;
        }
        match key.try_get_u8().ok()? {
            TXN => {
                let id = String::from_utf8(key.into()).ok()?;
                let txn = match value {
                    Some(value) => Some(decode_txn(value)?),
                    None => None,
                };
                Some(Self::Txn(id, txn))
            }
            PENDING => {
                let producer_id = key.try_get_i64().ok()?;
                let (version, group, place) = committed::decode_key(key)?;
                let offset = committed::decode_value(version, value?)?;
                Some(Self::Pending(producer_id, group, place, offset))
            }
            DECIDED => Some(Self::Decided(key.try_get_i64().ok()?)),
            _ => None,
        }
    }
}

fn encode_txn(txn: &Txn) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 20 * txn.partitions.len());
    out.put_i64(txn.producer_id);
    out.put_i64(txn.previous_id);
    out.put_i64(txn.next_id);
    out.put_i16(txn.epoch);
    out.put_i16(txn.last_epoch);
    out.put_i32(txn.timeout_ms);
    out.put_u8(state_code(txn.state));
    out.put_u8(u8::from(txn.bumps));
    out.put_i64(txn.start_ms);
    out.put_i64(txn.update_ms);
    // Neither count comes near its type's end: a request has fewer bytes than that.
    out.put_u32(u32::try_from(txn.partitions.len()).unwrap_or(u32::MAX));
    for partition in &txn.partitions {
        put_partition(&mut out, *partition);
    }
    out.put_u32(u32::try_from(txn.groups.len()).unwrap_or(u32::MAX));
    for group in &txn.groups {
        // A Kafka string, which is at most 32,767 bytes long.
        out.put_u16(u16::try_from(group.len()).unwrap_or(u16::MAX));
        out.put_slice(group.as_bytes());
    }
    out
}

fn decode_txn(mut value: Bytes) -> Option<Txn> {
    let from = &mut value;
    let mut txn = Txn::new(from.try_get_i64().ok()?, 0, 0);
    txn.previous_id = from.try_get_i64().ok()?;
    txn.next_id = from.try_get_i64().ok()?;
    txn.epoch = from.try_get_i16().ok()?;
    txn.last_epoch = from.try_get_i16().ok()?;
    txn.timeout_ms = from.try_get_i32().ok()?;
    txn.state = state_of(from.try_get_u8().ok()?)?;
    txn.bumps = from.try_get_u8().ok()? != 0;
    txn.start_ms = from.try_get_i64().ok()?;
    txn.update_ms = from.try_get_i64().ok()?;
    for _ in 0..from.try_get_u32().ok()? {
        txn.partitions.insert(get_partition(from)?);
    }
    for _ in 0..from.try_get_u32().ok()? {
        let length = usize::from(from.try_get_u16().ok()?);
        let group = (length <= from.len()).then(|| from.split_to(length))?;
        txn.groups.insert(String::from_utf8(group.into()).ok()?);
    }
    Some(txn)
}

fn put_partition(out: &mut Vec<u8>, partition: PartitionId) {
    out.put_slice(&partition.topic.0);
    out.put_i32(partition.index);
}

fn get_partition(from: &mut Bytes) -> Option<PartitionId> {
    let mut id = [0; 16];
    from.try_copy_to_slice(&mut id).ok()?;
    Some(PartitionId {
        topic: TopicId(id),
        index: from.try_get_i32().ok()?,
    })
}

const fn state_code(state: State) -> u8 {
    match state {
        State::Empty => 0,
        State::Ongoing => 1,
        State::PrepareCommit => 2,
        State::PrepareAbort => 3,
        State::CompleteCommit => 4,
        State::CompleteAbort => 5,
    }
}

fn state_of(code: u8) -> Option<State> {
    State::ALL
        .into_iter()
        .find(|state| state_code(*state) == code)
}

/// An aborted range, its end perhaps not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedEntry {
    pub partition: PartitionId,
    pub producer_id: i64,
    pub first: Offset,
    pub last: Option<Offset>,
}

impl AbortedEntry {
    pub fn encode(&self) -> Pair {
        let mut key = vec![VERSION];
        put_partition(&mut key, self.partition);
        key.put_i64(self.producer_id);
        key.put_i64(self.first);
        let value = self
            .last
            .map_or_else(Vec::new, |last| last.to_be_bytes().to_vec());
        (key, Some(value))
    }

    pub fn decode(mut key: Bytes, value: Option<Bytes>) -> Option<Self> {
        if key.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut value = value?;
        Some(Self {
            partition: get_partition(&mut key)?,
            producer_id: key.try_get_i64().ok()?,
            first: key.try_get_i64().ok()?,
            last: match value.is_empty() {
                true => None,
                false => Some(value.try_get_i64().ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn partition() -> impl Strategy<Value = PartitionId> {
        (any::<[u8; 16]>(), any::<i32>()).prop_map(|(id, index)| PartitionId {
            topic: TopicId(id),
            index,
        })
    }

    fn txn() -> impl Strategy<Value = Txn> {
        let ids = any::<(i64, i64, i64, i16, i16, i32, bool, i64, i64)>();
        let sets = (
            proptest::collection::btree_set(partition(), 0..5),
            proptest::collection::btree_set(".{0,20}", 0..4),
        );
        (ids, 0..6u8, sets).prop_map(|(ids, state, (partitions, groups))| Txn {
            producer_id: ids.0,
            previous_id: ids.1,
            next_id: ids.2,
            epoch: ids.3,
            last_epoch: ids.4,
            timeout_ms: ids.5,
            bumps: ids.6,
            start_ms: ids.7,
            update_ms: ids.8,
            state: state_of(state).unwrap(),
            partitions,
            groups,
        })
    }

    fn back(entry: &Entry) -> Option<Entry> {
        let (key, value) = entry.encode();
        Entry::decode(key.into(), value.map(Bytes::from))
    }

    proptest! {
        #[test]
        fn entries_survive_their_encoding(id in ".{0,40}", txn in txn(), producer: i64, group in ".{0,9}", index: i32, offset: i64, partition in partition(), first: i64, last: Option<i64>) {
            let committed = CommittedOffset { offset, leader_epoch: 3, metadata: id.clone(), commit_ms: 9, expire_ms: None };
            let entries = [
                Entry::Txn(id.clone(), Some(txn)),
                Entry::Txn(id, None),
                Entry::Pending(producer, group, ("t".into(), index), committed),
                Entry::Decided(producer),
            ];
            for entry in entries {
                prop_assert_eq!(back(&entry), Some(entry));
            }
            let aborted = AbortedEntry { partition, producer_id: producer, first, last };
            let (key, value) = aborted.encode();
            prop_assert_eq!(AbortedEntry::decode(key.into(), value.map(Bytes::from)), Some(aborted));
        }

        #[test]
        fn garbage_is_nothing_and_no_panic(key: Vec<u8>, value: Option<Vec<u8>>) {
            let value = value.map(Bytes::from);
            let _ = Entry::decode(key.clone().into(), value.clone());
            let _ = AbortedEntry::decode(key.into(), value);
        }
    }
}
