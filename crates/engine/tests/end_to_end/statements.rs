//! Statements as typed, folders applied again and changed.

use headwater_connect::{Step, StepLog};
use headwater_record::{BatchBuilder, Codec};
use serde_json::json;

use crate::harness::{Node, PIPELINE, contents, inputs, produce};

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

/// What keeps rows for ever is named when it is made and when it is explained; a time to live, a window or a table's keys end that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_that_keep_rows_for_ever_are_named() {
    let node = Node::new().await;
    for source in ["a", "b"] {
        node.sql(&format!(
            "CREATE SOURCE {source} (k BIGINT, v BIGINT, ts TIMESTAMPTZ, WATERMARK FOR ts AS ts) WITH (topic = '{source}', format = 'json')"
        ))
        .await;
    }
    node.sql("CREATE SOURCE timeless (k BIGINT) WITH (topic = 'c', format = 'json')")
        .await;
    node.sql("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT) WITH (topic = 't', format = 'json')")
        .await;
    let both = "SELECT a.k, a.v, b.v AS w FROM a JOIN b ON a.k = b.k";
    let grouped = "SELECT k, count(*) AS n FROM a GROUP BY k";
    let cases = [
        (both, "", Some("join-")),
        (both, "WITH (ttl = '1 hour')", None),
        (grouped, "", Some("aggregate-")),
        (grouped, "WITH (ttl = '1 hour')", None),
        ("SELECT a.k, t.v FROM a JOIN t ON a.k = t.k", "", None),
        ("SELECT v, count(*) AS n FROM t GROUP BY v", "", None),
        (
            "SELECT k, window_end, count(*) AS n FROM TUMBLE(a, ts, INTERVAL '1 minute') GROUP BY k, window_start, window_end",
            "",
            None,
        ),
    ];
    for (number, (query, options, named)) in cases.into_iter().enumerate() {
        let create = format!("CREATE MATERIALIZED VIEW v{number} {options} AS {query}");
        let told = node.engine.execute(&create, None).await.unwrap();
        let told = told[0].message.clone().unwrap();
        let plan = node.rows(&format!("EXPLAIN v{number}")).await.join("\n");
        for text in [told, plan] {
            let warning = text.split_once("warning: ").map(|(_, warning)| warning);
            assert_eq!(warning.is_some(), named.is_some(), "{query}: {text}");
            assert!(
                warning.is_none_or(|w| w.starts_with(named.unwrap())),
                "{text}"
            );
        }
    }
    let without = "CREATE MATERIALIZED VIEW w WITH (ttl = '1 hour') AS SELECT k FROM timeless";
    let why = refused(&node, without).await;
    assert!(
        why.contains("event time") && why.contains("WATERMARK"),
        "{why}"
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_folder_no_longer_has_is_named_and_goes_with_replace() {
    let node = Node::new().await;
    node.apply().await;
    produce(&node.log, &inputs(50, 15)).await;
    let without = |start: &str| {
        let kept: Vec<&str> = PIPELINE
            .lines()
            .filter(|line| !line.starts_with(start))
            .collect();
        vec![("all.sql".to_owned(), kept.join("\n"))]
    };
    let sink = without("CREATE SINK country_out");
    let apply = async |files: &Vec<(String, String)>, replace| {
        let applied = node.engine.apply("shop", files.clone(), replace).await;
        applied.map(|report| report.summary())
    };
    assert_eq!(
        apply(&sink, false).await.unwrap(),
        "11 unchanged, 1 no longer in the files (--replace drops them)"
    );
    assert_eq!(node.rows("SHOW SINKS").await.len(), 2);
    assert_eq!(apply(&sink, true).await.unwrap(), "1 dropped, 11 unchanged");
    assert_eq!(node.rows("SHOW SINKS").await.len(), 1);
    node.sql("CREATE MATERIALIZED VIEW other AS SELECT country FROM by_country WHERE n > 1")
        .await;
    let needed = without("CREATE MATERIALIZED VIEW by_country");
    let error = apply(&needed, true).await.unwrap_err();
    assert!(
        error.rendered.contains("no longer in the pipeline's files"),
        "{}",
        error.rendered
    );
    node.settle().await;
    node.check_law().await;
    node.engine.stop().await;
}

/// Only what a query reads is its business: not words that happen to be names, but names in whatever case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_depends_on_what_it_reads_and_on_nothing_else() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's', format = 'json')")
        .await;
    node.sql("CREATE VIEW large AS SELECT k, v FROM s WHERE v > 5")
        .await;
    node.sql("CREATE MATERIALIZED VIEW copy AS SELECT k AS total, v FROM Large")
        .await;
    node.sql("CREATE SINK out INTO topic FROM copy WITH (topic = 'out')")
        .await;
    let record = |v: i64| {
        let value = json!({"k": "a", "v": v}).to_string();
        ("s".to_owned(), 0, None, Some(value))
    };
    produce(&node.log, &[record(3), record(7), record(9)]).await;
    assert_eq!(node.rows("SELECT v FROM copy").await, ["[7]", "[9]"]);
    node.sql("CREATE MATERIALIZED VIEW total AS SELECT k FROM s")
        .await;
    node.sql("DROP MATERIALIZED VIEW total").await;
    produce(&node.log, &[record(8)]).await;
    let sent = || contents(&node.log, "out").len();
    while sent() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(sent(), 3, "nothing was sent again");
    node.sql("CREATE OR REPLACE VIEW large AS SELECT k, v FROM s WHERE v > 8")
        .await;
    assert_eq!(node.rows("SELECT v FROM copy").await, ["[9]"]);
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_cannot_be_are_refused_with_a_hint() {
    let node = Node::new().await;
    node.apply().await;
    node.sql("CREATE MATERIALIZED VIEW changing AS SELECT n FROM by_country")
        .await;
    for target in [
        "topic FROM changing",
        "postgres FROM changing WITH (url = 'postgres://x', table = 't')",
    ] {
        let told = refused(&node, &format!("CREATE SINK x INTO {target}")).await;
        assert!(
            told.contains("no key") && told.contains("GROUP BY"),
            "{told}"
        );
    }
    for topic in ["__headwater_catalog", "headwater-dead-letters"] {
        let sink = format!("CREATE SINK x INTO topic FROM big_orders WITH (topic = '{topic}')");
        let told = refused(&node, &sink).await;
        assert!(told.contains("of the database itself"), "{told}");
    }
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_shows_its_headers() {
    let node = Node::new().await;
    let info = node.log.ensure_topic("raw", 1).await.unwrap();
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push_with_headers(1, None, Some(b"v"), &[(b"trace", Some(b"7")), (b"x", None)]);
    batch.push(2, None, Some(b"w"));
    let step = Step {
        appends: vec![(info.partition(0), batch.build())],
        trims: Vec::new(),
    };
    node.log.commit(step).unwrap().1.await.unwrap();
    assert_eq!(
        node.sql("SELECT headers FROM raw ORDER BY \"offset\"")
            .await,
        [
            [json!(
                r#"[{"key":"trace","value":"7"},{"key":"x","value":null}]"#
            )],
            [json!(null)]
        ]
    );
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_fails_in_many_windows_and_views_is_one_dead_letter() {
    let node = Node::new().await;
    let text = "CREATE SOURCE s (v BIGINT, ts TIMESTAMPTZ, WATERMARK FOR ts AS ts) WITH (topic = 's', format = 'json');
        CREATE MATERIALIZED VIEW a AS SELECT window_start, window_end, sum(10 / v) AS n
            FROM HOP(s, ts, INTERVAL '1 second', INTERVAL '10 seconds') GROUP BY window_start, window_end;
        CREATE MATERIALIZED VIEW b AS SELECT 10 / v AS n FROM s;";
    let files = vec![("all.sql".to_owned(), text.to_owned())];
    node.engine.apply("shop", files, false).await.unwrap();
    let record = |v: i64| {
        let value = json!({"v": v, "ts": 1_700_000_000_000_i64}).to_string();
        ("s".to_owned(), 0, None, Some(value))
    };
    produce(&node.log, &[record(2), record(0), record(5)]).await;
    assert_eq!(node.rows("SELECT n FROM b").await, ["[2]", "[5]"]);
    assert_eq!(
        node.rows("SELECT \"offset\", value_text FROM headwater_dead_letters")
            .await,
        [format!("[1,{}]", json!(record(0).3.unwrap()))]
    );
    assert_eq!(node.engine.status().dead_letters, 1);
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changing_row_always_has_a_key_in_its_topic() {
    let node = Node::new().await;
    node.apply().await;
    node.sql("CREATE SINK t INTO topic FROM by_country WITH (topic = 't', key_format = 'text')")
        .await;
    produce(&node.log, &inputs(80, 16)).await;
    let nobody =
        json!({"id": 1, "customer": "nobody", "amount": 1, "qty": 1, "ts": 1_700_000_000_000_i64});
    let order = ("orders".to_owned(), 0, None, Some(nobody.to_string()));
    produce(&node.log, &[order]).await;
    let rows = node
        .rows("SELECT * FROM by_country WHERE country IS NULL")
        .await;
    assert_eq!(rows.len(), 1);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let keys = || -> Vec<Option<String>> {
        contents(&node.log, "t")
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    while !keys().contains(&Some("{\"country\":null}".to_owned())) {
        assert!(std::time::Instant::now() < deadline, "{:?}", keys());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(keys().iter().all(Option::is_some));
    assert!(keys().iter().flatten().any(|key| key.starts_with('L')));
    node.engine.stop().await;
}

fn one(k: &str, v: i64) -> crate::harness::Input {
    let value = json!({"k": k, "v": v}).to_string();
    ("s".to_owned(), 0, None, Some(value))
}

async fn state(node: &Node, pipeline: &str) -> &'static str {
    let status = node.engine.status();
    let found = status.pipelines.iter().find(|p| p.name == pipeline);
    found.unwrap().state.words().0
}

async fn until(node: &Node, pipeline: &str, wanted: &str) {
    while state(node, pipeline).await != wanted {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_pipeline_rests_over_a_restart_and_goes_on() {
    let mut node = Node::new().await;
    node.sql("CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's')")
        .await;
    node.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM s GROUP BY k")
        .await;
    produce(&node.log, &[one("a", 1)]).await;
    assert_eq!(node.rows("SELECT * FROM sums").await, [r#"["a",1]"#]);
    node.sql("PAUSE MATERIALIZED VIEW sums").await;
    until(&node, "sums", "paused").await;
    produce(&node.log, &[one("a", 2)]).await;
    let mut config = crate::harness::config(node.dir.path());
    node.engine.stop().await;
    config.query_wait = std::time::Duration::from_millis(50);
    node = Node::on(node.log.clone(), node.dir, config, None).await;
    until(&node, "sums", "paused").await;
    let answers = node
        .engine
        .execute("SELECT * FROM sums", None)
        .await
        .unwrap();
    assert_eq!(
        (answers[0].behind, answers[0].rows.len()),
        (1, 1),
        "its rows can be read, and say how old they are"
    );
    assert_eq!(answers[0].rows[0][1], json!(1));
    assert!(refused(&node, "PAUSE nothing").await.contains("1:7"));
    node.sql("RESUME PIPELINE sums").await;
    until(&node, "sums", "running").await;
    while node
        .engine
        .execute("SELECT * FROM sums", None)
        .await
        .unwrap()[0]
        .rows[0][1]
        != json!(3)
    {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_altered_in_place() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's')")
        .await;
    node.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM s GROUP BY k")
        .await;
    node.sql("CREATE SINK out INTO topic FROM sums WITH (topic = 'first')")
        .await;
    produce(&node.log, &[one("a", 1)]).await;
    assert_eq!(node.rows("SELECT * FROM sums").await, [r#"["a",1]"#]);
    node.sql("ALTER SINK out SET (topic = 'second')").await;
    produce(&node.log, &[one("a", 2)]).await;
    assert_eq!(node.rows("SELECT * FROM sums").await, [r#"["a",3]"#]);
    let text = node.sql("SHOW CREATE out").await[0][1].clone();
    assert_eq!(
        text,
        json!("CREATE SINK out INTO topic FROM sums WITH (topic = 'second')")
    );
    while contents(&node.log, "second").len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(
        contents(&node.log, "second")
            .iter()
            .any(|(_, v)| v.as_ref().unwrap()["total"] == json!(3))
    );
    let wrong = [
        ("ALTER SINK out SET (colour = 'red')", "1:21"),
        ("ALTER VIEW out SET (topic = 'x')", "is a sink"),
        ("ALTER SINK other SET (topic = 'x')", "1:12"),
        ("ALTER SINK out RESET (key)", "not set"),
    ];
    for (text, expect) in wrong {
        let told = refused(&node, text).await;
        assert!(told.contains(expect), "{text}: {told}");
    }
    node.sql("ALTER SINK IF EXISTS other SET (topic = 'x')")
        .await;
    node.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_sees_all_views_of_a_pipeline_at_one_step() {
    let node = Node::new().await;
    let text = "CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's');
        CREATE MATERIALIZED VIEW all_rows AS SELECT count(*) AS n FROM s;
        CREATE MATERIALIZED VIEW each AS SELECT k, count(*) AS n FROM s GROUP BY k;";
    node.engine
        .apply("pair", vec![("all.sql".into(), text.into())], false)
        .await
        .unwrap();
    let writer = {
        let log = node.log.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                produce(&log, &[one(&format!("k{}", number % 7), number)]).await;
            }
        })
    };
    let query = "SELECT (SELECT n FROM all_rows) - coalesce((SELECT sum(n) FROM each), 0) AS apart";
    while !writer.is_finished() {
        let answers = node.engine.execute(query, None).await.unwrap();
        assert_eq!(answers[0].rows[0][0].to_string(), "0");
    }
    writer.await.unwrap();
    assert_eq!(node.rows("SELECT n FROM all_rows").await, ["[300]"]);
    node.engine.stop().await;
}

/// Conditions on the first columns of a key are told as what they are: reads of the rows that they name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_how_a_select_reads_views() {
    let node = Node::new().await;
    node.sql("CREATE TABLE prices (shop TEXT, item BIGINT, price INT, PRIMARY KEY (shop, item)) WITH (topic = 'prices')")
        .await;
    for (condition, says) in [
        (
            "WHERE shop = 'a' AND item IN (1, 2)",
            "SELECT reads prices by its key: 2 points of shop, item",
        ),
        (
            "WHERE shop = 'a'",
            "SELECT reads prices by its key: 1 range of shop",
        ),
        (
            "WHERE shop = 'a' AND item > 5",
            "SELECT reads prices by its key: 1 range of shop, item",
        ),
        (
            "WHERE shop BETWEEN 'a' AND 'c' AND price > 3",
            "SELECT reads prices by its key: 1 range of shop",
        ),
        (
            "WHERE item = 5",
            "SELECT reads all rows of prices: no condition on the first column of its key (shop, item)",
        ),
    ] {
        let plan = node
            .rows(&format!("EXPLAIN SELECT price FROM prices {condition}"))
            .await;
        assert!(
            plan.iter().any(|line| line.contains(says)),
            "{condition}: {plan:?}"
        );
    }
    let joined = "EXPLAIN SELECT count(*) FROM prices p JOIN prices q ON p.item = q.item WHERE p.shop = 'a' AND q.shop = 'b'";
    let by_key = node.rows(joined).await;
    assert_eq!(
        by_key
            .iter()
            .filter(|line| line.contains("by its key: 1 range of shop"))
            .count(),
        2,
        "{by_key:?}"
    );
}
