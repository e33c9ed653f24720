//! Statements that read, statements that do not, and garbage.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::ast::{CreateBody, ShowKind};
use crate::model::{Definition, Emit, StartAt};
use crate::{Defined, define, diff, explain};

fn defined(text: &str) -> Defined {
    define(&parse_one(text, None).unwrap_or_else(|e| panic!("{}", e.render())))
        .unwrap_or_else(|e| panic!("{}", e.render()))
        .unwrap()
}

const PAYMENTS: &str = "CREATE SOURCE IF NOT EXISTS payments ( -- what cards pay
  card TEXT NOT NULL, amount DOUBLE, item STRUCT<sku TEXT, size STRUCT<w INT, h INT>>, tags TEXT[], ms BIGINT,
  ts TIMESTAMPTZ AS to_timestamp_millis(ms), late TIMESTAMPTZ AS (ts + INTERVAL '1 hour'), price DECIMAL(10, 2),
  WATERMARK FOR ts AS ts - INTERVAL '1 minute'
) WITH (connector = 'topic', topic = 'raw.payments', format = 'json', start = 'latest', idle_timeout = '10s')";

#[test]
fn a_source() {
    let defined = defined(PAYMENTS);
    assert!(defined.if_not_exists && !defined.or_replace);
    let Definition::Source(source) = &defined.definition else {
        panic!("not a source")
    };
    let columns: Vec<String> = explain::columns(&source.schema())
        .into_iter()
        .map(|(name, t)| format!("{name} {t}"))
        .collect();
    let expected = "card TEXT, amount DOUBLE, item STRUCT<sku TEXT, size STRUCT<w INT, h INT>>, tags TEXT[], ms BIGINT, ts TIMESTAMPTZ, \
                    late TIMESTAMPTZ, price DECIMAL(10, 2)";
    assert_eq!(columns.join(", "), expected);
    assert_eq!(
        (source.topic.as_str(), source.start),
        ("raw.payments", StartAt::Latest)
    );
    let watermark = source.watermark.as_ref().unwrap();
    assert_eq!((watermark.column, watermark.idle_ms), (5, 10_000));
    assert!(source.columns[0].not_null);
    let exprs = crate::source_exprs(source).unwrap();
    assert_eq!((exprs.physical.fields().len(), exprs.columns.len()), (6, 8));
    let graph = crate::input_graph(&source.columns, source.watermark.as_ref()).unwrap();
    assert_eq!(
        graph.nodes[1].schema.fields().last().unwrap().name(),
        crate::WATERMARK
    );
}

#[test]
fn the_kept_text_reads_back_as_the_same_definition() {
    let texts = [
        PAYMENTS,
        "CREATE TABLE t (a TEXT, b INT, c DATE, PRIMARY KEY (b, a)) WITH (topic = 'x')",
        "CREATE OR REPLACE MATERIALIZED VIEW v WITH (retention = '7 days') AS SELECT 1 AS a FROM t EMIT ON WINDOW CLOSE",
        "CREATE ALERT a AS SELECT card FROM v WHERE n > 5 WITH (notify = 'webhook:${URL}, webhook:http://x', severity = 'page', key = 'card')",
        "CREATE SINK s INTO postgres FROM v WITH (url = '${PG}', table = 'x', primary_key = 'a,b')",
    ];
    for text in texts {
        let first = defined(text);
        let again = defined(&first.text);
        assert_eq!(
            diff(&first.definition, &again.definition),
            [""; 0],
            "{text}"
        );
        assert_eq!(first.definition, again.definition);
        assert_eq!(first.text, again.text);
        assert!(!again.or_replace && !again.if_not_exists);
    }
}

#[test]
fn variables_stay_and_are_listed() {
    let alert =
        defined("CREATE ALERT a AS SELECT card FROM v WITH (notify = 'webhook:${HOST}/${PATH}')");
    assert_eq!(alert.variables, ["HOST", "PATH"]);
    assert!(alert.text.contains("${HOST}"));
}

#[test]
fn differences_in_words() {
    let old = defined("CREATE SOURCE s (a INT, b TEXT) WITH (topic = 'x')").definition;
    let new = defined("CREATE SOURCE s (a BIGINT, c TEXT) WITH (start = 'latest')").definition;
    let expected = [
        "column a: INT becomes BIGINT",
        "column b goes",
        "column c TEXT comes",
        "option topic = 'x' goes",
        "option start = 'latest' comes",
    ];
    assert_eq!(diff(&old, &new), expected);
    let view = |query: &str| defined(&format!("CREATE MATERIALIZED VIEW v AS {query}")).definition;
    assert_eq!(
        diff(&view("SELECT a  FROM t -- x"), &view("select A\nfrom t")),
        [""; 0]
    );
    let changed = diff(
        &view("SELECT a FROM t WHERE a > 1"),
        &view("SELECT a FROM t WHERE a > 2"),
    );
    assert_eq!(
        changed,
        ["the query changes: \"... t where a > 1 ...\" becomes \"... t where a > 2 ...\""]
    );
}

