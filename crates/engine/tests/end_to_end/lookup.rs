//! `FOR SYSTEM_TIME AS OF now()`: a row is joined with what is there when it comes, once and for all, over crashes and replays.

use headwater_engine::testing::MemoryStepLog;
use serde_json::json;

use crate::harness::{Node, config, eager, produce};

const STATEMENTS: &str = "
CREATE SOURCE visits (id BIGINT, customer TEXT) WITH (topic = 'visits');
CREATE TABLE levels (customer TEXT PRIMARY KEY, level TEXT) WITH (topic = 'levels');
CREATE MATERIALIZED VIEW looked_up AS
  SELECT v.id, l.level FROM visits v LEFT JOIN levels FOR SYSTEM_TIME AS OF now() AS l ON v.customer = l.customer;
";
const ROWS: &str = "SELECT * FROM looked_up";

async fn visit(node: &Node, id: i32) -> Vec<String> {
    let value = json!({"id": id, "customer": "ann"}).to_string();
    produce(
        &node.log,
        &[("visits".to_owned(), id % 2, None, Some(value))],
    )
    .await;
    node.rows(ROWS).await
}

async fn level(node: &Node, level: Option<&str>) -> Vec<String> {
    let value = level.map(|level| json!({ "level": level }).to_string());
    let key = Some("ann".to_owned());
    produce(&node.log, &[("levels".to_owned(), 0, key, value)]).await;
    node.rows(ROWS).await
}

/// The node after a crash, with its state folder or without.
async fn crashed(node: Node, keep_state: bool) -> Node {
    let log = node.log.crash(0);
    node.engine.stop().await;
    let dir = match keep_state {
        true => node.dir,
        false => tempfile::tempdir().unwrap(),
    };
    let configured = config(dir.path());
    Node::on(log, dir, configured, None).await
}

/// `steps_max`: a snapshot each so many steps; without any the whole state comes from the replay of steps.
async fn survive(steps_max: u64, keep_state: bool) {
    let dir = tempfile::tempdir().unwrap();
    let configured = eager(dir.path(), 5, steps_max);
    let node = Node::on(MemoryStepLog::new(), dir, configured, None).await;
    node.engine.execute(STATEMENTS, None).await.unwrap();
    assert_eq!(visit(&node, 0).await, ["[0,null]"]);
    level(&node, Some("silver")).await;
    visit(&node, 1).await;
    level(&node, Some("gold")).await;
    visit(&node, 2).await;
    level(&node, None).await;
    visit(&node, 3).await;
    let told = ["[0,null]", "[1,\"silver\"]", "[2,\"gold\"]", "[3,null]"];
    let later = level(&node, Some("iron")).await;
    assert_eq!(later, told, "later changes change nothing");
    let node = crashed(node, keep_state).await;
    assert_eq!(node.rows(ROWS).await, told, "after a crash");
    assert_eq!(visit(&node, 4).await[4], "[4,\"iron\"]");
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_keeps_what_it_was_joined_with() {
    survive(2, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_joins_each_row_with_the_same() {
    survive(1_000, true).await;
    survive(1_000, false).await;
}
