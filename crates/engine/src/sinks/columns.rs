//! Arrow types as sinks know them.

use datafusion::arrow::datatypes::{DataType, Schema};
use headwater_connect::{ColumnType, SinkColumn};

pub fn of(schema: &Schema) -> Vec<SinkColumn> {
    let column = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| SinkColumn {
        name: field.name().clone(),
        kind: kind(field.data_type()),
    };
    schema.fields().iter().map(column).collect()
}

fn kind(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ColumnType::Int16,
        DataType::Int32 | DataType::UInt16 => ColumnType::Int32,
        DataType::Int64 | DataType::UInt32 => ColumnType::Int64,
        DataType::UInt64 => ColumnType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Binary => ColumnType::Bytes,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(_, None) => ColumnType::Timestamp,
        DataType::Timestamp(_, Some(_)) => ColumnType::TimestampTz,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(_, _) => ColumnType::Json,
        _ => ColumnType::Text,
    }
}
