//! Rows and keys keep their values through the codecs; damaged bytes are errors.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, TimeUnit};
use proptest::prelude::*;

use super::persist::{get_all, get_bytes, put_all};
use super::words::{from_words, is_word, to_words};
use super::*;

/// Encodes and decodes a column; the answer must be the same column.
fn round(column: ArrayRef) {
    let types = [column.data_type().clone()];
    let encoded = RowWriter::new(&types)
        .unwrap()
        .encode(std::slice::from_ref(&column), column.len());
    let mut reader = RowReader::new(&types).unwrap();
    (0..column.len()).for_each(|row| reader.push(encoded.get(row)).unwrap());
    assert_eq!(
        &reader.finish().unwrap()[0],
        &column,
        "{}",
        column.data_type()
    );
}

#[test]
fn every_type_comes_back() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(0),
        None,
        Some(-1),
        Some(i64::MAX),
        Some(i64::MIN),
        Some(77),
    ]));
    round(numbers.clone());
    let small: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(1), Some(77)]));
    let instant = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    for data_type in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Decimal128(20, 3),
        DataType::Date64,
        instant(TimeUnit::Second),
        instant(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(TimeUnit::Millisecond),
    ] {
        round(cast(&small, &data_type).unwrap());
    }
    round(cast(&cast(&small, &DataType::Int32).unwrap(), &DataType::Date32).unwrap());
    round(Arc::new(BinaryArray::from(vec![
        Some(&b"\xff\x00"[..]),
        None,
        Some(b""),
    ])));
    round(Arc::new(NullArray::new(3)));
    round(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        [Some(vec![Some(1), None]), None, Some(vec![])],
    )));
    let field = Arc::new(Field::new("n", DataType::Int64, true));
    round(Arc::new(StructArray::from(vec![(field, numbers)])));
}

#[test]
fn floats_keep_their_bits() {
    let values = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::INFINITY,
        9_007_199_254_740_993.0,
        -3e18,
    ];
    let array: ArrayRef = Arc::new(Float64Array::from(values.clone()));
    let encoded = RowWriter::new([&DataType::Float64])
        .unwrap()
        .encode(&[array], values.len());
    let mut reader = RowReader::new([&DataType::Float64]).unwrap();
    (0..values.len()).for_each(|row| reader.push(encoded.get(row)).unwrap());
    let back = reader.finish().unwrap();
    let back = back[0].as_primitive::<datafusion::arrow::datatypes::Float64Type>();
    assert!(
        back.values()
            .iter()
            .zip(&values)
            .all(|(a, b)| a.to_bits() == (b + 0.0).to_bits()),
        "{back:?}"
    );
}

#[test]
fn words_order_as_their_values() {
    let floats = [
        f64::NEG_INFINITY,
        -1.5,
        0.0,
        1e-300,
        2.0,
        f64::INFINITY,
        f64::NAN,
    ];
    let words = to_words(&Float64Array::from(floats.to_vec())).unwrap();
    assert!(words.windows(2).all(|w| w[0] < w[1]), "{words:?}");
    let zeros = to_words(&Float64Array::from(vec![-0.0, 0.0])).unwrap();
    assert_eq!(zeros[0], zeros[1], "they are equal");
    let unsigned = to_words(&UInt64Array::from(vec![0, 1, 1 << 63, u64::MAX])).unwrap();
    assert!(unsigned.windows(2).all(|w| w[0] < w[1]));
    assert!(is_word(&DataType::Boolean) && !is_word(&DataType::Utf8));
    let back = from_words(&DataType::UInt64, unsigned.to_vec(), None).unwrap();
    assert_eq!(
        back.as_primitive::<datafusion::arrow::datatypes::UInt64Type>()
            .value(2),
        1 << 63
    );
}

#[test]
fn types_without_a_form_are_refused() {
    let odd = DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano);
    assert!(
        RowWriter::new([&odd])
            .unwrap_err()
            .to_string()
            .contains("cannot be kept in state")
    );
}

#[test]
fn an_arena_gives_space_back() {
    let mut arena = Arena::default();
    let mut spans: Vec<Span> = (0..20_000u32)
        .map(|n| arena.put(&n.to_le_bytes().repeat(20)))
        .collect();
    let full = arena.bytes();
    for span in spans.iter_mut().skip(100) {
        arena.free(*span);
        *span = Span::NONE;
    }
    assert!(arena.wasteful());
    arena.compact(spans.iter_mut());
    assert!(arena.bytes() * 10 < full && !arena.wasteful());
    assert_eq!(arena.get(spans[99]), 99u32.to_le_bytes().repeat(20));
    let large = arena.put(&vec![7; 3 << 20]);
    assert_eq!(arena.get(large).len(), 3 << 20);
}

#[test]
fn claimed_lengths_cost_no_memory() {
    let claim = u64::MAX.to_le_bytes();
    assert!(get_all::<u64>(&mut &claim[..]).is_err());
    assert!(get_bytes(&mut &(1u64 << 60).to_le_bytes()[..]).is_err());
    let mut out = Vec::new();
    put_all(&mut out, &[1i128, -5]).unwrap();
    assert_eq!(get_all::<i128>(&mut out.as_slice()).unwrap(), [1, -5]);
}

/// With it -0.0 is 0.0, as it is when it comes back.
const ZERO: f64 = 0.0;

proptest! {
    #[test]
    fn rows_come_back(rows in prop::collection::vec(
        (any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<String>>(), any::<Option<i128>>(), any::<Option<bool>>()), 1..50)) {
        let wide = |v: i128| v % 10i128.pow(38);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1.filter(|f| !f.is_nan()).map(|f| f + ZERO)).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.2.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.3.map(wide)).collect::<Decimal128Array>()),
            Arc::new(rows.iter().map(|r| r.4).collect::<BooleanArray>()),
        ];
        let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
        let encoded = RowWriter::new(&types).unwrap().encode(&columns, rows.len());
        let mut reader = RowReader::new(&types).unwrap();
        for row in 0..rows.len() {
            reader.push(encoded.get(row)).unwrap();
        }
        prop_assert_eq!(reader.finish().unwrap(), columns);
    }

    #[test]
    fn damaged_rows_are_refused_not_believed(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let types = [DataType::Int64, DataType::Utf8, list, DataType::Float64, DataType::Decimal128(38, 0)];
        let mut reader = RowReader::new(&types).unwrap();
        if reader.push(&bytes).is_ok() {
            let _ = reader.finish();
        }
    }
}
