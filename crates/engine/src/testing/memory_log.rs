//! A [`StepLog`] in memory that keeps every commit, so that a test can crash it at any of them.
//!
//! A commit is durable at once, or (after [`MemoryStepLog::hold`]) only when [`MemoryStepLog::sync`] is called: what was not synced is
//! what a crash may take away.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use headwater_base::{Offset, PartitionId, TopicId};
use headwater_connect::{CommitError, Step, StepLog, StepRead, TopicInfo, Visibility};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// See the module's description.
#[derive(Default)]
pub struct MemoryStepLog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, TopicInfo>,
    next_topic: u64,
    partitions: HashMap<PartitionId, Partition>,
    history: Vec<Entry>,
    /// Commits of `history` that are durable.
    durable: usize,
    held: bool,
    refuse: Option<String>,
    watchers: Vec<Weak<Watcher>>,
    retained: HashMap<String, Vec<(PartitionId, Offset)>>,
    asked: HashSet<String>,
}

#[derive(Default)]
struct Partition {
    batches: Vec<(Offset, Offset, Bytes)>,
    start: Offset,
    end: Offset,
    durable_end: Offset,
}

struct Entry {
    step: Step,
    done: Option<oneshot::Sender<()>>,
}

struct Watcher {
    partitions: Vec<PartitionId>,
    visibility: Visibility,
    wake: Arc<Notify>,
}

impl MemoryStepLog {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From now on commits wait for [`MemoryStepLog::sync`].
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// Makes everything committed so far durable, and ends [`MemoryStepLog::hold`].
    pub fn release(&self) {
        let mut state = self.state.lock();
        state.held = false;
        let count = state.history.len();
        state.sync(count);
    }

    /// Makes everything committed so far durable.
    pub fn sync(&self) {
        let mut state = self.state.lock();
        let count = state.history.len();
        state.sync(count);
    }

    /// What a pipeline may have to read again.
    pub fn retained(&self, holder: &str) -> Vec<(PartitionId, Offset)> {
        let state = self.state.lock();
        state.retained.get(holder).cloned().unwrap_or_default()
    }

    /// Asks a pipeline to let go of input, as cleaning does that it is in the way of.
    pub fn want_release(&self, holder: &str) {
        self.state.lock().asked.insert(holder.to_owned());
    }

    /// Refuses commits with this reason, as a full disk does, until told `None`.
    pub fn refuse(&self, reason: Option<&str>) {
        self.state.lock().refuse = reason.map(str::to_owned);
    }

    /// Commits taken so far.
    pub fn commits(&self) -> usize {
        self.state.lock().history.len()
    }

    /// What a restart after a crash finds: the durable commits and up to `lucky` of those that were not synced yet.
    pub fn crash(&self, lucky: usize) -> Arc<Self> {
        let state = self.state.lock();
        let keep = (state.durable + lucky).min(state.history.len());
        Self::rebuilt(&state, keep)
    }

    /// The log as it was after its first `commits` commits.
    pub fn prefix(&self, commits: usize) -> Arc<Self> {
        let state = self.state.lock();
        Self::rebuilt(&state, commits.min(state.history.len()))
    }

    fn rebuilt(state: &State, keep: usize) -> Arc<Self> {
        let mut fresh = State {
            topics: state.topics.clone(),
            next_topic: state.next_topic,
            ..State::default()
        };
        for entry in &state.history[..keep] {
            fresh.append(entry.step.clone());
        }
        fresh.sync(keep);
        Arc::new(Self {
            state: Mutex::new(fresh),
        })
    }

    /// All batches of a partition, for looking into outputs.
    pub fn batches(&self, topic: &str, index: i32) -> Vec<Bytes> {
        let state = self.state.lock();
        let Some(info) = state.topics.get(topic) else {
            return Vec::new();
        };
        let partition = state.partitions.get(&info.partition(index));
        partition.map_or_else(Vec::new, |p| {
            p.batches
                .iter()
                .map(|(_, _, batch)| batch.clone())
                .collect()
        })
    }
}

impl State {
    fn append(&mut self, mut step: Step) -> Vec<Offset> {
        let mut offsets = Vec::with_capacity(step.appends.len());
        for (partition, batch) in &mut step.appends {
            let log = self.partitions.entry(*partition).or_default();
            let base = log.end;
            let records = i64::from(i32::from_be_bytes([
                batch[23], batch[24], batch[25], batch[26],
            ])) + 1;
            let mut own = BytesMut::from(&batch[..]);
            own[..8].copy_from_slice(&base.to_be_bytes());
            *batch = own.freeze();
            log.batches.push((base, base + records, batch.clone()));
            log.end += records;
            offsets.push(base);
        }
        self.history.push(Entry { step, done: None });
        offsets
    }

