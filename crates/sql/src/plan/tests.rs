//! Plan shapes and what is inferred of them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::model::Definition;
use crate::{define, explain, parse};

/// A catalog made from statements.
#[derive(Default)]
pub(crate) struct TestCatalog(BTreeMap<String, Relation>);

impl Catalog for TestCatalog {
    fn relation(&self, name: &str) -> Option<Relation> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl TestCatalog {
    pub fn of(text: &str) -> Self {
        let mut catalog = Self::default();
        for statement in parse(text, None).unwrap() {
            let defined = define(&statement).unwrap().unwrap();
            let relation = match &defined.definition {
                Definition::Source(source) => source.relation(),
                Definition::Table(table) => table.relation(),
                Definition::View(view) if view.materialized => Planner::new(&catalog)
                    .plan_view(view)
                    .unwrap()
                    .relation(&view.name),
                Definition::View(view) => view.inline_relation(),
                _ => continue,
            };
            catalog.0.insert(relation.name.clone(), relation);
        }
        catalog
    }
}

const SHOP: &str = "
CREATE SOURCE payments (id BIGINT, card TEXT, amount DOUBLE, cents BIGINT, country TEXT, item STRUCT<sku TEXT, n INT>, ts TIMESTAMPTZ,
  WATERMARK FOR ts AS ts - INTERVAL '5 seconds');
CREATE SOURCE clicks (card TEXT, page TEXT);
CREATE TABLE cards (card TEXT PRIMARY KEY, owner TEXT, since TIMESTAMPTZ);
CREATE VIEW big AS SELECT * FROM payments WHERE amount > 100;
CREATE MATERIALIZED VIEW per_card AS SELECT card, count(*) AS n FROM payments GROUP BY card;
";

pub(crate) fn plan(query: &str) -> Result<PlannedView> {
    let (query, emit) = match query.strip_suffix(" EMIT ON WINDOW CLOSE") {
        Some(query) => (query, Emit::OnWindowClose),
        None => (query, Emit::Changes),
    };
    let catalog = TestCatalog::of(SHOP);
    let query = parse_query(Source::new(Some("v.sql"), query))?;
    Planner::new(&catalog).plan_query(&query, emit)
}

#[track_caller]
fn check(query: &str, expect: &str) {
    let planned = plan(query).unwrap_or_else(|e| panic!("{}", e.render()));
    let shown = explain::graph(&planned.graph);
    assert_eq!(shown.trim(), expect.trim(), "\n{shown}");
}

#[test]
fn filters_and_expressions_keep_event_time() {
    check(
        "SELECT card, cents + 1 AS c, item.n, ts FROM payments WHERE amount > 3 AND card = 'x'",
        "
project-2 card, checked_add(cents, 1) AS c, get_field(item, n) AS n, ts  [appends; watermark ts]
  filter-1 amount > 3 AND card = x  [appends; watermark ts]
    project-1 card, amount, cents, item, ts  [appends; watermark ts]
      relation-1 payments  [appends; watermark ts]",
    );
}

#[test]
fn windows_through_an_inline_view_and_an_alias() {
    check(
        "SELECT country, window_start, window_end, sum(amount) AS s FROM HOP(big, ts, INTERVAL '1 minute', INTERVAL '5 minutes') w GROUP BY 1, 2, 3",
        "
project-4 country, window_start, window_end, sum(w.amount) AS s  [retracts; key country, window_start, window_end; window window_end]
  aggregate-1 sum(amount) BY country, window_start, window_end  [retracts; key country, window_start, window_end; state: a row a group; window window_end]
    project-3 amount, country, get_field(__windows, window_start) AS window_start, get_field(__windows, window_end) AS window_end  [appends; window window_end]
      unnest-1 each of __windows  [appends]
        project-2 amount, country, hop_windows(ts, 60000000, 300000000) AS __windows  [appends]
          filter-1 amount > 100  [appends; watermark ts]
            project-1 amount, country, ts  [appends; watermark ts]
              relation-1 payments  [appends; watermark ts]",
    );
}

#[test]
fn joins() {
    check(
        "SELECT p.id, p.card, c.owner FROM payments p LEFT JOIN cards c ON p.card = c.card AND p.amount > 3",
        "
project-3 id, card, owner  [retracts]
  join-1 left ON project-1.card = project-2.card AND amount > 3  [retracts; state: both sides]
    project-1 id, card, amount  [appends]
      relation-1 payments  [appends; watermark ts]
    project-2 card, owner  [retracts; key card]
      relation-2 cards  [retracts; key card]",
    );
    check(
        "SELECT c.card, c.owner, p.n FROM per_card p RIGHT JOIN cards c ON p.card = c.card",
        "
project-3 card, owner, n  [retracts; key card]
  project-2 card, n, card, owner  [retracts; key card]
    join-1 left ON project-1.card = relation-2.card  [retracts; key card; state: both sides]
      project-1 card, owner  [retracts; key card]
        relation-1 cards  [retracts; key card]
      relation-2 per_card  [retracts; key card]",
    );
}

#[test]
fn counting_rows_needs_no_column() {
    check(
        "SELECT count(*) FROM payments",
        "
project-2 count(Int64(1)) AS count  [retracts; one row]
  aggregate-1 count(*)  [retracts; one row; state: a row a group]
    project-1 true AS __row  [appends]
      relation-1 payments  [appends; watermark ts]",
    );
}

#[test]
fn window_functions_and_first_rows() {
    check(
        "SELECT id, sum(amount) OVER (PARTITION BY card ORDER BY ts) AS s, lag(id) OVER w AS l FROM payments WINDOW w AS (PARTITION BY card ORDER BY id)",
        "
project-2 id, sum(payments.amount) PARTITION BY [payments.card] ORDER BY [payments.ts ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS s, lag(payments.id) PARTITION BY [payments.card] ORDER BY [payments.id ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW AS l  [retracts]
  over-1 lag(payments.id) ORDER id THEN sum(payments.amount) ORDER ts BY card  [retracts; state: all rows; watermark ts]
    project-1 id, card, amount, ts  [appends; watermark ts]
      relation-1 payments  [appends; watermark ts]",
    );
    check(
        "SELECT id, card FROM (SELECT *, row_number() OVER (PARTITION BY card ORDER BY ts DESC) AS n FROM payments) p WHERE n <= 1",
        "
project-3 id, card  [retracts; key card]
  project-2 id, card, row_number() PARTITION BY [payments.card] ORDER BY [payments.ts DESC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW  [retracts; key card]
    top-1 first 1 BY card ORDER ts DESC  [retracts; key card; state: 1 rows a key; watermark ts]
      project-1 id, card, ts  [appends; watermark ts]
        relation-1 payments  [appends; watermark ts]",
    );
    check(
        "SELECT card, n FROM per_card ORDER BY n DESC LIMIT 10 OFFSET 2",
        "
project-1 card, n  [retracts; key card]
  top-1 3 to 12 ORDER n DESC, card  [retracts; key card; state: all rows]
    relation-1 per_card  [retracts; key card]",
    );
}

#[test]
fn closing_windows() {
    let query = "SELECT card, window_end, count(*) AS n FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY card, window_start, window_end";
    let running = plan(query).unwrap();
    assert_eq!(
        (running.props.changelog, running.props.window_end),
        (Changelog::Retracting, Some(1))
    );
    let closed = plan(&format!("{query} EMIT ON WINDOW CLOSE")).unwrap();
    assert_eq!(
        (closed.props.changelog, closed.props.event_time),
        (Changelog::AppendOnly, Some(1))
    );
    let close = closed.graph.nodes.iter().find_map(|n| match &n.op {
        crate::graph::Op::Aggregate(aggregate) => aggregate.close,
        _ => None,
    });
    assert_eq!(close, Some(2));
}

#[test]
fn types_and_names_of_results() {
    let names = |query: &str| {
        let columns = explain::columns(
            &plan(query)
                .unwrap_or_else(|e| panic!("{}", e.render()))
                .schema,
        );
        columns
            .into_iter()
            .map(|(name, t)| format!("{name} {t}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(
        names(
            "SELECT sum(cents), avg(cents), count(DISTINCT card) AS d, max(ts), sum(amount) AS f FROM payments"
        ),
        "sum DECIMAL(38, 0), avg DOUBLE, d BIGINT, max TIMESTAMPTZ, f DOUBLE"
    );
    assert_eq!(
        names("SELECT item.sku, p.ts::DATE, now() AS at, upper(card) FROM payments p"),
        "sku TEXT, ts DATE, at TIMESTAMPTZ, upper TEXT"
    );
    assert_eq!(
        names("SELECT card FROM payments UNION SELECT card FROM cards"),
        "card TEXT"
    );
}

/// Query, then where and what the error is, then a part of the hint.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "SELECT cart FROM payments",
        "1:8 there is no column \"cart\"",
        "\"card\"",
    ),
    (
        "SELECT p.cart FROM payments p",
        "1:8 there is no column \"cart\"",
        "\"card\"",
    ),
    (
        "SELECT card FROM payment",
        "1:18 there is no source, table, view or topic \"payment\"",
        "payments",
    ),
    (
        "SELECT lenght(card) FROM payments",
        "1:8 there is no function \"lenght\"",
        "length",
    ),
    (
        "SELECT card FROM payments ORDER BY ts",
        "1:36 ORDER BY without LIMIT",
        "ad-hoc",
    ),
    (
        "SELECT card FROM payments LIMIT 3",
        "1:33 LIMIT without ORDER BY",
        "ORDER BY",
    ),
    (
        "SELECT card FROM payments ORDER BY ts OFFSET 3",
        "1:39 OFFSET without LIMIT",
        "LIMIT",
    ),
    (
        "SELECT card FROM payments ORDER BY ts LIMIT 5000000",
        "1:39 LIMIT and OFFSET of a view may keep",
        "ad-hoc",
    ),
    (
        "SELECT card, card FROM payments",
        "1:14 two columns of the",
        "AS",
    ),
    (
        "SELECT n, now() AS x FROM per_card",
        "1:11 now() over rows that may be taken back",
        "before",
    ),
    (
        "SELECT card FROM payments WHERE ts > now() - INTERVAL '1 month'",
        "1:38 now() in a condition must be compared with a time of the row",
        "write days",
    ),
    (
        "SELECT card FROM payments WHERE ts > now() - INTERVAL '1 hour' OR amount > 5",
        "1:38 now() in a condition must be compared with a time of the row",
        "UNION",
    ),
    (
        "SELECT card FROM payments WHERE extract(hour FROM now()) = 3",
        "1:51 now() in a condition must be compared with a time of the row",
        "joined by AND",
    ),
    (
        "SELECT string_agg(DISTINCT card, ',' ORDER BY id) AS m FROM payments",
        "1:8 ",
        "DISTINCT",
    ),
    (
        "SELECT max_by(id, amount) OVER (PARTITION BY card) AS m FROM payments",
        "1:8 max_by is not known with OVER",
        "first_value",
    ),
    (
        "SELECT * FROM TUMBLE(payments, card, INTERVAL '1 minute')",
        "1:32 a window needs a time, but this is TEXT",
        "computed",
    ),
    (
        "SELECT * FROM TUMBLE(payments, ts, INTERVAL '1 month 3 days')",
        "1:45 months and days together",
        "alone",
    ),
    (
        "SELECT * FROM TUMBLE(payments, ts, INTERVAL '1 day', 'Europe/Berlim')",
        "1:54 there is no time zone \"Europe/Berlim\"",
        "Europe/Berlin",
    ),
    (
        "SELECT * FROM CUMULATE(payments, ts, INTERVAL '2 hours', INTERVAL '3 hours')",
        "1:15 CUMULATE: the size must be a multiple",
        "CUMULATE(",
    ),
    (
        "SELECT * FROM SESSION(payments PARTITION BY card, ts, INTERVAL '1 month')",
        "1:64 months and years have no fixed length",
        "gap",
    ),
    (
        "SELECT * FROM TUMBLE(payments, time => ts, length => INTERVAL '1 minute', zome => 'UTC')",
        "1:15 TUMBLE: there is no argument \"zome\"",
        "TUMBLE(",
    ),
    (
        "SELECT * FROM TUMBLE(payments, ts)",
        "1:15 TUMBLE: expected 3 arguments, found 2",
        "TUMBLE(relation",
    ),
    (
        "SELECT * FROM TUMBL(payments, ts, INTERVAL '1 minute')",
        "1:15 there is no function TUMBL in FROM",
        "tumble",
    ),
    (
        "SELECT * FROM HOP(payments, ts, INTERVAL '1 ms', INTERVAL '1 day')",
        "1:15 HOP: a row would be in more than",
        "",
    ),
    (
        "SELECT card FROM payments EMIT ON WINDOW CLOSE",
        "1:18 EMIT ON WINDOW CLOSE needs a window",
        "window_end",
    ),
    (
        "SELECT card, count(*) AS n FROM payments GROUP BY card EMIT ON WINDOW CLOSE",
        "1:51 EMIT ON WINDOW CLOSE needs a window",
        "WATERMARK",
    ),
    (
        "SELECT window_start, count(*) AS n FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE",
        "1:92 EMIT ON WINDOW CLOSE needs window_end among",
        "add window_end",
    ),
    (
        "SELECT id, (SELECT max(n) FROM (SELECT count(*) AS n FROM cards c WHERE c.since > p.ts GROUP BY ROLLUP (c.owner)) x) AS o FROM payments p",
        "1:13 this subquery depends on the outer row",
        "JOIN",
    ),
    (
        "SELECT id FROM payments p WHERE EXISTS (SELECT 1 FROM cards c LEFT JOIN (SELECT card FROM clicks k WHERE k.card = p.card) x ON x.card = c.card)",
        "1:41 the optional side of a join cannot depend",
        "JOIN",
    ),
    (
        "SELECT id FROM payments p WHERE EXISTS (SELECT 1 FROM (SELECT card FROM clicks k WHERE k.card = p.card) x RIGHT JOIN cards c ON x.card = c.card)",
        "1:41 the optional side of a join cannot depend",
        "JOIN",
    ),
    (
        "SELECT id FROM payments p WHERE EXISTS (SELECT 1 FROM (SELECT card FROM clicks k WHERE k.card = p.card) x FULL JOIN cards c ON x.card = c.card)",
        "1:41 the optional side of a join cannot depend",
        "JOIN",
    ),
    (
        "SELECT id FROM payments WHERE card IN (SELECT card, owner FROM cards)",
        "1:47 too many columns",
        "one column",
    ),
    (
        "SELECT card FROM payments INTERSECT SELECT card, owner FROM cards",
        "1:27 INTERSECT queries have different number of columns",
        "",
    ),
    (
        "SELECT p.id FROM payments p ASOF JOIN cards c MATCH_CONDITION (p.ts >= c.since) ON p.card = c.card",
        "1:39 ASOF JOIN",
        "row_number()",
    ),
    (
        "SELECT p.id FROM payments p JOIN per_card FOR SYSTEM_TIME AS OF p.ts AS c ON p.card = c.card",
        "1:34 \"per_card\" has only the newest version",
        "made of",
    ),
    (
        "SELECT p.id FROM payments p JOIN clicks FOR SYSTEM_TIME AS OF p.ts AS c ON p.card = c.card",
        "1:34 the versions of \"clicks\" have no event time",
        "WATERMARK",
    ),
    (
        "SELECT p.id FROM payments p RIGHT JOIN payments FOR SYSTEM_TIME AS OF p.ts AS c ON p.card = c.card",
        "1:40 FOR SYSTEM_TIME AS OF",
        "LEFT JOIN",
    ),
    (
        "SELECT p.id FROM payments p JOIN payments FOR SYSTEM_TIME AS OF p.ts AS c ON p.id > c.id",
        "1:34 FOR SYSTEM_TIME AS OF needs a key",
        "s.key = t.key",
    ),
    (
        "SELECT p.id FROM payments p JOIN payments FOR SYSTEM_TIME AS OF p.ts AS c USING (card)",
        "1:34 FOR SYSTEM_TIME AS OF needs its condition",
        "ON s.key = t.key",
    ),
    (
        "SELECT id FROM payments FOR SYSTEM_TIME AS OF '2024-01-01' AS p",
        "1:16 FOR SYSTEM_TIME AS OF is known of the right side",
        "JOIN",
    ),
    (
        "SELECT c.owner FROM cards c JOIN payments FOR SYSTEM_TIME AS OF now() AS p ON p.card = c.card",
        "1:43 FOR SYSTEM_TIME AS OF now()",
        "without FOR SYSTEM_TIME",
    ),
    (
        "SELECT p.id FROM payments p LEFT JOIN cart FOR SYSTEM_TIME AS OF p.ts AS c ON p.card = c.card",
        "1:39 there is no source, table or view \"cart\"",
        "source",
    ),
    (
        "SELECT p.id FROM payments p JOIN cards c USING (cart)",
        "1:49 there is no column \"cart\"",
        "card",
    ),
    (
        "SELECT x FROM UNNEST(make_array(1)) WITH ORDINALITY AS u(x)",
        "1:22 WITH ORDINALITY",
        "leave it out",
    ),
    (
        "SELECT card, COLLECT(id) AS ids FROM payments GROUP BY card",
        "1:14 COLLECT",
        "array_agg",
    ),
    (
        "SELECT m FROM payments, regexp_matches(card, 'a', 'g') AS m",
        "1:25 regexp_matches",
        "regexp_match(",
    ),
];

#[test]
fn refused_queries() {
    let mut wrong = Vec::new();
    for (query, expect, hint) in REFUSED {
        let Err(error) = plan(query) else {
            wrong.push(format!("{query}\n  is taken"));
            continue;
        };
        let told = format!("{}:{} {}", error.line, error.column, error.message);
        let hinted = error.hint.clone().unwrap_or_default();
        if !told.starts_with(expect) || !hinted.contains(hint) {
            wrong.push(format!(
                "{query}\n  told:   {told}\n  expect: {expect}\n  hint:   {hinted} / {hint}"
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

#[test]
fn versions_are_joined_by_time_and_a_look_up_keeps_no_left_rows() {
    let explained = |query: &str| crate::explain::graph(&plan(query).unwrap().graph);
    let versions = explained(
        "SELECT p.id, c.* FROM (SELECT id, card AS own, ts AS at FROM payments) p LEFT JOIN cards AS c FOR SYSTEM_TIME AS OF p.at ON p.own = c.card AND c.owner > 'a'",
    );
    assert!(versions.contains("left as of at ON"), "{versions}");
    assert!(versions.contains("all versions"), "{versions}");
    let both = explained(
        "SELECT p.id FROM payments p JOIN payments FOR SYSTEM_TIME AS OF p.ts AS q ON p.card = q.card",
    );
    assert!(both.contains("the newest version before that"), "{both}");
    assert!(
        !versions.lines().next().unwrap().contains("__from"),
        "{versions}"
    );
    let looked_up = "SELECT p.id, c.owner FROM payments p LEFT JOIN cards FOR SYSTEM_TIME AS OF PROCTIME() AS c ON p.card = c.card WHERE p.id > 1";
    let planned = plan(looked_up).unwrap();
    assert_eq!(planned.props.changelog, Changelog::AppendOnly);
    let looked_up = crate::explain::graph(&planned.graph);
    assert!(looked_up.contains("left as of now()"), "{looked_up}");
    assert!(looked_up.contains("state: right side"), "{looked_up}");
}

#[test]
fn chains_as_long_as_are_taken_plan_and_longer_ones_are_refused() {
    let sums = |n: usize| format!("SELECT cents{} AS c FROM payments", " + 1".repeat(n));
    let unions = |n: usize| {
        format!(
            "SELECT card FROM payments{}",
            " UNION ALL SELECT card FROM payments".repeat(n)
        )
    };
    plan(&sums(199)).unwrap();
    plan(&unions(90)).unwrap();
    for text in [sums(2_000), unions(500)] {
        assert!(parse(&text, None).is_err());
    }
}

/// Planning is part of starting a pipeline; the bound is wide because the machine may be busy.
#[test]
fn planning_a_view_is_quick() {
    let query = "SELECT card, window_end, count(*) AS n FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY card, window_start, window_end";
    let catalog = TestCatalog::of(SHOP);
    let query = parse_query(Source::new(None, query)).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        Planner::new(&catalog)
            .plan_query(&query, Emit::Changes)
            .unwrap();
    }
    let each = started.elapsed() / 20;
    println!("planned in {each:?}");
    assert!(each.as_millis() < 500, "{each:?}");
}

/// How late rows may be is nothing to guess: whoever needs a watermark is told what to write, in the names of his source.
#[test]
fn a_missing_watermark_is_written_out() {
    let catalog = TestCatalog::of(
        "CREATE SOURCE readings (id BIGINT, \"sentAt\" TIMESTAMPTZ METADATA FROM 'timestamp') WITH (topic = 'r')",
    );
    let add = "add to CREATE SOURCE readings: WATERMARK FOR \"sentAt\" AS \"sentAt\" - INTERVAL '5 seconds'";
    let query = "SELECT window_end, count(*) AS n FROM TUMBLE(readings, \"sentAt\", INTERVAL '1 minute') GROUP BY window_end";
    let query = parse_query(Source::new(None, query)).unwrap();
    let planner = Planner::new(&catalog);
    assert!(planner.planned(&query, Emit::Changes, None).is_ok());
    let closed = planner.planned(&query, Emit::OnWindowClose, None);
    let aged = planner.planned(&query, Emit::Changes, Some(1_000));
    for refused in [closed, aged] {
        let error = refused.unwrap_err();
        assert!(
            error.hint.clone().unwrap_or_default().contains(add),
            "{}",
            error.render()
        );
    }
}
