//! Statements that are refused: where, why, and what to write instead.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::define;

/// Text, then where and what the error is, then a part of the hint.
const REFUSED: &[(&str, &str, &str)] = &[
    ("CREATE SORCE s (a INT)", "1:8 expected SOURCE", "source"),
    (
        "CREATE STREAM s (a INT)",
        "1:8 expected SOURCE",
        "CREATE SOURCE",
    ),
    (
        "CREATE SOURCE s",
        "1:16 the columns are missing",
        "newest records",
    ),
    (
        "CREATE SOURCE s (a INT, o BIGINT METADATA FROM 'ofset')",
        "1:48 records have no metadata 'ofset'",
        "offset",
    ),
    (
        "CREATE SOURCE s (a INT, o TEXT METADATA FROM 'offset')",
        "1:27 metadata 'offset' is BIGINT",
        "CAST",
    ),
    (
        "CREATE SOURCE s (a INT, b INT) WITH (format = 'text')",
        "1:47 format 'text' fills one column, but 2",
        "csv",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (key_format = 'json')",
        "1:44 there is no column that is read from the key",
        "KEY",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (csv.delimiter = ';')",
        "1:31 csv.delimiter says nothing about json",
        "csv",
    ),
    (
        "CREATE TABLE t (a TEXT METADATA FROM 'key' PRIMARY KEY, b INT)",
        "1:17 \"a\" is metadata 'key', so it cannot be in the primary key",
        "key_format",
    ),
    (
        "CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b)) WITH (key_format = 'text')",
        "1:70 key_format 'text' fills one column, but 2 are read from the key",
        "csv or json",
    ),
    (
        "CREATE TABLE t (a INT PRIMARY KEY, b INT, c INT) WITH (format = 'raw')",
        "1:65 format 'raw' fills one column, but 2 are read from the value",
        "csv or json",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (json.unknown_fields = 'drop')",
        "1:53 json.unknown_fields cannot be",
        "refuse",
    ),
    ("CREATE SOURCE s (a)", "1:19 expected", ""),
    (
        "CREATE SOURCE s (a INTT)",
        "1:20 type INTT is not known",
        "INT",
    ),
    (
        "CREATE SOURCE s (a INT, b UUID)",
        "1:27 type UUID is not known",
        "TEXT",
    ),
    (
        "CREATE SOURCE s (a INT, a TEXT)",
        "1:25 column \"a\" is declared twice",
        "",
    ),
    (
        "CREATE SOURCE s (a DECIMAL(50, 2))",
        "1:20 the precision",
        "",
    ),
    ("CREATE SOURCE s (a DECIMAL(5, 9))", "1:20 the scale", ""),
    (
        "CREATE SOURCE s (a INT) WITH (topik = 'x')",
        "1:31 there is no option \"topik\"",
        "topic",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (start = 'erliest')",
        "1:39 start cannot be",
        "earliest",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (format = 'avro')",
        "1:40 format cannot be \"avro\"",
        "json",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (idle_timeout = 'soon')",
        "1:46 idle_timeout cannot be",
        "30 seconds",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (topic = 'a b')",
        "1:39 \"a b\" cannot be a topic's name",
        "249",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (topic = 'a', topic = 'b')",
        "1:44 option \"topic\" is given twice",
        "",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (topic 'a')",
        "1:37 expected \"=\"",
        "",
    ),
    (
        "CREATE SOURCE s (a INT PRIMARY KEY)",
        "1:18 a source has no primary key",
        "CREATE TABLE",
    ),
    (
        "CREATE SOURCE s (id INT, ts TIMESTAMPTZ AS zone)",
        "1:44 there is no column \"zone\"",
        "the columns here are: id",
    ),
    (
        "CREATE SOURCE s (amount INT, c INT AS amuont + 1)",
        "1:39 there is no column \"amuont\"",
        "\"amount\"",
    ),
    (
        "CREATE SOURCE s (a INT, c TIMESTAMPTZ AS a)",
        "1:42 column \"c\" is TIMESTAMPTZ, but its expression gives INT",
        "to_timestamp_millis",
    ),
    (
        "CREATE SOURCE s (a INT, c INT AS lenth('x'))",
        "1:34 there is no function \"lenth\"",
        "length",
    ),
    (
        "CREATE SOURCE s (a INT, c AS a + 1)",
        "1:27 column \"c\" has no type",
        "TIMESTAMPTZ",
    ),
    (
        "CREATE SOURCE s (a INT DEFAULT b)",
        "1:32 there is no column \"b\"",
        "",
    ),
    (
        "CREATE SOURCE s (a INT, WATERMARK FOR b AS b)",
        "1:39 there is no column \"b\"",
        "",
    ),
    (
        "CREATE SOURCE s (a INT, WATERMARK FOR a AS a)",
        "1:39 event time is a TIMESTAMPTZ",
        "computed column",
    ),
    (
        "CREATE SOURCE s (t TIMESTAMPTZ, WATERMARK FOR t AS 5)",
        "1:52 the watermark is TIMESTAMPTZ",
        "",
    ),
    (
        "CREATE SOURCE s (a STRUCT<x INT, x INT>)",
        "1:20 field \"x\" of the STRUCT is declared twice",
        "",
    ),
    (
        "CREATE TABLE t (a INT)",
        "1:14 table \"t\" has no primary key",
        "PRIMARY KEY",
    ),
    (
        "CREATE TABLE t (a INT, PRIMARY KEY (b))",
        "1:37 there is no column \"b\"",
        "",
    ),
    (
        "CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)",
        "1:50 there is more than one primary key",
        "PRIMARY KEY (a, b)",
    ),
    (
        "CREATE TABLE t (a DOUBLE PRIMARY KEY)",
        "1:17 a DOUBLE cannot be in a primary key",
        "integers",
    ),
    (
        "CREATE VIEW v (a) AS SELECT 1",
        "1:15 a view takes no list of columns",
        "AS",
    ),
    (
        "CREATE VIEW v AS SELECT a FROM t EMIT CHANGES",
        "1:46 EMIT belongs to materialized views",
        "MATERIALIZED",
    ),
    (
        "CREATE MATERIALIZED VIEW v AS SELECT a FROM t EMIT ON CLOSE",
        "1:47 this EMIT clause",
        "EMIT ON WINDOW CLOSE",
    ),
    (
        "CREATE MATERIALIZED VIEW v AS SELECT FROM t WHERE",
        "1:50 expected an expression, found the end",
        "",
    ),
    (
        "CREATE MATERIALIZED VIEW v AS\n  SELECT a,\n  b c d FROM t",
        "3:7 expected",
        "",
    ),
    (
        "CREATE MATERIALIZED VIEW v WITH (retension = '1 day') AS SELECT a FROM t",
        "1:34 there is no option",
        "retention",
    ),
    (
        "CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1",
        "1:31 OR REPLACE and IF NOT EXISTS",
        "",
    ),
    (
        "CREATE SINK s INTO posgres FROM v",
        "1:20 there is no sink connector",
        "postgres",
    ),
    (
        "CREATE SINK s INTO kafka FROM v",
        "1:20 there is no sink connector",
        "topic, postgres",
    ),
    ("CREATE SINK s FROM v", "1:15 expected INTO", ""),
    (
        "CREATE SINK s INTO postgres FROM v",
        "1:13 a sink into postgres needs the option url",
        "PG_URL",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (key_format = 'xml')",
        "1:52 key_format cannot be",
        "text or raw",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (format = 'avro')",
        "1:48 format cannot be \"avro\"",
        "json",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (csv.null = '-')",
        "1:39 csv.null says nothing about json",
        "format = 'csv'",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (format = 'csv', json.decimal = 'text')",
        "1:55 json.decimal says nothing about csv",
        "format = 'json'",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (json.timestamp = 'iso')",
        "1:56 json.timestamp cannot be \"iso\"",
        "epoch_ms",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (format = 'csv', csv.delimiter = '::')",
        "1:71 csv.delimiter is one sign",
        "';'",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (format = 'csv', csv.header = 'true')",
        "1:55 there is no option \"csv.header\" here",
        "there are",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (format = 'csv', value_format = 'json')",
        "1:70 format and value_format say the same",
        "one of them",
    ),
    (
        "CREATE ALERT a AS SELECT 1 AS x FROM t WITH (severity = 'pgae')",
        "1:57 severity cannot be",
        "page",
    ),
    (
        "CREATE ALERT a AS SELECT 1 AS x FROM t WITH (notify = 'mail:x')",
        "1:55 \"mail:x\" is not a target",
        "webhook:",
    ),
    (
        "CREATE VIEW v AS SELECT '${X}' AS a FROM t",
        "1:26 ${VAR} stands only",
        "",
    ),
    ("SHOW SOURCE", "1:6 expected SOURCES", "sources"),
    ("DROP TABEL t", "1:6 expected SOURCE", "table"),
    (
        "DROP TABLE t u",
        "1:14 expected the end of the statement, found \"u\"",
        "",
    ),
    ("SELEC 1", "1:1 expected a statement", "select"),
    (
        "INSERT INTO t VALUES (1)",
        "1:1 expected a statement",
        "topic",
    ),
    ("SELECT 'abc", "1:8 unterminated string literal", ""),
    ("SELECT 1;\nSELECT (1", "2:10 expected ), found the end", ""),
];

#[test]
fn refused_texts() {
    let mut wrong = Vec::new();
    for (text, expect, hint) in REFUSED {
        let outcome = parse(text, Some("f.sql"))
            .and_then(|all| all.iter().map(define).collect::<Result<Vec<_>>>());
        let Err(error) = outcome else {
            wrong.push(format!("{text}\n  is taken"));
            continue;
        };
        let told = format!("{}:{} {}", error.line, error.column, error.message);
        let hinted = error.hint.clone().unwrap_or_default();
        if !told.starts_with(expect)
            || !hinted.contains(hint)
            || error.file.as_deref() != Some("f.sql")
        {
            wrong.push(format!(
                "{text}\n  told:   {told}\n  expect: {expect}\n  hint:   {hinted} / {hint}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        REFUSED.len(),
        wrong.join("\n")
    );
}
