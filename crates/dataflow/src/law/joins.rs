//! The law for joins, subqueries and set operations, from SQL to rows. Where DataFusion's answer is not PostgreSQL's, what holds is
//! written out beside it (the planner rewrites such queries for both ways, so that the batch answer is PostgreSQL's too).

use super::*;

/// Where a name says so, `l` only grows in half of the runs; `r` always changes.
const QUERIES: &[&str] = &[
    // Joins of each kind, by key, with a residual condition, and without a key.
    "SELECT l.k, l.s, r.s AS rs FROM l JOIN r ON l.k = r.k",
    "SELECT l.k, l.s, r.k AS rk, r.s AS rs FROM l LEFT JOIN r ON l.k = r.k AND l.f > r.f",
    "SELECT l.k, l.s, r.k AS rk, r.s AS rs FROM l RIGHT JOIN r ON l.k = r.k",
    "SELECT l.k, l.s, r.k AS rk, r.s AS rs FROM l RIGHT JOIN r ON l.k = r.k AND l.f < r.f",
    "SELECT l.k, l.s, r.k AS rk, r.s AS rs FROM l FULL JOIN r ON l.k = r.k",
    "SELECT l.k, l.s, r.k AS rk, r.s AS rs FROM l FULL JOIN r ON l.k = r.k AND l.f > r.f",
    "SELECT l.k, r.k AS rk FROM l FULL JOIN r ON l.k < r.k AND l.s = 'a'",
    "SELECT l.k, r.k AS rk FROM l CROSS JOIN r WHERE l.k > r.k",
    "SELECT l.k, r.k AS rk FROM l, r WHERE l.f + 1 > r.f * 2 AND l.s = 'b'",
    "SELECT l.k, r.k AS rk, l.s, r.s AS rs FROM l JOIN r ON l.s IS NOT DISTINCT FROM r.s",
    "SELECT l.k, r.k AS rk FROM l LEFT JOIN r ON l.s IS NOT DISTINCT FROM r.s AND l.k = r.k",
    "SELECT k, l.s, r.s AS rs FROM l JOIN r USING (k)",
    "SELECT k, s, l.f, r.f AS rf FROM l FULL JOIN r USING (k, s)",
    "SELECT a.k, b.s, c.f FROM l a JOIN l b ON a.k = b.k JOIN r c ON b.s = c.s WHERE a.f > c.f",
    "SELECT a.k, b.k AS bk, c.k AS ck FROM r a LEFT JOIN r b ON a.k = b.k + 1 LEFT JOIN l c ON b.k = c.k + 1",
    "SELECT l.k, r.s FROM l LEFT SEMI JOIN r ON l.k = r.k JOIN r ON l.s = r.s",
    "SELECT l.k, l.s FROM l LEFT ANTI JOIN r ON l.k = r.k AND l.f > r.f",
    "SELECT g.k, g.n, r.s FROM (SELECT k, count(*) AS n FROM l GROUP BY k) g FULL JOIN r ON g.n = r.k",
    // Sides of which only the number of rows matters.
    "SELECT count(*) AS n FROM l, r",
    "SELECT l.k FROM l CROSS JOIN r",
    "SELECT r.s FROM l RIGHT JOIN r ON l.k = 1 AND l.f > 0",
    "SELECT count(*) AS n FROM l WHERE EXISTS (SELECT 1 FROM r WHERE f > 8)",
    "SELECT EXISTS (SELECT 1 FROM r WHERE f > 8) AS e FROM l",
    // IN, EXISTS, ANY, ALL: as conditions, negated, inside others, as values; with NULLs on both sides.
    "SELECT k, s FROM l WHERE k IN (SELECT k FROM r)",
    "SELECT k, s FROM l WHERE k NOT IN (SELECT k FROM r)",
    "SELECT k, s FROM l WHERE k NOT IN (SELECT k FROM r WHERE k IS NOT NULL)",
    "SELECT k, s FROM l WHERE k NOT IN (SELECT k FROM r WHERE r.s = l.s)",
    "SELECT k, s FROM l WHERE k IN (SELECT k FROM r WHERE r.s = l.s AND r.f > l.f)",
    "SELECT k, s FROM l WHERE NOT (k IN (SELECT k FROM r) OR s = 'a')",
    "SELECT k, s FROM l WHERE k IN (SELECT k FROM r) OR s IN (SELECT s FROM r WHERE k > 2)",
    "SELECT k, k IN (SELECT k FROM r) AS a, k NOT IN (SELECT k FROM r WHERE f > 0) AS b FROM l",
    "SELECT k, CASE WHEN s IN (SELECT s FROM r) THEN 'in' WHEN s NOT IN (SELECT s FROM r) THEN 'out' ELSE '?' END AS w FROM l",
    // The same relation inside and outside, without other names.
    "SELECT k, s FROM r WHERE k IN (SELECT k FROM r)",
    "SELECT k, s FROM l WHERE k NOT IN (SELECT k FROM l WHERE f > 0)",
    "SELECT k, f FROM r WHERE f >= ALL (SELECT f FROM r WHERE f IS NOT NULL)",
    "SELECT k, k IN (SELECT k + 1 FROM l) AS a, s = ANY (SELECT s FROM l WHERE k > 2) AS b FROM l",
    "SELECT k FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)",
    "SELECT k FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.s <> l.s)",
    "SELECT k, EXISTS (SELECT 1 FROM r WHERE r.k = l.k) AS e FROM l",
    "SELECT k FROM l WHERE EXISTS (SELECT 1 FROM r WHERE f > 5)",
    "SELECT k FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE f > 5) AND k > 1",
    "SELECT k FROM l WHERE EXISTS (SELECT count(*) FROM r WHERE r.k = l.k)",
    "SELECT k, f FROM l WHERE f > ANY (SELECT f FROM r WHERE r.k = l.k)",
    "SELECT k, f FROM l WHERE f >= ALL (SELECT f FROM r WHERE r.k = l.k)",
    "SELECT k, f FROM l WHERE f <= ALL (SELECT f FROM r)",
    "SELECT k, k = ANY (SELECT k FROM r) AS a, f > ALL (SELECT f FROM r WHERE k > 2) AS b FROM l",
    "SELECT k FROM l WHERE k = ANY (SELECT k FROM r) AND k <> ALL (SELECT k + 1 FROM r WHERE k IS NOT NULL)",
    "SELECT s, count(*) AS n FROM l GROUP BY s HAVING s IN (SELECT s FROM r)",
    "SELECT s, count(*) AS n FROM l GROUP BY s HAVING count(*) > (SELECT count(*) FROM r) / 4",
    "SELECT k IN (SELECT k FROM r) AS a, count(*) AS n FROM l GROUP BY k IN (SELECT k FROM r)",
    "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)) AS n, count(*) AS m FROM l",
    "SELECT l.k, r.s FROM l JOIN r ON l.k = r.k AND l.s IN (SELECT s FROM r WHERE f > 0)",
    "SELECT l.k, r.s FROM l LEFT JOIN r ON l.k = r.k AND r.s IN (SELECT s FROM l WHERE f > 0)",
    "SELECT k FROM l WHERE k IN (SELECT k FROM r WHERE s IN (SELECT s FROM l WHERE f > 0))",
    // Scalar subqueries: alone, correlated, with their rows counted.
    "SELECT k, (SELECT max(f) FROM r) AS m FROM l",
    "SELECT k, (SELECT count(*) FROM r WHERE r.k = l.k) AS n FROM l",
    "SELECT k, (SELECT sum(f) FROM r WHERE r.k = l.k AND f > 0) AS n FROM l WHERE k > 0",
    "SELECT k, f FROM l WHERE f > (SELECT avg(f) FROM r WHERE r.k = l.k)",
    "SELECT k, f FROM l WHERE k + 1 > (SELECT count(*) FROM r WHERE r.s = l.s)",
    "SELECT k, (SELECT s FROM (SELECT s, count(*) AS n FROM r WHERE k = 4 GROUP BY s HAVING count(*) > 100) x) AS m FROM l",
    "SELECT k, (SELECT max(s) FROM r WHERE k = 3) || '!' AS m, (SELECT min(k) FROM l) AS z FROM l",
    "SELECT k FROM l WHERE k IN (SELECT max(k) FROM r WHERE r.s = l.s)",
    "SELECT k FROM l WHERE k NOT IN (SELECT count(*) FROM r WHERE r.s = l.s)",
    // LATERAL and CTEs.
    "SELECT l.k, x.n FROM l CROSS JOIN LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k) x",
    "SELECT l.k, x.s FROM l LEFT JOIN LATERAL (SELECT r.s FROM r WHERE r.k = l.k AND r.f > l.f) x ON true",
    "SELECT l.k, x.s FROM l, LATERAL (SELECT DISTINCT r.s FROM r WHERE r.k = l.k) x",
    "WITH g AS (SELECT k, count(*) AS n FROM l GROUP BY k) SELECT a.k, a.n, b.n AS m FROM g a JOIN g b ON a.k = b.k + 1",
    "WITH g AS (SELECT k, s FROM r WHERE f > 0) SELECT k FROM g WHERE s IN (SELECT s FROM l) UNION ALL SELECT k FROM g",
    // Lists unnested beside their row.
    "SELECT l.k, u.x FROM l, UNNEST(make_array(l.k, l.k + 1)) AS u(x)",
    "SELECT l.k, u.x FROM l CROSS JOIN UNNEST(CASE WHEN l.k > 1 THEN make_array(l.f, 0.5) END) AS u(x) WHERE u.x > 0",
    "SELECT l.k, u.x FROM l LEFT JOIN UNNEST(CASE WHEN l.k > 1 THEN make_array(l.f) END) AS u(x) ON true",
    "SELECT l.k, count(*) AS n FROM l JOIN UNNEST(make_array(1, 2, 3)) AS u(x) ON u.x < l.k GROUP BY l.k",
    // Rows that the query states.
    "SELECT k, s FROM l WHERE k IN (VALUES (1), (2), (NULL))",
    "SELECT l.k, v.name FROM l LEFT JOIN (VALUES (1, 'one'), (2, 'two')) AS v(k, name) ON l.k = v.k",
    "SELECT 1 AS a, 'x' AS b UNION ALL SELECT k, s FROM l",
    "SELECT 5 AS a",
    "SELECT (SELECT count(*) FROM l) AS n, (SELECT max(k) FROM r) AS m",
    "VALUES (1, 'a'), (2, NULL)",
    // Set operations.
    "SELECT k, s FROM l UNION SELECT k, s FROM r",
    "SELECT k, s FROM l UNION ALL SELECT k, s FROM r UNION ALL SELECT k, s FROM l",
    "SELECT k, s FROM l INTERSECT SELECT k, s FROM r",
    "SELECT k FROM l INTERSECT ALL SELECT k FROM r",
    "SELECT k, s FROM l EXCEPT SELECT k, s FROM r",
    "SELECT k FROM l EXCEPT ALL SELECT k FROM r",
    "SELECT k FROM l EXCEPT ALL (SELECT k FROM r INTERSECT ALL SELECT k FROM l)",
    "SELECT DISTINCT k FROM l INTERSECT ALL SELECT k FROM r",
    "SELECT k, count(*) AS n FROM (SELECT k, s FROM l EXCEPT ALL SELECT k, s FROM r) x GROUP BY k",
    "SELECT k FROM l WHERE k IN (SELECT k FROM r EXCEPT SELECT k FROM l WHERE f > 0)",
    "(SELECT k, s FROM l EXCEPT SELECT k, s FROM r) UNION ALL (SELECT k, s FROM r EXCEPT SELECT k, s FROM l)",
];

