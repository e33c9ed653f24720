//! The net of a step's changes, for views and sinks: what comes and goes within the step cancels out.

use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::DataType;
use hashbrown::HashMap;

use crate::codec::RowWriter;
use crate::codec::hash::Fixed;
use crate::delta::{Delta, RowKind};
use crate::keys::KeyTable;
use crate::operator::OperatorError;

/// Adds up equal rows of `deltas` (all of one schema). With `key` (column indexes), a key's old and new row become `UpdateBefore` and
/// `UpdateAfter`; without, rows are deleted and inserted. In the order in which keys (rows) first appear, and of one key what leaves first.
/// `None` if nothing changes.
pub fn consolidate(
    deltas: &[Delta],
    key: Option<&[usize]>,
) -> Result<Option<Delta>, OperatorError> {
    let fail = |reason: String| OperatorError {
        operator: "consolidate".to_owned(),
        reason,
    };
    let Some(first) = deltas.iter().find(|d| !d.is_empty()) else {
        return Ok(None);
    };
    if deltas.iter().all(|d| d.weights().is_none()) {
        return together(deltas, None).map(Some).map_err(fail);
    }
    let schema = first.rows.schema();
    let all = together(deltas, Some(deltas)).map_err(fail)?;
    let types = |columns: &mut dyn Iterator<Item = usize>| -> Vec<DataType> {
        columns
            .map(|c| schema.field(c).data_type().clone())
            .collect()
    };
    let every: Vec<usize> = (0..schema.fields().len()).collect();
    let key_columns = key.unwrap_or(&every);
    let mut table =
        KeyTable::new(types(&mut key_columns.iter().copied())).map_err(|e| fail(e.to_string()))?;
    let columns: Vec<_> = key_columns
        .iter()
        .map(|c| all.rows.column(*c).clone())
        .collect();
    let ids = table.intern(&columns, all.len(), None, &mut Vec::new());
    let writer =
        RowWriter::new(&types(&mut every.iter().copied())).map_err(|e| fail(e.to_string()))?;
    let changes = net(&all, &ids, &writer, table.id_bound());
    if changes.is_empty() {
        return Ok(None);
    }
    let out = emit(&changes, key.is_some());
    let order: Vec<u32> = out.iter().map(|(row, _)| *row).collect();
    let mut delta = all.take(&order).map_err(|e| fail(e.to_string()))?;
    delta.kinds = Some(out.into_iter().map(|(_, kind)| kind).collect());
    Ok(Some(delta))
}

/// One delta of all; origins are kept while there is only one.
fn together(deltas: &[Delta], kinds: Option<&[Delta]>) -> Result<Delta, String> {
    let full: Vec<&Delta> = deltas.iter().filter(|d| !d.is_empty()).collect();
    if let [one] = full[..] {
        return Ok(one.clone());
    }
    let rows = concat_batches(&full[0].rows.schema(), full.iter().map(|d| &d.rows))
        .map_err(|e| e.to_string())?;
    let kinds = kinds.map(|_| {
        full.iter()
            .flat_map(|d| (0..d.len()).map(|row| d.kind(row)))
            .collect()
    });
    Ok(Delta {
        rows,
        kinds,
        origin: None,
    })
}

/// A key's distinct rows and their weights.
type Changes = Vec<Vec<(u32, i64)>>;

fn net(all: &Delta, ids: &[u32], writer: &RowWriter, bound: usize) -> Changes {
    let encoded = writer.encode(all.rows.columns(), all.len());
    let mut changes: Changes = vec![Vec::new(); bound];
    let mut places: HashMap<&[u8], usize, Fixed> = HashMap::with_hasher(Fixed::with_seed(0));
    for (row, id) in ids.iter().enumerate() {
        let of_key = &mut changes[*id as usize];
        let at = *places.entry(encoded.get(row)).or_insert(of_key.len());
        if at == of_key.len() {
            of_key.push((row as u32, 0));
        }
        of_key[at].1 += all.kind(row).weight();
    }
    changes
        .iter_mut()
        .for_each(|rows| rows.retain(|(_, weight)| *weight != 0));
    changes.retain(|rows| !rows.is_empty());
    changes
}

fn emit(changes: &Changes, keyed: bool) -> Vec<(u32, RowKind)> {
    let mut out = Vec::new();
    for rows in changes {
        let side = |sign: i64| {
            let of_sign = rows.iter().filter(move |(_, w)| w.signum() == sign);
            of_sign
                .flat_map(|(row, w)| std::iter::repeat_n(*row, w.unsigned_abs() as usize))
                .collect::<Vec<_>>()
        };
        let (old, new) = (side(-1), side(1));
        let updates = if keyed { old.len().min(new.len()) } else { 0 };
        for (before, after) in old.iter().zip(&new).take(updates) {
            out.push((*before, RowKind::UpdateBefore));
            out.push((*after, RowKind::UpdateAfter));
        }
        out.extend(old[updates..].iter().map(|row| (*row, RowKind::Delete)));
        out.extend(new[updates..].iter().map(|row| (*row, RowKind::Insert)));
    }
    out
}
