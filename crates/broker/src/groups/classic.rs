//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup, to a group of either kind.

use std::sync::Arc;

use headwater_coord::groups::{
    Command, GroupError, Heartbeat, Join, JoinFailure, Joined, Leave, LeaveOutcome, Reply, Sync,
    Synced, group_id_ok,
};

use super::Groups;
use super::hosted::{ENDED, Kind, Shared};
use super::topics::Unasked;
use crate::Broker;

/// What came of asking a group of the consumer protocol.
type Asked<T, E> = Option<Result<T, E>>;

impl Broker {
    /// Answers when the rebalance has ended. An empty `fresh_member_id` is filled in.
    ///
    /// # Errors
    /// What the group says.
    pub async fn join_group(&self, id: &str, mut join: Join) -> Result<Joined, JoinFailure> {
        let failure = |error, member_id: &str| JoinFailure {
            error,
            member_id: member_id.to_owned(),
        };
        if !group_id_ok(id) {
            return Err(failure(GroupError::InvalidGroupId, &join.member_id));
        }
        if join.fresh_member_id.is_empty() {
            let stem = join.instance_id.as_deref().unwrap_or(&join.client_id);
            join.fresh_member_id = format!("{stem}-{}", self.world.uuid_text());
        }
        let bounds = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !bounds.contains(&join.session_timeout_ms) {
            return Err(failure(GroupError::InvalidSessionTimeout, &join.member_id));
        }
        let member_id = join.member_id.clone();
        let hosted = self.groups.find_or_make(id, Groups::new_classic);
        if let Some(answer) = self.groups.join_consumer_group(&hosted, &join).await {
            return answer;
        }
        let reply = self.groups.ask(&hosted, |to| Command::Join { to, join });
        let answer = match reply.await {
            Some(Reply::Join(answer)) => answer,
            _ => Err(failure(ENDED, &member_id)),
        };
        if answer.is_err() {
            self.groups.tidy(id);
        }
        answer
    }

    /// Answers when the leader has assigned.
    ///
    /// # Errors
    /// What the group says.
    pub async fn sync_group(&self, id: &str, sync: Sync) -> Result<Synced, GroupError> {
        let hosted = self.groups.joined(id)?;
        let asked = self
            .groups
            .ask_consumer_group(&hosted, |group, context| group.classic_sync(&sync, context));
        if let Some(answer) = asked.await {
            return answer;
        }
        match self
            .groups
            .ask(&hosted, |to| Command::Sync { to, sync })
            .await
        {
            Some(Reply::Sync(answer)) => answer,
            _ => Err(ENDED),
        }
    }

    /// # Errors
    /// What the group says.
    pub async fn heartbeat(&self, id: &str, heartbeat: Heartbeat) -> Result<(), GroupError> {
        let hosted = self.groups.joined(id)?;
        let asked = self.groups.ask_consumer_group(&hosted, |group, context| {
            group.classic_heartbeat(&heartbeat, context)
        });
        if let Some(answer) = asked.await {
            return answer;
        }
        let command = |to| Command::Heartbeat { to, heartbeat };
        match self.groups.ask(&hosted, command).await {
            Some(Reply::Heartbeat(answer)) => answer,
            _ => Err(ENDED),
        }
    }

    /// # Errors
    /// What the group says of all; each leaver has its own outcome.
    pub async fn leave_group(
        &self,
        id: &str,
        leave: Leave,
    ) -> Result<Vec<LeaveOutcome>, GroupError> {
        let hosted = match self.groups.joined(id) {
            Ok(hosted) => hosted,
            Err(GroupError::UnknownMemberId) => return Ok(strangers(leave)),
            Err(error) => return Err(error),
        };
        let asked = self.groups.ask_consumer_group(&hosted, |group, context| {
            Ok(group.classic_leave(&leave.leavers, context))
        });
        if let Some(answer) = asked.await {
            return answer;
        }
        match self
            .groups
            .ask(&hosted, |to| Command::Leave { to, leave })
            .await
        {
            Some(Reply::Leave(answer)) => answer,
            _ => Err(ENDED),
        }
    }
}

/// Nobody is a member of a group that is not there.
fn strangers(leave: Leave) -> Vec<LeaveOutcome> {
    let outcome = |leaver| LeaveOutcome {
        leaver,
        outcome: Err(GroupError::UnknownMemberId),
    };
    leave.leavers.into_iter().map(outcome).collect()
}

impl Groups {
    /// The group that a member asks, which must have been joined before.
    fn joined(&self, id: &str) -> Result<Shared, GroupError> {
        match group_id_ok(id) {
            true => self.find(id).ok_or(GroupError::UnknownMemberId),
            false => Err(GroupError::InvalidGroupId),
        }
    }

    /// JoinGroup to a group of the consumer protocol; `None` when it is a classic one, or has become one because it was empty.
    async fn join_consumer_group(
        self: &Arc<Self>,
        hosted: &Shared,
        join: &Join,
    ) -> Asked<Joined, JoinFailure> {
        {
            let mut guard = hosted.lock();
            if matches!(&guard.kind, Kind::Consumer(group) if group.is_empty()) {
                guard.become_kind(self.new_classic());
                if let Err(error) = guard.save(self) {
                    tracing::warn!(%error, "the end of an empty consumer group is not written");
                }
            }
        }
        let protocols =
            self.ask_consumer_group(hosted, |group, context| group.classic_join(join, context));
        let answer = protocols.await?;
        Some(match answer {
            Ok(joined) => Ok(Joined {
                generation: joined.epoch,
                protocol_type: "consumer".to_owned(),
                protocol: joined.protocol,
                // Nobody leads here: a member that is told of another leader assigns nothing.
                leader: String::new(),
                member_id: joined.member_id,
                members: Vec::new(),
                skip_assignment: false,
            }),
            Err(error) => {
                let member_id = match error {
                    GroupError::MemberIdRequired => join.fresh_member_id.clone(),
                    _ => join.member_id.clone(),
                };
                Err(JoinFailure { error, member_id })
            }
        })
    }

    /// Asks a group of the consumer protocol on behalf of a classic member; `None` when it is a classic group.
    async fn ask_consumer_group<T>(
        self: &Arc<Self>,
        hosted: &Shared,
        ask: impl FnOnce(
            &mut headwater_coord::consumer_groups::ConsumerGroup,
            &headwater_coord::consumer_groups::Context<'_>,
        ) -> Result<T, GroupError>,
    ) -> Asked<T, GroupError> {
        let (answer, written) = {
            let mut guard = hosted.lock();
            let id = guard.id.clone();
            if guard.gone {
                return None;
            }
            let Kind::Consumer(group) = &mut guard.kind else {
                return None;
            };
            let view = self.topics(Unasked);
            let context = view.context(self.limits_of(&id), self.world.now_ms());
            let answer = ask(group, &context);
            guard.downgrade(self, false);
            let written = guard.save(self);
            self.set_timer(hosted, &mut guard);
            (answer, written)
        };
        Some(match (answer, written) {
            (Ok(answer), Ok(None)) => Ok(answer),
            (Ok(answer), Ok(Some(written))) => written.await.map(|()| answer).map_err(|_| ENDED),
            (Ok(_), Err(_)) => Err(ENDED),
            (Err(error), _) => Err(error),
        })
    }
}