fn run(text: &str, mut events: Vec<Event>, retracts: bool, step_rows: usize, restart_at: usize) {
    events
        .iter_mut()
        .filter(|e| !retracts && !e.right)
        .for_each(|e| e.goes = None);
    let graph = planned(text, Emit::Changes, !retracts);
    hold(
        &graph,
        &|tables| ad_hoc(text, tables),
        &events,
        step_rows,
        restart_at,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn joins_are_the_batch_answer(
        which in 0..QUERIES.len(),
        retracts in any::<bool>(),
        (events, step_rows, restart_at) in (events(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
    ) {
        run(QUERIES[which], events, retracts, step_rows, restart_at);
    }
}

/// Each text at least once, whatever the seeds are.
#[test]
fn every_join_is_planned_and_runs() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut wrong = Vec::new();
    for text in QUERIES {
        for round in 0..3 {
            let events = events().new_tree(&mut runner).unwrap().current();
            let one = || run(text, events, round == 1, [7, 1, 1000][round], 3);
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(one)) {
                let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                wrong.push(format!(
                    "{text}\n  {}",
                    why.chars().take(600).collect::<String>()
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        QUERIES.len(),
        wrong.join("\n")
    );
}

/// Two sources with watermarks.
pub(super) struct Streams;

impl Catalog for Streams {
    fn relation(&self, name: &str) -> Option<Relation> {
        let known = Two { append_only: true }.relation(name)?;
        Some(Relation {
            kind: RelationKind::Source,
            append_only: true,
            ..known
        })
    }

    fn names(&self) -> Vec<String> {
        vec!["l".into(), "r".into()]
    }
}

const INTERVALS: &[&str] = &[
    "SELECT l.k, l.t, r.t AS rt FROM l JOIN r ON l.k = r.k AND r.t BETWEEN l.t - INTERVAL '1 second' AND l.t + INTERVAL '2 seconds'",
    "SELECT l.k, l.t, r.t AS rt FROM l LEFT JOIN r ON l.k = r.k AND l.t >= r.t AND l.t < r.t + INTERVAL '1500 milliseconds'",
    "SELECT l.k, l.t, r.k AS rk, r.t AS rt FROM l FULL JOIN r ON l.s = r.s AND l.t > r.t - INTERVAL '2 seconds' AND r.t + INTERVAL '1 second' > l.t AND l.f > r.f",
    "SELECT l.k, r.k AS rk FROM l JOIN r ON l.t - INTERVAL '1 second' <= r.t AND l.t >= r.t",
    "SELECT l.k, l.t FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.t BETWEEN l.t AND l.t + INTERVAL '1 second')",
    "SELECT l.k, l.t FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.t BETWEEN l.t - INTERVAL '1 second' AND l.t + INTERVAL '1 second')",
    // Bounds through computed columns, and a join of three.
    "SELECT l.k, q.at FROM l JOIN (SELECT k, t AS at, t + INTERVAL '2 seconds' AS until FROM r WHERE k > 0) q ON l.k = q.k AND l.t >= q.at AND l.t < q.until",
    "SELECT a.k, a.t, c.t AS ct FROM l a JOIN r b ON a.k = b.k AND a.t BETWEEN b.t - INTERVAL '1 second' AND b.t \
        JOIN l c ON c.s = a.s AND c.t BETWEEN a.t - INTERVAL '1 second' AND a.t + INTERVAL '1 second'",
];

/// Most that a row of these tests is behind the newest, microseconds.
pub(super) const DISORDER_US: i64 = 2_000_000;

pub(super) fn streamed() -> impl Strategy<Value = Vec<Event>> {
    let event = (any::<bool>(), row(), 0..=DISORDER_US / 100_000);
    prop::collection::vec(event, 0..150).prop_map(|events| {
        let timed = events.into_iter().zip(0i64..);
        let timed = timed.map(|((right, mut row, behind), number)| {
            row.4 = row.4.map(|_| number * 300_000 - behind * 100_000);
            Event {
                right,
                row,
                goes: None,
            }
        });
        timed.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// With a watermark that follows the rows, what is let go is never missed, and something is let go.
    #[test]
    fn interval_joins_let_go_of_nothing_that_matches(
        which in 0..INTERVALS.len(),
        (events, step_rows, restart_at) in (streamed(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
    ) {
        let text = INTERVALS[which];
        let graph = Planner::new(&Streams).plan_query(&query(text), Emit::Changes).unwrap().graph;
        let joins = graph.nodes.iter().filter_map(|n| match &n.op {
            headwater_sql::graph::Op::Join(join) => Some(join.within.is_some()),
            _ => None,
        });
        prop_assert!(joins.clone().count() > 0 && joins.clone().all(|within| within), "{}", headwater_sql::explain::graph(&graph));
        let (changes, live) = play(&events);
        let mut running = Dataflow::new(&graph).unwrap();
        let mut torn = Torn::new(&graph);
        let (mut view, mut most) = (View::default(), 0);
        for (number, step) in changes.chunks(step_rows).chain(std::iter::once(&changes[..0])).enumerate() {
            if number == restart_at {
                running = reborn(&graph, &running);
                torn.restart(&graph);
            }
            let done = ((number + 1) * step_rows).min(changes.len()) as i64;
            let ended = step.is_empty();
            let mut ctx = context();
            ctx.watermark_us = if ended { i64::MAX } else { done * 300_000 - DISORDER_US };
            view.apply(&running.step(deltas(step), &mut ctx).unwrap());
            torn.step(deltas(step), ctx.watermark_us);
            prop_assert_eq!(&view, &torn.view, "the same in parts");
            prop_assert!(ctx.late.is_empty(), "no row here is late");
            let rows: usize = running.status().iter().filter(|n| n.kind == "join").map(|n| n.state_rows).sum();
            most = most.max(rows);
            if ended {
                prop_assert_eq!(rows, 0, "all let go in the end");
            }
        }
        if step_rows < 100 && changes.len() > 120 && which < 2 {
            prop_assert!(most < changes.len() * 3 / 4, "{} rows of {} held", most, changes.len());
        }
        let tables: [(&str, RecordBatch); 2] = [("l", rows(&live[0])), ("r", rows(&live[1]))];
        prop_assert_eq!(view, ad_hoc(text, &tables));
    }
}

#[test]
fn rows_behind_the_watermark_are_late_and_left_out() {
    let graph = Planner::new(&Streams)
        .plan_query(&query(INTERVALS[0]), Emit::Changes)
        .unwrap()
        .graph;
    let mut running = Dataflow::new(&graph).unwrap();
    let at = |seconds: i64| (Some(1), None, None, None, Some(seconds * 1_000_000));
    let mut step = |name: &str, row: Row, watermark_s: i64| {
        let mut ctx = context();
        ctx.watermark_us = watermark_s * 1_000_000;
        let out = running.step([(name, vec![delta(&[(row, true)])])], &mut ctx);
        (
            out.unwrap().iter().map(Delta::len).sum::<usize>(),
            ctx.late.len(),
        )
    };
    assert_eq!(step("l", at(10), 10), (0, 0));
    assert_eq!(step("r", at(12), 12), (1, 0), "the watermark was at 10");
    assert_eq!(
        step("r", at(11), 12),
        (0, 1),
        "behind the watermark: told, left out"
    );
    assert_eq!(step("r", at(12), 13), (1, 0));
    assert_eq!(step("l", at(20), 20), (0, 0));
    assert_eq!(step("r", at(20), 20), (1, 0));
}

fn fixed(text: &str, l: &[Option<i64>], r: &[Option<i64>]) -> Vec<String> {
    let graph = planned(text, Emit::Changes, false);
    let mut running = Dataflow::new(&graph).unwrap();
    let side = |keys: &[Option<i64>]| {
        let rows: Vec<_> = keys
            .iter()
            .map(|k| ((*k, None, None, None, None), true))
            .collect();
        vec![delta(&rows)]
    };
    let out = running.step([("l", side(l)), ("r", side(r))], &mut context());
    let mut view = View::default();
    view.apply(&out.unwrap());
    let lines = view.0.into_iter();
    lines
        .flat_map(|(line, n)| std::iter::repeat_n(line, n as usize))
        .collect()
}

/// What PostgreSQL answers, where DataFusion by itself answers otherwise.
#[test]
fn answers_of_postgresql() {
    let (l, r) = (
        [Some(1), Some(1), Some(1), Some(2), None],
        [Some(1), Some(1), Some(3), None],
    );
    let all = |op: &str| fixed(&format!("SELECT k FROM l {op} ALL SELECT k FROM r"), &l, &r);
    assert_eq!(all("INTERSECT"), ["1", "1", "NULL"]);
    assert_eq!(all("EXCEPT"), ["1", "2"]);
    let not_in = "SELECT k FROM l WHERE k NOT IN (SELECT k FROM r)";
    assert_eq!(
        fixed(not_in, &l, &r),
        Vec::<String>::new(),
        "a NULL in the set"
    );
    assert_eq!(fixed(not_in, &l, &r[..3]), ["2"]);
    assert_eq!(fixed(not_in, &l, &[]), ["1", "1", "1", "2", "NULL"]);
    let value = "SELECT k, k IN (SELECT k FROM r) AS a FROM l";
    assert_eq!(fixed(value, &l[2..], &r), ["1|true", "2|NULL", "NULL|NULL"]);
    assert_eq!(
        fixed(value, &l[2..], &[]),
        ["1|false", "2|false", "NULL|false"]
    );
}

/// A scalar subquery with two rows is an error of the row that asks, and only as long as there are two.
#[test]
fn a_scalar_subquery_of_two_rows_withholds_the_row_that_asks() {
    let text = "SELECT k, (SELECT s FROM r WHERE r.k = l.k) AS s FROM l";
    let mut running = Dataflow::new(&planned(text, Emit::Changes, false)).unwrap();
    let row = |k: i64, s: &str| (Some(k), Some(s.to_owned()), None, None, None);
    let mut view = View::default();
    let mut step = |name: &str, changes: &[(Row, bool)]| {
        let mut ctx = context();
        let out = running
            .step([(name, vec![delta(changes)])], &mut ctx)
            .unwrap();
        view.apply(&out);
        (view.0.keys().cloned().collect::<Vec<_>>(), ctx.errors.len())
    };
    step("l", &[(row(1, ""), true), (row(2, ""), true)]);
    let (rows, errors) = step("r", &[(row(1, "a"), true), (row(2, "b"), true)]);
    assert_eq!((rows, errors), (vec!["1|a".into(), "2|b".into()], 0));
    let (rows, errors) = step("r", &[(row(1, "c"), true)]);
    assert_eq!((rows, errors), (vec!["2|b".into()], 1));
    let (rows, _) = step("r", &[(row(1, "a"), false)]);
    assert_eq!(rows, ["1|c", "2|b"]);
}
