//! Full disks, failing syncs, rot, folders of others.

use std::sync::Arc;
use std::time::Duration;

use super::basics::{open, small};
use crate::api::{Append, Bound, Commit, Log, ReadError, SubmitError};
use crate::conformance::{batch, commit_of, partition, submit};
use crate::local::disk::fault::Survives;
use crate::local::disk::{Disk, DiskFile, DiskLock, FaultDisk};
use crate::local::{LocalConfig, LocalLog, OpenError};
use crate::wait;

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("never: {what}");
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers_by_itself() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    eventually("a chunk ahead", || {
        disk.content("wal-00000000000000000002.chunk").is_some()
    });
    disk.set_free_bytes(Some(1000));
    let commit = commit_of(&[(p, batch(50, 1))]);
    let mut acked = 0;
    let refusal = loop {
        match log.submit(commit.clone()) {
            Ok(submitted) => {
                wait(submitted.durable).unwrap();
                acked += 50;
            }
            Err(SubmitError::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(other) => break other,
        }
    };
    assert!(matches!(refusal, SubmitError::Full(_)), "{refusal}");
    assert!(acked > 1000 && log.metrics().full);
    assert_eq!(log.state(p).submitted_end, acked);
    assert!(
        !log.read(p, 0, 1 << 20, Bound::Durable)
            .unwrap()
            .batches
            .is_empty()
    );
    disk.set_free_bytes(None);
    eventually("room again", || log.submit(commit.clone()).is_ok());
    assert!(!log.metrics().full);
    drop(log);
    let log = open(&disk);
    assert_eq!(log.state(p).durable_end, acked + 50);
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    let commit = commit_of(&[(p, batch(5, 1))]);
    wait(submit(&log, &commit).durable).unwrap();
    disk.fail_sync();
    let failed = wait(submit(&log, &commit).durable).unwrap_err();
    assert!(failed.to_string().contains("restart the node"), "{failed}");
    assert!(matches!(log.submit(commit), Err(SubmitError::Failed(_))));
    assert_eq!(
        log.state(p).durable_end,
        5,
        "what is not synced is never shown as durable"
    );
    assert_eq!(
        log.read(p, 0, 1000, Bound::Durable).unwrap().batches.len(),
        1
    );
}

#[test]
fn a_failure_is_told_to_those_who_wait_for_it() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let commit = commit_of(&[(partition(1), batch(5, 1))]);
    wait(submit(&log, &commit).durable).unwrap();
    let failed = log.failed();
    assert!(log.failure().is_none());
    disk.fail_sync();
    wait(submit(&log, &commit).durable).unwrap_err();
    let failure = wait(Box::pin(async { Err(failed.await) })).unwrap_err();
    assert!(failure.reason.contains("input/output error"), "{failure}");
    assert!(log.failure().is_some());
    let told_later = log.failed();
    assert!(wait(Box::pin(async { Err(told_later.await) })).is_err());
}

/// A disk under which one thread of the log panics as soon as it makes a file.
struct PanicsIn(&'static str, FaultDisk);

impl Disk for PanicsIn {
    fn path(&self) -> &std::path::Path {
        self.1.path()
    }
    fn create(&self, name: &str, bytes: u64) -> std::io::Result<Arc<dyn DiskFile>> {
        assert_ne!(std::thread::current().name(), Some(self.0), "on purpose");
        self.1.create(name, bytes)
    }
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        self.1.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.1.rename(from, to)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.1.remove(name)
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.1.list()
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.1.sync_dir()
    }
    fn lock(&self, name: &str) -> std::io::Result<Result<Box<dyn DiskLock>, Option<u32>>> {
        self.1.lock(name)
    }
    fn entropy(&self) -> u64 {
        self.1.entropy()
    }
}

#[test]
fn a_panic_of_the_keeper_ends_the_log_and_is_told() {
    let disk = PanicsIn("log-keeper", FaultDisk::new(1));
    let log = LocalLog::open_on(Arc::new(disk), small()).unwrap();
    let told = log.failed();
    let failure = wait(Box::pin(async { Err(told.await) })).unwrap_err();
    assert!(failure.reason.contains("keeper thread"), "{failure}");
    let refused = log.submit(commit_of(&[(partition(1), batch(5, 1))]));
    assert!(
        matches!(&refused, Err(SubmitError::Failed(failure)) if failure.reason.contains("panicked")),
        "{:?}",
        refused.err()
    );
}

