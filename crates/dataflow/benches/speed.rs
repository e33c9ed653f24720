//! Rows per second and state of the operators on one core, in steps of 8,192 rows. Prints a table; nothing is judged.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Operator as Op2;
use datafusion::physical_expr::expressions::{binary, cast, col, lit};
use headwater_dataflow::{Dataflow, Delta, RowKind, StepContext};
use headwater_sql::graph::*;

const STEP_ROWS: usize = 8192;

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let benches: [(&str, fn() -> Bench); 9] = [
        ("filter and project", stateless),
        ("count, sum by 10 k ints", || {
            aggregate(10_000, false, &["k"])
        }),
        ("count, sum by 1 M ints", || {
            aggregate(1_000_000, false, &["k"])
        }),
        ("count, sum by 10 k texts", || {
            aggregate(10_000, false, &["s"])
        }),
        ("hour windows by airport", || {
            aggregate(1_000, false, &["start", "end", "airport"])
        }),
        ("count, sum retracted", || aggregate(1_000, true, &["k"])),
        ("min, max, distinct", || aggregate_values(false)),
        ("min, max, distinct retracted", || aggregate_values(true)),
        ("flights, 3 left joins", joins),
    ];
    println!(
        "{:<32} {:>14} {:>12} {:>12}",
        "", "rows/s", "state MB", "bytes/row"
    );
    for (name, build) in benches
        .iter()
        .filter(|(name, _)| only.is_empty() || only == "--bench" || name.contains(&only))
    {
        run(name, build());
    }
}

struct Bench {
    graph: Graph,
    before: Vec<(&'static str, Vec<Delta>)>,
    steps: Vec<Delta>,
}

fn run(name: &str, bench: Bench) {
    let mut dataflow = Dataflow::new(&bench.graph).unwrap();
    let mut ctx = StepContext {
        now_us: 0,
        watermark_us: i64::MIN,
        errors: Vec::new(),
        late: Vec::new(),
    };
    dataflow.step(bench.before, &mut ctx).unwrap();
    let rows: usize = bench.steps.iter().map(Delta::len).sum();
    let start = cpu_seconds();
    let mut out = 0;
    for step in bench.steps {
        out += dataflow
            .step([("l", vec![step])], &mut ctx)
            .unwrap()
            .iter()
            .map(Delta::len)
            .sum::<usize>();
    }
    let seconds = cpu_seconds() - start;
    assert!(out > 0 && ctx.errors.is_empty());
    let bytes = dataflow.state_bytes();
    println!(
        "{name:<32} {:>14.0} {:>12.1} {:>12.0}",
        rows as f64 / seconds,
        bytes as f64 / 1e6,
        bytes as f64 / rows as f64
    );
}

/// Time that this thread has run, so that a busy machine does not show; elsewhere than on Linux, wall time.
fn cpu_seconds() -> f64 {
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat");
    let nanos = nanos
        .ok()
        .and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    let wall = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    };
    nanos.map_or_else(wall, |n| n / 1e9)
}

/// A small generator, the same at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound) as i64
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema() -> SchemaRef {
    let fields = [
        ("k", DataType::Int64),
        ("s", DataType::Utf8),
        ("x", DataType::Float64),
        ("start", utc()),
        ("end", utc()),
        ("airport", DataType::Utf8),
    ];
    Arc::new(Schema::new(
        fields.map(|(name, t)| Field::new(name, t, true)).to_vec(),
    ))
}

/// 4 M rows; with `retracts`, every second one takes a row of the step before back.
fn steps(keys: u64, retracts: bool) -> Vec<Delta> {
    let mut random = Random(7);
    let mut last: (Vec<i64>, Vec<f64>) = Default::default();
    let airports = ["JFK", "LGA", "EWR"];
    let hour = 3_600_000_000i64;
    (0..4_000_000 / STEP_ROWS)
        .map(|step| {
            let half = if retracts { STEP_ROWS / 2 } else { STEP_ROWS };
            let mut keyed: Vec<i64> = (0..half).map(|_| random.below(keys)).collect();
            let mut values: Vec<f64> = (0..half).map(|_| random.below(1000) as f64 / 8.0).collect();
            if retracts {
                let new = (keyed.clone(), values.clone());
                let (k, v) = std::mem::replace(&mut last, new);
                keyed.extend(k);
                values.extend(v);
            }
            let rows = keyed.len();
            let text: Vec<String> = keyed.iter().map(|k| format!("key-{k}")).collect();
            let window: Vec<i64> = (0..rows)
                .map(|row| (step * STEP_ROWS + row) as i64 / 4000 * hour)
                .collect();
            let end: Vec<i64> = window.iter().map(|w| w + hour).collect();
            let at: Vec<&str> = (0..rows)
                .map(|_| airports[random.below(3) as usize])
                .collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(keyed)),
                Arc::new(StringArray::from(text)),
                Arc::new(Float64Array::from(values)),
                Arc::new(TimestampMicrosecondArray::from(window).with_timezone("UTC")),
                Arc::new(TimestampMicrosecondArray::from(end).with_timezone("UTC")),
                Arc::new(StringArray::from(at)),
            ];
            let kinds = (0..rows).map(|row| {
                if row < half {
                    RowKind::Insert
                } else {
                    RowKind::Delete
                }
            });
            Delta {
                rows: RecordBatch::try_new(schema(), columns).unwrap(),
                kinds: retracts.then(|| kinds.collect()),
                origin: None,
            }
        })
        .collect()
}

