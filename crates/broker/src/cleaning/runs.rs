//! Driving compaction: which partition is next, piece by piece, at a bounded pace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_base::{Offset, PartitionId};
use headwater_log::{Bound, Commit, Log};
use parking_lot::Mutex;

use super::bounds::{Candidate, Due, due};
use super::compaction::{Extent, Piece, Run};
use super::journal::{Clean, Note};
use super::meters::Round;
use super::transactions::Aborted;
use crate::Broker;
use crate::error::BrokerError;

/// Bytes that one step reads, and about the most that one commit writes.
const PIECE_BYTES: usize = 1024 * 1024;
/// How often a piece is planned anew when its partition was rewritten under it.
const TRIES: usize = 5;
/// After how long a partition in which nothing is due is looked at again, in milliseconds.
const RECHECK_MS: std::ops::RangeInclusive<i64> = 1_000..=60_000;

/// How fast compaction may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
}

impl Pace {
    pub fn unbounded() -> Self {
        Self {
            bytes_per_second: None,
        }
    }

    pub fn bytes_per_second(bytes: u64) -> Self {
        Self {
            bytes_per_second: Some(bytes.max(1)),
        }
    }

    async fn spend(self, bytes: u64) {
        if let Some(rate) = self.bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
        }
    }
}

impl Broker {
    /// Compacts every partition in which it is due, the dirtiest first.
    pub(super) async fn compact_all(
        &self,
        not_before: &mut HashMap<PartitionId, i64>,
        now_ms: i64,
        pace: Pace,
    ) -> Round {
        let mut round = Round::default();
        let candidates = self.compaction_candidates(not_before, now_ms, &mut round);
        if candidates.is_empty() {
            return round;
        }
        let judged = self.off_thread(move |log| {
            let judged = candidates.into_iter();
            let judged = judged.map(|candidate| (candidate, due(log, &candidate, now_ms)));
            Ok(judged.collect::<Vec<_>>())
        });
        let mut chosen = Vec::new();
        for (candidate, due) in judged.await.unwrap_or_default() {
            match due {
                Ok(Some(due)) => {
                    let to = self.cleanable_to(candidate.id, due.to);
                    // Where a pipeline holds even what is clean already, nothing is touched.
                    if to == due.to || to > due.from {
                        chosen.push((candidate, Due { to, ..due }));
                        continue;
                    }
                }
                Ok(None) => {}
                Err(error) => round.failed(&error),
            }
            not_before.insert(candidate.id, now_ms.saturating_add(recheck_ms(&candidate)));
        }
        chosen.sort_by_key(|(candidate, due)| (std::cmp::Reverse(due.dirty_ppm), candidate.id));
        for (candidate, due) in chosen {
            match self.compact(&candidate, due, now_ms, pace).await {
                Ok(bytes) => {
                    round.compactions += 1;
                    round.compacted_bytes += bytes;
                }
                // Deleted meanwhile, or the log has no room right now: the next round tells.
                Err(BrokerError::Retry(reason)) => {
                    tracing::debug!(reason, "a compaction was put off");
                }
                Err(error) => {
                    round.failed(&error);
                    let at = now_ms.saturating_add(*RECHECK_MS.end());
                    not_before.insert(candidate.id, at);
                }
            }
        }
        round
    }

    fn compaction_candidates(
        &self,
        not_before: &HashMap<PartitionId, i64>,
        now_ms: i64,
        round: &mut Round,
    ) -> Vec<Candidate> {
        let catalog = self.catalog.current();
        let mut candidates = Vec::new();
        for topic in catalog.topics().filter(|topic| topic.settings.compacted) {
            for id in topic.partition_ids() {
                let state = self.log.state(id);
                let clean = self.cleaning.journal.clean(id).unwrap_or(Clean {
                    to: 0,
                    bytes: 0,
                    horizon_ms: i64::MAX,
                });
                round.dirty_bytes += match clean.to > state.start {
                    true => state.bytes.saturating_sub(clean.bytes),
                    false => state.bytes,
                };
                let rest = not_before.get(&id).is_some_and(|at| {
                    let wait_ms = at.saturating_sub(now_ms);
                    (1..=*RECHECK_MS.end()).contains(&wait_ms) && clean.horizon_ms > now_ms
                });
                if state.durable_end > state.start && !rest {
                    candidates.push(Candidate {
                        id,
                        cleanup: topic.settings.cleanup,
                        clean,
                        last_stable: self.last_stable_offset(id, Bound::Durable),
                    });
                }
            }
        }
        candidates
    }

