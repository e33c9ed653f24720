//! One member: what it said of itself, what it holds, and how far it has followed the group.

use std::collections::BTreeSet;

use headwater_base::TopicId;

use super::types::{AWAY, ClassicPart, Heartbeat, JOINING, Partitions};

/// How far a member has followed the group's target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has what its epoch gives it.
    Stable,
    /// It has been asked to give up partitions and has not said yet that it did.
    UnrevokedPartitions,
    /// Others still hold what it is to get.
    UnreleasedPartitions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_ms: i32,
    pub assignor: Option<String>,
    pub topic_names: BTreeSet<String>,
    pub topic_regex: Option<String>,
    /// Set while the member speaks the classic protocol.
    pub classic: Option<ClassicPart>,
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    /// What it still holds but has to give up.
    pub revoking: Partitions,
    pub target: Partitions,
    pub(super) timers: Timers,
}

/// When the member counts as gone (ms), by what it fails to do. Not kept over a restart of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timers {
    /// Show itself.
    pub session: Option<i64>,
    /// Give up partitions.
    pub rebalance: Option<i64>,
    /// Join again (classic members).
    pub join: Option<i64>,
    /// Ask for its assignment (classic members).
    pub sync: Option<i64>,
}

impl Timers {
    pub fn next(&self) -> Option<i64> {
        let all = [self.session, self.rebalance, self.join, self.sync];
        all.into_iter().flatten().min()
    }
}

impl Member {
    pub(super) fn new() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_ms: -1,
            assignor: None,
            topic_names: BTreeSet::new(),
            topic_regex: None,
            classic: None,
            epoch: JOINING,
            previous_epoch: JOINING,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
            target: Partitions::new(),
            timers: Timers::default(),
        }
    }

    /// Takes over what a heartbeat says.
    pub(super) fn update(&mut self, beat: &Heartbeat) {
        let newer = |old: &mut Option<String>, new: &Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        newer(&mut self.instance_id, &beat.instance_id);
        newer(&mut self.rack_id, &beat.rack_id);
        newer(&mut self.assignor, &beat.assignor);
        if beat.rebalance_timeout_ms != -1 {
            self.rebalance_ms = beat.rebalance_timeout_ms;
        }
        if let Some(names) = &beat.topic_names {
            self.topic_names = names.iter().cloned().collect();
        }
        if let Some(regex) = &beat.topic_regex {
            self.topic_regex = (!regex.is_empty()).then(|| regex.clone());
        }
        self.client_id.clone_from(&beat.client_id);
        self.client_host.clone_from(&beat.client_host);
        self.classic = None;
    }

    /// Nothing is left to do for this target.
    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// A static member that left for a while.
    pub fn is_away(&self) -> bool {
        self.epoch == AWAY
    }

    pub(super) fn move_to(&mut self, epoch: i32) {
        if self.epoch != epoch {
            self.previous_epoch = self.epoch;
            self.epoch = epoch;
        }
    }

    /// Everything that nobody else may have now.
    pub(super) fn holds(&self) -> impl Iterator<Item = (TopicId, i32)> {
        each(&self.assigned).chain(each(&self.revoking))
    }
}

/// Every partition one by one.
pub(super) fn each(partitions: &Partitions) -> impl Iterator<Item = (TopicId, i32)> {
    partitions
        .iter()
        .flat_map(|(topic, indexes)| indexes.iter().map(|index| (*topic, *index)))
}

/// Partitions one by one, put together.
pub(super) fn collect(places: impl IntoIterator<Item = (TopicId, i32)>) -> Partitions {
    let mut out = Partitions::new();
    for (topic, index) in places {
        out.entry(topic).or_default().insert(index);
    }
    out
}

pub(super) fn contains(partitions: &Partitions, (topic, index): (TopicId, i32)) -> bool {
    partitions
        .get(&topic)
        .is_some_and(|indexes| indexes.contains(&index))
}
