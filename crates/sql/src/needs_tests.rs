//! What a query reads of its sources, to the fields of nested columns.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::model::{Definition, Emit};
use crate::plan::tests::{TestCatalog, plan};
use crate::{Planner, parse, parse_query, source::Source};

/// The fields of `payments` that a query reads.
fn read(query: &str) -> String {
    let planned = plan(query).unwrap();
    let columns = planned.schema.fields().len();
    let found = needs(&planned.graph, all(columns), "payments");
    let leaf = |node: &&crate::graph::Node| node.op.relation() == Some("payments");
    let schema = &planned.graph.nodes.iter().find(leaf).unwrap().schema;
    shown(pruned(schema, &found).fields())
}

fn shown(fields: &Fields) -> String {
    let one = |field: &Arc<Field>| match field.data_type() {
        DataType::Struct(fields) => format!("{}({})", field.name(), shown(fields)),
        _ => field.name().clone(),
    };
    fields.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_what_is_read_is_needed() {
    assert_eq!(
        read("SELECT card, payments.item.n FROM payments WHERE amount > 3"),
        "card amount item(n)"
    );
    assert_eq!(read("SELECT item FROM payments"), "item(sku n)");
    assert_eq!(read("SELECT count(*) FROM payments"), "");
    assert_eq!(
        read(
            "SELECT p.sku, c.owner FROM (SELECT card, q.item.sku AS sku FROM payments q) p JOIN cards c ON c.card = p.card"
        ),
        "card item(sku)"
    );
    assert_eq!(
        read("SELECT card, sum(cents) FROM payments WHERE payments.item.n > 1 GROUP BY card"),
        "card cents item(n)"
    );
    assert_eq!(
        read(
            "SELECT window_start, count(*) FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY window_start"
        ),
        "ts"
    );
    assert_eq!(
        read("SELECT card FROM payments UNION ALL SELECT country AS card FROM payments"),
        "card country"
    );
}

#[test]
fn a_field_and_its_whole_are_the_whole() {
    assert_eq!(
        read("SELECT payments.item.n, item FROM payments"),
        "item(sku n)"
    );
}

#[test]
fn computed_columns_read_what_they_are_computed_of() {
    let text = "CREATE SOURCE s (a BIGINT, b BIGINT, c BIGINT, at BIGINT, sum BIGINT AS a + b, \
                ts TIMESTAMPTZ, WATERMARK FOR ts AS ts - INTERVAL '1 second');";
    let statement = parse(text, None).unwrap().remove(0);
    let Definition::Source(source) = crate::define(&statement).unwrap().unwrap().definition else {
        panic!("a source")
    };
    let catalog = TestCatalog::of(text);
    let query = parse_query(Source::new(None, "SELECT c FROM s")).unwrap();
    let planned = Planner::new(&catalog)
        .plan_query(&query, Emit::Changes)
        .unwrap();
    let mut root = needs(&planned.graph, all(1), "s");
    root.push(Need::All);
    let computed = crate::input_graph(&source.columns, source.watermark.as_ref()).unwrap();
    let physical = crate::physical_schema_of(&source.columns);
    let found = needs(&computed, root, crate::INPUT);
    assert_eq!(shown(pruned(&physical, &found).fields()), "a b c ts");
}
