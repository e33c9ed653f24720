//! The catalog on the log: a change is checked, submitted and applied under one lock, then awaited.
//!
//! What a change makes visible before it is durable can only be used by commits that follow it in the log.
//! Produce holds the read side while it submits, so that no batch follows the drop of its partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use headwater_base::{Clock, PartitionId};
use headwater_log::{Append, Commit, Durable, Log};
use headwater_meta::{Catalog, Change};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::error::{BrokerError, OpenError};
use crate::journal::{self, METADATA};

/// Changes after which a snapshot replaces them, beyond twice the number of topics.
const CHANGES_MAX: usize = 1_000;

pub(crate) struct CatalogStore {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    catalog: RwLock<Arc<Catalog>>,
    /// Changes in the log since the last snapshot.
    changes: AtomicUsize,
    /// Grows with every change; read and written under the catalog's lock.
    revision: AtomicU64,
}

/// What a change needs: the records, and the partitions that cease to exist with it.
#[derive(Default)]
pub(crate) struct Plan {
    pub changes: Vec<Change>,
    pub drops: Vec<PartitionId>,
}

impl Plan {
    /// Changes that nothing ceases to exist with; none if they are only to be checked.
    pub fn of(changes: Vec<Change>, validate_only: bool) -> Self {
        Self {
            changes: if validate_only { Vec::new() } else { changes },
            drops: Vec::new(),
        }
    }
}

impl CatalogStore {
    pub fn open(log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut catalog = Catalog::default();
        let mut changes = 0;
        journal::replay(&*log, METADATA, |_, _, value| {
            catalog.apply(&Change::decode(value.as_deref().unwrap_or_default())?);
            changes += 1;
            Ok(())
        })?;
        let changes = AtomicUsize::new(changes);
        Ok(Self {
            log,
            clock,
            catalog: RwLock::new(Arc::new(catalog)),
            changes,
            revision: AtomicU64::new(0),
        })
    }

    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// The catalog, and a number that tells it from other versions of it in the life of this process.
    pub fn current_revision(&self) -> (Arc<Catalog>, u64) {
        let catalog = self.catalog.read();
        (Arc::clone(&catalog), self.revision.load(Ordering::Relaxed))
    }

    /// The catalog, which stays as it is while the guard lives.
    pub fn hold(&self) -> RwLockReadGuard<'_, Arc<Catalog>> {
        self.catalog.read()
    }

    /// Lets `decide` look at the catalog and plan; the future resolves when the plan is durable.
    ///
    /// # Errors
    /// Those of `decide`, or the log takes nothing. Nothing was changed then.
    pub fn change(
        &self,
        decide: impl FnOnce(&Catalog) -> Result<Plan, BrokerError>,
    ) -> Result<Vec<Durable>, BrokerError> {
        let mut guard = self.catalog.write();
        let plan = decide(&guard)?;
        if plan.changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut durables = vec![self.submit(&plan.changes, false)?];
        let mut next = Catalog::clone(&guard);
        plan.changes.iter().for_each(|change| next.apply(change));
        durables.extend(drop_partitions(&*self.log, plan.drops));
        *guard = Arc::new(next);
        self.revision.fetch_add(1, Ordering::Relaxed);
        let written = self
            .changes
            .fetch_add(plan.changes.len(), Ordering::Relaxed)
            + plan.changes.len();
        if written > CHANGES_MAX + 2 * guard.len() {
            self.snapshot(&guard);
        }
        Ok(durables)
    }

    /// Puts the whole catalog in the place of the changes that led to it. Failing costs nothing but space.
    fn snapshot(&self, catalog: &Catalog) {
        let changes = catalog.snapshot();
        match self.submit(&changes, true) {
            Ok(_) => self.changes.store(changes.len(), Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "no snapshot of the catalog"),
        }
    }

    fn submit(&self, changes: &[Change], replace: bool) -> Result<Durable, BrokerError> {
        let encode = |change: &Change| {
            change
                .encode()
                .map_err(|error| BrokerError::InvalidRequest(error.to_string()))
        };
        let values: Vec<Vec<u8>> = changes.iter().map(encode).collect::<Result<_, _>>()?;
        let batch = journal::batch(
            self.clock.now_ms(),
            values.iter().map(|value| (None, Some(value.as_slice()))),
        );
        let mut commit = Commit {
            appends: vec![Append {
                partition: METADATA,
                batch,
            }],
            ..Commit::default()
        };
        if replace {
            commit
                .trims
                .push((METADATA, self.log.state(METADATA).submitted_end));
        }
        Ok(self.log.submit(commit)?.durable)
    }
}

/// Drops partitions shard by shard. What fails is swept at the next start, because the catalog no longer knows it.
pub(crate) fn drop_partitions(log: &dyn Log, drops: Vec<PartitionId>) -> Vec<Durable> {
    let mut durables = Vec::new();
    for shard in 0..log.shards() {
        let here: Vec<_> = drops
            .iter()
            .copied()
            .filter(|partition| log.shard_of(*partition) == shard)
            .collect();
        if here.is_empty() {
            continue;
        }
        match log.submit(Commit {
            drops: here,
            ..Commit::default()
        }) {
            Ok(submitted) => durables.push(submitted.durable),
            Err(error) => {
                tracing::warn!(%error, "partitions of a deleted topic stay until the next start")
            }
        }
    }
    durables
}

/// Waits until everything is durable.
pub(crate) async fn settle(durables: Vec<Durable>) -> Result<(), BrokerError> {
    for durable in durables {
        durable.await?;
    }
    Ok(())
}
