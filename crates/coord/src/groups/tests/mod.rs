//! Histories of one group, told step by step. `Story` keeps the answers by waiter and hands out the numbers.

#![allow(clippy::unwrap_used)]

mod eager;
mod law;
mod members;
mod statics;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;

pub(super) struct Story {
    pub group: Group,
    pub now_ms: i64,
    pub answers: BTreeMap<Waiter, Reply>,
    next: u64,
}

impl Story {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        Self {
            group: Group::new(limits),
            now_ms: 1_000,
            answers: BTreeMap::new(),
            next: 0,
        }
    }

    pub fn waiter(&mut self) -> Waiter {
        self.next += 1;
        Waiter(self.next)
    }

    pub fn step(&mut self, command: Command) {
        for answer in self.group.step(command, self.now_ms) {
            let twice = self.answers.insert(answer.to, answer.reply);
            assert!(twice.is_none(), "{:?} was answered twice", answer.to);
        }
    }

    pub fn join(&mut self, join: Join) -> Waiter {
        let to = self.waiter();
        self.step(Command::Join { to, join });
        to
    }

    pub fn sync(
        &mut self,
        member_id: &str,
        generation: i32,
        assignments: &[(&str, &str)],
    ) -> Waiter {
        let to = self.waiter();
        let assignments = assignments
            .iter()
            .map(|(id, text)| ((*id).to_owned(), Bytes::from((*text).to_owned())))
            .collect();
        let sync = Sync {
            member_id: member_id.to_owned(),
            instance_id: None,
            generation,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.step(Command::Sync { to, sync });
        to
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        let to = self.waiter();
        let heartbeat = Heartbeat {
            member_id: member_id.to_owned(),
            instance_id: None,
            generation,
        };
        self.step(Command::Heartbeat { to, heartbeat });
        match self.take(to) {
            Reply::Heartbeat(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(&mut self, leavers: &[(&str, Option<&str>)]) -> Vec<Result<(), GroupError>> {
        let to = self.waiter();
        let leavers = leavers
            .iter()
            .map(|(id, instance)| Leaver {
                member_id: (*id).to_owned(),
                instance_id: instance.map(str::to_owned),
            })
            .collect();
        self.step(Command::Leave {
            to,
            leave: Leave { leavers },
        });
        match self.take(to) {
            Reply::Leave(outcome) => outcome
                .unwrap()
                .into_iter()
                .map(|one| one.outcome)
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Moves the clock, sending a tick at every deadline on the way.
    pub fn wait(&mut self, by_ms: i64) {
        let end_ms = self.now_ms + by_ms;
        while let Some(deadline) = self
            .group
            .next_deadline()
            .filter(|deadline| *deadline <= end_ms)
        {
            self.now_ms = self.now_ms.max(deadline);
            self.step(Command::Tick);
        }
        self.now_ms = end_ms;
    }

    pub fn take(&mut self, waiter: Waiter) -> Reply {
        self.answers
            .remove(&waiter)
            .unwrap_or_else(|| panic!("{waiter:?} still waits"))
    }

    pub fn joined(&mut self, waiter: Waiter) -> Joined {
        match self.take(waiter) {
            Reply::Join(joined) => joined.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn refused(&mut self, waiter: Waiter) -> JoinFailure {
        match self.take(waiter) {
            Reply::Join(joined) => joined.unwrap_err(),
            other => panic!("{other:?}"),
        }
    }

    pub fn synced(&mut self, waiter: Waiter) -> Result<String, GroupError> {
        match self.take(waiter) {
            Reply::Sync(synced) => {
                synced.map(|synced| String::from_utf8(synced.assignment.to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn waits(&self, waiter: Waiter) -> bool {
        !self.answers.contains_key(&waiter)
    }

    /// A stable group of two: `a` leads.
    pub fn pair() -> Self {
        let mut story = Self::new();
        let a = story.join(join("", "a"));
        story.joined(a);
        story.sync("a", 1, &[("a", "all")]);
        let b = story.join(join("", "b"));
        assert_eq!(
            story.heartbeat("a", 1),
            Err(GroupError::RebalanceInProgress)
        );
        let a = story.join(join("a", "-"));
        assert_eq!(story.joined(a).members.len(), 2);
        assert_eq!(story.joined(b).generation, 2);
        let b = story.sync("b", 2, &[]);
        let a = story.sync("a", 2, &[("a", "left"), ("b", "right")]);
        assert_eq!(
            (story.synced(a), story.synced(b)),
            (Ok("left".into()), Ok("right".into()))
        );
        story.answers.clear();
        story
    }
}

/// A JoinGroup as version 3 sends it: no known id needed.
pub(super) fn join(member_id: &str, fresh: &str) -> Join {
    Join {
        member_id: member_id.to_owned(),
        fresh_member_id: fresh.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: offers(&["range", "sticky"]),
        needs_known_id: false,
        can_skip_assignment: false,
    }
}

pub(super) fn offers(names: &[&str]) -> Vec<Protocol> {
    let offer = |name: &&str| Protocol {
        name: (*name).to_owned(),
        metadata: Bytes::from((*name).to_owned()),
    };
    names.iter().map(offer).collect()
}
