//! From the changelog of an alert's view to changes of its conditions.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use headwater_dataflow::delta::Delta;
use headwater_formats::JsonEncoder;
use serde_json::Map;

use crate::alerts::state::{AlertEvent, AlertPhase, ConditionChange};

pub fn changes(
    deltas: &[Delta],
    key: &[usize],
    window_end: Option<usize>,
) -> Result<Vec<ConditionChange>, String> {
    let mut changes = Vec::new();
    for delta in deltas {
        let schema = delta.rows.schema();
        let keys = JsonEncoder::of_columns(&schema, key);
        let all = JsonEncoder::new(&schema);
        let bound_keys = keys.bind(&delta.rows).map_err(|error| error.to_string())?;
        let bound = all.bind(&delta.rows).map_err(|error| error.to_string())?;
        let ends = window_end.and_then(|column| {
            delta
                .rows
                .column(column)
                .as_primitive_opt::<TimestampMicrosecondType>()
        });
        for row in 0..delta.len() {
            let object = |names: &[String],
                          values: Vec<serde_json::Value>|
             -> Map<String, serde_json::Value> {
                names.iter().cloned().zip(values).collect()
            };
            changes.push(ConditionChange {
                key: object(keys.names(), bound_keys.values(row)),
                row: object(all.names(), bound.values(row)),
                window_end: ends
                    .filter(|ends| ends.is_valid(row))
                    .map(|ends| ends.value(row)),
                adds: delta.kind(row).adds(),
            });
        }
    }
    Ok(changes)
}

pub fn fired(events: &[AlertEvent]) -> u64 {
    events
        .iter()
        .filter(|event| event.state == AlertPhase::Firing)
        .count() as u64
}