#[test]
fn what_a_failed_sync_left_in_memory_is_on_the_disk_before_it_counts() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    let commit = commit_of(&[(p, batch(5, 1))]);
    wait(submit(&log, &commit).durable).unwrap();
    disk.fail_sync();
    wait(submit(&log, &commit).durable).unwrap_err();
    drop(log);
    disk.mend_sync();
    let cut = disk.after_power_cut(Survives::Nothing);
    assert_eq!(open(&cut).state(p).durable_end, 5);
    // Only the process starts again: it finds the commit in the system's memory, and gives it to readers.
    let log = open(&disk);
    assert_eq!(log.state(p).durable_end, 10);
    wait(submit(&log, &commit_of(&[(partition(2), batch(1, 1))])).durable).unwrap();
    drop(log);
    let cut = disk.after_power_cut(Survives::Nothing);
    assert_eq!(open(&cut).state(p).durable_end, 10);
}

#[test]
fn a_write_without_room_is_tried_again_until_there_is_some() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    let p = partition(1);
    let commit = commit_of(&[(p, batch(5, 1))]);
    wait(submit(&log, &commit).durable).unwrap();
    disk.set_writes_full(true);
    let stuck = submit(&log, &commit).durable;
    eventually("full", || log.metrics().full);
    assert!(matches!(
        log.submit(commit.clone()),
        Err(SubmitError::Full(_))
    ));
    assert_eq!(log.state(p).durable_end, 5);
    disk.set_writes_full(false);
    wait(stuck).unwrap();
    eventually("room again", || log.submit(commit.clone()).is_ok());
    // The next chunk may have found no room, too; it is tried again by and by.
    eventually("a next chunk again", || !log.metrics().full);
    assert!(log.failure().is_none());
    drop(log);
    assert_eq!(open(&disk).state(p).durable_end, 15);
}

#[test]
fn a_log_closes_also_while_there_is_no_room() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    // More than the half of it that a disk without room takes.
    let commit = commit_of(&[(partition(1), batch(500, 1))]);
    disk.set_writes_full(true);
    let stuck = submit(&log, &commit).durable;
    eventually("full", || log.metrics().full);
    drop(log);
    wait(stuck).unwrap_err();
    disk.set_writes_full(false);
    assert_eq!(open(&disk).state(partition(1)).durable_end, 0);
}

