//! Power cuts: nothing acked is lost, a commit is wholly there or not at all, whatever of the last write survives.
//! And the proof that the checker bites: with syncs that do nothing, it finds losses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;
use headwater_base::{Offset, PartitionId};
use headwater_record::fuzz::Mutator;
use headwater_record::{BatchBuilder, Codec, records, with_place};

use super::basics::small;
use crate::api::{Append, Bound, Commit, Durable, Log, Rewrite, SubmitError};
use crate::conformance::partition;
use crate::local::disk::FaultDisk;
use crate::local::disk::fault::Survives;
use crate::local::{LocalConfig, LocalLog};

const PARTITIONS: u8 = 5;

/// A commit that was sent.
struct Sent {
    durable: Option<Durable>,
    acked: bool,
}

/// The model of one partition after some number of commits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    /// First and last offset of each batch and the commit that wrote it.
    batches: Vec<(Offset, Offset, u64)>,
    start: Offset,
    end: Offset,
}

pub(super) type Models = HashMap<PartitionId, Model>;

/// A batch that says which commit it belongs to; its records number 1 to 4.
fn marked(rng: &mut Mutator, commit: u64) -> (Bytes, i64) {
    let count = 1 + rng.below(4);
    let mut builder = BatchBuilder::new(Codec::ALL[rng.below(2) * 3]);
    for _ in 0..count {
        builder.push(
            commit as i64,
            None,
            Some(&vec![commit as u8; rng.below(700)]),
        );
    }
    (builder.build(), count as i64)
}

pub(super) fn random_commit(rng: &mut Mutator, number: u64, models: &mut Models) -> Commit {
    let mut commit = Commit::default();
    for _ in 0..1 + rng.below(4) {
        let id = partition(rng.below(PARTITIONS.into()) as u8);
        let (batch, count) = marked(rng, number);
        let model = models.entry(id).or_default();
        let last = model.end + count - 1;
        model.batches.push((model.end, last, number));
        model.end += count;
        commit.appends.push(Append {
            partition: id,
            batch,
        });
    }
    if rng.below(8) == 0 {
        let id = partition(rng.below(PARTITIONS.into()) as u8);
        if let Some(model) = models.get_mut(&id) {
            let start = rng.below(model.end as usize + 1) as Offset;
            model.start = model.start.max(start);
            commit.trims.push((id, start));
        }
    }
    if rng.below(40) == 0 {
        let id = partition(rng.below(PARTITIONS.into()) as u8);
        models.remove(&id);
        commit.drops.push(id);
    }
    commit
}

/// Replaces some neighbouring batches of a partition of which everything is durable: drops some, makes others anew.
pub(super) fn random_rewrite(
    rng: &mut Mutator,
    number: u64,
    models: &mut Models,
    log: &LocalLog,
) -> Option<Rewrite> {
    let id = partition(rng.below(PARTITIONS.into()) as u8);
    let model = models.get_mut(&id)?;
    let visible = model
        .batches
        .iter()
        .position(|batch| batch.1 >= model.start)?;
    let first = visible + rng.below(model.batches.len() - visible);
    let count = 1 + rng.below((model.batches.len() - first).min(8));
    let next = model
        .batches
        .get(first + count)
        .map_or(model.end, |batch| batch.0);
    let replaced: Vec<_> = model.batches.drain(first..first + count).collect();
    let (mut batches, mut at) = (Vec::new(), first);
    for (base, last, _) in &replaced {
        if rng.below(2) == 0 {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.push(number as i64, None, Some(&vec![1; rng.below(700)]));
            batches.push(with_place(builder.build(), *last, 0));
            model.batches.insert(at, (*last, *last, number));
            at += 1;
        }
        assert!(base <= last);
    }
    Some(Rewrite {
        partition: id,
        from: replaced[0].0,
        // With the gap behind them, or without.
        to: [next, replaced[count - 1].1 + 1][rng.below(2)],
        generation: log.state(id).generation,
        batches,
    })
}

/// The run of one log until the power goes: what was sent, and the models after every commit.
struct Run {
    sent: Vec<Sent>,
    history: Vec<Models>,
}

impl Run {
    fn new(models: Models) -> Self {
        Self {
            sent: Vec::new(),
            history: vec![models],
        }
    }

