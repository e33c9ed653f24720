//! The second thread of a pipeline: waits until a step is durable, then makes its results visible, in order.
//!
//! While it waits, the first thread computes the next step. The queue between them is short, so a slow disk slows the pipeline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use headwater_base::{Offset, PartitionId, SpillStore};
use headwater_connect::step_log::DurableStep;
use headwater_dataflow::delta::Delta;
use headwater_views::ViewSnapshot;

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
    /// Ends of the changelogs that were written, by relation.
    pub changelogs: Vec<(usize, PartitionId, Offset)>,
    pub counters: Counters,
    pub watermark: Option<i64>,
}

/// Runs until the first thread hangs up.
pub fn run(shared: &Arc<Shared>, snapshots: &SnapshotDir, queue: &Receiver<Publish>) {
    let mut writing = None;
    for message in queue {
        let result = match message {
            Publish::Step(step) => {
                step_visible(shared, *step).and_then(|()| make_room(shared, snapshots))
            }
            Publish::Snapshot { id, core } => {
                finish(writing.take());
                begin_snapshot(shared, snapshots, id, core).map(|thread| writing = thread)
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
    let showing = shared.showing.write();
    for (relation, deltas) in step.changes {
        let Some(cell) = &shared.cells[relation] else {
            continue;
        };
        let changes = ViewChanges {
            step: step.step,
            at_ms: step.clock_ms,
            deltas,
        };
        let changelogs = step.changelogs.iter().filter(|(of, ..)| *of == relation);
        let ends: Vec<_> = changelogs.map(|(_, log, end)| (*log, *end)).collect();
        cell.apply(changes, forget(relation), &ends)
            .map_err(|error| error.to_string())?;
    }
    {
        let mut visible = shared.visible.lock();
        visible.counters = step.counters;
        visible.watermark = step.watermark;
    }
    drop(showing);
    shared.advance(step.step, step.ended, &step.ranges);
    Ok(())
}

/// Puts rows of views into the store while they take more memory than they may, of the largest first.
fn make_room(shared: &Shared, snapshots: &SnapshotDir) -> Result<(), String> {
    for cell in shared.cells.iter().flatten() {
        cell.tidy_spilled().map_err(|error| error.to_string())?;
    }
    let allowed = shared.view_allowance();
    let mut cells: Vec<_> = shared.cells.iter().flatten().collect();
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.bytes()));
    for cell in cells {
        if shared.cell_bytes() <= allowed {
            break;
        }
        let store = Arc::clone(snapshots.spill()) as Arc<dyn SpillStore>;
        cell.spill(&store).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The rows are gathered now, as they are after the step; the file is written on a thread of its own, so that results go on
/// being published meanwhile.
fn begin_snapshot(
    shared: &Arc<Shared>,
    snapshots: &SnapshotDir,
    id: SnapshotId,
    core: Vec<u8>,
) -> Result<Option<JoinHandle<()>>, String> {
    let mut views: Vec<View> = Vec::new();
    for cell in shared.cells.iter().flatten() {
        let (rows, parts) = cell.save_parts().map_err(|error| error.to_string())?;
        snapshots.spill().pin((id.generation, id.step), &parts);
        views.push((cell.info.name.clone(), rows));
    }
    let (shared, snapshots) = (Arc::clone(shared), snapshots.clone());
    let write = move || {
        let written = body(core, views).and_then(|body| snapshots.write(&id, &body));
        match written {
            Ok(bytes) => {
                shared.snapshot_bytes.store(bytes, Ordering::Release);
                let oldest = snapshots.oldest_kept_step(id.generation).unwrap_or(0);
                shared.trim_step.store(oldest, Ordering::Release);
            }
            Err(error) => {
                tracing::warn!(pipeline = shared.plan.name, %error, "no snapshot written")
            }
        }
    };
    let thread = std::thread::Builder::new().name("snapshot".to_owned());
    Ok(thread.spawn(write).ok())
}

type View = (String, Arc<ViewSnapshot>);

/// Layout: state of the operators, number of views, then each view's name and rows.
fn body(core: Vec<u8>, views: Vec<View>) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(core.len() * 2);
    codec::put_bytes(&mut out, &core)?;
    drop(core);
    codec::put_u64(&mut out, views.len() as u64)?;
    for (name, rows) in views {
        let mut bytes = Vec::new();
        rows.write_to(&mut bytes).map_err(std::io::Error::other)?;
        codec::put_bytes(&mut out, name.as_bytes())?;
        codec::put_bytes(&mut out, &bytes)?;
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
