//! What the log alone costs: appends from several threads, then a cold start and a read of everything.
//!
//! ```text
//! log_bench DIR [mib 2048] [batch_bytes 16384] [partitions 6] [batches_per_commit 1] [threads 2] [read]
//! ```
//! CPU seconds are those of the whole process, user and system; the folder is made anew and left behind. With `read` it is taken
//! as an earlier run with the same figures left it: for cold reads, after its files have gone from the system's cache.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use headwater_base::{PartitionId, TopicId};
use headwater_log::{Append, Bound, Commit, LocalConfig, LocalLog, Log, SubmitError, wait};
use headwater_record::{BatchBuilder, Codec};

/// Most bytes of one read.
const FETCH_BYTES: usize = 256 * 1024;
/// Commits that each thread has under way.
const WINDOW: usize = 16;

#[derive(Clone, Copy)]
struct Load {
    bytes: usize,
    batch_bytes: usize,
    partitions: usize,
    batches_per_commit: usize,
    threads: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        arguments
            .get(at)
            .map_or(default, |text| text.parse().unwrap())
    };
    let load = Load {
        bytes: number(1, 2048) << 20,
        batch_bytes: number(2, 16 * 1024),
        partitions: number(3, 6),
        batches_per_commit: number(4, 1),
        threads: number(5, 2),
    };
    let folder = Path::new(arguments.first().expect("a folder"));
    if arguments.get(6).is_none() {
        let _ = std::fs::remove_dir_all(folder);
        append(folder, load);
    }
    reopen(folder, load);
}

fn partition(index: usize) -> PartitionId {
    PartitionId {
        topic: TopicId([7; 16]),
        index: index as i32,
    }
}

/// CPU seconds of the process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    let ticks: f64 = fields[12].parse::<f64>().unwrap() + fields[13].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn append(folder: &Path, load: Load) {
    let log = Arc::new(LocalLog::open(folder, LocalConfig::default()).unwrap());
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&vec![b'x'; load.batch_bytes - 80]));
    let batch = builder.build();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let threads: Vec<_> = (0..load.threads)
        .map(|thread| {
            let (log, batch) = (Arc::clone(&log), batch.clone());
            std::thread::spawn(move || produce(&log, &batch, thread, load))
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    report("append", load, began, cpu);
    let metrics = log.metrics();
    println!(
        "        {} commits in {} fsyncs, {:.0} KiB each",
        metrics.commits,
        metrics.fsyncs,
        metrics.written_bytes as f64 / 1024.0 / metrics.fsyncs as f64
    );
}

fn produce(log: &LocalLog, batch: &Bytes, thread: usize, load: Load) {
    let commits = load.bytes / load.threads / (batch.len() * load.batches_per_commit);
    let mut window = VecDeque::new();
    let mut next = thread;
    for _ in 0..commits {
        let appends = (0..load.batches_per_commit).map(|_| {
            next += load.threads;
            Append {
                partition: partition(next % load.partitions),
                batch: batch.clone(),
            }
        });
        let commit = Commit {
            appends: appends.collect(),
            ..Commit::default()
        };
        let submitted = loop {
            match log.submit(commit.clone()) {
                Err(SubmitError::Busy { .. }) => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        window.push_back(submitted.durable);
        if window.len() >= WINDOW {
            wait(window.pop_front().unwrap()).unwrap();
        }
    }
    window
        .into_iter()
        .for_each(|durable| wait(durable).unwrap());
}

fn reopen(folder: &Path, load: Load) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let log = LocalLog::open(folder, LocalConfig::default()).unwrap();
    println!(
        "start   {:.0} ms, {:.2} CPU s, {:.0} MiB resident",
        began.elapsed().as_secs_f64() * 1000.0,
        cpu_seconds() - cpu,
        resident()
    );
    let (began, cpu) = (Instant::now(), cpu_seconds());
    // In turns, as a consumer of all partitions fetches.
    let mut open: Vec<(usize, i64)> = (0..load.partitions).map(|index| (index, 0)).collect();
    while !open.is_empty() {
        for (index, at) in &mut open {
            let read = log.read(partition(*index), *at, FETCH_BYTES, Bound::Durable);
            *at += read.unwrap().batches.len() as i64;
        }
        open.retain(|(index, at)| *at < log.state(partition(*index)).durable_end);
    }
    report("read", load, began, cpu);
}

fn report(what: &str, load: Load, began: Instant, cpu: f64) {
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{what:<7} {:.0} MB/s, {:.2} CPU s/GB, {:.0} MiB resident",
        load.bytes as f64 / 1e6 / seconds,
        cpu / (load.bytes as f64 / 1e9),
        resident()
    );
}