    /// Sends commits until the disk dies.
    fn until_death(&mut self, log: &LocalLog, disk: &FaultDisk, rng: &mut Mutator, first: u64) {
        let until = Instant::now() + Duration::from_secs(20);
        while !disk.is_dead() && Instant::now() < until {
            let mut models = self.history[self.history.len() - 1].clone();
            let number = first + self.sent.len() as u64;
            let mut rewrites = Vec::new();
            if rng.below(4) == 0 && self.wait_all() {
                rewrites.extend(random_rewrite(rng, number, &mut models, log));
            }
            let mut commit = random_commit(rng, number, &mut models);
            commit.rewrites = rewrites;
            if !self.send(log, commit) {
                break;
            }
            self.history.push(models);
            if rng.below(3) == 0 {
                self.wait_last();
            }
        }
        self.sent.iter_mut().for_each(poll);
    }

    /// False when the log takes nothing more.
    fn send(&mut self, log: &LocalLog, mut commit: Commit) -> bool {
        loop {
            match log.submit(commit.clone()) {
                Ok(submitted) => {
                    self.sent.push(Sent {
                        durable: Some(submitted.durable),
                        acked: false,
                    });
                    return true;
                }
                Err(SubmitError::Busy { .. }) => std::thread::sleep(Duration::from_micros(50)),
                // The keeper has moved something meanwhile: the batches are the same.
                Err(SubmitError::Stale { .. }) => {
                    for rewrite in &mut commit.rewrites {
                        rewrite.generation = log.state(rewrite.partition).generation;
                    }
                }
                // The keeper may have died before the writer: then there is no next chunk.
                Err(SubmitError::Failed(_) | SubmitError::Full(_) | SubmitError::Unreadable(_)) => {
                    return false;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn wait_last(&mut self) {
        if let Some(last) = self.sent.last_mut()
            && let Some(durable) = last.durable.take()
        {
            last.acked = crate::wait(durable).is_ok();
        }
    }

    /// False when the log has failed.
    fn wait_all(&mut self) -> bool {
        self.wait_last();
        self.sent.last().is_none_or(|sent| sent.acked)
    }

    /// Commits up to this number must be there.
    fn acked(&self) -> usize {
        self.sent
            .iter()
            .rposition(|sent| sent.acked)
            .map_or(0, |at| at + 1)
    }
}

/// Notes an ack that has come.
fn poll(sent: &mut Sent) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if let Some(durable) = &mut sent.durable
        && let std::task::Poll::Ready(result) = durable.as_mut().poll(&mut context)
    {
        sent.acked = result.is_ok();
        sent.durable = None;
    }
}

/// What a reopened log holds, read from front to end.
fn read_back(log: &LocalLog) -> Result<Models, String> {
    let mut models = Models::new();
    for id in (0..PARTITIONS).map(partition) {
        let state = log.state(id);
        if state.durable_end == 0 {
            continue;
        }
        let mut model = Model {
            batches: Vec::new(),
            start: state.start,
            end: state.durable_end,
        };
        let mut at = state.start;
        while at < state.durable_end {
            let out = log
                .read(id, at, 4000, Bound::Durable)
                .map_err(|e| e.to_string())?;
            for batch in &out.batches {
                let header = headwater_record::validate(batch).map_err(|e| e.to_string())?;
                records(batch)
                    .map_err(|e| e.to_string())?
                    .for_each(|r| drop(r.unwrap()));
                model.batches.push((
                    header.base_offset,
                    header.last_offset(),
                    header.max_timestamp as u64,
                ));
                at = header.last_offset() + 1;
            }
            if out.batches.is_empty() {
                // A rewrite may have emptied the end; whether it should have, the model knows.
                break;
            }
        }
        models.insert(id, model);
    }
    Ok(models)
}

/// The model as a log shows it: without what is trimmed.
fn visible(models: &Models) -> Models {
    let cut = |(id, model): (&PartitionId, &Model)| {
        let mut model = model.clone();
        let start = model.start;
        model.batches.retain(|batch| batch.1 >= start);
        (*id, model)
    };
    models.iter().map(cut).collect()
}

/// The check: what is there is what some prefix of the commits left, and the prefix holds everything acked.
/// Gives the length of the prefix.
fn check(run: &Run, found: &Models) -> Result<usize, String> {
    let acked = run.acked();
    let prefix = (acked..run.history.len()).find(|n| visible(&run.history[*n]) == *found);
    prefix.ok_or_else(|| {
        let wanted = visible(&run.history[acked]);
        format!(
            "{acked} of {} commits were acked; found {found:?}, wanted at least {wanted:?}",
            run.sent.len()
        )
    })
}

fn reopen(disk: &FaultDisk, config: &LocalConfig) -> Result<LocalLog, String> {
    LocalLog::open_on(Arc::new(disk.clone()), config.clone()).map_err(|e| e.to_string())
}

/// Lives through several power cuts on the same data. `Err` is what the checker found.
fn lives(seed: u64, crashes: u64, lie: bool) -> Result<(), String> {
    let mut rng = Mutator::new(seed);
    let mut disk = FaultDisk::new(seed);
    let config = LocalConfig {
        commit_bytes_max: 32 * 1024,
        ..small()
    };
    let mut models = Models::new();
    let mut number = 0;
    for crash in 0..crashes {
        let log = reopen(&disk, &config).map_err(|e| format!("seed {seed} crash {crash}: {e}"))?;
        if lie {
            disk.lie_about_sync();
        }
        if crash % 3 == 2 {
            disk.refuse_blocks();
        }
        disk.die_after(1 + rng.below(120) as u64);
        let mut run = Run::new(models);
        run.until_death(&log, &disk, &mut rng, number);
        drop(log);
        let survives = match rng.below(3) {
            0 => Survives::Nothing,
            1 => Survives::LastWriteUpTo(rng.below(disk.unsynced_bytes() + 1)),
            _ => Survives::SomeSectors(rng.next_u64()),
        };
        disk = disk.after_power_cut(survives);
        let log = reopen(&disk, &config).map_err(|e| format!("seed {seed} crash {crash}: {e}"))?;
        let found = read_back(&log).map_err(|e| format!("seed {seed} crash {crash}: {e}"))?;
        let prefix = check(&run, &found).map_err(|e| format!("seed {seed} crash {crash}: {e}"))?;
        number += run.sent.len() as u64;
        models = run.history.swap_remove(prefix);
    }
    Ok(())
}

#[test]
fn a_thousand_power_cuts_lose_nothing_acked() {
    // The long form asks for more.
    let asked = std::env::var("CRASHES")
        .ok()
        .and_then(|text| text.parse().ok());
    for seed in 0..asked.unwrap_or(1000u64).div_ceil(10) {
        lives(seed, 10, false).unwrap();
    }
}

#[test]
fn without_the_sync_the_checker_finds_losses() {
    let found = (0..20)
        .filter(|seed| lives(*seed, 5, true).is_err())
        .count();
    assert!(
        found >= 15,
        "only {found} of 20 runs without syncs were found out"
    );
}

#[test]
fn the_last_commit_cut_at_every_byte() {
    for seed in 0..3 {
        let mut rng = Mutator::new(seed);
        let disk = FaultDisk::new(seed);
        let log = reopen(&disk, &small()).unwrap();
        let mut run = Run::new(Models::new());
        for number in 0..6 {
            let mut models = run.history[run.history.len() - 1].clone();
            let rewrite = match number {
                5 => (0..50).find_map(|_| random_rewrite(&mut rng, number, &mut models, &log)),
                _ => random_rewrite(&mut rng, number, &mut models, &log),
            };
            let mut commit = random_commit(&mut rng, number, &mut models);
            commit.rewrites.extend(rewrite);
            if number == 5 {
                assert_eq!(commit.rewrites.len(), 1, "another seed");
                // The keeper is done by now; the next operation is the write, the one after it the sync.
                disk.die_after(2);
            }
            assert!(run.send(&log, commit));
            run.history.push(models);
            run.wait_last();
        }
        drop(log);
        assert_eq!((run.acked(), disk.is_dead()), (5, true));
        // The zeros at its end are there whether written or not.
        let whole = disk.unsynced_bytes();
        assert!(whole > 100);
        for cut in 0..=whole {
            let log = reopen(
                &disk.after_power_cut(Survives::LastWriteUpTo(cut)),
                &small(),
            )
            .unwrap();
            let prefix = check(&run, &read_back(&log).unwrap()).unwrap();
            assert!(
                prefix == 5 || cut == whole,
                "a cut commit was taken for whole at {cut} of {whole}"
            );
            assert!(prefix == 6 || cut < whole, "a whole commit was thrown away");
        }
    }
}

#[test]
fn what_a_torn_write_left_is_never_taken_for_a_commit_later() {
    for seed in 0..50 {
        let disk = FaultDisk::new(seed);
        let log = reopen(&disk, &small()).unwrap();
        let mut rng = Mutator::new(seed);
        let mut run = Run::new(Models::new());
        disk.die_after(10 + rng.below(20) as u64);
        run.until_death(&log, &disk, &mut rng, 0);
        drop(log);
        // Recovered once, nothing written, power cut again: the same state, on a disk without rubbish.
        let once = disk.after_power_cut(Survives::SomeSectors(seed));
        let first = read_back(&reopen(&once, &small()).unwrap()).unwrap();
        let twice = once.after_power_cut(Survives::Nothing);
        let second = read_back(&reopen(&twice, &small()).unwrap()).unwrap();
        assert_eq!(first, second, "seed {seed}");
        check(&run, &second).unwrap();
    }
}
