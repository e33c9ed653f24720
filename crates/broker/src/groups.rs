//! Consumer groups: the home of `coord`'s state machines. Gives them the time, fresh ids, the topics and a timer each, writes down
//! what has to survive a restart, and carries their answers to the clients that wait.
//!
//! Reading order: this file keeps the groups, [`hosted`] one of them, [`classic`] and [`consumer`] are what members ask,
//! [`admin`], [`offsets`] and [`expiry`] the rest; [`journal`] writes, [`topics`] is how a group sees the topics.

mod admin;
mod classic;
mod consumer;
mod expiry;
mod hosted;
mod journal;
mod offsets;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use headwater_base::World;
use headwater_coord::consumer_groups::{ConsumerGroup, Limits as ConsumerLimits};
use headwater_coord::consumer_protocol::read_assignment;
use headwater_coord::groups::{Group, Limits};
use headwater_log::Log;
use parking_lot::Mutex;

use crate::catalog::CatalogStore;
use crate::config::BrokerConfig;
use crate::error::OpenError;
use hosted::Kind;
pub(crate) use hosted::{Hosted, Shared};
use journal::GroupJournal;
use topics::Unasked;

pub(crate) use admin::named;
pub use admin::{ConsumerView, GroupListing, GroupPhase, GroupType, GroupView, MemberShare};
pub use consumer::ConsumerRefusal;
pub use offsets::{CommitItem, CommitMode, CommitRefusal, GroupOffsets, OffsetReader};

/// All groups of this node that somebody joined. Those that only have offsets are not here.
pub(crate) struct Groups {
    world: World,
    limits: Limits,
    consumer_limits: ConsumerLimits,
    catalog: Arc<CatalogStore>,
    journal: GroupJournal,
    all: Mutex<BTreeMap<String, Shared>>,
    waiters: AtomicU64,
    /// When offsets were last looked through for old ones (ms).
    expired_ms: Mutex<i64>,
}

impl Groups {
    /// Rebuilds the groups from the log; their members' sessions begin now.
    pub fn open(
        log: Arc<dyn Log>,
        world: World,
        catalog: Arc<CatalogStore>,
        config: &BrokerConfig,
    ) -> Result<Arc<Self>, OpenError> {
        let limits = Limits {
            members_max: config.group_members_max,
            session_ms_min: config.session_timeout_ms_min,
            session_ms_max: config.session_timeout_ms_max,
            initial_delay_ms: config.initial_rebalance_delay_ms,
            ..Limits::default()
        };
        let consumer_limits = ConsumerLimits {
            members_max: config.consumer_group_members_max,
            session_ms: config.consumer_session_ms,
            heartbeat_ms: config.consumer_heartbeat_ms,
        };
        let (journal, saved) = GroupJournal::open(log, world.clone())?;
        let groups = Self {
            expired_ms: Mutex::new(world.now_ms()),
            world,
            limits,
            consumer_limits,
            catalog,
            journal,
            all: Mutex::new(BTreeMap::new()),
            waiters: AtomicU64::new(0),
        };
        let now_ms = groups.world.now_ms();
        let mut all = BTreeMap::new();
        for (id, one) in saved {
            let kind = match one {
                journal::Saved::Classic(saved) => {
                    Kind::Classic(Group::restored(groups.limits, saved, now_ms))
                }
                journal::Saved::Consumer(mut group) => {
                    let view = groups.topics(Unasked);
                    group.start_sessions(&view.context(groups.limits_of(&id), now_ms));
                    Kind::Consumer(*group)
                }
            };
            all.insert(id.clone(), Hosted::shared(id, kind));
        }
        *groups.all.lock() = all;
        Ok(Arc::new(groups))
    }

    pub fn find(&self, id: &str) -> Option<Shared> {
        self.all.lock().get(id).cloned()
    }

    pub fn all(&self) -> Vec<(String, Shared)> {
        self.all
            .lock()
            .iter()
            .map(|(id, hosted)| (id.clone(), Arc::clone(hosted)))
            .collect()
    }

    fn find_or_make(&self, id: &str, kind: impl FnOnce(&Self) -> Kind) -> Shared {
        let mut all = self.all.lock();
        if let Some(hosted) = all.get(id) {
            return Arc::clone(hosted);
        }
        let hosted = Hosted::shared(id.to_owned(), kind(self));
        all.insert(id.to_owned(), Arc::clone(&hosted));
        hosted
    }

    fn new_classic(&self) -> Kind {
        Kind::Classic(Group::new(self.limits))
    }

    fn new_consumer(&self) -> Kind {
        Kind::Consumer(ConsumerGroup::new())
    }

    /// Forgets a group in which nothing has happened, or that has ended.
    fn tidy(&self, id: &str) {
        let mut all = self.all.lock();
        let over = |hosted: &Shared| {
            let mut hosted = hosted.lock();
            hosted.gone |= hosted.kind.is_vacant();
            hosted.gone
        };
        if all.get(id).is_some_and(over) {
            all.remove(id);
        }
    }

    /// The bounds of one group of the consumer protocol.
    fn limits_of(&self, id: &str) -> ConsumerLimits {
        let catalog = self.catalog.current();
        let set = |name: &str| catalog.group_setting(id, name);
        let node = self.consumer_limits;
        ConsumerLimits {
            session_ms: set("consumer.session.timeout.ms").unwrap_or(node.session_ms),
            heartbeat_ms: set("consumer.heartbeat.interval.ms").unwrap_or(node.heartbeat_ms),
            ..node
        }
    }
}

/// The partitions of a classic consumer's assignment as `topic/partition`, as far as it can be read.
pub(crate) fn assigned_partitions(assignment: &[u8]) -> Vec<String> {
    let places = read_assignment(assignment).into_iter();
    places
        .flat_map(|(topic, indexes)| {
            indexes
                .into_iter()
                .map(move |index| format!("{topic}/{index}"))
        })
        .collect()
}
