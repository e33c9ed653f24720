//! Committing, fetching and deleting a group's offsets.

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::Offset;
use headwater_coord::consumer_groups::CommitRefusal as ConsumerCommitRefusal;
use headwater_coord::groups::{Committer, GroupError, State, group_id_ok};
use headwater_log::Durable;
use headwater_meta::Catalog;

use crate::Broker;
use crate::committed::{CommittedOffset, Place};
use crate::error::BrokerError;
use crate::groups::hosted::Kind;

/// One offset to be committed.
#[derive(Clone, Debug)]
pub struct CommitItem {
    pub topic: String,
    pub partition: i32,
    pub offset: Offset,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Who reads offsets. Without a member id anybody may.
#[derive(Clone, Debug)]
pub struct OffsetReader {
    pub member_id: Option<String>,
    pub epoch: i32,
}

/// Why a commit, or a look at offsets, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitRefusal {
    Group(GroupError),
    /// Said by a group of the consumer protocol to its members.
    Member(ConsumerCommitRefusal),
    /// There is no such group, and who commits claims to be its member.
    NoGroup,
}

impl From<GroupError> for CommitRefusal {
    fn from(error: GroupError) -> Self {
        Self::Group(error)
    }
}

/// How a commit is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitMode {
    /// As part of a transaction (TxnOffsetCommit).
    pub transactional: bool,
    /// The request's version knows member epochs (OffsetCommit v9 and later).
    pub knows_epochs: bool,
    /// Until when the offsets are kept, from now on (ms; OffsetCommit v2-4); `None`: as the broker is set.
    pub retention_ms: Option<i64>,
}

/// A group's offsets by topic and partition.
pub type GroupOffsets = BTreeMap<Place, CommittedOffset>;

/// One for each item of a commit.
type Checks = Vec<Result<(), BrokerError>>;

impl Broker {
    /// Commits offsets; those of unknown partitions are refused one by one. Resolves when the others are durable.
    ///
    /// # Errors
    /// The group refuses the committer; then nothing was committed.
    pub async fn commit_offsets(
        &self,
        id: &str,
        by: &Committer,
        mode: CommitMode,
        items: Vec<CommitItem>,
    ) -> Result<Vec<Result<(), BrokerError>>, CommitRefusal> {
        self.check_committer(id, by, mode)?;
        let (checked, written) = self.write_offsets(id, mode, items);
        let outcome = match written {
            Ok(Some(durable)) => durable.await.map_err(BrokerError::from),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        Ok(checked
            .into_iter()
            .map(|check| check.and(outcome.clone()))
            .collect())
    }

    /// Which items are acceptable, and what became of those.
    fn write_offsets(
        &self,
        id: &str,
        mode: CommitMode,
        items: Vec<CommitItem>,
    ) -> (Checks, Result<Option<Durable>, BrokerError>) {
        // Held until they are written, so that a topic's deletion finds them or they find it deleted.
        let catalog = self.catalog.hold();
        let checked: Vec<_> = items
            .iter()
            .map(|item| self.check_item(&catalog, item))
            .collect();
        let now_ms = self.clock.now_ms();
        let pending = self.pending_since(id);
        let expire_ms = mode.retention_ms.map(|ms| now_ms.saturating_add(ms));
        let good = items
            .into_iter()
            .zip(&checked)
            .filter(|(_, check)| check.is_ok());
        let entries = good.map(|(item, _)| {
            let CommitItem {
                topic,
                partition,
                offset,
                leader_epoch,
                metadata,
            } = item;
            let place = (topic, partition);
            // After what a transaction has sent before, though the clock may not say so: the later one counts.
            let after_ms = pending.get(&place).map_or(now_ms, |sent_ms| sent_ms + 1);
            let commit_ms = now_ms.max(after_ms);
            (
                place,
                Some(CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata,
                    commit_ms,
                    expire_ms,
                }),
            )
        });
        let written = self.committed.write(id, entries.collect());
        (checked, written)
    }

