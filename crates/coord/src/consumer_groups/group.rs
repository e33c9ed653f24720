//! The state of one group, and the bookkeeping that every change of a member goes through.

use std::collections::{BTreeMap, BTreeSet};

use headwater_base::TopicId;

use super::assign::{Candidate, Candidates, Plan, Sizes, range, uniform};
use super::member::{Member, collect, each};
use super::types::{ASSIGNORS, ConsumerError, Context, Partitions};

/// Names as Kafka shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    Empty,
    /// The members have changed and nobody has asked since who gets what.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    Stable,
}

impl GroupState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// One group of the consumer protocol: a state machine that is told the time and the topics.
///
/// Invariant: no partition is held by two members, be it assigned or still to be given up.
#[derive(Clone, Debug, Default)]
pub struct ConsumerGroup {
    /// Grows whenever who or what changes.
    pub(super) epoch: i32,
    /// The group epoch that the members' targets were made for.
    pub(super) assignment_epoch: i32,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    pub(super) instances: BTreeMap<String, String>,
    /// Everything that any member holds.
    held: BTreeSet<(TopicId, i32)>,
    /// Regular expressions in use and the topics that they stand for.
    pub(super) resolved: BTreeMap<String, BTreeSet<String>>,
    /// The topics subscribed to, as they were when the epoch began.
    pub(super) topics: BTreeMap<String, (TopicId, i32)>,
    /// The topics' revision that this has been compared with; `None` after a restart.
    seen: Option<u64>,
    pub(super) changes: Changes,
}

/// What has to be written so that the group survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The group itself: epochs, topics, expressions.
    pub head: bool,
    /// Members that came, changed or went.
    pub members: BTreeSet<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        !self.head && self.members.is_empty()
    }
}

impl ConsumerGroup {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn state(&self) -> GroupState {
        let follows = |member: &Member| member.is_reconciled_to(self.assignment_epoch);
        match () {
            () if self.members.is_empty() => GroupState::Empty,
            () if self.epoch > self.assignment_epoch => GroupState::Assigning,
            () if self.members.values().all(follows) => GroupState::Stable,
            () => GroupState::Reconciling,
        }
    }

    /// Takes what has changed since it was last taken.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Gives back what could not be written, for the next time.
    pub fn keep_changes(&mut self, changes: Changes) {
        self.changes.head |= changes.head;
        self.changes.members.extend(changes.members);
    }

