//! New outputs into topics get what their views hold already, in steps of their own that take in nothing else: as many as it
//! takes, each small enough for one commit. Every such step records what is left, so a restart goes on there.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use headwater_views::snapshot::Batches;
use serde::{Deserialize, Serialize};

use super::appends::Appends;
use super::core::StepFailure;
use super::output::{self, StepStamp};
use super::plan::OutputKind;
use super::record::{Genesis, StepRecord};
use super::recover::failure;
use super::run::Runner;

/// Bytes of records after which a step of seeding ends.
const STEP_BYTES: usize = 8 * 1024 * 1024;
/// Rows that are written between two looks at that limit.
const PIECE_ROWS: usize = 1_024;

/// What is still to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeding {
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Rows of the first one that have been written.
    #[serde(default)]
    pub rows: u64,
}

/// Rows that are read as they are written: there may be more of them than memory.
struct Pending {
    batch: Option<RecordBatch>,
    rest: Batches,
    /// Rows at the beginning that have been written.
    skip: usize,
}

/// The outputs that are waiting and the rows of the first.
#[derive(Default)]
pub struct Seeds {
    left: Seeding,
    /// The rest of the first output's rows, once they were looked up.
    pending: Option<Pending>,
}

impl Seeds {
    /// As the recorded steps of a generation leave it.
    pub fn after(genesis: &Genesis, last: Option<&StepRecord>) -> Self {
        Self {
            left: unfinished(genesis, last),
            pending: None,
        }
    }

    pub fn is_done(&self) -> bool {
        self.left.outputs.is_empty()
    }

    /// For the step's record.
    pub fn rest(&self) -> Option<Seeding> {
        (!self.is_done()).then(|| self.left.clone())
    }

    fn next_output(&mut self) {
        self.left.outputs.remove(0);
        self.left.rows = 0;
        self.pending = None;
    }
}

/// What a generation had still to seed after its last step.
pub fn unfinished(genesis: &Genesis, last: Option<&StepRecord>) -> Seeding {
    match last {
        Some(last) => last.seeding.clone().unwrap_or_default(),
        None => Seeding {
            outputs: genesis.seeds.clone(),
            rows: genesis.seeded_rows,
        },
    }
}

impl Runner {
    /// Writes the next rows of the outputs that are waiting.
    pub(super) fn seed(
        &mut self,
        stamp: StepStamp,
        appends: &mut Appends,
    ) -> Result<(), StepFailure> {
        while let Some(name) = self.seeds.left.outputs.first().cloned() {
            let plan = Arc::clone(&self.core.plan);
            // A sink outside the log starts from a snapshot of the view instead.
            let output = plan.outputs.iter().find(|output| {
                output.name == name && matches!(output.kind, OutputKind::Topic { .. })
            });
            let Some(output) = output else {
                self.seeds.next_output();
                continue;
            };
            if self.seeds.pending.is_none() {
                self.seeds.pending = Some(self.rows_to_seed(output.relation)?);
            }
            while let Some(piece) = self.next_piece()? {
                self.seeds.left.rows += piece.num_rows() as u64;
                let deltas = output::as_inserts(vec![piece]);
                output::write_rows(
                    &plan,
                    output.relation,
                    &output.kind,
                    &deltas,
                    stamp,
                    appends,
                )
                .map_err(StepFailure)?;
                if appends.bytes() >= STEP_BYTES {
                    return Ok(());
                }
            }
            self.seeds.next_output();
        }
        Ok(())
    }

    /// The view's rows without those that have been written.
    fn rows_to_seed(&self, relation: usize) -> Result<Pending, StepFailure> {
        self.barrier();
        let rest: Batches = match &self.shared.cells[relation] {
            Some(cell) => cell.picture().rows.batches(),
            None => Box::new(std::iter::empty()),
        };
        Ok(Pending {
            batch: None,
            rest,
            skip: usize::try_from(self.seeds.left.rows).unwrap_or(usize::MAX),
        })
    }

    fn next_piece(&mut self) -> Result<Option<RecordBatch>, StepFailure> {
        let Some(pending) = self.seeds.pending.as_mut() else {
            return Ok(None);
        };
        while pending.batch.is_none() {
            let Some(batch) = pending.rest.next() else {
                return Ok(None);
            };
            let batch = batch.map_err(failure)?;
            let skip = pending.skip.min(batch.num_rows());
            pending.skip -= skip;
            let rest = batch.slice(skip, batch.num_rows() - skip);
            pending.batch = (rest.num_rows() > 0).then_some(rest);
        }
        let piece = pending.batch.take().map(|batch| {
            let rows = PIECE_ROWS.min(batch.num_rows());
            let rest = batch.slice(rows, batch.num_rows() - rows);
            pending.batch = (rest.num_rows() > 0).then_some(rest);
            batch.slice(0, rows)
        });
        Ok(piece)
    }
}
