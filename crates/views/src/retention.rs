//! Which rows of a chunk are past their time.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

use crate::chunk::Chunk;

/// Live rows whose timestamp is below the bound. A column of another type expires nothing.
pub(crate) fn expired(chunk: &Chunk, column: usize, bound_us: i64) -> Vec<usize> {
    let Some(array) = chunk.batch().columns().get(column) else {
        return Vec::new();
    };
    if !matches!(
        array.data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, _)
    ) {
        return Vec::new();
    }
    let times = array.as_primitive::<TimestampMicrosecondType>();
    // One pass over plain numbers first: mostly nothing has expired.
    if !times.values().iter().any(|time| *time < bound_us) {
        return Vec::new();
    }
    (0..times.len())
        .filter(|row| times.is_valid(*row) && times.value(*row) < bound_us && !chunk.is_dead(*row))
        .collect()
}
