//! Opening a folder: footers of sealed chunks are read, the frames of the others replayed, a torn last write is cut off,
//! and anything worse is refused with nothing changed.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};

use super::chunk::{self, CHUNK_HEADER_BYTES, Chunk, HeaderFault};
use super::config::{LocalConfig, OpenError};
use super::disk::Disk;
use super::index::{APPENDED, IndexEntry, Slice};
use super::keeper::Job;
use super::ledger::{Extent, Ledger};
use super::partition::{Change, Cut, Partition};
use super::replay::{ReplayFault, Replayed, replay};
use super::state::ChunkState;
use super::{footer, format};
use crate::api::ReadError;

/// What the folder holds.
pub(super) struct Recovered {
    pub ledger: Ledger,
    pub partitions: HashMap<PartitionId, Partition>,
    pub chunks: BTreeMap<u64, ChunkState>,
    pub active: Active,
    pub spare: Option<Arc<Chunk>>,
    pub next_sequence: u64,
    /// Chunks that are full but not sealed.
    pub jobs: Vec<Job>,
}

/// Where the next frame goes.
pub(super) struct Active {
    pub chunk: Arc<Chunk>,
    pub position: usize,
    pub sequences: Option<(u64, u64)>,
}

/// A chunk without footer, and its state before the next chunk.
struct Open {
    chunk: Arc<Chunk>,
    position: usize,
    data_end: usize,
    sequences: Option<(u64, u64)>,
    /// Ends at `position`; empty without a frame.
    last_frame: Vec<u8>,
    ledger: Ledger,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    ledger: Ledger,
    slices: HashMap<PartitionId, Vec<Slice>>,
    chunks: BTreeMap<u64, ChunkState>,
    open: Vec<Open>,
    /// Number and next sequence number of the chunk before.
    before: Option<(u64, u64)>,
}

pub(super) fn recover(disk: &dyn Disk, config: &LocalConfig) -> Result<Recovered, OpenError> {
    let names = disk.list().map_err(io_error(disk, "list the files"))?;
    let mark = format::check(disk, &names)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| chunk::number_of(name))
        .collect();
    numbers.sort_unstable();
    let mut recovery = Recovery {
        disk,
        ledger: Ledger::default(),
        slices: HashMap::new(),
        chunks: BTreeMap::new(),
        open: Vec::new(),
        before: None,
    };
    for number in numbers {
        recovery.read_chunk(number)?;
    }
    let partitions = recovery.partitions()?;
    // Only from here on anything is changed.
    if mark {
        format::mark(disk).map_err(io_error(disk, "write the format marker"))?;
    }
    recovery.finish(partitions, config)
}

fn io_error(disk: &dyn Disk, action: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io {
        path: disk.path().to_owned(),
        action,
        source,
    }
}

