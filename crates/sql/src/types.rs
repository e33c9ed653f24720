//! The types of the language and their Arrow types, both ways.
//!
//! BOOLEAN, SMALLINT, INT, BIGINT, REAL, DOUBLE PRECISION, DECIMAL(p, s), TEXT, BYTEA, DATE, TIMESTAMP, TIMESTAMPTZ,
//! STRUCT<a T, ...>, T[]. Times are microseconds, TIMESTAMPTZ is in UTC.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};

const DECIMAL_PRECISION_MAX: u8 = 38;
/// `DECIMAL` without numbers.
const DECIMAL_DEFAULT: DataType = DataType::Decimal128(38, 10);

pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type of a written type.
///
/// # Errors
/// The reason, as a sentence, when the type is not one of ours.
pub fn to_arrow(written: &SqlType) -> Result<DataType, String> {
    Ok(match written {
        SqlType::Bool | SqlType::Boolean => DataType::Boolean,
        SqlType::SmallInt(None) | SqlType::Int2(None) | SqlType::Int16 => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) | SqlType::Int32 => {
            DataType::Int32
        }
        SqlType::BigInt(None) | SqlType::Int8(None) | SqlType::Int64 => DataType::Int64,
        SqlType::Real | SqlType::Float4 | SqlType::Float32 => DataType::Float32,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float64 => {
            DataType::Float64
        }
        SqlType::Float(info) => float(info),
        SqlType::Decimal(info) | SqlType::Numeric(info) => decimal(info)?,
        SqlType::Text
        | SqlType::String(_)
        | SqlType::Varchar(_)
        | SqlType::CharVarying(_)
        | SqlType::CharacterVarying(_) => DataType::Utf8,
        // JSON is its text; see `functions::pg::json`.
        SqlType::JSON | SqlType::JSONB => DataType::Utf8,
        SqlType::Bytea => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp(precision, zone) => timestamp(*precision, *zone)?,
        SqlType::Struct(fields, _) => structure(fields)?,
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(element) | ArrayElemTypeDef::SquareBracket(element, _),
        ) => DataType::List(Arc::new(Field::new_list_field(to_arrow(element)?, true))),
        other => return Err(format!("type {other} is not known")),
    })
}

fn float(info: &ExactNumberInfo) -> DataType {
    match info {
        ExactNumberInfo::Precision(bits) if *bits <= 24 => DataType::Float32,
        _ => DataType::Float64,
    }
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType, String> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(DECIMAL_DEFAULT),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let valid_precision = u8::try_from(precision)
        .ok()
        .filter(|p| (1..=DECIMAL_PRECISION_MAX).contains(p));
    let Some(valid_precision) = valid_precision else {
        return Err(format!(
            "the precision of a DECIMAL is 1 to {DECIMAL_PRECISION_MAX}, not {precision}"
        ));
    };
    match i8::try_from(scale) {
        Ok(valid) if valid >= 0 && scale.unsigned_abs() <= precision => {
            Ok(DataType::Decimal128(valid_precision, valid))
        }
        _ => Err(format!(
            "the scale of a DECIMAL({precision}, s) is 0 to {precision}, not {scale}"
        )),
    }
}

fn timestamp(precision: Option<u64>, zone: TimezoneInfo) -> Result<DataType, String> {
    if precision.is_some_and(|p| p > 6) {
        return Err("timestamps have at most 6 digits after the second".to_owned());
    }
    Ok(match zone {
        TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => timestamptz(),
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
    })
}

fn structure(fields: &[StructField]) -> Result<DataType, String> {
    let mut answer: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(name) = &field.field_name else {
            return Err("every field of a STRUCT needs a name".to_owned());
        };
        let name = if name.quote_style.is_some() {
            name.value.clone()
        } else {
            name.value.to_lowercase()
        };
        if matches!(field.field_type, SqlType::JSON | SqlType::JSONB) {
            return Err(
                "JSON within a STRUCT is not taken: declare the whole column JSON".to_owned(),
            );
        }
        if answer.iter().any(|known| *known.name() == name) {
            return Err(format!("field \"{name}\" of the STRUCT is declared twice"));
        }
        answer.push(Field::new(name, to_arrow(&field.field_type)?, true));
    }
    if answer.is_empty() {
        return Err("a STRUCT needs fields, for example STRUCT<a BIGINT, b TEXT>".to_owned());
    }
    Ok(DataType::Struct(Fields::from(answer)))
}

/// The nearest known type name, for hints.
pub fn hint(written: &SqlType) -> Option<String> {
    const NAMES: [&str; 14] = [
        "BOOLEAN",
        "SMALLINT",
        "INT",
        "BIGINT",
        "REAL",
        "DOUBLE",
        "DECIMAL",
        "TEXT",
        "VARCHAR",
        "BYTEA",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "STRUCT",
    ];
    let text = written.to_string();
    let word: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let other = match word.to_uppercase().as_str() {
        "JSON" | "JSONB" | "UUID" | "CHAR" => Some("TEXT"),
        "TIME" | "DATETIME" => Some("TIMESTAMPTZ"),
        "TINYINT" | "UINT8" => Some("SMALLINT"),
        "BLOB" | "BINARY" | "VARBINARY" | "BYTES" => Some("BYTEA"),
        "UINT64" | "UBIGINT" => Some("DECIMAL(20, 0)"),
        _ => crate::nearest::nearest(&word, NAMES),
    };
    let all = || Some(format!("the types are {}, T[]", NAMES.join(", ")));
    other
        .map(|name| format!("did you mean {name}?"))
        .or_else(all)
}

/// The written type of an Arrow type, as `DESCRIBE` and `SHOW CREATE` show it.
pub fn to_sql(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 | DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float16 | DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".to_owned(),
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".to_owned(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| format!("{} {}", ident(f.name()), to_sql(f.data_type())))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::List(element) | DataType::LargeList(element) => {
            format!("{}[]", to_sql(element.data_type()))
        }
        other => other.to_string().to_uppercase(),
    }
}

/// A name as it must be written: quoted where it would otherwise be read as another name.
pub fn ident(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// The type in which a result of this type leaves a query: one of ours. `None` if there is none.
pub fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Dictionary(_, value) => canonical(value)?,
        DataType::List(element) | DataType::LargeList(element) | DataType::ListView(element) => {
            DataType::List(Arc::new(Field::new_list_field(
                canonical(element.data_type())?,
                true,
            )))
        }
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|f| canonical(f.data_type()).map(|t| Field::new(f.name(), t, true)));
            DataType::Struct(fields.collect::<Option<Fields>>()?)
        }
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => data_type.clone(),
        _ => return None,
    })
}

/// Types in `CAST` and `::` are the same as in declarations.
#[derive(Debug)]
pub(crate) struct OurTypes;

impl TypePlanner for OurTypes {
    fn plan_type_field(&self, written: &SqlType) -> Result<Option<FieldRef>, DataFusionError> {
        // What is not ours (INTERVAL, unsigned integers) is left to DataFusion.
        Ok(to_arrow(written)
            .ok()
            .map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}
