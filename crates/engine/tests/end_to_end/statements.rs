//! Statements as typed, folders applied again and changed.

use serde_json::json;

use crate::harness::{Node, PIPELINE, inputs, produce};

async fn refused(node: &Node, sql: &str) -> String {
    node.engine.execute(sql, None).await.unwrap_err().rendered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_one_by_one_and_read_across_pipelines() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's', format = 'json')")
        .await;
    node.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM s GROUP BY k")
        .await;
    node.sql("CREATE MATERIALIZED VIEW large AS SELECT k FROM sums WHERE total > 5")
        .await;
    let record = |k: &str, v: i64| {
        (
            "s".to_owned(),
            0,
            None,
            Some(json!({"k": k, "v": v}).to_string()),
        )
    };
    produce(&node.log, &[record("a", 3), record("b", 2), record("a", 4)]).await;
    assert_eq!(
        node.rows("SELECT * FROM sums").await,
        [r#"["a",7]"#, r#"["b",2]"#]
    );
    assert_eq!(node.rows("SELECT * FROM large").await, [r#"["a"]"#]);
    assert_eq!(
        node.rows("SELECT k, v FROM s WHERE v = 2").await,
        [r#"["b",2]"#]
    );
    assert!(
        refused(&node, "DROP MATERIALIZED VIEW sums")
            .await
            .contains("large")
    );
    assert!(
        refused(&node, "SELECT nothing FROM sums")
            .await
            .contains("nothing")
    );
    node.sql("DROP MATERIALIZED VIEW sums CASCADE").await;
    assert_eq!(node.rows("SHOW VIEWS").await, Vec::<String>::new());
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_applied_again_is_harmless_and_a_change_needs_a_word() {
    let node = Node::new().await;
    node.apply().await;
    produce(&node.log, &inputs(100, 8)).await;
    let files = |text: &str| vec![("all.sql".to_owned(), text.to_owned())];
    let again = node
        .engine
        .apply("shop", files(PIPELINE), false)
        .await
        .unwrap();
    assert_eq!(again.summary(), "12 unchanged");
    let changed = PIPELINE.replace("WHERE big;", "WHERE big AND amount > 70;");
    let error = node
        .engine
        .apply("shop", files(&changed), false)
        .await
        .unwrap_err();
    assert!(error.rendered.contains("big_orders"), "{}", error.rendered);
    let replaced = node
        .engine
        .apply("shop", files(&changed), true)
        .await
        .unwrap();
    assert_eq!(replaced.summary(), "1 replaced, 11 unchanged");
    node.settle().await;
    let live = node.rows("SELECT * FROM big_orders").await;
    assert_eq!(
        live,
        node.rows("SELECT id, customer, amount FROM orders WHERE big AND amount > 70")
            .await
    );
    assert_eq!(
        node.rows("SELECT * FROM joined").await.len(),
        node.rows("SELECT id FROM orders").await.len()
    );
    let broken = "CREATE SOURCE fresh (a TEXT) WITH (topic = 'f', format = 'json'); CREATE MATERIALIZED VIEW x AS SELECT nope FROM fresh;";
    assert!(
        node.engine
            .apply("other", files(broken), false)
            .await
            .is_err()
    );
    assert!(
        refused(&node, "DESCRIBE fresh").await.contains("fresh"),
        "all or nothing"
    );
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_created_is_there_after_a_restart() {
    let mut node = Node::new().await;
    node.apply().await;
    let all = inputs(120, 9);
    produce(&node.log, &all[..60]).await;
    let before = node.rows("SELECT * FROM joined").await;
    node.engine.stop().await;
    let config = crate::harness::config(node.dir.path());
    node = Node::on(node.log.clone(), node.dir, config, None).await;
    assert_eq!(node.rows("SELECT * FROM joined").await, before);
    produce(&node.log, &all[60..]).await;
    node.settle().await;
    node.check_law().await;
    node.engine.stop().await;
}
