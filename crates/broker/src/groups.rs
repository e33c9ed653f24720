//! Consumer groups: the home of `coord`'s state machines. Gives them the time, fresh ids and a timer each, and carries their
//! answers to the clients that wait.

mod admin;
mod consumer;
mod offsets;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_base::World;
use headwater_coord::groups::{
    Command, Group, GroupError, Heartbeat, Join, JoinFailure, Joined, Leave, LeaveOutcome, Limits,
    Reply, State, Sync, Synced, Waiter, group_id_ok,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Broker;
use crate::config::BrokerConfig;

pub use admin::{GroupListing, GroupView};
pub(crate) use consumer::{assigned_partitions, subscribed_topics};
pub use offsets::{CommitItem, GroupOffsets};

/// All groups of this node. Groups without members and history are not kept.
pub(crate) struct Groups {
    world: World,
    limits: Limits,
    all: Mutex<HashMap<String, Arc<Mutex<Hosted>>>>,
    waiters: AtomicU64,
}

/// One group and who waits for it.
pub(crate) struct Hosted {
    pub group: Group,
    waiting: HashMap<Waiter, oneshot::Sender<Reply>>,
    /// When the earliest timer that counts goes off (ms).
    timer_ms: Option<i64>,
}

impl Groups {
    pub fn new(world: World, config: &BrokerConfig) -> Self {
        let limits = Limits {
            members_max: config.group_members_max,
            session_ms_min: config.session_timeout_ms_min,
            session_ms_max: config.session_timeout_ms_max,
            initial_delay_ms: config.initial_rebalance_delay_ms,
            ..Limits::default()
        };
        Self {
            world,
            limits,
            all: Mutex::new(HashMap::new()),
            waiters: AtomicU64::new(0),
        }
    }

    pub fn find(&self, id: &str) -> Option<Arc<Mutex<Hosted>>> {
        self.all.lock().get(id).cloned()
    }

    pub fn all(&self) -> Vec<(String, Arc<Mutex<Hosted>>)> {
        self.all
            .lock()
            .iter()
            .map(|(id, hosted)| (id.clone(), Arc::clone(hosted)))
            .collect()
    }

    pub fn remove(&self, id: &str) {
        self.all.lock().remove(id);
    }

    fn find_or_make(&self, id: &str) -> Arc<Mutex<Hosted>> {
        let make = || {
            let group = Group::new(self.limits);
            Arc::new(Mutex::new(Hosted {
                group,
                waiting: HashMap::new(),
                timer_ms: None,
            }))
        };
        Arc::clone(self.all.lock().entry(id.to_owned()).or_insert_with(make))
    }

    /// Puts a question to a group; `None` when the group was ended before it answered.
    async fn ask(
        &self,
        hosted: &Arc<Mutex<Hosted>>,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Option<Reply> {
        let to = Waiter(self.waiters.fetch_add(1, Ordering::Relaxed));
        let (send, receive) = oneshot::channel();
        {
            let mut guard = hosted.lock();
            guard.waiting.insert(to, send);
            guard.step(command(to), self.world.now_ms());
            set_timer(hosted, &mut guard, &self.world);
        }
        receive.await.ok()
    }

    /// Forgets a group in which nothing has happened.
    fn tidy(&self, id: &str) {
        let mut all = self.all.lock();
        let vacant = |hosted: &Arc<Mutex<Hosted>>| {
            let hosted = hosted.lock();
            hosted.group.is_vacant() || hosted.group.state() == State::Dead
        };
        if all.get(id).is_some_and(vacant) {
            all.remove(id);
        }
    }
}

impl Hosted {
    fn step(&mut self, command: Command, now_ms: i64) {
        for answer in self.group.step(command, now_ms) {
            if let Some(waiting) = self.waiting.remove(&answer.to) {
                // A client that went away meanwhile is found out by its session timeout.
                let _ = waiting.send(answer.reply);
            }
        }
    }
}

/// Sees to it that the group is told of its next deadline. A timer that was overtaken by an earlier one does nothing.
fn set_timer(hosted: &Arc<Mutex<Hosted>>, guard: &mut Hosted, world: &World) {
    let Some(deadline_ms) = guard.group.next_deadline() else {
        return;
    };
    if guard
        .timer_ms
        .is_some_and(|earlier_ms| earlier_ms <= deadline_ms)
    {
        return;
    }
    guard.timer_ms = Some(deadline_ms);
    let (hosted, its_world) = (Arc::downgrade(hosted), world.clone());
    world.spawn(async move {
        let wait_ms = deadline_ms.saturating_sub(its_world.now_ms()).max(1);
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
        let Some(hosted) = hosted.upgrade() else {
            return;
        };
        let mut guard = hosted.lock();
        if guard.timer_ms == Some(deadline_ms) {
            guard.timer_ms = None;
            guard.step(Command::Tick, its_world.now_ms());
            set_timer(&hosted, &mut guard, &its_world);
        }
    });
}

impl Broker {
    /// Answers when the rebalance has ended. An empty `fresh_member_id` is filled in.
    ///
    /// # Errors
    /// What the group says.
    pub async fn join_group(&self, id: &str, mut join: Join) -> Result<Joined, JoinFailure> {
        let refuse = |error| {
            Err(JoinFailure {
                error,
                member_id: join.member_id.clone(),
            })
        };
        if !group_id_ok(id) {
            return refuse(GroupError::InvalidGroupId);
        }
        if join.fresh_member_id.is_empty() {
            let stem = join.instance_id.as_deref().unwrap_or(&join.client_id);
            join.fresh_member_id = format!("{stem}-{}", self.world.uuid_text());
        }
        let member_id = join.member_id.clone();
        let hosted = self.groups.find_or_make(id);
        let reply = self
            .groups
            .ask(&hosted, |to| Command::Join { to, join })
            .await;
        let answer = match reply {
            Some(Reply::Join(answer)) => answer,
            _ => Err(JoinFailure {
                error: GroupError::CoordinatorNotAvailable,
                member_id,
            }),
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
        let hosted = self.groups.find(id).ok_or(GroupError::UnknownMemberId)?;
        match self
            .groups
            .ask(&hosted, |to| Command::Sync { to, sync })
            .await
        {
            Some(Reply::Sync(answer)) => answer,
            _ => Err(GroupError::CoordinatorNotAvailable),
        }
    }

    /// # Errors
    /// What the group says.
    pub async fn heartbeat(&self, id: &str, heartbeat: Heartbeat) -> Result<(), GroupError> {
        let hosted = self.groups.find(id).ok_or(GroupError::UnknownMemberId)?;
        match self
            .groups
            .ask(&hosted, |to| Command::Heartbeat { to, heartbeat })
            .await
        {
            Some(Reply::Heartbeat(answer)) => answer,
            _ => Err(GroupError::CoordinatorNotAvailable),
        }
    }

    /// # Errors
    /// What the group says of all; each leaver has its own outcome.
    pub async fn leave_group(
        &self,
        id: &str,
        leave: Leave,
    ) -> Result<Vec<LeaveOutcome>, GroupError> {
        let hosted = self.groups.find(id).ok_or(GroupError::UnknownMemberId)?;
        match self
            .groups
            .ask(&hosted, |to| Command::Leave { to, leave })
            .await
        {
            Some(Reply::Leave(answer)) => answer,
            _ => Err(GroupError::CoordinatorNotAvailable),
        }
    }
}
