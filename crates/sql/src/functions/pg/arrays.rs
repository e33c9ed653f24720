//! `array_dims` and `array_remove`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::kit::T::{Any, Text};
use super::kit::{A, Answer, Def, O, def, over};

pub(super) const FUNCTIONS: &[Def] = &[def("array_dims", &[over(&[Any], Text, dims)])];

/// `[1:3][1:2]`; NULL without elements.
fn dims(a: &[A<'_>]) -> Answer {
    let A::Any(array, row) = &a[0] else {
        return Ok(O::Null);
    };
    let (mut array, mut row, mut text) = (Arc::clone(array), *row, String::new());
    while let Some(lists) = array.as_list_opt::<i32>() {
        let elements = lists.value(row);
        if elements.is_empty() {
            break;
        }
        text.push_str(&format!("[1:{}]", elements.len()));
        (array, row) = (elements, 0);
    }
    Ok(match text.is_empty() {
        true => O::Null,
        false => O::Text(text),
    })
}

pub(super) fn remove() -> Arc<ScalarUDF> {
    let signature = Signature::array_and_element(Volatility::Immutable);
    Arc::new(Remove { signature }.into())
}

/// `array_remove(array, element)`: without those that are equal; NULL equals NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Remove {
    signature: Signature,
}

impl ScalarUDFImpl for Remove {
    fn name(&self) -> &str {
        "array_remove"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.first() {
            Some(array @ (DataType::List(_) | DataType::Null)) => Ok(array.clone()),
            _ => plan_err!("array_remove takes an array"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let null = args.return_field.data_type().is_null();
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let array: ArrayRef = match columns.as_slice() {
            _ if null => new_null_array(&DataType::Null, rows),
            [arrays, elements] => Arc::new(removed(arrays.as_list(), elements)?),
            _ => return exec_err!("array_remove takes an array and an element"),
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn removed(arrays: &ListArray, elements: &ArrayRef) -> Result<ListArray> {
    let offsets = arrays.value_offsets();
    // The element of the list that each value is of.
    let of: UInt32Array = offsets
        .windows(2)
        .zip(0u32..)
        .flat_map(|(ends, row)| std::iter::repeat_n(row, (ends[1] - ends[0]) as usize))
        .collect();
    let from = offsets.first().copied().unwrap_or(0) as usize;
    let values = arrays.values().slice(from, of.len());
    let gone: BooleanArray = not_distinct(&values, &take(elements, &of, None)?)?;
    let kept: UInt32Array = (0..of.len() as u32)
        .filter(|at| !gone.value(*at as usize))
        .collect();
    let mut lengths = vec![0usize; arrays.len()];
    for at in kept.values() {
        lengths[of.value(*at as usize) as usize] += 1;
    }
    let DataType::List(field) = arrays.data_type() else {
        return exec_err!("array_remove takes an array");
    };
    Ok(ListArray::try_new(
        Arc::clone(field),
        OffsetBuffer::from_lengths(lengths),
        take(&values, &kept, None)?,
        arrays.nulls().cloned(),
    )?)
}
