//! Crashes at any commit and in the middle of snapshots: nothing lost, nothing doubled, the same rows in the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use headwater_connect::{Step, StepLog};
use headwater_engine::testing::MemoryStepLog;
use headwater_record::{BatchBuilder, Codec};
use tempfile::TempDir;

use crate::harness::{Node, config, contents, eager, inputs, produce};
use crate::law::check_sinks;

/// The state folder as a crash leaves it.
fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_all(from, to.path());
    to
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // Snapshots before their parts: what a snapshot refers to stays until the snapshot has gone.
    let mut entries: Vec<_> = std::fs::read_dir(from)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    entries.sort_by_key(|entry| entry.path().is_dir());
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            // A file may be renamed while it is copied, as it may while a machine dies.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

async fn survive(seed: u64, steps_max: u64, lose_snapshots: bool) {
    survive_within(seed, steps_max, lose_snapshots, usize::MAX).await;
}

/// `memory`: bytes that the state may take.
async fn survive_within(seed: u64, steps_max: u64, lose_snapshots: bool, memory: usize) {
    let eager = |dir: &Path, rows_max, steps_max| {
        let mut config = eager(dir, rows_max, steps_max);
        config.node_state_bytes_max = memory;
        config.pipeline_state_bytes_max = memory;
        config
    };
    let all = inputs(240, seed);
    let log = MemoryStepLog::new();
    let dir = tempfile::tempdir().unwrap();
    let configured = eager(dir.path(), 5, steps_max);
    let mut node = Node::on(log, dir, configured, None).await;
    node.apply().await;
    for (round, piece) in all.chunks(40).enumerate() {
        produce(&node.log, piece).await;
        tokio::time::sleep(Duration::from_millis((seed + round as u64 * 7) % 11)).await;
        node.log.hold();
        tokio::time::sleep(Duration::from_millis((seed * 3 + round as u64) % 6)).await;
        let state = copied(node.dir.path());
        let log = node.log.crash(((seed + round as u64) % 4) as usize);
        node.log.release();
        node.engine.stop().await;
        let state = if lose_snapshots {
            tempfile::tempdir().unwrap()
        } else {
            state
        };
        let configured = eager(state.path(), 5, steps_max);
        node = Node::on(log, state, configured, None).await;
    }
    node.settle().await;
    node.check_law().await;
    check_sinks(&node).await;
    check_dead_letters(&node, &all).await;
    check_alerts(&node);
    node.engine.stop().await;
}

async fn check_dead_letters(node: &Node, all: &[crate::harness::Input]) {
    let broken = all
        .iter()
        .filter(|(_, _, _, value)| value.as_ref().is_some_and(|v| v.contains("no number")))
        .count();
    let rows = node
        .rows("SELECT topic, partition, \"offset\" FROM headwater_dead_letters")
        .await;
    let mut once = rows.clone();
    once.dedup();
    assert_eq!(
        (rows.len(), once.len()),
        (broken, broken),
        "each dead letter once"
    );
}

