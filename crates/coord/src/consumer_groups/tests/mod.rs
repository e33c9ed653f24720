//! The consumer protocol: what one member sees, and what holds of many whatever they do.
#![allow(clippy::unwrap_used)]

mod classic;
mod members;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::TopicId;

use super::*;

/// Topics by name; ids are the names' letters. A pattern is a prefix.
#[derive(Clone, Default)]
pub(super) struct World {
    pub topics: BTreeMap<String, i32>,
    pub revision: u64,
    /// It is not known what the asking member may see.
    pub blind: bool,
}

pub(super) fn id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    TopicId(bytes)
}

impl World {
    pub fn of(topics: &[(&str, i32)]) -> Self {
        let topics = topics.iter().map(|(name, n)| ((*name).to_owned(), *n));
        Self {
            topics: topics.collect(),
            revision: 1,
            blind: false,
        }
    }

    pub fn set(&mut self, name: &str, partitions: i32) {
        match partitions {
            0 => self.topics.remove(name),
            _ => self.topics.insert(name.to_owned(), partitions),
        };
        self.revision += 1;
    }

    pub fn at(&self, now_ms: i64) -> Context<'_> {
        Context {
            topics: self,
            limits: Limits {
                members_max: 8,
                ..Limits::default()
            },
            now_ms,
        }
    }
}

impl Topics for World {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        self.topics.get(name).map(|n| (id(name), *n))
    }

    fn name_of(&self, topic: TopicId) -> Option<String> {
        self.topics.keys().find(|name| id(name) == topic).cloned()
    }

    fn matching(&self, pattern: &str) -> Result<Option<BTreeSet<String>>, String> {
        if pattern == "(" {
            return Err("missing )".into());
        }
        if self.blind {
            return Ok(None);
        }
        let names = self.topics.keys();
        let names = names.filter(|name| name.starts_with(pattern));
        Ok(Some(names.cloned().collect()))
    }
}

/// A client that does as it is told.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub id: String,
    pub epoch: i32,
    pub owned: Partitions,
    pub topics: Vec<String>,
    pub instance: Option<String>,
}

impl Client {
    pub fn new(id: &str, topics: &[&str]) -> Self {
        Self {
            id: id.into(),
            epoch: JOINING,
            owned: Partitions::new(),
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
            instance: None,
        }
    }

    pub fn fixed(id: &str, instance: &str, topics: &[&str]) -> Self {
        Self {
            instance: Some(instance.into()),
            ..Self::new(id, topics)
        }
    }

    pub fn request(&self) -> Heartbeat {
        Heartbeat {
            member_id: self.id.clone(),
            epoch: self.epoch,
            instance_id: self.instance.clone(),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 60_000,
            topic_names: Some(self.topics.clone()),
            owned: Some(self.owned.clone()),
            ..Heartbeat::default()
        }
    }

    /// One heartbeat; what is taken away is given up at once, to be told with the next one.
    pub fn beat(
        &mut self,
        group: &mut ConsumerGroup,
        context: &Context<'_>,
    ) -> Result<Beat, ConsumerError> {
        let request = self.request();
        request.check("g").unwrap();
        let beat = group.heartbeat(&request, context)?;
        self.epoch = beat.epoch;
        if let Some(assignment) = &beat.assignment {
            self.owned = assignment.clone();
        }
        Ok(beat)
    }

    pub fn count(&self) -> usize {
        self.owned.values().map(BTreeSet::len).sum()
    }
}

/// Lets all heartbeat in turn until nothing moves any more.
pub(super) fn settle(group: &mut ConsumerGroup, clients: &mut [Client], context: &Context<'_>) {
    for _ in 0..2 * clients.len() + 6 {
        for client in clients.iter_mut() {
            client.beat(group, context).unwrap();
        }
    }
    assert_eq!(group.state(), GroupState::Stable);
}
