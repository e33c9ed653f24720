//! What functions written row by row are made of: a table of overloads in place of a struct and a trait for each function.
//!
//! A function is a [`Def`]: a name, and for each list of argument types a plain Rust function over values. Arguments are coerced as
//! PostgreSQL does it (never a number to text, text to a time only as a literal would be). A function that fails fails the batch;
//! `dataflow` narrows that to the row.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder,
    Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::{timestamptz, to_sql};

/// A type of an argument or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum T {
    Bool,
    Int4,
    Int8,
    Float8,
    /// Any number, without loss; only as an argument.
    Numeric,
    Text,
    Bytes,
    Date,
    Ts,
    Tstz,
    Interval,
    /// `TEXT[]`
    Texts,
    /// Whatever comes; only as an argument.
    Any,
}

/// One argument of one row.
#[derive(Clone, Debug)]
pub(crate) enum A<'a> {
    Null,
    Bool(bool),
    /// Int4 and Int8.
    Int(i64),
    Float(f64),
    /// The value times ten to the power of the scale.
    Numeric(i128, i8),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Days since 1970.
    Date(i32),
    /// Ts and Tstz: microseconds since 1970.
    Time(i64),
    Interval(IntervalMonthDayNano),
    Texts(Vec<Option<&'a str>>),
    /// A value of any type: row of an array.
    Any(&'a ArrayRef, usize),
}

/// The result for one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum O {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Time(i64),
    Interval(IntervalMonthDayNano),
    Texts(Vec<Option<String>>),
}

pub(crate) type Answer = std::result::Result<O, String>;

/// One list of argument types.
pub(crate) struct Over {
    pub args: &'static [T],
    /// The type of any further arguments.
    pub rest: Option<T>,
    pub returns: T,
    /// Whether the body sees NULLs; otherwise one makes the result NULL.
    pub nulls: bool,
    pub body: fn(&[A<'_>]) -> Answer,
}

pub(crate) struct Def {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub overloads: &'static [Over],
}

pub(crate) const fn over(args: &'static [T], returns: T, body: fn(&[A<'_>]) -> Answer) -> Over {
    Over {
        args,
        rest: None,
        returns,
        nulls: false,
        body,
    }
}

/// As [`over`], but the body also runs for NULLs.
pub(crate) const fn nullable(args: &'static [T], returns: T, body: fn(&[A<'_>]) -> Answer) -> Over {
    Over {
        args,
        rest: None,
        returns,
        nulls: true,
        body,
    }
}

