//! The second thread of a pipeline: waits until a step is durable, then makes its results visible, in order.
//!
//! While it waits, the first thread computes the next step. The queue between them is short, so a slow disk slows the pipeline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use headwater_base::Offset;
use headwater_connect::step_log::DurableStep;
use headwater_dataflow::delta::Delta;

use super::core::Counters;
use super::record::Range;
use super::shared::Shared;
use super::snapshot::{SnapshotDir, SnapshotId};
use crate::cell::ViewChanges;
use crate::codec;

/// What the first thread hands over.
pub enum Publish {
    Step(Box<Published>),
    /// State of the operators after the step before; the views' rows are added here.
    Snapshot {
        id: SnapshotId,
        core: Vec<u8>,
    },
    /// Tells when everything before is visible.
    Barrier(SyncSender<()>),
}

/// The results of one step.
pub struct Published {
    /// `None`: it is durable already (replay).
    pub durable: Option<DurableStep>,
    pub step: u64,
    pub clock_ms: i64,
    pub ended: bool,
    pub ranges: Vec<Range>,
    /// Changes by relation, for those that are kept.
    pub changes: Vec<(usize, Vec<Delta>)>,
    pub forget: Vec<(usize, i64)>,
    /// Ends of changelogs by relation.
    pub changelogs: Vec<(usize, Offset)>,
    pub counters: Counters,
    pub watermark: Option<i64>,
}

/// Runs until the first thread hangs up.
pub fn run(shared: &Arc<Shared>, snapshots: &SnapshotDir, queue: &Receiver<Publish>) {
    let mut writing = None;
    for message in queue {
        let result = match message {
            Publish::Step(step) => step_visible(shared, *step),
            Publish::Snapshot { id, core } => {
                finish(writing.take());
                writing = begin_snapshot(shared, snapshots, id, core);
                Ok(())
            }
            Publish::Barrier(reached) => {
                finish(writing.take());
                let _ = reached.send(());
                Ok(())
            }
        };
        if let Err(reason) = result {
            shared.fail(reason);
            break;
        }
    }
    finish(writing);
}

fn finish(writing: Option<JoinHandle<()>>) {
    if let Some(writing) = writing {
        let _ = writing.join();
    }
}

fn step_visible(shared: &Shared, mut step: Published) -> Result<(), String> {
    if let Some(durable) = step.durable.take() {
        futures::executor::block_on(durable).map_err(|error| error.to_string())?;
    }
    let forget = |relation: usize| {
        step.forget
            .iter()
            .find(|(of, _)| *of == relation)
            .map(|(_, bound)| *bound)
    };
    for (relation, deltas) in step.changes {
        let Some(cell) = &shared.cells[relation] else {
            continue;
        };
        let changes = ViewChanges {
            step: step.step,
            at_ms: step.clock_ms,
            deltas,
        };
        cell.apply(changes, forget(relation))
            .map_err(|error| error.to_string())?;
    }
    for (relation, next) in step.changelogs {
        if let Some(cell) = &shared.cells[relation] {
            cell.set_changelog_next(next);
        }
    }
    {
        let mut visible = shared.visible.lock();
        visible.counters = step.counters;
        visible.watermark = step.watermark;
    }
    shared.advance(step.step, step.ended, &step.ranges);
    Ok(())
}

/// The rows are gathered now, as they are after the step; the file is written on a thread of its own, so that results go on
/// being published meanwhile.
fn begin_snapshot(
    shared: &Arc<Shared>,
    snapshots: &SnapshotDir,
    id: SnapshotId,
    core: Vec<u8>,
) -> Option<JoinHandle<()>> {
    let body = match body(shared, core) {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(pipeline = shared.plan.name, %error, "no snapshot taken");
            return None;
        }
    };
    let (shared, snapshots) = (Arc::clone(shared), snapshots.clone());
    let write = move || match snapshots.write(&id, &body) {
        Ok(bytes) => {
            shared.snapshot_bytes.store(bytes, Ordering::Release);
            let oldest = snapshots.oldest_kept_step(id.generation).unwrap_or(0);
            shared.trim_step.store(oldest, Ordering::Release);
        }
        Err(error) => tracing::warn!(pipeline = shared.plan.name, %error, "no snapshot written"),
    };
    std::thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(write)
        .ok()
}

/// Layout: state of the operators, number of views, then each view's name, changelog end and rows.
fn body(shared: &Shared, core: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(core.len() * 2);
    codec::put_bytes(&mut out, &core)?;
    let kept: Vec<_> = shared.cells.iter().flatten().collect();
    codec::put_u64(&mut out, kept.len() as u64)?;
    for cell in kept {
        let (rows, next) = cell
            .with_store(|store, next| {
                let mut rows = Vec::new();
                store.write_to(&mut rows).map(|()| (rows, next))
            })
            .map_err(std::io::Error::other)?;
        codec::put_bytes(&mut out, cell.info.name.as_bytes())?;
        codec::put_i64(&mut out, next)?;
        codec::put_bytes(&mut out, &rows)?;
    }
    Ok(out)
}

/// Starts the thread.
pub fn spawn(
    shared: Arc<Shared>,
    snapshots: SnapshotDir,
    depth: usize,
) -> std::io::Result<(SyncSender<Publish>, JoinHandle<()>)> {
    let (sender, queue) = std::sync::mpsc::sync_channel(depth.max(1));
    let name = format!("publish-{}", shared.plan.name);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let go = std::panic::AssertUnwindSafe(|| run(&shared, &snapshots, &queue));
        if let Err(panic) = std::panic::catch_unwind(go) {
            shared.fail(super::panic_text(&*panic));
        }
    })?;
    Ok((sender, thread))
}
