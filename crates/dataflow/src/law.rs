//! The law, as a property of random graphs, rows and cuts: a view's rows are the batch answer over the same rows, its changelog adds up, and a
//! restored dataflow goes on exactly as the first one would have.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use headwater_sql::Planner;
use headwater_sql::ast::StatementKind;
use headwater_sql::graph::{Changelog, Graph};
use headwater_sql::model::{Catalog, Emit, Relation, RelationKind};
use proptest::prelude::*;

mod as_of;
mod cases;
mod joins;

use self::cases::{CASES, case};
use crate::spill::{Division, MemoryStore};
use crate::testing::*;
use crate::{Dataflow, Delta, StepContext, consolidate};

/// One thing that happens to a relation: a row comes, or one that is there goes (the number picks it).
#[derive(Clone, Debug)]
struct Event {
    right: bool,
    row: Row,
    goes: Option<usize>,
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![
        "[ab]{0,2}",
        Just("a longer text that is not short".to_owned())
    ];
    (
        proptest::option::weighted(0.9, -3i64..6),
        proptest::option::weighted(0.85, text),
        // Quarters add up exactly, so that the order of a batch sum does not show.
        proptest::option::weighted(0.8, (-40i32..40).prop_map(|q| f64::from(q) / 4.0)),
        proptest::option::weighted(0.8, -500i128..500),
        proptest::option::weighted(0.9, (0i64..8).prop_map(|m| m * 1_000_000)),
    )
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let goes = proptest::option::weighted(0.35, 0usize..1000);
    let event =
        (any::<bool>(), row(), goes).prop_map(|(right, row, goes)| Event { right, row, goes });
    prop::collection::vec(event, 0..120)
}

/// The events as changes, and the rows that are left in the end.
fn play(events: &[Event]) -> (Vec<(bool, (Row, bool))>, [Vec<Row>; 2]) {
    let mut live = [Vec::new(), Vec::new()];
    let mut changes = Vec::new();
    for event in events {
        let rows = &mut live[usize::from(event.right)];
        match event.goes {
            Some(pick) if !rows.is_empty() => {
                let gone: Row = rows.swap_remove(pick % rows.len());
                changes.push((event.right, (gone, false)));
            }
            _ => {
                rows.push(event.row.clone());
                changes.push((event.right, (event.row.clone(), true)));
            }
        }
    }
    (changes, live)
}

/// One step's input: runs of the same relation as one delta each.
fn deltas(changes: &[(bool, (Row, bool))]) -> Vec<(&'static str, Vec<Delta>)> {
    let runs = changes.chunk_by(|a, b| a.0 == b.0);
    runs.map(|run| {
        let rows: Vec<(Row, bool)> = run.iter().map(|c| c.1.clone()).collect();
        (if run[0].0 { "r" } else { "l" }, vec![delta(&rows)])
    })
    .collect()
}

/// The same dataflow with its state in as many parts as there can be, none of which may stay in memory.
struct Torn {
    division: Division,
    running: Dataflow,
    view: View,
}

impl Torn {
    fn new(graph: &Graph) -> Self {
        let division = Division {
            part_bytes_max: 1,
            threads_max: 2,
            parallel_rows_min: 4,
            store: Some(Arc::new(MemoryStore::default())),
        };
        Self {
            running: Dataflow::with(graph, &division).unwrap(),
            division,
            view: View::default(),
        }
    }

