//! Taking a rewrite: what it may replace, where it cuts slices, its next generation.

use headwater_base::{Offset, PartitionId};

use super::frame::Entry;
use super::index::Slice;
use super::partition::Cut;
use super::state::{QueuedAppend, QueuedRewrite, Shared, State};
use super::submit::Headers;
use crate::api::{BatchMeta, Rewrite, SubmitError};
use crate::rewrite::{NOT_DURABLE, SPLITS_A_BATCH};

impl Shared {
    /// Looks up where the rewrites cut: may read indexes from the disk, so outside of the lock. What is found holds as
    /// long as the generation does.
    pub fn cuts(&self, rewrites: &[Rewrite]) -> Result<Vec<Cut>, SubmitError> {
        let cuts = rewrites.iter().map(|rewrite| {
            let borders = self.state.lock().borders(rewrite)?;
            let below = |border, offset| match border {
                Border::Between => Ok(0),
                Border::AtTheEnd { bytes } => Ok(bytes),
                Border::Within(slice) => self.below(rewrite.partition, &slice, offset),
            };
            Ok(Cut {
                below_from: below(borders.0, rewrite.from)?,
                below_to: below(borders.1, rewrite.to)?,
            })
        });
        cuts.collect()
    }

    /// Bytes of the batches below `offset` in the group of the slice, which no batch may cross.
    fn below(&self, id: PartitionId, slice: &Slice, offset: Offset) -> Result<u32, SubmitError> {
        let whole = Slice { first: 0, ..*slice };
        let (mut bytes, mut crossed) = (0, false);
        let visited = self.visit(id, &whole, 0, |meta| {
            if meta.last_offset < offset {
                bytes += meta.bytes;
            }
            crossed |= meta.base_offset < offset && offset <= meta.last_offset;
        });
        let gone = visited.map_err(|error| SubmitError::Unreadable(error.to_string()))?;
        if gone.is_some() {
            // Moved, so rewritten.
            return Err(SubmitError::Stale { partition: id });
        }
        match crossed {
            true => Err(SPLITS_A_BATCH.into()),
            false => Ok(bytes),
        }
    }
}

/// Where a border of a rewrite lies.
#[derive(Clone, Copy)]
enum Border {
    /// Of two slices: nothing is cut.
    Between,
    /// Behind the last slice, whose group has so many bytes. It may grow before the rewrite takes effect.
    AtTheEnd {
        bytes: u32,
    },
    Within(Slice),
}

impl State {
    fn borders(&self, rewrite: &Rewrite) -> Result<(Border, Border), SubmitError> {
        if let Some(failure) = &self.failure {
            // Before anything else: what is under way will never be durable.
            return Err(failure.clone().into());
        }
        let id = rewrite.partition;
        let found = self.partitions.get(&id);
        let found = found.filter(|found| found.submitted_generation == rewrite.generation);
        let partition = found.ok_or(SubmitError::Stale { partition: id })?;
        if rewrite.to > partition.durable_end {
            return Err(NOT_DURABLE.into());
        }
        let border = |offset| {
            let last = partition.slices.back();
            match (partition.cut_at(offset), last) {
                (Some(slice), _) => Border::Within(*slice),
                (None, Some(last)) if last.last + 1 == offset => Border::AtTheEnd {
                    bytes: last.skipped + last.bytes,
                },
                _ => Border::Between,
            }
        };
        Ok((border(rewrite.from), border(rewrite.to)))
    }

    /// Whether the rewrites are still made from what there is.
    pub fn check_generations(&self, rewrites: &[Rewrite]) -> Result<(), SubmitError> {
        for rewrite in rewrites {
            let found = self.partitions.get(&rewrite.partition);
            if found.is_none_or(|found| found.submitted_generation != rewrite.generation) {
                return Err(SubmitError::Stale {
                    partition: rewrite.partition,
                });
            }
        }
        Ok(())
    }

    /// Gives every partition its next generation. Where the batches lie in the commit is filled in later.
    pub fn place_rewrites(
        &mut self,
        rewrites: &[Rewrite],
        headers: &Headers,
        cuts: Vec<Cut>,
    ) -> Vec<QueuedRewrite> {
        let mut queued = Vec::with_capacity(rewrites.len());
        for ((rewrite, headers), cut) in rewrites.iter().zip(&headers.rewrites).zip(cuts) {
            let partition = rewrite.partition;
            let Some(found) = self.partitions.get_mut(&partition) else {
                continue;
            };
            self.generations += 1;
            found.submitted_generation = self.generations;
            let life = found.life;
            let batches = headers.iter().map(|header| QueuedAppend {
                partition,
                life,
                meta: BatchMeta::from(header),
                crc: header.crc,
                at: 0,
            });
            queued.push(QueuedRewrite {
                partition,
                life,
                generation: self.generations,
                from: rewrite.from,
                to: rewrite.to,
                cut,
                batches: batches.collect(),
            });
        }
        queued
    }

    /// A rewrite is durable: readers see what it put there.
    pub fn settle_rewrite(&mut self, chunk: u64, at: usize, rewrite: &QueuedRewrite) {
        let Some(slice) = self.index_rewrite(chunk, at, rewrite) else {
            return;
        };
        let found = self.partitions.get_mut(&rewrite.partition);
        if let Some(found) = found.filter(|found| found.life == rewrite.life) {
            found.generation = rewrite.generation;
            let changes = found.replace(slice, rewrite.cut);
            self.account(&changes);
        }
    }
}

impl QueuedRewrite {
    /// Its lines of the commit's table.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let range = Entry::Rewrite {
            partition: self.partition,
            from: self.from,
            to: self.to,
        };
        let placed = self.batches.iter().map(|batch| Entry::Placed {
            partition: batch.partition,
            base_offset: batch.meta.base_offset,
            bytes: batch.meta.bytes,
            crc: batch.crc,
        });
        std::iter::once(range).chain(placed)
    }
}
