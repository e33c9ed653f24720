//! The PostgreSQL sink against a real server: types, deletions, fencing, outages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_connect::{
    Change, ChangeKind, ColumnType, Sink, SinkBatch, SinkColumn, SinkError, SinkPosition,
};
use headwater_connectors::{PostgresOptions, PostgresSink, Resolver};
use headwater_testkit::Postgres;
use serde_json::{Value, json};

fn columns(list: &[(&str, ColumnType)]) -> Vec<SinkColumn> {
    list.iter()
        .map(|(name, kind)| SinkColumn {
            name: (*name).into(),
            kind: kind.clone(),
        })
        .collect()
}

fn spend() -> Vec<SinkColumn> {
    columns(&[("card", ColumnType::Text), ("n", ColumnType::Int64)])
}

fn try_options(
    list: &[(&str, &str)],
    columns: &[SinkColumn],
    key: &[&str],
) -> Result<PostgresOptions, SinkError> {
    let map: BTreeMap<String, String> = list
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    PostgresOptions::parse(&map, columns, (!key.is_empty()).then_some(&key[..]))
}

fn sink(server: &Postgres, table: &str, columns: Vec<SinkColumn>, key: &[&str]) -> PostgresSink {
    let options = try_options(&[("url", "${PG_URL}"), ("table", table)], &columns, key).unwrap();
    let url = server.url();
    let resolve: Resolver = Arc::new(move |name| (name == "PG_URL").then(|| url.clone()));
    PostgresSink::new(format!("test/{table}"), options, columns, resolve)
}

fn upsert(values: Vec<Value>) -> Change {
    Change {
        kind: ChangeKind::Upsert,
        values,
    }
}

fn delete(values: Vec<Value>) -> Change {
    Change {
        kind: ChangeKind::Delete,
        values,
    }
}

fn batch(changes: Vec<Change>, next: i64) -> SinkBatch {
    SinkBatch {
        changes,
        after: SinkPosition { next },
        snapshot: false,
    }
}

#[tokio::test]
async fn keyed_rows_come_change_and_go() {
    let server = Postgres::start().unwrap();
    let mut sink = sink(&server, "spend", spend(), &["card"]);
    assert_eq!(sink.open().await.unwrap(), None);
    let changes = vec![
        upsert(vec![json!("a"), json!(1)]),
        upsert(vec![json!("b"), json!(1)]),
        upsert(vec![json!("a"), json!(2)]),
        upsert(vec![Value::Null, json!(3)]),
        delete(vec![json!("gone"), Value::Null]),
    ];
    sink.write(batch(changes, 5)).await.unwrap();
    let all = "SELECT card, n FROM spend ORDER BY n, card";
    assert_eq!(server.sql(all).unwrap(), "b|1\na|2\n(null)|3");
    let changes = vec![
        delete(vec![json!("a"), json!(2)]),
        upsert(vec![Value::Null, json!(4)]),
        delete(vec![json!("b"), json!(1)]),
        upsert(vec![json!("b"), json!(9)]),
    ];
    sink.write(batch(changes, 9)).await.unwrap();
    assert_eq!(server.sql(all).unwrap(), "(null)|4\nb|9");
    sink.write(batch(vec![delete(vec![Value::Null, Value::Null])], 10))
        .await
        .unwrap();
    assert_eq!(server.sql(all).unwrap(), "b|9");
    let snapshot = SinkBatch {
        changes: vec![upsert(vec![json!("c"), json!(1)])],
        after: SinkPosition { next: 11 },
        snapshot: true,
    };
    sink.write(snapshot).await.unwrap();
    assert_eq!(server.sql(all).unwrap(), "c|1");
    assert_eq!(sink.open().await.unwrap(), Some(SinkPosition { next: 11 }));
    assert_eq!(
        server
            .sql("SELECT epoch, position FROM headwater_sinks")
            .unwrap(),
        "2|11"
    );
}

