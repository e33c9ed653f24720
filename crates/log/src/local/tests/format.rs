//! Folders of format 1, and that footers and frames tell the same.

use std::sync::Arc;

use headwater_record::fuzz::Mutator;

use super::basics::{open, small};
use super::crash::{Models, random_commit, random_rewrite};
use crate::api::{Bound, Commit, Log, Rewrite, SubmitError};
use crate::conformance::{batch, commit_of, partition, submit};
use crate::local::LocalLog;
use crate::local::disk::fault::Survives;
use crate::local::disk::{Disk, FaultDisk};
use crate::wait;

/// Everything that a log tells about what it holds.
fn told(log: &LocalLog) -> Vec<String> {
    let mut told = Vec::new();
    log.scan(&mut |id, meta| told.push(format!("{id} {meta:?}")))
        .unwrap();
    for id in (0..9).map(partition) {
        let state = log.state(id);
        // Below a start within a slice they are estimated.
        let bytes = if state.start == 0 { state.bytes } else { 0 };
        let extent = (state.start, state.durable_end, bytes);
        let times = (
            log.max_timestamp(id).unwrap(),
            log.find_time(id, 20).unwrap(),
        );
        told.push(format!("{id} {extent:?} {times:?}"));
    }
    told
}

fn chunk_names(disk: &FaultDisk) -> Vec<String> {
    let names = disk.list().unwrap().into_iter();
    names.filter(|name| name.ends_with(".chunk")).collect()
}

/// Writes the marks of format 1 over those of this one: but for rewrites, which it did not have, the layouts are the same.
fn as_format_1(disk: &FaultDisk) {
    disk.damage("FORMAT", |bytes| {
        *bytes = b"headwater log format 1\n".to_vec()
    });
    for name in chunk_names(disk) {
        disk.damage(&name, |bytes| {
            bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
            let crc = headwater_base::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        });
    }
}

#[test]
fn a_folder_of_format_1_is_opened_upgraded_and_rewritten() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    for i in 0..400 {
        wait(submit(&log, &commit_of(&[(p, batch(20, i))])).durable).unwrap();
    }
    let before = told(&log);
    drop(log);
    as_format_1(&disk);
    let log = open(&disk);
    assert_eq!(told(&log), before);
    assert_eq!(disk.content("FORMAT").unwrap(), b"headwater log format 2\n");
    let rewrite = Rewrite {
        partition: p,
        from: 20,
        to: 4000,
        generation: log.state(p).generation,
        batches: Vec::new(),
    };
    let commit = Commit {
        rewrites: vec![rewrite],
        ..Commit::default()
    };
    wait(submit(&log, &commit).durable).unwrap();
    let after = told(&log);
    drop(log);
    // The marker was durable before the first rewrite was.
    let disk = disk.after_power_cut(Survives::Nothing);
    assert_eq!(disk.content("FORMAT").unwrap(), b"headwater log format 2\n");
    let log = open(&disk);
    assert_eq!(told(&log), after);
    let out = log.read(p, 25, 1, Bound::Durable).unwrap();
    assert_eq!(
        headwater_record::validate(&out.batches[0])
            .unwrap()
            .base_offset,
        4000
    );
}

#[test]
fn what_is_refused_is_not_upgraded() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    for i in 0..10 {
        wait(submit(&log, &commit_of(&[(partition(1), batch(3, i))])).durable).unwrap();
    }
    drop(log);
    as_format_1(&disk);
    disk.damage("wal-00000000000000000001.chunk", |bytes| bytes[400] ^= 1);
    assert!(LocalLog::open_on(Arc::new(disk.clone()), small()).is_err());
    assert_eq!(disk.content("FORMAT").unwrap(), b"headwater log format 1\n");
}

/// Random commits, some of which rewrite, over several chunks.
fn busy(seed: u64) -> (FaultDisk, LocalLog) {
    let disk = FaultDisk::new(seed);
    let log = open(&disk);
    let mut rng = Mutator::new(seed);
    let mut models = Models::new();
    for number in 0..[150, 50][seed as usize % 2] {
        let rewrite = random_rewrite(&mut rng, number, &mut models, &log);
        let mut commit = random_commit(&mut rng, number, &mut models);
        commit.rewrites.extend(rewrite);
        loop {
            match log.submit(commit.clone()) {
                Ok(submitted) => break wait(submitted.durable).unwrap(),
                Err(SubmitError::Busy { .. } | SubmitError::Stale { .. }) => {
                    // The keeper moves something: the batches are the same.
                    for rewrite in &mut commit.rewrites {
                        rewrite.generation = log.state(rewrite.partition).generation;
                    }
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    (disk, log)
}

fn same(found: &[String], wanted: &[String], seed: u64, how: &str) {
    let different = found
        .iter()
        .zip(wanted)
        .find(|(found, wanted)| found != wanted);
    assert_eq!(different, None, "seed {seed}, {how}");
    assert_eq!(found.len(), wanted.len(), "seed {seed}, {how}");
}

#[test]
fn footers_and_frames_and_memory_tell_the_same() {
    let mut compared = 0;
    for seed in 0..30 {
        let (disk, log) = busy(seed);
        let in_memory = told(&log);
        drop(log);
        let from_footers = open(&disk);
        same(&told(&from_footers), &in_memory, seed, "by footers");
        drop(from_footers);
        let names = chunk_names(&disk);
        let whole = names
            .iter()
            .zip(1..)
            .all(|(name, number)| name == &crate::local::chunk::file_name(number));
        if !whole {
            // Without the first chunk frames cannot be replayed: a dead one has been removed.
            continue;
        }
        for name in names {
            disk.damage(&name, |bytes| {
                let trailer = bytes.len() - 64;
                bytes[trailer] ^= 1;
            });
        }
        same(&told(&open(&disk)), &in_memory, seed, "by frames");
        compared += 1;
    }
    assert!(compared > 3, "only {compared} logs kept their first chunk");
}