#[test]
fn a_slow_disk_pushes_back_and_shares_syncs() {
    let disk = FaultDisk::new(1);
    let config = LocalConfig {
        queue_bytes_max: 20_000,
        ..small()
    };
    let log = LocalLog::open_on(Arc::new(disk.clone()), config).unwrap();
    disk.set_sync_takes(Duration::from_millis(30));
    let commit = commit_of(&[(partition(1), batch(20, 1))]);
    let mut pending = Vec::new();
    let busy = loop {
        match log.submit(commit.clone()) {
            Ok(submitted) => pending.push(submitted.durable),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(busy, SubmitError::Busy { queued_bytes } if queued_bytes <= 20_000),
        "{busy}"
    );
    let commits = pending.len() as u64;
    pending
        .into_iter()
        .for_each(|durable| wait(durable).unwrap());
    let metrics = log.metrics();
    assert_eq!((metrics.queued_bytes, metrics.commits), (0, commits));
    assert!(metrics.fsyncs < commits / 2, "{metrics:?}");
}

/// A log with sealed chunks; gives the number of batches.
fn filled(disk: &FaultDisk) -> i64 {
    let log = open(disk);
    for i in 0..400 {
        wait(submit(&log, &commit_of(&[(partition(1), batch(20, i))])).durable).unwrap();
    }
    eventually("sealed", || {
        disk.content("wal-00000000000000000002.chunk")
            .is_some_and(|c| c[c.len() - 64..].starts_with(b"HWSEALED"))
    });
    400
}

#[test]
fn rot_in_a_sealed_chunk_is_reported_by_the_read_that_finds_it() {
    let disk = FaultDisk::new(1);
    filled(&disk);
    disk.damage("wal-00000000000000000001.chunk", |bytes| {
        let record = bytes
            .windows(5)
            .position(|found| found == b"17-11")
            .unwrap();
        bytes[record] ^= 1;
    });
    let log = open(&disk);
    let before = log.read(partition(1), 0, 1 << 20, Bound::Durable).unwrap();
    assert_eq!(before.batches.len(), 17, "those in front of it");
    let rotten = log
        .read(partition(1), 340, 1 << 20, Bound::Durable)
        .err()
        .unwrap();
    assert!(
        rotten.to_string().contains("offset 340 at byte"),
        "{rotten}"
    );
    assert!(
        matches!(&rotten, ReadError::Corrupt(what) if what.contains("wal-00000000000000000001.chunk")),
        "{rotten}"
    );
    let last = log.state(partition(1)).durable_end - 1;
    assert_eq!(
        log.read(partition(1), last, 1000, Bound::Durable)
            .unwrap()
            .batches
            .len(),
        1
    );
}

#[test]
fn a_damaged_footer_is_made_again_from_the_frames() {
    let disk = FaultDisk::new(1);
    let batches = filled(&disk);
    disk.damage("wal-00000000000000000001.chunk", |bytes| {
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
    });
    let log = open(&disk);
    let mut seen = 0;
    log.scan(&mut |_, _| seen += 1).unwrap();
    assert_eq!(seen, batches);
}

#[test]
fn worse_than_a_torn_tail_is_refused_and_nothing_is_changed() {
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    for i in 0..10 {
        wait(submit(&log, &commit_of(&[(partition(1), batch(3, i))])).durable).unwrap();
    }
    drop(log);
    let name = "wal-00000000000000000001.chunk";
    disk.damage(name, |bytes| bytes[400] ^= 1);
    let before = disk.content(name);
    let refused = LocalLog::open_on(Arc::new(disk.clone()), small())
        .err()
        .unwrap();
    assert!(
        matches!(&refused, OpenError::Damaged { offset, .. } if *offset < 400),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("restore the folder from a copy"),
        "{refused}"
    );
    assert_eq!(disk.content(name), before);
}

#[test]
fn a_missing_file_is_noticed() {
    let disk = FaultDisk::new(1);
    filled(&disk);
    crate::local::disk::Disk::remove(&disk, "wal-00000000000000000001.chunk").unwrap();
    let refused = LocalLog::open_on(Arc::new(disk), small()).err().unwrap();
    assert!(refused.to_string().contains("missing"), "{refused}");
}

#[test]
fn a_newer_format_is_refused_with_a_clear_sentence() {
    let disk = FaultDisk::new(1);
    drop(open(&disk));
    disk.damage("FORMAT", |bytes| {
        *bytes = b"headwater log format 7\n".to_vec()
    });
    let refused = LocalLog::open_on(Arc::new(disk), small()).err().unwrap();
    assert!(
        matches!(
            refused,
            OpenError::NewerFormat {
                found: 7,
                known: 2,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start a newer headwater"),
        "{refused}"
    );
}

#[test]
fn a_folder_in_use_is_refused_with_the_process_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), small()).unwrap();
    let refused = LocalLog::open(folder.path(), small()).err().unwrap();
    let sentence = format!("is in use by process {}", std::process::id());
    assert!(refused.to_string().contains(&sentence), "{refused}");
    drop(log);
    // A process that another test is just starting may hold a copy of the lock for a moment.
    eventually("free again", || {
        LocalLog::open(folder.path(), small()).is_ok()
    });
}

/// The same with another process: this test runs itself a second time, as the one that finds the folder taken.
#[test]
fn a_folder_in_use_by_another_process_is_refused() {
    const FOLDER: &str = "HEADWATER_TEST_TAKEN_FOLDER";
    if let Ok(folder) = std::env::var(FOLDER) {
        let refused = LocalLog::open(folder.as_ref(), small()).err().unwrap();
        print!("refused: {refused}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _log = LocalLog::open(folder.path(), small()).unwrap();
    let test = "local::tests::faults::a_folder_in_use_by_another_process_is_refused";
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(
        said.contains(&format!("is in use by process {}", std::process::id())),
        "{said}"
    );
}

#[test]
fn bytes_of_a_client_cannot_pose_as_a_later_commit() {
    // A record that holds a copy of a whole frame, but of another chunk's salt.
    let disk = FaultDisk::new(1);
    let log = open(&disk);
    wait(submit(&log, &commit_of(&[(partition(1), batch(3, 1))])).durable).unwrap();
    drop(log);
    let stolen = disk.content("wal-00000000000000000001.chunk").unwrap()[64..600].to_vec();
    let other = FaultDisk::new(99);
    let log = open(&other);
    let mut builder = headwater_record::BatchBuilder::new(headwater_record::Codec::None);
    builder.push(1, None, Some(&stolen));
    let append = Append {
        partition: partition(1),
        batch: builder.build(),
    };
    wait(
        submit(
            &log,
            &Commit {
                appends: vec![append],
                ..Commit::default()
            },
        )
        .durable,
    )
    .unwrap();
    drop(log);
    other.damage("wal-00000000000000000001.chunk", |bytes| bytes[70] ^= 1);
    let log = open(&other);
    assert_eq!(
        log.state(partition(1)).durable_end,
        0,
        "a single damaged commit at the end counts as torn"
    );
}