#[tokio::test]
async fn every_type_is_held_exactly() {
    let server = Postgres::start().unwrap();
    let all = columns(&[
        ("b", ColumnType::Bool),
        ("s", ColumnType::Int16),
        ("i", ColumnType::Int32),
        ("l", ColumnType::Int64),
        ("r", ColumnType::Float32),
        ("d", ColumnType::Float64),
        (
            "n",
            ColumnType::Decimal {
                precision: 38,
                scale: 4,
            },
        ),
        ("t", ColumnType::Text),
        ("y", ColumnType::Bytes),
        ("day", ColumnType::Date),
        ("at", ColumnType::Timestamp),
        ("ts", ColumnType::TimestampTz),
        ("Odd \"name\"", ColumnType::Json),
    ]);
    let decimal: Value = serde_json::from_str("-1234567890123456789012345678901234.5678").unwrap();
    let first = vec![
        json!(true),
        json!(-32768),
        json!(i32::MAX),
        json!(i64::MIN),
        json!("NaN"),
        json!("-Infinity"),
        decimal,
        json!("q'\"\\\u{0}\u{1F600}"),
        json!("AAEC/w=="),
        json!("2013-02-28"),
        json!("2013-01-01T05:00:00.123456Z"),
        json!("2013-01-01T05:00:00Z"),
        json!({"a": [1, null, "x\u{0}"]}),
    ];
    let mut sink = sink(&server, "types", all.clone(), &[]);
    sink.open().await.unwrap();
    let small: Value = json!(0.1);
    let mut second = vec![Value::Null; all.len()];
    second[5] = small;
    second[11] = json!("-000043-03-15T00:00:00Z");
    sink.write(batch(vec![upsert(first), upsert(second)], 2))
        .await
        .unwrap();
    let found = server
        .sql("SET timezone = 'UTC'; SELECT * FROM types ORDER BY b")
        .unwrap();
    let nulls = "(null)|(null)|(null)|(null)|(null)|0.1|(null)|(null)|(null)|(null)|(null)|0044-03-15 00:00:00+00 BC|(null)";
    let expected = format!(
        "t|-32768|2147483647|-9223372036854775808|NaN|-Infinity|-1234567890123456789012345678901234.5678|q'\"\\\u{FFFD}\u{1F600}|\
         \\x000102ff|2013-02-28|2013-01-01 05:00:00.123456|2013-01-01 05:00:00+00|{{\"a\": [1, null, \"x\u{FFFD}\"]}}\n{nulls}"
    );
    assert_eq!(found, expected);
    let refused = sink
        .write(batch(vec![delete(vec![Value::Null; all.len()])], 3))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, SinkError::Rejected(why) if why.contains("primary_key")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_view_of_one_row_is_replaced() {
    let server = Postgres::start().unwrap();
    let map = BTreeMap::from([
        ("url".to_owned(), server.url()),
        ("table".to_owned(), "one".to_owned()),
    ]);
    let options = PostgresOptions::parse(&map, &spend(), Some(&[])).unwrap();
    let mut sink = PostgresSink::new("one".into(), options, spend(), Arc::new(|_| None));
    sink.open().await.unwrap();
    for next in 1..4 {
        sink.write(batch(
            vec![
                upsert(vec![json!("x"), json!(0)]),
                upsert(vec![json!("a"), json!(next)]),
            ],
            next,
        ))
        .await
        .unwrap();
    }
    sink.write(batch(vec![], 4)).await.unwrap();
    assert_eq!(server.sql("SELECT * FROM one").unwrap(), "a|3");
}

#[tokio::test]
async fn an_older_owner_cannot_write() {
    let server = Postgres::start().unwrap();
    let (mut old, mut new) = (
        sink(&server, "spend", spend(), &["card"]),
        sink(&server, "spend", spend(), &["card"]),
    );
    old.open().await.unwrap();
    old.write(batch(vec![upsert(vec![json!("a"), json!(1)])], 1))
        .await
        .unwrap();
    assert_eq!(new.open().await.unwrap(), Some(SinkPosition { next: 1 }));
    new.write(batch(vec![upsert(vec![json!("a"), json!(2)])], 2))
        .await
        .unwrap();
    let fenced = old
        .write(batch(vec![upsert(vec![json!("a"), json!(3)])], 2))
        .await
        .unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    // Opening anew, as after any failure, does not get it back; the owner itself may lose its connection and come back.
    let fenced = old.open().await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced(_)), "{fenced}");
    assert_eq!(new.open().await.unwrap(), Some(SinkPosition { next: 2 }));
    assert_eq!(server.sql("SELECT card, n FROM spend").unwrap(), "a|2");
}

