//! What records may look like: formats, keys, metadata, defaults, and columns that are found out.

use headwater_connect::{Step, StepLog};
use headwater_record::{BatchBuilder, Codec};

use crate::harness::{Node, produce};

fn record(
    topic: &str,
    key: Option<&str>,
    value: &str,
) -> (String, i32, Option<String>, Option<String>) {
    (
        topic.to_owned(),
        0,
        key.map(str::to_owned),
        Some(value.to_owned()),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_with_a_key_metadata_and_defaults() {
    let node = Node::new().await;
    node.sql(
        "CREATE SOURCE readings (sensor TEXT KEY, celsius DOUBLE NOT NULL, unit TEXT DEFAULT 'C', nr BIGINT METADATA FROM 'offset',
           sent TIMESTAMPTZ METADATA FROM 'timestamp', part INT METADATA FROM 'partition', topic TEXT METADATA,
           trace TEXT METADATA FROM 'headers.trace', raw BYTEA METADATA FROM 'key', twice DOUBLE AS celsius * 2,
           WATERMARK FOR sent AS sent - INTERVAL '1 second')
         WITH (topic = 'readings', format = 'csv', csv.delimiter = ';', csv.header = 'true')",
    )
    .await;
    node.sql("CREATE MATERIALIZED VIEW v AS SELECT sensor, celsius, unit, nr, sent, part, topic, trace, twice FROM readings")
        .await;
    let lines = [
        record("readings", Some("h"), "celsius;unit"),
        record("readings", Some("a"), "20.5;F"),
        record("readings", Some("b"), "21;"),
        record("readings", Some("c"), "warm;C"),
        record("readings", Some("d"), ";C"),
        record("readings", None, "1;C"),
        record("readings", Some("e"), "1;C;3"),
    ];
    produce(&node.log, &lines).await;
    let info = node.log.ensure_topic("readings", 2).await.unwrap();
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push_with_headers(
        2_000,
        Some(b"x"),
        Some(b"\"2\";K"),
        &[(&b"trace"[..], Some(&b"t1"[..]))],
    );
    let step = Step {
        appends: vec![(info.partition(1), batch.build())],
        trims: Vec::new(),
    };
    let (_, durable) = node.log.commit(step).unwrap();
    durable.await.unwrap();
    let expected = [
        r#"["a",20.5,"F",1,"1970-01-01T00:00:01Z",0,"readings",null,41.0]"#,
        r#"["b",21.0,"C",2,"1970-01-01T00:00:01Z",0,"readings",null,42.0]"#,
        r#"["x",2.0,"K",0,"1970-01-01T00:00:02Z",1,"readings","t1",4.0]"#,
    ];
    assert_eq!(node.rows("SELECT * FROM v").await, expected);
    let columns = "sensor, celsius, unit, nr, sent, part, topic, trace, twice";
    assert_eq!(
        node.rows(&format!("SELECT {columns} FROM readings")).await,
        expected
    );
    let dead = node.rows("SELECT error FROM headwater_dead_letters").await;
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    assert_eq!(dead.len(), 4, "{dead:?}");
    assert!(dead.iter().any(|e| e.contains("no key")), "{dead:?}");
    assert!(
        dead.iter()
            .any(|e| e.contains("expected 2 fields, found 3")),
        "{dead:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_columns_and_raw_values() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE events (id BIGINT, body JSON, who TEXT AS body ->> 'who') WITH (topic = 'events')").await;
    node.sql("CREATE SOURCE lines (line TEXT) WITH (topic = 'events', format = 'raw')")
        .await;
    produce(
        &node.log,
        &[
            record(
                "events",
                None,
                r#"{"id": 1, "body": {"who": "a", "n": [1, 2]}}"#,
            ),
            record("events", None, r#"{"id": 2, "body": "text"}"#),
            record("events", None, r#"{"id": 3, "body": null}"#),
        ],
    )
    .await;
    let rows = node
        .rows("SELECT id, body, who, body #>> '{n,1}' AS n FROM events WHERE id < 3")
        .await;
    assert_eq!(
        rows,
        [
            r#"[1,"{\"who\": \"a\", \"n\": [1, 2]}","a","2"]"#,
            r#"[2,"\"text\"",null,null]"#
        ]
    );
    let lines = node.rows("SELECT length(line) AS n FROM lines").await;
    assert_eq!(lines.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_finds_out_its_columns() {
    let node = Node::new().await;
    let refused = node
        .engine
        .execute("CREATE SOURCE clicks WITH (topic = 'clicks')", None)
        .await;
    let refused = refused.unwrap_err().rendered;
    assert!(
        refused.contains("1:15") && refused.contains("topic \"clicks\""),
        "{refused}"
    );
    produce(
        &node.log,
        &[
            record(
                "clicks",
                Some(r#"{"id": 1}"#),
                r#"{"id": 1, "Page": "/", "at": "2024-05-06T10:00:00Z", "pos": {"x": 1}}"#,
            ),
            record(
                "clicks",
                Some(r#"{"id": 2}"#),
                r#"{"id": 2, "ms": 1.5, "at": "2024-05-06T10:00:01Z", "pos": {"x": 1, "y": 2}}"#,
            ),
        ],
    )
    .await;
    node.sql("CREATE SOURCE clicks WITH (topic = 'clicks')")
        .await;
    let shown = node.sql("SHOW CREATE clicks").await[0][1]
        .as_str()
        .unwrap()
        .to_owned();
    for column in [
        "id BIGINT",
        "\"Page\" TEXT",
        "at TIMESTAMPTZ",
        "pos STRUCT<x BIGINT, y BIGINT>",
        "ms DOUBLE",
    ] {
        assert!(shown.contains(column), "{column} in {shown}");
    }
    assert_eq!(
        node.rows("SELECT id, clicks.pos.y FROM clicks").await,
        ["[1,null]", "[2,2]"]
    );
    node.sql("CREATE TABLE latest WITH (topic = 'clicks')")
        .await;
    let table = node.sql("SHOW CREATE latest").await[0][1]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(table.contains("PRIMARY KEY (id)"), "{table}");
    // The same file again changes nothing, whatever has come since.
    produce(
        &node.log,
        &[record("clicks", None, r#"{"id": "now a text"}"#)],
    )
    .await;
    node.sql("CREATE SOURCE IF NOT EXISTS clicks WITH (topic = 'clicks')")
        .await;
    assert_eq!(
        node.sql("SHOW CREATE clicks").await[0][1].as_str().unwrap(),
        shown
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_csv_with_metadata() {
    let node = Node::new().await;
    node.sql(
        "CREATE TABLE prices (item INT PRIMARY KEY, shop TEXT, price DECIMAL(8, 2), nr BIGINT METADATA FROM 'offset', part INT METADATA FROM 'partition',
           at TIMESTAMPTZ METADATA FROM 'timestamp', topic TEXT METADATA, twice DECIMAL(10, 2) AS price * 2)
         WITH (topic = 'prices', format = 'csv', csv.delimiter = ';', key_format = 'text')",
    )
    .await;
    node.sql("CREATE MATERIALIZED VIEW v AS SELECT shop, count(*) AS n, sum(price) AS total, max(nr) AS newest FROM prices GROUP BY shop")
        .await;
    let deleted = ("prices".to_owned(), 0, Some("2".to_owned()), None);
    produce(
        &node.log,
        &[
            record("prices", Some("1"), "a;1.50"),
            record("prices", Some("2"), "a;2"),
            record("prices", Some("1"), "b;3.25"),
            record("prices", Some("x"), "b;3.25"),
            record("prices", Some("3"), "b;3.25;4"),
            record("prices", None, "b;3"),
            deleted,
        ],
    )
    .await;
    assert_eq!(
        node.rows("SELECT * FROM prices").await,
        [r#"[1,"b",3.25,2,0,"1970-01-01T00:00:01Z","prices",6.50]"#]
    );
    assert_eq!(node.rows("SELECT * FROM v").await, [r#"["b",1,3.25,2]"#]);
    let dead = node
        .rows("SELECT DISTINCT error FROM headwater_dead_letters")
        .await;
    assert_eq!(dead.len(), 3, "{dead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_dead_letters_where_they_are_refused() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE s (id BIGINT, place STRUCT<city TEXT>) WITH (topic = 's', json.unknown_fields = 'refuse')")
        .await;
    node.sql("CREATE MATERIALIZED VIEW v AS SELECT id FROM s")
        .await;
    node.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, a INT) WITH (topic = 't', json.unknown_fields = 'refuse')")
        .await;
    produce(
        &node.log,
        &[
            record("s", None, r#"{"id": 1, "place": {"city": "x"}}"#),
            record("s", None, r#"{"id": 2, "colour": "red"}"#),
            record("s", None, r#"{"id": 3, "place": {"town": "x"}}"#),
            record("t", Some("1"), r#"{"id": 1, "a": 5}"#),
            record("t", Some("2"), r#"{"b": 1, "a": 5}"#),
        ],
    )
    .await;
    assert_eq!(node.rows("SELECT id FROM v").await, ["[1]"]);
    assert_eq!(node.rows("SELECT id, a FROM t").await, ["[1,5]"]);
    let dead = node
        .rows("SELECT DISTINCT error FROM headwater_dead_letters")
        .await;
    for field in [
        "field colour: it is no column",
        "field place.town: it is no column",
        "field b: it is no column",
    ] {
        assert!(dead.iter().any(|e| e.contains(field)), "{field}: {dead:?}");
    }
    assert_eq!(dead.len(), 3, "{dead:?}");
}

/// A pipeline that reads a topic as a table and as its versions tells of a bad record once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_record_of_a_table_and_its_versions_is_one_dead_letter() {
    let node = Node::new().await;
    node.sql("CREATE SOURCE o (id BIGINT, k TEXT, ts TIMESTAMPTZ) WITH (topic = 'o')")
        .await;
    node.sql(
        "CREATE TABLE t (k TEXT PRIMARY KEY, a INT NOT NULL, twice INT AS 10 / a, since TIMESTAMPTZ, WATERMARK FOR since AS since)
         WITH (topic = 't')",
    )
    .await;
    node.sql(
        "CREATE MATERIALIZED VIEW v AS SELECT o.id, old.a AS old, new.a AS new FROM o
         LEFT JOIN t FOR SYSTEM_TIME AS OF o.ts AS old ON old.k = o.k LEFT JOIN t new ON new.k = o.k",
    )
    .await;
    let since =
        |a: &str, minute: u32| format!(r#"{{"a": {a}, "since": "2024-01-01T00:{minute:02}:00Z"}}"#);
    produce(
        &node.log,
        &[
            record("t", Some("x"), &since("1", 0)),
            record("t", Some("x"), "{"),
            record("t", Some("x"), &since("null", 2)),
            record("t", Some("x"), &since("0", 3)),
            record("t", Some("x"), &since("5", 10)),
            record(
                "o",
                None,
                r#"{"id": 1, "k": "x", "ts": "2024-01-01T00:05:00Z"}"#,
            ),
        ],
    )
    .await;
    assert_eq!(node.rows("SELECT * FROM v").await, ["[1,1,5]"]);
    let dead = node
        .rows("SELECT \"offset\" FROM headwater_dead_letters WHERE pipeline = 'v'")
        .await;
    assert_eq!(dead, ["[1]", "[2]", "[3]"]);
}

/// As somebody tries it who knows nothing of the records: mixed types, empty objects, lists of objects, broken records, odd names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_records_that_do_not_agree() {
    let node = Node::new().await;
    let create = "CREATE SOURCE bandwidth WITH (topic = 'mixed')";
    let refused = async |says: &str| {
        let error = node.engine.execute(create, None).await.unwrap_err();
        assert!(
            error.rendered.contains(says) && error.rendered.contains("1:15"),
            "{}",
            error.rendered
        );
    };
    refused("there is no topic").await;
    node.log.ensure_topic("mixed", 1).await.unwrap();
    refused("topic \"mixed\" is empty").await;
    produce(
        &node.log,
        &[
            record("mixed", None, "not json"),
            record("mixed", None, "[1]"),
        ],
    )
    .await;
    refused("none of the newest 2 records").await;
    produce(
        &node.log,
        &[
            record("mixed", None, r#"{"id": 1, "what": 7, "items": [{"Sku-No": "a", "n": 1}], "order": {"by": {"name": "x"}}, "none": {}}"#),
            record("mixed", None, r#"{"id": 2, "what": {"deep": [true]}, "items": [], "order": {"by": {"name": null, "age": 3}}, "none": {}}"#),
            record("mixed", None, r#"{"id": "three"}"#),
        ],
    )
    .await;
    node.sql(create).await;
    let shown = node.sql("SHOW CREATE bandwidth").await[0][1]
        .as_str()
        .unwrap()
        .to_owned();
    for column in [
        "id JSON",
        "what JSON",
        "items STRUCT<\"Sku-No\" TEXT, n BIGINT>[]",
        "\"order\" STRUCT<\"by\" STRUCT<",
        "none JSON",
        "WITH (topic = 'mixed')",
    ] {
        assert!(
            shown.to_lowercase().contains(&column.to_lowercase())
                || shown.contains(&column.replace('"', "")),
            "{column} in {shown}"
        );
    }
    node.sql(r#"CREATE MATERIALIZED VIEW v AS SELECT id, what #>> '{deep,0}' AS deep, cardinality(items) AS n, bandwidth."order"."by"."name" AS who FROM bandwidth"#)
        .await;
    assert_eq!(
        node.rows("SELECT * FROM v").await,
        [
            r#"["1",null,1,"x"]"#,
            r#"["2","true",0,null]"#,
            r#"["\"three\"",null,null,null]"#
        ]
    );
    // What is shown creates the same again.
    node.sql("DROP MATERIALIZED VIEW v").await;
    node.sql("DROP SOURCE bandwidth").await;
    node.sql(&shown).await;
    assert_eq!(node.rows("SELECT count(*) FROM bandwidth").await, ["[3]"]);
}