    /// Whether this one may commit offsets of the group; to a classic group it is a sign of life.
    ///
    /// # Errors
    /// The group is another's, or the member is unknown or of another generation or epoch. With `mode.transactional` a member
    /// of the consumer protocol hears of generations, too.
    pub(crate) fn check_committer(
        &self,
        id: &str,
        by: &Committer,
        mode: CommitMode,
    ) -> Result<(), CommitRefusal> {
        let Some(hosted) = self.groups.find(id) else {
            return match by.generation < 0 {
                // Clients that only keep offsets here may do so under any name, the empty one included, as with Kafka.
                true if id.is_empty() || group_id_ok(id) => Ok(()),
                true => Err(GroupError::InvalidGroupId.into()),
                false if mode.knows_epochs && !mode.transactional => Err(CommitRefusal::NoGroup),
                false => Err(GroupError::IllegalGeneration.into()),
            };
        };
        match &mut hosted.lock().kind {
            Kind::Classic(group) if mode.transactional => {
                Ok(group.check_txn_commit(by, self.clock.now_ms())?)
            }
            Kind::Classic(group) => Ok(group.check_commit(by, self.clock.now_ms())?),
            Kind::Consumer(group) => {
                let knows_epochs = mode.knows_epochs || mode.transactional;
                match group.check_commit(by, knows_epochs) {
                    Err(refusal) if mode.transactional => Err(refusal.as_generation().into()),
                    other => other.map_err(CommitRefusal::Member),
                }
            }
        }
    }

    pub(crate) fn check_item(
        &self,
        catalog: &Catalog,
        item: &CommitItem,
    ) -> Result<(), BrokerError> {
        let topic = catalog
            .topic(&item.topic)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        topic
            .partition(item.partition)
            .ok_or(BrokerError::UnknownTopicOrPartition)?;
        let (bytes, max_bytes) = (item.metadata.len(), self.config.offset_metadata_bytes_max);
        if bytes > max_bytes {
            return Err(BrokerError::OffsetMetadataTooLarge { bytes, max_bytes });
        }
        Ok(())
    }

    /// Whether this one may read the group's offsets.
    ///
    /// # Errors
    /// A member of the consumer protocol that is unknown or of another epoch.
    pub fn check_offset_reader(&self, id: &str, by: &OffsetReader) -> Result<(), CommitRefusal> {
        let Some(hosted) = self.groups.find(id) else {
            return Ok(());
        };
        match &hosted.lock().kind {
            Kind::Classic(_) => Ok(()),
            Kind::Consumer(group) => group
                .check_fetch(by.member_id.as_deref(), by.epoch)
                .map_err(CommitRefusal::Member),
        }
    }

    /// All offsets of a group, when they are durable.
    ///
    /// # Errors
    /// The disk failed, or takes nothing right now although something is still on its way to it.
    pub async fn fetch_offsets(&self, id: &str) -> Result<GroupOffsets, BrokerError> {
        let offsets = self.committed.group(id);
        if let Some(durable) = self.committed.barrier()? {
            durable.await?;
        }
        Ok(offsets)
    }

    /// Deletes offsets of topics that no member of the group subscribes to. One result per place.
    ///
    /// # Errors
    /// There is no such group, or it is in use by something else than consumers.
    pub async fn delete_offsets(
        &self,
        id: &str,
        places: Vec<Place>,
    ) -> Result<Vec<Result<(), BrokerError>>, BrokerError> {
        if id.is_empty() {
            return Err(BrokerError::InvalidGroupId);
        }
        let subscribed = self.subscriptions(id, places.iter().map(|place| &place.0))?;
        let catalog = self.catalog.current();
        let check = |(topic, index): &Place| {
            let known = catalog
                .topic(topic)
                .and_then(|topic| topic.partition(*index));
            match (known, subscribed.contains(topic)) {
                (None, _) => Err(BrokerError::UnknownTopicOrPartition),
                (Some(_), true) => Err(BrokerError::GroupSubscribed),
                (Some(_), false) => Ok(()),
            }
        };
        let checked: Vec<_> = places.iter().map(check).collect();
        let there = |place: &Place| self.committed.one(id, place).is_some();
        let good = places
            .into_iter()
            .zip(&checked)
            .filter(|(place, check)| check.is_ok() && there(place));
        let entries = good.map(|(place, _)| (place, None)).collect();
        if let Some(durable) = self.committed.write(id, entries)? {
            durable.await?;
        }
        Ok(checked)
    }

    /// Which of the topics the members of a group read.
    fn subscriptions<'a>(
        &self,
        id: &str,
        topics: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeSet<String>, BrokerError> {
        let Some(hosted) = self.groups.find(id) else {
            return match self.committed.has_group(id) {
                true => Ok(BTreeSet::new()),
                false => Err(BrokerError::GroupNotFound),
            };
        };
        let hosted = hosted.lock();
        if let Kind::Classic(group) = &hosted.kind
            && !matches!(group.state(), State::Empty | State::Dead)
            && group.protocol_type() != Some("consumer")
        {
            return Err(BrokerError::NonEmptyGroup);
        }
        let topics: BTreeSet<&String> = topics.collect();
        let read = topics.into_iter().filter(|topic| hosted.kind.reads(topic));
        Ok(read.cloned().collect())
    }
}