    /// Compacts one partition, in as many runs as its keys need. Gives the bytes removed.
    ///
    /// # Errors
    /// The log cannot be read, or takes nothing; what was done until then stays done.
    async fn compact(
        &self,
        candidate: &Candidate,
        due: Due,
        now_ms: i64,
        pace: Pace,
    ) -> Result<u64, BrokerError> {
        let mut extent = Extent {
            id: candidate.id,
            dirty_from: due.from,
            to: due.to,
            now_ms,
            delete_retention_ms: candidate.cleanup.delete_retention_ms,
            piece_bytes: PIECE_BYTES,
        };
        let mut removed = 0;
        loop {
            let (end, bytes) = self.compact_once(extent, pace).await?;
            removed += bytes;
            if end >= due.to {
                return Ok(removed);
            }
            extent.dirty_from = end;
        }
    }

    /// One run. Gives where it ended and the bytes removed.
    async fn compact_once(&self, extent: Extent, pace: Pace) -> Result<(Offset, u64), BrokerError> {
        let id = extent.id;
        let start = self.log.state(id).start;
        let aborted = Aborted::new(self.aborted(id, start, extent.to));
        let run = Run::new(extent, start, aborted, self.config.cleaner_map_bytes_max);
        let run = Arc::new(Mutex::new(run));
        loop {
            let (done, bytes) = self.with_run(&run, Run::map).await?;
            pace.spend(bytes).await;
            if done {
                break;
            }
        }
        run.lock().rewind(start);
        let mut removed = 0;
        while let Some(piece) = self.compact_piece(&run, extent.now_ms).await? {
            let bytes = piece.read_bytes;
            removed += piece.removed_bytes();
            run.lock().advance(piece);
            pace.spend(bytes).await;
        }
        let (clean, end) = run.lock().result();
        let note = vec![Note::Clean(id, clean)];
        let journal = &self.cleaning.journal;
        journal
            .commit(Commit::default(), note, extent.now_ms)
            .await?;
        Ok((end, removed))
    }

    /// Plans the next piece and makes it durable; none at the end.
    async fn compact_piece(
        &self,
        run: &Arc<Mutex<Run>>,
        now_ms: i64,
    ) -> Result<Option<Piece>, BrokerError> {
        let mut tries = 0;
        loop {
            let planned = self.with_run(run, |run, log| run.plan(log)).await?;
            let Some(mut piece) = planned else {
                return Ok(None);
            };
            if piece.rewrites.is_empty() {
                return Ok(Some(piece));
            }
            tries += 1;
            match self.commit_piece(&mut piece, now_ms).await {
                Ok(()) => return Ok(Some(piece)),
                Err(BrokerError::Retry(_)) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn commit_piece(&self, piece: &mut Piece, now_ms: i64) -> Result<(), BrokerError> {
        let Some(id) = piece.rewrites.first().map(|rewrite| rewrite.partition) else {
            return Ok(());
        };
        let notes = self.outliving(id, |one| {
            piece.gone.iter().any(|batch| {
                batch.producer_id == one.producer_id
                    && (batch.last_offset() == one.last_offset
                        || batch.last_sequence() == one.last_sequence
                        || one.batches().any(|kept| kept.last == batch.last_sequence()))
            })
        });
        // Before their markers: a consumer that was told of an aborted transaction waits for its marker.
        self.forget_aborted(id, &piece.forgotten);
        let commit = Commit {
            rewrites: std::mem::take(&mut piece.rewrites),
            ..Commit::default()
        };
        self.cleaning.journal.commit(commit, notes, now_ms).await
    }

    /// Runs a step that reads the log away from the threads that serve sockets.
    async fn with_run<T: Send + 'static>(
        &self,
        run: &Arc<Mutex<Run>>,
        step: impl FnOnce(&mut Run, &dyn Log) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let run = Arc::clone(run);
        self.off_thread(move |log| step(&mut run.lock(), log)).await
    }
}

fn recheck_ms(candidate: &Candidate) -> i64 {
    let shortest = candidate
        .cleanup
        .segment_ms
        .min(candidate.cleanup.max_compaction_lag_ms);
    (shortest / 10).clamp(*RECHECK_MS.start(), *RECHECK_MS.end())
}
