//! One row per element of the list in the last column.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use crate::delta::Delta;
use crate::eval::{batch, broken};
use crate::operator::{Operator, OperatorError, StepContext};

pub(crate) struct Unnest {
    pub key: String,
    pub schema: SchemaRef,
}

impl Operator for Unnest {
    fn push(
        &mut self,
        _input: usize,
        delta: Delta,
        _ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let broken = |e: String| broken(&self.key, e);
        let list = delta
            .rows
            .columns()
            .last()
            .ok_or_else(|| broken("no column to unnest".into()))?;
        let (rows, elements) = positions(list).map_err(broken)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut out = delta.take(&rows).map_err(|e| broken(e.to_string()))?;
        let values = match list.data_type() {
            DataType::LargeList(_) => list.as_list::<i64>().values(),
            _ => list.as_list::<i32>().values(),
        };
        let element =
            take(values, &UInt32Array::from(elements), None).map_err(|e| broken(e.to_string()))?;
        let mut columns = out.rows.columns().to_vec();
        columns.pop();
        columns.push(element);
        out.rows = batch(&self.schema, columns, rows.len()).map_err(broken)?;
        Ok(vec![out])
    }
}

/// For each element: its row, and its place among the list's values.
fn positions(list: &ArrayRef) -> Result<(Vec<u32>, Vec<u32>), String> {
    let bounds: Vec<(usize, usize)> = match list.data_type() {
        DataType::List(_) => list
            .as_list::<i32>()
            .offsets()
            .windows(2)
            .map(|w| (w[0] as usize, w[1] as usize))
            .collect(),
        DataType::LargeList(_) => list
            .as_list::<i64>()
            .offsets()
            .windows(2)
            .map(|w| (w[0] as usize, w[1] as usize))
            .collect(),
        other => return Err(format!("cannot unnest {other}")),
    };
    let (mut rows, mut elements) = (Vec::new(), Vec::new());
    for (row, (start, end)) in bounds
        .into_iter()
        .enumerate()
        .filter(|(row, _)| list.is_valid(*row))
    {
        rows.extend(std::iter::repeat_n(row as u32, end - start));
        elements.extend(start as u32..end as u32);
    }
    Ok((rows, elements))
}
