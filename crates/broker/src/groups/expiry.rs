//! What time does to groups: sessions after a restart, old offsets, and groups in which nobody is left and nothing is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use headwater_coord::groups::State;

use super::hosted::Kind;
use crate::Broker;
use crate::committed::{CommittedOffset, Place};

/// From when on the offsets of a group grow old.
enum Age {
    /// They do not.
    Never,
    /// Each from its commit.
    Commit,
    /// All from this moment (ms): the group became empty.
    Since(i64),
}

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);

impl Broker {
    /// Calls [`Broker::tick_groups`] every so often, until the broker ends.
    pub(crate) fn start_group_ticks(self: &Arc<Self>) {
        let broker = Arc::downgrade(self);
        self.world.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let Some(broker) = broker.upgrade() else {
                    return;
                };
                broker.tick_groups();
            }
        });
    }

    /// Does what is due; to be called every second or so.
    pub fn tick_groups(&self) {
        self.groups.tick_all();
        let now_ms = self.world.now_ms();
        let due = {
            let mut last_ms = self.groups.expired_ms.lock();
            let due = now_ms.saturating_sub(*last_ms) >= self.config.offsets_check_ms;
            if due {
                *last_ms = now_ms;
            }
            due
        };
        if due {
            self.expire_offsets(now_ms);
        }
    }

    /// Deletes offsets that have grown old (`offsets.retention.minutes`), and forgets groups that are empty and have none.
    pub(crate) fn expire_offsets(&self, now_ms: i64) {
        for group in self.committed.group_names() {
            let (age, subscribed) = self.age_of(&group);
            // What an open transaction will commit anew is not taken away under it.
            let pending = self.pending_offsets(&group);
            let retention_ms = self.config.offsets_retention_ms;
            let old = |place: &Place, committed: &CommittedOffset| {
                let since_ms = match age {
                    Age::Never => return false,
                    Age::Commit => committed.commit_ms,
                    Age::Since(since_ms) => since_ms,
                };
                let until_ms = committed
                    .expire_ms
                    .unwrap_or_else(|| since_ms.saturating_add(retention_ms));
                until_ms <= now_ms && !subscribed.contains(&place.0) && !pending.contains(place)
            };
            if let Err(error) = self.committed.expire(&group, old) {
                tracing::warn!(%error, group, "old offsets stay until the next look");
            }
        }
        self.forget_empty_groups();
    }

    /// How the offsets of a group age, and the topics whose offsets do not.
    fn age_of(&self, id: &str) -> (Age, BTreeSet<String>) {
        let Some(hosted) = self.groups.find(id) else {
            return (Age::Commit, BTreeSet::new());
        };
        let hosted = hosted.lock();
        let read = || {
            let topics: BTreeSet<String> = self
                .committed
                .group(id)
                .into_keys()
                .map(|place| place.0)
                .collect();
            topics
                .into_iter()
                .filter(|topic| hosted.kind.reads(topic))
                .collect()
        };
        match &hosted.kind {
            Kind::Consumer(_) => (Age::Commit, read()),
            Kind::Classic(group) => match (group.state(), group.protocol_type()) {
                (_, None) => (Age::Commit, BTreeSet::new()),
                (State::Empty, _) => (Age::Since(group.changed_ms()), BTreeSet::new()),
                (State::Stable, Some("consumer")) => (Age::Commit, read()),
                _ => (Age::Never, BTreeSet::new()),
            },
        }
    }

    fn forget_empty_groups(&self) {
        for (id, hosted) in self.groups.all() {
            let kept = self.committed.has_group(&id) || !self.pending_offsets(&id).is_empty();
            let mut guard = hosted.lock();
            if kept || guard.gone || !guard.kind.is_empty() {
                continue;
            }
            match self.groups.journal.write(guard.kind.deletions(&id)) {
                Ok(_) => guard.gone = true,
                Err(error) => tracing::warn!(%error, group = id, "an empty group stays for now"),
            }
            drop(guard);
            self.groups.tidy(&id);
        }
    }
}
