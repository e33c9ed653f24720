//! Committed offsets of consumer groups: a map in memory, rebuilt from and written to an internal partition of the log.
//!
//! ```text
//! key:   version u8 = 2 | group length u16 | group | topic length u16 | topic | partition i32
//! value: offset i64 | leader epoch i32 | commit time i64 (ms) | expires i64 (ms, -1: as the broker is set) | metadata text;
//!        none: deleted
//! ```
//! Version 1 has no expiry; it is read and no longer written.
//! A commit is applied when it is submitted and acked when it is durable. Once the log holds far more commits than there are
//! offsets, all offsets are written anew and what is before them is trimmed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use headwater_base::{Clock, Offset};
use headwater_log::{Append, Commit, Durable, Log};
use parking_lot::Mutex;

use crate::error::{BrokerError, OpenError};
use crate::journal::{self, COMMITTED};

const VERSION: u8 = 2;
/// The oldest version that is read.
const VERSION_MIN: u8 = 1;
/// Commits beyond four times the number of offsets after which everything is written anew.
const COMMITS_MAX: usize = 10_000;

/// Topic and partition.
pub type Place = (String, i32);

/// What a group committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: Offset,
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_ms: i64,
    /// When it is deleted, if the client has said so (ms).
    pub expire_ms: Option<i64>,
}

#[derive(Default)]
struct State {
    groups: HashMap<String, BTreeMap<Place, CommittedOffset>>,
    /// Records in the log that are still held.
    commits: usize,
}

pub(crate) struct CommittedStore {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl State {
    fn apply(&mut self, group: &str, place: Place, committed: Option<CommittedOffset>) {
        match committed {
            Some(committed) => {
                self.groups
                    .entry(group.to_owned())
                    .or_default()
                    .insert(place, committed);
            }
            None => {
                if let Some(offsets) = self.groups.get_mut(group) {
                    offsets.remove(&place);
                    if offsets.is_empty() {
                        self.groups.remove(group);
                    }
                }
            }
        }
    }

    fn live(&self) -> usize {
        self.groups.values().map(BTreeMap::len).sum()
    }
}

impl CommittedStore {
    pub fn open(log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut state = State::default();
        journal::replay(&*log, COMMITTED, |_, key, value| {
            let (version, group, place) =
                key.and_then(decode_key).ok_or(OpenError::CommittedOffset)?;
            let committed = value
                .map(|value| decode_value(version, value).ok_or(OpenError::CommittedOffset))
                .transpose()?;
            state.apply(&group, place, committed);
            state.commits += 1;
            Ok(())
        })?;
        Ok(Self {
            log,
            clock,
            state: Mutex::new(state),
        })
    }

    /// Sets (or with `None` deletes) offsets of a group; all of them or none.
    ///
    /// # Errors
    /// The log takes nothing.
    pub fn write(
        &self,
        group: &str,
        entries: Vec<(Place, Option<CommittedOffset>)>,
    ) -> Result<Option<Durable>, BrokerError> {
        self.write_all(
            entries
                .into_iter()
                .map(|(place, committed)| (group.to_owned(), place, committed))
                .collect(),
        )
    }

    fn write_all(
        &self,
        entries: Vec<(String, Place, Option<CommittedOffset>)>,
    ) -> Result<Option<Durable>, BrokerError> {
        self.write_locked(&mut self.state.lock(), entries)
    }

    fn write_locked(
        &self,
        state: &mut State,
        entries: Vec<(String, Place, Option<CommittedOffset>)>,
    ) -> Result<Option<Durable>, BrokerError> {
        self.write_locked_with(state, entries, |append| {
            let Some(append) = append else {
                return Ok(None);
            };
            let commit = Commit {
                appends: vec![append],
                ..Commit::default()
            };
            Ok(Some(self.log.submit(commit)?.durable))
        })
    }

    /// Sets (or with `None` deletes) offsets as part of a commit that `submit` makes; without entries it gets nothing to append.
    ///
    /// # Errors
    /// Those of `submit`. Nothing was changed then.
    pub fn write_with<T>(
        &self,
        entries: Vec<(String, Place, Option<CommittedOffset>)>,
        submit: impl FnOnce(Option<Append>) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        self.write_locked_with(&mut self.state.lock(), entries, submit)
    }

    fn write_locked_with<T>(
        &self,
        state: &mut State,
        entries: Vec<(String, Place, Option<CommittedOffset>)>,
        submit: impl FnOnce(Option<Append>) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        if entries.is_empty() {
            return submit(None);
        }
        let records: Vec<_> = entries
            .iter()
            .map(|(group, place, committed)| record(group, place, committed.as_ref()))
            .collect();
        let append = journal::append(COMMITTED, self.clock.now_ms(), &records);
        let submitted = submit(Some(append))?;
        state.commits += entries.len();
        for (group, place, committed) in entries {
            state.apply(&group, place, committed);
        }
        if state.commits > COMMITS_MAX + 4 * state.live() {
            self.rewrite(state);
        }
        Ok(submitted)
    }

    pub fn group(&self, group: &str) -> BTreeMap<Place, CommittedOffset> {
        self.state
            .lock()
            .groups
            .get(group)
            .cloned()
            .unwrap_or_default()
    }

    pub fn one(&self, group: &str, place: &Place) -> Option<CommittedOffset> {
        self.state.lock().groups.get(group)?.get(place).cloned()
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.state.lock().groups.contains_key(group)
    }