#[test]
fn emit_and_options_around_a_query() {
    let emit = |text: &str| match parse_one(text, None).unwrap().kind {
        StatementKind::Create(create) => match create.body {
            CreateBody::View { query, emit, .. } => {
                (query.source.text().to_owned(), emit, create.options.len())
            }
            _ => panic!("not a view"),
        },
        _ => panic!("not a CREATE"),
    };
    let view = "CREATE MATERIALIZED VIEW v";
    assert_eq!(
        emit(&format!("{view} AS SELECT a FROM emit EMIT CHANGES;")),
        ("SELECT a FROM emit".to_owned(), Emit::Changes, 0)
    );
    assert_eq!(
        emit(&format!("{view} AS SELECT emit FROM t")),
        ("SELECT emit FROM t".to_owned(), Emit::Changes, 0)
    );
    assert_eq!(
        emit(&format!("{view} AS SELECT a FROM t EMIT ON WINDOW CLOSE")),
        ("SELECT a FROM t".to_owned(), Emit::OnWindowClose, 0)
    );
    let both = emit(&format!(
        "{view} AS WITH x AS (SELECT 1) SELECT a FROM x emit on window close WITH (retention = '1 day')"
    ));
    assert_eq!(
        both,
        (
            "WITH x AS (SELECT 1) SELECT a FROM x".to_owned(),
            Emit::OnWindowClose,
            1
        )
    );
}

#[test]
fn the_other_statements() {
    let text = "SHOW SOURCES; show materialized views; SHOW ALL;; -- nothing
      SHOW CREATE v; DESCRIBE v; EXPLAIN SELECT 1; EXPLAIN v; DROP VIEW IF EXISTS v CASCADE; DROP MATERIALIZED VIEW \"V\";
      SELECT 1; WITH a AS (SELECT 1) SELECT * FROM a; VALUES (1), (2); (SELECT 1)";
    let statements = parse(text, None).unwrap();
    assert_eq!(statements.len(), 13);
    assert!(matches!(
        statements[1].kind,
        StatementKind::Show(ShowKind::Views)
    ));
    assert!(matches!(&statements[8].kind, StatementKind::Drop { name, .. } if name.text == "V"));
    assert_eq!(statements[3].source.text(), "SHOW CREATE v");
}

#[test]
fn an_error_is_shown_under_its_place() {
    let error = parse("SELECT 1;\n  CREATE SORCE s", Some("shop.sql")).unwrap_err();
    let expected = "error: expected SOURCE, TABLE, VIEW, MATERIALIZED VIEW, SINK or ALERT, found \"SORCE\"\n  --> shop.sql:2:10\n   |   CREATE SORCE s\n   |          ^^^^^\n  hint: did you mean \"source\"?";
    assert_eq!(error.render(), expected);
}

#[test]
fn deep_and_long_texts_are_refused_or_taken_without_harm() {
    let texts = [
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}", "(".repeat(60)),
        format!("SELECT {}1", "- ".repeat(4_000)),
        format!("SELECT {}1", "NOT ".repeat(4_000)),
        format!("SELECT 1{}", " + 1".repeat(2_400)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_200)),
        format!(
            "SELECT {} 1 {}",
            "CASE WHEN 1 THEN ".repeat(900),
            "END ".repeat(900)
        ),
        format!(
            "CREATE SOURCE s (a {}INT{})",
            "STRUCT<a ".repeat(1_000),
            ">".repeat(1_000)
        ),
        format!("CREATE SOURCE s (a INT{})", "[]".repeat(2_000)),
        "x".repeat(TEXT_BYTES_MAX + 1),
    ];
    for text in texts {
        let _ = parse(&text, None).map(|all| all.iter().map(define).count());
    }
}

fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "CREATE",
        "SOURCE",
        "TABLE",
        "VIEW",
        "MATERIALIZED",
        "SINK",
        "ALERT",
        "AS",
        "SELECT",
        "FROM",
        "WITH",
        "(",
        ")",
        ",",
        ";",
        "'x'",
        "1",
        "a",
        "\"",
        "'",
        "INT",
        "STRUCT<",
        ">",
        "PRIMARY",
        "KEY",
        "WATERMARK",
        "FOR",
        "EMIT",
        "ON",
        "WINDOW",
        "CLOSE",
        "CHANGES",
        "DROP",
        "SHOW",
        "EXPLAIN",
        "=",
        "*",
        ".",
        "TUMBLE(",
        "INTERVAL",
        "--",
        "/*",
        "\n",
        "${X}",
        "é",
        "\u{1F600}",
        "UNION",
        "ALL",
        "JOIN",
        "GROUP BY",
        "::",
        "[",
        "]",
        "{",
        "$$",
        "E'",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_panics(text in prop_oneof![soup(), ".{0,200}"]) {
        match parse(&text, Some("f")) {
            Ok(all) => all.iter().for_each(|statement| drop(define(statement))),
            Err(error) => prop_assert!(error.line >= 1 && !error.render().is_empty()),
        }
    }
}

