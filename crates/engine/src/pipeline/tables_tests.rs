//! A table in parts, some of them away, against one in a piece.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use headwater_base::spill::MemoryStore;
use proptest::prelude::*;

use super::super::table::RecordAt;
use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

/// Records of one step: keys, each with a value or gone.
fn step(records: &[(u8, Option<i64>)], first: i64) -> (RecordBatch, Vec<Upsert>) {
    let there: Vec<(i64, i64)> = records
        .iter()
        .filter_map(|(k, v)| Some((i64::from(*k), (*v)?)))
        .collect();
    let rows = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(there.iter().map(|r| r.0))),
            Arc::new(Int64Array::from_iter_values(there.iter().map(|r| r.1))),
        ],
    );
    let mut row = 0..;
    let upsert = |(at, (key, value)): (i64, &(u8, Option<i64>))| Upsert {
        key: vec![*key],
        row: value.and_then(|_| row.next()),
        at: RecordAt {
            timestamp_ms: 0,
            partition: 0,
            offset: at,
        },
    };
    (rows.unwrap(), (first..).zip(records).map(upsert).collect())
}

fn play(view: &mut BTreeMap<(i64, i64), i64>, deltas: &[Delta]) {
    for delta in deltas {
        let column = |at: usize| delta.rows.column(at).as_primitive::<Int64Type>().clone();
        let (keys, values) = (column(0), column(1));
        for row in 0..keys.len() {
            let count = view
                .entry((keys.value(row), values.value(row)))
                .or_default();
            *count += delta.kind(row).weight();
        }
    }
    view.retain(|_, count| *count != 0);
}

proptest! {
    #[test]
    fn in_parts_it_is_the_same_table(
        steps in proptest::collection::vec(proptest::collection::vec((any::<u8>(), proptest::option::weighted(0.8, 0i64..5)), 0..60), 1..12),
        restart in 0usize..12,
    ) {
        let store: Arc<dyn SpillStore> = Arc::new(MemoryStore::default());
        let mut table = Table::new(schema(), 2_000, Arc::clone(&store));
        let (mut view, mut wanted, mut offset) = (BTreeMap::new(), BTreeMap::new(), 0);
        for (number, records) in steps.iter().enumerate() {
            if number == restart {
                let mut bytes = Vec::new();
                table.save_parts().unwrap();
                table.snapshot(&mut bytes).unwrap();
                table = Table::new(schema(), 2_000, Arc::clone(&store));
                table.restore(&mut bytes.as_slice()).unwrap();
            }
            table.allow(1_000).unwrap();
            let (rows, upserts) = step(records, offset);
            offset += records.len() as i64;
            play(&mut view, &table.apply(&rows, upserts).unwrap());
            for (key, value) in records {
                match value {
                    Some(value) => wanted.insert(i64::from(*key), *value),
                    None => wanted.remove(&i64::from(*key)),
                };
            }
            let expected: BTreeMap<(i64, i64), i64> = wanted.iter().map(|(k, v)| ((*k, *v), 1)).collect();
            prop_assert_eq!(&view, &expected);
            prop_assert_eq!(table.rows(), wanted.len());
        }
        if table.wanted_bytes() > 20_000 {
            prop_assert!(table.spilled().parts > 1 && table.spilled().bytes > 0);
        }
    }
}
