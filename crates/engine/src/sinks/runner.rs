//! Drives one sink: opens it, brings it up to date from a snapshot of the view or from the changelog, and goes on for as long
//! as it lives. A sink that is away is tried again with a growing pause and holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use headwater_base::{Offset, PartitionId};
use headwater_connect::{
    Change, ChangeKind, Sink, SinkBatch, SinkError, SinkPosition, Step, StepLog, Visibility,
};
use headwater_formats::JsonEncoder;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{SinkFactory, SinkRequest};
use crate::pipeline::shared::Shared;
use crate::status::{PipelineState, SinkPhase};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const NAP: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 1024 * 1024;
/// Rows of one batch of a snapshot.
const SNAPSHOT_ROWS: usize = 5_000;
/// Bytes that a change is taken to have until some were read.
const CHANGE_BYTES: u64 = 200;
/// Position that says: the snapshot was not finished, take another.
const UNFINISHED: Offset = -1;

/// What people see of one sink.
#[derive(Clone, Debug)]
pub struct SinkView {
    pub state: SinkPhase,
    pub next: Offset,
    pub written: u64,
    pub last_error: Option<String>,
    pub last_write_ms: Option<i64>,
}

impl Default for SinkView {
    fn default() -> Self {
        Self {
            state: SinkPhase::Starting,
            next: 0,
            written: 0,
            last_error: None,
            last_write_ms: None,
        }
    }
}

pub struct SinkTask {
    pub request: SinkRequest,
    pub factory: Option<SinkFactory>,
    pub log: Arc<dyn StepLog>,
    pub changelog: PartitionId,
    pub shared: Arc<Shared>,
    pub relation: usize,
    pub lag_bytes_max: u64,
    pub view: Arc<Mutex<SinkView>>,
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub change_bytes: u64,
}

