//! For tests: graphs made of SQL expressions, changelogs of random rows, and the batch answer of DataFusion to hold them against.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use headwater_sql::graph::*;

use crate::{Dataflow, Delta, Operator, Origin, RowKind, StepContext};

pub(crate) fn session() -> SessionContext {
    let config = SessionConfig::new()
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .with_target_partitions(1);
    let session = SessionContext::new_with_config(config);
    for function in headwater_sql::aggregate_functions() {
        session.register_udaf(function.as_ref().clone());
    }
    session
}

pub(crate) fn expr(text: &str, schema: &Schema) -> PhysExpr {
    let session = session();
    let schema = DFSchema::try_from(schema.clone()).unwrap();
    let parsed = session.parse_sql_expr(text, &schema).unwrap();
    session.create_physical_expr(parsed, &schema).unwrap()
}

/// Builds graphs; every method answers the new node's id.
#[derive(Default)]
pub(crate) struct Builder(pub Vec<Node>);

impl Builder {
    pub(crate) fn graph(self) -> Graph {
        Graph { nodes: self.0 }
    }

    fn node(
        &mut self,
        op: Op,
        inputs: Vec<usize>,
        schema: SchemaRef,
        changelog: Changelog,
    ) -> usize {
        let id = self.0.len();
        let props = Props {
            changelog,
            key: None,
            event_time: None,
            window_end: None,
        };
        self.0.push(Node {
            id,
            key: format!("node-{id}"),
            op,
            inputs,
            schema,
            props,
        });
        id
    }

    pub(crate) fn schema(&self, node: usize) -> SchemaRef {
        self.0[node].schema.clone()
    }

    fn changelog(&self, inputs: &[usize]) -> Changelog {
        let retracting = inputs
            .iter()
            .any(|i| self.0[*i].props.changelog == Changelog::Retracting);
        if retracting {
            Changelog::Retracting
        } else {
            Changelog::AppendOnly
        }
    }

    pub(crate) fn relation(
        &mut self,
        name: &str,
        schema: SchemaRef,
        changelog: Changelog,
    ) -> usize {
        self.node(
            Op::Relation { name: name.into() },
            vec![],
            schema,
            changelog,
        )
    }

    pub(crate) fn filter(&mut self, input: usize, predicate: &str) -> usize {
        let schema = self.schema(input);
        let predicate = expr(predicate, &schema);
        self.node(
            Op::Filter { predicate },
            vec![input],
            schema,
            self.changelog(&[input]),
        )
    }

    /// Columns: `(expression, name)`.
    pub(crate) fn project(&mut self, input: usize, columns: &[(&str, &str)]) -> usize {
        let from = self.schema(input);
        let exprs: Vec<PhysExpr> = columns.iter().map(|(text, _)| expr(text, &from)).collect();
        let field = |(e, (_, name)): (&PhysExpr, &(&str, &str))| {
            Field::new(*name, e.data_type(&from).unwrap(), true)
        };
        let schema = Schema::new(exprs.iter().zip(columns).map(field).collect::<Vec<_>>());
        self.node(
            Op::Project { exprs },
            vec![input],
            Arc::new(schema),
            self.changelog(&[input]),
        )
    }

    pub(crate) fn union(&mut self, inputs: Vec<usize>) -> usize {
        let (schema, changelog) = (self.schema(inputs[0]), self.changelog(&inputs));
        self.node(Op::Union, inputs, schema, changelog)
    }

    pub(crate) fn aggregate(
        &mut self,
        input: usize,
        group: &[&str],
        calls: &[&str],
        close: Option<usize>,
    ) -> usize {
        let from = self.schema(input);
        let group: Vec<PhysExpr> = group.iter().map(|g| expr(g, &from)).collect();
        let calls: Vec<AggregateCall> = calls.iter().map(|c| call(c, &from)).collect();
        let mut fields = Vec::new();
        for (at, g) in group.iter().enumerate() {
            fields.push(Field::new(
                format!("g{at}"),
                g.data_type(&from).unwrap(),
                true,
            ));
        }
        for (at, c) in calls.iter().enumerate() {
            fields.push(Field::new(format!("a{at}"), c.return_type.clone(), true));
        }
        let changelog = if close.is_some() {
            Changelog::AppendOnly
        } else {
            Changelog::Retracting
        };
        let op = Op::Aggregate(Aggregate {
            group,
            calls,
            close,
            session: None,
        });
        self.node(op, vec![input], Arc::new(Schema::new(fields)), changelog)
    }