    fn sync(&mut self, count: usize) {
        for position in self.durable..count {
            let entry = &mut self.history[position];
            let done = entry.done.take();
            let step = entry.step.clone();
            for (partition, batch) in &step.appends {
                let base = i64::from_be_bytes(batch[..8].try_into().unwrap_or_default());
                let records = i64::from(i32::from_be_bytes([
                    batch[23], batch[24], batch[25], batch[26],
                ])) + 1;
                if let Some(log) = self.partitions.get_mut(partition) {
                    log.durable_end = log.durable_end.max(base + records);
                }
            }
            for (partition, offset) in &step.trims {
                if let Some(log) = self.partitions.get_mut(partition) {
                    log.start = log.start.max(*offset).min(log.end);
                    let start = log.start;
                    log.batches.retain(|(_, next, _)| *next > start);
                }
            }
            self.durable = position + 1;
            self.notify(&step, Visibility::Durable);
            if let Some(done) = done {
                let _ = done.send(());
            }
        }
    }

    fn notify(&mut self, step: &Step, visibility: Visibility) {
        self.watchers.retain(|watcher| watcher.strong_count() > 0);
        for watcher in self.watchers.iter().filter_map(Weak::upgrade) {
            let hit = step
                .appends
                .iter()
                .any(|(partition, _)| watcher.partitions.contains(partition));
            if hit && watcher.visibility == visibility {
                watcher.wake.notify_one();
            }
        }
    }
}

impl StepLog for MemoryStepLog {
    fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.state.lock().topics.get(name).cloned()
    }

    fn topics(&self) -> Vec<TopicInfo> {
        let mut all: Vec<TopicInfo> = self.state.lock().topics.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn ensure_topic<'a>(
        &'a self,
        name: &'a str,
        partitions: i32,
    ) -> Pin<Box<dyn Future<Output = Result<TopicInfo, CommitError>> + Send + 'a>> {
        let mut state = self.state.lock();
        if !state.topics.contains_key(name) {
            state.next_topic += 1;
            let mut id = [0u8; 16];
            id[..8].copy_from_slice(&state.next_topic.to_be_bytes());
            state.topics.insert(
                name.to_owned(),
                TopicInfo {
                    name: name.to_owned(),
                    id: TopicId(id),
                    partitions,
                },
            );
        }
        let info = state.topics[name].clone();
        Box::pin(async move { Ok(info) })
    }

    fn delete_topic<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send + 'a>> {
        let mut state = self.state.lock();
        if let Some(info) = state.topics.remove(name) {
            state
                .partitions
                .retain(|partition, _| partition.topic != info.id);
        }
        Box::pin(async { Ok(()) })
    }

    fn read_committed(
        &self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visibility: Visibility,
    ) -> std::io::Result<StepRead> {
        let state = self.state.lock();
        let Some(log) = state.partitions.get(&partition) else {
            return Ok(StepRead::default());
        };
        let end = if visibility == Visibility::Durable {
            log.durable_end
        } else {
            log.end
        };
        let from = from.max(log.start);
        let mut read = StepRead {
            batches: Vec::new(),
            next: from,
            end,
            start: log.start,
        };
        let first = log.batches.partition_point(|(_, next, _)| *next <= from);
        let mut bytes = 0;
        for (_, next, batch) in &log.batches[first..] {
            if *next > end || (bytes > 0 && bytes + batch.len() > max_bytes) {
                break;
            }
            bytes += batch.len();
            read.batches.push(batch.clone());
            read.next = *next;
        }
        Ok(read)
    }

    fn extent(&self, partition: PartitionId) -> (Offset, Offset) {
        self.state
            .lock()
            .partitions
            .get(&partition)
            .map_or((0, 0), |log| (log.start, log.durable_end))
    }

    fn commit(
        &self,
        step: Step,
    ) -> Result<(Vec<Offset>, headwater_connect::step_log::DurableStep), CommitError> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.refuse {
            return Err(CommitError::Retry(reason.clone()));
        }
        let offsets = state.append(step.clone());
        let (done, durable) = oneshot::channel();
        if let Some(entry) = state.history.last_mut() {
            entry.done = Some(done);
        }
        state.notify(&step, Visibility::InFlight);
        if !state.held {
            let count = state.history.len();
            state.sync(count);
        }
        let durable = async move {
            durable
                .await
                .map_err(|_| CommitError::Failed("the log crashed".to_owned()))
        };
        Ok((offsets, Box::pin(durable)))
    }

    fn retain(&self, holder: &str, positions: Vec<(PartitionId, Offset)>) {
        let mut state = self.state.lock();
        state.retained.insert(holder.to_owned(), positions);
    }

    fn release_wanted(&self, holder: &str) -> bool {
        self.state.lock().asked.remove(holder)
    }

    fn register(
        &self,
        partitions: &[PartitionId],
        visibility: Visibility,
        wake: Arc<Notify>,
    ) -> Box<dyn Send + Sync> {
        let watcher = Arc::new(Watcher {
            partitions: partitions.to_vec(),
            visibility,
            wake,
        });
        self.state.lock().watchers.push(Arc::downgrade(&watcher));
        Box::new(watcher)
    }
}