/// With any number of further arguments of one type.
pub(crate) const fn variadic(
    args: &'static [T],
    rest: T,
    returns: T,
    body: fn(&[A<'_>]) -> Answer,
) -> Over {
    Over {
        args,
        rest: Some(rest),
        returns,
        nulls: true,
        body,
    }
}

pub(crate) const fn def(name: &'static str, overloads: &'static [Over]) -> Def {
    Def {
        name,
        aliases: &[],
        overloads,
    }
}

impl Def {
    pub fn udf(&'static self) -> Arc<ScalarUDF> {
        Arc::new(RowFunction::new(self).into())
    }
}

impl<'a> A<'a> {
    pub fn text(&self) -> &'a str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            Self::Time(value) => *value,
            Self::Date(value) => i64::from(*value),
            _ => 0,
        }
    }

    pub fn float(&self) -> f64 {
        match self {
            Self::Float(value) => *value,
            Self::Int(value) => *value as f64,
            _ => 0.0,
        }
    }

    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
            _ => b"",
        }
    }

    pub fn interval(&self) -> IntervalMonthDayNano {
        match self {
            Self::Interval(interval) => *interval,
            _ => IntervalMonthDayNano::new(0, 0, 0),
        }
    }

    pub fn texts(&self) -> &[Option<&'a str>] {
        match self {
            Self::Texts(texts) => texts,
            _ => &[],
        }
    }

    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Any(array, row) => array.is_null(*row),
            _ => false,
        }
    }
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl T {
    /// The Arrow type; `None` where the argument keeps the type it has.
    fn arrow(self) -> Option<DataType> {
        Some(match self {
            Self::Bool => DataType::Boolean,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float8 => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Ts => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Tstz => timestamptz(),
            Self::Interval => INTERVAL,
            Self::Texts => list(DataType::Utf8),
            Self::Numeric | Self::Any => return None,
        })
    }

    /// What an argument becomes; integers are exact decimals already.
    fn coerced(self, from: &DataType) -> DataType {
        match (self, from) {
            (Self::Numeric, DataType::Decimal128(..)) => from.clone(),
            (Self::Numeric, t) if t.is_integer() => DataType::Decimal128(20, 0),
            (Self::Numeric, _) => DataType::Decimal128(38, 15),
            (Self::Any, DataType::Null) => DataType::Utf8,
            _ => self.arrow().unwrap_or_else(|| from.clone()),
        }
    }

    /// How far the type is from this one; `None` if it is not taken.
    fn cost(self, from: &DataType) -> Option<u32> {
        use DataType as D;
        let text = matches!(from, D::Utf8 | D::Utf8View | D::LargeUtf8);
        Some(match (self, from) {
            (_, D::Null) => 1,
            (Self::Any, _) => 9,
            (Self::Text, _) if text => 0,
            (Self::Bool, D::Boolean) | (Self::Float8, D::Float64) | (Self::Date, D::Date32) => 0,
            (Self::Int4, D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16) => 0,
            // Literals are BIGINT here.
            (Self::Int4, D::Int64 | D::UInt32 | D::UInt64) => 1,
            (Self::Int8, t) if t.is_integer() => 0,
            (Self::Numeric, D::Decimal128(..)) => 0,
            (Self::Numeric, t) if t.is_integer() => 2,
            (Self::Float8, D::Float32) => 0,
            (Self::Float8, D::Decimal128(..)) => 3,
            (Self::Float8, t) if t.is_integer() => 4,
            (Self::Numeric, D::Float32 | D::Float64) => 5,
            (Self::Bytes, D::Binary | D::LargeBinary | D::BinaryView) => 0,
            (Self::Bytes, _) if text => 4,
            (Self::Ts, D::Timestamp(_, None)) | (Self::Tstz, D::Timestamp(_, Some(_))) => 0,
            (Self::Tstz, D::Timestamp(_, None)) => 3,
            (Self::Tstz, D::Date32) => 1,
            (Self::Ts, D::Date32) => 2,
            (Self::Ts | Self::Tstz | Self::Date | Self::Interval, _) if text => 6,
            (Self::Interval, D::Interval(_) | D::Duration(_)) => 0,
            (Self::Texts, D::List(element) | D::LargeList(element)) => match element.data_type() {
                D::Utf8 | D::Utf8View | D::LargeUtf8 | D::Null => 0,
                _ => return None,
            },
            (Self::Int4 | Self::Int8 | Self::Float8 | Self::Bool, _) if text => 7,
            _ => return None,
        })
    }

    fn read<'a>(self, array: &'a ArrayRef, row: usize) -> A<'a> {
        if self == Self::Any {
            return A::Any(array, row);
        }
        if array.is_null(row) {
            return A::Null;
        }
        match self {
            Self::Bool => A::Bool(array.as_boolean().value(row)),
            Self::Int4 => A::Int(i64::from(array.as_primitive::<Int32Type>().value(row))),
            Self::Int8 => A::Int(array.as_primitive::<Int64Type>().value(row)),
            Self::Float8 => A::Float(array.as_primitive::<Float64Type>().value(row)),
            Self::Numeric => {
                let scale = match array.data_type() {
                    DataType::Decimal128(_, scale) => *scale,
                    _ => 0,
                };
                A::Numeric(array.as_primitive::<Decimal128Type>().value(row), scale)
            }
            Self::Text => A::Text(array.as_string::<i32>().value(row)),
            Self::Bytes => A::Bytes(array.as_binary::<i32>().value(row)),
            Self::Date => A::Date(array.as_primitive::<Date32Type>().value(row)),
            Self::Ts | Self::Tstz => {
                A::Time(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            Self::Interval => {
                A::Interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row))
            }
            Self::Texts => A::Texts(texts(array, row)),
            Self::Any => A::Null,
        }
    }
}

fn texts(array: &ArrayRef, row: usize) -> Vec<Option<&str>> {
    let list = array.as_list::<i32>();
    let offsets = list.value_offsets();
    let values = list.values();
    let Some(values) = values.as_string_opt::<i32>() else {
        return vec![None; (offsets[row + 1] - offsets[row]) as usize];
    };
    (offsets[row] as usize..offsets[row + 1] as usize)
        .map(|i| values.is_valid(i).then(|| values.value(i)))
        .collect()
}

pub(crate) fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

#[derive(Debug)]
struct RowFunction {
    def: &'static Def,
    signature: Signature,
    aliases: Vec<String>,
}