    /// Whether a member subscribes to the topic, by name or expression.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.members
            .values()
            .any(|member| self.subscriptions(member).any(|name| name == topic))
    }

    /// Members remain and all of them speak the classic protocol: the host may make a classic group of it.
    pub fn is_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|m| m.classic.is_some())
    }

    /// The next moment at which time alone changes something (ms).
    pub fn next_deadline(&self) -> Option<i64> {
        self.members.values().filter_map(|m| m.timers.next()).min()
    }

    pub(super) fn held(&self) -> &BTreeSet<(TopicId, i32)> {
        &self.held
    }

    /// Puts a member in its place, new or changed.
    pub(super) fn put(&mut self, id: &str, member: Member) {
        self.unhold(id);
        for place in member.holds() {
            let fresh = self.held.insert(place);
            debug_assert!(fresh, "{place:?} is held twice");
        }
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.to_owned());
        }
        let lasting = |member: &Member| Member {
            timers: Default::default(),
            ..member.clone()
        };
        let changed = self
            .members
            .get(id)
            .is_none_or(|old| lasting(old) != lasting(&member));
        if changed {
            self.changes.members.insert(id.to_owned());
        }
        self.members.insert(id.to_owned(), member);
    }

    pub(super) fn take(&mut self, id: &str) -> Option<Member> {
        self.unhold(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance_id
            && self
                .instances
                .get(instance)
                .is_some_and(|owner| owner == id)
        {
            self.instances.remove(instance);
        }
        self.changes.members.insert(id.to_owned());
        Some(member)
    }

    fn unhold(&mut self, id: &str) {
        if let Some(old) = self.members.get(id) {
            for place in old.holds() {
                self.held.remove(&place);
            }
        }
    }

    /// Removes members; the rest will share what they had.
    pub(super) fn fence(&mut self, ids: &[String], context: &Context<'_>) {
        let gone = ids.iter().filter(|id| self.take(id).is_some()).count();
        if gone > 0 {
            self.refresh_topics(context);
            self.bump();
        }
    }

    pub(super) fn bump(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.changes.head = true;
    }

    pub(super) fn subscriptions<'a>(
        &'a self,
        member: &'a Member,
    ) -> impl Iterator<Item = &'a String> + 'a {
        let matched = member
            .topic_regex
            .as_ref()
            .and_then(|regex| self.resolved.get(regex));
        member
            .topic_names
            .iter()
            .chain(matched.into_iter().flatten())
    }

    /// Looks at the topics when they, or the subscriptions (`forced`), have changed; whether that changes the assignment.
    ///
    /// # Errors
    /// An expression of the asking member is not one.
    pub(super) fn look_at_topics(
        &mut self,
        context: &Context<'_>,
        forced: bool,
    ) -> Result<bool, ConsumerError> {
        let revision = context.topics.revision();
        if !forced && self.seen == Some(revision) {
            return Ok(false);
        }
        let mut resolved = BTreeMap::new();
        let mut seen = Some(revision);
        let used: BTreeSet<&String> = self
            .members
            .values()
            .filter_map(|member| member.topic_regex.as_ref())
            .collect();
        for pattern in used {
            let names =
                context
                    .topics
                    .matching(pattern)
                    .map_err(|why| ConsumerError::InvalidRegex {
                        pattern: pattern.clone(),
                        why,
                    })?;
            let names = names.unwrap_or_else(|| {
                // To be looked at again by somebody who may.
                seen = None;
                self.resolved.get(pattern).cloned().unwrap_or_default()
            });
            resolved.insert(pattern.clone(), names);
        }
        if resolved != self.resolved {
            self.changes.head = true;
            self.resolved = resolved;
        }
        self.seen = seen;
        Ok(self.refresh_topics(context))
    }

    fn refresh_topics(&mut self, context: &Context<'_>) -> bool {
        let names: BTreeSet<&String> = self
            .members
            .values()
            .flat_map(|member| self.subscriptions(member))
            .collect();
        let topics: BTreeMap<_, _> = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), context.topics.by_name(name)?)))
            .collect();
        let changed = topics != self.topics;
        if changed {
            self.topics = topics;
            self.changes.head = true;
        }
        changed
    }

    /// The assignor that most members ask for.
    pub fn assignor(&self) -> &str {
        let votes = |name: &&str| {
            let asks = |member: &&Member| member.assignor.as_deref() == Some(*name);
            self.members.values().filter(asks).count()
        };
        // Of equals the default one, which stands first.
        let best = ASSIGNORS.iter().rev().max_by_key(|name| votes(name));
        best.copied().unwrap_or(ASSIGNORS[0])
    }

    /// Makes new targets when the group has moved on since they were made.
    pub(super) fn assign(&mut self) {
        if self.epoch <= self.assignment_epoch {
            return;
        }
        let candidate = |member: &Member| Candidate {
            instance_id: member.instance_id.clone(),
            topics: self
                .subscriptions(member)
                .filter_map(|name| self.topics.get(name).map(|(id, _)| *id))
                .collect(),
            before: self.existing(&member.target),
        };
        let candidates: Candidates = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), candidate(member)))
            .collect();
        let sizes: Sizes = self.topics.values().copied().collect();
        let mut plan: Plan = match self.assignor() {
            "range" => range(&candidates, &sizes),
            _ => uniform(&candidates, &sizes),
        };
        for (id, member) in &mut self.members {
            let target = plan.remove(id).unwrap_or_default();
            if member.target != target {
                member.target = target;
                self.changes.members.insert(id.clone());
            }
        }
        self.assignment_epoch = self.epoch;
        self.changes.head = true;
    }

    /// Without partitions that are no more.
    fn existing(&self, partitions: &Partitions) -> Partitions {
        let sizes: BTreeMap<TopicId, i32> = self.topics.values().copied().collect();
        collect(
            each(partitions)
                .filter(|(topic, index)| sizes.get(topic).is_some_and(|size| index < size)),
        )
    }
}
