//! After all input is in, views hold what the same SQL gives over the same rows.

use std::time::Duration;

use headwater_connect::{Step, StepLog};
use headwater_record::{BatchBuilder, Codec};
use serde_json::json;

use crate::harness::{Node, contents, eager, inputs, produce};
use headwater_engine::testing::MemoryStepLog;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_in_a_view() {
    let node = Node::new().await;
    node.apply().await;
    let order =
        json!({"id": 7, "customer": "a", "amount": 60, "qty": 1, "ts": "2024-01-01T00:00:00Z"})
            .to_string();
    produce(&node.log, &[("orders".into(), 0, None, Some(order))]).await;
    assert_eq!(
        node.sql("SELECT id, customer FROM big_orders").await,
        [[json!(7), json!("a")]]
    );
    assert_eq!(
        node.sql("SELECT country FROM joined").await,
        [[json!(null)]]
    );
    produce(
        &node.log,
        &[(
            "customers".into(),
            0,
            Some("a".into()),
            Some(json!({"country": "DE"}).to_string()),
        )],
    )
    .await;
    assert_eq!(
        node.sql("SELECT country FROM joined").await,
        [[json!("DE")]]
    );
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_equals_its_batch_answer_whatever_the_steps() {
    for (seed, rows_max) in [(1, 1), (2, 7), (3, 65_536)] {
        let log = MemoryStepLog::new();
        let dir = tempfile::tempdir().unwrap();
        let config = eager(dir.path(), rows_max, 1_000_000);
        let all = inputs(400, seed);
        let (before, after) = all.split_at(150);
        // A part is there before the pipeline, the rest comes while it runs.
        produce(&log, before).await;
        let node = Node::on(log, dir, config, None).await;
        node.apply().await;
        produce(&node.log, after).await;
        node.settle().await;
        node.check_law().await;
        let broken = all
            .iter()
            .filter(|(_, _, _, value)| value.as_ref().is_some_and(|v| v.contains("no number")))
            .count();
        assert_eq!(
            node.sql("SELECT * FROM headwater_dead_letters").await.len(),
            broken
        );
        assert_eq!(node.engine.dead_letters(1_000).await.len(), broken);
        check_sinks(&node).await;
        node.engine.stop().await;
    }
}

/// An append-only sink has each row once; a keyed one adds up to its view.
pub async fn check_sinks(node: &Node) {
    let mut sent: Vec<String> = contents(&node.log, "big-out")
        .into_iter()
        .map(|(_, value)| value.unwrap().to_string())
        .collect();
    sent.sort();
    let rows = node.sql("SELECT * FROM big_orders").await;
    let row = |row: Vec<serde_json::Value>| {
        json!({"id": row[0], "customer": row[1], "amount": row[2]}).to_string()
    };
    let mut held: Vec<String> = rows.into_iter().map(row).collect();
    held.sort();
    assert_eq!(sent, held, "append-only sink");
    let mut state = std::collections::BTreeMap::new();
    for (key, value) in contents(&node.log, "country-out") {
        match value {
            Some(value) => state.insert(key.unwrap(), value.to_string()),
            None => state.remove(&key.unwrap()),
        };
    }
    let mut sent: Vec<String> = state.into_values().collect();
    sent.sort();
    let rows = node.sql("SELECT * FROM by_country").await;
    let row = |row: Vec<serde_json::Value>| {
        json!({"country": row[0], "n": row[1], "total": row[2]}).to_string()
    };
    let mut held: Vec<String> = rows.into_iter().map(row).collect();
    held.sort();
    assert_eq!(sent, held, "keyed sink");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_stops_one_pipeline_and_a_full_disk_pauses() {
    let node = Node::new().await;
    node.apply().await;
    node.log.refuse(Some("the disk is full"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.log.refuse(None);
    produce(&node.log, &inputs(20, 4)).await;
    node.settle().await;
    node.check_law().await;
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_its_memory_a_pipeline_goes_on_with_its_state_on_disk() {
    let node = Node::new().await;
    node.apply().await;
    node.engine.set_memory_limits(usize::MAX, 1);
    let all = inputs(70, 5);
    produce(&node.log, &all[..50]).await;
    let spilled = || {
        let status = node.engine.status();
        let operators = status
            .pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.operators);
        operators
            .map(|operator| operator.spilled_bytes)
            .sum::<u64>()
    };
    while spilled() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(node.engine.status().pipelines[0].state.words().0, "running");
    produce(&node.log, &all[50..]).await;
    node.settle().await;
    node.check_law().await;
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_are_counted_and_listed() {
    let node = Node::new().await;
    node.apply().await;
    produce(&node.log, &inputs(30, 7)).await;
    node.settle().await;
    let before = node.rows("SELECT * FROM closed").await;
    let late =
        json!({"id": 1, "customer": "c0", "amount": 1, "qty": 1, "ts": "2023-11-14T22:13:30Z"})
            .to_string();
    produce(&node.log, &[("orders".into(), 0, None, Some(late))]).await;
    assert_eq!(
        node.rows("SELECT view, topic FROM headwater_late_rows")
            .await,
        [r#"["closed","orders"]"#]
    );
    assert_eq!(node.rows("SELECT * FROM closed").await, before);
    assert_eq!(node.engine.status().late_rows, 1);
    node.engine.stop().await;
}

/// What its view held comes first, what has arrived meanwhile afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sink_begins_with_what_its_view_holds() {
    let all = inputs(300, 12);
    let log = MemoryStepLog::new();
    let dir = tempfile::tempdir().unwrap();
    let config = eager(dir.path(), 3, 1_000_000);
    let node = Node::on(log, dir, config, None).await;
    let late = "
        CREATE SINK big_out INTO topic FROM big_orders WITH (topic = 'big-out');
        CREATE SINK country_out INTO topic FROM by_country WITH (topic = 'country-out');";
    let early = crate::harness::PIPELINE
        .lines()
        .filter(|line| !line.starts_with("CREATE SINK"))
        .collect::<Vec<_>>()
        .join("\n");
    let apply = async |text: &str| {
        let files = vec![("all.sql".to_owned(), text.to_owned())];
        node.engine.apply("shop", files, false).await.unwrap();
    };
    apply(&early).await;
    produce(&node.log, &all[..200]).await;
    node.rows("SELECT * FROM by_country").await;
    let whole = format!("{early}{late}");
    let ((), ()) = tokio::join!(produce(&node.log, &all[200..]), apply(&whole));
    node.settle().await;
    check_sinks(&node).await;
    node.check_law().await;
    node.engine.stop().await;
}

/// In one partition the record that comes later counts, also when its producer's clock went back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_follows_offsets_not_clocks() {
    let node = Node::new().await;
    node.sql("CREATE TABLE t (k TEXT PRIMARY KEY, v INT) WITH (topic = 't', format = 'json')")
        .await;
    let info = node.log.ensure_topic("t", 1).await.unwrap();
    for (timestamp, v) in [(2_000, 1), (1_000, 2)] {
        let mut batch = BatchBuilder::new(Codec::None);
        let value = json!({"v": v}).to_string();
        batch.push(timestamp, Some(b"a"), Some(value.as_bytes()));
        let step = Step {
            appends: vec![(info.partition(0), batch.build())],
            trims: Vec::new(),
        };
        node.log.commit(step).unwrap().1.await.unwrap();
    }
    assert_eq!(node.sql("SELECT v FROM t").await, [[json!(2)]]);
    node.engine.stop().await;
}