/// Of each key firing and resolved take turns; in the end, all windows closed, nothing fires.
fn check_alerts(node: &Node) {
    let mut firing: BTreeMap<String, bool> = BTreeMap::new();
    for (key, event) in contents(&node.log, "__headwater_alerts_busy") {
        let fires = event.unwrap()["state"] == "firing";
        let before = firing.insert(key.unwrap(), fires).unwrap_or(false);
        assert_ne!(before, fires, "an alert was told twice");
    }
    assert!(firing.values().all(|fires| !fires), "{firing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_snapshots_at_every_step() {
    for seed in 0..4 {
        survive(seed, 1, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_snapshots_now_and_then() {
    for seed in 10..14 {
        survive(seed, 9, false).await;
    }
}

/// Nothing fits in memory: every state is in parts on disk, and every view.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_state_on_disk() {
    for (seed, steps_max) in [(40, 1), (42, 9)] {
        survive_within(seed, steps_max, false, 48 * 1024).await;
    }
}

/// A part of the state that is rotten or gone is made again from the input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_rotten_parts() {
    for seed in 50..53 {
        let all = inputs(240, seed);
        let dir = tempfile::tempdir().unwrap();
        let within = |dir: &Path| {
            let mut config = eager(dir, 5, 7);
            config.node_state_bytes_max = 48 * 1024;
            config.pipeline_state_bytes_max = 48 * 1024;
            config
        };
        let configured = within(dir.path());
        let mut node = Node::on(MemoryStepLog::new(), dir, configured, None).await;
        node.apply().await;
        produce(&node.log, &all[..160]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        node.engine.stop().await;
        let parts: Vec<_> = std::fs::read_dir(node.dir.path().join("shop/parts"))
            .unwrap()
            .flatten()
            .collect();
        assert!(parts.len() > 10, "{} parts", parts.len());
        for (at, part) in parts.iter().enumerate().filter(|(at, _)| at % 5 == 0) {
            match at % 2 {
                0 => std::fs::write(part.path(), b"rotten").unwrap(),
                _ => std::fs::remove_file(part.path()).unwrap(),
            }
        }
        let configured = within(node.dir.path());
        node = Node::on(node.log, node.dir, configured, None).await;
        produce(&node.log, &all[160..]).await;
        node.settle().await;
        node.check_law().await;
        check_sinks(&node).await;
        node.engine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_snapshot() {
    for seed in 20..22 {
        survive(seed, u64::MAX, false).await;
    }
}

/// Step records have been trimmed after snapshots that are gone: the state is rebuilt from the input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_snapshots_lost() {
    survive(30, 4, true).await;
}

/// Told to stop while recorded steps are run again, a pipeline leaves its history as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_the_middle_of_its_replay() {
    let all = inputs(400, 40);
    let dir = tempfile::tempdir().unwrap();
    let configured = eager(dir.path(), 1, u64::MAX);
    let node = Node::on(MemoryStepLog::new(), dir, configured, None).await;
    node.apply().await;
    produce(&node.log, &all).await;
    node.settle().await;
    let mut log = node.log.crash(0);
    node.engine.stop().await;
    for pause_ms in [0, 2, 5, 10, 20] {
        let dir = tempfile::tempdir().unwrap();
        let configured = eager(dir.path(), 1, u64::MAX);
        let again = Node::on(log.clone(), dir, configured, None).await;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        again.engine.stop().await;
        log = again.log.crash(0);
    }
    let dir = tempfile::tempdir().unwrap();
    let configured = eager(dir.path(), 1, u64::MAX);
    let node = Node::on(log, dir, configured, None).await;
    node.settle().await;
    node.check_law().await;
    check_sinks(&node).await;
    check_dead_letters(&node, &all).await;
    check_alerts(&node);
    node.engine.stop().await;
}

/// A view that is larger than a step: its new sink gets it piece by piece, each row once, wherever a crash comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_seeding_a_sink() {
    const ROWS: usize = 12_000;
    let view = "CREATE SOURCE s (id BIGINT, body TEXT) WITH (topic = 's', format = 'json');
        CREATE MATERIALIZED VIEW v AS SELECT id, body FROM s;";
    let files = |more: &str| vec![("all.sql".to_owned(), format!("{view}{more}"))];
    let dir = tempfile::tempdir().unwrap();
    let configured = config(dir.path());
    let node = Node::on(MemoryStepLog::new(), dir, configured, None).await;
    node.engine.apply("shop", files(""), false).await.unwrap();
    let info = node.log.topic("s").unwrap();
    let body = "x".repeat(1_000);
    for piece in (0..ROWS).collect::<Vec<_>>().chunks(500) {
        let mut batch = BatchBuilder::new(Codec::None);
        for id in piece {
            let value = format!("{{\"id\": {id}, \"body\": \"{body}\"}}");
            batch.push(1, None, Some(value.as_bytes()));
        }
        let step = Step {
            appends: vec![(info.partition(0), batch.build())],
            trims: Vec::new(),
        };
        node.log.commit(step).unwrap().1.await.unwrap();
    }
    assert_eq!(node.rows("SELECT count(*) FROM v").await, ["[12000]"]);
    let before = node.log.commits();
    let sink = files("CREATE SINK out INTO topic FROM v WITH (topic = 'out');");
    node.engine.apply("shop", sink, false).await.unwrap();
    while contents(&node.log, "out").len() < ROWS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = node.log.commits();
    let mut halves = 0;
    for commits in before..=after {
        let log = node.log.prefix(commits);
        let sent = contents(&log, "out").len();
        halves += usize::from(0 < sent && sent < ROWS);
        let dir = tempfile::tempdir().unwrap();
        let configured = config(dir.path());
        let again = Node::on(log, dir, configured, None).await;
        if again.rows("SHOW SINKS").await.is_empty() {
            continue;
        }
        again.settle().await;
        let mut ids: Vec<i64> = contents(&again.log, "out")
            .into_iter()
            .map(|(_, value)| value.unwrap()["id"].as_i64().unwrap())
            .collect();
        ids.sort_unstable();
        let all: Vec<i64> = (0..).take(ROWS).collect();
        assert!(ids == all, "after {commits} commits {} rows", ids.len());
        again.engine.stop().await;
    }
    assert!(halves > 0, "it took one step only");
    node.engine.stop().await;
}

/// Retention may take what no replay needs, and no more: asked for, a snapshot is taken and input let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_is_kept_for_a_replay_and_let_go_when_cleaning_asks() {
    let all = inputs(300, 50);
    let dir = tempfile::tempdir().unwrap();
    let configured = eager(dir.path(), 50, u64::MAX);
    let node = Node::on(MemoryStepLog::new(), dir, configured, None).await;
    node.apply().await;
    produce(&node.log, &all[..100]).await;
    settled(&node).await;
    let retained = node.log.retained("shop");
    assert!(!retained.is_empty() && retained.iter().all(|(_, offset)| *offset == 0));
    // Two snapshots are kept, so that it takes two for the first input to go.
    for piece in all[100..].chunks(50) {
        node.log.want_release("shop");
        produce(&node.log, piece).await;
        settled(&node).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let trims = node.log.retained("shop");
    assert!(trims.iter().any(|(_, offset)| *offset > 0), "{trims:?}");
    let cleaning = Step {
        trims,
        ..Step::default()
    };
    node.log.commit(cleaning).unwrap().1.await.unwrap();
    let before = views(&node).await;
    let (log, state) = (node.log.crash(0), copied(node.dir.path()));
    node.engine.stop().await;
    let configured = eager(state.path(), 50, u64::MAX);
    let node = Node::on(log, state, configured, None).await;
    settled(&node).await;
    assert_eq!(views(&node).await, before);
    node.engine.stop().await;
}

/// Everything that came in is in the views, which stay open.
async fn settled(node: &Node) {
    node.rows("SELECT count(*) FROM big_orders").await;
}

async fn views(node: &Node) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for view in ["big_orders", "per_minute", "joined", "by_country"] {
        all.push(node.rows(&format!("SELECT * FROM {view}")).await);
    }
    all
}
