#![allow(clippy::unwrap_used)]
//! Plan shapes and what is inferred of them.

use std::collections::BTreeMap;

use super::*;
use crate::graph::Op;
use crate::model::Definition;
use crate::{define, parse, schema_of};

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
                Definition::View(view) if view.materialized => Planner::new(&catalog).plan_view(view).unwrap().relation(&view.name),
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
    let shown = crate::explain::graph(&planned.graph);
    assert_eq!(shown.trim(), expect.trim(), "\n{shown}");
}

#[test]
fn shapes() {
    for query in ["SELECT card, cents + 1 AS c, item.n FROM payments WHERE amount > 3 AND card = 'x'",
      "SELECT card, window_end, count(*), sum(cents) AS s, avg(amount), count(DISTINCT country) FILTER (WHERE amount > 1) AS d FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY card, window_start, window_end HAVING count(*) > 3 EMIT ON WINDOW CLOSE",
      "SELECT country, window_start, window_end, sum(amount) AS s FROM HOP(big AS b, ts, INTERVAL '1 minute', INTERVAL '5 minutes') GROUP BY 1,2,3",
      "SELECT country, window_start, window_end, sum(amount) AS s FROM HOP(big, ts, INTERVAL '1 minute', INTERVAL '5 minutes') w GROUP BY 1,2,3",
      "SELECT p.id, p.card, c.owner FROM payments p LEFT JOIN cards c ON p.card = c.card AND c.owner <> 'x'",
      "SELECT p.card, c.owner, p.n FROM per_card p RIGHT JOIN cards c ON p.card = c.card",
      "SELECT p.card, c.owner, p.n FROM per_card p, cards c where p.card = c.card",
      "SELECT card FROM payments UNION ALL SELECT page FROM clicks",
      "SELECT DISTINCT country FROM payments",
      "SELECT count(*) FROM payments",
      "WITH a AS (SELECT card, max(amount) AS m FROM payments GROUP BY card) SELECT count(*) AS n, max(m) AS m FROM a WHERE m > 3",
      ] {
        match plan(query) { Ok(p) => println!("{query}\n{}\n{:?}", crate::explain::graph(&p.graph), p.schema.fields().iter().map(|f| format!("{}:{}", f.name(), f.data_type())).collect::<Vec<_>>()), Err(e) => println!("{query}\n{}\n", e.render()) }
    }
}
