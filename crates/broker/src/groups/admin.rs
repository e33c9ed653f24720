//! Listing, describing and deleting groups. A group with offsets and no members exists, too: it is empty.

use std::collections::BTreeMap;

use headwater_coord::groups::{Description, GroupError, State};

use crate::Broker;
use crate::error::BrokerError;

/// One line of a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub id: String,
    /// "consumer", or empty when nobody ever joined in the life of this process.
    pub protocol_type: String,
    pub state: State,
}

/// A group as it is now, or that it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupView {
    Known(Description),
    Unknown,
}

impl Broker {
    pub fn list_groups(&self) -> Vec<GroupListing> {
        let offline = |id: String| {
            (
                id.clone(),
                GroupListing {
                    id,
                    protocol_type: String::new(),
                    state: State::Empty,
                },
            )
        };
        let mut groups: BTreeMap<String, GroupListing> = self
            .committed
            .group_names()
            .into_iter()
            .map(offline)
            .collect();
        for (id, hosted) in self.groups.all() {
            let hosted = hosted.lock();
            let protocol_type = hosted.group.protocol_type().unwrap_or_default().to_owned();
            let state = hosted.group.state();
            if state != State::Dead {
                groups.insert(
                    id.clone(),
                    GroupListing {
                        id,
                        protocol_type,
                        state,
                    },
                );
            }
        }
        groups.into_values().collect()
    }

    pub fn describe_group(&self, id: &str) -> GroupView {
        if let Some(hosted) = self.groups.find(id) {
            return GroupView::Known(hosted.lock().group.describe());
        }
        match self.committed.has_group(id) {
            true => GroupView::Known(Description {
                state: State::Empty,
                generation: 0,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            }),
            false => GroupView::Unknown,
        }
    }

    /// Ends a group without members and deletes its offsets.
    ///
    /// # Errors
    /// The group has members or is not there, or the log takes nothing.
    pub async fn delete_group(&self, id: &str) -> Result<(), BrokerError> {
        let hosted = self.groups.find(id);
        if hosted.is_none() && !self.committed.has_group(id) {
            return Err(BrokerError::GroupNotFound);
        }
        if let Some(hosted) = hosted {
            match hosted.lock().group.delete() {
                Ok(()) | Err(GroupError::CoordinatorNotAvailable) => {}
                Err(_) => return Err(BrokerError::NonEmptyGroup),
            }
            self.groups.remove(id);
        }
        let entries = self
            .committed
            .group(id)
            .into_keys()
            .map(|place| (place, None))
            .collect();
        if let Some(durable) = self.committed.write(id, entries)? {
            durable.await?;
        }
        Ok(())
    }
}
