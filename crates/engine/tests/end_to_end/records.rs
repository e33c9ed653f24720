//! What sinks write into topics in their formats, and sources and tables read back; what cannot be written is refused at its place.

use crate::harness::{Input, Node, produce};

fn order(id: i64, who: Option<&str>, cents: i64) -> Input {
    let who = who.map_or("null".to_owned(), |who| format!("\"{who}\""));
    let value = format!(
        r#"{{"id": {id}, "who": {who}, "amount": {cents}.50, "at": "2026-01-01T10:00:0{id}.000123Z"}}"#
    );
    ("orders".to_owned(), 0, None, Some(value))
}

const ORDERS: &str = "CREATE SOURCE orders (id BIGINT, who TEXT, amount DECIMAL(12, 2), at TIMESTAMPTZ) WITH (topic = 'orders');
CREATE MATERIALIZED VIEW all_orders AS SELECT id, who, amount, at FROM orders;
CREATE MATERIALIZED VIEW by_who AS SELECT who, sum(amount) AS total FROM orders WHERE amount < 100 GROUP BY who";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sink_writes_a_source_reads() {
    let node = Node::new().await;
    for statement in ORDERS.split(';') {
        node.sql(statement).await;
    }
    node.sql(
        "CREATE SINK lines_out INTO topic FROM all_orders WITH (topic = 'lines', format = 'csv', csv.delimiter = ';', csv.null = '-',
           key = 'id', key_format = 'text', value = 'who, amount', headers = 'who', headers.\"X-Amount\" = 'amount', timestamp = 'at')",
    )
    .await;
    node.sql(
        "CREATE SINK numbers_out INTO topic FROM all_orders WITH (topic = 'numbers', json.timestamp = 'epoch_ms', json.decimal = 'text')",
    )
    .await;
    produce(
        &node.log,
        &[
            order(1, Some("a;b"), 3),
            order(2, None, 4),
            order(3, Some("-"), 5),
        ],
    )
    .await;
    assert_eq!(node.rows("SELECT * FROM all_orders").await.len(), 3);
    node.eventually(
        "SELECT key, value, timestamp, headers FROM lines",
        &[
            r#"["1","\"a;b\";3.50","2026-01-01T10:00:01Z","[{\"key\":\"who\",\"value\":\"a;b\"},{\"key\":\"X-Amount\",\"value\":\"3.50\"}]"]"#,
            r#"["2","-;4.50","2026-01-01T10:00:02Z","[{\"key\":\"X-Amount\",\"value\":\"4.50\"}]"]"#,
            r#"["3","\"-\";5.50","2026-01-01T10:00:03Z","[{\"key\":\"who\",\"value\":\"-\"},{\"key\":\"X-Amount\",\"value\":\"5.50\"}]"]"#,
        ],
    )
    .await;
    node.sql(
        "CREATE SOURCE again (id BIGINT KEY, who TEXT, amount DECIMAL(12, 2), at TIMESTAMPTZ METADATA FROM 'timestamp', h TEXT METADATA FROM 'headers.X-Amount')
         WITH (topic = 'lines', format = 'csv', csv.delimiter = ';', csv.null = '-')",
    )
    .await;
    let same = node
        .rows("SELECT id, who, amount, date_trunc('milliseconds', at) AS at FROM all_orders")
        .await;
    assert_eq!(
        node.rows("SELECT id, who, amount, at FROM again WHERE h = amount::text")
            .await,
        same
    );
    node.eventually(
        r#"SELECT value FROM numbers WHERE value LIKE '{"id":1,%'"#,
        &[r#"["{\"id\":1,\"who\":\"a;b\",\"amount\":\"3.50\",\"at\":1767261601000}"]"#],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_are_keyed_and_deleted_in_any_format() {
    let node = Node::new().await;
    for statement in ORDERS.split(';') {
        node.sql(statement).await;
    }
    node.sql("CREATE MATERIALIZED VIEW low AS SELECT who, total FROM by_who WHERE total < 10")
        .await;
    node.sql("CREATE SINK totals_out INTO topic FROM low WITH (topic = 'totals', format = 'text', key_format = 'csv')")
        .await;
    produce(&node.log, &[order(1, Some("a"), 3), order(2, Some("b"), 4)]).await;
    assert_eq!(node.rows("SELECT * FROM low").await.len(), 2);
    produce(&node.log, &[order(3, Some("b"), 8)]).await;
    assert_eq!(node.rows("SELECT * FROM low").await.len(), 1);
    node.eventually(
        "SELECT key, value FROM totals",
        &[r#"["a","3.50"]"#, r#"["b","4.50"]"#, r#"["b",null]"#],
    )
    .await;
}

/// The options of a sink, what the refusal points at, and what it and its hint say.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "all_orders WITH (format = 'text')",
        "'text'",
        "holds one column, but the value has 4",
        "value =",
    ),
    (
        "all_orders WITH (format = 'raw', value = 'id')",
        "'raw'",
        "column id: type BIGINT",
        "write text",
    ),
    (
        "nested WITH (format = 'csv', value = 'id, place')",
        "'csv'",
        "column place: type STRUCT",
        "write json",
    ),
    (
        "nested WITH (format = 'csv', value = 'body')",
        "'csv'",
        "column body: type BYTEA",
        "encode(body",
    ),
    (
        "nested WITH (headers = 'id, place')",
        "'id, place'",
        "a header is text or bytes, place is STRUCT",
        "CAST",
    ),
    (
        "nested WITH (headers.p = 'place')",
        "'place'",
        "a header is text or bytes",
        "CAST",
    ),
    (
        "all_orders WITH (headers.p = 'id, who')",
        "'id, who'",
        "a header is one column",
        "one column",
    ),
    (
        "all_orders WITH (timestamp = 'id')",
        "'id'",
        "TIMESTAMPTZ, but id is BIGINT",
        "to_timestamp_millis",
    ),
    (
        "all_orders WITH (timestamp = 'nope')",
        "'nope'",
        "there is no column \"nope\"",
        "id, who",
    ),
    (
        "all_orders WITH (key_format = 'text')",
        "'text'",
        "its records have no key",
        "key =",
    ),
    (
        "all_orders WITH (key = 'id, who', key_format = 'text')",
        "'text'",
        "holds one column, but the key has 2",
        "csv or json",
    ),
    (
        "by_who WITH (key = 'total')",
        "'total'",
        "its own key",
        "leave",
    ),
    (
        "orders WITH (topic = 'x')",
        "out",
        "no materialized view",
        "CREATE MATERIALIZED VIEW",
    ),
    (
        "all_orders WITH (topic = 'headwater-dead-letters')",
        "'headwater-dead-letters'",
        "a topic of the database itself",
        "another topic",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_refused_at_its_place() {
    let node = Node::new().await;
    for statement in ORDERS.split(';') {
        node.sql(statement).await;
    }
    node.sql(
        "CREATE SOURCE raws (id BIGINT, body BYTEA, place STRUCT<city TEXT>) WITH (topic = 'raws')",
    )
    .await;
    node.sql("CREATE MATERIALIZED VIEW nested AS SELECT id, body, place FROM raws")
        .await;
    for (text, place, says, hint) in REFUSED {
        let text = format!("CREATE SINK out INTO topic FROM {text}");
        let column = text.find(place).map(|at| at as u32 + 1);
        let error = node.engine.execute(&text, None).await.unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (Some(1), column),
            "{text}: {error}"
        );
        assert!(error.message.contains(says), "{text}: {error}");
        assert!(
            error.hint.clone().unwrap_or_default().contains(hint),
            "{text}: {error}"
        );
    }
}
