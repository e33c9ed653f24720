//! Filter, project, unnest and union, row by row and with rows that fail.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, ListArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use headwater_sql::graph::{Changelog, Graph, Node, Op, Props};

use crate::testing::*;
use crate::{Dataflow, Delta, ErrorAt, RowKind};

fn k(k: i64) -> Row {
    (Some(k), Some(format!("row {k}")), None, None, None)
}

fn divided() -> Dataflow {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), Changelog::Retracting);
    let f = b.filter(l, "100 / k < 60");
    b.project(f, &[("100 / (k - 2)", "a"), ("k", "k")]);
    Dataflow::new(&b.graph()).unwrap()
}

#[test]
fn rows_that_fail_are_reported_and_the_rest_goes_on() {
    let mut one = delta(&(0..1000).map(|n| (k(n % 10), true)).collect::<Vec<_>>());
    one.origin = Some(origin(1000, 5000, i64::MIN));
    let mut ctx = context();
    let out = divided().step([("l", vec![one])], &mut ctx).unwrap();
    // 0 fails in the filter, 1 does not pass, 2 fails in the projection.
    assert_eq!(out[0].len(), 700);
    let at = |operator: &str| {
        let of = ctx.errors.iter().filter(|e| e.operator == operator);
        of.map(|e| match e.at {
            ErrorAt::Row {
                offset,
                partition: 0,
                source: 0,
            } => offset,
            _ => -1,
        })
        .collect::<Vec<i64>>()
    };
    assert_eq!(
        at("node-1"),
        (0..100).map(|n| 5000 + n * 10).collect::<Vec<_>>()
    );
    assert_eq!(
        at("node-2"),
        (0..100).map(|n| 5002 + n * 10).collect::<Vec<_>>()
    );
    assert!(
        ctx.errors[0].message.contains("ivide"),
        "{}",
        ctx.errors[0].message
    );
    assert_eq!(
        out[0].origin.as_ref().unwrap().offset[0],
        5003,
        "origins follow their rows"
    );
}

#[test]
fn without_an_origin_the_row_itself_is_named() {
    let mut ctx = context();
    divided()
        .step(
            [("l", vec![delta(&[(k(0), false), (k(5), true)])])],
            &mut ctx,
        )
        .unwrap();
    assert!(
        matches!(&ctx.errors[0].at, ErrorAt::Withheld { key, holds: false } if key.starts_with("k=0, s=row 0"))
    );
}

#[test]
fn kinds_follow_their_rows() {
    let out = divided()
        .step(
            [(
                "l",
                vec![delta(&[(k(1), true), (k(4), false), (k(5), true)])],
            )],
            &mut context(),
        )
        .unwrap();
    assert_eq!(
        out[0].kinds.as_deref(),
        Some(&[RowKind::Delete, RowKind::Insert][..])
    );
}

#[test]
fn lists_become_rows() {
    let element = Field::new(
        "w",
        DataType::Struct(vec![Field::new("start", DataType::Int64, true)].into()),
        true,
    );
    let list = Field::new("w", DataType::List(Arc::new(element.clone())), true);
    let from = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        list,
    ]));
    let to = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        element.clone(),
    ]));
    let props = Props {
        changelog: Changelog::AppendOnly,
        key: None,
        event_time: None,
        window_end: None,
    };
    let node = |id, op, inputs, schema| Node {
        id,
        key: format!("n{id}"),
        op,
        inputs,
        schema,
        props: props.clone(),
    };
    let nodes = vec![
        node(0, Op::Relation { name: "l".into() }, vec![], from.clone()),
        node(1, Op::Unnest, vec![0], to),
    ];
    let starts: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30, 40]));
    let structs = StructArray::from(vec![(
        Arc::new(Field::new("start", DataType::Int64, true)),
        starts,
    )]);
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3, 4].into());
    let valid = vec![true, true, false, true];
    let lists = ListArray::new(
        Arc::new(element),
        offsets,
        Arc::new(structs),
        Some(valid.into()),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(lists),
    ];
    let mut one = Delta::inserts(RecordBatch::try_new(from, columns).unwrap());
    one.origin = Some(origin(4, 0, 0));
    let out = Dataflow::new(&Graph { nodes })
        .unwrap()
        .step([("l", vec![one])], &mut context())
        .unwrap();
    assert_eq!(
        texts(&out[0].rows),
        ["1|{start: 10}", "1|{start: 20}", "4|{start: 40}"]
    );
    assert_eq!(out[0].origin.as_ref().unwrap().offset.as_ref(), [0, 0, 3]);
}

#[test]
fn a_wrong_number_of_columns_stops_the_pipeline_with_a_sentence() {
    let two = rows(&[k(1)]).project(&[0, 1]).unwrap();
    let failed = divided()
        .step([("l", vec![Delta::inserts(two)])], &mut context())
        .unwrap_err();
    assert_eq!(
        failed.to_string(),
        "operator node-0: 2 columns came, 5 are declared"
    );
}