impl SinkTask {
    /// Runs for as long as the task is not aborted, or until the sink says that it never will work.
    pub async fn run(mut self) {
        self.change_bytes = CHANGE_BYTES;
        let mut pause = PAUSE_MIN;
        while self.starting() {
            tokio::time::sleep(PAUSE_MIN).await;
        }
        if self.shared.failed() {
            // Its rows are not there: to write them would clear what the other side has. Started anew with the pipeline.
            return self.note(
                SinkPhase::Paused,
                Some("its pipeline has failed".to_owned()),
            );
        }
        let mut sink = match self.make() {
            Ok(sink) => sink,
            Err(error) => return self.note(SinkPhase::Failed, Some(error.to_string())),
        };
        loop {
            let before = self.view.lock().written;
            let error = match self.session(sink.as_mut()).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            let lasting = !matches!(error, SinkError::Unavailable(_));
            self.note(
                if lasting {
                    SinkPhase::Failed
                } else {
                    SinkPhase::Retrying
                },
                Some(error.to_string()),
            );
            if lasting {
                return;
            }
            if self.view.lock().written > before {
                pause = PAUSE_MIN;
            }
            self.bound_lag().await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn starting(&self) -> bool {
        matches!(self.shared.visible.lock().state, PipelineState::Starting)
    }

    /// Made once, so that the other side can tell an owner that comes back from one that takes over.
    fn make(&self) -> Result<Box<dyn Sink>, SinkError> {
        let factory = self.factory.as_ref();
        let factory = factory
            .ok_or_else(|| SinkError::Rejected("this node has no such connector".to_owned()))?;
        factory(&self.request).map_err(SinkError::Rejected)
    }

    async fn session(
        &mut self,
        sink: &mut dyn Sink,
    ) -> Result<std::convert::Infallible, SinkError> {
        let at = sink.open().await?;
        let start = self.log.extent(self.changelog).0;
        let mut next = match at {
            Some(position) if position.next >= start => position.next,
            _ => self.snapshot(sink).await?,
        };
        self.note(SinkPhase::Running, None);
        self.view.lock().next = next;
        let wake = Arc::new(Notify::new());
        let _guard = self
            .log
            .register(&[self.changelog], Visibility::Durable, Arc::clone(&wake));
        loop {
            let (batch, end) = self.read(next)?;
            if batch.changes.is_empty() && batch.after.next <= next {
                let _ = tokio::time::timeout(NAP, wake.notified()).await;
                continue;
            }
            let (changes, after) = (batch.changes.len() as u64, batch.after.next);
            if changes > 0 {
                sink.write(batch).await?;
            }
            next = after;
            self.wrote(changes, next);
            if next >= end || changes > 0 {
                self.trim(next);
            }
            if self.lag_bytes(next, end) > self.lag_bytes_max {
                self.trim(end);
                return Err(SinkError::Unavailable(
                    "it does not keep up with its view, it starts over from a snapshot".to_owned(),
                ));
            }
        }
    }

    /// The view as it is now, in place of what is there.
    async fn snapshot(&mut self, sink: &mut dyn Sink) -> Result<Offset, SinkError> {
        let rejected = |error: String| SinkError::Rejected(error);
        let cell = self.shared.cells[self.relation]
            .clone()
            .ok_or_else(|| rejected("its view is not kept".to_owned()))?;
        let picture = cell.picture();
        let next = picture.changelogs.get(&self.changelog).copied();
        let after = SinkPosition {
            next: next.unwrap_or(0),
        };
        let mut first = true;
        for batch in picture.rows.batches() {
            let batch = batch.map_err(|error| rejected(error.to_string()))?;
            let encoder = JsonEncoder::new(&batch.schema());
            let changes: Vec<Change> = {
                let rows = encoder
                    .bind(&batch)
                    .map_err(|error| rejected(error.to_string()))?;
                (0..batch.num_rows())
                    .map(|row| Change {
                        kind: ChangeKind::Upsert,
                        values: rows.values(row),
                    })
                    .collect()
            };
            for part in changes.chunks(SNAPSHOT_ROWS) {
                sink.write(SinkBatch {
                    changes: part.to_vec(),
                    after: SinkPosition { next: UNFINISHED },
                    snapshot: first,
                })
                .await?;
                first = false;
                self.view.lock().written += part.len() as u64;
            }
        }
        sink.write(SinkBatch {
            changes: Vec::new(),
            after,
            snapshot: first,
        })
        .await?;
        Ok(after.next)
    }

    fn read(&mut self, from: Offset) -> Result<(SinkBatch, Offset), SinkError> {
        let away = |error: String| SinkError::Unavailable(error);
        let read = self
            .log
            .read_committed(self.changelog, from, READ_BYTES, Visibility::Durable);
        let read = read.map_err(|error| away(error.to_string()))?;
        if read.start > from {
            return Err(away(
                "its changelog has been let go, it starts over from a snapshot".to_owned(),
            ));
        }
        let mut changes = Vec::new();
        let mut bytes = 0;
        for batch in &read.batches {
            for record in
                headwater_record::records(batch).map_err(|error| away(error.to_string()))?
            {
                let record = record.map_err(|error| away(error.to_string()))?;
                let Some(value) = record.value.filter(|_| record.offset >= from) else {
                    continue;
                };
                bytes += value.len() as u64;
                changes.push(
                    serde_json::from_slice(&value)
                        .map_err(|error| SinkError::Rejected(error.to_string()))?,
                );
            }
        }
        if !changes.is_empty() {
            self.change_bytes = (bytes / changes.len() as u64).max(1);
        }
        Ok((
            SinkBatch {
                changes,
                after: SinkPosition { next: read.next },
                snapshot: false,
            },
            read.end,
        ))
    }

    /// Past the limit the changelog is let go; the sink starts over from a snapshot when it is back.
    async fn bound_lag(&self) {
        let (start, end) = self.log.extent(self.changelog);
        if self.lag_bytes(start, end) > self.lag_bytes_max {
            self.trim(end);
            let mut view = self.view.lock();
            view.state = SinkPhase::Paused;
        }
    }

    fn lag_bytes(&self, next: Offset, end: Offset) -> u64 {
        let changes = u64::try_from(end - next).unwrap_or(0);
        changes.saturating_mul(self.change_bytes)
    }

    /// A trim that the log does not take now is made up for by a later one.
    fn trim(&self, next: Offset) {
        if self.log.extent(self.changelog).0 < next {
            let _ = self.log.commit(Step {
                appends: Vec::new(),
                trims: vec![(self.changelog, next)],
            });
        }
    }

    fn wrote(&self, changes: u64, next: Offset) {
        let mut view = self.view.lock();
        view.written += changes;
        view.next = next;
        view.last_error = None;
        view.state = SinkPhase::Running;
        view.last_write_ms = Some((self.now_ms)());
    }

    fn note(&self, state: SinkPhase, error: Option<String>) {
        let mut view = self.view.lock();
        view.state = state;
        if error.is_some() {
            view.last_error = error;
        }
    }
}