impl std::fmt::Debug for Def {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl RowFunction {
    fn new(def: &'static Def) -> Self {
        Self {
            def,
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: def.aliases.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    fn resolve(&self, types: &[DataType]) -> Result<&'static Over> {
        let cost = |over: &Over| -> Option<u32> {
            let fits = match over.rest {
                None => types.len() == over.args.len(),
                Some(_) => types.len() >= over.args.len(),
            };
            if !fits {
                return None;
            }
            let wanted = over
                .args
                .iter()
                .copied()
                .chain(over.rest.into_iter().cycle());
            types.iter().zip(wanted).map(|(from, t)| t.cost(from)).sum()
        };
        let best = self
            .def
            .overloads
            .iter()
            .filter_map(|over| Some((cost(over)?, over)))
            .min_by_key(|(cost, _)| *cost);
        let given: Vec<String> = types.iter().map(to_sql).collect();
        match best {
            Some((_, over)) => Ok(over),
            None => plan_err!(
                "there is no function {}({}); it takes {}",
                self.def.name,
                given.join(", "),
                self.forms()
            ),
        }
    }

    /// Its lists of arguments, for people.
    fn forms(&self) -> String {
        let name = |t: &T| match t {
            T::Numeric => "NUMERIC".to_owned(),
            T::Any => "any type".to_owned(),
            other => other.arrow().map_or_else(String::new, |t| to_sql(&t)),
        };
        let form = |over: &Over| {
            let mut names: Vec<String> = over.args.iter().map(name).collect();
            names.extend(over.rest.iter().map(|t| format!("{} ...", name(t))));
            format!("({})", names.join(", "))
        };
        let forms: Vec<String> = self.def.overloads.iter().map(form).collect();
        forms.join(" or ")
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.def.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let over = self.resolve(types)?;
        let wanted = over
            .args
            .iter()
            .copied()
            .chain(over.rest.into_iter().cycle());
        Ok(types
            .iter()
            .zip(wanted)
            .map(|(from, t)| t.coerced(from))
            .collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let returns = self.resolve(types)?.returns;
        Ok(returns.arrow().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let over = self.resolve(&types)?;
        let constant = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let one = |arg: &ColumnarValue| match arg {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), 1)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, 0)),
        };
        let columns = args.args.iter().map(one).collect::<Result<Vec<_>>>()?;
        let kinds: Vec<T> = over
            .args
            .iter()
            .copied()
            .chain(over.rest.into_iter().cycle())
            .take(columns.len())
            .collect();
        let mut out = Builder::new(over.returns, rows);
        let mut row_args = Vec::with_capacity(columns.len());
        for row in 0..rows {
            row_args.clear();
            let values = columns.iter().zip(&kinds);
            row_args.extend(values.map(|((array, step), t)| t.read(array, row * step)));
            let null = !over.nulls && row_args.iter().any(A::is_null);
            let answer = if null {
                Ok(O::Null)
            } else {
                (over.body)(&row_args)
            };
            match answer {
                Ok(value) => out.push(value),
                Err(message) => return exec_err!("{}: {message}", self.def.name),
            }
        }
        let array = out.finish();
        if constant {
            let scalar = datafusion::common::ScalarValue::try_from_array(&array, 0)?;
            return Ok(ColumnarValue::Scalar(scalar));
        }
        Ok(ColumnarValue::Array(array))
    }
}

enum Builder {
    Bool(BooleanBuilder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Texts(ListBuilder<StringBuilder>),
}

impl Builder {
    fn new(t: T, rows: usize) -> Self {
        match t {
            T::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            T::Int4 => Self::Int4(Int32Builder::with_capacity(rows)),
            T::Int8 => Self::Int8(Int64Builder::with_capacity(rows)),
            T::Float8 | T::Numeric => Self::Float(Float64Builder::with_capacity(rows)),
            T::Text | T::Any => Self::Text(StringBuilder::new()),
            T::Bytes => Self::Bytes(BinaryBuilder::new()),
            T::Date => Self::Date(Date32Builder::with_capacity(rows)),
            T::Ts => Self::Time(TimestampMicrosecondBuilder::with_capacity(rows)),
            T::Tstz => {
                let zoned = TimestampMicrosecondBuilder::with_capacity(rows);
                Self::Time(zoned.with_timezone("UTC"))
            }
            T::Interval => Self::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            T::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    /// A value of another type is NULL: bodies answer what their overload says.
    fn push(&mut self, value: O) {
        match (self, value) {
            (Self::Bool(b), O::Bool(v)) => b.append_value(v),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Int4(b), O::Int(v)) => b.append_option(i32::try_from(v).ok()),
            (Self::Int4(b), _) => b.append_null(),
            (Self::Int8(b), O::Int(v)) => b.append_value(v),
            (Self::Int8(b), _) => b.append_null(),
            (Self::Float(b), O::Float(v)) => b.append_value(v),
            (Self::Float(b), _) => b.append_null(),
            (Self::Text(b), O::Text(v)) => b.append_value(v),
            (Self::Text(b), _) => b.append_null(),
            (Self::Bytes(b), O::Bytes(v)) => b.append_value(v),
            (Self::Bytes(b), _) => b.append_null(),
            (Self::Date(b), O::Date(v)) => b.append_value(v),
            (Self::Date(b), _) => b.append_null(),
            (Self::Time(b), O::Time(v)) => b.append_value(v),
            (Self::Time(b), _) => b.append_null(),
            (Self::Interval(b), O::Interval(v)) => b.append_value(v),
            (Self::Interval(b), _) => b.append_null(),
            (Self::Texts(b), O::Texts(v)) => b.append_value(v),
            (Self::Texts(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int4(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Bytes(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Interval(b) => Arc::new(b.finish()),
            Self::Texts(b) => Arc::new(b.finish()),
        }
    }
}
