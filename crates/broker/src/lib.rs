//! The broker: produce, fetch, topics, consumer groups and committed offsets over the log.
//!
//! Speaks the domain's terms; knows no API keys, versions or error codes of any protocol, and no sockets.
//!
//! Reading order: [`topics`] with [`new_topics`], [`scopes`] (configs), [`acls`] and [`users`], [`produce`] with [`producers`],
//! [`fetch`] and [`list_offsets`], [`groups`] with [`committed`], [`txns`] with [`stable`]; [`cleaning`] is what keeps the log
//! short; [`journal`] and [`catalog`] are how the broker's own state gets into the log and back; [`step_log`] is the engine's way in,
//! [`inspect`] the console's.

mod acls;
mod catalog;
mod cleaning;
mod committed;
mod config;
mod conform;
mod counters;
mod error;
mod fetch;
mod groups;
mod holds;
mod inspect;
mod journal;
mod list_offsets;
mod new_topics;
mod produce;
mod producer_table;
mod producers;
mod scopes;
mod stable;
mod step_log;
mod topics;
mod txns;
mod users;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use headwater_base::{Clock, PartitionId, World};
use headwater_log::{Log, wait};
use headwater_meta::Change;
use tokio::sync::Semaphore;

pub use cleaning::{CLEANING_PERIOD, Round};
pub use committed::CommittedOffset;
pub use config::BrokerConfig;
pub use counters::Flow;
pub use error::{BrokerError, OpenError};
pub use fetch::{FetchItem, FetchOut, FetchRequest, Fetched};
pub use groups::{
    CommitItem, CommitMode, CommitRefusal, ConsumerRefusal, ConsumerView, GroupListing,
    GroupOffsets, GroupPhase, GroupType, GroupView, MemberShare, OffsetReader,
};
pub use headwater_log::PartitionState;
pub use headwater_meta::acls::{
    Acl, AclFilter, Operation, PatternFilter, PatternType, Permission, ResourceType, Rule, Who,
};
pub use headwater_meta::quotas::{
    NameFilter, QuotaEdit, QuotaEntity, QuotaFilter, QuotaType, QuotaValues,
};
pub use headwater_meta::scopes::{Configs, Scope, ScopeError};
pub use headwater_meta::scram::{ScramError, ScramMechanism, ScramUpsertion};
pub use headwater_meta::topic::check_name as check_topic_name;
pub use headwater_meta::{MetaError, Topic, configs, node_defs};
pub use inspect::{GroupLag, MemberView, PartitionLag, PlacedRecord, TopicView};
pub use list_offsets::{FoundOffset, OffsetSpec};
pub use new_topics::{MorePartitions, NewTopic};
pub use produce::{Appended, Ticket};
pub use producers::{ActiveProducer, ProducerSnapshot, StoredBatch};
pub use scopes::{
    ConfigEntry, ConfigOp, ConfigSource, ConfigTarget, ELIGIBLE_LEADER_REPLICAS,
    ELIGIBLE_LEADER_REPLICAS_LEVEL, Synonym,
};
pub use stable::AbortedRange;
pub use topics::{LEADER_EPOCH, TopicRef};
pub use txns::{Marker, OffsetsRefused, TxnFilter, TxnListing, TxnOffsets, TxnView, Writer};

use catalog::{CatalogStore, Plan};
use cleaning::Cleaning;
use committed::CommittedStore;
use counters::Counters;
use groups::Groups;
use holds::Holds;
use producer_table::{IdBlock, ProducerTable};
use txns::{AbortedStore, TxnStore};

/// The facade over the log. Everything in it can be rebuilt from the log.
pub struct Broker {
    config: BrokerConfig,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    world: World,
    catalog: Arc<CatalogStore>,
    producers: Arc<ProducerTable>,
    id_block: tokio::sync::Mutex<IdBlock>,
    committed: CommittedStore,
    txns: TxnStore,
    aborted: AbortedStore,
    groups: Arc<Groups>,
    cleaning: Cleaning,
    counters: Counters,
    holds: Holds,
    /// Counts fetch answers.
    fetch_turn: Arc<AtomicUsize>,
    /// Bytes that fetch answers from the disk may still take.
    fetch_budget: Arc<Semaphore>,
}

