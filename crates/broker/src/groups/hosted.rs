//! One group in its home: its state machine, who waits for it, its timer, and the writing down of what has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_coord::consumer_groups::ConsumerGroup;
use headwater_coord::groups::{Answer, Command, Group, GroupError, Reply, State, Waiter};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Groups;
use super::journal::{Record, Written, classic_key, head_key, member_key};
use super::topics::Unasked;
use crate::error::BrokerError;

pub(crate) type Shared = Arc<Mutex<Hosted>>;

/// Which of the protocols the group speaks now.
pub(crate) enum Kind {
    Classic(Group),
    Consumer(ConsumerGroup),
}

/// An answer, and what it may not be told before; `Err`: what was decided could not be written.
type Told = (Reply, Result<Option<Written>, ()>);

/// One group and who waits for it.
pub(crate) struct Hosted {
    pub id: String,
    pub kind: Kind,
    /// It is no longer among the groups: who still has it has to look again.
    pub gone: bool,
    waiting: HashMap<Waiter, oneshot::Sender<Told>>,
    /// When the earliest timer that counts goes off (ms).
    timer_ms: Option<i64>,
    /// Deletions that could not be written yet.
    unwritten: Vec<Record>,
}

impl Kind {
    fn next_deadline(&self) -> Option<i64> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }

    /// Nothing ever happened here, or the group has ended.
    pub fn is_vacant(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_vacant() || group.state() == State::Dead,
            Self::Consumer(group) => group.is_empty() && group.epoch() == 0,
        }
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether a member reads the topic.
    pub fn reads(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.is_subscribed(topic),
        }
    }

    /// The deletion of everything that is written of the group.
    pub fn deletions(&self, id: &str) -> Vec<Record> {
        match self {
            Self::Classic(_) => vec![(classic_key(id), None)],
            Self::Consumer(group) => {
                let members = group.members().keys();
                let members = members.map(|member| (member_key(id, member), None));
                std::iter::once((head_key(id), None))
                    .chain(members)
                    .collect()
            }
        }
    }
}

impl Hosted {
    pub fn shared(id: String, kind: Kind) -> Shared {
        Arc::new(Mutex::new(Self {
            id,
            kind,
            gone: false,
            waiting: HashMap::new(),
            timer_ms: None,
            unwritten: Vec::new(),
        }))
    }

    /// Writes down what has changed. What could not be written is tried again with the next change.
    pub fn save(&mut self, groups: &Groups) -> Result<Option<Written>, BrokerError> {
        let mut records = self.unwritten.clone();
        let written = match &mut self.kind {
            Kind::Classic(group) => {
                let changed = group.take_changed();
                if changed {
                    records.push((classic_key(&self.id), Some(group.saved().encode())));
                }
                let written = groups.journal.write(records);
                if written.is_err() && changed {
                    group.keep_changed();
                }
                written
            }
            Kind::Consumer(group) => {
                let changes = group.take_changes();
                if changes.head {
                    records.push((head_key(&self.id), Some(group.encode_head())));
                }
                for member in &changes.members {
                    records.push((member_key(&self.id, member), group.encode_member(member)));
                }
                let written = groups.journal.write(records);
                if written.is_err() {
                    group.keep_changes(changes);
                }
                written
            }
        };
        if written.is_ok() {
            self.unwritten.clear();
        }
        written
    }

    /// Puts the group into another kind's state. The old kind's records go with the next [`Hosted::save`].
    pub fn become_kind(&mut self, kind: Kind) {
        self.unwritten.extend(self.kind.deletions(&self.id));
        self.kind = kind;
    }

    /// Sends answers on their way; they arrive when what was written is durable.
    pub fn tell(&mut self, answers: Vec<Answer>, written: &Result<Option<Written>, BrokerError>) {
        for answer in answers {
            if let Some(waiting) = self.waiting.remove(&answer.to) {
                let written = written.clone().map_err(|_| ());
                // A client that went away meanwhile is found out by its session timeout.
                let _ = waiting.send((answer.reply, written));
            }
        }
    }

