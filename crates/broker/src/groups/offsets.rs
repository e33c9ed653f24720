//! Committing, fetching and deleting a group's offsets.

use std::collections::BTreeMap;

use headwater_base::Offset;
use headwater_coord::groups::{Committer, GroupError, State, group_id_ok};
use headwater_log::Durable;
use headwater_meta::Catalog;

use crate::Broker;
use crate::committed::{CommittedOffset, Place};
use crate::error::BrokerError;
use crate::groups::subscribed_topics;

/// One offset to be committed.
#[derive(Clone, Debug)]
pub struct CommitItem {
    pub topic: String,
    pub partition: i32,
    pub offset: Offset,
    pub leader_epoch: i32,
    pub metadata: String,
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
        items: Vec<CommitItem>,
    ) -> Result<Vec<Result<(), BrokerError>>, GroupError> {
        self.check_committer(id, by)?;
        let (checked, written) = self.write_offsets(id, items);
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
        items: Vec<CommitItem>,
    ) -> (Checks, Result<Option<Durable>, BrokerError>) {
        // Held until they are written, so that a topic's deletion finds them or they find it deleted.
        let catalog = self.catalog.hold();
        let checked: Vec<_> = items
            .iter()
            .map(|item| self.check_item(&catalog, item))
            .collect();
        let commit_ms = self.clock.now_ms();
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
            (
                (topic, partition),
                Some(CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata,
                    commit_ms,
                }),
            )
        });
        let written = self.committed.write(id, entries.collect());
        (checked, written)
    }

    fn check_committer(&self, id: &str, by: &Committer) -> Result<(), GroupError> {
        match self.groups.find(id) {
            Some(hosted) => hosted.lock().group.check_commit(by, self.clock.now_ms()),
            None if by.generation >= 0 || !by.member_id.is_empty() => {
                Err(GroupError::IllegalGeneration)
            }
            // Clients that only keep offsets here may do so under any name, the empty one included, as with Kafka.
            None if id.is_empty() || group_id_ok(id) => Ok(()),
            None => Err(GroupError::InvalidGroupId),
        }
    }

    fn check_item(&self, catalog: &Catalog, item: &CommitItem) -> Result<(), BrokerError> {
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

    /// All offsets of a group, as far as they are durable.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn fetch_offsets(&self, id: &str) -> Result<GroupOffsets, BrokerError> {
        let offsets = self.committed.group(id);
        if let Some(durable) = self.committed.barrier() {
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
        let subscribed = self.subscriptions(id)?;
        let check = |place: &Place| {
            let topic = self.catalog.current().topic(&place.0).cloned();
            if subscribed.contains(&place.0) {
                return Err(BrokerError::GroupSubscribed);
            }
            match topic.is_some_and(|topic| topic.partition(place.1).is_some()) {
                true => Ok(()),
                false => Err(BrokerError::UnknownTopicOrPartition),
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

    /// Topics that the members of a group read.
    fn subscriptions(&self, id: &str) -> Result<Vec<String>, BrokerError> {
        let Some(hosted) = self.groups.find(id) else {
            return match self.committed.has_group(id) {
                true => Ok(Vec::new()),
                false => Err(BrokerError::GroupNotFound),
            };
        };
        let description = hosted.lock().group.describe();
        match description.state {
            State::Empty | State::Dead => Ok(Vec::new()),
            _ if description.protocol_type == "consumer" => Ok(description
                .members
                .iter()
                .flat_map(|member| subscribed_topics(&member.metadata))
                .collect()),
            _ => Err(BrokerError::NonEmptyGroup),
        }
    }
}
