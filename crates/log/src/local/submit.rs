//! Taking a commit: its bytes are laid out first, outside the lock; offsets, chunk and sequence number are fixed in it.

use std::sync::Arc;

use bytes::Bytes;
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
use super::pool::Lent;
use super::state::{ChunkState, Plan, Queued, QueuedAppend, QueuedRewrite, Shared, State};
use crate::api::{BatchMeta, Bound, Commit, Durable, SubmitError, Submitted, WriteFailure};
use crate::rewrite;
use crate::watch::Event;

impl Shared {
    /// Queues a commit, and has it written at once.
    pub fn submit(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        let submitted = self.submit_later(commit)?;
        self.state.lock().callers += 1;
        self.work.notify_one();
        Ok(submitted)
    }

    /// Queues a commit, for the caller to have it written.
    pub fn submit_later(&self, commit: Commit) -> Result<Submitted, SubmitError> {
        let headers = Headers::of(&commit)?;
        let cuts = self.cuts(&commit.rewrites)?;
        let bytes = self.check_size(&commit, &headers)?;
        let mut buffer = self.pool.lend(bytes);
        lay_out(
            buffer.bytes_mut(),
            headers.entries(&commit),
            headers.batches(&commit),
        );
        let (done, waiting) = oneshot::channel();
        let base_offsets = {
            let mut state = self.state.lock();
            state.check_generations(&commit.rewrites)?;
            self.admit(&mut state, &commit, bytes)?;
            let rewrites = state.place_rewrites(&commit.rewrites, &headers, cuts);
            state.enqueue(&commit, &headers, rewrites, buffer, done)
        };
        self.watchers.notify(
            commit.appends.iter().map(|append| append.partition),
            Event::Grew(Bound::Submitted),
        );
        Ok(Submitted {
            base_offsets,
            durable: self.awaiting(waiting),
        })
    }

    fn awaiting(&self, waiting: oneshot::Receiver<Result<(), WriteFailure>>) -> Durable {
        let disk = Arc::clone(&self.disk);
        Box::pin(async move {
            let closed = || WriteFailure {
                place: disk.path().display().to_string(),
                reason: "the log was closed".to_owned(),
            };
            waiting.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    /// Bytes of the commit as written, within the limit.
    fn check_size(&self, commit: &Commit, headers: &Headers) -> Result<usize, SubmitError> {
        let bytes = frame::commit_bytes(headers.entries(commit), headers.batch_bytes());
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
            let chunk_state = ChunkState::new(Arc::clone(&chunk), Some(Arc::default()));
            state.chunks.insert(chunk.number, chunk_state);
            state.plan = Plan { chunk, used };
            state.jobs.push_back(Job::MakeSpare);
            self.chores.notify_one();
        }
        Ok(())
    }
}

/// The headers of a commit's batches.
pub(super) struct Headers {
    appends: Vec<BatchHeader>,
    /// Per rewrite.
    pub rewrites: Vec<Vec<BatchHeader>>,
}

impl Headers {
    fn of(commit: &Commit) -> Result<Self, BatchError> {
        let appends = commit.appends.iter().map(|append| parse(&append.batch));
        Ok(Self {
            appends: appends.collect::<Result<_, _>>()?,
            rewrites: rewrite::check_all(&commit.rewrites)?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &BatchHeader> {
        self.appends.iter().chain(self.rewrites.iter().flatten())
    }

    fn batch_bytes(&self) -> usize {
        self.all().map(|header| header.bytes).sum()
    }

    /// Lines of the commit's table.
    fn entries(&self, commit: &Commit) -> usize {
        let placed: usize = self.rewrites.iter().map(|headers| 1 + headers.len()).sum();
        commit.appends.len() + placed + commit.trims.len() + commit.drops.len()
    }

    /// The batches in the order of the table. A batch never brings more than its header says, so that the parts add up.
    fn batches(&self, commit: &Commit) -> impl Iterator<Item = Bytes> {
        let appends = commit.appends.iter().map(|append| &append.batch);
        let placed = commit.rewrites.iter().flat_map(|rewrite| &rewrite.batches);
        let batches = appends.chain(placed).zip(self.all());
        batches.map(|(batch, header)| batch.slice(..header.bytes))
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
        let rewritten: usize = commit
            .rewrites
            .iter()
            .map(|rewrite| footer::LINE_BYTES + rewrite.batches.len() * footer::ENTRY_BYTES)
            .sum();
        bytes + FRAME_HEADER_BYTES + FRAME_ALIGN + in_footer + rewritten
    }

    fn enqueue(
        &mut self,
        commit: &Commit,
        headers: &Headers,
        mut rewrites: Vec<QueuedRewrite>,
        mut buffer: Lent,
        done: oneshot::Sender<Result<(), WriteFailure>>,
    ) -> Vec<Offset> {
        let mut at = COMMIT_HEADER_BYTES + headers.entries(commit) * ENTRY_BYTES;
        let mut appends = Vec::with_capacity(commit.appends.len());
        for (append, header) in commit.appends.iter().zip(&headers.appends) {
            let queued = self.place_batch(append.partition, header, at);
            place(
                &mut buffer.bytes_mut()[at..],
                queued.meta.base_offset,
                LEADER_EPOCH,
            );
            at += header.bytes;
            appends.push(queued);
        }
        for queued in rewrites.iter_mut().flat_map(|rewrite| &mut rewrite.batches) {
            place(
                &mut buffer.bytes_mut()[at..],
                queued.meta.base_offset,
                LEADER_EPOCH,
            );
            queued.at = at;
            at += queued.meta.bytes as usize;
        }
        let trims: Vec<_> = commit
            .trims
            .iter()
            .filter_map(|trim| self.place_trim(trim))
            .collect();
        let entries = table(commit, &appends, &rewrites);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        finish_commit(buffer.bytes_mut(), sequence, &entries);
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
            rewrites,
            done,
        });
        base_offsets
    }

    fn place_batch(&mut self, id: PartitionId, header: &BatchHeader, at: usize) -> QueuedAppend {
        let (lives, generations) = (&mut self.lives, &mut self.generations);
        let partition = self.partitions.entry(id).or_insert_with(|| {
            *lives += 1;
            *generations += 1;
            Partition::new(*lives, *generations)
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

    fn push_tail(&mut self, queued: &QueuedAppend, commit: &Bytes) {
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
fn table(commit: &Commit, appends: &[QueuedAppend], rewrites: &[QueuedRewrite]) -> Vec<Entry> {
    let append = |queued: &QueuedAppend| Entry::Append {
        partition: queued.partition,
        base_offset: queued.meta.base_offset,
        bytes: queued.meta.bytes,
        crc: queued.crc,
    };
    let trims = commit.trims.iter().map(|(partition, start)| Entry::Trim {
        partition: *partition,
        start: *start,
    });
    let drops = commit.drops.iter().map(|partition| Entry::Drop {
        partition: *partition,
    });
    let appended = appends.iter().map(append);
    let rewritten = rewrites.iter().flat_map(QueuedRewrite::entries);
    appended
        .chain(rewritten)
        .chain(trims)
        .chain(drops)
        .collect()
}