impl Broker {
    /// Rebuilds the broker's state from the log. Blocks; to be called before anybody is served.
    ///
    /// # Errors
    /// The log cannot be read or written, or holds records of a newer version.
    pub fn open(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        config: BrokerConfig,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_in(log, World::with_clock(clock), config)
    }

    /// As [`Broker::open`], with everything that comes from outside given.
    ///
    /// # Errors
    /// As [`Broker::open`].
    pub fn open_in(
        log: Arc<dyn Log>,
        world: World,
        config: BrokerConfig,
    ) -> Result<Arc<Self>, OpenError> {
        let clock = Arc::clone(world.clock());
        let catalog = Arc::new(CatalogStore::open(Arc::clone(&log), Arc::clone(&clock))?);
        let committed = CommittedStore::open(Arc::clone(&log), Arc::clone(&clock))?;
        let txns = TxnStore::open(Arc::clone(&log), Arc::clone(&clock))?;
        let (aborted, ranges) = AbortedStore::open(Arc::clone(&log), Arc::clone(&clock))?;
        let cleaning = Cleaning::open(Arc::clone(&log), config.retention_check_ms)?;
        let outlived = cleaning.journal.producers().into_iter();
        let (producers, held) = ProducerTable::rebuild(&*log, clock.now_ms(), outlived, ranges)?;
        let broker = Self {
            groups: Groups::open(
                Arc::clone(&log),
                world.clone(),
                Arc::clone(&catalog),
                &config,
            )?,
            fetch_turn: Arc::default(),
            fetch_budget: Arc::new(Semaphore::new(config.fetch_buffer_bytes_max)),
            config,
            log,
            clock,
            world,
            catalog,
            producers: Arc::new(producers),
            id_block: tokio::sync::Mutex::default(),
            committed,
            cleaning,
            txns,
            aborted,
            counters: Counters::default(),
            holds: Holds::default(),
        };
        broker.name_cluster()?;
        broker.sweep(held);
        broker.sweep_offsets();
        let broker = Arc::new(broker);
        let mending = Arc::clone(&broker);
        wait(Box::pin(async move {
            mending.mend_transactions().await;
            Ok(())
        }))
        .map_err(BrokerError::from)?;
        Ok(broker)
    }

    /// Time, randomness and tasks.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Starts what goes on by itself: retention and compaction, old offsets and members that were lost over a restart, time-outs of
    /// transactions. Ends with the broker. Needs a runtime.
    pub fn start_background(self: &Arc<Self>) {
        self.start_cleaning();
        self.start_group_ticks();
        self.start_transaction_ticks();
    }

    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    pub fn cluster_id(&self) -> String {
        self.catalog.current().cluster_id.clone()
    }

    /// Extent of a partition.
    pub fn partition_state(&self, partition: PartitionId) -> headwater_log::PartitionState {
        self.log.state(partition)
    }

    /// The very first start gives the cluster its id.
    fn name_cluster(&self) -> Result<(), BrokerError> {
        self.catalog.change(|catalog| {
            let changes = match catalog.cluster_id.is_empty() {
                true => vec![Change::ClusterNamed {
                    id: self.world.uuid_text().replace('-', "")[..22].to_owned(),
                }],
                false => Vec::new(),
            };
            Ok(Plan {
                changes,
                drops: Vec::new(),
            })
        })?;
        Ok(())
    }

    /// Drops partitions whose topic was deleted just before a crash.
    fn sweep(&self, held: Vec<PartitionId>) {
        let catalog = self.catalog.current();
        let known = |id: &PartitionId| {
            journal::is_internal(id)
                || catalog
                    .topic_by_id(id.topic)
                    .is_some_and(|topic| topic.partition(id.index).is_some())
        };
        let orphans = held.into_iter().filter(|id| !known(id)).collect();
        catalog::drop_partitions(&*self.log, orphans);
    }

    /// Forgets offsets that were committed for topics deleted just before a crash.
    fn sweep_offsets(&self) {
        let catalog = self.catalog.current();
        let gone = |topic: &str| catalog.topic(topic).is_none();
        if let Err(error) = self.committed.forget_topics(gone) {
            tracing::warn!(%error, "committed offsets of deleted topics stay until the next start");
        }
    }
}

#[cfg(test)]
mod tests;