    fn step(&mut self, command: Command, groups: &Groups) {
        let Kind::Classic(group) = &mut self.kind else {
            return;
        };
        let answers = group.step(command, groups.world.now_ms());
        let written = self.save(groups);
        self.tell(answers, &written);
    }

    /// A group whose members all speak the classic protocol becomes a classic one; `rebalance`: they are to join again.
    pub fn downgrade(&mut self, groups: &Groups, rebalance: bool) {
        let Kind::Consumer(group) = &mut self.kind else {
            return;
        };
        let now_ms = groups.world.now_ms();
        let view = groups.topics(Unasked);
        let context = view.context(groups.limits_of(&self.id), now_ms);
        let Some(mut classic) = group.to_classic(groups.limits, &context) else {
            return;
        };
        classic.keep_changed();
        if rebalance {
            // Nobody waits in a group that has just come to be.
            let _ = classic.rebalance(now_ms);
        }
        self.become_kind(Kind::Classic(classic));
    }

    /// Time has passed.
    pub fn tick(&mut self, groups: &Groups) {
        match &mut self.kind {
            Kind::Classic(_) => self.step(Command::Tick, groups),
            Kind::Consumer(group) => {
                let view = groups.topics(Unasked);
                let limits = groups.limits_of(&self.id);
                if group.tick(&view.context(limits, groups.world.now_ms())) {
                    self.downgrade(groups, true);
                    if let Err(error) = self.save(groups) {
                        tracing::warn!(%error, group = self.id, "expired members are not written down yet");
                    }
                }
            }
        }
    }

    pub fn is_due(&self, now_ms: i64) -> bool {
        self.kind.next_deadline().is_some_and(|at| at <= now_ms)
    }
}

impl Groups {
    /// Puts a question to a classic group; `None` when it was ended, or is one no more, before it answered, or when what it
    /// decided cannot be written.
    pub(super) async fn ask(
        self: &Arc<Self>,
        hosted: &Shared,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Option<Reply> {
        let to = Waiter(self.waiters.fetch_add(1, Ordering::Relaxed));
        let (send, receive) = oneshot::channel();
        {
            let mut guard = hosted.lock();
            if guard.gone || !matches!(guard.kind, Kind::Classic(_)) {
                return None;
            }
            guard.waiting.insert(to, send);
            guard.step(command(to), self);
            self.set_timer(hosted, &mut guard);
        }
        let (reply, written) = receive.await.ok()?;
        match written.ok()? {
            Some(written) => written.await.ok().map(|()| reply),
            None => Some(reply),
        }
    }

    /// Sees to it that the group is told of its next deadline. A timer that was overtaken by an earlier one does nothing.
    pub(super) fn set_timer(self: &Arc<Self>, hosted: &Shared, guard: &mut Hosted) {
        let Some(deadline_ms) = guard.kind.next_deadline() else {
            return;
        };
        if guard
            .timer_ms
            .is_some_and(|earlier_ms| earlier_ms <= deadline_ms)
        {
            return;
        }
        guard.timer_ms = Some(deadline_ms);
        let (hosted, groups) = (Arc::downgrade(hosted), Arc::downgrade(self));
        let wait_ms = deadline_ms.saturating_sub(self.world.now_ms()).max(1);
        self.world.spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
            let (Some(hosted), Some(groups)) = (hosted.upgrade(), groups.upgrade()) else {
                return;
            };
            let mut guard = hosted.lock();
            if guard.timer_ms == Some(deadline_ms) {
                guard.timer_ms = None;
                guard.tick(&groups);
                groups.set_timer(&hosted, &mut guard);
            }
        });
    }

    /// Tells every group whose time has come; for those without a timer, as after a restart.
    pub(super) fn tick_all(&self) {
        let now_ms = self.world.now_ms();
        for (_, hosted) in self.all() {
            let mut guard = hosted.lock();
            if guard.is_due(now_ms) {
                guard.tick(self);
            }
        }
    }
}

/// What a group that is no more says.
pub(super) const ENDED: GroupError = GroupError::CoordinatorNotAvailable;