    /// Right columns get the suffix `_r`.
    pub(crate) fn join(
        &mut self,
        kind: JoinKind,
        inputs: [usize; 2],
        on: &[(&str, &str)],
        filter: Option<&str>,
    ) -> usize {
        let (left, right) = (self.schema(inputs[0]), self.schema(inputs[1]));
        let on = on
            .iter()
            .map(|(l, r)| (expr(l, &left), expr(r, &right)))
            .collect();
        let mut fields: Vec<Field> = left.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(
            right
                .fields()
                .iter()
                .map(|f| Field::new(format!("{}_r", f.name()), f.data_type().clone(), true)),
        );
        let filter = filter.map(|f| expr(f, &Schema::new(fields.clone())));
        if kind.only_left() {
            fields.truncate(left.fields().len());
        }
        if kind == JoinKind::Mark {
            fields.push(Field::new("mark", DataType::Boolean, true));
        }
        let schema = Arc::new(Schema::new(fields));
        let changelog = match kind {
            JoinKind::Inner | JoinKind::Semi => self.changelog(&inputs),
            _ => Changelog::Retracting,
        };
        self.node(
            Op::Join(Join {
                kind,
                on,
                null_equal: false,
                within: None,
                lookup: false,
                as_of: None,
                filter,
            }),
            inputs.to_vec(),
            schema,
            changelog,
        )
    }
}

/// `function|argument|distinct or empty|filter or empty`; no argument: `count(*)`.
fn call(text: &str, from: &Schema) -> AggregateCall {
    let parts: Vec<&str> = text.split('|').collect();
    let arg = (!parts[1].is_empty()).then(|| expr(parts[1], from));
    let arg_type = arg.as_ref().map(|a| a.data_type(from).unwrap());
    let function = match parts[0] {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        _ => AggregateFunction::Max,
    };
    let return_type = match (function, arg_type) {
        (AggregateFunction::Count, _) | (_, None) => DataType::Int64,
        (AggregateFunction::Sum, Some(DataType::Decimal128(_, s))) => DataType::Decimal128(38, s),
        (AggregateFunction::Avg, Some(DataType::Decimal128(p, s))) => {
            DataType::Decimal128(38, (s + 4).max(16.min(37 - (p as i8 - s))))
        }
        (AggregateFunction::Sum | AggregateFunction::Avg, _) => DataType::Float64,
        (_, Some(other)) => other,
    };
    let filter = parts
        .get(3)
        .filter(|f| !f.is_empty())
        .map(|f| expr(f, from));
    AggregateCall {
        function,
        arg,
        distinct: parts.get(2) == Some(&"distinct"),
        filter,
        return_type,
        whole: None,
    }
}

/// A row of the test relations: `k BIGINT, s TEXT, f DOUBLE, d DECIMAL(10,2), t TIMESTAMPTZ`.
pub(crate) type Row = (
    Option<i64>,
    Option<String>,
    Option<f64>,
    Option<i128>,
    Option<i64>,
);

pub(crate) fn row_schema() -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("k", DataType::Int64),
        ("s", DataType::Utf8),
        ("f", DataType::Float64),
        ("d", DataType::Decimal128(10, 2)),
        ("t", utc),
    ];
    Arc::new(Schema::new(
        fields.map(|(name, t)| Field::new(name, t, true)).to_vec(),
    ))
}

pub(crate) fn rows(rows: &[Row]) -> RecordBatch {
    let decimals: Decimal128Array = rows.iter().map(|r| r.3).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.4).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(times.with_timezone("UTC")),
    ];
    RecordBatch::try_new(row_schema(), columns).unwrap()
}

pub(crate) fn delta(changes: &[(Row, bool)]) -> Delta {
    let all: Vec<Row> = changes.iter().map(|c| c.0.clone()).collect();
    let kind = |c: &(Row, bool)| {
        if c.1 {
            RowKind::Insert
        } else {
            RowKind::Delete
        }
    };
    let kinds = (!changes.iter().all(|c| c.1)).then(|| changes.iter().map(kind).collect());
    Delta {
        rows: rows(&all),
        kinds,
        origin: None,
    }
}

