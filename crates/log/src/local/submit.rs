//! Taking a commit: its bytes are laid out first, outside the lock; offsets, chunk and sequence number are fixed in it.

use std::sync::Arc;

use bytes::BytesMut;
use headwater_base::{Offset, PartitionId};
use headwater_record::{BatchError, BatchHeader, place};
use tokio::sync::oneshot;

use super::chunk::CHUNK_HEADER_BYTES;
use super::footer;
use super::frame::{
    self, COMMIT_HEADER_BYTES, ENTRY_BYTES, Entry, FRAME_ALIGN, FRAME_HEADER_BYTES, LEADER_EPOCH,
    finish_commit, lay_out,
};
use super::keeper::Job;
use super::partition::{Partition, TailBatch};
use super::state::{ChunkState, Plan, Queued, QueuedAppend, Shared, State};
use crate::api::{BatchMeta, Bound, Commit, Durable, SubmitError, Submitted, WriteFailure};
use crate::watch::Event;

impl Shared {
    pub fn submit(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        if !commit.rewrites.is_empty() {
            // Until the format has them.
            return Err(SubmitError::Busy { queued_bytes: 0 });
        }
        let headers: Vec<BatchHeader> = commit
            .appends
            .iter()
            .map(|append| parse(&append.batch))
            .collect::<Result<_, _>>()?;
        let bytes = self.check_size(&commit, &headers)?;
        let entries = commit.appends.len() + commit.trims.len() + commit.drops.len();
        // A batch never brings more than its header says, so that the parts add up.
        let batches = commit
            .appends
            .iter()
            .zip(&headers)
            .map(|(append, header)| append.batch.slice(..header.bytes));
        let buffer = lay_out(entries, batches, bytes);
        let (done, waiting) = oneshot::channel();
        let base_offsets = {
            let mut state = self.state.lock();
            self.admit(&mut state, &commit, bytes)?;
            let base_offsets = state.enqueue(&commit, &headers, buffer, done);
            self.work.notify_one();
            base_offsets
        };
        self.watchers.notify(
            commit.appends.iter().map(|append| append.partition),
            Event::Grew(Bound::Submitted),
        );
        let disk = Arc::clone(&self.disk);
        let durable: Durable = Box::pin(async move {
            let place = || disk.path().display().to_string();
            let closed = || WriteFailure {
                place: place(),
                reason: "the log was closed".to_owned(),
            };
            waiting.await.unwrap_or_else(|_| Err(closed()))
        });
        Ok(Submitted {
            base_offsets,
            durable,
        })
    }

    /// Bytes of the commit as written, within the limit.
    fn check_size(&self, commit: &Commit, headers: &[BatchHeader]) -> Result<usize, SubmitError> {
        let batch_bytes: usize = headers.iter().map(|header| header.bytes).sum();
        let entries = commit.appends.len() + commit.trims.len() + commit.drops.len();
        let bytes = frame::commit_bytes(entries, batch_bytes);
        let max_bytes = self.config.commit_bytes_max;
        if bytes > max_bytes {
            return Err(SubmitError::TooLarge { bytes, max_bytes });
        }
        Ok(bytes)
    }

    /// Whether the commit may be queued now; then its room in a chunk is promised.
    fn admit(&self, state: &mut State, commit: &Commit, bytes: usize) -> Result<(), SubmitError> {
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        if let Some(why) = &state.stuck {
            return Err(SubmitError::Full(why.clone()));
        }
        let queued_bytes = state.queued_bytes;
        if queued_bytes > 0 && queued_bytes + bytes > self.config.queue_bytes_max {
            return Err(SubmitError::Busy { queued_bytes });
        }
        let need = state.room_for(commit, bytes, state.plan.chunk.number);
        if state.plan.used + need <= state.plan.chunk.bytes as usize {
            state.plan.used += need;
            return Ok(());
        }
        self.next_chunk(state, commit, bytes)
    }

    fn next_chunk(
        &self,
        state: &mut State,
        commit: &Commit,
        bytes: usize,
    ) -> Result<(), SubmitError> {
        let Some(spare) = &state.spare else {
            return Err(match &state.full {
                Some(why) => SubmitError::Full(why.clone()),
                None => SubmitError::Busy {
                    queued_bytes: state.queued_bytes,
                },
            });
        };
        let used =
            empty_chunk_bytes(state.partitions.len()) + state.room_for(commit, bytes, spare.number);
        if used > spare.bytes as usize {
            let over = used - spare.bytes as usize;
            return Err(SubmitError::TooLarge {
                bytes,
                max_bytes: bytes.saturating_sub(over),
            });
        }
        if let Some(chunk) = state.spare.take() {
            let chunk_state = ChunkState {
                chunk: Arc::clone(&chunk),
                index: Some(Arc::default()),
                live: 0,
            };
            state.chunks.insert(chunk.number, chunk_state);
            state.plan = Plan { chunk, used };
            state.jobs.push_back(Job::MakeSpare);
            self.chores.notify_one();
        }
        Ok(())
    }
}

