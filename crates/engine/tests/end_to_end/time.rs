//! What happens by the clock alone: rows that leave `now() - INTERVAL`, windows of arrival times that close.

use serde_json::json;

use crate::harness::{Node, produce};

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_and_go_without_input() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (id BIGINT, ts TIMESTAMPTZ) WITH (topic = 's')")
        .await;
    node.sql("CREATE MATERIALIZED VIEW recent AS SELECT count(*) AS n FROM s WHERE ts > now() - INTERVAL '2 seconds' AND ts <= now()").await;
    node.sql("CREATE MATERIALIZED VIEW later AS SELECT id FROM s WHERE now() >= ts + INTERVAL '1 second'").await;
    let at = |id: i64, ms: i64| {
        (
            "s".to_owned(),
            0,
            None,
            Some(json!({"id": id, "ts": ms}).to_string()),
        )
    };
    let now = now_ms();
    produce(
        &node.log,
        &[
            at(1, now - 60_000),
            at(2, now),
            at(3, now + 1_000),
            at(4, now + 3_600_000),
        ],
    )
    .await;
    node.eventually("SELECT n FROM recent", &["[2]"]).await;
    node.eventually("SELECT n FROM recent", &["[0]"]).await;
    assert_eq!(
        node.rows("SELECT id FROM later").await,
        ["[1]", "[2]", "[3]"]
    );
    let late = now_ms() - now;
    assert!((2_900..20_000).contains(&late), "{late} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_arrival_close_by_the_clock() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (id BIGINT, at TIMESTAMPTZ AS now()) WITH (topic = 's')")
        .await;
    node.sql(
        "CREATE MATERIALIZED VIEW closed AS SELECT window_start, window_end, count(*) AS n FROM TUMBLE(s, at, INTERVAL '1 second')
         GROUP BY window_start, window_end EMIT ON WINDOW CLOSE",
    )
    .await;
    let record = |id: i64| ("s".to_owned(), 0, None, Some(json!({"id": id}).to_string()));
    produce(&node.log, &[record(1), record(2), record(3)]).await;
    node.eventually("SELECT sum(n) AS n FROM closed", &["[3]"])
        .await;
}