    fn step(&mut self, inputs: Vec<(&'static str, Vec<Delta>)>, watermark_us: i64) {
        let mut ctx = StepContext {
            watermark_us,
            ..context()
        };
        self.running.allow(0).unwrap();
        let out = self.running.step(inputs, &mut ctx).unwrap();
        assert!(ctx.errors.is_empty(), "{:?}", ctx.errors);
        self.view.apply(&out);
    }

    fn restart(&mut self, graph: &Graph) {
        let mut bytes = Vec::new();
        self.running.save_parts().unwrap();
        self.running.snapshot(&mut bytes).unwrap();
        self.running = Dataflow::with(graph, &self.division).unwrap();
        self.running.restore(&mut bytes.as_slice()).unwrap();
    }
}

fn hold(
    graph: &Graph,
    answer: &dyn Fn(&[(&str, RecordBatch)]) -> View,
    events: &[Event],
    step_rows: usize,
    restart_at: usize,
) {
    let (changes, live) = play(events);
    let mut running = Dataflow::new(graph).unwrap();
    let mut other: Option<Dataflow> = None;
    let mut torn = Torn::new(graph);
    let (mut view, mut net) = (View::default(), View::default());
    // A step without rows at the end: it must change nothing but what starts with nothing.
    let steps = changes
        .chunks(step_rows)
        .chain(std::iter::once(&changes[..0]));
    for (number, step) in steps.enumerate() {
        if number == restart_at {
            other = Some(reborn(graph, &running));
            torn.restart(graph);
        }
        let ended = number == changes.len().div_ceil(step_rows);
        let watermark_us = if ended { i64::MAX } else { i64::MIN };
        let mut ctx = StepContext {
            watermark_us,
            ..context()
        };
        let out = running.step(deltas(step), &mut ctx).unwrap();
        assert!(ctx.errors.is_empty(), "{:?}", ctx.errors);
        if let Some(other) = &mut other {
            let mut ctx = StepContext {
                watermark_us,
                ..context()
            };
            let same = other.step(deltas(step), &mut ctx).unwrap();
            assert_eq!(format!("{out:?}"), format!("{same:?}"), "after a restart");
        }
        torn.step(deltas(step), watermark_us);
        view.apply(&out);
        assert_eq!(view, torn.view, "divided and spilled");
        net.apply(
            &consolidate(&out, None)
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>(),
        );
        assert_eq!(view, net, "consolidated changes lead to the same rows");
    }
    let tables: [(&str, RecordBatch); 2] = [("l", rows(&live[0])), ("r", rows(&live[1]))];
    assert_eq!(view, answer(&tables));
}

/// Texts for the whole way, through the planner; a batch query of the same text is the answer.
const QUERIES: &[&str] = &[
    "SELECT k + 1 AS a, upper(s) AS b, f * 2 AS c FROM l WHERE k > 0",
    "SELECT s, count(*) AS n, sum(k) AS a, sum(f) AS b, avg(k) AS c, avg(f) AS e, min(t) AS g, max(s) AS h, \
        count(DISTINCT k) AS i, sum(d) AS j, avg(d) AS m FROM l GROUP BY s",
    "SELECT window_start, window_end, s, count(*) AS n, sum(f) AS x \
        FROM TUMBLE(l, t, INTERVAL '2 seconds') GROUP BY window_start, window_end, s",
    "SELECT window_start, window_end, s, count(*) AS n, max(d) AS x \
        FROM HOP(l, t, INTERVAL '1 second', INTERVAL '3 seconds') GROUP BY window_start, window_end, s",
    "SELECT l.k, l.s, r.s AS rs, r.d FROM l LEFT JOIN r ON l.k = r.k",
    "SELECT r.s, count(*) AS n, max(l.f) AS m FROM l JOIN r ON l.k = r.k AND l.f > r.f GROUP BY r.s",
    "SELECT k, s FROM l UNION ALL SELECT k, s FROM r",
    "SELECT n, count(*) AS c FROM (SELECT k, count(*) AS n FROM l GROUP BY k) g GROUP BY n",
    "SELECT k, count(*) AS n FROM l GROUP BY k HAVING count(*) > 1",
    "SELECT count(*) AS n, avg(k) AS a FROM r",
    // Aggregates of all rows of a group
    "SELECT s, array_agg(k) AS a, array_agg(DISTINCT k) AS b, array_agg(f ORDER BY t DESC) AS c, \
        string_agg(s, ',' ORDER BY k DESC) AS e FROM l GROUP BY s",
    "SELECT k, first_value(s) AS a, last(s) AS b, first_value(f ORDER BY d) AS c, max_by(s, f) AS e, min_by(f, t) AS g, \
        any_value(d) AS h, last_value(f) IGNORE NULLS AS i FROM l GROUP BY k",
    "SELECT s, bool_and(k > 0) AS a, every(f > 0) AS b, bool_or(k > 2) AS c, bit_and(k) AS e, bit_or(k) AS g, bit_xor(k) AS h \
        FROM l GROUP BY s",
    "SELECT s, median(k) AS a, percentile_cont(0.25) WITHIN GROUP (ORDER BY f) AS b, percentile_cont(0.75) WITHIN GROUP (ORDER BY k DESC) AS c, \
        percentile_disc(0.5) WITHIN GROUP (ORDER BY d) AS e, mode() WITHIN GROUP (ORDER BY k) AS g, mode(s) AS h, \
        approx_percentile_cont(f, 0.5) AS i, approx_median(k) AS j, approx_distinct(k) AS m FROM l GROUP BY s",
    // Off by a little, so that no result lies where it is rounded either way.
    "SELECT s, CAST(stddev(f) + 0.0000001 AS DECIMAL(18,5)) AS a, CAST(var_pop(k) + 0.0000001 AS DECIMAL(18,5)) AS b, CAST(covar_samp(f, k) + 0.0000001 AS DECIMAL(18,5)) AS c, \
        CAST(regr_slope(f, k) + 0.0000001 AS DECIMAL(18,5)) AS e, regr_count(f, k) AS g FROM l GROUP BY s",
    "SELECT k, s, count(*) AS n, sum(f) AS x, grouping(k) AS g FROM l GROUP BY ROLLUP (k, s)",
    "SELECT k, s, t, count(*) AS n FROM l GROUP BY GROUPING SETS ((k, s), (t), (k))",
    "SELECT k, s, max(f) AS m, array_agg(DISTINCT t) AS a FROM l GROUP BY CUBE (k, s)",
    "SELECT median(n) AS m, max(n) AS x FROM (SELECT k, count(*) AS n FROM l GROUP BY k) g",
    "SELECT array_agg(k ORDER BY t) FILTER (WHERE f > 0) AS a, count(DISTINCT k) FILTER (WHERE f > 0) AS b FROM l",
    // OVER
    "SELECT k, s, row_number() OVER (PARTITION BY k ORDER BY t) AS a, rank() OVER (PARTITION BY k ORDER BY t) AS b, \
        dense_rank() OVER (PARTITION BY k ORDER BY t DESC) AS c, percent_rank() OVER (PARTITION BY k ORDER BY s) AS e, \
        cume_dist() OVER (PARTITION BY k ORDER BY s) AS g, ntile(3) OVER (PARTITION BY k ORDER BY f) AS h FROM l",
    "SELECT s, lag(k) OVER w AS a, lead(k, 2, 7) OVER w AS b, first_value(f) OVER w AS c, last_value(f) OVER w AS e, \
        nth_value(d, 2) OVER w AS g FROM l WINDOW w AS (PARTITION BY s ORDER BY t)",
    "SELECT k, sum(f) OVER (PARTITION BY s ORDER BY t ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS a, \
        count(*) OVER (PARTITION BY s ORDER BY t RANGE BETWEEN INTERVAL '2 seconds' PRECEDING AND CURRENT ROW) AS b, \
        min(k) OVER (PARTITION BY s ORDER BY k GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c, \
        sum(d) OVER (PARTITION BY s) AS e FROM l",
    "SELECT k, f, avg(f) OVER (ORDER BY k, s) AS a, row_number() OVER () AS n, count(s) FILTER (WHERE f > 0) OVER (PARTITION BY k % 2) AS b FROM l",
    "SELECT n, max(n) OVER (ORDER BY k ROWS 1 PRECEDING) AS m FROM (SELECT k, count(*) AS n FROM l GROUP BY k) g",
    "SELECT k, s, t FROM l QUALIFY sum(f) OVER (PARTITION BY k ORDER BY t) > 3",
    // Windows
    "SELECT window_start, window_end, count(*) AS n, sum(f) AS x FROM TUMBLE(l, t, INTERVAL '2 seconds', INTERVAL '1 second') \
        GROUP BY window_start, window_end",
    "SELECT window_start, window_end, s, count(*) AS n FROM TUMBLE(DATA => TABLE l, TIMECOL => DESCRIPTOR(t), SIZE => INTERVAL '1 day', \
        zone => 'Europe/Berlin') w GROUP BY window_start, window_end, s",
    "SELECT window_start, window_end, count(*) AS n FROM TUMBLE(l, t, INTERVAL '1 month', 'America/New_York') GROUP BY window_start, window_end",
    "SELECT window_start, window_end, k, max(f) AS m FROM CUMULATE(l, t, INTERVAL '1 second', INTERVAL '4 seconds') GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, k, count(*) AS n, sum(d) AS x FROM SESSION(l PARTITION BY k, t, INTERVAL '2 seconds') \
        GROUP BY k, window_start, window_end",
    "SELECT window_start, window_end, count(*) AS n, max(f) AS m FROM SESSION(l, t, INTERVAL '3 seconds') GROUP BY window_start, window_end",
    "SELECT window_end AS e, k, min(s) AS a, count(s) FILTER (WHERE f > 0) AS b, max(t) AS c, window_start FROM \
        SESSION(l PARTITION BY k, t, INTERVAL '2 seconds') GROUP BY window_end, k, window_start HAVING count(*) > 1",
    "SELECT k, s, t, window_start, window_end FROM SESSION(TABLE l, DESCRIPTOR(t), INTERVAL '2' SECOND)",
    "SELECT a.window_end, a.k, a.n, b.n AS m FROM \
        (SELECT window_end, k, count(*) AS n FROM TUMBLE(l, t, INTERVAL '2 seconds') GROUP BY window_end, k) a JOIN \
        (SELECT window_end, k, count(*) AS n FROM TUMBLE(r, t, INTERVAL '2 seconds') GROUP BY window_end, k) b \
        ON a.window_end = b.window_end AND a.k = b.k",
    "SELECT window_end, max(n) AS m FROM TUMBLE((SELECT window_end AS e, k, count(*) AS n FROM TUMBLE(l, t, INTERVAL '1 second') \
        GROUP BY window_end, k), e, INTERVAL '3 seconds') w GROUP BY window_end",
    "SELECT window_end, s, n FROM (SELECT window_end, s, n, row_number() OVER (PARTITION BY window_end ORDER BY n DESC) AS r FROM \
        (SELECT window_start, window_end, s, count(*) AS n FROM TUMBLE(l, t, INTERVAL '2 seconds') GROUP BY window_start, window_end, s) g) x WHERE r = 1",
    "SELECT window_end, k, f, sum(f) OVER (PARTITION BY window_end ORDER BY k) AS x FROM HOP(l, t, INTERVAL '1 second', INTERVAL '2 seconds')",
    // Top-N
    "SELECT k, s, f FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY f DESC, t) AS n FROM l) x WHERE n <= 2",
    "SELECT * FROM (SELECT k, s, row_number() OVER (PARTITION BY k ORDER BY t DESC) AS n FROM l) x WHERE n = 1",
    "SELECT s, n FROM (SELECT k, s, rank() OVER (PARTITION BY s ORDER BY k) AS n FROM l) x WHERE 3 > n",
    "SELECT s, d, n FROM (SELECT s, d, dense_rank() OVER (ORDER BY s NULLS FIRST) AS n FROM l) x WHERE n BETWEEN 2 AND 3 AND d > 0",
    "SELECT k, s FROM l QUALIFY row_number() OVER (PARTITION BY s ORDER BY k + 1 DESC) <= 3",
    "SELECT k, f FROM l ORDER BY f DESC LIMIT 3",
    "SELECT s FROM l ORDER BY t, d DESC NULLS LAST LIMIT 4 OFFSET 2",
    "SELECT DISTINCT ON (k) k, s, f FROM l ORDER BY k, t DESC",
    "SELECT DISTINCT ON (s, k) s, d FROM l",
    "SELECT k, n FROM (SELECT k, count(*) AS n FROM l GROUP BY k) g ORDER BY n DESC LIMIT 2",
    "SELECT window_start, window_end, s, n FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS r FROM \
        (SELECT window_start, window_end, s, count(*) AS n FROM TUMBLE(l, t, INTERVAL '2 seconds') GROUP BY window_start, window_end, s) g) x WHERE r <= 2",
];

struct Two {
    append_only: bool,
}

impl Catalog for Two {
    fn relation(&self, name: &str) -> Option<Relation> {
        let (kind, append_only) = match name {
            "l" => (RelationKind::Source, self.append_only),
            "r" => (RelationKind::Table, false),
            _ => return None,
        };
        let event_time = Some(4);
        Some(Relation {
            name: name.into(),
            schema: row_schema(),
            kind,
            key: None,
            event_time,
            append_only,
        })
    }