fn parse(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.last_offset_delta < 0 {
        return Err(BatchError::Invalid("negative offset delta"));
    }
    Ok(header)
}

/// What a chunk takes before its first commit: header, footer, the extents of the partitions there are.
pub(super) fn empty_chunk_bytes(partitions: usize) -> usize {
    CHUNK_HEADER_BYTES + footer::FIXED_BYTES + partitions * footer::EXTENT_BYTES
}

impl State {
    /// Most that a commit may add to a chunk and its footer, in a frame of its own.
    fn room_for(&self, commit: &Commit, bytes: usize, chunk: u64) -> usize {
        let per_batch = |partition: &PartitionId| match self.partitions.get(partition) {
            Some(found) if found.planned_in == chunk => footer::ENTRY_BYTES,
            Some(_) => footer::ENTRY_BYTES + footer::LINE_BYTES,
            None => footer::ENTRY_BYTES + footer::LINE_BYTES + footer::EXTENT_BYTES,
        };
        let in_footer: usize = commit
            .appends
            .iter()
            .map(|append| per_batch(&append.partition))
            .sum();
        bytes + FRAME_HEADER_BYTES + FRAME_ALIGN + in_footer
    }

    fn enqueue(
        &mut self,
        commit: &Commit,
        headers: &[BatchHeader],
        mut buffer: BytesMut,
        done: oneshot::Sender<Result<(), WriteFailure>>,
    ) -> Vec<Offset> {
        let entry_count = commit.appends.len() + commit.trims.len() + commit.drops.len();
        let mut at = COMMIT_HEADER_BYTES + entry_count * ENTRY_BYTES;
        let mut appends = Vec::with_capacity(commit.appends.len());
        for (append, header) in commit.appends.iter().zip(headers) {
            let queued = self.place_batch(append.partition, header, at);
            place(&mut buffer[at..], queued.meta.base_offset, LEADER_EPOCH);
            at += header.bytes;
            appends.push(queued);
        }
        let trims: Vec<_> = commit
            .trims
            .iter()
            .filter_map(|trim| self.place_trim(trim))
            .collect();
        let entries = table(commit, &appends);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        finish_commit(&mut buffer, sequence, &entries);
        let bytes = buffer.freeze();
        for queued in &appends {
            self.push_tail(queued, &bytes);
        }
        // From here on the partition is another one; what is under way of the old one knows its own life.
        let drops = commit
            .drops
            .iter()
            .map(|partition| (*partition, self.partitions.remove(partition)))
            .collect();
        let base_offsets = appends
            .iter()
            .map(|queued| queued.meta.base_offset)
            .collect();
        self.queued_bytes += bytes.len();
        let chunk = Arc::clone(&self.plan.chunk);
        self.queue.push_back(Queued {
            chunk,
            sequence,
            bytes,
            appends,
            trims,
            drops,
            done,
        });
        base_offsets
    }

    fn place_batch(&mut self, id: PartitionId, header: &BatchHeader, at: usize) -> QueuedAppend {
        let lives = &mut self.lives;
        let partition = self.partitions.entry(id).or_insert_with(|| {
            *lives += 1;
            Partition::new(*lives)
        });
        let base_offset = partition.submitted_end;
        let meta = BatchMeta::from(&BatchHeader {
            base_offset,
            ..*header
        });
        partition.submitted_end = meta.last_offset + 1;
        partition.bytes += u64::from(meta.bytes);
        partition.planned_in = self.plan.chunk.number;
        QueuedAppend {
            partition: id,
            life: partition.life,
            meta,
            crc: header.crc,
            at,
        }
    }

    /// A trim within what is submitted, so that it means the same in recovery; unknown partitions have nothing to trim.
    fn place_trim(
        &self,
        (id, start): &(PartitionId, Offset),
    ) -> Option<(PartitionId, u64, Offset)> {
        let partition = self.partitions.get(id)?;
        Some((*id, partition.life, (*start).min(partition.submitted_end)))
    }

    fn push_tail(&mut self, queued: &QueuedAppend, commit: &bytes::Bytes) {
        if let Some(partition) = self.partitions.get_mut(&queued.partition) {
            let bytes = commit.slice(queued.at..queued.at + queued.meta.bytes as usize);
            partition.tail.push_back(TailBatch {
                first: queued.meta.base_offset,
                last: queued.meta.last_offset,
                bytes,
            });
        }
    }
}

/// The commit's table in the order in which it takes effect.
fn table(commit: &Commit, appends: &[QueuedAppend]) -> Vec<Entry> {
    let append = |queued: &QueuedAppend| Entry::Append {
        partition: queued.partition,
        base_offset: queued.meta.base_offset,
        bytes: queued.meta.bytes,
        crc: queued.crc,
    };
    let trim = |(partition, start): &(PartitionId, Offset)| Entry::Trim {
        partition: *partition,
        start: *start,
    };
    let drop = |partition: &PartitionId| Entry::Drop {
        partition: *partition,
    };
    let trims = commit.trims.iter().map(trim);
    appends
        .iter()
        .map(append)
        .chain(trims)
        .chain(commit.drops.iter().map(drop))
        .collect()
}
