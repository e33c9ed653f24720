//! The visible rows of one view or table: written by its pipeline's publisher, read by anyone at any time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::datatypes::SchemaRef;
use headwater_base::{Offset, PartId, PartitionId, SpillStore};
use headwater_dataflow::delta::Delta;
use headwater_formats::JsonEncoder;
use headwater_views::{Layout, ViewError, ViewSnapshot, ViewStore};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

/// Steps that a subscriber may fall behind before it loses its place.
const SUBSCRIBER_STEPS_MAX: usize = 16;
/// Rows of one step past which subscribers are only told how many there were: to read the view anew is cheaper than to follow.
const SUBSCRIBER_ROWS_MAX: usize = 2_000;

/// What a view is, apart from its rows.
#[derive(Clone, Debug)]
pub struct ViewInfo {
    pub name: String,
    pub pipeline: String,
    /// `view`, `table` or `alert`.
    pub kind: &'static str,
    pub schema: SchemaRef,
    pub key: Option<Vec<usize>>,
    pub append_only: bool,
    /// Column whose age counts for retention: event time or the end of the window.
    pub time: Option<usize>,
}

/// See the module's description.
pub struct ViewCell {
    pub info: ViewInfo,
    content: Mutex<Content>,
    changes: broadcast::Sender<Arc<Told>>,
    gone: AtomicBool,
}

struct Content {
    store: ViewStore,
    step: u64,
    changelogs: BTreeMap<PartitionId, Offset>,
    /// Rows added and taken back since the start.
    changed: u64,
}

/// The rows of one view that a step changed.
#[derive(Clone, Debug)]
pub struct ViewChanges {
    pub step: u64,
    pub at_ms: i64,
    /// What they are; for subscribers empty when there were too many.
    pub deltas: Vec<Delta>,
}

/// What a subscriber is told of a step.
#[derive(Debug)]
pub struct Told {
    pub changes: ViewChanges,
    /// Rows that changed.
    pub count: usize,
}

/// Rows of a view as of one step.
pub struct Picture {
    pub rows: Arc<ViewSnapshot>,
    pub step: u64,
    /// Where each of the view's changelogs goes on after these rows.
    pub changelogs: BTreeMap<PartitionId, Offset>,
}

impl ViewChanges {
    /// `(row is there now, values in column order)`, in order.
    pub fn rows(&self) -> Vec<(bool, Vec<Value>)> {
        let mut rows = Vec::new();
        for delta in &self.deltas {
            let encoder = JsonEncoder::new(&delta.rows.schema());
            let Ok(bound) = encoder.bind(&delta.rows) else {
                continue;
            };
            rows.extend((0..delta.len()).map(|row| (delta.kind(row).adds(), bound.values(row))));
        }
        rows
    }
}

impl ViewCell {
    pub fn new(info: ViewInfo) -> Arc<Self> {
        let content = Content {
            store: Self::empty_store(&info),
            step: 0,
            changelogs: BTreeMap::new(),
            changed: 0,
        };
        let (changes, _) = broadcast::channel(SUBSCRIBER_STEPS_MAX);
        Arc::new(Self {
            info,
            content: Mutex::new(content),
            changes,
            gone: AtomicBool::new(false),
        })
    }

    fn empty_store(info: &ViewInfo) -> ViewStore {
        let layout = match (&info.key, info.append_only) {
            (_, true) => Layout::AppendOnly,
            (Some(key), false) => Layout::Keyed { key: key.clone() },
            (None, false) => Layout::Multiset,
        };
        ViewStore::new(Arc::clone(&info.schema), layout)
    }

    /// Applies what a durable step changed. `forget_us`: rows older than this are let go. `changelogs`: where the view's changelogs
    /// end after the step; seen together with its rows.
    pub fn apply(
        &self,
        changes: ViewChanges,
        forget_us: Option<i64>,
        changelogs: &[(PartitionId, Offset)],
    ) -> Result<(), ViewError> {
        let mut content = self.content.lock();
        for delta in &changes.deltas {
            let adds: Option<Vec<bool>> = delta
                .kinds
                .as_ref()
                .map(|kinds| kinds.iter().map(|k| k.adds()).collect());
            content.store.apply(&delta.rows, adds.as_deref())?;
            content.changed += delta.len() as u64;
        }
        if let (Some(bound), Some(column)) = (forget_us, self.info.time) {
            content.store.retain(column, bound)?;
        }
        content.step = changes.step;
        content.changelogs.extend(changelogs.iter().copied());
        drop(content);
        let count = changes.deltas.iter().map(Delta::len).sum();
        if self.changes.receiver_count() > 0 && count > 0 {
            let mut told = Told { changes, count };
            if count > SUBSCRIBER_ROWS_MAX {
                told.changes.deltas.clear();
            }
            let _ = self.changes.send(Arc::new(told));
        }
        Ok(())
    }

    /// Puts its rows into the store, see [`ViewStore::spill`].
    pub fn spill(&self, store: &Arc<dyn SpillStore>) -> Result<(), ViewError> {
        self.work_on(ViewStore::can_spill, |copy| copy.spill(store))
    }

    /// Merges rows that are in the store, see [`ViewStore::tidy_spilled`].
    pub fn tidy_spilled(&self) -> Result<(), ViewError> {
        self.work_on(ViewStore::is_spilled, ViewStore::tidy_spilled)
    }

    /// Lengthy work of the only writer, on a copy, so that readers do not wait for it.
    fn work_on(
        &self,
        wanted: impl FnOnce(&ViewStore) -> bool,
        work: impl FnOnce(&mut ViewStore) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let copy = {
            let content = self.content.lock();
            wanted(&content.store).then(|| content.store.fork())
        };
        if let Some(mut copy) = copy {
            work(&mut copy)?;
            let old = std::mem::replace(&mut self.content.lock().store, copy);
            drop(old);
        }
        Ok(())
    }

    /// Its rows for a snapshot, and the parts of the store that it refers to.
    pub fn save_parts(&self) -> Result<(Arc<ViewSnapshot>, Vec<PartId>), ViewError> {
        self.work_on(ViewStore::is_spilled, ViewStore::save_parts)?;
        let content = self.content.lock();
        Ok((content.store.snapshot(), content.store.parts()))
    }

    /// Where one of its changelogs ends that has just been found.
    pub fn set_changelog_end(&self, changelog: PartitionId, end: Offset) {
        self.content.lock().changelogs.insert(changelog, end);
    }

    pub fn picture(&self) -> Picture {
        let content = self.content.lock();
        Picture {
            rows: content.store.snapshot(),
            step: content.step,
            changelogs: content.changelogs.clone(),
        }
    }

    pub fn rows(&self) -> usize {
        self.content.lock().store.rows()
    }

    /// Rows added and taken back since the start.
    pub fn changed(&self) -> u64 {
        self.content.lock().changed
    }

    pub fn bytes(&self) -> usize {
        self.content.lock().store.bytes()
    }

    /// Changes from now on. A receiver that falls too far behind is told so and has to read the rows anew.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.changes.subscribe()
    }

    /// Puts other rows in place of these: after a restart.
    pub fn reset(&self, store: ViewStore, step: u64) {
        *self.content.lock() = Content {
            store,
            step,
            changelogs: BTreeMap::new(),
            changed: 0,
        };
    }

    /// Lends the store; not for long, everybody who reads the view waits meanwhile.
    pub fn with_store<T>(&self, read: impl FnOnce(&ViewStore) -> T) -> T {
        read(&self.content.lock().store)
    }

    pub fn retire(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}
