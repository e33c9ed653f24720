//! The net effect of a step on a keyed relation: for each key that was touched its row after the step, or that it is gone.

use datafusion::arrow::error::ArrowError;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headwater_dataflow::delta::Delta;
use headwater_views::RowKeys;

/// Row `row` of delta `delta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub delta: usize,
    pub row: usize,
}

/// What became of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    Upsert(At),
    /// The key can be read from this row.
    Delete(At),
}

struct Touched {
    key_at: At,
    /// (whole row, times added less times taken back, where it was last added)
    rows: Vec<(Vec<u8>, i64, Option<At>)>,
}

/// One entry a key whose rows changed, in the order in which the keys were first touched. Does not depend on whether a new
/// row comes before or after the old one.
pub fn net(deltas: &[Delta], key: &[usize]) -> Result<Vec<Net>, ArrowError> {
    let mut by_key: HashMap<Vec<u8>, usize, FixedState> =
        HashMap::with_hasher(FixedState::with_seed(5));
    let mut touched: Vec<Touched> = Vec::new();
    for (index, delta) in deltas.iter().enumerate() {
        let keys = RowKeys::bind(&delta.rows, key)?;
        let whole = RowKeys::of_arrays(delta.rows.columns())?;
        for row in 0..delta.len() {
            let at = At { delta: index, row };
            let (mut key, mut bytes) = (Vec::new(), Vec::new());
            keys.write(row, &mut key);
            whole.write(row, &mut bytes);
            let entry = *by_key.entry(key).or_insert_with(|| {
                touched.push(Touched {
                    key_at: at,
                    rows: Vec::new(),
                });
                touched.len() - 1
            });
            count(&mut touched[entry].rows, bytes, delta.kind(row).adds(), at);
        }
    }
    Ok(touched.into_iter().filter_map(settle).collect())
}

fn count(rows: &mut Vec<(Vec<u8>, i64, Option<At>)>, bytes: Vec<u8>, adds: bool, at: At) {
    let position = rows
        .iter()
        .position(|(known, _, _)| *known == bytes)
        .unwrap_or_else(|| {
            rows.push((bytes, 0, None));
            rows.len() - 1
        });
    let (_, times, added) = &mut rows[position];
    if adds {
        *times += 1;
        *added = Some(at);
    } else {
        *times -= 1;
    }
}

fn settle(touched: Touched) -> Option<Net> {
    let added = touched
        .rows
        .iter()
        .filter(|(_, times, _)| *times > 0)
        .filter_map(|(_, _, at)| *at);
    if let Some(at) = added.max_by_key(|at| (at.delta, at.row)) {
        return Some(Net::Upsert(at));
    }
    touched
        .rows
        .iter()
        .any(|(_, times, _)| *times < 0)
        .then_some(Net::Delete(touched.key_at))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use headwater_dataflow::delta::RowKind::{self, Delete, Insert, UpdateAfter, UpdateBefore};

    use super::*;

    fn delta(rows: &[(i64, i64, RowKind)]) -> Delta {
        let column = |pick: fn(&(i64, i64, RowKind)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(pick).collect::<Int64Array>())
        };
        let batch =
            RecordBatch::try_from_iter([("k", column(|r| r.0)), ("v", column(|r| r.1))]).unwrap();
        Delta {
            rows: batch,
            kinds: Some(rows.iter().map(|r| r.2).collect()),
            origin: None,
        }
    }

    #[test]
    fn says_what_is_left_whatever_the_order() {
        let at = |delta, row| At { delta, row };
        let old_first = delta(&[(1, 10, UpdateBefore), (1, 11, UpdateAfter), (2, 5, Insert)]);
        assert_eq!(
            net(&[old_first], &[0]).unwrap(),
            [Net::Upsert(at(0, 1)), Net::Upsert(at(0, 2))]
        );
        let new_first = delta(&[(1, 11, UpdateAfter), (1, 10, UpdateBefore)]);
        assert_eq!(net(&[new_first], &[0]).unwrap(), [Net::Upsert(at(0, 0))]);
        let there_and_back = [
            delta(&[(1, 10, Insert)]),
            delta(&[(1, 10, Delete), (3, 1, Delete)]),
        ];
        assert_eq!(net(&there_and_back, &[0]).unwrap(), [Net::Delete(at(1, 1))]);
        let same = delta(&[(1, 10, UpdateBefore), (1, 10, UpdateAfter)]);
        assert_eq!(net(&[same], &[0]).unwrap(), []);
    }
}