/// Origin of partition 0 from `offset` on, with one watermark for all.
pub(crate) fn origin(count: usize, offset: i64, watermark_us: i64) -> Origin {
    Origin {
        source: 0,
        partition: vec![0; count].into(),
        offset: (offset..offset + count as i64).collect(),
        watermark: vec![watermark_us; count].into(),
    }
}

pub(crate) fn context() -> StepContext {
    StepContext {
        now_us: 0,
        watermark_us: i64::MIN,
        errors: Vec::new(),
        late: Vec::new(),
    }
}

/// Rows as text, for comparison.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap());
    let columns: Vec<_> = columns.collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|c| c.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

/// A view's rows, each with its count. Refuses to lose a row that is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View(pub BTreeMap<String, i64>);

impl View {
    pub(crate) fn apply(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            for (row, text) in texts(&delta.rows).into_iter().enumerate() {
                let count = self.0.entry(text.clone()).or_default();
                *count += delta.kind(row).weight();
                assert!(*count >= 0, "taken back without being there: {text}");
                if *count == 0 {
                    self.0.remove(&text);
                }
            }
        }
    }

    pub(crate) fn of(batches: &[RecordBatch]) -> Self {
        let mut view = Self::default();
        batches
            .iter()
            .for_each(|b| view.apply(&[Delta::inserts(b.clone())]));
        view
    }
}

/// DataFusion's answer over these tables.
pub(crate) fn batch_answer(sql: &str, tables: &[(&str, RecordBatch)]) -> View {
    let session = session();
    for (name, rows) in tables {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
        session.register_table(*name, Arc::new(table)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let batches =
        runtime.block_on(async { session.sql(sql).await.unwrap().collect().await.unwrap() });
    View::of(&batches)
}

/// One dataflow after a snapshot and a restore into a fresh one.
pub(crate) fn reborn(graph: &Graph, old: &Dataflow) -> Dataflow {
    let mut bytes = Vec::new();
    old.snapshot(&mut bytes).unwrap();
    let mut new = Dataflow::new(graph).unwrap();
    new.restore(&mut bytes.as_slice()).unwrap();
    let mut again = Vec::new();
    new.snapshot(&mut again).unwrap();
    assert_eq!(bytes, again, "a restored state is written as it was read");
    new
}

/// An operator divided in two by the lowest bit of its keys' hashes after some of the steps: the result of all steps. Both parts see the end of
/// every step.
pub(crate) fn divided(
    make: &dyn Fn() -> Box<dyn Operator>,
    steps: &[(Delta, i64)],
    divide_at: usize,
) -> View {
    let mut parts = vec![make()];
    let mut view = View::default();
    for (number, (delta, watermark_us)) in steps.iter().enumerate() {
        if number == divide_at {
            parts = halves(make, parts[0].as_ref());
        }
        let mut ctx = StepContext {
            watermark_us: *watermark_us,
            ..context()
        };
        let hashes = parts[0].route(0, delta).unwrap().unwrap();
        let count = parts.len();
        for (at, part) in parts.iter_mut().enumerate() {
            let mine: Vec<u32> = (0..delta.len() as u32)
                .filter(|row| hashes[*row as usize] as usize % count == at)
                .collect();
            view.apply(&part.push(0, delta.take(&mine).unwrap(), &mut ctx).unwrap());
            view.apply(&part.finish(&mut ctx).unwrap());
        }
    }
    view
}

fn halves(make: &dyn Fn() -> Box<dyn Operator>, whole: &dyn Operator) -> Vec<Box<dyn Operator>> {
    let mut bytes = Vec::new();
    whole.snapshot(&mut bytes).unwrap();
    let half = |of: u32| {
        let mut part = make();
        part.restore(&mut bytes.as_slice()).unwrap();
        part.keep(&|hash| hash % 2 == of).unwrap();
        part
    };
    let parts = vec![half(0), half(1)];
    let rows: usize = parts.iter().map(|p| p.state_rows()).sum();
    assert_eq!(rows, whole.state_rows(), "nothing is kept twice or lost");
    parts
}