#[tokio::test]
async fn a_successor_gets_the_row_of_one_that_hangs_in_a_transaction() {
    let server = Postgres::start().unwrap();
    let mut old = sink(&server, "spend", spend(), &["card"]);
    old.open().await.unwrap();
    // What a process does that is paused between claiming and committing.
    let (hanging, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    hanging.batch_execute("SET idle_in_transaction_session_timeout = '10s'; BEGIN; UPDATE headwater_sinks SET position = 77").await.unwrap();
    let mut new = sink(&server, "spend", spend(), &["card"]);
    let start = Instant::now();
    assert_eq!(new.open().await.unwrap(), None);
    assert!(start.elapsed() < Duration::from_secs(25));
    assert!(hanging.batch_execute("COMMIT").await.is_err());
    driver.abort();
}

#[tokio::test]
async fn tables_that_do_not_fit_are_refused_in_words() {
    let server = Postgres::start().unwrap();
    let create = "CREATE TABLE no_key (card text, n bigint); CREATE TABLE narrow (card text PRIMARY KEY, n integer); \
                  CREATE TABLE short (card text PRIMARY KEY); CREATE TABLE more (card text PRIMARY KEY, n bigint, x int NOT NULL); \
                  CREATE TABLE nulls (card text UNIQUE, n bigint); CREATE TABLE good (n numeric, card varchar(3) PRIMARY KEY, x int, y int NOT NULL DEFAULT 1)";
    server.sql(create).unwrap();
    let cases = [
        (
            "no_key",
            "no primary key and no UNIQUE NULLS NOT DISTINCT constraint of exactly (card)",
        ),
        (
            "narrow",
            "column n is integer, the view needs bigint or numeric",
        ),
        ("short", "column n is missing; it would be bigint"),
        (
            "more",
            "column x is NOT NULL, but the view has no such column",
        ),
        ("nulls", "no primary key and no UNIQUE NULLS NOT DISTINCT"),
    ];
    for (table, why) in cases {
        let error = sink(&server, table, spend(), &["card"])
            .open()
            .await
            .unwrap_err();
        assert!(
            matches!(&error, SinkError::Rejected(text) if text.contains(why)),
            "{error}"
        );
    }
    let mut good = sink(&server, "good", spend(), &["card"]);
    good.open().await.unwrap();
    good.write(batch(vec![upsert(vec![json!("abc"), json!(1)])], 1))
        .await
        .unwrap();
    // Cut off silently is what must not happen.
    let error = good
        .write(batch(vec![upsert(vec![json!("abcd"), json!(1)])], 2))
        .await
        .unwrap_err();
    assert!(matches!(error, SinkError::Rejected(_)), "{error}");
    assert_eq!(server.sql("SELECT * FROM good").unwrap(), "1|abc|(null)|1");
    assert_eq!(good.open().await.unwrap(), Some(SinkPosition { next: 1 }));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let mut server = Postgres::start().unwrap();
    let mut sink = sink(&server, "log", spend(), &[]);
    let mut position = sink.open().await.unwrap().map_or(0, |p| p.next);
    let mut kills = 0;
    while position < 300 {
        let changes = (position..position + 10)
            .map(|i| upsert(vec![json!(format!("c{i}")), json!(i)]))
            .collect();
        if position >= 100 * (kills + 1) {
            kills += 1;
            let killer = std::thread::spawn(move || {
                server.kill();
                server
            });
            let _ = sink.write(batch(changes, position + 10)).await;
            server = killer.join().unwrap();
            let away = sink.open().await.unwrap_err();
            assert!(
                matches!(&away, SinkError::Unavailable(why) if !why.contains(server.password())),
                "{away}"
            );
            server.restart().unwrap();
            position = sink.open().await.unwrap().map_or(0, |p| p.next);
        } else {
            sink.write(batch(changes, position + 10)).await.unwrap();
            position += 10;
        }
    }
    assert_eq!(
        server
            .sql("SELECT count(*), count(DISTINCT n), min(n), max(n) FROM log")
            .unwrap(),
        format!("{position}|{position}|0|{}", position - 1)
    );
}

#[tokio::test]
async fn connections_are_encrypted_as_the_url_says() {
    let server = Postgres::start_with_tls().unwrap();
    let open = async |query: String| {
        let options =
            try_options(&[("url", "${PG_URL}"), ("table", "spend")], &spend(), &[]).unwrap();
        let url = format!("{}{query}", server.url());
        let mut sink = PostgresSink::new(
            "tls".into(),
            options,
            spend(),
            Arc::new(move |_| Some(url.clone())),
        );
        let opened = sink.open().await.map(|_| ());
        let encrypted = server.sql("SELECT bool_or(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'headwater'");
        drop(sink);
        // The server notices the end of a connection a moment later.
        while server
            .sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headwater'")
            .unwrap()
            != "0"
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        opened.map(|()| encrypted.unwrap())
    };
    let authority = server.authority().display().to_string();
    assert_eq!(open("?sslmode=disable".into()).await.unwrap(), "f");
    assert_eq!(open(String::new()).await.unwrap(), "t");
    assert_eq!(open("?sslmode=require".into()).await.unwrap(), "t");
    assert_eq!(
        open(format!("?sslmode=verify-full&sslrootcert={authority}"))
            .await
            .unwrap(),
        "t"
    );
    let unknown = open("?sslmode=verify-full".into()).await.unwrap_err();
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
    let plain = Postgres::start().unwrap();
    let url = format!("{}?sslmode=require", plain.url());
    let options = try_options(&[("url", "${PG_URL}"), ("table", "spend")], &spend(), &[]).unwrap();
    let refused = PostgresSink::new(
        "tls".into(),
        options,
        spend(),
        Arc::new(move |_| Some(url.clone())),
    )
    .open()
    .await
    .unwrap_err();
    assert!(
        refused.to_string().contains("does not support TLS"),
        "{refused}"
    );
}

#[tokio::test]
async fn options_are_checked_before_anything_is_opened() {
    let message = |list: &[(&str, &str)]| {
        try_options(list, &spend(), &["card"])
            .err()
            .unwrap()
            .to_string()
    };
    assert!(message(&[("table", "t")]).contains("option 'url' is missing"));
    assert!(message(&[("url", "u")]).contains("option 'table' is missing"));
    assert!(message(&[("url", "u"), ("tabel", "t")]).contains("unknown option 'tabel'"));
    assert!(
        message(&[("url", "u"), ("table", "t"), ("primary_key", "card, nn")])
            .contains("no column 'nn'")
    );
    let windows = columns(&[
        ("card", ColumnType::Text),
        ("window_start", ColumnType::TimestampTz),
        ("window_end", ColumnType::TimestampTz),
    ]);
    let keyed = |list: &str| {
        let options = [("url", "u"), ("table", "t"), ("primary_key", list)];
        try_options(&options, &windows, &["card", "window_start", "window_end"])
            .map(|o| o.key.join(","))
            .map_err(|e| e.to_string())
    };
    assert_eq!(
        keyed("card, window_start").as_deref(),
        Ok("card,window_start")
    );
    assert_eq!(keyed("window_end,card").as_deref(), Ok("window_end,card"));
    assert!(
        keyed("card")
            .unwrap_err()
            .contains("the view's key is 'card,window_start,window_end'")
    );
    assert!(
        message(&[("url", "u"), ("table", "t"), ("primary_key", "card,n")])
            .contains("'n' does not belong to it")
    );
    let options = try_options(&[("url", "${MISSING}"), ("table", "t")], &spend(), &[]).unwrap();
    let error = PostgresSink::new("x".into(), options, spend(), Arc::new(|_| None))
        .open()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "${MISSING} is not set in the node's environment"
    );
    let options = try_options(
        &[("url", "postgres://u:SECRET@@host:x/"), ("table", "t")],
        &spend(),
        &[],
    )
    .unwrap();
    let error = PostgresSink::new("x".into(), options, spend(), Arc::new(|_| None))
        .open()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SinkError::Rejected(why) if !why.contains("SECRET")),
        "{error}"
    );
}

#[tokio::test]
async fn large_batches_are_fast() {
    let server = Postgres::start().unwrap();
    let mut sink = sink(&server, "spend", spend(), &["card"]);
    sink.open().await.unwrap();
    for round in 0..2 {
        let changes = (0..20_000)
            .map(|i| upsert(vec![json!(format!("card-{i}")), json!(round)]))
            .collect();
        let start = Instant::now();
        sink.write(batch(changes, round + 1)).await.unwrap();
        println!("20,000 rows: {:?}", start.elapsed());
    }
    assert_eq!(
        server.sql("SELECT count(*), sum(n) FROM spend").unwrap(),
        "20000|20000"
    );
}
