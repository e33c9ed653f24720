//! The state of one group and the one way to change it. The parts of the protocol are in the sibling files.

use std::collections::BTreeMap;

use super::member::{Member, protocols_bytes};
use super::types::{
    Answer, Command, GroupError, JoinFailure, JoinedMember, Limits, Protocol, Reply, State, Waiter,
};

/// Longest group id, in bytes (it has to fit a string of the protocol, and a record of offsets).
const GROUP_ID_BYTES_MAX: usize = 32_767;

/// Whether a group may have this id.
pub fn group_id_ok(id: &str) -> bool {
    !id.is_empty() && id.len() <= GROUP_ID_BYTES_MAX
}

/// One consumer group: a state machine that is told the time.
#[derive(Clone, Debug)]
pub struct Group {
    pub(super) limits: Limits,
    pub(super) phase: Phase,
    /// Grows with every completed rebalance.
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    /// The protocol chosen for this generation.
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    pub(super) instances: BTreeMap<String, String>,
    /// Ids given to members that have to come again, and until when they are kept (ms).
    pub(super) pending: BTreeMap<String, i64>,
    /// Until when all members must have asked for their assignment (ms); `None` when all have.
    pub(super) sync_until: Option<i64>,
    /// Members that ever arrived.
    pub(super) arrivals: u64,
    /// Since when the group is empty or stable (ms).
    pub(super) changed_ms: i64,
    /// Something that has to survive a restart has changed.
    pub(super) changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Empty,
    /// Members are joining. With `ceiling_ms` the group was empty before: it completes at `until_ms`, which every newcomer
    /// moves up to the ceiling.
    Preparing {
        until_ms: i64,
        ceiling_ms: Option<i64>,
    },
    /// The leader is assigning.
    Completing,
    Stable,
    Dead,
}

impl Group {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            sync_until: None,
            arrivals: 0,
            changed_ms: 0,
            changed: false,
        }
    }

    /// Applies one command. The answers may be to others than who caused them, and `to` may be answered by a later step.
    pub fn step(&mut self, command: Command, now_ms: i64) -> Vec<Answer> {
        let mut out = Answers::default();
        match command {
            Command::Join { to, join } => self.join(to, &join, now_ms, &mut out),
            Command::Sync { to, sync } => self.sync(to, &sync, now_ms, &mut out),
            Command::Heartbeat { to, heartbeat } => {
                let outcome = self.heartbeat(&heartbeat, now_ms);
                out.push(to, Reply::Heartbeat(outcome));
            }
            Command::Leave { to, leave } => self.leave(to, &leave, now_ms, &mut out),
            Command::Tick => self.tick(now_ms, &mut out),
        }
        out.0
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Empty => State::Empty,
            Phase::Preparing { .. } => State::PreparingRebalance,
            Phase::Completing => State::CompletingRebalance,
            Phase::Stable => State::Stable,
            Phase::Dead => State::Dead,
        }
    }

    /// Type of the members' protocols ("consumer"), once somebody has joined.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// Nothing ever happened here: the host may forget the group unless it has offsets.
    pub fn is_vacant(&self) -> bool {
        self.is_empty() && self.generation == 0 && self.phase == Phase::Empty
    }

    /// Ends the group for good.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`] while it has members.
    pub fn delete(&mut self) -> Result<(), GroupError> {
        match self.phase {
            Phase::Dead => Err(GroupError::CoordinatorNotAvailable),
            Phase::Empty => {
                self.pending.clear();
                self.phase = Phase::Dead;
                Ok(())
            }
            Phase::Preparing { .. } | Phase::Completing | Phase::Stable => {
                Err(GroupError::NonEmptyGroup)
            }
        }
    }

    /// Protocols that every member supports. Without members: none.
    pub(super) fn common_protocols(&self) -> Vec<String> {
        let mut members = self.members.values();
        let Some(first) = members.next() else {
            return Vec::new();
        };
        let mut names: Vec<String> = first
            .protocols
            .iter()
            .map(|protocol| protocol.name.clone())
            .collect();
        names.retain(|name| members.clone().all(|member| member.supports(name)));
        names
    }

    /// The common protocol with the most votes, each member voting for the first it prefers; of equals the one that the
    /// earliest member prefers.
    pub(super) fn elect_protocol(&self) -> Option<String> {
        let common = self.common_protocols();
        let mut by_arrival: Vec<&Member> = self.members.values().collect();
        by_arrival.sort_by_key(|member| member.arrival);
        let votes: Vec<&str> = by_arrival
            .iter()
            .filter_map(|member| {
                member
                    .protocols
                    .iter()
                    .find(|offered| common.contains(&offered.name))
            })
            .map(|protocol| protocol.name.as_str())
            .collect();
        let tally = |name: &str| votes.iter().filter(|vote| **vote == name).count();
        let mut best: Option<(&str, usize)> = None;
        for vote in &votes {
            let count = tally(vote);
            if best.is_none_or(|(_, most)| count > most) {
                best = Some((vote, count));
            }
        }
        best.map(|(name, _)| name.to_owned())
    }

    /// Everybody, with the subscription in the chosen protocol.
    pub(super) fn roster(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let entry = |(id, member): (&String, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.iter().map(entry).collect()
    }

    pub(super) fn rebalance_ms_max(&self) -> i64 {
        self.members
            .values()
            .map(|member| member.rebalance_ms)
            .max()
            .unwrap_or(0)
    }

    /// Whether the group has room for what a member brings, `except` being the member it replaces.
    pub(super) fn has_room_for(&self, protocols: &[Protocol], except: Option<&str>) -> bool {
        let others = self
            .members
            .iter()
            .filter(|(id, _)| Some(id.as_str()) != except);
        let held: usize = others.map(|(_, member)| member.bytes()).sum();
        held + protocols_bytes(protocols) <= self.limits.metadata_bytes_max
    }

    /// Checks a claimed identity against the static members and the members.
    pub(super) fn identify(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance_id {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(owner) if owner != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMemberId)
        }
    }
}

/// Answers in the order in which they came up.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

impl Answers {
    pub fn into_vec(self) -> Vec<Answer> {
        self.0
    }

    pub fn push(&mut self, to: Waiter, reply: Reply) {
        self.0.push(Answer { to, reply });
    }

    pub fn refuse_join(&mut self, to: Waiter, error: GroupError, member_id: &str) {
        self.push(
            to,
            Reply::Join(Err(JoinFailure {
                error,
                member_id: member_id.to_owned(),
            })),
        );
    }

    pub fn refuse_sync(&mut self, to: Waiter, error: GroupError) {
        self.push(to, Reply::Sync(Err(error)));
    }
}