/// A statement, what is done to its options, and what it is then.
const ALTERED: &[(&str, &str, &str)] = &[
    (
        "CREATE SINK s INTO topic FROM v WITH (topic = 'a', partitions = 3)",
        "ALTER SINK s SET (topic = 'b', key = 'k')",
        "CREATE SINK s INTO topic FROM v WITH (topic = 'b', partitions = '3', key = 'k')",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (headers.\"X-Trace\" = 'a')",
        "ALTER SINK s SET (headers.by = 'b')",
        "CREATE SINK s INTO topic FROM v WITH (headers.\"X-Trace\" = 'a', headers.by = 'b')",
    ),
    (
        "CREATE SINK s INTO topic FROM v WITH (topic = 'a') -- where it goes",
        "ALTER SINK s RESET topic",
        "CREATE SINK s INTO topic FROM v  -- where it goes",
    ),
    (
        "CREATE MATERIALIZED VIEW v AS SELECT a FROM t -- all",
        "ALTER MATERIALIZED VIEW v SET retention = '7 days'",
        "CREATE MATERIALIZED VIEW v AS SELECT a FROM t -- all\nWITH (retention = '7 days')",
    ),
    (
        "CREATE MATERIALIZED VIEW v WITH (retention = '1 day') AS WITH x AS (SELECT a FROM t) SELECT a FROM x EMIT ON WINDOW CLOSE",
        "ALTER VIEW v SET (retention = '2 days')",
        "CREATE MATERIALIZED VIEW v WITH (retention = '2 days') AS WITH x AS (SELECT a FROM t) SELECT a FROM x EMIT ON WINDOW CLOSE",
    ),
    (
        "CREATE MATERIALIZED VIEW v AS SELECT a FROM t EMIT ON WINDOW CLOSE",
        "ALTER VIEW v SET (retention = '2 days')",
        "CREATE MATERIALIZED VIEW v AS SELECT a FROM t EMIT ON WINDOW CLOSE\nWITH (retention = '2 days')",
    ),
    (
        "CREATE ALERT a AS SELECT k FROM v WHERE n > 1 WITH (notify = 'webhook:${URL}/it''s', severity = 'info')",
        "ALTER ALERT a SET severity = 'page'",
        "CREATE ALERT a AS SELECT k FROM v WHERE n > 1 WITH (notify = 'webhook:${URL}/it''s', severity = 'page')",
    ),
];

#[test]
fn other_options_for_a_statement() {
    for (text, alter, expect) in ALTERED {
        let StatementKind::Alter { changes, .. } = parse_one(alter, None).unwrap().kind else {
            panic!("{alter}")
        };
        let altered = with_options(text, &changes).unwrap();
        assert_eq!(&altered, expect);
        let (before, after) = (defined(text), defined(&altered));
        assert!(!diff(&before.definition, &after.definition).is_empty());
    }
}

#[test]
fn alter_pause_and_resume_read() {
    let of = |text: &str| parse_one(text, None).unwrap().kind;
    for (text, name) in [
        ("PAUSE PIPELINE shop", "shop"),
        ("pause shop", "shop"),
        ("PAUSE pipeline", "pipeline"),
        ("PAUSE MATERIALIZED VIEW v", "v"),
    ] {
        assert!(
            matches!(of(text), StatementKind::Pause(n) if n.text == name),
            "{text}"
        );
    }
    assert!(matches!(of("RESUME sink s"), StatementKind::Resume(n) if n.text == "s"));
    let wrong = [
        ("ALTER VIEW v RENAME TO w", "1:14 expected SET or RESET"),
        ("ALTER v SET (a = 1)", "1:7 expected SOURCE"),
        ("ALTER SINK s SET ()", "1:18 expected an option"),
        (
            "ALTER SINK s SET (a = 1, a = 2)",
            "1:26 option \"a\" is given twice",
        ),
        ("PAUSE", "expected the name of a pipeline"),
        (
            "RESUME PIPELINE a b",
            "1:19 expected the end of the statement",
        ),
    ];
    for (text, expect) in wrong {
        let error = parse_one(text, None).unwrap_err();
        let told = format!("{}:{} {}", error.line, error.column, error.message);
        assert!(told.contains(expect), "{text}: {told}");
    }
    let nothing = [crate::ast::OptionChange {
        name: crate::ast::Name {
            text: "x".into(),
            at: crate::source::Position::START,
        },
        value: None,
    }];
    let error = with_options("CREATE SINK s INTO topic FROM v", &nothing).unwrap_err();
    assert!(error.message.contains("is not set"), "{}", error.message);
}

#[test]
fn offset_is_a_column_where_no_clause_can_stand() {
    let query = |text: &str| {
        let mut statements = parse(text, None).unwrap();
        match statements.remove(0).kind {
            StatementKind::Query(query) => query.ast.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        query("SELECT t.key, offset FROM t WHERE Offset > 3 ORDER BY offset LIMIT 2 OFFSET 1"),
        "SELECT t.key, \"offset\" FROM t WHERE \"offset\" > 3 ORDER BY \"offset\" LIMIT 2 OFFSET 1"
    );
    assert_eq!(
        query("SELECT max(offset) AS offset, t.offset + 1 FROM t OFFSET 4"),
        "SELECT max(\"offset\") AS offset, t.\"offset\" + 1 FROM t OFFSET 4"
    );
}