    pub fn group_names(&self) -> Vec<String> {
        self.state.lock().groups.keys().cloned().collect()
    }

    /// Forgets what was committed for topics that are no more.
    ///
    /// # Errors
    /// The log takes nothing.
    pub fn forget_topics(
        &self,
        gone: impl Fn(&str) -> bool,
    ) -> Result<Option<Durable>, BrokerError> {
        let entries: Vec<_> = {
            let state = self.state.lock();
            let of_topic = |(group, offsets): (&String, &BTreeMap<Place, CommittedOffset>)| {
                let places = offsets.keys().filter(|(name, _)| gone(name));
                places
                    .map(|place| (group.clone(), place.clone(), None))
                    .collect::<Vec<_>>()
            };
            state.groups.iter().flat_map(of_topic).collect()
        };
        self.write_all(entries)
    }

    /// Deletes those offsets of a group that `old` picks.
    ///
    /// # Errors
    /// The log takes nothing.
    pub fn expire(
        &self,
        group: &str,
        old: impl Fn(&Place, &CommittedOffset) -> bool,
    ) -> Result<Option<Durable>, BrokerError> {
        let mut state = self.state.lock();
        let offsets = state.groups.get(group).into_iter().flatten();
        let entries: Vec<_> = offsets
            .filter(|(place, committed)| old(place, committed))
            .map(|(place, _)| (group.to_owned(), place.clone(), None))
            .collect();
        self.write_locked(&mut state, entries)
    }

    /// Resolves when everything that was written so far is durable: nothing is shown that a crash could take back.
    ///
    /// # Errors
    /// Something is still on its way to the disk, and the log takes nothing that could be waited for.
    pub fn barrier(&self) -> Result<Option<Durable>, BrokerError> {
        journal::barrier(&*self.log, COMMITTED)
    }

    fn rewrite(&self, state: &mut State) {
        let end = self.log.state(COMMITTED).submitted_end;
        let of_group = |(group, offsets): (&String, &BTreeMap<Place, CommittedOffset>)| {
            let record = |(place, one)| record(group, place, Some(one));
            offsets.iter().map(record).collect::<Vec<_>>()
        };
        let live = state.groups.iter().flat_map(of_group);
        let now_ms = self.clock.now_ms();
        if let Err(error) = journal::rewrite(&*self.log, (COMMITTED, end), now_ms, live) {
            tracing::warn!(%error, "committed offsets were not written anew");
            // Not again with every commit while the log is busy.
            state.commits = 4 * state.live();
            return;
        }
        state.commits = state.live();
    }
}

fn record(group: &str, place: &Place, committed: Option<&CommittedOffset>) -> journal::Record {
    (encode_key(group, place), committed.map(encode_value))
}

pub(crate) fn encode_key(group: &str, (topic, partition): &Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 + group.len() + topic.len());
    out.put_u8(VERSION);
    for text in [group, topic] {
        // Both came as Kafka strings, which are at most 32,767 bytes long.
        out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
        out.put_slice(text.as_bytes());
    }
    out.put_i32(*partition);
    out
}

pub(crate) fn decode_key(mut key: Bytes) -> Option<(u8, String, Place)> {
    let version = key.try_get_u8().ok()?;
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return None;
    }
    let mut text = || {
        let length = usize::from(key.try_get_u16().ok()?);
        let bytes = (length <= key.len()).then(|| key.split_to(length))?;
        String::from_utf8(bytes.into()).ok()
    };
    let (group, topic) = (text()?, text()?);
    Some((version, group, (topic, key.try_get_i32().ok()?)))
}

pub(crate) fn encode_value(committed: &CommittedOffset) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + committed.metadata.len());
    out.put_i64(committed.offset);
    out.put_i32(committed.leader_epoch);
    out.put_i64(committed.commit_ms);
    out.put_i64(committed.expire_ms.unwrap_or(-1));
    out.put_slice(committed.metadata.as_bytes());
    out
}

pub(crate) fn decode_value(version: u8, mut value: Bytes) -> Option<CommittedOffset> {
    Some(CommittedOffset {
        offset: value.try_get_i64().ok()?,
        leader_epoch: value.try_get_i32().ok()?,
        commit_ms: value.try_get_i64().ok()?,
        expire_ms: match version {
            1 => None,
            _ => Some(value.try_get_i64().ok()?).filter(|ms| *ms >= 0),
        },
        metadata: String::from_utf8(value.into()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_and_values_survive_their_encoding(group in ".{0,40}", topic in "[a-z.]{1,20}", partition: i32, offset: i64, leader_epoch: i32, commit_ms: i64, expire_ms in prop::option::of(0..i64::MAX), metadata in ".{0,40}") {
            let key = encode_key(&group, &(topic.clone(), partition));
            prop_assert_eq!(decode_key(key.into()), Some((VERSION, group, (topic, partition))));
            let committed = CommittedOffset { offset, leader_epoch, metadata, commit_ms, expire_ms };
            prop_assert_eq!(decode_value(VERSION, encode_value(&committed).into()), Some(committed));
        }

        #[test]
        fn garbage_is_no_key_and_no_panic(bytes: Vec<u8>) {
            let _ = decode_key(bytes.clone().into());
            let _ = decode_value(1, bytes.clone().into());
            let _ = decode_value(VERSION, bytes.into());
        }
    }
}