    fn names(&self) -> Vec<String> {
        vec!["l".into(), "r".into()]
    }
}

fn query(text: &str) -> headwater_sql::ast::Query {
    let statement = headwater_sql::parse::parse_one(text, None).unwrap();
    let StatementKind::Query(query) = statement.kind else {
        panic!("not a query: {text}")
    };
    query
}

pub(crate) fn planned(text: &str, emit: Emit, append_only: bool) -> Graph {
    Planner::new(&Two { append_only })
        .plan_query(&query(text), emit)
        .unwrap()
        .graph
}

/// The planner's own batch answer.
fn ad_hoc(text: &str, tables: &[(&str, RecordBatch)]) -> View {
    ad_hoc_of(&Two { append_only: false }, text, tables)
}

fn ad_hoc_of(catalog: &dyn Catalog, text: &str, tables: &[(&str, RecordBatch)]) -> View {
    let planner = Planner::new(catalog);
    let plan = planner.ad_hoc(&query(text)).unwrap();
    let table = |name: &str| -> Option<Arc<dyn TableProvider>> {
        let (_, rows) = tables.iter().find(|t| t.0 == name)?;
        Some(Arc::new(
            MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap(),
        ))
    };
    let plan = plan.bind(&table).unwrap();
    let context = planner.session().context();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    View::of(&runtime.block_on(async {
        context
            .execute_logical_plan(plan)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap()
    }))
}

/// Not a microsecond early or late, also while its part of the state is away.
#[test]
fn a_row_is_let_go_exactly_at_the_end_of_its_ttl() {
    let planner_catalog = Two { append_only: true };
    let planner = Planner::new(&planner_catalog);
    let grouped = query("SELECT k, count(*) AS n FROM l GROUP BY k");
    let graph = planner
        .planned(&grouped, Emit::Changes, Some(1_000))
        .unwrap()
        .graph;
    let row: Row = (Some(7), None, None, None, Some(5_000_000));
    for divided in [false, true] {
        let mut torn = Torn::new(&graph);
        let mut running = Dataflow::new(&graph).unwrap();
        let mut view = View::default();
        let steps: [(&[(Row, bool)], i64, usize); 4] = [
            (&[(row.clone(), true)], 5_000_000, 1),
            (&[], 5_999_999, 1),
            (&[], 6_000_000, 0),
            (&[(row.clone(), true)], 6_000_001, 0),
        ];
        for (rows, now_us, expected) in steps {
            let running = if divided {
                &mut torn.running
            } else {
                &mut running
            };
            running.allow(0).unwrap();
            let mut ctx = StepContext {
                now_us,
                ..context()
            };
            view.apply(&running.step([("l", vec![delta(rows)])], &mut ctx).unwrap());
            assert_eq!(view.0.len(), expected, "at {now_us}, divided: {divided}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn views_are_the_batch_answer(
        which in 0..CASES,
        retracts in any::<bool>(),
        (events, step_rows, restart_at) in (events(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
    ) {
        let changelog = if retracts { Changelog::Retracting } else { Changelog::AppendOnly };
        let mut events = events;
        if !retracts {
            events.iter_mut().for_each(|e| e.goes = None);
        }
        let (graph, sql) = case(which, changelog);
        let answer = |tables: &[(&str, RecordBatch)]| batch_answer(&sql, tables);
        hold(&graph, &answer, &events, step_rows, restart_at);
    }

    #[test]
    fn planned_views_are_the_batch_answer(
        which in 0..QUERIES.len(),
        (retracts, close) in (any::<bool>(), any::<bool>()),
        (events, step_rows, restart_at) in (events(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
    ) {
        let (text, mut events) = (QUERIES[which], events);
        events.iter_mut().filter(|e| !retracts && !e.right).for_each(|e| e.goes = None);
        let windows = text.contains("window_end");
        // A row without a time is in no window.
        let emit = if windows && close { Emit::OnWindowClose } else { Emit::Changes };
        let graph = planned(text, emit, !retracts);
        hold(&graph, &|tables| ad_hoc(text, tables), &events, step_rows, restart_at);
    }

    #[test]
    fn sessions_are_the_batch_answer_however_they_grow_meet_and_part(
        which in any::<prop::sample::Index>(),
        retracts in any::<bool>(),
        (events, step_rows, restart_at) in (events(), prop_oneof![Just(1usize), Just(7), Just(1000)], 0usize..20),
    ) {
        let sessions: Vec<&&str> = QUERIES.iter().filter(|q| q.contains("SESSION(")).collect();
        let (text, mut events) = (which.get(&sessions), events);
        events.iter_mut().filter(|e| !retracts && !e.right).for_each(|e| e.goes = None);
        let graph = planned(text, Emit::Changes, !retracts);
        hold(&graph, &|tables| ad_hoc(text, tables), &events, step_rows, restart_at);
    }
}