fn node(id: usize, op: Op, inputs: Vec<usize>, schema: SchemaRef, changelog: Changelog) -> Node {
    let props = Props {
        changelog,
        key: None,
        event_time: None,
        window_end: None,
    };
    Node {
        id,
        key: format!("node-{id}"),
        op,
        inputs,
        schema,
        props,
    }
}

fn relation(id: usize, name: &str, schema: SchemaRef, retracts: bool) -> Node {
    let changelog = if retracts {
        Changelog::Retracting
    } else {
        Changelog::AppendOnly
    };
    node(
        id,
        Op::Relation { name: name.into() },
        vec![],
        schema,
        changelog,
    )
}

fn stateless() -> Bench {
    let s = schema();
    let predicate = binary(col("k", &s).unwrap(), Op2::Gt, lit(1000i64), &s).unwrap();
    let doubled = binary(col("x", &s).unwrap(), Op2::Multiply, lit(2.0), &s).unwrap();
    let out = Arc::new(Schema::new(vec![
        Field::new("s", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
    ]));
    let nodes = vec![
        relation(0, "l", s.clone(), false),
        node(
            1,
            Op::Filter { predicate },
            vec![0],
            s.clone(),
            Changelog::AppendOnly,
        ),
        node(
            2,
            Op::Project {
                exprs: vec![col("s", &s).unwrap(), doubled],
            },
            vec![1],
            out,
            Changelog::AppendOnly,
        ),
    ];
    Bench {
        graph: Graph { nodes },
        before: vec![],
        steps: steps(10_000, false),
    }
}

fn call(
    function: AggregateFunction,
    arg: Option<PhysExpr>,
    distinct: bool,
    return_type: DataType,
) -> AggregateCall {
    AggregateCall {
        function,
        arg,
        distinct,
        filter: None,
        return_type,
        whole: None,
    }
}

fn grouped(group: &[&str], calls: Vec<AggregateCall>, retracts: bool, steps: Vec<Delta>) -> Bench {
    let s = schema();
    let group: Vec<PhysExpr> = group.iter().map(|g| col(g, &s).unwrap()).collect();
    let mut fields: Vec<Field> = Vec::new();
    for (at, g) in group.iter().enumerate() {
        fields.push(Field::new(format!("g{at}"), g.data_type(&s).unwrap(), true));
    }
    fields.extend(
        calls
            .iter()
            .enumerate()
            .map(|(at, c)| Field::new(format!("a{at}"), c.return_type.clone(), true)),
    );
    let op = Op::Aggregate(Aggregate {
        group,
        calls,
        close: None,
        session: None,
    });
    let nodes = vec![
        relation(0, "l", s, retracts),
        node(
            1,
            op,
            vec![0],
            Arc::new(Schema::new(fields)),
            Changelog::Retracting,
        ),
    ];
    Bench {
        graph: Graph { nodes },
        before: vec![],
        steps,
    }
}

fn aggregate(keys: u64, retracts: bool, group: &[&str]) -> Bench {
    let s = schema();
    let wide = DataType::Decimal128(38, 0);
    let k = cast(col("k", &s).unwrap(), &s, wide.clone()).unwrap();
    let calls = vec![
        call(AggregateFunction::Count, None, false, DataType::Int64),
        call(AggregateFunction::Sum, Some(k), false, wide),
        call(
            AggregateFunction::Sum,
            Some(col("x", &s).unwrap()),
            false,
            DataType::Float64,
        ),
    ];
    grouped(group, calls, retracts, steps(keys, retracts))
}

fn aggregate_values(retracts: bool) -> Bench {
    let s = schema();
    let column = |name: &str| Some(col(name, &s).unwrap());
    let calls = vec![
        call(
            AggregateFunction::Min,
            column("x"),
            false,
            DataType::Float64,
        ),
        call(AggregateFunction::Max, column("s"), false, DataType::Utf8),
        call(AggregateFunction::Count, column("s"), true, DataType::Int64),
    ];
    grouped(
        &["start", "airport"],
        calls,
        retracts,
        steps(1000, retracts),
    )
}

/// 336,776 rows of 19 columns against tables of 3,322, 16 and 26,115 rows.
fn joins() -> Bench {
    let mut nodes = vec![relation(0, "l", flight_schema(), false)];
    let tables = [
        ("planes", "tailnum", 3322, 8),
        ("airlines", "carrier", 16, 1),
        ("weather", "hour", 26_115, 12),
    ];
    let mut before = Vec::new();
    for (name, key, rows, width) in tables {
        let table = table_schema(name, width);
        let left = nodes.len() - 1;
        let id = nodes.len();
        nodes.push(relation(id, name, table.clone(), true));
        let from = nodes[left].schema.clone();
        let fields: Vec<_> = from
            .fields()
            .iter()
            .chain(table.fields().iter())
            .cloned()
            .collect();
        let on = vec![(
            col(key, &from).unwrap(),
            col(&format!("{name}_id"), &table).unwrap(),
        )];
        let op = Op::Join(Join {
            kind: JoinKind::Left,
            on,
            null_equal: false,
            within: None,
            lookup: false,
            as_of: None,
            filter: None,
        });
        nodes.push(node(
            id + 1,
            op,
            vec![left, id],
            Arc::new(Schema::new(fields)),
            Changelog::Retracting,
        ));
        before.push((name, vec![table_rows(&table, rows)]));
    }
    Bench {
        graph: Graph { nodes },
        before,
        steps: flights(),
    }
}

fn flight_schema() -> SchemaRef {
    let mut fields: Vec<Field> = (0..14)
        .map(|at| Field::new(format!("n{at}"), DataType::Int64, true))
        .collect();
    fields.extend(
        ["tailnum", "carrier", "origin", "dest"].map(|name| Field::new(name, DataType::Utf8, true)),
    );
    fields.push(Field::new("hour", DataType::Int64, true));
    Arc::new(Schema::new(fields))
}

fn table_schema(name: &str, width: usize) -> SchemaRef {
    let key = if name == "weather" {
        DataType::Int64
    } else {
        DataType::Utf8
    };
    let mut fields = vec![Field::new(format!("{name}_id"), key, true)];
    let kind = |at: usize| {
        if at.is_multiple_of(3) {
            DataType::Utf8
        } else {
            DataType::Float64
        }
    };
    fields.extend((0..width).map(|at| Field::new(format!("{name}{at}"), kind(at), true)));
    Arc::new(Schema::new(fields))
}

fn table_rows(schema: &SchemaRef, rows: usize) -> Delta {
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| -> ArrayRef {
            match field.data_type() {
                DataType::Int64 => Arc::new(Int64Array::from_iter_values(0..rows as i64)),
                DataType::Utf8 if at == 0 => Arc::new(StringArray::from_iter_values(
                    (0..rows).map(|r| format!("N{r}")),
                )),
                DataType::Utf8 => Arc::new(StringArray::from_iter_values(
                    (0..rows).map(|r| format!("Turbo fan {}", r % 9)),
                )),
                _ => Arc::new(Float64Array::from_iter_values(
                    (0..rows).map(|r| r as f64 * 0.37),
                )),
            }
        });
    Delta::inserts(RecordBatch::try_new(schema.clone(), columns.collect()).unwrap())
}

fn flights() -> Vec<Delta> {
    let (mut random, schema) = (Random(3), flight_schema());
    let total = 336_776;
    (0..total)
        .step_by(STEP_ROWS)
        .map(|start| {
            let rows = STEP_ROWS.min(total - start);
            let mut columns: Vec<ArrayRef> = Vec::new();
            for bound in [
                1, 12, 31, 2400, 2400, 300, 2400, 2400, 300, 6000, 400, 3000, 24, 60,
            ] {
                columns.push(Arc::new(Int64Array::from_iter_values(
                    (0..rows).map(|_| random.below(bound)),
                )));
            }
            for bound in [3322, 16, 3, 105] {
                columns.push(Arc::new(StringArray::from_iter_values(
                    (0..rows).map(|_| format!("N{}", random.below(bound))),
                )));
            }
            columns.push(Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|_| random.below(26_115)),
            )));
            Delta::inserts(RecordBatch::try_new(schema.clone(), columns).unwrap())
        })
        .collect()
}