impl Recovery<'_> {
    fn damaged(&self, number: u64, offset: usize, what: &str) -> OpenError {
        let file = self.disk.path().join(chunk::file_name(number));
        OpenError::Damaged {
            file,
            offset: offset as u64,
            what: what.to_owned(),
        }
    }

    fn io(&self, action: &'static str) -> impl Fn(io::Error) -> OpenError {
        io_error(self.disk, action)
    }

    fn read_chunk(&mut self, number: u64) -> Result<(), OpenError> {
        let chunk = Chunk::open(self.disk, number).map_err(|fault| match fault {
            HeaderFault::NewerFormat(found) => format::newer(self.disk, found),
            HeaderFault::Damaged(what) => self.damaged(number, 0, what),
            HeaderFault::Io(source) => self.io("open a chunk")(source),
        })?;
        let chunk = Arc::new(chunk);
        match footer::read(&chunk).map_err(self.io("read a footer"))? {
            Some(sealed) => self.take_sealed(chunk, sealed),
            None => self.take_open(chunk),
        }
    }

    /// The sequence number that a chunk must begin with; `None` where chunks before it are not there.
    fn expected(&self, number: u64) -> Option<u64> {
        match self.before {
            None => (number == 1).then_some(1),
            Some((before, next)) => (before + 1 == number).then_some(next),
        }
    }

    fn take_sealed(&mut self, chunk: Arc<Chunk>, sealed: footer::Sealed) -> Result<(), OpenError> {
        let (first, last) = sealed.sequences;
        // Dead chunks in between may have been removed, but nothing between neighbours can be missing.
        if self
            .expected(chunk.number)
            .is_some_and(|expected| expected != first)
        {
            return Err(self.gap(chunk.number, first));
        }
        self.before = Some((chunk.number, last + 1));
        chunk.set_durable_end(chunk.bytes);
        self.ledger = sealed.ledger;
        for (partition, slice) in sealed.slices {
            self.slices.entry(partition).or_default().push(slice);
        }
        self.chunks
            .insert(chunk.number, ChunkState::new(chunk, None));
        Ok(())
    }

    /// Commits are missing before this chunk: blame the chunk before if it ends in rubbish.
    fn gap(&self, number: u64, found: u64) -> OpenError {
        let torn = self
            .open
            .last()
            .filter(|open| open.data_end > open.position);
        let (number, at) = torn.map_or((number, CHUNK_HEADER_BYTES), |open| {
            (open.chunk.number, open.position)
        });
        self.damaged(
            number,
            at,
            &format!("commits before number {found} are missing, though that one is there"),
        )
    }

    fn take_open(&mut self, chunk: Arc<Chunk>) -> Result<(), OpenError> {
        let number = chunk.number;
        let Some(expected) = self.expected(number) else {
            return Err(self.damaged(
                number,
                0,
                "it has no footer, and the file before it is missing",
            ));
        };
        let replayed = replay(&chunk, expected, &mut self.ledger).map_err(|fault| match fault {
            ReplayFault::Io(source) => self.io("read a chunk")(source),
            ReplayFault::Damaged(at, what) => self.damaged(number, at, &what),
        })?;
        let Replayed {
            index,
            position,
            data_end,
            sequences,
            last_frame,
        } = replayed;
        self.before = Some((number, sequences.map_or(expected, |(_, last)| last + 1)));
        if sequences.is_some() {
            for (partition, groups) in &index {
                let slices = groups.slices(number).map(|(slice, _)| slice);
                self.slices.entry(*partition).or_default().extend(slices);
            }
            let state = ChunkState::new(Arc::clone(&chunk), Some(Arc::new(index)));
            self.chunks.insert(number, state);
        }
        let ledger = self.ledger.clone();
        self.open.push(Open {
            chunk,
            position,
            data_end,
            sequences,
            last_frame,
            ledger,
        });
        Ok(())
    }

    fn finish(
        mut self,
        partitions: HashMap<PartitionId, Partition>,
        config: &LocalConfig,
    ) -> Result<Recovered, OpenError> {
        let with_commits = self
            .open
            .iter()
            .rposition(|open| open.sequences.is_some())
            .map_or(0, |at| at + 1);
        let mut empty = self.open.split_off(with_commits).into_iter();
        let active = match self.open.pop().or_else(|| empty.next()) {
            Some(open) => self.resume(open)?,
            None => self.first_chunk(config)?,
        };
        let spare = empty
            .next()
            .map(|open| self.resume(open))
            .transpose()?
            .map(|spare| spare.chunk);
        for superfluous in empty {
            self.disk
                .remove(&superfluous.chunk.name())
                .map_err(self.io("remove an empty chunk"))?;
        }
        let jobs = self
            .open
            .iter()
            .filter_map(|open| self.seal_later(open))
            .collect();
        let next_sequence = self.before.map_or(1, |(_, next)| next);
        let (number, chunk) = (active.chunk.number, Arc::clone(&active.chunk));
        self.chunks
            .entry(number)
            .or_insert_with(|| ChunkState::new(chunk, Some(Arc::default())));
        Ok(Recovered {
            ledger: self.ledger,
            partitions,
            chunks: self.chunks,
            active,
            spare,
            next_sequence,
            jobs,
        })
    }

    fn first_chunk(&self, config: &LocalConfig) -> Result<Active, OpenError> {
        let number = self.before.map_or(1, |(number, _)| number + 1);
        let chunk = Chunk::create(self.disk, number, config.chunk_bytes as u64)
            .map_err(self.io("make a chunk"))?;
        Ok(Active {
            chunk: Arc::new(chunk),
            position: CHUNK_HEADER_BYTES,
            sequences: None,
        })
    }

    /// Makes a chunk fit to be written on: what a torn write left is zeroed, and everything is synced, also what a
    /// process that was killed had written but not synced: it will be read as durable from now on.
    ///
    /// The last frame is written anew before: if its sync has failed, the system may take its pages for written though
    /// they are in memory only, and a sync alone would do nothing. No other frame can be concerned, as nothing is
    /// written after a failed sync.
    fn resume(&self, open: Open) -> Result<Active, OpenError> {
        let Open {
            position,
            data_end,
            sequences,
            last_frame,
            ..
        } = open;
        let torn_bytes = data_end - position;
        if torn_bytes > 0 {
            tracing::warn!(
                file = open.chunk.name(),
                position,
                bytes = torn_bytes,
                "cutting off a torn write that nobody was acked"
            );
        }
        let zeros = vec![0; torn_bytes];
        let mut parts = [IoSlice::new(&last_frame), IoSlice::new(&zeros)];
        if last_frame.len() + torn_bytes > 0 {
            let from = (position - last_frame.len()) as u64;
            let written = open.chunk.file.write_at(from, &mut parts);
            written.map_err(self.io("write the last commits anew"))?;
        }
        open.chunk
            .file
            .sync_data()
            .map_err(self.io("sync a chunk"))?;
        open.chunk.set_durable_end(position as u64);
        Ok(Active {
            chunk: open.chunk,
            position,
            sequences,
        })
    }

    fn seal_later(&self, open: &Open) -> Option<Job> {
        open.chunk.set_durable_end(open.position as u64);
        let full = footer::Full {
            chunk: Arc::clone(&open.chunk),
            frames_end: open.position as u64,
            index: self.chunks.get(&open.chunk.number)?.index.clone()?,
            ledger: open.ledger.clone(),
            sequences: open.sequences?,
        };
        Some(Job::Seal(full))
    }

    /// The partitions there are in the end, each with its slices; counts in every chunk what lives there.
    fn partitions(&mut self) -> Result<HashMap<PartitionId, Partition>, OpenError> {
        let mut partitions = HashMap::with_capacity(self.ledger.partitions.len());
        let mut extents: Vec<_> = self
            .ledger
            .partitions
            .iter()
            .map(|(id, at)| (*id, *at))
            .collect();
        // In the same order whatever the map's, so that a simulation can be repeated.
        extents.sort_unstable_by_key(|(id, _)| *id);
        for ((id, extent), number) in extents.into_iter().zip(1..) {
            let partition = self.partition(id, &extent, number)?;
            self.check_whole(&id, &partition)?;
            for slice in &partition.slices {
                if let Some(found) = self.chunks.get_mut(&slice.chunk) {
                    found.account(&Change::gained(slice));
                }
            }
            partitions.insert(id, partition);
        }
        Ok(partitions)
    }

    /// Folds what was appended and rewritten, in order, as the writer did.
    fn partition(
        &mut self,
        id: PartitionId,
        extent: &Extent,
        number: u64,
    ) -> Result<Partition, OpenError> {
        let mut partition = Partition::new(number, number);
        partition.durable_end = extent.end;
        partition.submitted_end = extent.end;
        let slices = self.slices.remove(&id).unwrap_or_default();
        // What is older belongs to a dropped partition of the same id.
        let own = slices
            .into_iter()
            .filter(|slice| slice.chunk >= extent.born);
        for slice in own {
            if slice.group == APPENDED {
                partition.planned_in = slice.chunk;
                partition.bytes += u64::from(slice.bytes);
                partition.slices.push_back(slice);
            } else {
                let cut = self.cut(id, &partition, &slice)?;
                partition.replace(slice, cut);
            }
        }
        partition.trim(extent.start);
        Ok(partition)
    }

    /// Where a rewrite cuts what was there before it.
    fn cut(
        &self,
        id: PartitionId,
        partition: &Partition,
        rewrite: &Slice,
    ) -> Result<Cut, OpenError> {
        let below = |offset| {
            let slice = partition.cut_at(offset);
            slice.map_or(Ok(0), |slice| self.below(id, slice, offset))
        };
        Ok(Cut {
            below_from: below(rewrite.first)?,
            below_to: below(rewrite.last + 1)?,
        })
    }

    /// Bytes of the batches below an offset in the group that a slice is of.
    fn below(&self, id: PartitionId, slice: &Slice, offset: Offset) -> Result<u32, OpenError> {
        let sum = |entries: &[IndexEntry]| {
            let below = entries
                .iter()
                .take_while(|entry| entry.meta.last_offset < offset);
            below.map(|entry| entry.meta.bytes).sum()
        };
        let Some(found) = self.chunks.get(&slice.chunk) else {
            return Ok(0);
        };
        if let Some(groups) = found.index.as_ref().and_then(|index| index.get(&id)) {
            return Ok(sum(groups.entries(slice.group)));
        }
        let Some(stored) = slice.stored else {
            return Ok(0);
        };
        let entries = footer::read_entries(&found.chunk, &stored).map_err(|error| match error {
            ReadError::Io(source) => self.io("read a footer")(source),
            other => self.damaged(slice.chunk, stored.position as usize, &other.to_string()),
        })?;
        Ok(sum(&entries))
    }

    /// From the start to the end nothing may be missing: a hole is a file that somebody has removed.
    fn check_whole(&self, id: &PartitionId, partition: &Partition) -> Result<(), OpenError> {
        let mut next = partition.start;
        for slice in &partition.slices {
            if slice.first > next {
                let what = format!(
                    "offsets {next} to {} of partition {id} are in a file that is missing",
                    slice.first
                );
                return Err(self.damaged(slice.chunk, 0, &what));
            }
            next = slice.last + 1;
        }
        if next < partition.durable_end {
            let last = self.before.map_or(1, |(number, _)| number);
            let what = format!(
                "offsets {next} to {} of partition {id} are missing",
                partition.durable_end
            );
            return Err(self.damaged(last, 0, &what));
        }
        Ok(())
    }
}
