//! What has to survive a restart of the groups, in an internal partition of the log.
//!
//! ```text
//! key:   kind u8 (1 classic group, 2 consumer group, 3 its member) | group length u16 | group | member id (of kind 3)
//! value: as `coord` encodes it; none: deleted
//! ```
//! The newest values are kept, so that the partition can be written anew, once it holds far more records than there are values,
//! without asking any group.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use futures::FutureExt;
use futures::future::Shared;
use headwater_base::World;
use headwater_coord::consumer_groups::ConsumerGroup;
use headwater_coord::groups::SavedGroup;
use headwater_log::{Commit, Durable, Log};
use parking_lot::Mutex;

use crate::error::{BrokerError, OpenError};
use crate::journal::{self, GROUPS};

/// Records beyond four times the number of values after which everything is written anew.
const RECORDS_MAX: usize = 2_000;

const CLASSIC: u8 = 1;
const CONSUMER: u8 = 2;
const MEMBER: u8 = 3;

/// Resolves when what was written is durable.
pub(crate) type Written = Shared<Durable>;

/// A key and what is to be under it.
pub(crate) use crate::journal::Record;

/// A group as it was.
pub(crate) enum Saved {
    Classic(SavedGroup),
    Consumer(Box<ConsumerGroup>),
}

pub(crate) struct GroupJournal {
    log: Arc<dyn Log>,
    world: World,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Records in the log that are still held.
    records: usize,
}

impl GroupJournal {
    pub fn open(
        log: Arc<dyn Log>,
        world: World,
    ) -> Result<(Self, BTreeMap<String, Saved>), OpenError> {
        let mut state = State::default();
        journal::replay(&*log, GROUPS, |_, key, value| {
            let key = key.unwrap_or_default().to_vec();
            match value {
                Some(value) => state.live.insert(key, value.to_vec()),
                None => state.live.remove(&key),
            };
            state.records += 1;
            Ok(())
        })?;
        let saved = groups_of(&state.live).ok_or(OpenError::Group)?;
        let journal = Self {
            log,
            world,
            state: Mutex::new(state),
        };
        Ok((journal, saved))
    }

    /// Writes all of the records or none.
    ///
    /// # Errors
    /// The log takes nothing.
    pub fn write(&self, records: Vec<Record>) -> Result<Option<Written>, BrokerError> {
        if records.is_empty() {
            return Ok(None);
        }
        let mut state = self.state.lock();
        let commit = Commit {
            appends: vec![journal::append(GROUPS, self.world.now_ms(), &records)],
            ..Commit::default()
        };
        let durable = self.log.submit(commit)?.durable;
        state.records += records.len();
        for (key, value) in records {
            match value {
                Some(value) => state.live.insert(key, value),
                None => state.live.remove(&key),
            };
        }
        if state.records > RECORDS_MAX + 4 * state.live.len() {
            self.rewrite(&mut state);
        }
        Ok(Some(durable.shared()))
    }

    fn rewrite(&self, state: &mut State) {
        let end = self.log.state(GROUPS).submitted_end;
        let records = state.live.iter();
        let records = records.map(|(key, value)| (key.clone(), Some(value.clone())));
        let now_ms = self.world.now_ms();
        let live = state.live.len();
        if let Err(error) = journal::rewrite(&*self.log, (GROUPS, end), now_ms, records) {
            tracing::warn!(%error, "the groups were not written anew");
            // Not again with every record while the log is busy.
            state.records = 4 * live;
            return;
        }
        state.records = live;
    }
}

/// The key of a classic group.
pub(crate) fn classic_key(group: &str) -> Vec<u8> {
    key(CLASSIC, group, "")
}

/// The key of a group of the consumer protocol.
pub(crate) fn head_key(group: &str) -> Vec<u8> {
    key(CONSUMER, group, "")
}

/// The key of a member of such a group.
pub(crate) fn member_key(group: &str, member: &str) -> Vec<u8> {
    key(MEMBER, group, member)
}

fn key(kind: u8, group: &str, member: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + group.len() + member.len());
    out.put_u8(kind);
    // A group id came as a Kafka string, which is at most 32,767 bytes long.
    out.put_u16(u16::try_from(group.len()).unwrap_or(u16::MAX));
    out.put_slice(group.as_bytes());
    out.put_slice(member.as_bytes());
    out
}

fn split_key(key: &[u8]) -> Option<(u8, String, String)> {
    let mut rest = key;
    let kind = rest.try_get_u8().ok()?;
    let length = usize::from(rest.try_get_u16().ok()?);
    let (group, member) = rest.split_at_checked(length)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((kind, text(group)?, text(member)?))
}

/// `None`: a record cannot be read.
fn groups_of(live: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<BTreeMap<String, Saved>> {
    let mut out = BTreeMap::new();
    let mut members: BTreeMap<String, Vec<(String, Bytes)>> = BTreeMap::new();
    let mut heads: BTreeMap<String, Bytes> = BTreeMap::new();
    for (key, value) in live {
        let value = Bytes::copy_from_slice(value);
        match split_key(key)? {
            (CLASSIC, group, _) => {
                out.insert(group, Saved::Classic(SavedGroup::decode(value)?));
            }
            (CONSUMER, group, _) => {
                heads.insert(group, value);
            }
            (MEMBER, group, member) => members.entry(group).or_default().push((member, value)),
            _ => return None,
        }
    }
    for (group, head) in heads {
        let members = members.remove(&group).unwrap_or_default();
        let restored = ConsumerGroup::restored(head, members)?;
        out.insert(group, Saved::Consumer(Box::new(restored)));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use headwater_log::MemoryLog;
    use proptest::prelude::*;

    fn open(log: &Arc<MemoryLog>) -> (GroupJournal, BTreeMap<String, Saved>) {
        GroupJournal::open(Arc::clone(log) as Arc<dyn Log>, World::system()).unwrap()
    }

    proptest! {
        #[test]
        fn keys_survive_their_encoding(kind: u8, group in ".{0,40}", member in ".{0,40}") {
            prop_assert_eq!(split_key(&key(kind, &group, &member)), Some((kind, group, member)));
        }

        #[test]
        fn garbage_is_no_key_and_no_panic(bytes: Vec<u8>) {
            let _ = split_key(&bytes);
        }
    }

    #[tokio::test]
    async fn only_the_newest_values_stay_however_often_they_are_written() {
        let log = Arc::new(MemoryLog::new(1));
        let (journal, _) = open(&log);
        let mut group = ConsumerGroup::new();
        for _ in 0..2 * RECORDS_MAX {
            let record = (head_key("g"), Some(group.encode_head()));
            journal.write(vec![record]).unwrap().unwrap().await.unwrap();
            group = ConsumerGroup::restored(group.encode_head().into(), []).unwrap();
        }
        let state = log.state(GROUPS);
        let held = usize::try_from(state.durable_end - state.start).unwrap();
        assert!(held <= RECORDS_MAX + 10, "{held} records");
        assert!(matches!(open(&log).1["g"], Saved::Consumer(_)));
        journal
            .write(vec![(head_key("g"), None)])
            .unwrap()
            .unwrap()
            .await
            .unwrap();
        assert!(open(&log).1.is_empty());
    }
}
